"""A partner's side of a run: the protocol, the trunk and the trainer brought together, every step written down before its reply.

What it keeps, and where: `fedapp.partner_folder`.
"""

import hashlib
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from fedapp.partner_folder import PartnerFolder
from fedapp.storage.damage import reading
from fedapp.storage.files import atomic_path
from fedapp.storage.json_lines import append_line, last_line
from strategies.partner.departure import Trainer, ready_to_mask
from strategies.partner.repetition import read_repetition, write_repetition
from strategies.partner.side import Membership, PartnerSide
from strategies.secagg import transcript
from strategies.secagg.errors import HandoverError, OldRoundError, SecAggError, SumOutOfRangeError, SupportOutOfRangeError
from strategies.secagg.keystream import DTYPES
from strategies.secagg.masking import tag_words
from strategies.secagg.messages import NO_TRUNK, Handover, LastRound
from strategies.secagg.participant import Participant
from strategies.secagg.phases import Step
from strategies.secagg.state import dump, load
from strategies.update import public_metrics
from strategies.update.codec import UpdateCodec
from strategies.update.round_sum import RoundSum
from strategies.update.row_guard import listed
from strategies.update.self_audit import SUM, audit
from strategies.update.shared_trunk import SharedTrunk, TrunkFileError, no_trunk
from strategies.update.verdict import AcceptedSum, judge, judge_supports

Evaluator = Callable[[list[np.ndarray], dict[str, int]], dict[str, float]]
HINT = "restore it from a backup, or remove it: another partner then hands its trunk over"


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
        self.written = self.protocol.repetition

    @cached_property
    def shared(self) -> SharedTrunk:
        """The trunk that this partner holds; read when a request needs it.

        Raises:
            TrunkFileError: It is damaged.
        """
        path = self.side.folder.shared_trunk
        try:
            shared = SharedTrunk.read(path) if path.is_file() else no_trunk(self.side.terms.value_range, NO_TRUNK)
        except TrunkFileError as error:
            raise TrunkFileError(str(error), HINT) from error
        self._note_found(shared)
        return shared

    def answer(self, step: Step, request: bytes, arrived: Arrived, fit: Trainer, evaluate: Evaluator) -> tuple[bytes, list[np.ndarray]]:
        """Answer one request.

        Returns:
            The reply, and the vectors that travel beside it.
        Raises:
            SecAggError: A refusal; it is in the transcript, and the state that it led to is on disk.
        """
        before = self.protocol.state.repeated(request)
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
        self._write(step, request, reply, "")
        return reply, vectors

    def note_refusal(self, step: Step, request: bytes, error: SecAggError) -> None:
        """Write a refusal into the transcript, and keep the state that it led to."""
        self._write(step, request, b"", type(error).__name__)

    def _dispatch(self, step: Step, request: bytes, arrived: Arrived, fit: Trainer, evaluate: Evaluator) -> tuple[bytes, list[np.ndarray]]:
        match step:
            case Step.ADVERTISE_KEYS:
                return self.protocol.advertise(request, self.shared.version, self.shared.digest), []
            case Step.SHARE_KEYS:
                return self.protocol.share_keys(request), []
            case Step.COLLECT:
                return self._collect(request, arrived, fit)
            case Step.CONSISTENCY:
                return self.protocol.confirm(request), []
            case Step.UNMASK:
                return self.protocol.unmask(request), []
            case Step.HANDOVER:
                message, ciphertext = self.protocol.hand_over(request, self.shared.digest, self.shared.to_bytes())
                return message, [np.frombuffer(ciphertext, dtype=np.uint8)]
            case Step.FINISH:
                return self._finish(request, arrived, evaluate), []

    def _collect(self, request: bytes, arrived: Arrived, fit: Trainer) -> tuple[bytes, list[np.ndarray]]:
        """Finish the last round, then mask a row list or an update."""
        parsed = self.protocol.collect(request)
        if parsed.rows and self.protocol.state.round is not None:
            raise OldRoundError("the row list of this session was sent already: a second one, of another cohort, would tell them apart")
        self._catch_up(parsed.last, parsed.handover, parsed.version, arrived)
        if not self.protocol.session.parameters.lists and self.shared.session != parsed.session:
            self._keep(self.shared.with_rows(self.side.data.support(), parsed.session))
        # Who lacks the trunk or the row list says so instead of training: its masks would not cancel against the others'.
        agreed = parsed.rows or self.shared.session == parsed.session
        if self.shared.version != parsed.version or not agreed:
            return self.protocol.tell_holding(Step.COLLECT, request, self.shared.version), []
        tail = tag_words(self.protocol.session)
        words, metrics = self._supported(tail) if parsed.rows else self._train(fit, tail)
        self.protocol.hide_slots(parsed.number, self._listed_slots(words) if parsed.rows else self._codec().blocks(words))
        public = public_metrics.encode(
            self.protocol.session.parameters.metrics, metrics, self.side.terms.word_bits, self.side.terms.partners
        )
        trunk = self.protocol.session.trunk if parsed.rows else self.shared.digest
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
        """Train on from the shared trunk, or from a first one if there is none; see `departure.ready_to_mask`."""
        if not self.shared.arrays:
            arrays = self.side.data.first_trunk(self.protocol.initial_seed())
            content = hashlib.sha256(b"".join(hashlib.sha256(array.tobytes()).digest() for array in arrays)).digest()
            self._keep(self.shared.starting_with(arrays, self.protocol.trunk_name(content)))
        attempt = self.protocol.repetition.attempt(self.shared.version + 1)
        return ready_to_mask(self.side, self.member.limits, self.shared, attempt, fit, tail)

    def _finish(self, request: bytes, arrived: Arrived, evaluate: Evaluator) -> bytes:
        """The end of a run: take the last sum in, and evaluate."""
        parsed = self.protocol.close(request)
        self._catch_up(parsed.last, parsed.handover, parsed.version, arrived)
        if self.shared.version == parsed.version and self.shared.arrays:
            self.side.keep_rows(self.shared.rows)
            evaluate(self.shared.arrays, {"round": self.shared.version})
        return self.protocol.tell_holding(Step.FINISH, request, self.shared.version)

    def _catch_up(self, last: LastRound | None, offered: Handover | None, version: int, arrived: Arrived) -> None:
        """Bring the shared trunk to where the request goes on: a handover first, then the last round's sum."""
        if offered is not None and arrived.handover and offered.trunk != self.shared.digest:
            taken = self._take_over(offered, arrived.handover[0].tobytes(), version)
            if taken.version >= self.shared.version:  # an older one is no help: its holder missed a message that we got
                self._keep(taken)
        if last is None or not arrived.words:
            return
        session = self.protocol.session.id
        if last.rows and self.shared.session != session:
            sums, _ = self.protocol.finish(last, arrived.words[0], self.shared.digest, self.side.threads)
            self._keep(self.shared.with_rows(self._agreed(sums, last), session))
        elif not last.rows and self.shared.arrays and self.shared.version + 1 == version and self.shared.session == session:
            sums, digest = self.protocol.finish(last, arrived.words[0], self.shared.digest, self.side.threads)
            self._apply(sums, last, digest)

    def _agreed(self, sums: np.ndarray, last: LastRound) -> np.ndarray:
        """What may leave in this session, by the sum of all partners' supports.

        Raises:
            SupportOutOfRangeError: It is genuine, and no sum of as many partners' 0 and 1.
        """
        bits = self.side.terms.shapes[0][0]
        self.protocol.show_slots(last.number, self._listed_slots(sums))
        try:
            judge_supports(sums, bits, len(last.survivors))
        except SupportOutOfRangeError as error:
            raise self.protocol.refuse(SupportOutOfRangeError(f"row list of round {last.number}: {error}")) from error
        return listed(sums, bits)

    def _take_over(self, offered: Handover, ciphertext: bytes, version: int) -> SharedTrunk:
        """The trunk that another partner hands over.

        Raises:
            HandoverError: It is damaged, or newer than it can be.
        """
        try:
            taken = SharedTrunk.from_bytes(self.protocol.take_over(offered, ciphertext))
            taken.check(self.side.terms.shapes, self.side.terms.slots, self.side.terms.momentum)
            if taken.version > version:
                raise TrunkFileError(f"it handed over the trunk of round {taken.version}, not {version}")
        except TrunkFileError as error:
            raise self.protocol.refuse(HandoverError(offered.holder, str(error))) from error
        return taken

    def _apply(self, sums: np.ndarray, last: LastRound, digest: bytes) -> None:
        """Take a sum into the trunk, once it was accepted.

        Raises:
            SumOutOfRangeError: It is genuine, and no sum of allowed words.
        """
        codec, survivors = self._codec(), len(last.survivors)
        if len(sums) == codec.words:  # any other is refused
            self.protocol.show_slots(last.number, codec.blocks(sums))
        try:
            accepted = judge(self.shared.pending(codec, sums, survivors))
        except SumOutOfRangeError as error:
            raise self.protocol.refuse(SumOutOfRangeError(f"round {last.number}: {error}")) from error
        self._audit(accepted)
        following = self.shared.adding(accepted, self.side.terms.server_learning_rate, self.side.terms.momentum, digest)
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
        self._keep(replace(following, found=asdict(noted)))

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
        self.shared = shared
        shared.write(self.side.folder.shared_trunk)
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
