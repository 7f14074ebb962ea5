"""The product of matrices by limbs in floating point is the product, whatever the numbers and the size."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategies.secagg import exact_product as module
from strategies.secagg.exact_product import MOST_TERMS, exact_product
from tests.helpers.sweeps import examples

Matrix = list[list[int]]
LARGEST = 2**256 - 1
NUMBERS = st.integers(0, LARGEST) | st.sampled_from([0, 1, 2**16 - 1, 2**16, 2**240, LARGEST])


def matrices(rows: int, columns: int) -> st.SearchStrategy[Matrix]:
    row = st.lists(NUMBERS, min_size=columns, max_size=columns)
    return st.lists(row, min_size=rows, max_size=rows)


def product(left: Matrix, right: Matrix) -> Matrix:
    """By its definition."""
    return [[sum(row[term] * right[term][column] for term in range(len(right))) for column in range(len(right[0]))] for row in left]


@pytest.fixture(params=[1, 10**9], ids=["by limbs", "by Python's numbers"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WORTHWHILE", request.param)


@examples(100)
@given(st.integers(0, 4), st.integers(1, 5), st.integers(1, 4), st.data())
def test_it_is_the_product(rows: int, terms: int, columns: int, data: st.DataObject) -> None:
    left, right = data.draw(matrices(rows, terms)), data.draw(matrices(terms, columns))
    assert exact_product(left, right) == product(left, right)


def test_the_most_terms_of_the_largest_numbers_are_still_exact() -> None:
    assert exact_product([[LARGEST] * MOST_TERMS], [[LARGEST, 1]] * MOST_TERMS) == [[MOST_TERMS * LARGEST**2, MOST_TERMS * LARGEST]]


@pytest.mark.parametrize("right", [[[1, 2], [3]], [[1, 2]]])
def test_rows_of_different_lengths_are_refused(right: Matrix) -> None:
    with pytest.raises(ValueError):
        exact_product([[1, 2]], right)


def test_what_would_not_be_exact_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WORTHWHILE", 1)
    with pytest.raises(ValueError, match="sums of 4097 products, and only those of up to 4096 are exact"):
        exact_product([[1] * 4097], [[1]] * 4097)
    for number in (-1, 2**256):
        with pytest.raises(OverflowError):
            exact_product([[number]], [[1]])
