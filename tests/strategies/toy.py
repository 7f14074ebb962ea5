"""A consortium that learns nothing: strategy, mod and protocol as they are, and updates that arithmetic gives.

Each update is a multiple of 2^-8 that depends on partner, round and attempt alone: rounding leaves it as it is, and so the trunk after any
rounds is known without them.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from flwr.app import ArrayRecord, Context, Message
from flwr.client import Client, NumPyClient
from flwr.clientapp import ClientApp

from fedapp.consortium.promises import load_transcript
from strategies.coordinator.exchange import Exchanges
from strategies.coordinator.journal import Exchange, Journal, read_journal
from strategies.coordinator.secure_trunk import SecureTrunk
from strategies.partner.secure_partner import SecurePartner
from strategies.partner.secure_trunk_mod import secure_trunk_mod
from strategies.partner.side import Membership, PartnerData, PartnerSide, UpdateTerms
from strategies.partner.trunk_in_session import Arrived
from strategies.secagg.messages import SessionParameters
from strategies.secagg.phases import Step
from strategies.secagg.repetition import RepetitionLimits
from strategies.secagg.state import State, load
from strategies.secagg.transcript import Entry
from strategies.update.candidates import Candidates
from strategies.update.holders import Holders
from strategies.update.leakage import Library
from strategies.update.shared_trunk import SharedTrunk
from tests.helpers.federation import body, step
from tests.helpers.local_grid import LocalGrid
from tests.strategies.secagg.parties import identities, parameters_for, policy_for, roster_of

NOTHING = Arrived([], [])
SHAPES = ((4, 2), (2,))
LAYOUT = "4x2,2"
FIRST = [np.ones(shape, dtype=np.float32) for shape in SHAPES]
ROWS = np.array([True, True, False, True])
HEADS = (3, 3)  # of a toy whose partners have common endpoints; so many of six have a part in each: all, five, two
MOMENTUM = 0.5
COMPOUNDS = [(0, 1, 3)] * 10 + [(0, 1, 2, 3)] * 5  # every update's rows are twins, and name neither of these two fingerprints


def update(partner: int, number: int, attempt: int) -> list[np.ndarray]:
    """What partner 1, 2, … learns in a round."""
    rows = np.where(ROWS[:, None], partner + 4 * number, 0) * np.ones((1, 2)) / 256
    return [rows.astype(np.float32), np.full(2, (16 * attempt - partner) / 256, dtype=np.float32)]


def parts(partner: int) -> np.ndarray:
    """In which slots partner 1, 2, … has a part."""
    return np.array([True, partner != 2, partner <= 2])


def heads_update(partner: int, number: int) -> np.ndarray:
    """What a partner's shared heads learn, also those in which it has no part."""
    return np.full(HEADS, (8 * partner + number) / 256, dtype=np.float32) * np.array([[1], [-1], [2]], dtype=np.float32)


def expected(partners: list[int], rounds: int) -> list[np.ndarray]:
    """The trunk when all of these took part in every round, once."""
    arrays = [array.astype(np.float64) * (ROWS[:, None] if array.ndim == 2 else 1) for array in FIRST]
    for number in range(1, rounds + 1):
        for place, array in enumerate(arrays):
            array += np.mean([update(each, number, 0)[place] for each in partners], axis=0, dtype=np.float64)
    return [array.astype(np.float32) for array in arrays]


def holders_of(compounds: list[tuple[int, ...]], bits: int = 4) -> Holders:
    """Of fingerprints given by their bits."""
    indices = np.array([bit for held in compounds for bit in held], dtype=np.int32)
    return Holders.of(np.cumsum([0, *map(len, compounds)]), indices, bits)


def no_candidates(bits: int = 4) -> Candidates:
    """Of a partner that keeps no compounds aside."""
    return Candidates(Library(np.zeros(1, dtype=np.int64), np.empty(0, dtype=np.int32), bits), np.empty(0, dtype=np.bool_))


def index_of(context: Context) -> int:
    """Partner 1, 2, …"""
    return 1 + int(context.node_config["partition-id"])


class Learner(NumPyClient):
    """Trains by arithmetic, and remembers nothing."""

    def __init__(self, partner: int, ill: frozenset[tuple[int, int]]) -> None:
        self.partner, self.ill = partner, ill

    def fit(self, parameters: list[np.ndarray], config: dict[str, int]) -> tuple[list[np.ndarray], int, dict[str, float]]:
        if (self.partner, config["round"]) in self.ill:
            raise ArithmeticError("no training today")
        change = [*update(self.partner, config["round"], config["attempt"]), heads_update(self.partner, config["round"])]
        return [array + each for array, each in zip(parameters, change, strict=False)], 1, {"loss": self.partner / 4}

    def evaluate(self, parameters: list[np.ndarray], config: dict[str, int]) -> tuple[float, int, dict[str, float]]:
        return 0.0, 1, {}


@dataclass
class Toy:
    """Partners with a folder each, and a coordinator that can be started again and again.

    Args:
        folder: Of everybody.
        partners: How many; one of four may be missing.
        rounds: To train.
        guard: Training compounds that a row needs; 0 is off.
        heads: Whether the partners have common endpoints, and the trunk momentum.
        supporters: Partners that a row needs, and a shared head, as the coordinator proposes.
        repetition: What every partner's policy allows of it.
        changed: Partner to what is different on its side.
        ill: Partners and rounds, such as (2, 1), whose training fails.
    """

    folder: Path
    partners: int = 4
    rounds: int = 2
    guard: int = 10
    heads: bool = False
    supporters: int = 3
    repetition: RepetitionLimits = field(default_factory=RepetitionLimits)
    changed: dict[int, dict[str, object]] = field(default_factory=dict)
    ill: frozenset[tuple[int, int]] = frozenset()
    grid: LocalGrid = field(init=False)

    def __post_init__(self) -> None:
        self.roster = roster_of(self.partners)
        client_app = ClientApp(
            self.learner, mods=[secure_trunk_mod(lambda context: self.side(1 + int(context.node_config["partition-id"])))]
        )
        self.grid = LocalGrid(client_app, self.partners, {})
        for partner in range(1, self.partners + 1):
            self.home(partner).mkdir(parents=True)

    def first(self) -> list[np.ndarray]:
        """The trunk before the first round; shared heads are zero."""
        layers = [array * (ROWS[:, None] if array.ndim == 2 else np.float32(1)) for array in FIRST]
        return [array.astype(np.float32) for array in layers] + [np.zeros(HEADS, dtype=np.float32)] * self.heads

    @property
    def layout(self) -> str:
        return f"{LAYOUT},slots:{HEADS[0]}x{HEADS[1]}" if self.heads else LAYOUT

    def learner(self, context: Context) -> Client:
        return Learner(index_of(context), self.ill).to_client()

    def home(self, partner: int) -> Path:
        return self.folder / f"partner-{partner}"

    def side(self, partner: int) -> PartnerSide:
        policy = policy_for(self.roster, row_guard=self.guard, layout=self.layout, repetition=self.repetition)
        rows = ROWS.copy() if self.guard > 1 else np.ones(4, dtype=np.bool_)
        terms = UpdateTerms(
            shapes=(*SHAPES, HEADS) if self.heads else SHAPES,
            partners=self.partners,
            word_bits=32,
            value_range=0.25,
            largest_weight=1,
            server_learning_rate=1.0,
            momentum=MOMENTUM if self.heads else 0.0,
            slots=HEADS[0] if self.heads else 0,
            row_guard=self.guard,
            metrics=("loss",),
        )
        data = PartnerData(
            support=lambda: np.concatenate([rows, parts(partner)]) if self.heads else rows,
            holders=lambda: holders_of(COMPOUNDS),
            candidates=lambda number: no_candidates(),
            weight=lambda: 1,
            first_trunk=lambda key: self.first(),
            rounding_seed=lambda number, attempt: partner + 1000 * number + attempt,
        )
        membership = Membership(identities(self.partners)[partner - 1], self.roster, policy)
        return changed(PartnerSide(self.home(partner), membership, terms, data), self.changed.get(partner, {}))

    def federate(self) -> None:
        """Start the coordinator, or start it again."""
        journal, names = Journal(self.folder / "journal.jsonl"), [member.name for member in self.roster.members]
        exchanges = Exchanges(self.grid, journal, self.partners, 2, connect_timeout=0.01, exchange_timeout=1, round_timeout=1, names=names)
        nonces = iter(np.random.default_rng(len(self.journal())).bytes(32) for _ in range(99))
        strategy = SecureTrunk(exchanges, self.roster, lambda: self.parameters(next(nonces)), 50)
        done = strategy.set_up()
        strategy.start(self.grid, ArrayRecord(), num_rounds=self.rounds - done, timeout=1)
        strategy.finish()

    def parameters(self, nonce: bytes) -> SessionParameters:
        """What the coordinator proposes."""
        return parameters_for(self.roster, row_guard=self.guard, layout=self.layout, least_supporters=self.supporters, nonce=nonce)

    def journal(self) -> list[Exchange]:
        return read_journal(self.folder / "journal.jsonl")

    def held(self, partner: int) -> SharedTrunk:
        return SharedTrunk.read(self.home(partner) / "shared.safetensors")

    def all_held(self) -> list[SharedTrunk]:
        return [self.held(partner) for partner in range(1, self.partners + 1)]

    def entries(self, partner: int) -> tuple[Entry, ...]:
        """A partner's transcript, every line verified."""
        (path,) = self.home(partner).glob("transcript-*.jsonl")
        return load_transcript(path, self.roster)[1]

    def transcripts(self) -> dict[int, tuple[Entry, ...]]:
        """Everybody's."""
        return {partner: self.entries(partner) for partner in range(1, self.partners + 1)}


def changed(side: PartnerSide, changes: dict[str, object]) -> PartnerSide:
    """The side with some fields, of its own or of its terms and data, replaced."""
    within = {name: {key: value for key, value in changes.items() if hasattr(getattr(side, name), key)} for name in ("terms", "data")}
    whole = {key: value for key, value in changes.items() if hasattr(side, key)}
    assert len(whole) + sum(map(len, within.values())) == len(changes)
    parts = {name: replace(getattr(side, name), **values) for name, values in within.items()}
    return replace(side, **parts, **whole)  # type: ignore[arg-type]


def no_training(*args: object) -> tuple[list[np.ndarray], dict[str, float]]:
    raise AssertionError("nothing is trained here")


def no_evaluation(*args: object) -> dict[str, float]:
    raise AssertionError("nothing is evaluated here")


def ask(side: PartnerSide, step: Step, request: bytes) -> tuple[bytes, list[np.ndarray]]:
    """The answer of a partner's fresh process to a request that trains nothing."""
    return SecurePartner(side).answer(step, request, NOTHING, no_training, no_evaluation)


def state_of(toy: Toy, partner: int) -> State:
    return load((toy.home(partner) / "protocol.state").read_bytes())


def last_request(toy: Toy, asked: Step, partner: int) -> bytes:
    node = LocalGrid.node(partner - 1)
    return next(body(m) for m in reversed(toy.grid.sent) if (step(m), m.metadata.dst_node_id) == (asked, node))


def stopped_before(toy: Toy, asked: Step, partner: int, number: str = "1") -> bytes:
    """Run until that partner would get such a request; the request."""

    def kill(partition: int, message: Message) -> Message:
        if (partition + 1, step(message), message.metadata.group_id) == (partner, asked, number):
            raise KeyboardInterrupt
        return message

    toy.grid.down = kill
    with pytest.raises(KeyboardInterrupt):
        toy.federate()
    return body(toy.grid.sent[-1])
