"""A full disk, told as that; and what libraries do beside a file that they write."""

import errno
import os
import resource
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.numpy import save_file

from fedapp.model import checkpoint
from fedapp.storage.files import atomic_directory, atomic_path
from fedapp.storage.leftovers import sweep
from simulation.audit import run as audit_run
from simulation.audit.federations import Trial
from simulation.federation import first_shared
from strategies.update import shared_trunk
from tests.helpers.folders import names
from tests.helpers.small_run import small_config


@contextmanager
def small_disk() -> Iterator[None]:
    """A disk that takes files of 64 KiB at most, as far as this process goes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


MUCH = np.random.default_rng(0).integers(0, 1 << 62, 50_000)
WRITERS: dict[str, Callable[[Path], object]] = {
    "bytes": lambda path: path.write_bytes(MUCH.tobytes()),
    "numpy": lambda path: save_array(path),
    "parquet": lambda path: pl.DataFrame({"a": MUCH}).write_parquet(path),
    "csv": lambda path: pl.DataFrame({"a": MUCH}).write_csv(path),
    "safetensors": lambda path: save_file({"a": MUCH}, path),
}


def save_array(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, MUCH)


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("folder", [False, True])
def test_a_disk_that_takes_no_more_is_named_with_the_file_whatever_the_library_makes_of_it(
    writer: str, folder: bool, tmp_path: Path
) -> None:
    writing: Callable[[Path], AbstractContextManager[Path]] = atomic_directory if folder else atomic_path
    with small_disk(), pytest.raises(OSError, match=os.strerror(errno.EFBIG)) as caught, writing(tmp_path / "out") as temporary:
        WRITERS[writer](temporary / "x" if folder else temporary)
    assert (caught.value.errno, caught.value.filename) == (errno.EFBIG, str(tmp_path / "out"))
    assert names(tmp_path) == []


def test_an_error_about_another_file_is_left_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="absent"), atomic_path(tmp_path / "out"):
        (tmp_path / "absent").read_text()
    with pytest.raises(OSError, match="odd") as caught, atomic_path(tmp_path / "out"):
        raise OSError("odd")
    assert caught.value.errno is None


@pytest.mark.parametrize("writer", WRITERS)
def test_nobody_sweeps_a_written_file_before_it_has_its_name_whatever_a_library_does_to_it(writer: str, tmp_path: Path) -> None:
    """safetensors writes beside the path that it is given, and puts that in its place."""
    with atomic_path(tmp_path / "out", own_folder=writer == "safetensors") as temporary:
        WRITERS[writer](temporary)
        sweep(tmp_path)
    assert names(tmp_path) == ["out"]


def test_every_model_and_trunk_is_written_where_a_sweep_leaves_it_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def sweeping(save: Callable[..., None]) -> Callable[..., None]:
        def saved(tensors: object, path: Path, *rest: object, **options: object) -> None:
            save(tensors, path, *rest, **options)
            sweep(tmp_path)

        return saved

    for module in (checkpoint, shared_trunk, audit_run):
        monkeypatch.setattr(module, "save_file", sweeping(module.save_file))  # type: ignore[attr-defined]
    checkpoint.save_tensors(tmp_path / "model", {"a": torch.zeros(3)}, {})
    first_shared(small_config(), np.ones(256, dtype=np.bool_)).write(tmp_path / "trunk")
    nothing = np.zeros(3, dtype=np.bool_)
    audit_run.write_trial(tmp_path / "trial", Trial(members=nothing, listed=nothing, supports=nothing))
    assert names(tmp_path) == ["model", "trial", "trunk"]
