"""What a round costs a partner beside its training: processor seconds by part, of real partners in this process.

The coordinator and the client app are those of every run, each message goes through Flower's bytes, and nothing waits for anything. A part
is some functions; what is spent in one of them counts as the part of the innermost.
"""

import logging
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from flwr.app import Context, Message, RecordDict
from flwr.serverapp import Grid

from fedapp import client_app, server_app
from fedapp.errors import RunError
from fedapp.model import saved_model
from fedapp.partner import client, kept_rounds, local_model
from fedapp.partner.errors_at_home import PartnerFailedError
from fedapp.run_folder import RunFolder
from fedapp.runtime.flower_internals import FLOWER_LOGGER, as_task, get_all_nested_objects, inflate_object_from_contents, set_message_id
from simulation.launch import failures
from strategies import message_records
from strategies.partner import departure, secure_partner, trunk_in_session
from strategies.partner.inner_client import InnerClient
from strategies.partner.secure_partner import SecurePartner
from strategies.secagg.phases import Step
from strategies.update.shared_trunk import SharedTrunk

WARM_UP = 2  # rounds in which things are imported, and judged for the first time
OF_A_ROUND = (Step.COLLECT, Step.CONSISTENCY, Step.UNMASK)
COORDINATOR, FIRST_NODE, RUN = 1, 101, 1  # as Flower would number them
UNUSED = "the strategies send and receive, and nothing else"
TRAINING = "training"  # is no fixed cost
PARTS: dict[str, tuple[tuple[Any, str], ...]] = {
    "transport": ((message_records, "vectors"), (message_records, "content")),
    "answer": ((SecurePartner, "answer"),),
    "ready_to_mask": ((secure_partner, "ready_to_mask"),),
    "self_audit": ((departure, "audit"), (trunk_in_session, "audit")),
    "fit": ((InnerClient, "fit"),),
    "state": (
        (SharedTrunk, "read"),
        (SharedTrunk, "write"),
        (SecurePartner, "_write"),
        (secure_partner, "open_participant"),
        (secure_partner, "OwnTranscript"),
        (kept_rounds, "load_tensors"),
        (kept_rounds, "save_tensors"),
        (saved_model, "load_tensors"),
        (saved_model, "save_tensors"),
    ),
    TRAINING: ((client, "train"), (local_model, "train")),
}


def fixed_cost(run: RunFolder) -> dict[str, Any]:
    """Run the rounds of a run folder in this process.

    Args:
        run: Its partners lie ready, its aggregation is secure, and it has more rounds than `WARM_UP`, which are not counted.
    Returns:
        partner_core_s: processor seconds of one partner a round, by part, training too; the mean over partners and counted rounds.
        partner_fixed_core_s: all of them but the training.
    Raises:
        RunError: A partner failed.
    """
    clock, threads, level = Clock(), torch.get_num_threads(), FLOWER_LOGGER.level
    torch.set_num_threads(1)  # as each of Flower's actors has
    FLOWER_LOGGER.setLevel(logging.ERROR)
    grid = OneProcess(run, clock)
    try:
        with ExitStack() as patched:
            for part, functions in PARTS.items():
                for owner, name in functions:
                    patched.enter_context(clock.counting(owner, name, part))
            with as_task(COORDINATOR, RUN, COORDINATOR):
                server_app.run(grid, Context(RUN, COORDINATOR, {}, RecordDict(), {"run-dir": str(run.path)}))
    except PartnerFailedError as error:
        raise RunError("; ".join(f"{name}: {reason['error']}" for name, reason in failures(run).items()) or str(error)) from error
    finally:
        torch.set_num_threads(threads)
        FLOWER_LOGGER.setLevel(level)
    spent = {part: clock.spent[part] / grid.rounds for part in PARTS}
    fixed = sum(seconds for part, seconds in spent.items() if part != TRAINING)
    return {
        "partner_core_s": {part: round(seconds, 4) for part, seconds in spent.items()},
        "partner_fixed_core_s": round(fixed, 4),
    }


class Clock:
    """Processor seconds of this process, by the innermost part that they were spent in; while no part is entered, nothing counts."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = defaultdict(float)
        self._parts: list[str] = []
        self._since = 0.0

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """What is spent inside, less what counts as another part's."""
        self._turn()
        self._parts.append(name)
        try:
            yield
        finally:
            self._turn()
            self._parts.pop()

    @contextmanager
    def counting(self, owner: Any, name: str, part: str) -> Iterator[None]:
        """Inside, calls of `owner.name` are of this part if they are made within another one."""
        own, function = vars(owner)[name], getattr(owner, name)

        def counted(*given: Any, **named: Any) -> Any:
            if not self._parts:
                return function(*given, **named)
            with self.part(part):
                return function(*given, **named)

        setattr(owner, name, counted)
        try:
            yield
        finally:
            setattr(owner, name, own)

    def _turn(self) -> None:
        now = time.process_time()
        if self._parts:
            self.spent[self._parts[-1]] += now - self._since
        self._since = now


class OneProcess(Grid):
    """Delivers each message to its partner at once, through Flower's bytes.

    Attributes:
        rounds: Of all partners together, how many were counted.
    """

    def __init__(self, run: RunFolder, clock: Clock) -> None:
        self.clock, self.rounds = clock, 0
        settings = {"run-dir": str(run.path)}
        nodes = {FIRST_NODE + partition: {"partition-id": partition} for partition in range(len(run.partners()))}
        self.contexts = {node: Context(RUN, node, {**config}, RecordDict(), {**settings}) for node, config in nodes.items()}

    def get_node_ids(self) -> Iterable[int]:
        return list(self.contexts)

    def get_nodes(self) -> Iterable[Any]:
        return ()

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterator[Message]:
        for message in messages:
            counted = int(message.metadata.group_id) > WARM_UP and message_records.step(message.content) in OF_A_ROUND
            self.rounds += counted and message_records.step(message.content) == Step.COLLECT
            node, objects = message.metadata.dst_node_id, deflated(message)
            with as_task(node, RUN, node), self.clock.part("transport") if counted else ExitStack():
                request = inflated(objects)
                with self.clock.part("answer") if counted else ExitStack():
                    reply = client_app.app(request, self.contexts[node])
                objects = deflated(reply)
            yield inflated(objects)

    @property
    def run(self) -> Any:
        raise AssertionError(UNUSED)

    def set_run(self, run: Any) -> None:
        raise AssertionError(UNUSED)

    def create_message(self, *given: Any, **named: Any) -> Message:
        raise AssertionError(UNUSED)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        raise AssertionError(UNUSED)

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        raise AssertionError(UNUSED)


def deflated(message: Message) -> dict[str, bytes]:
    """A message as Flower sends it: its objects by name, the message last."""
    return {name: each.deflate() for name, each in get_all_nested_objects(message).items()}


def inflated(objects: dict[str, bytes]) -> Message:
    """What `deflated` made of a message."""
    name = list(objects)[-1]
    message = inflate_object_from_contents(name, dict(objects))
    assert isinstance(message, Message)
    set_message_id(message, name)
    return message
