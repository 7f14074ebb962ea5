"""A network in bad weather: messages get lost, late, doubled and damaged, and everybody dies and comes back, all by one seed.

After every message the partner's trunk is held against what it must be, and after every round the coordinator's memory is searched.
"""

from collections import Counter, deque
from collections.abc import Iterable
from pathlib import Path
from random import Random

from flwr.app import Message, RecordDict

from fedapp.storage.leftovers import sweep
from strategies import message_records
from strategies.coordinator.secure_trunk import SecureTrunk
from strategies.secagg import errors, wire
from strategies.secagg.messages import CollectRequest, FinishRequest
from strategies.secagg.phases import Step
from strategies.update.shared_trunk import SharedTrunk
from tests.helpers.expected_trunk import FIRST_RANGE, START, Expected, update
from tests.helpers.federation import body, equal, step
from tests.helpers.killed_writes import Death
from tests.helpers.local_grid import LocalGrid
from tests.helpers.secret_search import Secrets, held_by
from tests.strategies.toy import ROWS

FAULTS = {  # of a hundred messages
    "request lost": 1.5,
    "reply lost": 1.5,
    "late": 1.0,
    "twice": 3.0,
    "an older one again": 2.0,
    "killed": 4.0,
    "request damaged": 0.5,
    "reply damaged": 0.7,
    "training fails": 0.5,
    "coordinator killed": 0.3,
}
AWAY, LONGEST = 0.03, 5  # chance, each round, that a partner leaves; rounds until it is back
Key = tuple[bytes, int, int]  # session, number of the round in it, partner


class Weather(LocalGrid):
    """The network, the partners' power supply, and a witness of every trunk.

    Everything that a test knows is kept here, where a search of the coordinator's memory does not go.
    """

    def begin(self, random: Random, death: Death, folder: Path) -> None:
        """Bad weather from here on; partner 1's home is `folder`/partner-1."""
        self.random, self.death, self.folder = random, death, folder
        self.sent = deque(maxlen=100)  # type: ignore[assignment]
        self.received = deque(maxlen=1)  # type: ignore[assignment]
        self.calm, self.ill = False, False
        self.asking: tuple[bytes, int] = b"", 0
        self.trained: dict[Key, tuple[int, int]] = {}
        self.known: dict[bytes, Expected] = {}
        self.holds: dict[int, bytes] = {}
        self.late: dict[int, Message] = {}
        self.away: dict[int, int] = {}
        self.faults, self.refusals, self.delivered = Counter[str](), Counter[str](), Counter[int]()
        self.needles = Secrets()
        self.forks: set[int] = set()

    # The network

    def get_node_ids(self) -> list[int]:
        return [node for node in super().get_node_ids() if node - self.node(0) not in self.away]

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        replies = []
        for message in messages:
            self.sent.append(message)
            partition = message.metadata.dst_node_id - self.node(0)
            if partition not in self.away and (reply := self.exchange(partition, message)) is not None:
                replies.append(reply)
        self.random.shuffle(replies)
        return replies

    def exchange(self, partition: int, message: Message) -> Message | None:
        """A request and its reply, if it arrives, with at most one fault."""
        fault = self.fault()
        if fault:
            self.faults[fault] += 1
        if partition in self.late and self.random.random() < 0.5:
            self.arrives(partition, self.late.pop(partition))
        if fault == "coordinator killed":
            raise KeyboardInterrupt
        if fault == "request lost":
            return None
        if fault == "late":
            self.late[partition] = message
            return None
        if fault == "an older one again":
            older = [each for each in self.sent if each.metadata.dst_node_id == message.metadata.dst_node_id]
            self.arrives(partition, self.random.choice(older))
        self.ill = fault == "training fails"
        asked = self.damaged(message) if fault == "request damaged" else message
        reply = self.killed(partition, asked) if fault == "killed" else self.arrives(partition, asked)
        self.ill = False
        if fault == "twice":
            again = self.arrives(partition, asked)
            assert again.has_error() or reply.has_error() or body(again) == body(reply) or step(again) == Step.HANDOVER
        if fault == "reply damaged" and not reply.has_error():
            reply = self.damaged(reply)
        return None if fault == "reply lost" else reply

    def fault(self) -> str:
        drawn = 100 * self.random.random()
        for name, share in FAULTS.items():
            drawn -= share
            if drawn < 0:
                return "" if self.calm else name
        return ""

    def damaged(self, message: Message) -> Message:
        """One bit of it is another, in its body or in a vector beside it."""
        again = Message(RecordDict(dict(message.content.items())), dst_node_id=message.metadata.dst_node_id, message_type="query")
        again.metadata.__dict__.update(message.metadata.__dict__)
        vectors = [name for name in (message_records.WORDS, message_records.HANDOVER) if name in message.content]
        if vectors and self.random.random() < 0.5:
            name = self.random.choice(vectors)
            (words,) = message_records.vectors(message.content, name)
            changed = words.copy()
            changed[self.random.randrange(len(changed))] ^= 1
            again.content[name] = message_records.array_record([changed])
            return again
        content, place = body(message), self.random.randrange(len(body(message)))
        flipped = content[:place] + bytes([content[place] ^ 1 << self.random.randrange(8)]) + content[place + 1 :]
        again.content[message_records.MESSAGE] = message_records.content(step(message), {message_records.BODY: flipped}, {})[
            message_records.MESSAGE
        ]
        return again

    # The partners

    def killed(self, partition: int, message: Message) -> Message:
        """A partner dies before one of its next writes, if it comes so far, and is started again."""
        with self.death.living(self.random.randrange(8)):
            reply = self.arrives(partition, message)
        sweep(self.folder / f"partner-{partition + 1}")
        return reply

    def arrives(self, partition: int, message: Message) -> Message:
        """What a partner answers; whatever it holds then was to be expected, and whatever it refuses has a name."""
        self.delivered[partition] += 1
        parsed = parsed_request(message)
        self.asking = (parsed.session, parsed.number) if isinstance(parsed, CollectRequest) else (b"", 0)
        reply = self.answer(message)
        if reply.has_error():
            name = reply.error.reason.split("'")[1].rpartition(".")[2]
            self.refusals[name] += 1
            kind = getattr(errors, name, None)
            assert kind is not None or name in ("PartnerKilledError", "ArithmeticError", "ValueError"), reply.error.reason
        self.witness(partition + 1, parsed)
        return reply

    def witness(self, partner: int, parsed: CollectRequest | FinishRequest | None) -> None:
        """Hold a partner's trunk against what it should be."""
        path = self.folder / f"partner-{partner}" / "shared.safetensors"
        if not path.is_file():
            return
        held = SharedTrunk.read(path)
        if not held.arrays or held.name == self.holds.get(partner):
            return
        if held.name not in self.known:
            self.known[held.name] = self.expected(partner, held, parsed)
            for row in held.arrays[0][ROWS] if held.version else ():
                self.needles.add_whole(f"trunk {held.version}", row.tobytes())
        expected = self.known[held.name]
        assert held.version == expected.version
        assert equal(held.arrays, expected.arrays)
        assert held.value_range == expected.range
        assert held.velocity.values.tobytes() == (expected.velocity_over(held.velocity.rows).tobytes() if held.version else b"")
        self.holds[partner] = held.name

    def expected(self, partner: int, held: SharedTrunk, parsed: CollectRequest | FinishRequest | None) -> Expected:
        """A trunk that nobody had before: the first one, or one more sum."""
        if held.version == 0:
            return Expected(0, START, FIRST_RANGE)
        assert parsed is not None
        assert parsed.last is not None
        handed = parsed.handover is not None and parsed.handover.trunk in self.known
        before = self.known[parsed.handover.trunk if handed and parsed.handover else self.holds[partner]]
        if before.version != held.version - 1:
            before = self.known[self.holds[partner]]
        trained = {each: self.trained[parsed.session, parsed.last.number, each] for each in parsed.last.survivors}
        assert {number for number, _ in trained.values()} == {held.version}
        return before.after({each: update(each, *asked) for each, asked in trained.items()}, held.rows)

    def forget(self, sessions: int = 3) -> None:
        """Keep only what may still be asked about."""
        kept = list(dict.fromkeys(session for session, _, _ in self.trained))[-sessions:]
        self.trained = {key: value for key, value in self.trained.items() if key[0] in kept}
        versions = sorted({each.version for each in self.known.values()})[-2 * LONGEST :]
        self.known = {digest: each for digest, each in self.known.items() if each.version in versions or digest in self.holds.values()}
        self.needles.whole = dict(list(self.needles.whole.items())[-200:])

    def after_round(self, strategy: SecureTrunk) -> None:
        """Survivors trained from one trunk, and the coordinator has not seen it; then somebody may leave, or come back."""
        assert strategy._last is not None
        survivors = strategy._last.survivors
        assert len(survivors) >= strategy.roster.least()
        assert len({self.holds[each] for each in survivors}) == 1
        session = {self.holds[each] for each in set(strategy._nodes) - strategy._behind if each in self.holds}
        versions = [self.known[digest].version for digest in session]
        assert len(versions) == len(set(versions)), "one trunk for each number of rounds in a session"
        everywhere = [self.known[digest].version for digest in set(self.holds.values())]
        self.forks |= {version for version, times in Counter(everywhere).items() if times > 1}
        blobs, _ = held_by(strategy)
        assert self.needles.whole or strategy.version == 1, "there is something to look for"
        assert self.needles.found_in(blobs) == set(), "the coordinator knows no trunk and no update"
        self.away = {partition: left - 1 for partition, left in self.away.items() if left > 1}
        for partition in range(self.partners):
            if not self.calm and partition not in self.away and len(self.away) < 2 and self.random.random() < AWAY:
                self.away[partition] = self.random.randint(1, LONGEST)
                self.faults["away"] += 1
        self.forget()


def parsed_request(message: Message) -> CollectRequest | FinishRequest | None:
    """A request that can bring a sum; None for any other, and for what cannot be read."""
    kinds: dict[str, type[CollectRequest] | type[FinishRequest]] = {Step.COLLECT: CollectRequest, Step.FINISH: FinishRequest}
    try:
        return wire.decode(kinds[step(message)], body(message))
    except (KeyError, errors.MalformedMessageError):
        return None
