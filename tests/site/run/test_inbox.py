"""A partner's inbox: what was kept is there after a power cut, whole or not at all."""

import os
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Array
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects, get_object_tree

from fedapp.site.run.inbox import ROOM, Inbox, StoredRequest, largest_request
from fedapp.storage import files
from tests.strategies.secagg.parties import policy_for, roster_of

ANNOUNCED = StoredRequest(7, b"tree")
WHOLE = StoredRequest(7, b"tree", {"ab" * 32: b"one", "cd" * 32: b"two"})


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What is synced and renamed, in order, by the last part of its name."""
    seen: list[tuple[str, str]] = []
    fsync, put = os.fsync, files._put_in_place

    def syncing(file: int) -> None:
        seen.append(("sync", Path(f"/proc/self/fd/{file}").readlink().name))
        fsync(file)

    def putting(folder: Path, place: Path) -> None:
        seen.append(("rename", place.name))
        put(folder, place)

    monkeypatch.setattr(os, "fsync", syncing)
    monkeypatch.setattr(files, "_put_in_place", putting)
    return seen


def test_a_letter_comes_back_as_far_as_it_was_kept(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path / "inbox")
    assert inbox.unanswered() is None
    inbox.keep(ANNOUNCED)
    assert Inbox(tmp_path / "inbox").unanswered() == ANNOUNCED
    inbox.keep(WHOLE)
    assert Inbox(tmp_path / "inbox").unanswered() == WHOLE
    inbox.clear()
    assert inbox.unanswered() is None


def test_an_announcement_is_never_gone_while_its_objects_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The SuperLink announces a request once."""
    inbox = Inbox(tmp_path / "inbox")
    inbox.keep(ANNOUNCED)
    put, seen = files._put_in_place, []

    def looking(folder: Path, place: Path) -> None:
        seen.append(inbox.unanswered())
        put(folder, place)

    monkeypatch.setattr(files, "_put_in_place", looking)
    inbox.keep(WHOLE)
    assert seen == [ANNOUNCED]


@pytest.mark.parametrize(
    ("letter", "contents", "folder", "above"),
    [(ANNOUNCED, {"run", "tree"}, "inbox", "state"), (WHOLE, set(WHOLE.objects or {}), "objects", "inbox")],
    ids=["announcement", "objects"],
)
def test_a_letter_is_on_disk_before_it_has_its_name_and_its_name_before_anybody_relies_on_it(
    tmp_path: Path, done: list[tuple[str, str]], letter: StoredRequest, contents: set[str], folder: str, above: str
) -> None:
    (tmp_path / "state" / "inbox").mkdir(parents=True)
    Inbox(tmp_path / "state" / "inbox").keep(letter)
    *files, unfinished, renamed, named = done
    assert {name for what, name in files if what == "sync"} == contents
    assert unfinished[0] == "sync"
    assert unfinished[1].startswith(f".{folder}.")
    assert (renamed, named) == (("rename", folder), ("sync", above))


@pytest.mark.parametrize(
    ("layout", "word_bits", "vectors"),
    [("4x2,2", (16,), 10 * 10), ("32768x400,400", (16, 32), 13_107_600 * 12), ("4x2,2,slots:5x3", (16,), 25 * 10)],
)
def test_a_request_needs_no_more_than_a_sum_and_a_trunk_in_float32_and_some_room(
    layout: str, word_bits: tuple[int, ...], vectors: int
) -> None:
    assert largest_request(policy_for(roster_of(3), layout=layout, word_bits=word_bits)) == vectors + ROOM


def test_a_letter_that_is_no_message_is_a_named_error() -> None:
    held = Array(np.arange(3))
    objects = {name: each.deflate() for name, each in get_all_nested_objects(held).items()}
    letter = StoredRequest(7, get_object_tree(held).SerializeToString(), objects)
    with pytest.raises(ValueError, match="a request that is a Array, and no message"):
        letter.message()
