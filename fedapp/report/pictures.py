"""Which charts a run gets, with their titles, legends and descriptions in words."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from fedapp.evaluation.arms import AUC_PR, DRAWN, FEDERATED, LOCAL, POOLED
from fedapp.evaluation.selection import validation_curve
from fedapp.report import charts
from fedapp.report.saved_run import SavedRun
from fedapp.report.summary import Interval, Summary, gain_by_size
from fedapp.wording import MINUS, percent, plural, score, signed

PARTNERS_DRAWN = 40


@dataclass(frozen=True)
class Mark:
    """One entry of a legend: label, CSS variable of the colour, SVG dash pattern."""

    label: str
    colour: str
    dash: str = ""


@dataclass(frozen=True)
class Picture:
    """A chart with what stands around it."""

    title: str
    svg: str
    caption: str
    legend: tuple[Mark, ...] = ()


ARM_MARKS = {
    LOCAL: Mark("local only", "--local", "6 3"),
    FEDERATED: Mark("federated", "--federated"),
    POOLED: Mark("pooled", "--pooled", "1.5 2.5"),
}


def pictures(run: SavedRun, summary: Summary) -> dict[str, list[Picture]]:
    """Charts by section of the page: learning, gains, partners; a chart without data is left out."""
    sections: dict[str, list[Picture]] = {"learning": learning(run, summary), "gains": [], "partners": []}
    if summary.judged.is_empty():
        return sections
    if summary.compares:
        sections["gains"] = [gains(summary), riptop(summary), scatter(summary), *by_size(summary)]
        sections["partners"] = by_partner(summary)
    else:
        sections["gains"] = [scores(summary), above_guessing(summary)]
    return sections


def learning(run: SavedRun, summary: Summary) -> list[Picture]:
    """Validation curves of the arms and the partners' losses."""
    pictures = []
    curves = {arm: validation_curve(run.arms[arm].metrics, run.minimum, AUC_PR) for arm in DRAWN if arm in run.arms}
    curves = {arm: curve for arm, curve in curves.items() if curve}
    if curves:
        ends = [f"{arm} from {score(curve[min(curve)])} to {score(curve[max(curve)])}" for arm, curve in curves.items()]
        alt = f"Line chart of mean validation AUC-PR over rounds: {'; '.join(ends)}."
        caption = (
            f"Mean over all partners' tasks with {run.minimum} of each class in the validation fold. Open marks: the rounds that partners "
            "selected on this fold, larger where more chose the same."
        )
        chart = charts.validation_curves(curves, summary.selected, alt)
        pictures.append(Picture("Validation AUC-PR by round", chart, caption, tuple(ARM_MARKS[arm] for arm in curves)))
    arm = run.arms.get("federated")
    if arm is not None and len(arm.losses.drop_nulls("loss")):
        pictures.append(loss(arm.losses.drop_nulls("loss"), run.partners))
    return pictures


def loss(losses: pl.DataFrame, partners: tuple[str, ...]) -> Picture:
    """The federated arm's training loss."""
    first, last = (
        losses.filter(pl.col("round") == edge)["loss"].to_numpy().mean() for edge in (losses["round"].min(), losses["round"].max())
    )
    means = f"mean {score(float(first))} at first, {score(float(last))} at last"
    alt = f"Line chart of training loss of {plural(len(partners), 'partner')}: {means}."
    marks: tuple[Mark, ...] = (Mark(plural(len(partners), "partner"), "--muted"),)
    if len(partners) <= len(charts.SERIES):
        marks = tuple(
            Mark(charts.short(name, 28), f"--series-{index}", "7 2.5" if index % 2 else "") for index, name in enumerate(partners)
        )
    caption = "Federated arm, mean over each partner's own compounds while it trains. Levels differ with tasks and class balance."
    return Picture("Training loss by partner", charts.loss_curves(losses, partners, alt), caption, marks)


def gains(summary: Summary) -> Picture:
    """How gains spread over tasks."""
    values = summary.judged["gain"].to_numpy()
    mean = summary.gain or Interval(float(values.mean()))
    median, improved = signed(float(np.median(values))), percent(summary.improved)
    alt = f"Histogram of the gain of {plural(len(values), 'task')}: mean {signed(mean.value)}, median {median}, {improved} above zero."
    caption = f"Median {median}. The bar over the columns is the 95 % interval of the mean; the outermost columns hold everything beyond."
    legend = (Mark("improved", "--federated"), Mark("worse", "--worse"))
    return Picture("Distribution of gains", charts.gain_histogram(values, mean, alt), caption, legend)


def riptop(summary: Summary) -> Picture:
    """Which share of tasks came how much nearer to perfect, by arm."""
    columns = {"federated": summary.judged["riptop"], "pooled": summary.judged["pooled_riptop"]}
    values = {arm: column.drop_nulls().to_numpy() for arm, column in columns.items() if column.drop_nulls().len()}
    if not values:
        values = {"federated": np.zeros(1)}
    medians = "; ".join(f"{arm} median {signed(float(np.median(column)))}" for arm, column in values.items())
    alt = f"Cumulative share of tasks by RIPtoP: {medians}."
    caption = (
        f"RIPtoP = (arm {MINUS} local) / (1 {MINUS} local). Right of zero is better than local. "
        f"Federated: mean {signed(summary.riptop_mean)}, median {signed(summary.riptop_median)}."
    )
    return Picture("Improvement towards perfect", charts.riptop_steps(values, alt), caption, tuple(ARM_MARKS[arm] for arm in values))


def scatter(summary: Summary) -> Picture:
    """Every task with and without the federation."""
    local, federated = summary.judged["local_auc_pr"].to_numpy(), summary.judged["federated_auc_pr"].to_numpy()
    above = percent(float((federated > local).mean()))
    alt = f"Scatter plot of federated against local test AUC-PR, {plural(len(local), 'task')}, {above} above the diagonal."
    chart = charts.score_scatter("pairs", local, federated, ("test AUC-PR, local only", "test AUC-PR, federated"), alt)
    return Picture("Local against federated", chart, "One dot a task. Above the line: better with the federation.")


def by_size(summary: Summary) -> list[Picture]:
    """Who gains, small tasks or large ones."""
    parts = gain_by_size(summary.judged)
    if not parts:
        return []
    rows = [(f"{low:,} – {high:,}", {"federated": gain}) for low, high, _, gain in parts]
    alt = "Mean gain by task size: " + "; ".join(f"{low:,} to {high:,} labels {signed(gain.value)}" for low, high, _, gain in parts) + "."
    caption = "Tasks in four equal groups by their number of labels in all folds, with 95 % intervals."
    chart = charts.interval_rows("sizes", rows, "mean gain in test AUC-PR, federated − local", alt)
    return [Picture("Gain by number of labels", chart, caption)]


def by_partner(summary: Summary) -> list[Picture]:
    """Mean gain of each partner."""
    gaining = [(partner.name, {"federated": partner.gain}) for partner in summary.partners if partner.gain is not None][:PARTNERS_DRAWN]
    if not gaining:
        return []
    alt = "Mean gain by partner: " + "; ".join(f"{name} {signed(marks['federated'].value)}" for name, marks in gaining) + "."
    chart = charts.interval_rows("partners", gaining, "mean gain in test AUC-PR, federated − local", alt)
    return [
        Picture(
            "Mean gain by partner",
            chart,
            "With 95 % intervals over the partner's own tasks. Right of zero: the partner gains from taking part.",
        )
    ]


def scores(summary: Summary) -> Picture:
    """How test scores spread over tasks, of a run without other arms."""
    values = summary.judged["federated_auc_pr"].to_numpy()
    mean, median = score(float(values.mean())), score(float(np.median(values)))
    alt = f"Histogram of test AUC-PR of {plural(len(values), 'task')}: mean {mean}, median {median}."
    return Picture("Test AUC-PR by task", charts.score_histogram(values, alt), f"Median {median}.")


def above_guessing(summary: Summary) -> Picture:
    """Every task against the share of actives, which guessing gives."""
    prevalence, values = summary.judged["prevalence"].to_numpy(), summary.judged["federated_auc_pr"].to_numpy()
    above = percent(float((values > prevalence).mean()))
    tasks = plural(len(values), "task")
    alt = f"Scatter plot of test AUC-PR against the share of actives, {tasks}, {above} above the diagonal, which is guessing."
    chart = charts.score_scatter("guessing", prevalence, values, ("share of actives in the test fold", "test AUC-PR"), alt)
    return Picture("Against guessing", chart, f"One dot a task. The line is guessing: {above} of tasks lie above it.")
