"""A partner's side of a run: the protocol, the trunk and the trainer brought together, every step written down before its reply.

What it keeps, and where: `fedapp.partner_folder`.
"""

import hashlib
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from logging import WARNING
from pathlib import Path

import numpy as np
from flwr.common import log

from fedapp.partner_folder import PartnerFolder
from fedapp.storage.damage import reading
from fedapp.storage.files import atomic_path
from fedapp.storage.json_lines import append_line, last_line
from strategies.partner.departure import Trainer, ready_to_mask
from strategies.partner.held_trunk import HeldTrunk
from strategies.partner.repetition import read_repetition, write_repetition
from strategies.partner.side import Membership, PartnerSide
from strategies.secagg import transcript
from strategies.secagg.errors import (
    HandoverError,
    NoQuorumError,
    OldRoundError,
    PeerError,
    SecAggError,
    SumOutOfRangeError,
    SupportOutOfRangeError,
    UnequalContributionError,
)
from strategies.secagg.keystream import DTYPES
from strategies.secagg.masking import tag_words
from strategies.secagg.messages import NO_TRUNK, CollectRequest, FinishRequest, Handover, LastRound
from strategies.secagg.participant import Participant
from strategies.secagg.phases import Step
from strategies.secagg.state import dump, load
from strategies.update import public_metrics
from strategies.update.codec import UpdateCodec
from strategies.update.round_sum import RoundSum
from strategies.update.row_guard import least_holders, listed
from strategies.update.self_audit import SUM, audit
from strategies.update.shared_trunk import SharedTrunk, TrunkFileError
from strategies.update.verdict import AcceptedSum, judge, judge_supports

Evaluator = Callable[[list[np.ndarray], dict[str, int]], dict[str, float]]


@dataclass(frozen=True)
class Arrived:
    """The vectors beside a request, each empty if it was not sent; a masked sum is unmasked in place."""

    words: list[np.ndarray]
    handover: list[np.ndarray]


class SecurePartner:
    """One partner between two messages: read from its folder, written back before a reply leaves.

    Args:
        side: The partner's own side.
    Raises:
        SecAggError: Keys, roster and policy do not belong together, or the state is damaged.
        DamagedFileError: Nobody can say what was repeated in this run.
    """

    def __init__(self, side: PartnerSide) -> None:
        assert side.membership is not None
        self.side, self.member = side, side.membership
        self.protocol = open_participant(side.directory, self.member)
        self.complaint = ""  # with what a request was refused that is answered all the same
        self.held, self.written = HeldTrunk(side.folder, side.terms.value_range), self.protocol.repetition

    @property
    def shared(self) -> SharedTrunk:
        """The trunk that this partner holds.

        Raises:
            TrunkFileError: It is damaged.
        """
        self._note_found(self.held.now)
        return self.held.now

    def answer(self, step: Step, request: bytes, arrived: Arrived, fit: Trainer, evaluate: Evaluator) -> tuple[bytes, list[np.ndarray]]:
        """Answer one request.

        Returns:
            The reply, and the vectors that travel beside it.
        Raises:
            SecAggError: A refusal; it is in the transcript, and the state that it led to is on disk.
        """
        before, self.complaint = self.protocol.state.repeated(request), ""
        vectors: list[np.ndarray] = []
        try:
            # Vectors are not kept. So where one travelled with the reply, the protocol is asked again: a trunk is sealed anew, and a second
            # masked input refused, since its round number was used.
            if before is not None and step not in (Step.COLLECT, Step.HANDOVER):
                reply = before
            else:
                reply, vectors = self._dispatch(step, request, arrived, fit, evaluate)
        except SecAggError as error:
            self.note_refusal(step, request, error)
            raise
        self._write(step, request, reply, self.complaint)
        return reply, vectors

    def note_refusal(self, step: Step, request: bytes, error: SecAggError) -> None:
        """Write a refusal into the transcript, over whom if somebody is named, and keep the state that it led to."""
        self._saw_named(error)
        self._write(step, request, b"", type(error).__name__)

    def _saw_named(self, error: SecAggError) -> None:
        if isinstance(error, PeerError):
            self.protocol.saw(f"refused over {error.partner}", b"")

    def _dispatch(self, step: Step, request: bytes, arrived: Arrived, fit: Trainer, evaluate: Evaluator) -> tuple[bytes, list[np.ndarray]]:
        match step:
            case Step.ADVERTISE_KEYS:
                return self.protocol.advertise(request, *self.held.names()), []
            case Step.SHARE_KEYS:
                return self.protocol.share_keys(request), []
            case Step.COLLECT:
                return self._collect(request, arrived, fit)
            case Step.CONSISTENCY:
                return self.protocol.confirm(request), []
            case Step.UNMASK:
                return self.protocol.unmask(request), []
            case Step.HANDOVER:
                return self._hand_over(request)
            case Step.FINISH:
                return self._finish(request, arrived, evaluate), []

    def _collect(self, request: bytes, arrived: Arrived, fit: Trainer) -> tuple[bytes, list[np.ndarray]]:
        """Finish the last round, then mask a row list or an update."""
        try:
            parsed = self.protocol.collect(request)
        except UnequalContributionError as error:
            self.complaint = type(error).__name__
            self._saw_named(error)
            return self.protocol.complain(request, error), []
        self._take_proofs(parsed.proofs)
        if parsed.rows and self.protocol.state.round is not None:
            raise OldRoundError("the row list of this session was sent already: a second one, of another cohort, would tell them apart")
        self._catch_up(parsed, arrived)
        if not self.protocol.session.parameters.lists and self._begins(parsed.session):
            self._keep(self.shared.with_rows(self.side.data.support(), parsed.session))
        # Who lacks the trunk or the row list says so instead of training: its masks would not cancel against the others'.
        agreed = self._begins(parsed.session) if parsed.rows else self.shared.session == parsed.session
        if self.shared.version != parsed.version or not agreed:
            return self.protocol.tell_holding(Step.COLLECT, request, self.shared.version), []
        tail = tag_words(self.protocol.session)
        words, metrics = self._supported(tail) if parsed.rows else self._train(fit, tail)
        self.protocol.hide_slots(parsed.number, self._listed_slots(words) if parsed.rows else self._codec().blocks(words))
        public = public_metrics.encode(
            self.protocol.session.parameters.metrics, metrics, self.side.terms.word_bits, self.side.terms.partners
        )
        trunk = self.protocol.session.trunk if parsed.rows else self._basis()
        return self.protocol.mask(request, trunk, words, public, self.side.threads), [words]

    def _codec(self) -> UpdateCodec:
        """How the next update becomes words."""
        return self.side.terms.codec(self.shared.rows)

    def _listed_slots(self, words: np.ndarray) -> np.ndarray:
        """A view of the slots in the words of a row list, [slots, 1]."""
        bits = self.side.terms.shapes[0][0]
        return words[bits : bits + self.side.terms.slots].reshape(-1, 1)

    def _supported(self, tail: int) -> tuple[np.ndarray, dict[str, float]]:
        """What may leave of this partner as 0/1 words, with `tail` zeros behind; and no metrics."""
        words = np.append(self.side.data.support(), np.zeros(tail, dtype=np.bool_)).astype(DTYPES[self.side.terms.word_bits])
        return words, {}

    def _train(self, fit: Trainer, tail: int) -> tuple[np.ndarray, dict[str, float]]:
        """Train on from the shared trunk; see `departure.ready_to_mask`."""
        self._draw_first()
        attempt = self.protocol.repetition.attempt(self.shared.version + 1)
        return ready_to_mask(self.side, self.member.limits, self.shared, attempt, fit, tail)

    def _finish(self, request: bytes, arrived: Arrived, evaluate: Evaluator) -> bytes:
        """The end of a run: take the last sum in, and evaluate."""
        parsed = self.protocol.close(request)
        self._take_proofs(parsed.proofs)
        self._catch_up(parsed, arrived)
        if self.shared.version == parsed.version and self.shared.arrays:
            self.side.keep_rows(self.shared.rows)
            evaluate(self.shared.arrays, {"round": self.shared.version})
        return self.protocol.tell_holding(Step.FINISH, request, self.shared.version)

    def _draw_first(self) -> None:
        """A first trunk, if there is none: the same one at all partners."""
        if not self.shared.arrays:
            first = self.shared.starting_with(self.side.data.first_trunk(self.protocol.initial_seed()))
            self._keep(first.named(self.protocol.trunk_blind(None)))

    def _hand_over(self, request: bytes) -> tuple[bytes, list[np.ndarray]]:
        """A trunk for those who lack it: the one that others can check, which is not always the newest.

        Raises:
            OldRoundError: It is not here any more.
        """
        version = self.protocol.asked_to_hand_over(request)
        self._begin_where_agreed()
        asked = self.held.of(version)
        if asked is None:
            raise OldRoundError(f"a request for the trunk of round {version}, and ours is that of {self.shared.version}")
        message, ciphertext = self.protocol.hand_over(asked.name, asked.to_bytes())
        return message, [np.frombuffer(ciphertext, dtype=np.uint8)]

    def _begin_where_agreed(self) -> None:
        """Come to the trunk that the session goes on from, as far as it lies here; once, before anything is done in the session.

        Raises:
            NoQuorumError: It is more than one round older than ours.
        """
        agreed, held = self.protocol.session, self.held
        if held.now.session == agreed.id or held.now.name == agreed.trunk:
            return
        if held.now.version > agreed.version + 1:
            raise self.protocol.refuse(
                NoQuorumError(
                    f"the session goes on from round {agreed.version}, and this partner holds the trunk of round {held.now.version}: "
                    f"fewer than {self.member.roster.quorum()} of the partners in it say that they have that one"
                )
            )
        if held.now.version > agreed.version:
            log(WARNING, "the trunk of round %s is given up: too few partners have it, and the session goes on before it", held.now.version)
            self.protocol.saw("gone back to", agreed.trunk)
        if agreed.trunk == NO_TRUNK:
            held.begin_anew()
        elif held.before is not None and held.before.name == agreed.trunk:
            held.go_back()

    def _catch_up(self, parsed: CollectRequest | FinishRequest, arrived: Arrived) -> None:
        """Bring the shared trunk to where the request goes on: the session's beginning, then a handover, then the last round's sum."""
        self._begin_where_agreed()
        last, offered = parsed.last, parsed.handover
        if offered is not None and arrived.handover and not self._needs_no_handover(parsed):
            self._take_over(offered, arrived.handover[0].tobytes(), parsed)
        if last is None or not arrived.words:
            return
        if last.rows and self._begins(parsed.session):
            sums = self.protocol.finish(last, arrived.words[0], self.protocol.session.trunk, self.side.threads)
            self._keep(self.shared.with_rows(self._agreed(sums, last), parsed.session))
        elif not last.rows and self.shared.session == parsed.session and self.shared.version + 1 == parsed.version:
            self._draw_first()
            sums = self.protocol.finish(last, arrived.words[0], self._basis(), self.side.threads)
            self._apply(sums, last)

    def _begins(self, session: bytes) -> bool:
        """Whether this partner holds what the session goes on from, and no row list of it yet."""
        return self.shared.session != session and self.shared.name == self.protocol.session.trunk

    def _needs_no_handover(self, parsed: CollectRequest | FinishRequest) -> bool:
        """Whether this partner is where the request goes on, or comes there by the sum that it brings."""
        if self.shared.session != parsed.session:
            return self._begins(parsed.session) and not _trained(parsed.last)
        return self.shared.version in (parsed.version, parsed.version - _trained(parsed.last))

    def _basis(self) -> bytes:
        """What this partner trains from, as headers and masks name it."""
        return self.protocol.basis(self.shared.name, self.shared.rows_digest)

    def _take_proofs(self, proofs: tuple[bytes, ...]) -> None:
        """Write down who was proven to misbehave."""
        for index in self.protocol.take_proofs(proofs):
            log(WARNING, "%s was proven to have misbehaved: polyphony transcript verify", self.member.roster.member(index).name)

    def _agreed(self, sums: np.ndarray, last: LastRound) -> np.ndarray:
        """What may leave in this session, by the sum of all partners' supports.

        Raises:
            SumOutOfRangeError: It is of another number of rows.
            SupportOutOfRangeError: It is genuine, and no sum of as many partners' 0 and 1.
        """
        bits = self.side.terms.shapes[0][0]
        if len(sums) != bits + self.side.terms.slots:
            reason = f"row list of round {last.number}: {len(sums)} words, not {bits + self.side.terms.slots}"
            raise self.protocol.refuse(SumOutOfRangeError(reason))
        self.protocol.show_slots(last.number, self._listed_slots(sums))
        try:
            judge_supports(sums, bits, len(last.survivors))
        except SupportOutOfRangeError as error:
            raise self.protocol.refuse(SupportOutOfRangeError(f"row list of round {last.number}: {error}")) from error
        return listed(sums, bits, self.protocol.session.parameters.least_supporters)

    def _take_over(self, offered: Handover, ciphertext: bytes, parsed: CollectRequest | FinishRequest) -> None:
        """Take the trunk that another partner hands over, once its content has the name from which others go on.

        Raises:
            HandoverError: It is damaged, or another one.
            OldRoundError: It is no newer than ours, which is of this session.
        """
        try:
            taken = SharedTrunk.from_bytes(self.protocol.take_over(offered, ciphertext))
            taken.check(self.side.terms.shapes, self.side.terms.slots, self.side.terms.momentum)
        except TrunkFileError as error:
            raise self.protocol.refuse(HandoverError(offered.holder, str(error))) from error
        if self.shared.session == parsed.session and taken.version <= self.shared.version:  # within a session nobody goes back
            raise OldRoundError(f"the trunk of round {taken.version} is handed over, and ours is that of {self.shared.version}")
        self.protocol.check_taken(offered, taken.name, taken.rows_digest, parsed.last, parsed.headers)
        self._keep(taken if _trained(parsed.last) else taken.without_rows())  # the row list of a session that begins is yet to be made

    def _apply(self, sums: np.ndarray, last: LastRound) -> None:
        """Take a sum into the trunk, once it was accepted.

        Raises:
            SumOutOfRangeError: It is genuine, and no sum of allowed words.
        """
        codec, survivors = self._codec(), len(last.survivors)
        if len(sums) == codec.words:  # any other is refused
            self.protocol.show_slots(last.number, codec.blocks(sums))
        try:
            holders = least_holders(self.protocol.session.parameters.least_supporters)
            accepted = judge(self.shared.pending(codec, sums, survivors, holders))
        except SumOutOfRangeError as error:
            raise self.protocol.refuse(SumOutOfRangeError(f"round {last.number}: {error}")) from error
        self._audit(accepted)
        following = self.shared.adding(accepted, self.side.terms.server_learning_rate, self.side.terms.momentum)
        noted = RoundSum(
            round=following.version,
            partners=survivors,
            clipped=accepted.clipped,
            largest=accepted.largest,
            coordinates=codec.coordinates,
            range=following.value_range,
            rows=len(codec.rows),
            slots=len(codec.slots),
            few={str(slot): presence for slot, presence in accepted.few.items()},
        )
        self.held.take_in(replace(following, found=asdict(noted)).named(self.protocol.trunk_blind(last.number)))
        self.protocol.saw("came to", self.held.now.name)
        self._note_found(self.held.now)

    def _audit(self, accepted: AcceptedSum) -> None:
        """Attack a sum, and note what that found before the trunk changes: later there is nothing left to attack."""
        audited = audit(
            vector=SUM,
            number=self.shared.version + 1,
            attempt=0,
            codec=accepted.codec,
            words=accepted.words,
            before=self.shared.arrays[0],
            holders=self.side.data.holders(),
        )
        self.side.note(self.side.folder.audits, asdict(audited))

    def _keep(self, shared: SharedTrunk) -> None:
        self.held.keep(shared)
        self._note_found(shared)

    def _note_found(self, shared: SharedTrunk) -> None:
        """The line of the last sum: whoever was killed between trunk and line writes it when it is back."""
        if shared.found:
            self.side.note(self.side.folder.sums, shared.found)

    def _write(self, step: Step, request: bytes, reply: bytes, refused: str) -> None:
        """State, then transcript: a reply that leaves is in both, and none that could still change is in the transcript.

        Before both what was repeated: of whom is killed in between, once too much is counted, and never once too little.
        """
        folder = self.side.folder
        if self.protocol.repetition != self.written or not folder.repetition.exists():
            write_repetition(folder, self.protocol.repetition)
            self.written = self.protocol.repetition
        with atomic_path(folder.protocol) as temporary:
            temporary.write_bytes(dump(self.protocol.state))
        path = folder.transcript(self.member.roster.digest())
        append_to_transcript(path, self.member, self.protocol, step=step, request=request, reply=reply, refused=refused)


def _trained(last: LastRound | None) -> bool:
    """Whether the last round added updates up: no round, and no row list."""
    return last is not None and not last.rows


class StateFileError(SecAggError):
    """`protocol.state` is damaged: nothing is answered from it, since it says what was masked already."""

    hint = "remove it: this partner takes part again from the next session on; an older copy of it could let an update be masked twice"


def open_participant(directory: Path, member: Membership) -> Participant:
    """The protocol where an earlier process left it.

    Raises:
        StateFileError, DamagedFileError: What it left is damaged.
    """
    folder = PartnerFolder(directory)
    path = folder.protocol
    try:
        state = load(path.read_bytes()) if path.is_file() else None
    except SecAggError as error:
        raise StateFileError(f"{path} is damaged: {error}") from error
    return Participant(member.identity, member.roster, member.policy, os.urandom, state, read_repetition(folder))


def append_to_transcript(
    path: Path, member: Membership, protocol: Participant, step: Step, request: bytes, reply: bytes, refused: str
) -> None:
    """One more signed line; a last line that a kill cut off is removed first.

    Raises:
        DamagedFileError: The last line is whole and no entry.
    """
    newest = last_line(path)
    with reading(path, "move it away: another one begins, and what the old one holds is compared as far as it can be read"):
        before = transcript.resume([] if newest is None else [newest])
    session, number = protocol.state.place(step, request)
    _, line = transcript.append(
        before,
        identity=member.identity,
        roster_digest=member.roster.digest(),
        session=session,
        number=number,
        phase=step.value,
        facts=protocol.facts,
        received=hashlib.sha256(request).digest(),
        sent=hashlib.sha256(reply).digest() if reply else b"",
        refused=refused,
    )
    append_line(path, line)
