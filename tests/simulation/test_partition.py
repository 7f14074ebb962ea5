from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedapp.errors import DataError
from simulation.partition import partition_assays, share_sizes


def prepared(folder: Path, assays: int, dup_groups: dict[int, str] | None = None) -> Path:
    """As much of a prepared folder as a partition looks at."""
    names = [f"assay-{number:03d}" for number in range(assays)]
    table = pl.DataFrame({"assay_id": [*names, "unused"]})
    if dup_groups is not None:
        table = table.with_columns(pl.Series("dup_group", [dup_groups.get(number, "") for number in range(assays)] + [""]))
    table.write_parquet(folder / "assays.parquet")
    pl.DataFrame({"assay_id": names * 2}).write_parquet(folder / "activities.parquet")
    return folder


def test_every_measured_assay_goes_to_exactly_one_partner(tmp_path: Path) -> None:
    shares = partition_assays(prepared(tmp_path, 100), 8, seed=1)
    assert list(shares) == [f"partner-{number}" for number in range(1, 9)]
    assert sorted(assay for share in shares.values() for assay in share) == [f"assay-{number:03d}" for number in range(100)]


def test_shares_are_unequal_and_the_smallest_is_substantial(tmp_path: Path) -> None:
    sizes = [len(share) for share in partition_assays(prepared(tmp_path, 1000), 8, seed=1).values()]
    assert sizes == sorted(sizes, reverse=True)
    assert 2.5 < sizes[0] / sizes[-1] < 3.5
    assert sizes[-1] > 0.5 * 1000 / 8


def test_one_seed_gives_one_partition_and_another_seed_another(tmp_path: Path) -> None:
    folder = prepared(tmp_path, 100)
    assert partition_assays(folder, 4, seed=1) == partition_assays(folder, 4, seed=1)
    assert partition_assays(folder, 4, seed=1) != partition_assays(folder, 4, seed=2)


def test_the_order_of_the_assays_table_does_not_matter(tmp_path: Path) -> None:
    folder = prepared(tmp_path, 50)
    before = partition_assays(folder, 4, seed=1)
    pl.read_parquet(folder / "assays.parquet").reverse().write_parquet(folder / "assays.parquet")
    assert partition_assays(folder, 4, seed=1) == before


@pytest.mark.parametrize("seed", range(10))
def test_assays_deposited_twice_stay_together(tmp_path: Path, seed: int) -> None:
    groups = {0: "1", 17: "1", 33: "1", 5: "2", 49: "2"}
    shares = partition_assays(prepared(tmp_path, 50, groups), 5, seed)
    home = {assay: name for name, share in shares.items() for assay in share}
    assert len(home) == 50
    assert home["assay-000"] == home["assay-017"] == home["assay-033"]
    assert home["assay-005"] == home["assay-049"]


def test_fewer_assays_than_partners_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="3 independent assays cannot be split over 4 partners") as error:
        partition_assays(prepared(tmp_path, 4, {0: "1", 1: "1"}), 4, seed=1)
    assert "data.partners" in error.value.hint


def test_what_is_not_a_prepared_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not a prepared folder"):
        partition_assays(tmp_path, 2, seed=1)


@given(partners=st.integers(1, 40), extra=st.integers(0, 500))
def test_shares_add_up_and_leave_nobody_empty(partners: int, extra: int) -> None:
    sizes = share_sizes(partners + extra, partners)
    assert len(sizes) == partners
    assert sum(sizes) == partners + extra
    assert min(sizes) >= 1
    assert sizes == sorted(sizes, reverse=True)
