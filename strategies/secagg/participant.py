"""A partner in the protocol: it moves from state to state as the table of phases says.

Theory of operation:

- A `Participant` is a frozen `State` and one method for each request of the coordinator (PROTOCOL.md, sections 3 to 5). A method reads
  the request, checks it, and makes a reply and the next state, which take effect together in `_answer`, or neither does. The
  arithmetic and the checks are pure functions in `session.py`, `masking.py` and `consistency.py`; here is only their order.
- Nothing here waits, sends, reads a clock or a file. The caller keeps `state` in a private file, written and synced before a reply
  leaves, and gives it back in the next process (section 6).
- A state is used once. Masks are derived from keys and a round's number, so two vectors masked from one state may show the
  coordinator their difference. So the state says which numbers are left (`next_number`), and a caller must never put an older one back.
- The same request again, under the same step, gets the same bytes again: the state keeps its digest and the reply. Networks deliver twice.
- A refusal does one of two things (section 7). Errors of `HARMLESS` prove nothing, since anybody can send old or damaged bytes: the state
  stays. Any other proves a lie or a fault: the state becomes FAILED and every key is dropped, so that nothing more can be asked of it.
- COLLECT and FINISH are answered in two calls, a check and an answer: the caller trains, or evaluates, between them.
- `facts` is what the request in hand showed, for the transcript. It is an attribute because a refused request is written down as well,
  with what was seen until it was refused, and a method that raises returns nothing.
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TypeVar

import numpy as np

from strategies.secagg import consistency, handover, keys, masking, session, slot_order, wire
from strategies.secagg.consistency_messages import ConsistencyRequest, UnmaskRequest, survivors_digest
from strategies.secagg.errors import (
    HandoverError,
    MalformedMessageError,
    OldRoundError,
    OldSessionError,
    PolicyError,
    ProtocolVersionError,
    SecAggError,
    SurvivorsDisagreeError,
    UnequalContributionError,
)
from strategies.secagg.identity import Identity
from strategies.secagg.masking import Round
from strategies.secagg.messages import (
    COLLECT_REPLIES,
    DIGEST,
    LARGEST_NUMBER,
    PROTOCOL,
    CollectRequest,
    Complaint,
    DeliveredContribution,
    FinishRequest,
    Handover,
    HandoverRequest,
    Holding,
    LastRound,
    SessionParameters,
    ShareKeysRequest,
    SignedHeader,
    cohort_digest,
)
from strategies.secagg.phases import HARMLESS, Phase, Step, after
from strategies.secagg.policy import Policy
from strategies.secagg.proofs import proven
from strategies.secagg.repetition import Repetition
from strategies.secagg.roster import Roster
from strategies.secagg.session import Entropy, Session, Shared
from strategies.secagg.state import State, request_digest
from strategies.secagg.transcript import Fact

T = TypeVar("T")  # a message
Result = TypeVar("Result")


class Participant:
    """One partner.

    Args:
        identity: Its private keys.
        roster: Who takes part; pinned.
        policy: The least it accepts.
        entropy: Returns that many random bytes; the operating system's generator outside tests.
        state: What an earlier process left.
        repetition: What it has been made to repeat in this run; as `state`, the caller keeps it, and never puts an older one back.
    Raises:
        UnknownPartnerError: The identity is not in the roster.
        PolicyError: The policy pins another roster.
    """

    def __init__(
        self,
        identity: Identity,
        roster: Roster,
        policy: Policy,
        entropy: Entropy,
        state: State | None = None,
        repetition: Repetition | None = None,
    ) -> None:
        self.identity, self.roster, self.policy, self.entropy = identity, roster, policy, entropy
        if roster.digest() != policy.roster:
            raise PolicyError(f"the roster is {roster.digest().hex()[:16]}, and this partner's policy pins {policy.roster.hex()[:16]}")
        self.index = roster.index_of(identity.public)
        self.state, self.repetition = state or State(), repetition or Repetition()
        self.least = max(roster.least(), policy.least_survivors)
        self.facts: tuple[Fact, ...] = ()
        self._shared_before: Shared | None = None

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

    def advertise(self, request: bytes, version: int, trunk: bytes, before: bytes) -> bytes:
        """Answer AdvertiseKeys: a new session begins, and every key of the last one is forgotten. PROTOCOL.md, section 3.

        Args:
            version, trunk: Rounds and name of the trunk that this partner holds; `NO_TRUNK` for none.
            before: Name of the trunk one round earlier, if it still has that; else `NO_TRUNK`.
        Raises:
            ProtocolVersionError: The coordinator speaks another version.
            PolicyError: The parameters are outside our policy.
        """
        self.facts = ()
        with self._refusing():
            check_protocol(request)

        def work(parameters: SessionParameters) -> tuple[bytes, State]:
            self.policy.check(parameters)
            self._saw(Fact("parameters", parameters.digest()))
            advertised, advertisement = session.advertise(self.identity, self.index, parameters, version, trunk, before, self.entropy)
            return wire.encode(advertisement), State(advertised=advertised)

        return self._answer(Step.ADVERTISE_KEYS, request, SessionParameters, work)

    def share_keys(self, request: bytes) -> bytes:
        """Answer ShareKeys. PROTOCOL.md, section 3.

        Raises:
            RepetitionError: Too many sessions.
            SecAggError: As `session.share`.
        """

        def work(shown: ShareKeysRequest) -> tuple[bytes, State]:
            assert self.state.advertised is not None
            self._saw(Fact("advertisements", hashlib.sha256(request).digest()))
            repetition = self.repetition.joining(self.policy.repetition)
            shared, contributions = session.share(
                self.identity, self.roster, self.least, self.state.advertised, shown.advertisements, self.entropy
            )
            self.repetition = repetition
            return wire.encode(contributions), State(shared=shared)

        return self._answer(Step.SHARE_KEYS, request, ShareKeysRequest, work)

    def collect(self, request: bytes) -> CollectRequest:
        """Check a request to train and mask; `mask` answers it. PROTOCOL.md, section 4.

        Nothing is trained for a cohort that would be refused, and the last round's sum, which comes with the request, is read under
        the session's keys: so the session is joined here, before anything else.

        Raises:
            OldSessionError, OldRoundError: Replayed, or late.
            RepetitionError: Too many lists of this round's survivors were signed.
            SecAggError: As `session.establish` and `masking.check_cohort`.
        """

        def work(parsed: CollectRequest) -> CollectRequest:
            self._saw(Fact("cohort", cohort_digest(parsed.cohort)), *_facts_of(parsed.last))
            self._join(parsed.session, parsed.contributions)
            self._check_unused(parsed.number)
            masking.check_cohort(self.session, parsed.cohort, self.least)
            if not parsed.rows:
                self.repetition.check_round(parsed.version + 1, self.policy.repetition)
            return parsed

        return self._accept(Step.COLLECT, request, CollectRequest, work)

    def mask(self, request: bytes, trunk: bytes, words: np.ndarray, public: np.ndarray, threads: int = 1) -> bytes:
        """Answer a request that `collect` accepted; the words are masked in place and travel beside the reply. PROTOCOL.md, section 4.

        Args:
            request: The same bytes.
            trunk: What this partner trained from: `basis`, or the session's trunk for a row list.
            words: uint32 or uint16; the last `masking.tag_words` of them are filled here.
            public: Words whose sum the coordinator may know; may be empty.
        Raises:
            OldRoundError: It was answered before.
        """

        def work(parsed: CollectRequest) -> tuple[bytes, State]:
            self._check_unused(parsed.number)  # once more: `collect` and training lie between, and a number is masked for once
            masked, reply = masking.mask(
                identity=self.identity,
                roster=self.roster,
                session=self.session,
                number=parsed.number,
                cohort=parsed.cohort,
                trunk=trunk,
                words=words,
                public=public,
                entropy=self.entropy,
                threads=threads,
            )
            self._saw(_header_fact(reply.header), Fact("session's trunk" if parsed.rows else "trunk", trunk))
            if not parsed.rows:
                masked = replace(masked, trains=parsed.version + 1)
                self.repetition = self.repetition.trained(masked.trains)
            return wire.encode_tagged(COLLECT_REPLIES, reply), replace(self.state, round=masked, next_number=parsed.number + 1)

        return self._answer(Step.COLLECT, request, CollectRequest, work, seen=self.facts)

    def confirm(self, request: bytes) -> bytes:
        """Answer ConsistencyCheck: sign the survivors of the round in progress, one list of them. PROTOCOL.md, section 4.

        Raises:
            SecondSurvivorListError: Another list than the one that was signed.
            RepetitionError: Too many lists of this round's survivors, or too many changes of cohort.
            SecAggError: As `consistency.confirm`.
        """
        if self.phase in (Phase.SIGNED, Phase.REVEALED):  # out of order, which is harmless, but for a list that contradicts the signed one
            with self._refusing():
                again = wire.decode(ConsistencyRequest, request)
                current = self._current(again.session, again.number)
                self.facts = (Fact("survivors", survivors_digest(again)),)
                consistency.check_list_again(current, again)

        def work(shown: ConsistencyRequest) -> tuple[bytes, State]:
            current = self._current(shown.session, shown.number)
            headers = {fact.name: fact for fact in map(_header_fact, shown.headers)}  # a name once, also if a header is there twice
            self._saw(*headers.values())
            agreed, signature = consistency.confirm(self.identity, self.roster, self.least, self.session, current, shown)
            self._saw(Fact("survivors", agreed.signed))
            self.repetition = self.repetition.signing(current.trains, agreed.survivors, self.policy.repetition)
            return wire.encode(signature), replace(self.state, round=agreed)

        return self._answer(Step.CONSISTENCY, request, ConsistencyRequest, work)

    def unmask(self, request: bytes) -> bytes:
        """Answer Unmasking: reveal the shares that the signed survivors call for, once. PROTOCOL.md, section 4.

        Raises:
            SecondUnmaskingError: After the shares were revealed, and on another list.
            SecAggError: As `consistency.reveal`.
        """
        if self.phase is Phase.REVEALED:  # as in `confirm`
            with self._refusing():
                again = wire.decode(UnmaskRequest, request)
                consistency.check_unmasking_again(self._current(again.session, again.number), again)

        def work(parsed: UnmaskRequest) -> tuple[bytes, State]:
            current = self._current(parsed.session, parsed.number)
            self._saw(Fact("survivors", current.signed))
            revealed = consistency.reveal(self.identity, self.roster, self.session, current, parsed)
            return wire.encode(revealed), self.state

        return self._answer(Step.UNMASK, request, UnmaskRequest, work)

    def finish(self, last: LastRound, words: np.ndarray, trunk: bytes, threads: int = 1) -> np.ndarray:
        """Decode a masked sum in place; see `masking.finish`. PROTOCOL.md, section 5.

        It comes with the next COLLECT or FINISH, between that request's check and its answer.

        Raises:
            OldRoundError: This partner masked for another round since, and so that one was given up.
            SurvivorsDisagreeError: Other survivors than this partner signed.
            SecAggError: As `masking.check_sum` and `masking.finish`.
        """
        with self._refusing():
            mine = self.state.round
            if mine is not None and last.number < mine.number:  # or some could be given one sum of a round, and others another
                raise OldRoundError(f"a sum of round {last.number}, after this partner was asked for round {mine.number} in its place")
            if mine is not None and mine.number == last.number and mine.signed and mine.survivors != last.survivors:
                raise SurvivorsDisagreeError(f"a sum over {last.survivors}, and we signed {mine.survivors}")
            masking.check_sum(self.session, words)
            self._saw(Fact("sum", hashlib.sha256(np.ascontiguousarray(words).data).digest()))
            return masking.finish(self.session, self.least, last, words, trunk, threads)

    def close(self, request: bytes) -> FinishRequest:
        """Check the last request of a run; `tell_holding` answers it.

        Raises:
            SecAggError: As `collect`.
        """

        def work(parsed: FinishRequest) -> FinishRequest:
            self._saw(*_facts_of(parsed.last))
            self._join(parsed.session, parsed.contributions)
            return parsed

        return self._accept(Step.FINISH, request, FinishRequest, work)

    def tell_holding(self, step: Step, request: bytes, version: int) -> bytes:
        """Answer with the rounds of the trunk that this partner holds: what `close` checked, or `collect` where it lacks the trunk.

        The second leaves the phase as it is: nothing was masked, so the round's number is still to be had.
        """
        holding, ends = Holding(self.index, version), step is Step.FINISH
        reply = wire.encode(holding) if ends else wire.encode_tagged(COLLECT_REPLIES, holding)
        phase = after(self.phase, step) if ends else self.phase
        self.state = replace(self.state, phase=phase.value, request=request_digest(step, request), reply=reply)
        return reply

    def asked_to_hand_over(self, request: bytes) -> int:
        """Check a request for a trunk; `hand_over` answers it. Rounds behind the trunk that is asked for."""

        def work(parsed: HandoverRequest) -> int:
            self._join(parsed.session, parsed.contributions)
            return parsed.version

        return self._accept(Step.HANDOVER, request, HandoverRequest, work)

    def hand_over(self, trunk: bytes, plain: bytes) -> tuple[bytes, bytes]:
        """Answer Handover.

        Args:
            trunk: Name of the trunk.
            plain: The trunk as bytes.
        Returns:
            The message, and the ciphertext that travels beside it.
        """
        message, ciphertext = handover.seal(self.identity, self.roster, self.session, trunk, plain, self.entropy)
        self.saw(f"handed over {self.index}", trunk)
        return wire.encode(message), ciphertext

    def take_over(self, offered: Handover, ciphertext: bytes) -> bytes:
        """The content of a handover, which `check_taken` is asked about before anything is done with it.

        One that is of no use ends no session: nothing was masked, and another partner may hand its trunk over next.

        Raises:
            HandoverError, SignatureError, UnknownPartnerError: As `handover.open_sealed`.
        """
        with self._refusing((*HARMLESS, HandoverError)):
            return handover.open_sealed(self.roster, self.session, offered, ciphertext)

    def check_taken(self, offered: Handover, name: bytes, rows: bytes, last: LastRound | None, headers: tuple[SignedHeader, ...]) -> None:
        """See that a handed-over trunk is one that others go on from.

        Before the first update of a session that is the trunk that the session began with, later the one that the last round trained from.

        Args:
            name, rows: The trunk's name, worked out from its content, and its row list's digest.
            last, headers: As in the request.
        Raises:
            HandoverError, SignatureError, UnknownPartnerError: As `handover.check_beginning` and `handover.check_trained_from`.
        """
        with self._refusing((*HARMLESS, HandoverError)):
            self.saw(f"handed over {offered.holder}", name)
            if last is None or last.rows:
                handover.check_beginning(self.session, offered, name)
            else:
                handover.check_trained_from(self.roster, self.session, offered, name, rows, last.number, headers)

    def complain(self, request: bytes, error: UnequalContributionError) -> bytes:
        """Answer a request that brought a contribution which its sender did not sign so, with what proves it; the session is over.

        Only where nothing was masked: the keys of this session are then of no use to anybody.
        """
        shared = self._shared_before
        assert shared is not None
        reply = wire.encode_tagged(COLLECT_REPLIES, Complaint(self.index, error.partner, shared.secret))
        self.state = State(phase=Phase.FAILED.value, request=request_digest(Step.COLLECT, request), reply=reply)
        return reply

    def take_proofs(self, proofs: tuple[bytes, ...]) -> tuple[int, ...]:
        """Keep what proves that a partner misbehaved; who that is. What proves nothing is left out: anybody can send it."""
        accused: dict[int, bytes] = {}
        for proof in proofs:
            index = proven(self.roster, proof)
            if index is not None:
                accused.setdefault(index, proof)
        self._saw(*(Fact(f"proof against partner {index}", proof) for index, proof in accused.items()))
        return tuple(sorted(accused))

    def saw(self, what: str, value: bytes) -> None:
        """Note for the transcript what the caller found in a request."""
        self._saw(Fact(what, value))

    def refuse(self, error: SecAggError) -> SecAggError:
        """End the session over something that only the caller could find; the error, to be raised."""
        self.state = State(phase=Phase.FAILED.value)
        return error

    def hide_slots(self, number: int, blocks: np.ndarray) -> None:
        """Put the slots' blocks of a round's vector, [slots, words], into the order that only partners know, in place."""
        slot_order.hide(blocks, slot_order.slot_order(self.session.group, number, len(blocks)))

    def show_slots(self, number: int, blocks: np.ndarray) -> None:
        """Put those of a round's sum back, in place."""
        slot_order.show(blocks, slot_order.slot_order(self.session.group, number, len(blocks)))

    def initial_seed(self) -> bytes:
        """Key of the stream that a first trunk is drawn from: every member's, and nobody else's."""
        return keys.initial_seed(self.session.group)

    def trunk_blind(self, number: int | None) -> bytes:
        """What the name of the trunk after a round is blinded with; of the first trunk, if there is no number."""
        return keys.trunk_blind(self.session.group, number)

    def basis(self, name: bytes, rows: bytes) -> bytes:
        """What a round trains from, as its headers and masks name it: a trunk by its name, and its row list by its digest."""
        return keys.basis(self.session.group, name, rows)

    def _join(self, claimed: bytes, delivered: tuple[DeliveredContribution, ...]) -> None:
        """Make sure that the request is of our session, deriving its keys when the contributions arrive first.

        They come with the first request after ShareKeys, so that set-up takes two exchanges and not three. Who contributed is a member.
        """
        shared = self.state.shared
        known = shared.id if shared is not None else self.session.id
        if claimed != known:
            raise OldSessionError(f"a request of session {claimed.hex()[:16]}, and ours is {known.hex()[:16]}")
        if shared is not None:
            self._shared_before = shared
            joined = session.establish(self.roster, self.least, shared, delivered)
            self.state = replace(self.state, shared=None, session=joined)

    def _check_unused(self, number: int) -> None:
        """One masking for each round number: two under the same pairwise and group masks would show their difference."""
        if number < self.state.next_number:
            raise OldRoundError(f"round {number} of this session is over: the next is {self.state.next_number} or later")
        if number >= LARGEST_NUMBER:
            raise MalformedMessageError(f"round {number}, after which there can be no other")

    def _current(self, claimed: bytes, number: int) -> Round:
        """The round in progress, if the request is about it."""
        current = self.state.round
        if claimed != self.session.id:
            raise OldSessionError(f"a request of session {claimed.hex()[:16]}, and ours is {self.session.id.hex()[:16]}")
        assert current is not None
        if number != current.number:
            raise OldRoundError(f"a request about round {number}, and ours is {current.number}")
        return current

    @contextmanager
    def _refusing(self, harmless: tuple[type[SecAggError], ...] = HARMLESS) -> Iterator[None]:
        """A refusal that proves a lie or a fault ends the session here, and with it every key."""
        try:
            yield
        except harmless:
            raise
        except SecAggError:
            self.state = State(phase=Phase.FAILED.value)
            raise

    def _accept(self, step: Step, request: bytes, kind: type[T], work: Callable[[T], Result]) -> Result:
        """What `work` makes of a request that the phase expects; phase and reply stay, and `mask` or `tell_holding` may set them later."""
        self.facts = ()
        after(self.phase, step)
        # Only a reply to COLLECT can be a complaint: who finds a wrong contribution in a request before it is still to be heard there.
        with self._refusing(HARMLESS if step is Step.COLLECT else (*HARMLESS, UnequalContributionError)):
            return work(wire.decode(kind, request))

    def _answer(
        self, step: Step, request: bytes, kind: type[T], work: Callable[[T], tuple[bytes, State]], seen: tuple[Fact, ...] = ()
    ) -> bytes:
        """Answer a request that the phase expects.

        Args:
            work: Makes the reply and the next state from the message.
            seen: What earlier calls saw in the same request.
        """
        following = after(self.phase, step)
        self.facts = seen
        with self._refusing():
            reply, state = work(wire.decode(kind, request))
        # One assignment: there is no moment in which a reply exists and the state does not know it.
        self.state = replace(state, phase=following.value, request=request_digest(step, request), reply=reply)
        return reply

    def _saw(self, *facts: Fact) -> None:
        """Note what the request in hand shows, before the check that could refuse it where that check is about it."""
        self.facts += facts


def check_protocol(request: bytes) -> None:
    """See that a proposal is one of this version; it begins with its own, and under version 1 with a length that stands for it.

    Raises:
        ProtocolVersionError: It is of another one.
    """
    spoken = int.from_bytes(request[:4], "big")
    if len(request) >= 4 and spoken != PROTOCOL:
        version = 1 if spoken == DIGEST else spoken
        raise ProtocolVersionError(f"the coordinator speaks version {version} of the protocol, and this partner version {PROTOCOL}")


def _facts_of(last: LastRound | None) -> tuple[Fact, ...]:
    """Whom the coordinator calls the survivors of the round before."""
    return () if last is None else (Fact("last survivors", cohort_digest(last.survivors)),)


def _header_fact(header: SignedHeader) -> Fact:
    return Fact(f"header {header.body.index}", hashlib.sha256(wire.encode(header.body)).digest())
