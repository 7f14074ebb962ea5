"""Real parties over an in-memory transport: every message goes through its bytes, and partners are restarted after each of them."""

import copy
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from cryptography.hazmat.primitives.asymmetric import ed25519, mldsa

from strategies.secagg import keys, masking
from strategies.secagg.collection import Collection
from strategies.secagg.coordinator import Coordinator
from strategies.secagg.errors import OutOfOrderError
from strategies.secagg.identity import Identity
from strategies.secagg.keystream import DTYPES
from strategies.secagg.messages import NO_TRUNK, PROTOCOL, CollectRequest, FinishRequest, LastRound, SessionParameters
from strategies.secagg.participant import Participant
from strategies.secagg.phases import Step
from strategies.secagg.policy import Policy
from strategies.secagg.repetition import RepetitionLimits
from strategies.secagg.roster import Member, Roster, default_threshold
from strategies.secagg.state import dump, load

IDENTITIES: list[Identity] = []
CONTENT = hashlib.sha256(b"the first trunk").digest()


def identities(count: int) -> list[Identity]:
    """The same ones for all tests, and in every run."""
    while len(IDENTITIES) < count:
        seed = hashlib.sha256(b"identity %d" % len(IDENTITIES)).digest()
        IDENTITIES.append(Identity(ed25519.Ed25519PrivateKey.from_private_bytes(seed), mldsa.MLDSA65PrivateKey.from_seed_bytes(seed)))
    return IDENTITIES[:count]


def roster_of(count: int, threshold: int | None = None, minimum: int = 3) -> Roster:
    members = tuple(Member(index, f"partner-{index}", each.public) for index, each in enumerate(identities(count), 1))
    return Roster("test", threshold or default_threshold(count), minimum, members)


def parameters_for(roster: Roster, word_bits: int = 32, **changes: object) -> SessionParameters:
    held = {
        "protocol": PROTOCOL,
        "roster": roster.digest(),
        "configuration": b"c" * 32,
        "layout": "4x2,2",
        "word_bits": word_bits,
        "row_guard": 10,
        "least_supporters": 3,
        "rounds": 100,
        "metrics": ("loss",),
        "nonce": b"n" * 32,
    }
    return SessionParameters(**(held | changes))  # type: ignore[arg-type]


def policy_for(roster: Roster, **changes: object) -> Policy:
    held = {
        "roster": roster.digest(),
        "configuration": b"c" * 32,
        "layout": "4x2,2",
        "word_bits": (16, 32),
        "row_guard": 10,
        "least_supporters": 3,
        "rounds": 100,
        "metrics": ("loss",),
        "least_survivors": 3,
    }
    return Policy(**(held | changes))  # type: ignore[arg-type]


def entropy_from(seed: int) -> Callable[[int], bytes]:
    """Reproducible bytes, for tests alone."""
    return np.random.default_rng(seed).bytes


@dataclass
class Site:
    """A partner as its caller runs it: repeated requests get the same answer, and its trunk lies beside the protocol's state.

    Attributes:
        participant: The partner.
        version, trunk, before: Rounds and name of the trunk that it holds, and the name of the one before.
        began: The session in which it last came to the trunk that the session goes on from.
        values, shown: What it will send in the next round: integers, and words for the coordinator.
        words: The vector that travels beside its last masked input.
        decoded: The last sum that it finished.
        listing: Whether its rounds agree on a row list.
    """

    participant: Participant
    version: int = 0
    trunk: bytes = NO_TRUNK
    before: bytes = NO_TRUNK
    began: bytes = b""
    values: np.ndarray = field(default_factory=lambda: np.zeros(4, dtype=np.int64))
    shown: np.ndarray = field(default_factory=lambda: np.zeros(1, dtype=np.int64))
    words: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=DTYPES[32]))
    decoded: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    listing: bool = False

    def answer(self, step: Step, request: bytes, beside: np.ndarray | bytes | None = None) -> bytes:
        """The reply to a request, and to the vector or ciphertext beside it."""
        repeated = self.participant.state.repeated(step, request)
        if repeated is not None:
            return repeated
        if step is Step.ADVERTISE_KEYS:
            return self.participant.advertise(request, *self.names())
        if step is Step.COLLECT:
            return self.collect(request, beside)
        if step is Step.FINISH:
            self.catch_up(self.participant.close(request), beside)
            return self.participant.tell_holding(step, request, self.version)
        if step is Step.HANDOVER:
            version = self.participant.asked_to_hand_over(request)
            self.begin()
            trunk = self.trunk if version == self.version else self.before
            reply, self.words = self.participant.hand_over(trunk, b"content of " + trunk)
            return reply
        answers = {Step.SHARE_KEYS: self.participant.share_keys, Step.CONSISTENCY: self.participant.confirm}
        return answers.get(step, self.participant.unmask)(request)

    def collect(self, request: bytes, beside: np.ndarray | bytes | None) -> bytes:
        """Finish the last round and mask for this one, unless the trunk is missing."""
        parsed = self.participant.collect(request)
        self.catch_up(parsed, beside)
        if self.version != parsed.version or self.began != parsed.session:
            return self.participant.tell_holding(Step.COLLECT, request, self.version)
        self.words = self.vector()
        return self.participant.mask(request, self.basis(), self.words, as_words(self.shown, self.words.dtype))

    def catch_up(self, parsed: CollectRequest | FinishRequest, beside: np.ndarray | bytes | None) -> None:
        """Come to the trunk that a request goes on from, as far as what it brings allows."""
        self.begin()
        session = self.participant.session
        if parsed.handover is not None and self.began != session.id and parsed.last is None:
            assert isinstance(beside, bytes)
            name = self.participant.take_over(parsed.handover, beside).removeprefix(b"content of ")
            self.participant.check_taken(parsed.handover, name, b"", parsed.last, parsed.headers)
            self.version, self.trunk, self.before, self.began = session.version, name, NO_TRUNK, session.id
        if parsed.last is not None and self.version == parsed.version - 1 and self.began == session.id:
            assert isinstance(beside, np.ndarray)
            self.finish(parsed.last, beside)

    def names(self) -> tuple[int, bytes, bytes]:
        """What it advertises."""
        return (self.version, self.trunk, self.before) if self.version else (0, NO_TRUNK, NO_TRUNK)

    def begin(self) -> None:
        """Come to the trunk that the session goes on from, if it is here: drawn anew, held, or one round back."""
        session = self.participant.session
        if self.began == session.id:
            return
        if session.trunk == NO_TRUNK and self.version <= 1:
            self.trunk = keys.trunk_name(self.participant.trunk_blind(None), 0, CONTENT, NO_TRUNK)
            self.version, self.before, self.began = 0, NO_TRUNK, session.id
        elif self.trunk == session.trunk:
            self.began = session.id
        elif self.before == session.trunk != NO_TRUNK:
            self.version, self.trunk, self.before, self.began = session.version, session.trunk, NO_TRUNK, session.id

    def basis(self) -> bytes:
        """What it trains from, of an empty row list; or, where it agrees on one, the session's trunk."""
        return self.participant.session.trunk if self.listing else self.participant.basis(self.trunk, b"")

    def finish(self, last: LastRound, blinded: np.ndarray) -> np.ndarray:
        """Decode a masked sum, and move on to the trunk after it."""
        self.decoded = self.participant.finish(last, blinded.copy(), self.basis())
        content = hashlib.sha256(self.decoded.tobytes()).digest()
        self.version += 1
        following = keys.trunk_name(self.participant.trunk_blind(last.number), self.version, content, self.trunk)
        self.before, self.trunk = self.trunk if self.version > 1 else NO_TRUNK, following
        return self.decoded

    def vector(self) -> np.ndarray:
        """The values as words, with space for the tag."""
        session = self.participant.session
        return as_words(np.append(self.values, np.zeros(masking.tag_words(session))), DTYPES[session.parameters.word_bits])

    def restart(self) -> None:
        """Its process ends, and another one starts from what it wrote down."""
        held = self.participant
        state = load(dump(held.state))
        self.participant = Participant(held.identity, held.roster, held.policy, held.entropy, state, held.repetition)


def as_words(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Integers modulo the word size."""
    return values.astype(np.int64).astype(dtype)


Deliver = Callable[[Step, int, bytes], bytes | None]


@dataclass
class Parties:
    """A coordinator and its partners.

    Args:
        roster: All partners are there, with reproducible randomness.
        word_bits: 32 or 16.
        seed: Of all randomness.
        down, up: May change, or swallow (None), a message of the named step to or from a partner.
        restarting: Whether partners are; without, thousands of rounds take less time.
    """

    roster: Roster
    word_bits: int = 32
    seed: int = 0
    down: Deliver = lambda step, index, message: message
    up: Deliver = lambda step, index, message: message
    restarting: bool = True
    coordinator: Coordinator = field(init=False)
    sites: dict[int, Site] = field(init=False)

    def __post_init__(self) -> None:
        policy = policy_for(self.roster)
        self.sites = {
            index: Site(Participant(each, self.roster, policy, entropy_from(1000 * self.seed + index)))
            for index, each in enumerate(identities(len(self.roster.members)), 1)
        }
        self.coordinator = Coordinator(self.roster, parameters_for(self.roster, self.word_bits))

    def partner(self, index: int) -> Participant:
        return self.sites[index].participant

    def copy(self) -> "Parties":
        """Parties that go on from here for themselves."""
        again = copy.copy(self)
        again.sites = {index: copy.copy(site) for index, site in self.sites.items()}
        for site in again.sites.values():
            site.restart()
        again.coordinator = copied(self.coordinator)
        return again

    def exchange(self, step: Step, index: int, request: bytes, beside: np.ndarray | bytes | None = None) -> bytes | None:
        """One request and its reply; None when either got lost, or the partner missed the request before."""
        arrived = self.down(step, index, request)
        if arrived is None:
            return None
        try:
            reply = self.sites[index].answer(step, arrived, beside)
        except OutOfOrderError:
            return None
        if self.restarting:
            self.sites[index].restart()
        return self.up(step, index, reply)

    def set_up(self) -> tuple[int, ...]:
        """Both exchanges of set-up; the members."""
        for index in self.sites:
            reply = self.exchange(Step.ADVERTISE_KEYS, index, self.coordinator.advertise_request())
            if reply is not None:
                self.coordinator.add_advertisement(reply)
        self.share_keys()
        return self.coordinator.members()

    def share_keys(self) -> None:
        request = self.coordinator.share_keys_request()
        for index in sorted(self.coordinator.advertisements):
            reply = self.exchange(Step.SHARE_KEYS, index, request)
            if reply is not None:
                self.coordinator.add_contributions(index, reply)

    def collect(self, number: int, inputs: Mapping[int, np.ndarray], shown: Mapping[int, np.ndarray] | None = None) -> Collection:
        """MaskedInputCollection; everybody in `inputs` is the cohort."""
        cohort = tuple(sorted(inputs))
        collection = Collection(self.coordinator, number, cohort)
        for index in cohort:
            site = self.sites[index]
            site.values, site.shown = inputs[index], (shown or {}).get(index, np.zeros(1, dtype=np.int64))
            request = self.coordinator.collect_request(index, number, cohort, False, site.version, None, None)
            reply = self.exchange(Step.COLLECT, index, request)
            if reply is not None:
                collection.add_input(index, reply, site.words)
        return collection

    def agree(self, collection: Collection) -> None:
        """ConsistencyCheck."""
        request = collection.consistency_request()
        for index in collection.survivors:
            reply = self.exchange(Step.CONSISTENCY, index, request)
            if reply is not None:
                collection.add_signature(index, reply)

    def reveal(self, collection: Collection) -> tuple[np.ndarray, np.ndarray]:
        """Unmasking; the blinded sum and the public one."""
        for index in collection.signers():
            reply = self.exchange(Step.UNMASK, index, collection.unmask_request(index))
            if reply is not None:
                collection.add_answer(index, reply)
        return collection.unmask()

    def finish(self, collection: Collection, blinded: np.ndarray) -> dict[int, np.ndarray]:
        """Every member decodes; by partner."""
        last = LastRound(collection.number, collection.survivors, False)
        return {index: self.sites[index].finish(last, blinded) for index in self.coordinator.members()}

    def round(self, number: int, inputs: Mapping[int, np.ndarray]) -> dict[int, np.ndarray]:
        """A whole round."""
        collection = self.collect(number, inputs)
        self.agree(collection)
        blinded, _ = self.reveal(collection)
        return self.finish(collection, blinded)


def unlimited(parties: Parties) -> None:
    """Let every round be tried as often as a test likes."""
    for site in parties.sites.values():
        site.participant.policy = replace(site.participant.policy, repetition=RepetitionLimits(10**6, 10**6, 10**6))


def copied(held: Coordinator) -> Coordinator:
    """The coordinator with containers of its own."""
    again = copy.copy(held)
    again.advertisements, again.contributions, again.joined = dict(held.advertisements), dict(held.contributions), set(held.joined)
    again.proofs = list(held.proofs)
    return again


def copied_round(held: Collection, coordinator: Coordinator) -> Collection:
    """A round with containers of its own, at a copied coordinator."""
    again = copy.copy(held)
    again.coordinator, again.inputs, again.sums = coordinator, dict(held.inputs), copy.deepcopy(held.sums)
    again.signatures, again.answers, again.seeds = dict(held.signatures), dict(held.answers), dict(held.seeds)
    return again
