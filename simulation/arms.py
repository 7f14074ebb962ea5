"""The arms that a federation is compared with, and the comparison.

Local only: each partner trains on its own data, fed its own trunk back each round. Pooled: one partner that has everybody's data.
Unguarded: the federation without its row guard, which shows what the guard costs; left out where the federation has none itself.
All drive `Partner` as the coordinator does, so the arms share code, folds, budget (rounds × local epochs) and the choice of the round
on the validation fold.

    run/partners/<name>/{dataset,metrics,loss}    federated (written elsewhere)
    run/local/<name>/{metrics,loss}
    run/unguarded/<name>/{metrics,loss}
    run/pooled/{metrics,loss,dataset}
    run/comparison.parquet, run/comparison.json
"""

import shutil
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from fedapp.config import Config
from fedapp.data.dataset import Dataset
from fedapp.data.merge import merge_datasets
from fedapp.errors import RunError
from fedapp.evaluation.arms import ARMS, COUNTS, FEDERATED, LOCAL, METRICS, POOLED, UNGUARDED, column
from fedapp.evaluation.comparison import figures, riptop
from fedapp.evaluation.counting import enough
from fedapp.evaluation.selection import TEST, best_round, read_metrics
from fedapp.model.checkpoint import load_tensors, save_tensors
from fedapp.model.network import Trunk, trunk_arrays
from fedapp.partner.client import Partner
from fedapp.partner_folder import PartnerFolder
from fedapp.storage.files import atomic_path
from fedapp.storage.json_file import write_json
from simulation.events import RunEvent, saved_event
from simulation.federation import first_shared, form_of, take_in, words_of
from strategies.update.shared_trunk import SharedTrunk


def arms_of(config: Config) -> tuple[str, ...]:
    """The arms of an experiment: without a row guard, the federated arm is the unguarded one."""
    return tuple(arm for arm in ARMS if arm != UNGUARDED or config.privacy.row_guard > 1)


def local_arm(run: Path, datasets: Mapping[str, Dataset], config: Config, device: torch.device | None = None) -> Iterator[RunEvent]:
    """Train every partner on its own, one after another, in `run/local/<name>`; rounds that are done are skipped."""
    for name, dataset in datasets.items():
        yield from train_alone(LOCAL, run / LOCAL / name, dataset, config, device)


def pooled_arm(run: Path, datasets: Mapping[str, Dataset], config: Config, device: torch.device | None = None) -> Iterator[RunEvent]:
    """Merge all partners' data and train on them, in `run/pooled`; rounds that are done are skipped."""
    folder = PartnerFolder(run / POOLED).dataset
    dataset = Dataset.open(folder) if (folder / "dataset.json").is_file() else merge_datasets(datasets, folder)
    yield from train_alone(POOLED, run / POOLED, dataset, config, device)


def train_alone(arm: str, directory: Path, dataset: Dataset, config: Config, device: torch.device | None = None) -> Iterator[RunEvent]:
    """Train one partner that gets its own trunk back each round; resumes a killed run where it stopped."""
    final = config.federation.rounds
    if PartnerFolder(directory).metrics_of(final).is_file():
        return
    partner = Partner(directory, dataset, config, device)
    done, arrays = load_trunk(directory / "trunk.safetensors", config)
    for number in range(done + 1, final + 1):
        arrays, _, _ = partner.fit(arrays, {"round": number})
        save_trunk(directory / "trunk.safetensors", arrays, number)
        if number > 1:
            yield saved_event(arm, dataset.name, directory, number - 1, config.evaluation.min_per_class)
    partner.evaluate(arrays, {"round": final})
    yield saved_event(arm, dataset.name, directory, final, config.evaluation.min_per_class)
    # What only a resumed run would need: two states and a trunk weigh ten times the rest.
    shutil.rmtree(PartnerFolder(directory).states, ignore_errors=True)
    (directory / "trunk.safetensors").unlink()


def unguarded_arm(run: Path, datasets: Mapping[str, Dataset], config: Config, device: torch.device | None = None) -> Iterator[RunEvent]:
    """Train the federation without its row guard, in `run/unguarded`; rounds that are done are skipped."""
    folder = run / UNGUARDED
    if not all(PartnerFolder(folder / name).metrics_of(config.federation.rounds).is_file() for name in datasets):
        partners = {name: Partner(folder / name, dataset, config, device) for name, dataset in datasets.items()}
        yield from federate_unguarded(partners, PartnerFolder(folder).shared_trunk, config)
    for name in datasets:
        shutil.rmtree(PartnerFolder(folder / name).states, ignore_errors=True)
    (PartnerFolder(folder).shared_trunk).unlink(missing_ok=True)


def federate_unguarded(partners: Mapping[str, Partner], path: Path, config: Config) -> Iterator[RunEvent]:
    """Add up what partners send of every row, round after round; `path` keeps the trunk, from which a killed run goes on."""
    federation, minimum = config.federation, config.evaluation.min_per_class
    shared = SharedTrunk.read(path) if path.is_file() else first_shared(config, np.ones(config.chemistry.bits, dtype=np.bool_))
    form = form_of(shared, config)
    for number in range(shared.version + 1, federation.rounds + 1):
        sums = np.zeros(form.words, dtype=form.quantiser(shared.value_range).word_type)
        for name, partner in partners.items():
            sums += words_of(partner, shared, form, config)
            if number > 1:
                yield saved_event(UNGUARDED, name, partner.directory, number - 1, minimum)
        shared = take_in(shared, form, sums, len(partners), config)
        shared.write(path)
    for name, partner in partners.items():
        partner.evaluate(shared.arrays, {"round": federation.rounds})
        yield saved_event(UNGUARDED, name, partner.directory, federation.rounds, minimum)


def save_trunk(path: Path, arrays: list[np.ndarray], number: int) -> None:
    """Keep the trunk after round `number`."""
    save_tensors(path, {f"{position:03d}": torch.from_numpy(array) for position, array in enumerate(arrays)}, {"round": number})


def load_trunk(path: Path, config: Config) -> tuple[int, list[np.ndarray]]:
    """The last round kept and its trunk; 0 and the initial trunk if there is none."""
    if not path.is_file():
        return 0, trunk_arrays(Trunk(config.chemistry.bits, config.model.hidden, config.seed))
    tensors, header = load_tensors(path)
    return header["round"], [tensors[name].numpy() for name in sorted(tensors)]


def compare_arms(run: Path, config: Config) -> dict[str, Any]:
    """Compare the arms of a run on the test fold, each at the round that the validation fold chose for that partner.

    A task counts if it has `enough` labels in the test fold. Writes `comparison.parquet` (one row per task
    that counts) and `comparison.json`.

    Returns:
        The `figures` of all tasks, and "partners": the same per partner, with the selected rounds.
    Raises:
        RunError: An arm has no metrics, or no task counts.
    """
    names = sorted(path.name for path in (run / "partners").glob("*") if PartnerFolder(path).dataset.is_dir())
    if not names:
        raise RunError(f"{run} has no partners", "run the federation first")
    per_class = config.evaluation.min_per_class
    tables, rounds = [], {}
    for name in names:
        table, rounds[name] = compare_partner(run, name, arms_of(config), per_class)
        tables.append(table)
    table = pl.concat(tables)
    if table.is_empty():
        raise RunError(
            f"no task has {per_class} actives and as many inactives in the test fold", "lower evaluation.min_per_class or use more data"
        )
    summary = figures(table)
    summary["partners"] = {
        name: {"selected": rounds[name], **figures(rows)} for name in names if len(rows := table.filter(pl.col("partner") == name))
    }
    with atomic_path(run / "comparison.parquet") as path:
        table.write_parquet(path)
    write_json(run / "comparison.json", summary)
    return summary


def compare_partner(run: Path, name: str, arms: Collection[str], per_class: int) -> tuple[pl.DataFrame, dict[str, int]]:
    """One row per counting task of one partner: partner, task, group, threshold, the counts of its labels, then each metric of each arm
    (`local_auc_pr` and so on) and `riptop`; and the round selected in each arm."""
    tasks = Dataset.open(PartnerFolder(run / "partners" / name).dataset).tasks.select("task", "group", "threshold")
    rounds: dict[str, int] = {}
    table = tasks.with_columns(pl.lit(name).alias("partner"))
    metrics_of_run = arm_metrics(run, name)
    for arm in arms:
        metrics = metrics_of_run[arm]
        chosen = best_round(metrics, per_class)
        if chosen is None:
            raise RunError(f"the {arm} arm of {name} has no metrics in {run}", "finish the run with --resume")
        rounds[arm] = chosen
        test = metrics.filter((pl.col("round") == chosen) & (pl.col("fold") == TEST))
        counts = COUNTS if arm == ARMS[0] else ()
        table = table.join(
            test.select("task", *counts, *(pl.col(name).alias(column(arm, name)) for name in METRICS)), on="task", maintain_order="left"
        )
    table = table.filter(enough(per_class))
    table = table.with_columns(riptop(FEDERATED).alias("riptop"))
    first = ["partner", "task", "group", "threshold", *COUNTS]
    return table.select(*first, pl.exclude(first)), rounds


def arm_metrics(run: Path, name: str) -> dict[str, pl.DataFrame]:
    """Each arm's saved metrics on one partner's tasks, under that partner's own task numbers."""
    pooled = read_metrics(run / POOLED)
    if len(pooled):
        merged = Dataset.open(PartnerFolder(run / POOLED).dataset).tasks.filter(pl.col("partner") == name).sort("task")
        numbers = merged.select("task", pl.int_range(pl.len(), dtype=pl.Int32).alias("own"))
        pooled = pooled.join(numbers, on="task", maintain_order="left").with_columns(pl.col("own").alias("task")).drop("own")
    return {
        LOCAL: read_metrics(run / LOCAL / name),
        FEDERATED: read_metrics(run / "partners" / name),
        UNGUARDED: read_metrics(run / UNGUARDED / name),
        POOLED: pooled,
    }
