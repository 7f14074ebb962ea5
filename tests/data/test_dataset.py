import subprocess
import sys
import time
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedapp.data.csr import csr_positions
from fedapp.data.dataset import Dataset, build_dataset
from fedapp.data.integrity import read_summary
from fedapp.data.prepare import prepare
from fedapp.errors import DataError
from fedapp.storage.json_file import write_sealed
from tests.data.tables import CHEMISTRY, TASKS, good_tables, write_tables
from tests.model import synthetic


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    prepare(good_tables(folder / "tables"), folder / "prepared", CHEMISTRY)
    return folder / "prepared"


@pytest.fixture(scope="module")
def dataset(prepared: Path) -> Dataset:
    return build_dataset(prepared, prepared.parent / "dataset", "partner-1", TASKS)


def test_labels_and_fingerprints_are_those_of_the_prepared_folder(prepared: Path, dataset: Dataset) -> None:
    structures = pl.read_parquet(prepared / "structures.parquet")
    bits, indptr = np.load(prepared / "x_indices.npy"), np.load(prepared / "x_indptr.npy")
    names = dict(dataset.tasks.select("task", pl.format("{} {}", "group", pl.col("threshold").fill_null(0))).iter_rows())
    assert sorted(names.values()) == ["potency 5.5", "potency 6.5", "potency 7.5", "toxic 0.0"]
    for compound, smiles in enumerate(dataset.smiles()):
        row = structures["smiles"].to_list().index(smiles)
        assert dataset.folds[compound] == structures["fold"][row]
        assert dataset.fingerprints(np.array([compound]))[1].tolist() == bits[indptr[row] : indptr[row + 1]].tolist()
        labels = dataset.labels.of(np.array([compound]))
        p_value = 9 - row % 6
        expected = {"potency 5.5": p_value >= 5.5, "potency 6.5": p_value >= 6.5, "potency 7.5": p_value >= 7.5, "toxic 0.0": row % 2 == 1}
        assert {names[task]: bool(label) for task, label in zip(labels.tasks, labels.values, strict=True)} == expected


def test_arrays_have_the_types_that_training_needs(dataset: Dataset) -> None:
    types = {name: getattr(dataset, name).dtype.name for name in ("folds", "x_indptr", "x_indices")}
    assert types == {"folds": "uint8", "x_indptr": "int64", "x_indices": "int32"}
    columns = {"indptr": "int64", "tasks": "int32", "values": "float32", "censors": "int8", "weights": "float32"}
    assert {name: column.dtype.name for name, column in vars(dataset.labels.of(np.arange(3))).items()} == columns
    assert {name: column.dtype.name for name, column in vars(dataset.labels).items()} == columns
    assert dataset.task_weights.dtype == np.float32
    assert dataset.task_weights.tolist() == dataset.tasks["weight"].to_list()


def test_the_header_counts_what_is_there(dataset: Dataset) -> None:
    expected = {"name": "partner-1", "bits": 2048, "folds": 5, "compounds": 12, "tasks": 4, "labels": 48, "note": ""}
    assert expected.items() <= dataset.header.items()
    assert dataset.header["digest"] == dataset.digest


def test_positives_and_negatives_are_counted_over_all_folds(dataset: Dataset) -> None:
    for task, positives, negatives in dataset.tasks.select("task", "positives", "negatives").iter_rows():
        labels = dataset.labels.values[dataset.labels.tasks == task]
        assert (labels.sum(), (1 - labels).sum()) == (positives, negatives)


def test_folds_select_their_rows_and_together_all(dataset: Dataset) -> None:
    parts = [dataset.rows_in([fold]) for fold in range(5)]
    assert sorted(np.concatenate(parts).tolist()) == list(range(12))
    assert all((dataset.folds[rows] == fold).all() for fold, rows in enumerate(parts))
    assert dataset.rows_in(range(5)).dtype == np.int64
    assert dataset.rows_in([]).tolist() == []


def test_a_dataset_holds_only_compounds_with_a_label_in_a_kept_task(tmp_path: Path) -> None:
    rows = ["x,A,9,=,p", "x,B,3,=,p", "y,C,9,=,p", "x,D,9,<,p"]
    prepare(write_tables(tmp_path / "tables", ["C,CO", "A,CC", "D,CN", "B,CF"], rows), tmp_path / "prepared", CHEMISTRY)
    built = build_dataset(tmp_path / "prepared", tmp_path / "dataset", "p", TASKS)
    assert built.smiles().to_list() == ["CC", "CF"]
    assert built.tasks["group"].unique().to_list() == ["x"]


def test_a_partner_gets_the_tasks_of_its_own_assays(prepared: Path, tmp_path: Path) -> None:
    assert build_dataset(prepared, tmp_path / "d", "p", TASKS, pl.DataFrame({"assay_id": ["toxic"]})).tasks["group"].to_list() == ["toxic"]


def test_a_partner_without_known_assays_is_an_error(prepared: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="partner-9: no activities"):
        build_dataset(prepared, tmp_path / "d", "partner-9", TASKS, pl.DataFrame({"assay_id": ["nothing"]}))


def test_assays_of_one_target_make_one_task_and_one_without_target_stands_alone(tmp_path: Path) -> None:
    rows = ["x,A,9,=,p", "y,B,3,=,p", "z,A,9,=,p", "z,B,3,=,p"]
    prepare(write_tables(tmp_path / "tables", ["A,CC", "B,CO"], rows, ["x,007", "y,007", "z,"]), tmp_path / "prepared", CHEMISTRY)
    tasks = replace(TASKS, group_by="target_id", thresholds=[6.0])
    assert build_dataset(tmp_path / "prepared", tmp_path / "dataset", "p", tasks).tasks["group"].to_list() == ["007", "assay z"]


def test_labels_left_out_lie_beside_the_dataset_for_a_person_to_read(tmp_path: Path) -> None:
    rows = ["x,A,9,=,p", "x,B,3,=,p", "y,C,9,=,p"]
    prepare(write_tables(tmp_path / "tables", ["C,CO", "A,CC", "B,CF"], rows), tmp_path / "prepared", CHEMISTRY)
    built = build_dataset(tmp_path / "prepared", tmp_path / "dataset", "p", replace(TASKS, thresholds=[6.0]))
    listed = (tmp_path / "dataset" / "dropped.csv").read_text()
    assert listed == "group,threshold,reason,lost,positives,negatives\ny,6.0,below quorum,1,1,0\n"
    assert built.header["dropped"] == {"undecided": 0, "tied": 0, "below quorum": 1}


def test_a_folder_that_another_version_prepared_is_an_error_that_says_so(tmp_path: Path) -> None:
    prepare(good_tables(tmp_path / "tables"), tmp_path / "prepared", CHEMISTRY)
    summary = read_summary(tmp_path / "prepared")
    write_sealed(tmp_path / "prepared" / "summary.json", summary | {"format": 1})
    with pytest.raises(DataError, match="prepared by another version") as error:
        build_dataset(tmp_path / "prepared", tmp_path / "d", "p", TASKS)
    assert "polyphony prepare" in error.value.hint


def test_an_unknown_grouping_column_is_an_error_that_lists_the_columns(prepared: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="group_by is target_id") as error:
        build_dataset(prepared, tmp_path / "d", "p", replace(TASKS, group_by="target_id"))
    assert "assay_id" in error.value.hint


def test_no_task_above_the_quorum_is_an_error_and_writes_nothing(prepared: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none of 4 tasks has 25 actives"):
        build_dataset(prepared, tmp_path / "d", "p", replace(TASKS, min_per_class=25))
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_a_prepared_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not a prepared folder") as error:
        build_dataset(tmp_path, tmp_path / "d", "p", TASKS)
    assert "polyphony prepare" in error.value.hint


@pytest.mark.parametrize("name", ["dataset.json", "tasks.parquet", "x_indices.npy", "folds.npy"])
@pytest.mark.parametrize("damage", ["missing", "empty", "garbage"])
def test_an_incomplete_dataset_is_an_error_that_names_the_folder(prepared: Path, tmp_path: Path, name: str, damage: str) -> None:
    build_dataset(prepared, tmp_path / "d", "p", TASKS)
    (tmp_path / "d" / name).unlink()
    if damage != "missing":
        (tmp_path / "d" / name).write_bytes(b"" if damage == "empty" else b"garbage")
    with pytest.raises(DataError, match="not a complete dataset"):
        Dataset.open(tmp_path / "d")


def test_the_same_inputs_give_the_same_bytes_and_digest(prepared: Path, tmp_path: Path) -> None:
    first, second = (build_dataset(prepared, tmp_path / name, "p", TASKS) for name in "ab")
    assert first.digest == second.digest
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name
    assert build_dataset(prepared, tmp_path / "c", "p", TASKS, pl.DataFrame({"assay_id": ["toxic"]})).digest != first.digest


def test_a_dataset_is_frozen_and_mapped_read_only(dataset: Dataset) -> None:
    with pytest.raises(FrozenInstanceError):
        dataset.bits = 1  # type: ignore[misc]
    assert isinstance(dataset.x_indices, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        dataset.x_indices[0] = 1


def test_opening_takes_milliseconds(dataset: Dataset) -> None:
    Dataset.open(dataset.directory)
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        Dataset.open(dataset.directory)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.02


def test_opening_imports_neither_rdkit_nor_torch() -> None:
    code = "import sys, fedapp.data.dataset; print(sorted({'rdkit', 'torch', 'flwr'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


@given(lengths=st.lists(st.integers(0, 5), min_size=1, max_size=20), data=st.data())
def test_a_slice_of_csr_rows_is_their_elements_in_the_order_asked(lengths: list[int], data: st.DataObject) -> None:
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    rows = np.array(data.draw(st.lists(st.integers(0, len(lengths) - 1), max_size=20)), dtype=np.int64)
    chosen, positions = csr_positions(indptr, rows)
    expected = [np.arange(indptr[row], indptr[row + 1]) for row in rows]
    assert positions.tolist() == [position for part in expected for position in part]
    assert np.diff(chosen).tolist() == [len(part) for part in expected]


def held(dataset: Dataset, compound: int) -> set[int]:
    return set(dataset.fingerprints(np.array([compound]))[1].tolist())


@given(seed=st.integers(0, 10_000), share=st.sampled_from([0.0, 0.1, 0.9, 1.0]))
def test_a_guarded_dataset_keeps_the_bits_allowed_of_some_compounds_and_all_bits_of_the_rest(seed: int, share: float) -> None:
    random, whole = np.random.default_rng(seed), synthetic.dataset(compounds=25, bits=64)
    bits = random.random(64) < share
    rows = np.flatnonzero(random.random(25) < 0.6)
    guarded = whole.guarded(rows, bits)
    for compound in range(25):
        allowed = set(np.flatnonzero(bits).tolist()) if compound in rows else held(whole, compound)
        assert held(guarded, compound) == held(whole, compound) & allowed
    assert len(guarded.x_indices) == guarded.x_indptr[-1]


def test_a_guarded_dataset_shares_all_but_the_fingerprints_and_leaves_the_original_alone(dataset: Dataset) -> None:
    before = dataset.x_indices.tobytes()
    guarded = dataset.guarded(np.array([3]), np.zeros(dataset.bits, dtype=bool))
    assert [compound for compound in range(12) if held(guarded, compound) != held(dataset, compound)] == [3]
    assert held(guarded, 3) == set()
    assert (guarded.x_indptr.dtype, guarded.x_indices.dtype) == (np.int64, np.int32)
    assert dataset.x_indices.tobytes() == before
    for name in set(vars(dataset)) - {"x_indptr", "x_indices"}:
        assert getattr(guarded, name) is getattr(dataset, name), name


def test_a_guard_that_allows_every_bit_changes_nothing(dataset: Dataset) -> None:
    guarded = dataset.guarded(np.arange(5), np.ones(dataset.bits, dtype=bool))
    assert guarded.x_indptr.tobytes() == dataset.x_indptr.tobytes()
    assert guarded.x_indices.tobytes() == dataset.x_indices.tobytes()
