"""The page in a sentence, and what it has to be held against."""

from collections.abc import Mapping, Sequence

from fedapp.evaluation.arms import CLASSIFICATION, COMBINED, LOCAL, LOCAL_TWICE, MERGED, POOLED, PRINTED
from fedapp.evaluation.combination import HEADS_IN_WORDS
from fedapp.evaluation.combination import IN_WORDS as CHOICE_WORDS
from fedapp.evaluation.intervals import Interval
from fedapp.report.conclusions import MODELS, spread
from fedapp.report.kind_summary import KindSummary
from fedapp.report.saved_run import SavedRun
from fedapp.report.summary import Summary
from fedapp.wording import NBSP, percent, plural, score, signed

HELD_AGAINST = (LOCAL_TWICE, POOLED, MERGED)
IN_WORDS = {
    LOCAL_TWICE: "two models of a partner’s own",
    POOLED: "one model of all partners’ data (pooled)",
    MERGED: "one model of all data with same endpoints merged",
}


def verdict(run: SavedRun, summary: Summary, rounds_done: int) -> str:
    """The page in one sentence, or one for each kind of task."""
    if not rounds_done and not summary.counted:
        return "Nothing to judge yet: no round has been evaluated."
    if not run.tested:
        return "No verdict: no fold was kept for judging (evaluation.test_fold is null), so that the models learned from more data."
    if not summary.shown:
        few = "enough compounds of each class" if CLASSIFICATION in run.setting("tasks.kinds", [CLASSIFICATION]) else "enough exact values"
        return f"No verdict: no task has {few} in the test fold to count."
    so_far = "" if run.finished else f" So far: {plural(rounds_done, 'round')}."
    sentences = [compared(kind, kind.gain) if kind.gain else alone(kind, run, rounds_done) for kind in summary.shown]
    return " ".join(sentences) + so_far


def compared(kind: KindSummary, gain: Interval) -> str:
    """Better, worse or no clear difference, by the interval of the mean gain."""
    name, models = PRINTED[kind.metric], MODELS[str(kind.main)]
    own, theirs = score(kind.scores[LOCAL].value), score(kind.scores[str(kind.main)].value)
    change = f"{signed(gain.value)} ({certainty(gain)})"
    over = f"over {plural(len(kind.tasks), 'task')}" + ("" if kind.kind == CLASSIFICATION else " of values")
    if gain.sign > 0:
        return f"Training together gains {change} mean {name}: {models} reach {theirs}, each partner alone {own}, {over}."
    if gain.sign < 0:
        return f"Training together made things worse: mean {name} of {models} is {theirs}, of each partner alone {own}, {change} {over}."
    return f"No clear difference: mean {name} of {models} is {theirs}, of each partner alone {own}, {change} {over}."


def certainty(gain: Interval) -> str:
    """The interval of a difference, or that there is none."""
    return f"95{NBSP}% interval {spread(gain)}" if gain.low is not None else "too few assays or targets for an interval"


def alone(kind: KindSummary, run: SavedRun, rounds_done: int) -> str:
    """What the federated arm reaches, where nothing tells whether that is better than training alone."""
    if kind.main is None:
        return "No verdict: there is neither a federated nor a combined arm."
    reached = score(kind.scores[kind.main].value)
    guess = ""
    if "prevalence" in kind.tasks.columns:
        guess = f"; guessing would give {score(float(kind.tasks['prevalence'].to_numpy().mean()))}"
    better = "only a comparison of the arms can tell" if run.compares else "this run does not tell; polyphony compare does"
    return (
        f"After {plural(rounds_done, 'round')} of training together, the models of {plural(len(run.partners), 'partner')} reach a mean "
        f"{PRINTED[kind.metric]} of {reached} over {plural(len(kind.tasks), 'task')}{guess}. "
        f"Whether that is better than training alone, {better}."
    )


def held_against(kind: KindSummary) -> list[str]:
    """How far the main arm is from what it has to be held against, a sentence each."""
    if kind.gain is None or kind.main is None:
        return []
    lines = [
        f"{signed(kind.ahead[arm].value)} against {IN_WORDS[arm]} ({spread_words(kind.ahead[arm])})"
        for arm in HELD_AGAINST
        if arm in kind.ahead
    ]
    if kind.share is not None:
        arm, share = kind.share
        lines.append(f"{percent(share.value)} of what {IN_WORDS[arm]} gains ({percent(share.low)} to {percent(share.high)})")
    if kind.r2_gain is not None:
        lines.append(f"R² {signed(kind.r2_gain.value)} against each partner alone ({spread_words(kind.r2_gain)})")
    return lines


def what_predicts(kind: KindSummary, heads: Mapping[str, Mapping[str, str]]) -> str | None:
    """Which models the validation folds chose, and which heads for common endpoints; None where nothing was chosen between.

    Args:
        heads: Partner to kind of task to what predicts its common endpoints.
    """
    chosen = {name: figures.choice for name, figures in kind.partners.items() if figures.choice is not None and figures.counted}
    if kind.main != COMBINED or not chosen:
        return None
    with_federated = [name for name, choice in chosen.items() if choice != LOCAL and kind.kind in heads.get(name, {})]
    of_models = counts([str(choice) for choice in chosen.values()], CHOICE_WORDS)
    of_heads = counts([heads[name][kind.kind] for name in with_federated], HEADS_IN_WORDS)
    told = [f"What predicts, by the partners’ validation folds: {of_models} of {plural(len(chosen), 'partner')}."]
    if with_federated:
        told.append(f"There the federated model predicts {of_heads} of {plural(len(with_federated), 'partner')}.")
    return " ".join(told)


def counts(chosen: Sequence[str], words: Mapping[str, str]) -> str:
    """How often each was chosen, in the order of `words`."""
    return ", ".join(f"{told} at {chosen.count(name)}" for name, told in words.items() if name in chosen)


def spread_words(interval: Interval) -> str:
    """An interval in brackets."""
    return spread(interval) if interval.low is not None else "no interval"
