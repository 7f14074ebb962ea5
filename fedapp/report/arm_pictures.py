"""How good the arms are, what each gains over training alone, and how far predictions can be trusted."""

import numpy as np
import polars as pl

from fedapp.evaluation.arms import ARMS, AUC_PR, CONFORMAL, CONSTANT, LABELS, LOCAL, RMSE, column
from fedapp.evaluation.intervals import mean_interval
from fedapp.report import charts
from fedapp.report.charts import Row
from fedapp.report.kind_summary import KindSummary
from fedapp.report.pictures import OVER_TASKS, Picture, explained_score, score_of
from fedapp.wording import percent, plural, score, signed

CLEAR, CLEAR_ERROR = CONFORMAL[2], "10 %"  # efficiency at the larger of both error rates


def arm_pictures(kind: KindSummary) -> list[Picture]:
    """Of runs with several arms: means, gains, errors in the unit, clear answers."""
    if LOCAL not in kind.scores:
        return []
    return [means(kind), *gains(kind), *errors(kind), *clear_answers(kind)]


def means(kind: KindSummary) -> Picture:
    """Mean score of every arm."""
    rows = [Row(LABELS[arm], ((arm, interval),), score(interval.value)) for arm, interval in kind.scores.items()]
    told = "; ".join(f"{LABELS[arm]} {score(interval.value)}" for arm, interval in kind.scores.items())
    title = f"{score_of(kind)} of every arm"
    chart = charts.interval_rows(
        f"means-{kind.kind}", rows, f"mean test {score_of(kind)}, higher is better", f"{title}: {told}.", zero=False
    )
    caption = (
        f"{explained_score(kind)}. Dot: mean over {plural(len(kind.tasks), 'task')}; bar: its {OVER_TASKS}. Tasks are hard or easy for all "
        "arms alike, so bars overlap even where one arm is surely better: gains say which."
    )
    return Picture(title, chart, caption)


def gains(kind: KindSummary) -> list[Picture]:
    """How far every arm is above training alone; a constant is so far below that it would hide the rest."""
    shown = {arm: gain for arm, gain in kind.gains.items() if arm != CONSTANT}
    if not shown:
        return []
    rows = [Row(LABELS[arm], ((arm, gain),), signed(gain.value)) for arm, gain in shown.items()]
    told = "; ".join(f"{LABELS[arm]} {signed(gain.value)}" for arm, gain in shown.items())
    title = "Gain over training alone"
    label = f"mean gain in test {score_of(kind)} over local only"
    chart = charts.interval_rows(f"gains-{kind.kind}", rows, label, f"{title} in mean {score_of(kind)}: {told}.")
    return [Picture(title, chart, f"The same tasks and compounds in both; bar: {OVER_TASKS}. Right of zero: better than local only.")]


def errors(kind: KindSummary) -> list[Picture]:
    """Of values, the error in each unit."""
    pictures = []
    for number, (unit, arms) in enumerate(kind.errors.items()):
        known = {arm: figures[RMSE] for arm, figures in arms.items() if RMSE in figures}
        rows = [Row(LABELS[arm], ((arm, interval),), score(interval.value)) for arm, interval in known.items()]
        told = "; ".join(f"{LABELS[arm]} {score(interval.value)}" for arm, interval in known.items())
        title = f"Error of predicted values, in {in_words(unit)}"
        label = f"mean RMSE in {in_words(unit)}, lower is better"
        if rows:
            chart = charts.interval_rows(f"errors-{number}", rows, label, f"{title}: {told}.", zero=False)
            pictures.append(Picture(title, chart, f"Root mean square error on exact values, mean over tasks; bar: {OVER_TASKS}."))
    return pictures


def in_words(unit: str) -> str:
    """A unit beside a number."""
    return "units of p (powers of ten)" if unit == "p" else unit


def clear_answers(kind: KindSummary) -> list[Picture]:
    """Of classes, for how many compounds exactly one class is left."""
    rows = []
    for arm in (arm for arm in ARMS if arm != CONSTANT):  # which never rules out a class
        name = column(arm, CLEAR)
        if kind.metric == AUC_PR and name in kind.tasks.columns and kind.tasks[name].is_not_null().any():
            interval = mean_interval(kind.tasks.filter(pl.col(name).is_not_null()), name)
            rows.append(Row(LABELS[arm], ((arm, interval),), percent(interval.value)))
    if not rows:
        return []
    title = "Compounds with a clear answer"
    told = "; ".join(f"{row.label} {row.note}" for row in rows)
    label = f"compounds left with one class, at most {CLEAR_ERROR} wrong"
    chart = charts.interval_rows("clear", rows, label, f"{title} at an error rate of {CLEAR_ERROR}: {told}.", zero=False, percent=True)
    caption = (
        "Conformal prediction, calibrated on the validation fold for each task and class: how many test compounds keep one class only, "
        f"if at most {CLEAR_ERROR} of each class may be told wrong. The others keep both or none: measure those. Bar: {OVER_TASKS}."
    )
    return [Picture(title, chart, caption)]


def lone_pictures(kind: KindSummary) -> list[Picture]:
    """Of a run of the federated arm alone: how scores spread over tasks, and of classes how far they are above guessing."""
    name = column(kind.main or "", kind.metric)
    if name not in kind.tasks.columns:
        return []
    values = kind.tasks[name].to_numpy()
    mean, median, tasks = score(float(values.mean())), score(float(np.median(values))), plural(len(values), "task")
    alt = f"Histogram of test {score_of(kind)} of {tasks}: mean {mean}, median {median}."
    chart = charts.score_histogram(f"scores-{kind.kind}", values, f"test {score_of(kind)}", alt)
    pictures = [Picture(f"Test {score_of(kind)} by task", chart, f"{explained_score(kind)}. Median {median}.")]
    if "prevalence" not in kind.tasks.columns:
        return pictures
    prevalence = kind.tasks["prevalence"].to_numpy()
    above = percent(float((values > prevalence).mean()))
    alt = f"Scatter plot of test AUC-PR against the share of actives, {tasks}, {above} above the diagonal, which is guessing."
    chart = charts.score_scatter("guessing", prevalence, values, ("share of actives in the test fold", "test AUC-PR"), alt)
    return [*pictures, Picture("Against guessing", chart, f"One dot a task. The line is guessing: {above} of tasks lie above it.")]
