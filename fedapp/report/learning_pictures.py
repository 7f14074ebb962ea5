"""How arms learn, round by round."""

import polars as pl

from fedapp.evaluation.arms import CHOOSING, FEDERATED, LABELS, LOCAL, POOLED, PRINTED
from fedapp.evaluation.selection import validation_curve
from fedapp.report import charts, drawing
from fedapp.report.pictures import Mark, Picture
from fedapp.report.saved_run import SavedRun
from fedapp.report.summary import Summary
from fedapp.wording import plural, score

DASHES = {LOCAL: ("--local", "6 3"), FEDERATED: ("--federated", ""), POOLED: ("--pooled", "1.5 2.5")}


def learning_pictures(run: SavedRun, summary: Summary) -> list[Picture]:
    """Validation curves of the arms for each kind of task, and the partners' losses."""
    pictures = [picture for kind in CHOOSING if (picture := validation(run, summary, kind)) is not None]
    arm = run.arms.get(FEDERATED)
    if arm is not None and len(arm.losses.drop_nulls("loss")):
        pictures.append(loss(arm.losses.drop_nulls("loss"), run.partners))
    return pictures


def validation(run: SavedRun, summary: Summary, kind: str) -> Picture | None:
    """Mean validation score of tasks of a kind by round; None where no arm has any."""
    metric = CHOOSING[kind]
    curves = {arm: validation_curve(run.arms[arm].metrics, run.minimum, metric) for arm in DASHES if arm in run.arms}
    curves = {arm: curve for arm, curve in curves.items() if curve}
    if not curves:
        return None
    ends = [f"{LABELS[arm]} from {score(curve[min(curve)])} to {score(curve[max(curve)])}" for arm, curve in curves.items()]
    title = f"Validation {PRINTED[metric]} by round"
    caption = (
        "Mean over all partners’ tasks with enough labels in the validation fold. Open marks: the rounds that partners selected on this "
        "fold, larger where more chose the same."
    )
    chart = charts.validation_curves(
        f"validation-{kind}", curves, summary.selected, f"mean validation {PRINTED[metric]}", f"{title}: {'; '.join(ends)}."
    )
    return Picture(title, chart, caption, tuple(Mark(LABELS[arm], *DASHES[arm]) for arm in curves))


def loss(losses: pl.DataFrame, partners: tuple[str, ...]) -> Picture:
    """The federated arm's training loss."""
    first, last = (
        losses.filter(pl.col("round") == edge)["loss"].to_numpy().mean() for edge in (losses["round"].min(), losses["round"].max())
    )
    means = f"mean {score(float(first))} at first, {score(float(last))} at last"
    alt = f"Line chart of training loss of {plural(len(partners), 'partner')}: {means}."
    marks: tuple[Mark, ...] = (Mark(plural(len(partners), "partner"), "--muted"),)
    if len(partners) <= len(drawing.SERIES):
        marks = tuple(
            Mark(drawing.short(name, 28), f"--series-{index}", "7 2.5" if index % 2 else "") for index, name in enumerate(partners)
        )
    caption = "Federated arm, mean over each partner’s own compounds while it trains. Levels differ with tasks and class balance."
    return Picture("Training loss by partner", charts.loss_curves(losses, partners, alt), caption, marks)
