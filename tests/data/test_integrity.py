"""A dataset or a prepared folder that is no longer what was written is named, and nothing is computed from it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedapp.config import load_config
from fedapp.data.dataset import Dataset, build_dataset
from fedapp.data.integrity import ARRAYS, HEADER, PREPARED, SUMMARY, TABLES
from fedapp.data.prepare import prepare
from fedapp.errors import DataError, PolyphonyError
from fedapp.storage.json_file import read_json, write_json, write_sealed
from simulation.preparation import prepared_tables
from tests.data.tables import CHEMISTRY, TASKS, good_tables
from tests.helpers.damage import damages, replaced
from tests.helpers.small_run import write_dataset
from tests.helpers.sweeps import examples

FILES = (HEADER, *TABLES, *(f"{name}.npy" for name in ARRAYS))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return write_dataset(tmp_path_factory.mktemp("data") / "own", "Birch", compounds=60)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    prepare(good_tables(folder / "tables"), folder / "prepared", CHEMISTRY, workers=1)
    return folder / "prepared"


@pytest.mark.parametrize("name", FILES)
def test_every_kind_of_damage_to_any_file_of_a_dataset_is_named(dataset: Dataset, name: str) -> None:
    path = dataset.directory / name
    for what, content in damages(path.read_bytes(), Random(1), flips=12):
        with replaced(path, content):
            try:
                opened = Dataset.open(dataset.directory)
            except DataError as error:
                assert name in str(error), what
                assert error.hint
            else:  # a flipped bit in what is no content: padding, or the name of the header's own digest
                assert opened.digest == dataset.digest
                assert all(np.array_equal(getattr(opened, each), getattr(dataset, each)) for each in ARRAYS), what
                assert opened.tasks.equals(dataset.tasks)
                assert opened.smiles().equals(dataset.smiles())


@examples(60)
@given(data=st.data())
def test_no_flipped_bit_in_an_array_is_overlooked(dataset: Dataset, data: st.DataObject) -> None:
    path = dataset.directory / f"{data.draw(st.sampled_from(sorted(ARRAYS)))}.npy"
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(128 * 8, 8 * len(content) - 1))  # NumPy's header has 128 bytes
    content[place // 8] ^= 1 << place % 8
    with replaced(path, bytes(content)), pytest.raises(DataError, match=path.name):
        Dataset.open(dataset.directory)


def test_the_byte_order_in_an_arrays_header_is_part_of_what_it_says(dataset: Dataset) -> None:
    path = dataset.directory / "x_indices.npy"
    with replaced(path, path.read_bytes().replace(b"<i4", b">i4", 1)), pytest.raises(DataError, match="x_indices.npy is damaged"):
        Dataset.open(dataset.directory)


@pytest.mark.parametrize("lost", ["seal", "files", "checksums"])
def test_a_dataset_without_its_digests_is_damaged(dataset: Dataset, lost: str) -> None:
    path = dataset.directory / HEADER
    left = {key: value for key, value in read_json(path).items() if key != lost}
    with replaced(path, path.read_bytes()), pytest.raises(DataError, match=r"dataset\.json"):
        (write_json if lost == "seal" else write_sealed)(path, left)
        Dataset.open(dataset.directory)


@pytest.mark.parametrize(
    ("name", "place", "value", "reason"),
    [
        ("x_indices", 0, 1 << 30, "x_indices.npy is damaged: values from"),
        ("x_indices", 0, -1, "x_indices.npy is damaged: values from"),
        ("y_tasks", 0, 99, "y_tasks.npy is damaged"),
        ("y_values", 0, 2, "y_values.npy is damaged: classes that are neither 0 nor 1"),
        ("y_values", 0, np.nan, "y_values.npy is damaged"),
        ("y_censors", 0, 1, "y_censors.npy is damaged: sides"),
        ("x_indptr", 1, 1 << 40, "x_indptr.npy is damaged: no pointers"),
        ("y_indptr", -1, 0, "y_indptr.npy is damaged: no pointers"),
        ("folds", 3, 5, "folds.npy is damaged"),
    ],
)
def test_values_that_lead_out_of_an_array_are_refused_even_with_a_digest_that_fits(
    tmp_path: Path, dataset: Dataset, name: str, place: int, value: float, reason: str
) -> None:
    """Somebody may have made the digest for them: the model's kernels would read beyond their arrays."""
    from fedapp.data.integrity import content_digest

    shutil.copytree(dataset.directory, tmp_path / "d")
    arrays = {each: np.load(dataset.directory / f"{each}.npy") for each in ARRAYS}
    arrays[name][place] = value
    np.save(tmp_path / "d" / f"{name}.npy", arrays[name])
    header = dataset.header | {"digest": content_digest(arrays, dataset.smiles(), dataset.tasks)}
    write_sealed(tmp_path / "d" / HEADER, header)
    with pytest.raises(DataError, match=reason):
        Dataset.open(tmp_path / "d")


def test_a_dataset_is_compared_with_its_digest_once_for_each_version_of_its_files(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from fedapp.data import integrity

    copied = Path(shutil.copytree(dataset.directory, tmp_path / "d"))
    counted: list[Path] = []
    compare = integrity.content_digest
    monkeypatch.setattr(integrity, "content_digest", lambda *given: (counted.append(copied), compare(*given))[1])
    Dataset.open(copied)
    Dataset.open(copied)
    assert len(counted) == 1
    os.utime(copied / "folds.npy", ns=(1, 1))
    Dataset.open(copied)
    assert len(counted) == 2


def test_a_process_that_would_have_crashed_on_a_flipped_index_ends_with_an_error(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "d", "Birch", compounds=40).directory
    with (folder / "x_indices.npy").open("r+b") as file:
        file.seek(128 + 3)  # the highest byte of the first index
        file.write(b"\x7f")
    code = f"from pathlib import Path; from fedapp.data.dataset import Dataset; Dataset.open(Path({str(folder)!r}))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "x_indices.npy was altered since it was made" in ended.stderr


# Prepared folders


@pytest.mark.parametrize("name", [*PREPARED, SUMMARY])
def test_no_dataset_is_built_of_a_prepared_folder_with_a_damaged_file(prepared: Path, tmp_path: Path, name: str) -> None:
    for _, content in damages((prepared / name).read_bytes(), Random(2), flips=2):
        with replaced(prepared / name, content), pytest.raises(PolyphonyError, match=name) as caught:
            build_dataset(prepared, tmp_path / "d", "p", TASKS)
        assert "polyphony prepare" in caught.value.hint
    assert not (tmp_path / "d").exists()


def test_a_kept_prepared_folder_that_was_damaged_is_made_again(tmp_path: Path) -> None:
    tables = good_tables(tmp_path / "tables")
    config = load_config(None, ("chemistry.bits=256", f"runs={tmp_path / 'runs'}"))
    stages: list[str] = []
    kept = prepared_tables(tables, config, stages.append, lambda done, total: None)
    whole = (kept / "x_indices.npy").read_bytes()
    prepared_tables(tables, config, stages.append, lambda done, total: None)
    assert sum(stage.startswith("preparing") for stage in stages) == 1
    (kept / "x_indices.npy").write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    prepared_tables(tables, config, stages.append, lambda done, total: None)
    assert sum(stage.startswith("preparing") for stage in stages) == 2
    assert any("x_indices.npy was altered" in stage for stage in stages)
    assert (kept / "x_indices.npy").read_bytes() == whole
