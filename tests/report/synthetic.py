"""A run folder as simulate and compare leave it, with made-up but plausible numbers."""

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

ARMS = ("local", "federated", "pooled")
ROUND = ["MaskedInputCollection", "ConsistencyCheck", "Unmasking"]
SET_UP = ["AdvertiseKeys", "ShareKeys", *ROUND]
FOLDS = ("validation", "test")
SHIFT = {"local": 0.0, "federated": 0.0105, "unguarded": 0.0108, "pooled": 0.0115}
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
        self.secure, self.row_guard = secure, row_guard
        self.random = np.random.default_rng(seed)
        self.tasks = self.draw_tasks(tasks, groups)
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

    def own(self, partner: str) -> pl.DataFrame:
        return self.tasks.filter(pl.col("partner") == partner)

    def write_dataset(self, partner: str) -> None:
        tasks, place = self.own(partner), f"partners/{partner}/dataset"
        labels = int((tasks["positives"] + tasks["negatives"]).sum())
        facts = {"name": partner, "bits": 32768, "folds": 5, "compounds": labels // 2, "tasks": len(tasks), "labels": labels}
        self.save_json(f"{place}/dataset.json", facts | {"digest": f"{len(partner):08d}" * 8, "note": ""})
        columns = tasks.select("task", "group", pl.col("threshold").cast(pl.Float32), pl.lit(1.0).alias("weight"), "positives", "negatives")
        self.save_table(f"{place}/tasks.parquet", columns.with_columns(pl.col("positives", "negatives").cast(pl.Int32)))

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
                self.save_round("pooled", arm, number, table, 0)
                continue
            for place, partner in enumerate(self.partners):
                if not (arm == "federated" and self.missing.get(partner) == number):
                    self.save_round(f"partners/{partner}{'/local' if arm == 'local' else ''}", arm, number, self.own(partner), place)

    def save_round(self, folder: str, arm: str, number: int, tasks: pl.DataFrame, place: int) -> None:
        frames = [self.scores(arm, number, fold, tasks) for fold in FOLDS]
        self.save_table(f"{folder}/metrics/round-{number:04d}.parquet", pl.concat(frames))
        loss = 0.44 + 0.02 * (place % 4) + 0.24 * math.exp(-number / 4) + float(self.random.normal(0, 0.003))
        facts = {"round": number, "loss": loss, "seconds": 41.5, "compounds": 9000, "steps": 18}
        self.save_json(f"{folder}/loss/round-{number:04d}.json", facts)

    def scores(self, arm: str, number: int, fold: str, tasks: pl.DataFrame) -> pl.DataFrame:
        """Metrics of one round: they rise, and local and pooled training fall off again after their best round."""
        best = BEST[arm]
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

    def write_comparison(self) -> None:
        """comparison.json and comparison.parquet over the tasks with five of each class, at the round that each arm is best."""
        compared = self.tasks.rename({"positives": "all_positives", "negatives": "all_negatives"})
        compared = compared.rename({"test_positives": "positives", "test_negatives": "negatives"})
        arms = [*ARMS, "unguarded"] if self.row_guard > 1 else ARMS
        chosen = {arm: min(self.rounds, BEST[arm]) for arm in arms}
        for arm in arms:
            scores = self.scores(arm, chosen[arm], "test", self.tasks)
            compared = compared.with_columns(*(scores[metric].alias(f"{arm}_{metric}") for metric in ("auc_pr", "auc_roc", "bce")))
        room = 1 - pl.col("local_auc_pr")
        compared = compared.with_columns(((pl.col("federated_auc_pr") - pl.col("local_auc_pr")) / room).alias("riptop"))
        compared = compared.filter(pl.col("positives") >= 5, pl.col("negatives") >= 5)
        self.save_table("comparison.parquet", compared.drop("all_positives", "all_negatives", "ease", "effect", strict=False))
        partners = {}
        for partner in self.partners:
            rows = compared.filter(pl.col("partner") == partner)
            partners[partner] = means(rows) | {"selected": chosen}
        self.save_json("comparison.json", means(compared) | {"partners": partners})

    def save_text(self, name: str, text: str) -> None:
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def save_lines(self, name: str, rows: Sequence[dict[str, Any]]) -> None:
        self.save_text(name, "".join(json.dumps(row) + "\n" for row in rows))

    def save_json(self, name: str, value: Any) -> None:
        self.save_text(name, json.dumps(value))

    def save_table(self, name: str, table: pl.DataFrame) -> None:
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        table.write_parquet(path)


def means(compared: pl.DataFrame) -> dict[str, Any]:
    """The figures of comparison.json over the rows of comparison.parquet."""
    arms = [arm for arm in BEST if f"{arm}_auc_pr" in compared.columns]
    by_arm: dict[str, Any] = {arm: {metric: compared[f"{arm}_{metric}"].mean() for metric in ("auc_pr", "auc_roc", "bce")} for arm in arms}
    gain = (compared["federated_auc_pr"] - compared["local_auc_pr"]).mean()
    pooled = (compared["pooled_auc_pr"] - compared["local_auc_pr"]).mean()
    share = gain / pooled if isinstance(gain, float) and isinstance(pooled, float) and pooled > 0 else None
    return by_arm | {
        "pooled_gain_share": share,
        "row_guard_effect": by_arm["federated"]["auc_pr"] - by_arm["unguarded"]["auc_pr"] if "unguarded" in by_arm else None,
        "tasks": len(compared),
        "share_improved": (compared["federated_auc_pr"] > compared["local_auc_pr"]).mean(),
        "riptop_mean": compared["riptop"].mean(),
        "riptop_median": compared["riptop"].median(),
    }


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
