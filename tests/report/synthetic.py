"""A run folder as simulate and compare leave it, with made-up but plausible numbers."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from fedapp.evaluation.arms import CLASS_METRICS, CONSTANT, LOCAL, VALUE_METRICS
from fedapp.evaluation.comparison import BREAKDOWN
from fedapp.evaluation.selection import METRICS_SCHEMA
from fedapp.storage.digests import file_digests
from fedapp.storage.json_file import write_sealed
from fedapp.storage.json_lines import sealed_line
from fedapp.storage.sealed_table import write_table

ARMS = ("local", "federated", "pooled")  # those with rounds
COMPARED = ("local", "local_twice", "federated", "combined", "pooled", "merged", "forest", "constant")
ROUND = ["MaskedInputCollection", "ConsistencyCheck", "Unmasking"]
SET_UP = ["AdvertiseKeys", "ShareKeys", *ROUND]
FOLDS = ("validation", "test")
SHIFT = {"local": 0.0, "local_twice": 0.001, "federated": 0.0105, "combined": 0.0125, "unguarded": 0.0108, "pooled": 0.0115}
SHIFT |= {"merged": 0.014, "forest": -0.01, "constant": -0.4}
BEST = {"local": 7, "federated": 18, "unguarded": 18, "pooled": 9}
NAMES = ("Alder", "Birch", "Cedar", "Damson", "Elder", "Fir", "Gorse", "Hazel")


class Synthetic:
    """Writes one run folder; every number derives from `seed`."""

    def __init__(
        self,
        directory: Path,
        kind: str = "compare",
        partners: Sequence[str] = NAMES[:3],
        tasks: int = 60,
        values: int = 0,
        arms: Sequence[str] = COMPARED,
        rounds: int = 4,
        done: int | None = None,
        missing: dict[str, int] | None = None,
        gain: float = 1.0,
        groups: Callable[[int], str] = lambda number: f"CHEMBL{200 + 37 * number}",
        secure: bool = False,
        row_guard: int = 0,
        seed: int = 0,
        **facts: Any,
    ) -> None:
        self.directory, self.kind, self.partners, self.rounds = directory, kind, tuple(partners), rounds
        self.done = rounds if done is None else done
        self.missing, self.gain = missing or {}, gain
        self.secure, self.row_guard, self.compared = secure, row_guard, tuple(arms)
        self.random = np.random.default_rng(seed)
        self.tasks = self.draw_tasks(tasks, groups)
        self.values = self.draw_values(values, groups)
        self.facts = {
            "run": directory.name,
            "kind": kind,
            "state": "finished" if self.done == rounds else "running",
            "started": "2026-11-22T09:14:03+00:00",
            "seconds": 1284.6,
            "versions": {"python": "3.11.9", "flwr": "1.41.0", "torch": "2.13.0+cpu", "rdkit": "2026.09.1", "polyphony": "0.1.0"},
            "seed": 1,
            "note": None,
            "partners": list(self.partners),
            "rounds": rounds,
        } | facts

    def write(self) -> Path:
        """The whole folder."""
        self.save_json("run.json", self.facts)
        config = CONFIG.replace("ROUNDS", str(self.rounds)).replace("GUARD", str(self.row_guard))
        self.save_text("config.yaml", config.replace("plain", "secure") if self.secure else config)
        for partner in self.partners:
            self.write_dataset(partner)
        self.write_journal()
        for arm in ARMS if self.kind == "compare" else ("federated",):
            self.write_arm(arm)
        if self.kind == "compare" and self.done == self.rounds:
            self.write_comparison()
        return self.directory

    def draw_tasks(self, count: int, groups: Callable[[int], str]) -> pl.DataFrame:
        """partner, task (per partner), group, threshold, positives, negatives, and the test fold's counts and difficulty."""
        shares = self.random.dirichlet(np.full(len(self.partners), 6.0))
        owners = np.sort(self.random.choice(len(self.partners), count, p=shares))
        positives = 25 + self.random.lognormal(3.6, 1.1, count).astype(int)
        negatives = 25 + self.random.lognormal(4.0, 1.1, count).astype(int)
        frame = pl.DataFrame(
            {
                "partner": [self.partners[owner] for owner in owners],
                "group": [groups(number // 2) for number in range(count)],
                "threshold": [(5.5, 6.5, 7.5)[number % 3] for number in range(count)],
                "positives": positives,
                "negatives": negatives,
                "test_positives": self.random.binomial(positives, 0.18),
                "test_negatives": self.random.binomial(negatives, 0.18),
                "ease": self.random.normal(1.1, 0.7, count),
                "effect": self.random.normal(0, 1, count),
            }
        )
        return frame.with_columns((pl.int_range(pl.len()).over("partner")).cast(pl.Int32).alias("task"))

    def draw_values(self, count: int, groups: Callable[[int], str]) -> pl.DataFrame:
        """partner, task (per partner, after its tasks of classes), group, exact and censored values in the test fold, and difficulty."""
        partners = [self.partners[number % len(self.partners)] for number in range(count)]
        frame = pl.DataFrame(
            {
                "partner": pl.Series(partners, dtype=pl.String),
                "group": pl.Series([groups(number) for number in range(count)], dtype=pl.String),
                "exact": self.random.integers(4, 60, count),
                "censored": self.random.integers(0, 20, count),
                "ease": self.random.normal(0.4, 0.15, count),
            }
        )
        before = pl.col("partner").replace_strict({name: len(self.own(name)) for name in self.partners}, return_dtype=pl.Int64)
        return frame.with_columns((pl.int_range(pl.len()).over("partner") + before).cast(pl.Int32).alias("task"))

    def own(self, partner: str) -> pl.DataFrame:
        return self.tasks.filter(pl.col("partner") == partner)

    def own_values(self, partner: str) -> pl.DataFrame:
        return self.values.filter(pl.col("partner") == partner)

    def write_dataset(self, partner: str) -> None:
        tasks, place = self.own(partner), f"partners/{partner}/dataset"
        labels = int((tasks["positives"] + tasks["negatives"]).sum())
        facts = {"name": partner, "bits": 32768, "folds": 5, "compounds": labels // 2, "tasks": len(tasks), "labels": labels}
        columns = tasks.select("task", "group", pl.col("threshold").cast(pl.Float32), pl.lit(1.0).alias("weight"), "positives", "negatives")
        valued = self.own_values(partner).select(
            "task", "group", pl.lit("regression").alias("kind"), pl.lit("p").alias("unit"), "exact", "censored"
        )
        counted = pl.col("positives", "negatives", "exact", "censored").cast(pl.Int32)
        self.save_table(f"{place}/tasks.parquet", pl.concat([columns, valued], how="diagonal_relaxed").with_columns(counted))
        facts |= {"digest": f"{len(partner):08d}" * 8, "note": "", "files": file_digests(self.directory / place, ["tasks.parquet"])}
        self.save_json(f"{place}/dataset.json", facts)

    def write_journal(self) -> None:
        phases, last = (ROUND, "Finish") if self.secure else (["train"], "final")
        lines = [self.exchange(0, phase) for phase in SET_UP] if self.secure else []
        lines += [self.exchange(number, phase) for number in range(1, self.done + 1) for phase in phases]
        if self.done == self.rounds:
            lines.append(self.exchange(self.rounds, last))
        self.save_lines("coordinator/journal.jsonl", lines)
        for partner in self.partners if self.secure else ():
            missed = self.missing.get(partner)
            self.save_lines(f"partners/{partner}/sums.jsonl", [self.sum(n) for n in range(1, self.done + 1) if n != missed])

    def sum(self, number: int) -> dict[str, Any]:
        sent = {"partners": len(self.partners), "coordinates": 1_000_000, "clipped": 12 if number == 2 else 0}
        return {"round": number, "largest": 0.03, "range": 0.25, "rows": 2000, "slots": 0} | sent

    def exchange(self, number: int, phase: str) -> dict[str, Any]:
        replied = sum(self.missing.get(partner) != number for partner in self.partners)
        size = 52_430_400
        up = 0 if phase in ("final", "Finish") else size * replied
        return {
            "round": number,
            "phase": phase,
            "asked": len(self.partners),
            "replied": replied,
            "bytes_down": size * len(self.partners),
            "bytes_up": up,
            "seconds": 52.0 + number % 5,
            "metrics": {},
            "left_out": ["no reply"] * (len(self.partners) - replied),
        }

    def write_arm(self, arm: str) -> None:
        for number in range(1, self.done + 1):
            if arm == "pooled":
                table = self.tasks.with_columns(pl.int_range(pl.len()).cast(pl.Int32).alias("task"))
                self.save_round("pooled", arm, number, table, self.values.clear(), 0)
                continue
            for place, partner in enumerate(self.partners):
                if not (arm == "federated" and self.missing.get(partner) == number):
                    folder = f"partners/{partner}{'/local' if arm == 'local' else ''}"
                    self.save_round(folder, arm, number, self.own(partner), self.own_values(partner), place)

    def save_round(self, folder: str, arm: str, number: int, tasks: pl.DataFrame, values: pl.DataFrame, place: int) -> None:
        frames = [self.scores(arm, number, fold, tasks) for fold in FOLDS] + [self.errors(arm, number, fold, values) for fold in FOLDS]
        rows = pl.concat([pl.DataFrame(schema=METRICS_SCHEMA), *frames], how="diagonal_relaxed")
        self.save_table(f"{folder}/metrics/round-{number:04d}.parquet", rows)
        loss = 0.44 + 0.02 * (place % 4) + 0.24 * math.exp(-number / 4) + float(self.random.normal(0, 0.003))
        facts = {"round": number, "loss": loss, "seconds": 41.5, "compounds": 9000, "steps": 18}
        self.save_json(f"{folder}/loss/round-{number:04d}.json", facts)

    def scores(self, arm: str, number: int, fold: str, tasks: pl.DataFrame) -> pl.DataFrame:
        """Metrics of one round: they rise, and local and pooled training fall off again after their best round."""
        best = BEST.get(arm, 12)
        learnt = 1 - math.exp(-number / (best / 3.2)) - 0.0006 * max(0, number - best) ** 1.5
        positives, negatives = tasks["test_positives"].to_numpy(), tasks["test_negatives"].to_numpy()
        prevalence = positives / np.maximum(positives + negatives, 1)
        noise = self.random.normal(0, 0.02, len(tasks)) + self.gain * SHIFT[arm] + 0.022 * tasks["effect"].to_numpy() * (arm != "local")
        skill = np.clip((0.52 + 0.12 * tasks["ease"].to_numpy()) * learnt + noise * 1.6, 0.02, 0.98)
        defined = (positives > 0) & (negatives > 0)
        auc_pr = np.where(defined, np.clip(prevalence + (1 - prevalence) * skill * 0.75, 0.02, 1), np.nan)
        return pl.DataFrame(
            {
                "round": np.full(len(tasks), number, np.int32),
                "fold": [fold] * len(tasks),
                "task": tasks["task"],
                "positives": positives.astype(np.int32),
                "negatives": negatives.astype(np.int32),
                "auc_pr": auc_pr,
                "auc_roc": np.where(defined, 0.5 + 0.48 * skill, np.nan),
                "bce": np.where(defined, 0.69 - 0.3 * skill, np.nan),
            }
        )

    def errors(self, arm: str, number: int, fold: str, values: pl.DataFrame) -> pl.DataFrame:
        """Metrics of tasks of values of one round; a constant puts nothing in order."""
        skill = values["ease"].to_numpy() + self.gain * SHIFT[arm] + self.random.normal(0, 0.03, len(values))
        skill = np.clip(skill * (1 - math.exp(-number / 3)), -0.9, 0.98)
        return values.select("task", "exact", "censored").with_columns(
            pl.lit(number).alias("round"),
            pl.lit(fold).alias("fold"),
            pl.Series("spearman", np.full(len(values), np.nan) if arm == CONSTANT else skill, dtype=pl.Float64).fill_nan(None),
            pl.Series("r2", skill - 0.3, dtype=pl.Float64),
            pl.Series("rmse", 1.1 - 0.6 * skill, dtype=pl.Float64),
            pl.Series("censored_rmse", 1.0 - 0.5 * skill, dtype=pl.Float64),
        )

    def write_comparison(self) -> None:
        """What `polyphony compare` leaves: figures of all arms, each at its best round, over the tasks that count."""
        compared = self.tasks.rename({"positives": "all_positives", "negatives": "all_negatives"})
        compared = compared.rename({"test_positives": "positives", "test_negatives": "negatives"})
        compared = compared.drop("all_positives", "all_negatives", "ease", "effect")
        compared = pl.concat([compared, self.values.drop("ease")], how="diagonal_relaxed").with_columns(
            pl.when(pl.col("exact").is_null()).then(pl.lit("classification")).otherwise(pl.lit("regression")).alias("kind")
        )
        arms = [*self.compared, *(["unguarded"] if self.row_guard > 1 else [])]
        chosen = {arm: min(self.rounds, BEST.get(arm, 12)) for arm in arms}
        for arm in arms:
            of_classes = self.scores(arm, chosen[arm], "test", self.tasks).select(*CLASS_METRICS)
            of_values = self.errors(arm, chosen[arm], "test", self.values).select(*VALUE_METRICS)
            both = pl.concat([of_classes, of_values], how="diagonal_relaxed")
            compared = compared.with_columns(*(both[metric].alias(f"{arm}_{metric}") for metric in both.columns))
            clear = pl.when(pl.col("exact").is_null()).then(0.4 + SHIFT[arm]).alias(f"{arm}_efficiency_10")
            compared = compared.with_columns(clear)
        enough = (pl.col("positives") >= 5) & (pl.col("negatives") >= 5)
        compared = compared.filter(enough.fill_null(False) | (pl.col("exact") >= 10).fill_null(False))
        self.save_table("comparison.parquet", compared)
        partners = {}
        for partner in self.partners:
            rows = compared.filter(pl.col("partner") == partner)
            choice = dict.fromkeys(rows["kind"].unique().sort(), "mean")
            partners[partner] = means(rows, arms) | {"selected": chosen, "choice": choice}
        self.save_json("comparison.json", means(compared, arms) | {"partners": partners})
        self.write_breakdown(compared)

    def write_breakdown(self, compared: pl.DataFrame) -> None:
        """Two parts of everything that tasks can be parted by; the second has too few groups for an interval."""
        rows = [
            {"kind": kind, "by": name, "part": place, "least": edge * place, "most": edge * (place + 1), "tasks": 40, "arm": arm}
            | {"gain_value": SHIFT[arm], "gain_low": SHIFT[arm] - 0.004 if not place else None, "gain_high": 0.03 if not place else None}
            for kind in compared["kind"].unique().sort()
            for name, edge in (("similarity", 0.3), ("partner_size", 5000.0), ("labels", 120.0), ("holders", 2.0))
            for place in range(2)
            for arm in self.compared
            if arm != LOCAL and LOCAL in self.compared
        ]
        self.save_table(
            "breakdown.parquet", pl.DataFrame(rows, schema={name: BREAKDOWN[name] for name in (rows[0] if rows else BREAKDOWN)})
        )

    def save_text(self, name: str, text: str) -> None:
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def save_lines(self, name: str, rows: Sequence[dict[str, Any]]) -> None:
        self.save_text(name, "".join(sealed_line(row) + "\n" for row in rows))

    def save_json(self, name: str, value: Any) -> None:
        write_sealed(self.directory / name, value)

    def save_table(self, name: str, table: pl.DataFrame) -> None:
        path = self.directory / name
        write_table(path, table)


def means(compared: pl.DataFrame, arms: Sequence[str]) -> dict[str, Any]:
    """The figures of comparison.json over the rows of comparison.parquet."""
    by_arm: dict[str, Any] = {arm: {metric: compared[f"{arm}_{metric}"].mean() for metric in CLASS_METRICS} for arm in arms}
    return by_arm | {"tasks": len(compared)}


CONFIG = """\
name: fsmol
seed: 1
runs: runs
aggregation: plain
data: {tables: tables/fsmol_dev, partners: 8}
chemistry: {radius: 3, bits: 32768, max_heavy_atoms: 100, folds: 5, fold_key_file: null}
tasks: {group_by: target_id, thresholds: [5.5, 6.5, 7.5], min_per_class: 25}
model: {hidden: [400], dropout: 0.4}
training: {batch_size: 512, local_epochs: 1, learning_rate: 0.001, weight_decay: 0.0}
federation: {rounds: ROUNDS, server_learning_rate: 1.0, min_partners: 2, round_timeout: 3600, initial_trunk: seed, metrics_shown: []}
privacy: {row_guard: GUARD, word_bits: 32, range: 0.25}
evaluation: {test_fold: 0, validation_fold: 1, min_per_class: 5}
"""
