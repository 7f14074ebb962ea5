"""Scores on disk, the metrics that follow from them, and the choice between a partner's own and the federated model."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from fedapp.data.task_kinds import CLASSES
from fedapp.errors import RunError
from fedapp.evaluation.combination import CHOICES, combine, mean_scores
from fedapp.evaluation.scores import SCORES_SCHEMA, metrics_of, read_scores, write_scores
from fedapp.storage.damage import DamagedFileError
from fedapp.storage.sealed_table import write_table

KINDS = {CLASSES: np.ones(2, dtype=np.bool_)}
VALUES = [1, 0, 1, 0, 1, 0]


def scored(outputs: list[float], fold: str = "validation", task: int = 0) -> pl.DataFrame:
    columns = {"fold": fold, "row": range(len(outputs)), "task": task, "value": VALUES[: len(outputs)], "censor": 0, "output": outputs}
    return pl.DataFrame(columns, schema=SCORES_SCHEMA, strict=False)


GOOD, MIDDLING, BAD = [3.0, -3.0, 2.0, -2.0, 1.0, -1.0], [3.0, 2.5, 2.0, 1.0, 0.5, 0.0], [-3.0, 3.0, -2.0, 2.0, -1.0, 1.0]


def test_scores_come_back_as_they_were_written_and_are_their_owners_alone(tmp_path: Path) -> None:
    write_scores(tmp_path / "scores.parquet", scored(GOOD))
    assert read_scores(tmp_path / "scores.parquet").equals(scored(GOOD))
    assert (tmp_path / "scores.parquet").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-9]),
        lambda path: path.write_bytes(b""),
        lambda path: path.unlink(),
        lambda path: write_table(path, scored(GOOD).drop("output")),
        lambda path: write_table(path, pl.concat([scored(GOOD), scored(BAD)])),
        lambda path: write_table(path, scored(GOOD).with_columns(pl.lit(None, dtype=pl.Float32).alias("value"))),
    ],
    ids=["cut", "empty", "missing", "without a column", "a label twice", "empty cells"],
)
def test_a_damaged_file_of_scores_is_named(tmp_path: Path, spoil: Callable[[Path], object]) -> None:
    path = tmp_path / "scores.parquet"
    write_scores(path, scored(GOOD))
    spoil(path)
    with pytest.raises(DamagedFileError, match="scores.parquet"):
        read_scores(path)


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1), st.floats(-9, 9, width=16)), min_size=1, max_size=40))
def test_metrics_are_those_of_each_task_and_fold_alone(labels: list[tuple[int, int, float]]) -> None:
    columns = {"row": range(len(labels)), **dict(zip(("task", "value", "output"), zip(*labels, strict=True), strict=True))}
    scores = pl.concat(
        pl.DataFrame(columns | {"fold": fold, "censor": 0}, schema_overrides=SCORES_SCHEMA, strict=False).select(*SCORES_SCHEMA)
        for fold in ("validation", "test")
    )
    metrics = metrics_of(scores, KINDS, 7)
    assert metrics["round"].to_list() == [7] * 4 and metrics["fold"].to_list() == ["validation"] * 2 + ["test"] * 2
    for task, positives, found in metrics.filter(pl.col("fold") == "test").select("task", "positives", "auc_pr").iter_rows():
        own = [(value, output) for number, value, output in labels if number == task]
        assert positives == sum(value for value, _ in own)
        assert (found is None) == (len({value for value, _ in own}) < 2)
        if found is not None:
            assert found == pytest.approx(average_precision_score(*zip(*own, strict=True)))


@pytest.mark.parametrize(
    ("federated", "local", "chosen"),
    [
        (GOOD, BAD, "federated"),
        (BAD, GOOD, "local"),
        (GOOD, GOOD, "federated"),
        ([3.0, 2.9, 1.0, -9.0, 2.0, -9.0], [3.0, -9.0, 2.0, 2.9, 1.0, -9.0], "mean"),
    ],
)
def test_the_best_on_the_validation_fold_is_chosen_and_of_equals_the_federated_model(federated, local, chosen) -> None:
    combined = combine(scored(federated), scored(local), KINDS, 3)
    assert combined.choice == {"classification": chosen}
    expected = {"federated": federated, "local": local, "mean": np.mean([federated, local], axis=0).tolist()}[chosen]
    assert combined.scores["output"].to_list() == pytest.approx(expected)


def test_the_test_fold_has_no_say() -> None:
    federated, local = pl.concat([scored(GOOD), scored(BAD, "test")]), pl.concat([scored(MIDDLING), scored(GOOD, "test")])
    assert combine(federated, local, KINDS, 3).choice == {"classification": "federated"}


def test_tasks_with_few_of_a_class_have_no_say_where_others_have_enough() -> None:
    few, enough = slice(0, 2), slice(0, 6)
    federated = pl.concat([scored(BAD[few], task=0), scored(GOOD[enough], task=1)])
    local = pl.concat([scored(GOOD[few], task=0), scored(MIDDLING[enough], task=1)])
    assert combine(federated, local, KINDS, 3).choice == {"classification": "federated"}


def test_each_kind_of_task_has_its_own_choice() -> None:
    class Other:
        name, measure = "other", staticmethod(CLASSES.measure)

    kinds = {CLASSES: np.array([True, False]), Other(): np.array([False, True])}
    federated, local = (pl.concat([scored(one), scored(other, task=1)]) for one, other in ((GOOD, BAD), (BAD, GOOD)))
    combined = combine(federated, local, kinds, 3)
    assert combined.choice == {"classification": "federated", "other": "local"}
    assert combined.scores.equals(pl.concat([scored(GOOD), scored(GOOD, task=1)]).sort("fold", "row", "task"))


def test_without_a_figure_that_is_defined_the_federated_model_predicts() -> None:
    assert combine(scored([1.0]), scored([2.0]), KINDS, 3).choice == {"classification": CHOICES[0]}


def test_models_that_were_judged_by_other_labels_are_not_combined() -> None:
    with pytest.raises(RunError, match="not judged by the same labels"):
        mean_scores([scored(GOOD), scored(GOOD[:4])])
