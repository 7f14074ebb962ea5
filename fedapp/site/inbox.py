"""The request that a partner is answering, on disk: a process that is killed meanwhile answers it when it is back."""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from flwr.app import Message
from flwr.proto.message_pb2 import ObjectTree
from flwr.supercore.inflatable.inflatable_object import iterate_object_tree
from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents

from fedapp.files import atomic_directory

RUN, TREE, OBJECTS = "run", "tree", "objects"
NAME = re.compile(r"[0-9a-f]{64}")  # of an object; it becomes a file's name, and comes from outside


@dataclass(frozen=True)
class Letter:
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
        """The request, whole."""
        assert self.objects is not None
        tree = ObjectTree.FromString(self.tree)
        message = inflate_object_from_contents(tree.object_id, dict(self.objects))
        assert isinstance(message, Message)
        message.metadata.__dict__["_message_id"] = tree.object_id  # Flower leaves it out of the contents
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


class Inbox:
    """At most one letter, kept from its announcement until its answer has left.

    Args:
        folder: Is made and removed as letters come and go.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def keep(self, letter: Letter) -> None:
        """Store a letter, or what there is of it, as a whole."""
        with atomic_directory(self.folder) as folder:
            (folder / RUN).write_text(str(letter.run_id))
            (folder / TREE).write_bytes(letter.tree)
            if letter.objects is not None:
                (folder / OBJECTS).mkdir()
                for name, content in letter.objects.items():
                    (folder / OBJECTS / name).write_bytes(content)

    def unanswered(self) -> Letter | None:
        """The letter that an earlier process left."""
        if not self.folder.is_dir():
            return None
        held = self.folder / OBJECTS
        objects = {path.name: path.read_bytes() for path in held.iterdir()} if held.is_dir() else None
        return Letter(int((self.folder / RUN).read_text()), (self.folder / TREE).read_bytes(), objects)

    def clear(self) -> None:
        """The answer has left."""
        shutil.rmtree(self.folder, ignore_errors=True)
