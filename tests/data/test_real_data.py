"""Small slices of real data sets, with their own dirt."""

from pathlib import Path

import polars as pl
import pytest

from fedapp.config import Tasks
from fedapp.data.dataset import build_dataset
from fedapp.data.prepare import prepare
from simulation.partition import partition_assays
from tests.data.tables import CHEMISTRY

pytestmark = pytest.mark.data


def slice_of(source: Path, out: Path, assays: int, compounds: int) -> Path:
    """The first assays of a data set, on the first compounds; every table as it is otherwise."""
    tables = {path.name.split(".")[0]: pl.read_csv(path, infer_schema=False) for path in source.glob("*.csv*")}
    listed = tables["compounds"].head(compounds)
    chosen = tables["activities"]["assay_id"].unique(maintain_order=True).head(assays)
    activities = tables["activities"].filter(pl.col("assay_id").is_in(chosen.implode()))
    out.mkdir()
    listed.write_csv(out / "compounds.csv")
    activities.filter(pl.col("compound_id").is_in(listed["compound_id"].implode())).write_csv(out / "activities.csv")
    if "assays" in tables:
        tables["assays"].filter(pl.col("assay_id").is_in(chosen.implode())).write_csv(out / "assays.csv")
    return out


def test_tox21_gives_one_task_for_each_of_its_endpoints(real_data: Path, tmp_path: Path) -> None:
    tables = slice_of(real_data / "tox21", tmp_path / "tables", assays=12, compounds=1200)
    summary = prepare(tables, tmp_path / "prepared", CHEMISTRY)
    assert summary["tables"]["activities"]["rejected"].keys() <= {"repeats an earlier row", "compound was rejected"}
    dataset = build_dataset(tmp_path / "prepared", tmp_path / "dataset", "p", Tasks(["classification"], "assay_id", [5.5], 5, None))
    assert dataset.tasks["threshold"].is_null().all()
    assert (dataset.tasks["weight"] == 1).all()
    assert set(dataset.tasks["group"]) <= set(pl.read_csv(tables / "activities.csv")["assay_id"])
    assert len(dataset.tasks) >= 10


def test_fsmol_gives_tasks_by_target_to_every_partner(real_data: Path, tmp_path: Path) -> None:
    tables = slice_of(real_data / "fsmol_dev", tmp_path / "tables", assays=25, compounds=250_000)
    summary = prepare(tables, tmp_path / "prepared", CHEMISTRY)
    assert summary["tables"]["activities"]["rejected"].keys() <= {"unknown unit", "unknown relation", "compound was rejected"}
    assert summary["tables"]["activities"]["rejected"]["unknown unit"] > 0
    shares = partition_assays(tmp_path / "prepared", 3, seed=1)
    targets = dict(pl.read_csv(tables / "assays.csv", infer_schema=False).select("assay_id", "target_id").iter_rows())
    for name, assays in shares.items():
        share = pl.DataFrame({"assay_id": sorted(assays)})
        settings = Tasks(["classification"], "target_id", [5.5, 6.5, 7.5], 5, None)
        dataset = build_dataset(tmp_path / "prepared", tmp_path / name, name, settings, share)
        assert set(dataset.tasks["group"]) <= {targets[assay] for assay in assays}
        assert set(dataset.tasks["threshold"]) <= {5.5, 6.5, 7.5}


def test_moleculeace_gives_a_task_of_values_for_each_of_its_targets_in_the_unit_that_its_column_names(
    real_data: Path, tmp_path: Path
) -> None:
    tables = slice_of(real_data / "moleculeace", tmp_path / "tables", assays=3, compounds=1500)
    prepare(tables, tmp_path / "prepared", CHEMISTRY)
    dataset = build_dataset(tmp_path / "prepared", tmp_path / "dataset", "p", Tasks(["regression"], "assay_id", [5.5], 25, None))
    measured = pl.read_csv(tables / "activities.csv")
    assert dataset.tasks["group"].to_list() == sorted(measured["assay_id"].unique())
    assert set(dataset.tasks["unit"]) == {"p"}
    of_structures = pl.read_parquet(tmp_path / "prepared" / "activities.parquet").group_by("assay_id", "row").agg(pl.col("value").median())
    for group, centre in dataset.tasks.select("group", "centre").iter_rows():
        assert centre == pytest.approx(of_structures.filter(pl.col("assay_id") == group)["value"].mean(), abs=1e-4)
        published = measured.filter(pl.col("assay_id") == group)["value"]
        assert centre == pytest.approx(published.mean(), abs=0.2), "isomers are one structure here"
