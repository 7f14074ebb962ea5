"""Replies from the SuperLink, each as soon as all of it is there: none waits for another that is still on its way.

Flower's own grid asks what has come, and in the same call waits until the last object of it has arrived: three minutes for a node that
announced a reply and was killed. Meanwhile no time limit of ours counts, and nobody else's reply is taken in.
"""

from collections.abc import Callable, Iterable, Iterator
from logging import WARNING

from flwr.app import Message
from flwr.common import log
from flwr.serverapp import Grid

from fedapp.runtime.flower_internals import (
    ConfirmMessageReceivedRequest,
    HttpGrid,
    ObjectPullError,
    ObjectTree,
    ObjectUnavailableError,
    PullAppMessagesRequest,
    inflate_object_from_contents,
    iterate_object_tree,
    make_pull_object_fn_protobuf,
    pull_objects,
    set_message_id,
)


def prompt_pull(grid: Grid) -> Callable[[set[str]], Iterable[Message]]:
    """How replies are best taken in from this grid; one in memory has them whole."""
    return PromptPull(grid) if isinstance(grid, HttpGrid) else grid.pull_messages


class Coming:
    """A reply that was announced, with what has come of it.

    Args:
        name: Its id.
        tree: Of its objects.
    """

    def __init__(self, name: str, tree: ObjectTree) -> None:
        self.name, self.late = name, False
        self.objects = [each.object_id for each in iterate_object_tree(tree)]
        self.contents: dict[str, bytes] = {}

    def take(self, pull: Callable[[str], bytes]) -> bool:
        """Take in what there is; whether that is all.

        Raises:
            ObjectPullError: The rest will not come.
        """
        self.late = False

        def kept(name: str) -> bytes:
            try:
                self.contents[name] = pull(name)
            except ObjectUnavailableError:
                self.late = True
                raise
            return self.contents[name]

        try:
            pull_objects([name for name in self.objects if name not in self.contents], kept, max_tries_per_object=1)
        except ObjectPullError:
            if not self.late:
                raise
            return False
        return True


class PromptPull:
    """Takes replies in.

    Args:
        grid: Connected to the SuperLink.
    """

    def __init__(self, grid: HttpGrid) -> None:
        self.grid = grid
        self._coming: dict[str, Coming] = {}

    def __call__(self, message_ids: set[str]) -> Iterator[Message]:
        """What is there of the replies to these messages; what has come of any other is forgotten.

        A reply that cannot be put together raises what Flower raises for it; those behind it come with the next call.
        """
        for asked in set(self._coming) - message_ids:
            self._let_go(asked)
        if unheard := message_ids - set(self._coming):
            response = self.grid._runtime_client.PullMessages(PullAppMessagesRequest(message_ids=unheard))
            for envelope, tree in zip(response.messages_list, response.message_object_trees, strict=True):
                self._coming[envelope.metadata.reply_to_message_id] = Coming(envelope.metadata.message_id, tree)
        pull = make_pull_object_fn_protobuf(self.grid._runtime_client.PullObject, self.grid.node, self.grid.run.run_id)
        for asked, reply in list(self._coming.items()):
            try:
                whole = reply.take(pull)
            except ObjectPullError as error:
                log(WARNING, "a reply is lost on its way: %s", error)
                self._let_go(asked)
                continue
            if whole:
                self._let_go(asked)
                message = inflate_object_from_contents(reply.name, reply.contents)
                assert isinstance(message, Message)
                set_message_id(message, reply.name)
                yield message

    def _let_go(self, asked: str) -> None:
        """The SuperLink need not keep it."""
        name = self._coming.pop(asked).name
        request = ConfirmMessageReceivedRequest(node=self.grid.node, run_id=self.grid.run.run_id, message_object_id=name)
        self.grid._runtime_client.ConfirmMessageReceived(request)
