"""What arms say of the same tasks: all of them where `polyphony compare` was run, else those that each partner has at home anyway.

A partner trains a model of its own beside the federated one, and its validation fold chooses between them: so what the federation gained
is known at each partner, from its own files, without any further training.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from fedapp.data.task_kinds import tasks_by_kind
from fedapp.errors import PolyphonyError, RunError
from fedapp.evaluation.arms import COMBINED, FEDERATED, KINDS, LOCAL
from fedapp.evaluation.combination import Combination, combine
from fedapp.evaluation.comparison import BREAKDOWN, arms_in, task_metrics_of_arms
from fedapp.evaluation.scores import LABEL, read_scores
from fedapp.partner_folder import PartnerFolder
from fedapp.report.saved_files import read_optional, read_table
from fedapp.storage.damage import RESTORE

COMPARED = ("partner", "task", "group", "threshold", "positives", "negatives")
FACTS = ("partner", "task", "group", "threshold", "kind", "auxiliary")
HOLDERS, LABELS, PARTNER_SIZE, SIMILARITY = BY = ("holders", "labels", "partner_size", "similarity")


@dataclass(frozen=True)
class SavedComparison:
    """Figures of arms, on the test fold, each at the round that the validation fold chose.

    Attributes:
        tasks: A row for each task of a partner, of those that count at least: `COMPARED`, then <arm>_<metric>.
        arms: Arm to its mean figures as the run saved them; of what it saved none, none.
        choices: Partner to kind of task to which model predicts (`fedapp.evaluation.combination`).
        validation: Partner to kind of task to what each model, and their mean, reached on the validation fold, where that is at hand.
        selected: Partner to arm to the round that was chosen.
        breakdown: Figures by what tasks and compounds differ in (`fedapp.evaluation.comparison.BREAKDOWN`).
        counted: Number of tasks in the saved means.
        whole: Whether all arms of `polyphony compare` are in it.
    """

    tasks: pl.DataFrame
    arms: Mapping[str, Mapping[str, Any]]
    choices: Mapping[str, Mapping[str, str]]
    validation: Mapping[str, Mapping[str, Mapping[str, float | None]]]
    selected: Mapping[str, Mapping[str, int]]
    breakdown: pl.DataFrame
    counted: int | None
    whole: bool


def read_comparison(directory: Path, problems: list[str]) -> SavedComparison | None:
    """What `polyphony compare` left in a run's folder: comparison.json, comparison.parquet and breakdown.parquet."""
    saved = read_optional(directory / "comparison.json", problems)
    tasks = read_compared(directory / "comparison.parquet", problems)
    if saved is None or tasks is None:
        return None
    breakdown = read_table(directory / "breakdown.parquet", BREAKDOWN, problems)
    partners = mapping(saved, "partners")
    counted = saved.get("tasks")
    return SavedComparison(
        tasks=tasks,
        arms={arm: mapping(saved, arm) for arm in arms_in(tasks.columns)},
        choices={name: mapping(mapping(partners, name), "choice") for name in partners},
        validation={},
        selected={name: mapping(mapping(partners, name), "selected") for name in partners},
        breakdown=pl.DataFrame(schema=BREAKDOWN) if breakdown is None else breakdown.filter(pl.col("kind").is_in(KINDS)),
        counted=int(counted) if isinstance(counted, int) else None,
        whole=True,
    )


def read_compared(path: Path, problems: list[str]) -> pl.DataFrame | None:
    """comparison.parquet, if it is there with the columns that the report needs, and any arm."""
    table = read_table(path, None, problems)
    if table is None:
        return None
    absent = sorted({*COMPARED} - set(table.columns)) or ([] if arms_in(table.columns) else ["every arm"])
    if absent:
        problems.append(f"comparison.parquet lacks {', '.join(absent)}, so the comparison is not shown.")
        return None
    return table


def compared_at_home(
    folders: Mapping[str, PartnerFolder], tasks: pl.DataFrame, minimum: int, problems: list[str]
) -> SavedComparison | None:
    """The federated, the local and the combined model of each partner, from what they said of its own labels; None if none said anything.

    Args:
        folders: Partners' own, by name.
        tasks: All partners': partner, then task, group, threshold, kind, auxiliary.
        minimum: A task has a say in the choice between models with this many of each class in the validation fold.
    """
    tables, choices, validation = [], {}, {}
    for name, folder in folders.items():
        own = tasks.filter(pl.col("partner") == name).select(FACTS).sort("task")
        if own.is_empty() or not (folder.scores.is_file() and PartnerFolder(folder.local).scores.is_file()):
            continue
        try:
            table, combination = compare_at_home(folder, own, minimum)
        except (PolyphonyError, OSError) as error:
            problems.append(f"{name}: {error}, so its own models are not compared.")
            continue
        tables.append(own.join(table, on="task", maintain_order="left"))
        choices[name], validation[name] = combination.choice, combination.validation
    if not tables:
        return None
    return SavedComparison(pl.concat(tables), {}, choices, validation, {}, pl.DataFrame(schema=BREAKDOWN), None, whole=False)


def compare_at_home(folder: PartnerFolder, tasks: pl.DataFrame, minimum: int) -> tuple[pl.DataFrame, Combination]:
    """Metrics of a partner's three models, a row for each of its tasks (`task_metrics_of_arms`); and what is combined, and why.

    Raises:
        PolyphonyError: Scores are missing, damaged, or of different labels.
    """
    federated, local = read_scores(folder.scores), read_scores(PartnerFolder(folder.local).scores)
    if len(federated) and federated["task"].to_numpy().max() >= len(tasks):
        raise RunError(f"{folder.scores} has scores of tasks that its dataset does not have", RESTORE)
    judged = ~tasks["auxiliary"].to_numpy()
    kinds = {kind: own & judged for kind, own in tasks_by_kind(tasks).items()}
    combination = combine(federated, local, kinds, minimum)
    labels = federated.select(*LABEL, "value", "censor")
    for arm, scores in ((LOCAL, local), (FEDERATED, federated), (COMBINED, combination.scores)):
        labels = labels.join(scores.select(*LABEL, pl.col("output").alias(arm)), on=LABEL, how="left", maintain_order="left")
    return task_metrics_of_arms(labels, kinds), combination


def mapping(saved: Mapping[str, Any], key: str) -> dict[str, Any]:
    """An object inside a JSON object; empty if it is none."""
    value = saved.get(key)
    return {str(name): each for name, each in value.items() if each is not None} if isinstance(value, Mapping) else {}
