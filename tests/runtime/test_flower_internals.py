"""What is used of Flower below its public API."""

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from flwr.app import Message, RecordDict
from flwr.supercore.task_identity import TaskIdentity

from fedapp.runtime import flower_internals
from fedapp.runtime.bundle import bundle_pyproject
from fedapp.runtime.flower_internals import as_task, build_bundle, set_message_id

ROOT = Path(__file__).resolve().parents[2]


def identity() -> tuple[int, int, int]:
    return TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id


def test_it_was_read_against_the_version_that_is_pinned_and_installed() -> None:
    named = re.search(r"Read against Flower (\d+\.\d+)\.\d+", str(flower_internals.__doc__))
    assert named is not None
    pinned = next(each for each in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"] if "flwr" in each)
    assert f">={named[1]}," in pinned
    assert version("flwr").startswith(f"{named[1]}.")


def test_a_process_is_a_task_while_inside_and_then_what_it_was() -> None:
    with as_task(3, 4, 5):
        with as_task(task_id=6, run_id=7, node_id=8):
            assert identity() == (6, 7, 8)
        assert identity() == (3, 4, 5)
        with pytest.raises(ArithmeticError), as_task(0, 0, 0):
            raise ArithmeticError
        assert identity() == (3, 4, 5)


def test_a_message_has_the_id_that_it_is_given() -> None:
    with as_task(1, 2, 3):
        message = Message(RecordDict(), dst_node_id=4, message_type="train")
    set_message_id(message, message.object_id)
    assert message.metadata.message_id == message.object_id


def test_a_bundle_is_the_same_bytes_every_time(tmp_path: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "pyproject.toml").write_text(bundle_pyproject())
    assert build_bundle(tmp_path / "one") == build_bundle(tmp_path / "other")
