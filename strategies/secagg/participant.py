"""A partner in the protocol: it moves from state to state as the table of phases says.

Nothing here waits, sends, reads a clock or a file. The caller keeps `state` in a private file, written and synced before a reply
leaves, and gives it back in the next process: a partner answers a request once, and the same request again with the same bytes.
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TypeVar

import numpy as np

from strategies.secagg import consistency, handover, keys, masking, session, wire
from strategies.secagg.consistency_messages import ConsistencyRequest, UnmaskRequest, survivors_digest
from strategies.secagg.errors import OldRoundError, OldSessionError, PolicyError, SecAggError, SurvivorsDisagreeError
from strategies.secagg.identity import Identity
from strategies.secagg.masking import Round
from strategies.secagg.messages import (
    CollectRequest,
    DeliveredContribution,
    FinishRequest,
    Handover,
    HandoverRequest,
    LastRound,
    SessionParameters,
    ShareKeysRequest,
    cohort_digest,
)
from strategies.secagg.phases import HARMLESS, Phase, Step, after
from strategies.secagg.policy import Policy
from strategies.secagg.roster import Roster
from strategies.secagg.session import Entropy, Session
from strategies.secagg.state import State
from strategies.secagg.transcript import Fact

T = TypeVar("T")


class Participant:
    """One partner.

    Args:
        identity: Its private keys.
        roster: Who takes part; pinned.
        policy: The least it accepts.
        entropy: Returns that many random bytes; the operating system's generator outside tests.
        state: What an earlier process left.
    Raises:
        UnknownPartnerError: The identity is not in the roster.
        PolicyError: The policy pins another roster.
    """

    def __init__(self, identity: Identity, roster: Roster, policy: Policy, entropy: Entropy, state: State | None = None) -> None:
        self.identity, self.roster, self.policy, self.entropy = identity, roster, policy, entropy
        if roster.digest() != policy.roster:
            raise PolicyError(f"the roster is {roster.digest().hex()[:16]}, and this partner's policy pins {policy.roster.hex()[:16]}")
        self.index = roster.index_of(identity.public)
        self.state = state or State()
        self.least = max(roster.least(), policy.least_survivors)
        self.facts: tuple[Fact, ...] = ()

    @property
    def phase(self) -> Phase:
        """Where it stands."""
        return Phase(self.state.phase)

    @property
    def session(self) -> Session:
        """The session with its keys.

        Raises:
            OldSessionError: There is none yet.
        """
        if self.state.session is None:
            raise OldSessionError("this partner has no session with keys")
        return self.state.session

    def advertise(self, request: bytes, version: int, trunk: bytes) -> bytes:
        """Answer AdvertiseKeys: a new session begins, and every key of the last one is forgotten.

        Args:
            version, trunk: Rounds and digest of the trunk that this partner holds; `NO_TRUNK` for none.
        Raises:
            PolicyError: The parameters are outside our policy.
        """
        with self._step(Step.ADVERTISE_KEYS, request, SessionParameters) as (parameters, reply):
            self.policy.check(parameters)
            self.facts = (Fact("parameters", parameters.digest()),)
            advertised, own = session.advertise(self.identity, self.index, parameters, version, trunk, self.entropy)
            reply(wire.encode(own), State(advertised=advertised))
        return self.state.reply

    def share_keys(self, request: bytes) -> bytes:
        """Answer ShareKeys.

        Raises:
            SecAggError: As `session.share`.
        """
        with self._step(Step.SHARE_KEYS, request, ShareKeysRequest) as (parsed, reply):
            assert self.state.advertised is not None
            self.facts = (Fact("advertisements", hashlib.sha256(request).digest()),)
            shared, answer = session.share(
                self.identity, self.roster, self.least, self.state.advertised, parsed.advertisements, self.entropy
            )
            reply(wire.encode(answer), State(shared=shared))
        return self.state.reply

    def collect(self, request: bytes) -> CollectRequest:
        """Check a request to train and mask; `mask` answers it.

        Raises:
            OldSessionError, OldRoundError: Replayed, or late.
            SecAggError: As `session.establish` and `round.check_cohort`.
        """
        with self._open(Step.COLLECT, request, CollectRequest) as parsed:
            self.facts = (Fact("cohort", cohort_digest(parsed.cohort)), *self._sum_facts(parsed.last))
            self._join(parsed.session, parsed.contributions)
            self._check_unused(parsed.number)
            masking.check_cohort(self.session, parsed.cohort, self.least)
        return parsed

    def mask(self, request: bytes, trunk: bytes, words: np.ndarray, public: np.ndarray, threads: int = 1) -> bytes:
        """Answer a request that `collect` accepted; the words are masked in place and travel beside the reply.

        Args:
            request: The same bytes.
            trunk: Digest of the trunk that this partner trained from.
            words: uint32 or uint16; the last `round.tag_words` of them are filled here.
            public: Words whose sum the coordinator may know; may be empty.
        Raises:
            OldRoundError: It was answered before.
        """
        with self._step(Step.COLLECT, request, CollectRequest) as (parsed, reply):
            self._check_unused(parsed.number)
            number, cohort = parsed.number, parsed.cohort
            masked, answer = masking.mask(
                self.identity, self.roster, self.session, number, cohort, trunk, words, public, self.entropy, threads
            )
            self.facts += (Fact(f"header {self.index}", hashlib.sha256(wire.encode(answer.header.body)).digest()), Fact("trunk", trunk))
            reply(wire.encode(answer), replace(self.state, round=masked, next_number=number + 1))
        return self.state.reply

    def confirm(self, request: bytes) -> bytes:
        """Answer ConsistencyCheck: sign the survivors of the round in progress.

        Raises:
            SecondSurvivorListError: Another list than the one that was signed.
            SecAggError: As `agreement.confirm`.
        """
        if self.phase in (Phase.SIGNED, Phase.REVEALED):
            with self._refusing():
                again = wire.decode(ConsistencyRequest, request)
                current = self._current(again.session, again.number)
                self.facts = (Fact("survivors", survivors_digest(again)),)
                consistency.check_list_again(current, again)
        with self._step(Step.CONSISTENCY, request, ConsistencyRequest) as (parsed, reply):
            current = self._current(parsed.session, parsed.number)
            named = {f"header {h.body.index}": hashlib.sha256(wire.encode(h.body)).digest() for h in parsed.headers}
            self.facts = tuple(Fact(name, value) for name, value in named.items())
            agreed, answer = consistency.confirm(self.identity, self.roster, self.least, self.session, current, parsed)
            self.facts += (Fact("survivors", agreed.signed),)
            reply(wire.encode(answer), replace(self.state, round=agreed))
        return self.state.reply

    def unmask(self, request: bytes) -> bytes:
        """Answer Unmasking: reveal the shares that the signed survivors call for, once.

        Raises:
            SecondUnmaskingError: After the shares were revealed, and on another list.
            SecAggError: As `agreement.reveal`.
        """
        if self.phase is Phase.REVEALED:
            with self._refusing():
                again = wire.decode(UnmaskRequest, request)
                consistency.check_unmasking_again(self._current(again.session, again.number), again)
        with self._step(Step.UNMASK, request, UnmaskRequest) as (parsed, reply):
            current = self._current(parsed.session, parsed.number)
            self.facts = (Fact("survivors", current.signed),)
            answer = consistency.reveal(self.roster, self.session, current, parsed)
            reply(wire.encode(answer), self.state)
        return self.state.reply

    def finish(self, last: LastRound, words: np.ndarray, trunk: bytes, threads: int = 1) -> tuple[np.ndarray, bytes]:
        """Decode a masked sum in place; see `round.finish`.

        Raises:
            SurvivorsDisagreeError: Other survivors than this partner signed.
            SecAggError: As `round.check_sum` and `round.finish`.
        """
        with self._refusing():
            mine = self.state.round
            if mine is not None and mine.number == last.number and mine.signed and mine.survivors != last.survivors:
                raise SurvivorsDisagreeError(f"a sum over {last.survivors}, and we signed {mine.survivors}")
            masking.check_sum(self.session, words)
            digest = hashlib.sha256(np.ascontiguousarray(words).data).digest()
            self.facts += (Fact("sum", digest),)
            return masking.finish(self.session, last, words, digest, trunk, threads)

    def close(self, request: bytes) -> FinishRequest:
        """Check the last request of a run; `closed` answers it.

        Raises:
            SecAggError: As `collect`.
        """
        with self._open(Step.FINISH, request, FinishRequest) as parsed:
            self.facts = self._sum_facts(parsed.last)
            self._join(parsed.session, parsed.contributions)
        return parsed

    def answered(self, step: Step, request: bytes, reply: bytes) -> bytes:
        """Remember an answer that the caller made itself: to `close`, or that it lacks the trunk to go on from."""
        phase = after(self.phase, step) if step is Step.FINISH else self.phase
        self.state = replace(self.state, phase=phase.value, request=hashlib.sha256(request).digest(), reply=reply)
        return reply

    def hand_over(self, request: bytes, trunk: bytes, plain: bytes) -> tuple[bytes, bytes]:
        """Answer Handover.

        Args:
            trunk: Digest of the trunk held.
            plain: The trunk as bytes.
        Returns:
            The message, and the ciphertext that travels beside it.
        """
        with self._open(Step.HANDOVER, request, HandoverRequest) as parsed:
            self._join(parsed.session, parsed.contributions)
            message, ciphertext = handover.seal(self.identity, self.roster, self.session, trunk, plain, self.entropy)
        return wire.encode(message), ciphertext

    def take_over(self, offered: Handover, ciphertext: bytes) -> bytes:
        """The trunk of a handover.

        Raises:
            HandoverError, SignatureError, UnknownPartnerError: As `handover.open_sealed`.
        """
        with self._refusing():
            return handover.open_sealed(self.roster, self.session, offered, ciphertext)

    def refuse(self, error: SecAggError) -> SecAggError:
        """End the session over something that only the caller could find; the error, to be raised."""
        self.state = State(phase=Phase.FAILED.value)
        return error

    def initial_seed(self) -> bytes:
        """Key of the stream that a first trunk is drawn from: every member's, and nobody else's."""
        return keys.initial_seed(self.session.group)

    def trunk_name(self, content: bytes) -> bytes:
        """The digest of a first trunk, from SHA-256 of its content."""
        return keys.trunk_name(self.session.group, content)

    def _sum_facts(self, last: LastRound | None) -> tuple[Fact, ...]:
        return () if last is None else (Fact("last survivors", cohort_digest(last.survivors)),)

    def _join(self, claimed: bytes, delivered: tuple[DeliveredContribution, ...]) -> None:
        """Make sure that the request is of our session, deriving its keys when the contributions arrive first."""
        shared = self.state.shared
        known = shared.id if shared is not None else self.session.id
        if claimed != known:
            raise OldSessionError(f"a request of session {claimed.hex()[:16]}, and ours is {known.hex()[:16]}")
        if shared is not None:
            joined = session.establish(self.roster, self.least, shared, delivered)
            self.state = replace(self.state, shared=None, session=joined)

    def _check_unused(self, number: int) -> None:
        """One masking for each round number."""
        if number < self.state.next_number:
            raise OldRoundError(f"round {number} of this session is over: the next is {self.state.next_number} or later")

    def _current(self, claimed: bytes, number: int) -> Round:
        """The round in progress."""
        current = self.state.round
        if claimed != self.session.id:
            raise OldSessionError(f"a request of session {claimed.hex()[:16]}, and ours is {self.session.id.hex()[:16]}")
        assert current is not None
        if number != current.number:
            raise OldRoundError(f"a request about round {number}, and ours is {current.number}")
        return current

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        """A refusal that proves a lie or a fault ends the session here, and with it every key."""
        try:
            yield
        except HARMLESS:
            raise
        except SecAggError:
            self.state = State(phase=Phase.FAILED.value)
            raise

    @contextmanager
    def _open(self, step: Step, request: bytes, kind: type[T]) -> Iterator[T]:
        """The request, if the phase expects it."""
        self.facts = ()
        after(self.phase, step)
        with self._refusing():
            yield wire.decode(kind, request)

    @contextmanager
    def _step(self, step: Step, request: bytes, kind: type[T]) -> Iterator[tuple[T, Callable[[bytes, State], None]]]:
        """As `_open`; the caller leaves its answer and the next state, which take effect together."""
        following = after(self.phase, step)
        left: list[State] = []

        def reply(answer: bytes, state: State) -> None:
            left.append(replace(state, phase=following.value, request=hashlib.sha256(request).digest(), reply=answer))

        with self._refusing():
            yield wire.decode(kind, request), reply
        self.state = left[0]
