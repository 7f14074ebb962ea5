"""Endpoints that several partners measure."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedapp.config import Data, Tasks, load_config
from fedapp.data.dataset import build_dataset
from fedapp.data.prepare import prepare
from fedapp.errors import ConfigError, DataError
from simulation.dealing import deal_endpoints, part_of_series, part_sizes
from tests.data.tables import write_tables

DATA = Data("somewhere", partners=4, deal="endpoints", endpoints=2, holders=3)
TASKS = Tasks(["classification"], "target_id", [5.5], 1, None)
RINGS = ["c1ccccc1", "C1CCCCC1", "c1ccncc1", "C1CCNCC1", "c1ccoc1", "c1ccsc1", "C1CCOCC1", "c1cnccn1", "C1CC1", "C1CCC1"]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three endpoints in four assays: 40 compounds of ten scaffolds in the two large ones, 12 in the small one."""
    folder = tmp_path_factory.mktemp("panel")
    smiles = [f"{'C' * length}{ring}" for ring in RINGS for length in range(1, 5)]
    compounds = [f"{number},{text}" for number, text in enumerate(smiles)]
    rows = [f"herg-{number % 2},{number},{4 + number % 3},=,p" for number in range(40)]
    rows += [f"sol,{number},{4 + number % 3},=,p" for number in range(40)] + [f"rare,{number},5,=,p" for number in range(12)]
    targets = {"herg-0": "herg", "herg-1": "herg", "sol": "solubility", "rare": "rare"}
    write_tables(folder / "tables", compounds, rows)
    listed = "".join(f"{assay},{target}\n" for assay, target in targets.items())
    (folder / "tables" / "assays.csv").write_text("assay_id,target_id\n" + listed)
    prepare(folder / "tables", folder / "prepared", load_config(None, ("chemistry.bits=256",)).chemistry, workers=1)
    return folder / "prepared"


def dealt(prepared: Path, data: Data = DATA, seed: int = 1) -> pl.DataFrame:
    """partner, target, row, series of every activity that was dealt out."""
    shares = deal_endpoints(prepared, data, TASKS, seed)
    table = pl.concat(share.with_columns(pl.lit(name).alias("partner")) for name, share in shares.items())
    targets = pl.read_parquet(prepared / "assays.parquet").select("assay_id", "target_id")
    return table.join(targets, on="assay_id").join(pl.read_parquet(prepared / "structures.parquet"), on="row")


def test_every_compound_of_the_largest_endpoints_goes_to_one_of_their_holders(prepared: Path) -> None:
    table = dealt(prepared)
    assert set(table["target_id"]) == {"herg", "solubility"}
    for _, own in table.group_by("target_id"):
        assert sorted(own["row"].to_list()) == list(range(40))
        assert own["partner"].n_unique() == DATA.holders


@pytest.mark.parametrize("seed", range(5))
def test_a_series_lies_whole_at_one_partner_in_each_endpoint_by_itself(prepared: Path, seed: int) -> None:
    table = dealt(prepared, seed=seed)
    homes = table.group_by("target_id", "series").agg(pl.col("partner").n_unique())
    assert homes["partner"].max() == 1
    assert len(homes) == 20
    assert table.group_by("series").agg(pl.col("partner").n_unique())["partner"].max() > 1


def test_the_seed_deals(prepared: Path) -> None:
    assert dealt(prepared).equals(dealt(prepared))
    assert not dealt(prepared).equals(dealt(prepared, seed=2))


def test_a_share_makes_a_partners_dataset(prepared: Path, tmp_path: Path) -> None:
    for name, share in deal_endpoints(prepared, DATA, TASKS, 1).items():
        dataset = build_dataset(prepared, tmp_path / name, name, TASKS, share)
        mine = dealt(prepared).filter(pl.col("partner") == name)
        assert set(dataset.tasks["group"]) <= set(mine["target_id"])
        assert set(dataset.smiles()) <= set(mine["smiles"])


@given(st.lists(st.integers(0, 30), min_size=1, max_size=300), st.integers(1, 6), st.integers(0, 9))
def test_parts_are_as_unequal_as_they_should_be_but_for_a_series(series: list[int], holders: int, seed: int) -> None:
    numbers = np.array(series, dtype=np.uint64)
    part = part_of_series(numbers, holders, np.random.default_rng(seed))
    sizes = np.bincount(part, minlength=holders)
    assert len(sizes) == holders
    largest = np.unique(numbers, return_counts=True)[1].max()
    assert (np.abs(sizes - part_sizes(holders) * len(series)) <= largest).all()


def test_too_few_endpoints_that_are_large_enough_are_an_error_that_says_how_many_there_are(prepared: Path) -> None:
    with pytest.raises(DataError, match="3 endpoints of 3 by target_id have 12 measured compounds.* data.endpoints is 4"):
        deal_endpoints(prepared, replace(DATA, endpoints=4), TASKS, 1)
    with pytest.raises(DataError, match="2 endpoints of 3"):
        deal_endpoints(prepared, replace(DATA, endpoints=3), replace(TASKS, min_per_class=2), 1)


def test_a_partner_without_an_endpoint_is_an_error_that_names_it(prepared: Path) -> None:
    with pytest.raises(DataError, match="none of 1 endpoint was dealt out to partner-"):
        deal_endpoints(prepared, replace(DATA, endpoints=1), TASKS, 1)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("data.tables=demo",), "data.deal is endpoints, and data.tables is 'demo'"),
        (("data.tables=[a,b,c]",), "data.deal is endpoints, and data.tables is"),
        (("data.tables=a", "data.partners=3"), "data.holders is 4, more than the 3 of data.partners"),
        (("data.tables=a", "data.deal=compounds"), "data.deal is 'compounds'"),
    ],
)
def test_what_cannot_be_dealt_is_refused_before_anything_is_read(words: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(None, ("data.deal=endpoints", *words))
