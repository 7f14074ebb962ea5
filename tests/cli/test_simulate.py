"""What `polyphony simulate` says in the end."""

from fedapp.cli.simulate import quality


def test_a_run_without_a_task_that_can_be_judged_says_so() -> None:
    """Small tables leave no task with enough compounds of each class in the test fold; the run itself is finished."""
    assert "no task has evaluation.min_per_class" in quality(None)
    assert "AUC-PR 0.877 (mean over tasks" in quality(0.8774)
