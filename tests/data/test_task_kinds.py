"""The table of task kinds."""

import numpy as np
import polars as pl
import pytest

from fedapp.data.task_kinds import BINARY, KINDS, tasks_by_kind
from fedapp.errors import DataError
from fedapp.evaluation.selection import METRICS_SCHEMA


def test_tasks_without_a_kind_are_binary() -> None:
    (kind, own), *others = tasks_by_kind(pl.DataFrame({"task": [0, 1]})).items()
    assert (kind, own.tolist(), others) == (BINARY, [True, True], [])


def test_a_kind_of_another_version_is_an_error_that_names_it() -> None:
    assert tasks_by_kind(pl.DataFrame({"kind": ["binary"]})).keys() == {BINARY}
    with pytest.raises(DataError, match="'ordinal'; known are binary"):
        tasks_by_kind(pl.DataFrame({"kind": ["binary", "ordinal"]}))


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_what_is_measured_of_a_kind_has_its_columns_in_the_metrics_of_a_round(kind) -> None:
    measured = kind.measure(np.array([0, 0]), np.array([0.0, 1.0]), np.array([-1.0, 1.0]), 1)
    assert set(vars(measured)) <= set(METRICS_SCHEMA)
