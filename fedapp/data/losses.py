"""What of a partner's tables did not become labels, in words; a loss that is large is a warning."""

from typing import Any

import polars as pl

from fedapp.data.notation import LABEL_UNIT
from fedapp.evaluation.arms import COUNTS
from fedapp.wording import plural, shown

LARGE = 0.1  # share of a table, or of its labels, from which a loss is a warning
NAMED = 3  # reasons named in a warning
SEPARATORS = {";": "semicolons", "\t": "tabs"}
WITHOUT = "such as an auxiliary screen in %, which takes regression among tasks.kinds or thresholds in the assays table"
DROPPED = {  # what was lost and why, of one and of several
    "undecided": (
        ("value at a threshold", "is censored and decides no label there"),
        ("values at a threshold", "are censored and decide no label there"),
    ),
    "tied": (
        ("compound", "has as many active as inactive values in a task"),
        ("compounds", "have as many active as inactive values in a task"),
    ),
    "below quorum": (
        ("label", "is of a task with fewer actives or inactives than tasks.min_per_class"),
        ("labels", "are of tasks with fewer actives or inactives than tasks.min_per_class"),
    ),
    "bounded on both sides": (
        ("compound", "has no exact value in a task, and is bounded from below and from above"),
        ("compounds", "have no exact value in a task, and are bounded from below and from above"),
    ),
    "too few exact values": (
        ("label", "is of a task with fewer exact values than twice tasks.min_per_class"),
        ("labels", "are of tasks with fewer exact values than twice tasks.min_per_class"),
    ),
    "unused": (
        ("value", f"is of no use for tasks.kinds: a 0/1 label without classification, or a value without a threshold, {WITHOUT}"),
        ("values", f"are of no use for tasks.kinds: 0/1 labels without classification, or values without a threshold, {WITHOUT}"),
    ),
}


def taken_columns(table: dict[str, Any]) -> str:
    """Which columns of one table were taken for what, and which were not read; `table` is one of a summary's."""
    pairs = [role if role == name else f"{name} as {role}" for role, name in table["columns"].items()]
    lines = [f"read {', '.join(pairs)}"]
    if table["unit"]:
        lines.append(f"all values are {table['unit']}, as {table['columns']['value']} says")
    if table["separator"] not in ("", ","):
        lines.append(f"cells are separated by {SEPARATORS.get(table['separator'], table['separator'])}")
    lines += table["assumed"]
    if further := table.get("further"):  # not there in summaries of earlier versions
        lines.append(f"for tasks.group_by alone: {', '.join(further)}")
    if table["not_read"]:
        lines.append(f"not read: {', '.join(table['not_read'])}")
    return shown("; ".join(lines))


def table_lines(table: dict[str, Any]) -> list[str]:
    """One table's columns and counts, and an example for each reason why rows are left out."""
    lines = [f"{table['file']}: {taken_columns(table)}", f"{table['file']}: {table['accepted']:,} of {table['read']:,} rows accepted"]
    return lines + [f"  {count:>9,}  {reason} ({table['examples'][reason]})" for reason, count in table["rejected"].items()]


def further_lines(summary: dict[str, Any]) -> list[str]:
    """What else a person should know: assays that were split, parents that are not the largest part, mixtures, and the fold key."""
    sentences = {  # of one and of several
        "assays_split": (
            "assay reports several targets or types of value, and is one assay for each",
            "assays report several targets or types of value, and are one assay for each",
        ),
        "parents_against_size": (
            "structure is smaller than the counter-ion or solvent beside it",
            "structures are smaller than the counter-ion or solvent beside them",
        ),
        "mixtures": (
            "structure has another compound beside it, which is left out",
            "structures have another compound beside them, which is left out",
        ),
    }
    lines = [f"  {summary[key]:>9,}  {forms[summary[key] > 1]}" for key, forms in sentences.items() if summary.get(key)]
    digest = summary.get("fold_key_digest")
    return lines + ([f"fold key {digest}: compare it with the other partners'"] if digest else [])


def task_lines(tasks: pl.DataFrame) -> list[str]:
    """How many tasks of each kind and unit a dataset has, and their labels.

    Args:
        tasks: A dataset's table, as `fedapp.data.tasks.build_tasks` makes it.
    """
    key = ["auxiliary", "kind", "unit"]
    counted = tasks.group_by(key).agg(pl.len().alias("tasks"), pl.sum_horizontal(*COUNTS).sum().alias("labels"), pl.col("group").n_unique())
    lines = []
    for auxiliary, kind, unit, number, labels, groups in counted.sort(key).iter_rows():
        made = f"{plural(number, 'auxiliary task' if auxiliary else 'task')} of {kind}"
        told = "0/1 labels" if unit == LABEL_UNIT else f"in {unit}"
        lines.append(f"  {made}, {told}: {plural(groups, 'group')}, {plural(labels, 'label')}")
    return lines


def label_lines(header: dict[str, Any]) -> list[str]:
    """What of a dataset's values gave no label, by reason; `header` is a dataset's."""
    return [f"  {count:>9,}  {' '.join(DROPPED[reason][count > 1])}" for reason, count in header["dropped"].items() if count]


def table_warnings(summary: dict[str, Any]) -> list[str]:
    """Every table that lost more than a tenth of its rows."""
    sentences = []
    for table in summary["tables"].values():
        lost = table["read"] - table["accepted"]
        if lost > LARGE * table["read"]:
            commonest = sorted(table["rejected"].items(), key=lambda pair: -pair[1])  # a summary that was saved has them by name
            reasons = "; ".join(f"{count:,} {reason}" for reason, count in commonest[:NAMED])
            sentences.append(f"{table['file']}: {lost:,} of {table['read']:,} rows ({lost / table['read']:.0%}) are left out: {reasons}")
    return sentences


def label_warnings(header: dict[str, Any]) -> list[str]:
    """Every reason for which more than a tenth of a dataset's values, compounds or labels gave no label."""
    sentences = []
    for reason, offered in header.get("offered", {}).items():  # not there in datasets of earlier versions
        lost = header["dropped"][reason]
        (what, _), (_, why) = DROPPED[reason][offered > 1], DROPPED[reason][lost > 1]
        if lost > LARGE * offered:
            sentences.append(f"{lost:,} of {offered:,} {what} ({lost / offered:.0%}) {why}")
    return sentences
