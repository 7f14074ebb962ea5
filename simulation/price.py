"""What settings of privacy cost in quality: one experiment as it is, and with each of some changes, for the same partners and folds.

Masks change no sum, so federations are trained without them, in this process's workers. Each partner's own model, which such settings do
not touch, is trained once; with it, the validation fold makes each federation's combined models.

run/price/settings.json         the changes, a list of `key=value` for each federation; that of the first is empty
run/price/<number>/<partner>/   scores of one federation's partners; in `alone`, of their own models
run/price/<number>.json         what was in its sum; once it is there, that federation is not trained again
run/price.json                  all figures
"""

import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import as_completed
from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars as pl

from fedapp.config import Config, changed
from fedapp.data.dataset import Dataset
from fedapp.data.task_kinds import AUXILIARY, completed
from fedapp.errors import ConfigError, RunError
from fedapp.evaluation.arms import AUC_PR, COMBINED, FEDERATED
from fedapp.evaluation.combination import combine
from fedapp.evaluation.counting import enough
from fedapp.evaluation.intervals import mean_interval
from fedapp.evaluation.scores import metrics_of, read_scores
from fedapp.evaluation.selection import TEST, VALIDATION
from fedapp.partner_folder import PartnerFolder
from fedapp.run_folder import RunFolder
from fedapp.storage.json_file import ValueType, read_sealed, write_json, write_sealed
from fedapp.wording import plural
from simulation.arms import train_alone, without_catalogue
from simulation.experiment import Display, recorded
from simulation.federation import federate
from simulation.preparation import prepare_partners
from simulation.workers import processes

ALONE, SECTION = "alone", "privacy."
AGAIN = "remove it: this federation is then trained anew"
IN_SUM: dict[str, ValueType] = {"rows": int, "shared_heads": int}
Settings = Sequence[str]  # of one federation, as `key=value`


def check_changes(config: Config, changes: Sequence[Settings]) -> None:
    """See that each change is one of privacy, which leaves data and partners' own models as they are.

    Raises:
        ConfigError: It is not, or its value is not allowed; or there is none.
    """
    if not changes:
        raise ConfigError(
            "no setting is given whose price is asked", "name some, such as --with privacy.row_guard=0; --with can be repeated"
        )
    for settings in changes:
        for words in settings:
            if not words.startswith(SECTION):
                raise ConfigError(f"{words!r:.60} is no setting of privacy", "change the experiment itself by KEY=VALUE without --with")
        changed(config, settings)


def begin(run: RunFolder, changes: Sequence[Settings]) -> None:
    """Note the changes of a new run, beside the experiment as it is, which they are held against."""
    (run.path / "price").mkdir()
    write_sealed(run.path / "price" / "settings.json", {"settings": [[], *map(list, changes)]})


def price(run: RunFolder, display: Display) -> dict[str, Any]:
    """Run or resume all federations of a run folder, a process on each processor.

    Returns:
        federations: of each its settings, rows and shared_heads in the sum, and for both folds, validation and test: mean AUC-PR of its
        federated and combined models, and "price", {value, low, high} of how much higher the combined mean is than without the
        settings, with a 95 % bootstrap interval over tasks; None for the first. alone: mean AUC-PR of partners' own models in both folds.
        name, seed, tasks (that count in the test fold), run, seconds.
    Raises:
        PolyphonyError: Whatever the user can put right.
    """
    with recorded(run), processes() as workers:
        config, datasets = run.config(), prepare_partners(run, display.stage, display.advance_preparation)
        folder, where = run.path / "price", {name: dataset.directory for name, dataset in datasets.items()}
        settings = read_sealed(folder / "settings.json", {"settings": list}, "start a new run")["settings"]
        configs = {str(number): changed(config, words) for number, words in enumerate(settings)} | {ALONE: config}
        missing = [name for name in configs if not (folder / f"{name}.json").is_file()]
        jobs = [workers.submit(train, configs[name], where, folder / name) for name in missing]
        display.stage(f"training {plural(len(jobs), 'federation')}")
        for done, each in enumerate(as_completed(jobs), 1):
            each.result()
            display.stage(f"training {plural(len(jobs), 'federation')}: {done} done")
    tasks = task_figures(folder, datasets, len(settings), config)
    federations = [
        {"settings": words, **read_sealed(folder / f"{number}.json", IN_SUM, AGAIN)}
        | {fold: figures(tasks.filter(pl.col("fold") == fold), number) for fold in (VALIDATION, TEST)}
        for number, words in enumerate(settings)
    ]
    alone = {fold: float(tasks.filter(pl.col("fold") == fold)[ALONE].to_numpy().mean()) for fold in (VALIDATION, TEST)}
    told = {"name": config.name, "seed": config.seed, "tasks": len(tasks.filter(pl.col("fold") == TEST)), "alone": alone}
    result = told | {"federations": federations}
    write_json(run.path / "price.json", result)
    return result | {"run": str(run.path), "seconds": run.status()["seconds"]}


def train(config: Config, where: Mapping[str, Path], folder: Path) -> None:
    """Train one federation, or each partner alone, and keep their scores; in a process of its own."""
    shutil.rmtree(folder, ignore_errors=True)
    datasets, in_sum = {partner: Dataset.open(path) for partner, path in where.items()}, dict.fromkeys(IN_SUM, 0)
    if folder.name == ALONE:
        for partner, dataset in datasets.items():
            for _ in train_alone(ALONE, folder / partner, dataset, without_catalogue(config)):
                pass
    else:
        listed = federate(datasets, config, folder)
        rows = int(listed[: config.chemistry.bits].sum())
        in_sum = {"rows": rows, "shared_heads": int(listed.sum()) - rows}
    for partner in datasets:
        shutil.rmtree(PartnerFolder(folder / partner).states, ignore_errors=True)
    write_sealed(folder.with_name(f"{folder.name}.json"), in_sum)


def task_figures(folder: Path, datasets: Mapping[str, Dataset], count: int, config: Config) -> pl.DataFrame:
    """AUC-PR of each task of classes that counts, in both folds: partner, group, fold, `ALONE`, then of each of `count` federations
    `federated-<number>` and `combined-<number>`.

    Raises:
        RunError: No task counts.
    """
    least, tables = config.evaluation.min_per_class, []
    for partner, dataset in datasets.items():
        own = read_scores(PartnerFolder(folder / ALONE / partner).scores)
        scores = {ALONE: own}
        for number in range(count):
            federated = read_scores(PartnerFolder(folder / str(number) / partner).scores)
            combined = combine(federated, own, dataset.kinds, least).scores
            scores |= {f"{FEDERATED}-{number}": federated, f"{COMBINED}-{number}": combined}
        known = completed(dataset.tasks).filter(~pl.col(AUXILIARY)).select("task", "group", pl.lit(partner).alias("partner"))
        counted = metrics_of(own, dataset.kinds).filter(enough(least)).select("fold", "task").join(known, on="task")
        for name, table in scores.items():
            judged = metrics_of(table, dataset.kinds).select("fold", "task", pl.col(AUC_PR).alias(name))
            counted = counted.join(judged, on=["fold", "task"], maintain_order="left")
        tables.append(counted.drop_nulls())
    every = pl.concat(tables)
    if every["fold"].n_unique() < 2:
        raise RunError(
            f"no task has {least} actives and as many inactives in a held-out fold", "lower evaluation.min_per_class or use more data"
        )
    return every


def figures(tasks: pl.DataFrame, number: int) -> dict[str, Any]:
    """Of one federation in one fold: federated, combined, price."""
    means = {arm: float(tasks[f"{arm}-{number}"].to_numpy().mean()) for arm in (FEDERATED, COMBINED)}
    lost = pl.col(f"{COMBINED}-{number}") - pl.col(f"{COMBINED}-0")
    return means | {"price": asdict(mean_interval(tasks, lost)) if number else None}
