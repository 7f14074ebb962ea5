"""The table of task kinds."""

import numpy as np
import polars as pl
import pytest

from fedapp.data.task_kinds import CLASSES, KINDS, tasks_by_kind
from fedapp.errors import DataError
from fedapp.evaluation.selection import METRICS_SCHEMA


def test_tasks_without_a_kind_have_two_classes() -> None:
    (kind, own), *others = tasks_by_kind(pl.DataFrame({"task": [0, 1]})).items()
    assert (kind, own.tolist(), others) == (CLASSES, [True, True], [])


def test_a_kind_of_another_version_is_an_error_that_names_it() -> None:
    assert tasks_by_kind(pl.DataFrame({"kind": ["classification"]})).keys() == {CLASSES}
    with pytest.raises(DataError, match="'ordinal'; known are classification, regression"):
        tasks_by_kind(pl.DataFrame({"kind": ["classification", "ordinal"]}))


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_what_is_measured_of_a_kind_has_its_columns_in_the_metrics_of_a_round(kind) -> None:
    measured = kind.measure(np.array([0, 0]), np.array([0.0, 1.0]), np.array([0, 0]), np.array([-1.0, 1.0]), 1)
    assert set(vars(measured)) <= set(METRICS_SCHEMA)
