"""The request that a partner is answering, on disk: a process that is killed meanwhile answers it when it is back."""

import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

from flwr.app import Array, ArrayRecord, Message

from fedapp.errors import RunError
from fedapp.runtime.flower_internals import (
    ObjectTree,
    get_object_body,
    get_object_head_values_from_object_content,
    inflate_object_from_contents,
    iterate_object_tree,
    set_message_id,
)
from fedapp.storage.files import atomic_directory, sync_folder
from strategies.secagg.messages import SLOTS
from strategies.secagg.policy import Policy

RUN, TREE, OBJECTS = "run", "tree", "objects"
FLOAT32 = 4
ROOM = 32 << 20  # bytes of a request beside its vectors: signed messages of hundreds of partners, row lists, Flower's envelopes
NAME = re.compile(r"[0-9a-f]{64}")  # of an object; it becomes a file's name, and comes from outside


class TooLargeError(RunError):
    """More than any request of the experiment needs.

    Args:
        what: That is too large.
        limit: Bytes that are taken in.
    """

    def __init__(self, what: str, limit: int) -> None:
        super().__init__(
            f"{what} of more than {limit} bytes: no request of this experiment needs as many", "ask the coordinator what it sent"
        )
        self.limit = limit


def largest_request(policy: Policy) -> int:
    """Bytes that a request may need: a masked sum, beside it a trunk that is handed over, with its velocity, and some room."""
    coordinates = sum(prod(map(int, shape.removeprefix(SLOTS).split("x"))) for shape in policy.layout.split(","))
    return coordinates * (max(policy.word_bits) // 8 + 2 * FLOAT32) + ROOM


@dataclass(frozen=True)
class StoredRequest:
    """A request as it arrives.

    Attributes:
        run_id: Flower's run.
        tree: The ids of its objects, Flower's protobuf.
        objects: Their contents; None until they are fetched.
    """

    run_id: int
    tree: bytes
    objects: dict[str, bytes] | None = None

    def message(self) -> Message:
        """The request, whole.

        Raises:
            ValueError, LookupError, TypeError: Its objects make none.
        """
        assert self.objects is not None
        tree = ObjectTree.FromString(self.tree)
        message = inflate_object_from_contents(tree.object_id, dict(self.objects))
        if not isinstance(message, Message):
            raise ValueError(f"a request that is a {type(message).__name__}, and no message")
        set_message_id(message, tree.object_id)
        return message

    def object_ids(self) -> list[str]:
        """Ids of all its objects.

        Raises:
            ValueError: One of them is none.
        """
        ids = [str(each.object_id) for each in iterate_object_tree(ObjectTree.FromString(self.tree))]
        if not all(NAME.fullmatch(each) for each in ids):
            raise ValueError("a request with an object whose id is no SHA-256")
        return ids


def unfolded(objects: Mapping[str, bytes]) -> int:
    """Bytes of all arrays that a request's objects make: a chunk may be named many times, and an array too.

    Raises:
        ValueError, LookupError, TypeError: They are no objects of a request.
    """
    sizes: dict[str, int] = {}
    uses: Counter[str] = Counter()
    for name, content in objects.items():
        kind, children, _ = get_object_head_values_from_object_content(content)
        if kind == Array.__qualname__:
            pieces = json.loads(get_object_body(content, Array))["arraychunk_ids"]
            sizes[name] = sum(count * len(objects[children[place]]) for place, count in Counter(pieces).items())
        elif kind == ArrayRecord.__qualname__:
            uses.update(json.loads(get_object_body(content, ArrayRecord)).values())
    return sum(size * max(1, uses[name]) for name, size in sizes.items())


class Inbox:
    """At most one request, kept from its announcement until its answer has left.

    Args:
        folder: Is made and removed as requests come and go.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def keep(self, stored: StoredRequest) -> None:
        """Store a request's announcement, or the objects of one that was announced; whole, and to stay when the power fails."""
        if stored.objects is None:
            _write(self.folder, {RUN: str(stored.run_id).encode(), TREE: stored.tree})
        else:
            _write(self.folder / OBJECTS, stored.objects)

    def unanswered(self) -> StoredRequest | None:
        """The request that an earlier process left."""
        if not self.folder.is_dir():
            return None
        folder = self.folder / OBJECTS
        objects = {path.name: path.read_bytes() for path in folder.iterdir()} if folder.is_dir() else None
        return StoredRequest(int((self.folder / RUN).read_text()), (self.folder / TREE).read_bytes(), objects)

    def clear(self) -> None:
        """The answer has left."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _write(folder: Path, contents: Mapping[str, bytes]) -> None:
    """A folder with these files: on disk before it has its name, and its name as well before this returns."""
    with atomic_directory(folder) as unfinished:
        for name, content in contents.items():
            with (unfinished / name).open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        sync_folder(unfinished)
