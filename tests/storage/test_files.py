"""Atomic writing: the old file or the new one, never half of either; and sweeping: what nobody alive is writing, and nothing else."""

import errno
import os
import resource
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from fedapp.model import checkpoint
from fedapp.storage import files
from fedapp.storage.files import (
    TOLD,
    UNFINISHED,
    DamagedFileError,
    atomic_directory,
    atomic_path,
    discard,
    held_folder,
    read_json,
    read_object,
    read_sealed,
    reading,
    sweep,
    write_json,
    write_sealed,
)
from simulation.audit import run as audit_run
from simulation.audit.federations import Trial
from simulation.federation import first_shared
from strategies.update import shared_trunk
from tests.conftest import ROOT
from tests.helpers.small_run import small_config


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_an_error_while_writing_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "state.json"
    write_json(target, {"round": 1})
    with pytest.raises(RuntimeError, match="stop"), atomic_path(target) as path:
        path.write_text("{half")
        raise RuntimeError("stop")
    assert target.read_text() == '{\n  "round": 1\n}\n'
    assert names(tmp_path) == ["state.json"]


def test_a_written_file_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {})
    assert stat.S_IMODE((tmp_path / "a.json").stat().st_mode) == 0o600


def test_an_error_while_filling_a_directory_leaves_the_old_one(tmp_path: Path) -> None:
    with atomic_directory(tmp_path / "data") as folder:
        (folder / "a").write_text("old")
    with pytest.raises(RuntimeError), atomic_directory(tmp_path / "data") as folder:
        (folder / "a").write_text("new")
        raise RuntimeError
    assert (tmp_path / "data" / "a").read_text() == "old"
    assert names(tmp_path) == ["data"]


@pytest.mark.parametrize("exchanges", [True, False])
def test_a_new_directory_replaces_the_old_one_as_a_whole(exchanges: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the file system cannot exchange two names."""
    if not exchanges:
        monkeypatch.setattr(files, "_exchanged", lambda one, other: False)
    for name in ("a", "b"):
        with atomic_directory(tmp_path / "data") as folder:
            (folder / name).write_text(name)
    assert names(tmp_path / "data") == ["b"]
    assert names(tmp_path) == ["data"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux exchanges names")
def test_killed_at_any_moment_of_replacing_the_old_folder_or_the_new_one_is_there_whole(tmp_path: Path) -> None:
    """The process is killed by itself at each call of the system's that moves or removes something, in turn."""
    code = """
import os, signal, sys
from pathlib import Path
from fedapp.storage.files import atomic_directory
left = int(sys.argv[2])

def hook(event, args):
    global left
    if event in ("os.rename", "os.remove", "os.rmdir", "shutil.rmtree"):
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

with atomic_directory(Path(sys.argv[1])) as folder:
    for name in ("a", "b"):
        (folder / name).write_text("new")
    sys.addaudithook(hook)
"""
    seen = set()
    for moment in range(6):
        data = tmp_path / str(moment) / "data"
        with atomic_directory(data) as folder:
            for name in ("a", "b"):
                (folder / name).write_text("old")
        done = subprocess.run([sys.executable, "-c", code, str(data), str(moment)], cwd=ROOT, check=False)
        held = {path.read_text() for path in data.iterdir()}
        assert (len(held), names(data)) == (1, ["a", "b"])
        seen |= {(done.returncode, *held)}
        sweep(data.parent)
        assert names(data.parent) == ["data"]
    assert seen == {(-signal.SIGKILL, "new"), (0, "new")}, "the exchange comes before anything is removed"


def test_a_file_or_folder_that_is_a_symbolic_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "file").symlink_to(tmp_path / "elsewhere" / "file")
    (tmp_path / "folder").symlink_to(tmp_path / "elsewhere" / "folder")
    for _ in range(2):
        write_json(tmp_path / "file", {})
        with atomic_directory(tmp_path / "folder") as folder:
            (folder / "a").write_text("a")
    assert (tmp_path / "file").is_symlink()
    assert (tmp_path / "folder").is_symlink()
    assert names(tmp_path / "elsewhere") == ["file", "folder"]


def test_a_file_is_never_replaced_by_a_folder(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(NotADirectoryError), atomic_directory(tmp_path / "notes"):
        pass
    assert (tmp_path / "notes").read_text() == "mine"


def test_names_as_long_as_a_name_may_be_are_written(tmp_path: Path) -> None:
    for name in ("n" * 255, "\N{GRINNING FACE}" * 60):
        write_json(tmp_path / name, {})
    assert len(names(tmp_path)) == 2


@contextmanager
def another(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that is writing a file, a folder and a scratch folder below `tmp_path`."""
    code = """
import sys
from pathlib import Path
from fedapp.storage.files import UNFINISHED, atomic_directory, atomic_path, held_folder
here = Path(sys.argv[1])
with atomic_path(here / "state.json") as file, atomic_directory(here / "a" / "data") as folder, held_folder(".x.", here, UNFINISHED) as own:
    file.write_text("half")
    (folder / "rows").write_text("half")
    (own / "rows").write_text("half")
    print("writing", flush=True)
    sys.stdin.read()
"""
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        yield process


def parts(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.name.endswith(UNFINISHED)]


def test_what_another_living_process_is_writing_is_not_swept_and_it_ends_well(tmp_path: Path) -> None:
    with another(tmp_path) as process:
        before = parts(tmp_path)
        sweep(tmp_path)
        assert parts(tmp_path) == before
        assert len(before) == 3
        process.communicate("")
    assert process.returncode == 0
    assert names(tmp_path) == ["a", "state.json"]
    assert (tmp_path / "a" / "data" / "rows").read_text() == "half"


def test_what_a_killed_process_left_unfinished_is_swept_and_nothing_else(tmp_path: Path) -> None:
    for name in ("notes.part", ".notes.part", ".download.crdownload", "whole.json"):
        (tmp_path / name).write_text("a person's")
    with another(tmp_path) as process:
        process.kill()
    assert len(parts(tmp_path)) == 5
    sweep(tmp_path)
    assert names(tmp_path) == [".download.crdownload", ".notes.part", "a", "notes.part", "whole.json"]
    assert names(tmp_path / "a") == []


def test_writing_again_sweeps_what_a_kill_left_of_the_same_folder(tmp_path: Path) -> None:
    with another(tmp_path) as process:
        process.kill()
    with atomic_directory(tmp_path / "a" / "data") as folder:
        (folder / "rows").write_text("whole")
    assert names(tmp_path / "a") == ["data"]


def test_what_is_swept_between_its_making_and_its_holding_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other process is as quick as it can be: it sweeps right after the file or folder was made."""
    hold, swept = files._hold, []

    def late(held: int, path: Path) -> bool:
        if len(swept) % 2 == 0:
            assert discard(path)
        swept.append(path)
        return hold(held, path)

    monkeypatch.setattr(files, "_hold", late)
    write_json(tmp_path / "a.json", {})
    with held_folder(".x.", tmp_path) as folder:
        assert folder.is_dir()
    assert names(tmp_path) == ["a.json"]
    assert len(swept) == 4


def test_where_a_file_system_keeps_no_locks_writing_works_and_nothing_is_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(held: int, kind: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(files, "flock", refused)
    write_json(tmp_path / "a.json", {})
    with atomic_directory(tmp_path / "data") as folder:
        sweep(tmp_path)
        (folder / "a").write_text("a")
    assert names(tmp_path) == ["a.json", "data"]


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


# Reading back


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"null", b"\xff", b'{"round": "1"}', b'{"other": 1}', b"[" * 100_000])
def test_a_damaged_json_file_is_an_error_that_names_it_with_a_hint(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "state.json"
    path.write_bytes(content)
    with pytest.raises(DamagedFileError, match=r"state\.json is damaged: \S") as caught:
        read_object(path, {"round": int}, "do this")
    assert caught.value.hint == "do this"
    assert len(str(caught.value)) < 200 + TOLD


def test_a_missing_file_is_named_and_what_the_system_says_of_another_trouble_is_left_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(DamagedFileError, match=r"state\.json is missing"):
        read_json(tmp_path / "state.json")
    with pytest.raises(IsADirectoryError):
        read_json(tmp_path)
    with pytest.raises(KeyboardInterrupt), reading(tmp_path):
        raise KeyboardInterrupt


@given(value=st.dictionaries(st.text(max_size=5), st.integers() | st.floats(allow_nan=False) | st.text(max_size=9)), place=st.integers(0))
def test_a_sealed_file_reads_back_as_it_was_written_or_not_at_all(tmp_path_factory: pytest.TempPathFactory, value: Any, place: int) -> None:
    value.pop("seal", None)
    path = tmp_path_factory.mktemp("sealed") / "x.json"
    write_sealed(path, value)
    assert read_sealed(path, {}) == value
    content = bytearray(path.read_bytes())
    content[place // 8 % len(content)] ^= 1 << place % 8
    path.write_bytes(content)
    try:
        assert read_sealed(path, {}).items() >= value.items(), "but for the name of the seal itself, nothing can be altered"
    except DamagedFileError as error:
        assert "x.json" in str(error)
