"""What the page says first: combined over local with its interval, and what that has to be held against."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fedapp.evaluation.arms import CLASSIFICATION, REGRESSION
from fedapp.evaluation.intervals import Interval
from fedapp.report.headline import held_against, verdict, what_predicts
from fedapp.report.saved_run import SavedRun, read_run
from fedapp.report.summary import Summary, summarise
from fedapp.storage.json_file import write_sealed

Make = Callable[..., Path]
pytestmark = pytest.mark.usefixtures("few_resamples")


def with_gain(summary: Summary, gain: Interval) -> Summary:
    """The same run, had its combined models gained this much."""
    classes = summary.classes
    changed = replace(classes, gains={**classes.gains, "combined": gain})
    return replace(summary, kinds={**summary.kinds, CLASSIFICATION: changed})


def judged(run: Path) -> tuple[SavedRun, Summary]:
    saved = read_run(run)
    return saved, summarise(saved)


def test_a_gain_beyond_its_uncertainty_is_told_with_its_interval_and_both_means(synthetic: Make) -> None:
    run, summary = judged(synthetic(tasks=120))
    text = verdict(run, with_gain(summary, Interval(0.012, 0.008, 0.016)), 6)
    assert "gains +0.012 (95\u00a0% interval +0.008 to +0.016) mean AUC-PR" in text
    for arm in ("local", "combined"):
        assert f"{summary.classes.arms[arm]['auc_pr']:.3f}" in text


def test_a_gain_within_its_uncertainty_is_not_sold_as_one(synthetic: Make) -> None:
    run, summary = judged(synthetic(tasks=120))
    assert verdict(run, with_gain(summary, Interval(0.001, -0.002, 0.004)), 6).startswith("No clear difference")
    assert verdict(run, with_gain(summary, Interval(0.02)), 6).startswith("No clear difference"), "nor one without an interval"


def test_a_loss_is_called_one(synthetic: Make) -> None:
    run, summary = judged(synthetic(tasks=120))
    assert "made things worse" in verdict(run, with_gain(summary, Interval(-0.01, -0.02, -0.005)), 6)


def test_each_kind_of_task_has_its_sentence_under_the_name_of_its_score(synthetic: Make) -> None:
    run, summary = judged(synthetic(tasks=90, values=60))
    text = verdict(run, summary, 6)
    assert text.count("mean AUC-PR") == text.count("mean Spearman") == 1
    assert "tasks of values" in text


def test_of_values_alone_nothing_speaks_of_classes(synthetic: Make) -> None:
    run, summary = judged(synthetic(tasks=0, values=60))
    assert [kind.kind for kind in summary.shown] == [REGRESSION]
    assert "AUC-PR" not in verdict(run, summary, 6)
    assert any(line.startswith("R²") for line in held_against(summary.values))


def test_the_gain_is_held_against_two_local_models_and_both_ways_of_pooling(synthetic: Make) -> None:
    _, summary = judged(synthetic(tasks=400, rounds=20))
    kind = summary.classes
    lines = held_against(kind)
    means = {arm: figures["auc_pr"] for arm, figures in kind.arms.items()}
    for arm in ("local_twice", "pooled", "merged"):
        assert kind.ahead[arm].value == pytest.approx((means["combined"] or 0) - (means[arm] or 0))
    assert len(lines) == 4
    assert "two models of a partner’s own" in lines[0]
    assert kind.share is not None
    better = max(("pooled", "merged"), key=lambda arm: means[arm] or 0)
    assert kind.share[0] == better, "the better of both is the yardstick"
    own = means["local"] or 0
    assert kind.share[1].value == pytest.approx(((means["combined"] or 0) - own) / ((means[better] or 0) - own))


def test_pooling_that_gains_nothing_is_no_yardstick(synthetic: Make) -> None:
    _, summary = judged(synthetic(tasks=120, gain=-2.0))
    assert summary.classes.share is None
    assert len(held_against(summary.classes)) == 3


def test_what_predicts_is_counted_over_the_partners_whose_tasks_count(synthetic: Make) -> None:
    _, summary = judged(synthetic(tasks=120))
    assert what_predicts(summary.classes, {}) == (
        "What predicts, by the partners’ validation folds: the mean of the federated model and the partner's own at 3 of 3 partners."
    )
    assert what_predicts(summary.values, {}) is None


def test_by_which_heads_common_endpoints_are_predicted_is_counted_where_a_federated_model_has_a_say(synthetic: Make) -> None:
    folder = synthetic(tasks=120)
    first, second, third = (folder / "partners" / name for name in sorted(path.name for path in (folder / "partners").iterdir()))
    for partner, heads in ((first, {"classification": "alone"}), (second, {"classification": "both"}), (third, {})):
        write_sealed(partner / "model.json", {"members": [{"name": "federated", "round": 3, "shared_heads": heads}]})
    run, summary = judged(folder)
    told = what_predicts(summary.classes, run.heads)
    assert told is not None
    assert told.endswith(
        "There the federated model predicts common endpoints by own and shared heads together at 1, "
        "common endpoints by shared heads alone at 1 of 2 partners."
    )
    alone = {name: replace(figures, choice="local") for name, figures in summary.classes.partners.items()}
    assert "shared heads" not in (what_predicts(replace(summary.classes, partners=alone), run.heads) or "")


@pytest.mark.parametrize("members", [None, 3, [3], [{"shared_heads": [1]}], [{}]])
def test_a_header_that_says_something_else_tells_of_no_heads(synthetic: Make, members: object) -> None:
    folder = synthetic(tasks=120)
    for partner in (folder / "partners").iterdir():
        write_sealed(partner / "model.json", {"members": members})
    assert not any(judged(folder)[0].heads.values())


@pytest.mark.parametrize("arms", [("local", "federated", "pooled"), ("local", "federated"), ("local", "combined", "constant")])
def test_arms_that_are_missing_are_not_spoken_of(synthetic: Make, arms: tuple[str, ...]) -> None:
    run, summary = judged(synthetic(tasks=120, arms=arms))
    main = "combined" if "combined" in arms else "federated"
    assert summary.classes.main == main
    assert f"{main} models" in verdict(run, summary, 6)
    lines = " ".join(held_against(summary.classes))
    assert ("pooled" in lines) == ("pooled" in arms)
    assert "two models" not in lines
    assert "merged" not in lines


def test_without_training_alone_no_gain_is_claimed(synthetic: Make) -> None:
    run, summary = judged(synthetic(tasks=60, arms=("federated", "pooled")))
    assert not summary.compares
    assert "reach a mean AUC-PR of" in verdict(run, summary, 6)
