"""Compares the arms of a run from what each said of the partners' labels (`scores.parquet`); nothing is trained here.

run/comparison.json       all means, gains and intervals
run/comparison.parquet    one row a task of a partner, with all metrics of all arms; `counts` says whether it is in the means
run/breakdown.parquet     figures of each arm by similarity, partner size, labels and holders (`fedapp.evaluation.comparison.BREAKDOWN`)
run/breakdown.csv         the same
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fedapp.config import Config
from fedapp.data.dataset import Dataset
from fedapp.data.merge import TASK_KEY
from fedapp.data.task_kinds import AUXILIARY, KIND, completed
from fedapp.errors import RunError
from fedapp.evaluation.arms import COMBINED, CONSTANT, COUNTS, FEDERATED, FOREST, KINDS, LOCAL, LOCAL_TWICE, MERGED, POOLED, UNGUARDED
from fedapp.evaluation.combination import combine, mean_scores
from fedapp.evaluation.comparison import breakdown, figures, gains, riptop, task_metrics_of_arms
from fedapp.evaluation.counting import enough
from fedapp.evaluation.scores import LABEL, read_scores
from fedapp.evaluation.selection import TEST, best_round, read_metrics
from fedapp.evaluation.similarity import nearest_similarity, quarters
from fedapp.partner_folder import PartnerFolder
from fedapp.storage.files import atomic_path
from fedapp.storage.json_file import write_sealed
from fedapp.storage.sealed_table import write_table
from simulation.arms import SECOND
from simulation.baselines import constant_scores

MOST_HOLDERS = 4  # more are taken together


@dataclass(frozen=True)
class Compared:
    """One partner in all arms.

    Attributes:
        tasks: Every task: partner, task, group, threshold, kind, auxiliary, counts, `COUNTS` (test fold), labels (all folds), partner_size
            (its training compounds), then each arm's figures, and riptop.
        labels: What every arm says of each label: partner, fold, row, task, value, censor, then outputs by arm.
        kinds: Kinds of its tasks, as `metrics_of` takes them.
        similarity: Of each row, to the partner's training compounds; NaN for those in no test fold.
        selected: Arm to the round that its validation fold chose.
        choice: Kind of task to what the combined arm is.
    """

    tasks: pl.DataFrame
    labels: pl.DataFrame
    kinds: Mapping[Any, NDArray[np.bool_]]
    similarity: np.ndarray
    selected: dict[str, int]
    choice: dict[str, str]


def compare_arms(run: Path, config: Config) -> dict[str, Any]:
    """Compare the arms of a run on the test fold, each at the round that the validation fold chose for that partner.

    A task counts if it has `evaluation.min_per_class` of each class in the test fold, or twice as many exact values, and is not trained on
    for the others' sake alone.

    Returns:
        The `figures` and `gains` of all tasks that count, and "partners": figures of each, with the selected rounds and the "choice" of
        its combined model.
    Raises:
        RunError: An arm has no scores, or no task counts.
    """
    names = sorted(path.name for path in (run / "partners").glob("*") if PartnerFolder(path).dataset.is_dir())
    if not names:
        raise RunError(f"{run} has no partners", "run the federation first")
    per_class, compared = config.evaluation.min_per_class, {name: compare_partner(run, name, config) for name in names}
    tasks = with_holders(pl.concat(each.tasks for each in compared.values()))
    labels = pl.concat(each.labels for each in compared.values())
    counted = tasks.filter("counts")
    if counted.is_empty():
        raise RunError(
            f"no task has {per_class} actives and as many inactives in the test fold", "lower evaluation.min_per_class or use more data"
        )
    summary = figures(counted, labels) | gains(counted)
    summary["partners"] = {
        name: {"selected": each.selected, "choice": each.choice, **figures(own, each.labels)}
        for name, each in compared.items()
        if len(own := counted.filter(pl.col("partner") == name))
    }
    kinds = [kind for kind in KINDS if (counted[KIND] == kind).any()]
    of_tasks = [part for kind in kinds for part in by_task(kind, counted.filter(pl.col(KIND) == kind), labels)]
    table = pl.concat([*of_tasks, *(by_similarity(kind, compared, per_class) for kind in kinds)])
    write_table(run / "comparison.parquet", tasks)
    write_table(run / "breakdown.parquet", table)
    with atomic_path(run / "breakdown.csv") as temporary:
        table.write_csv(temporary)
    write_sealed(run / "comparison.json", summary)
    return summary


def compare_partner(run: Path, name: str, config: Config) -> Compared:
    """Judge all arms on one partner's labels.

    Raises:
        RunError: An arm has no scores.
    """
    dataset = Dataset.open(PartnerFolder(run / "partners" / name).dataset)
    scores, choice = scores_of_arms(run, name, dataset, config)
    labels = scores[LOCAL].select(pl.lit(name).alias("partner"), *LABEL, "value", "censor")
    for arm, own in scores.items():
        labels = labels.join(own.select(*LABEL, pl.col("output").alias(arm)), on=LABEL, how="left", maintain_order="left")
        if labels[arm].has_nulls():
            raise RunError(f"the {arm} arm of {name} has no score of some of its labels", "it is of other data: start a new run")
    per_class, training = config.evaluation.min_per_class, dataset.rows_in(config.training_folds())
    counts = np.bincount(dataset.labels.tasks, minlength=len(dataset.tasks))
    sizes = pl.Series("labels", counts), pl.lit(len(training)).alias("partner_size")
    known = completed(dataset.tasks).select(pl.lit(name).alias("partner"), "task", "group", "threshold", KIND, AUXILIARY, *sizes)
    table = known.join(task_metrics_of_arms(labels, dataset.kinds), on="task", maintain_order="left")
    counted = enough(per_class) & ~pl.col(AUXILIARY)
    table = table.with_columns(counted.alias("counts"), riptop(FEDERATED).alias("riptop"))
    first = ["partner", "task", "group", "threshold", KIND, AUXILIARY, "counts", *COUNTS, "labels", "partner_size"]
    similarity, tested = np.full(len(dataset.folds), np.nan), dataset.rows_in([config.held_out_folds()[TEST]])
    similarity[tested] = nearest_similarity(dataset.fingerprints(tested), dataset.fingerprints(training), dataset.bits)
    return Compared(table.select(*first, pl.exclude(first)), labels, dataset.kinds, similarity, selected_rounds(run, name, config), choice)


def scores_of_arms(run: Path, name: str, dataset: Dataset, config: Config) -> tuple[dict[str, pl.DataFrame], dict[str, str]]:
    """What each arm says of one partner's labels; and which model the combined arm took for each kind of task."""
    own = {arm: partner_scores(arm, name, folder) for arm, folder in own_folders(run, name).items()}
    twice = mean_scores([own[LOCAL], partner_scores(LOCAL_TWICE, name, run / SECOND / name)])
    combined = combine(own[FEDERATED], own[LOCAL], dataset.kinds, config.evaluation.min_per_class)
    pooled = {arm: pooled_scores(run / arm, arm, dataset, own[LOCAL]) for arm in (POOLED, MERGED)}
    constant = {CONSTANT: constant_scores(dataset, config)}
    return own | {LOCAL_TWICE: twice, COMBINED: combined.scores} | pooled | constant, combined.choice


def own_folders(run: Path, name: str) -> dict[str, Path]:
    """Where those arms lie that hold a model, or forests, of each partner; the unguarded one where it was trained."""
    own = PartnerFolder(run / "partners" / name)
    folders = {LOCAL: own.local, FEDERATED: own.path, FOREST: run / FOREST / name}
    return folders | ({UNGUARDED: run / UNGUARDED / name} if (run / UNGUARDED).is_dir() else {})


def partner_scores(arm: str, name: str, folder: Path) -> pl.DataFrame:
    """Scores in a folder.

    Raises:
        RunError: There are none.
    """
    if not PartnerFolder(folder).scores.is_file():
        raise RunError(f"the {arm} arm of {name} has no scores in {folder}", "finish the run with --resume")
    return read_scores(PartnerFolder(folder).scores)


def pooled_scores(folder: Path, arm: str, own: Dataset, labels: pl.DataFrame) -> pl.DataFrame:
    """What a model of all partners' data says of one partner's labels, under that partner's own numbers of compounds and tasks.

    Args:
        labels: Scores of another arm, of which all but the outputs is taken.
    """
    scores, pooled = partner_scores(arm, own.name, folder), Dataset.open(PartnerFolder(folder).dataset)
    places = pl.DataFrame({"smiles": pooled.smiles()}).with_row_index("pooled_row")
    rows = pl.DataFrame({"smiles": own.smiles()}).with_row_index("row").join(places, on="smiles").select("row", "pooled_row")
    if arm == POOLED:
        numbers = pooled.tasks.filter(pl.col("partner") == own.name).sort("task")["task"]
        tasks = own.tasks.select("task", numbers.alias("pooled_task"))
    else:
        numbers_by_key = completed(pooled.tasks).select(*TASK_KEY, pl.col("task").alias("pooled_task"))
        tasks = completed(own.tasks).join(numbers_by_key, on=TASK_KEY, nulls_equal=True).select("task", "pooled_task")
    said = scores.select("fold", pl.col("row").alias("pooled_row"), pl.col("task").alias("pooled_task"), "output")
    placed = labels.drop("output").join(rows.cast(pl.Int32), on="row").join(tasks.cast(pl.Int32), on="task")
    return placed.join(said, on=["fold", "pooled_row", "pooled_task"]).drop("pooled_row", "pooled_task")


def selected_rounds(run: Path, name: str, config: Config) -> dict[str, int]:
    """Arm to the round that the validation fold chose, a partner's own or that of all pooled data, of those arms that have rounds."""
    folders = {arm: folder for arm, folder in own_folders(run, name).items() if arm != FOREST} | {
        arm: run / arm for arm in (POOLED, MERGED)
    }
    chosen = {arm: best_round(read_metrics(folder), config.evaluation.min_per_class) for arm, folder in folders.items()}
    return {arm: number for arm, number in chosen.items() if number is not None}


def with_holders(tasks: pl.DataFrame) -> pl.DataFrame:
    """With a column `holders`: how many partners have a task of the same group."""
    holders = pl.col("partner").n_unique().over("group").cast(pl.Int32).alias("holders")
    place = tasks.columns.index("partner_size") + 1
    return tasks.with_columns(holders).select(*tasks.columns[:place], "holders", *tasks.columns[place:])


def by_task(kind: str, counted: pl.DataFrame, labels: pl.DataFrame) -> list[pl.DataFrame]:
    """Figures by what tasks of a kind differ in: partners in quarters by size, tasks in quarters by labels, and by holders of the
    endpoint."""
    sizes = counted.select("partner", "partner_size").unique().sort("partner_size", "partner")
    quarter = dict(zip(sizes["partner"], np.arange(len(sizes)) * 4 // max(len(sizes), 1), strict=True))
    places = {
        "partner_size": counted["partner"].replace_strict(quarter, return_dtype=pl.Int64).to_numpy(),
        "labels": quarters(counted["labels"].to_numpy()),
        "holders": np.minimum(counted["holders"].to_numpy(), MOST_HOLDERS),
    }
    tables = []
    for name, place in places.items():
        parts = []
        for number in np.unique(place):
            part = counted.filter(pl.Series(place == number))
            values = part[name].to_numpy()
            parts.append((part, labels, float(values.min()), float(values.max())))
        tables.append(breakdown(kind, name, parts))
    return tables


def by_similarity(kind: str, compared: Mapping[str, Compared], per_class: int) -> pl.DataFrame:
    """Figures of tasks of a kind on quarters of each partner's test compounds by similarity to its training compounds.

    In a quarter a task counts if it has `enough` labels there.
    """
    parts = []
    places = {name: quarters(each.similarity[np.isfinite(each.similarity)]) for name, each in compared.items()}
    for number in range(4):
        tasks, labels, values = [], [], [np.empty(0)]
        for name, each in compared.items():
            rows = np.flatnonzero(np.isfinite(each.similarity))[places[name] == number]
            there = each.labels.filter(pl.col("row").is_in(rows.tolist()) | (pl.col("fold") != TEST))
            own = {held: of_kind for held, of_kind in each.kinds.items() if held.name == kind}
            if not own:
                continue
            table = each.tasks.select("partner", "task", "group", KIND, AUXILIARY).join(
                task_metrics_of_arms(there, own), on="task", maintain_order="left"
            )
            tasks.append(table.filter(enough(per_class) & ~pl.col(AUXILIARY)))
            labels.append(there)
            values.append(each.similarity[rows])
        every = np.concatenate(values)
        bounds = (float(every.min()), float(every.max())) if len(every) else (0.0, 0.0)
        parts.append((pl.concat(tasks), pl.concat(labels), *bounds))
    return breakdown(kind, "similarity", parts)
