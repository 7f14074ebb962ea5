"""What `polyphony simulate` says in the end."""

from typing import Any

from fedapp.cli.simulate import quality

NOTHING: dict[str, Any] = {"auc_pr": None, "spearman": None, "r2": None, "gain": None, "value_gain": {"spearman": None, "r2": None}}


def test_a_run_without_a_task_that_can_be_judged_says_so() -> None:
    """Small tables leave no task with enough compounds of each class in the test fold; the run itself is finished."""
    assert "no task has evaluation.min_per_class" in quality(NOTHING)[0]


def test_the_arms_that_a_run_has_are_told_with_the_gain_and_the_fold_that_they_were_judged_on() -> None:
    arms = {arm: {"auc_pr": score, "auc_roc": None} for arm, score in (("local", 0.85), ("federated", 0.8774), ("combined", 0.88))}
    assert quality(NOTHING | arms | {"auc_pr": 0.8774, "gain": {"value": 0.03, "low": 0.01, "high": 0.05}}) == [
        "means over tasks, test fold, each partner's selected round",
        "local       AUC-PR 0.8500",
        "federated   AUC-PR 0.8774",
        "combined    AUC-PR 0.8800",
        "combined over local: +0.0300 (+0.0100 to +0.0500) AUC-PR, with the 95 % interval over tasks",
    ]


def test_of_values_the_gain_is_told_in_their_own_metrics() -> None:
    arms = {"federated": {"spearman": 0.4, "r2": 0.1}}
    gains = {"spearman": {"value": 0.02, "low": None, "high": None}, "r2": {"value": -0.1, "low": -0.2, "high": -0.05}}
    assert quality(NOTHING | arms | {"spearman": 0.4, "r2": 0.1, "value_gain": gains})[1:] == [
        "federated   Spearman 0.4000  R² 0.1000",
        "combined over local: +0.0200 Spearman, with the 95 % interval over tasks",
        "combined over local: -0.1000 (-0.2000 to -0.0500) R², with the 95 % interval over tasks",
    ]
