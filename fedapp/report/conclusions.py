"""What the report concludes, in sentences."""

from collections.abc import Mapping, Sequence
from typing import Any

from fedapp.config import ENDPOINTS
from fedapp.data.notation import P_UNIT, PERCENT_UNIT
from fedapp.evaluation.arms import (
    CLASSIFICATION,
    COMBINED,
    CONSTANT,
    FEDERATED,
    LOCAL,
    LOCAL_TWICE,
    R2,
    REGRESSION,
    RMSE,
    mean_name,
    score_name,
)
from fedapp.evaluation.combination import MEAN
from fedapp.evaluation.counting import VALUES_PER_CLASS
from fedapp.evaluation.intervals import Interval
from fedapp.report.saved_run import SavedRun
from fedapp.report.summary import Summary
from fedapp.wording import DASH, NBSP, count, plural, score, signed, was_or_were
from strategies.update.round_sum import RoundSum

MODELS = {COMBINED: "combined models", FEDERATED: "federated models"}
BETTER = {LOCAL: "each partner's own model", CONSTANT: "a constant"}


def spread(interval: Interval | None) -> str:
    """The 95 % interval of a difference, or why there is none."""
    if interval is None or interval.low is None or interval.high is None:
        return "too few to say"
    return f"{signed(interval.low)} to {signed(interval.high)}"


def learned(task: Mapping[str, Any]) -> str:
    """What is learned of a task: whether a value reaches its threshold, which 0/1 labels do not have, or the value itself."""
    unit, value = task.get("unit") or P_UNIT, task["threshold"]
    if task.get("kind") == REGRESSION:
        return f"value in {unit}"
    if value is None:
        return "0/1 label"
    return f"{'value' if unit == PERCENT_UNIT else 'pX'}{NBSP}≥{NBSP}{value:g}{f'{NBSP}%' if unit == PERCENT_UNIT else ''}"


def judged_labels(task: Mapping[str, Any]) -> str:
    """A task's labels in the test fold."""
    if task["exact"] is not None:
        return plural(task["exact"], "exact value")
    return "not judged" if task["positives"] is None else f"{count(task['positives'])} / {count(task['negatives'])}"


def guard_effect(change: Interval | None, name: str) -> str | None:
    """What the row guard does to quality, by the interval of the mean difference from the unguarded arm."""
    if change is None:
        return None
    certainty = f"95{NBSP}% interval {spread(change)}" if change.low is not None else "too few tasks to say how sure that is"
    if change.sign == 0:
        return f"The row guard makes no clear difference: with it, mean {name} changes by {signed(change.value)} ({certainty})."
    return f"The row guard {'gains' if change.value > 0 else 'costs'} {score(abs(change.value))} mean {name} ({certainty})."


def clipped(sums: Sequence[RoundSum]) -> str | None:
    """How much of the updates did not fit into the range of their encoding; None where partners noted nothing."""
    if not sums:
        return None
    number, sent = sum(row.clipped for row in sums), sum(row.coordinates * row.partners for row in sums)
    rounds = plural(len(sums), "round")
    if not number:
        return f"None of the {plural(sent, 'coordinate')} that partners sent in {rounds} was clipped."
    most = max(sums, key=lambda row: row.clipped / (row.coordinates * row.partners))
    share = f"{number / sent * 100:.2g}{NBSP}%"
    clipped_of = f"{number:,} of the {plural(sent, 'coordinate')} that partners sent in {rounds} {was_or_were(number)} clipped"
    return f"{clipped_of} ({share}), most in round {most.round}."


def exchanges(phases: Mapping[str, Sequence[str]]) -> str | None:
    """What the exchanges are, for set-up, a round and the finish."""
    return "; ".join(f"{name}: {', '.join(names)}" for name, names in phases.items()) or None


def left_out(reasons: Mapping[tuple[str, str], Sequence[str]]) -> list[str]:
    """One sentence for each reason for which replies were not accepted."""
    return [f"{phase}, {places(names)}: {reason.rstrip('.')}." for (phase, reason), names in reasons.items()]


def places(names: Sequence[str]) -> str:
    """["set-up", "3", "4"] -> set-up, rounds 3 to 4."""
    rounds = [int(name) for name in names if name.isdecimal()]
    return ", ".join([*(name for name in names if not name.isdecimal()), *([spans(rounds)] if rounds else [])])


def chosen_on(run: SavedRun) -> tuple[str, str]:
    """Which fold chose, and which one judges."""
    chosen_by = mean_name(score_name(run.setting("tasks.kinds", [CLASSIFICATION])))
    validated = f"{chosen_by} on validation fold {run.setting('evaluation.validation_fold', DASH)}"
    if not run.tested:
        return "Nothing was judged.", f"Each partner's round was selected by {validated}, which flatters; no fold was kept to judge it on."
    return (
        "The test fold was never chosen on.",
        f"Each partner's round was selected by {validated}; "
        f"the figures come from test fold {run.setting('evaluation.test_fold', DASH)}, read at that round only.",
    )


def caveats(run: SavedRun, summary: Summary, rounds_done: int) -> list[tuple[str, str]]:
    """Title and text of each limit of the result, the gravest first."""
    minimum = run.minimum
    counted = summary.counted
    total = counted + len(summary.uncounted)
    sentences = [
        (
            "The split is by scaffold.",
            "Test compounds carry Murcko scaffolds that no training compound has. Figures are therefore lower than under a random split, "
            "and they say nothing about analogues of series that a partner already knows.",
        ),
        chosen_on(run),
        (
            "One seed, one split.",
            f"Everything ran once, with seed {run.facts.get('seed', DASH)}. The intervals resample tasks only: they do not cover "
            f"another seed, another test fold{'' if own_tables(run) else ' or another dealing out of data to partners'}.",
        ),
        (
            f"{counted:,} of {plural(total, 'task')} count.",
            f"A task counts with at least {what_counts(summary, minimum)} in the test fold. {compare_within(summary)}",
        ),
        (
            "The partners are simulated.",
            f"One machine played all parts, so that nothing was hidden from whoever can read its run folder. {dealt(run)} This page shows "
            "every partner's task names and results together, which in a real federation nobody may hold.",
        ),
    ]
    return worse_values(summary) + still_rising(summary, rounds_done) + mean_of_two(run, summary) + sentences


def own_tables(run: SavedRun) -> bool:
    """Whether each partner had tables of its own."""
    return isinstance(run.setting("data.tables"), list)


def dealt(run: SavedRun) -> str:
    """Who said which partner measured what."""
    if own_tables(run):
        return "Each partner had tables of its own, as they were given."
    what = "the compounds of each endpoint" if run.setting("data.deal") == ENDPOINTS else "assays"
    return f"A program dealt out {what} to the partners: real ones differ more in chemistry and in assay practice."


def worse_values(summary: Summary) -> list[tuple[str, str]]:
    """A warning if predicted values are further off than those of the partners' own models or of a constant, whatever their order gains."""
    kind = summary.values
    if kind.main is None:
        return []
    told = []
    for unit, arms in kind.errors.items():
        known = {arm: arms[arm][RMSE].value for arm in (kind.main, LOCAL, CONSTANT) if RMSE in arms.get(arm, {})}
        ours = known.pop(kind.main, None)
        if ours is not None and (better := [arm for arm, error in known.items() if error < ours]):
            theirs = " and ".join(f"{score(known[arm])} of {BETTER[arm]}" for arm in better)
            told.append(f"their mean RMSE in {unit} is {score(ours)}, against {theirs}")
    r2 = kind.arms[kind.main].get(R2)
    if r2 is not None and r2 < 0:
        told.append(f"their mean R² is {signed(r2)}, where the mean of a task's values would have 0")
    if not told:
        return []
    text = f"Of {MODELS[kind.main]} of values, {'; and '.join(told)}. Ranking may gain while the values do not."
    return [("Trust the order of predicted values more than the values.", text)]


def what_counts(summary: Summary, minimum: int) -> str:
    """What a task needs, for the kinds that there are."""
    of_values, of_classes = f"{VALUES_PER_CLASS * minimum} exact values", f"{minimum} of each class"
    if len(summary.values.tasks) and len(summary.classes.tasks):
        return f"{of_classes}, or {of_values},"
    return of_values if len(summary.values.tasks) else of_classes


def compare_within(summary: Summary) -> str:
    """How figures may be compared, for the kinds that there are."""
    texts = []
    if len(summary.classes.tasks) or not len(summary.values.tasks):
        texts.append("AUC-PR depends on the share of actives: compare arms within a task, not tasks with each other.")
    if len(summary.values.tasks):
        texts.append(
            "R² has no lower bound and hangs on the spread of measured values, which is small in many tasks: it may be near 0 or below "
            "where the order of compounds is predicted well."
        )
    return " ".join(texts)


def mean_of_two(run: SavedRun, summary: Summary) -> list[tuple[str, str]]:
    """A warning if what is combined is the mean of two models at some partner, and no two local models are there to hold it against."""
    choices = [choice for chosen in (run.comparison.choices.values() if run.comparison else ()) for choice in chosen.values()]
    if MEAN not in choices or any(LOCAL_TWICE in kind.scores for kind in summary.shown):
        return []
    text = (
        "Where the combined model is the mean of two, a part of its gain is that of any two models; polyphony compare holds it against two "
        "local ones."
    )
    return [("Two models are better than one.", text)]


def still_rising(summary: Summary, rounds_done: int) -> list[tuple[str, str]]:
    """A warning if most partners selected the last round: the federated arm had not reached its best."""
    chosen = list(summary.selected.get("federated", {}).values())
    last = sum(number == max(chosen) == rounds_done for number in chosen)
    if rounds_done < 2 or 2 * last < len(chosen):
        return []
    text = f"{last:,} of {plural(len(chosen), 'partner')} selected the last round of the federated arm: more rounds might give more."
    return [("Training had not levelled off.", text)]


def unfinished(run: SavedRun, rounds_done: int) -> str | None:
    """What to say on top of a run that did not reach its end."""
    if run.finished:
        return None
    asked = run.facts.get("rounds")
    text = f"Its state is “{run.state}”; {plural(rounds_done, 'round')} of {count(asked)} are evaluated in the federated arm."
    reason = run.facts.get("error") or run.errors.get("")
    if reason and reason != run.state:
        text += f" It stopped with: {str(reason).rstrip('.')}."
    if run.compares and not run.compared:
        shown = "the federated arm" if run.comparison is None else "what partners have at home, the federated model and their own,"
        text += f" The comparison of the arms has not been made; below is {shown} alone."
    return text + " All figures are provisional."


def failures(run: SavedRun) -> list[str]:
    """Partners that failed or missed rounds, one sentence each, from what they saved."""
    said = [f"{partner} stopped with: {reason.rstrip('.')}." for partner, reason in run.errors.items() if partner]
    arm = run.arms.get("federated")
    if arm is None:
        return said
    trained: Mapping[str, set[int]] = {name: set() for name in run.partners}
    for partner, number in arm.losses.select("partner", "round").iter_rows():
        trained[partner].add(int(number))
    everyone = set().union(*trained.values())
    for partner, rounds in trained.items():
        missed = sorted(everyone - rounds)
        if missed and not (not run.finished and missed == [max(everyone)]):
            said.append(f"{partner} did not train in {spans(missed)}.")
    return said


def spans(rounds: list[int]) -> str:
    """[3, 4, 5, 8] -> rounds 3 to 5 and 8."""
    parts: list[list[int]] = []
    for number in rounds:
        if parts and parts[-1][-1] == number - 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    texts = [str(part[0]) if len(part) == 1 else f"{part[0]} to {part[-1]}" for part in parts]
    joined = texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}"
    return f"{'round' if len(rounds) == 1 else 'rounds'} {joined}"
