"""A partner's side of a run: the protocol, the trunk and the trainer brought together, every step written down before its reply.

What it keeps, and where: `fedapp.partner_folder`.
"""

import hashlib
import os
from collections.abc import Callable
from logging import WARNING
from pathlib import Path

import numpy as np
from flwr.common import log

from fedapp.partner_folder import PartnerFolder
from fedapp.storage.damage import reading
from fedapp.storage.files import atomic_path
from fedapp.storage.json_lines import append_line, last_line
from fedapp.storage.leftovers import sweep_beside
from strategies.partner.departure import Trainer, ready_to_mask
from strategies.partner.repetition import read_repetition, write_repetition
from strategies.partner.side import Membership, PartnerSide
from strategies.partner.trunk_in_session import Arrived, TrunkInSession
from strategies.secagg import transcript
from strategies.secagg.errors import (
    OldRoundError,
    PeerError,
    SecAggError,
    UnequalContributionError,
)
from strategies.secagg.keystream import DTYPES
from strategies.secagg.masking import tag_words
from strategies.secagg.participant import Participant
from strategies.secagg.phases import Step
from strategies.secagg.state import dump, load
from strategies.update import public_metrics

TRANSCRIPT_HINT = "move it away: another one begins, and what the old one holds is compared as far as it can be read"
Evaluator = Callable[[list[np.ndarray], dict[str, int]], dict[str, float]]


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
        self.trunk, self.written = TrunkInSession(side, self.protocol), self.protocol.repetition

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
                return self.protocol.advertise(request, *self.trunk.held.names()), []
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
        self.trunk.catch_up(parsed, arrived)
        if not self.protocol.session.parameters.lists and self.trunk.begins(parsed.session):
            self.trunk.keep(self.trunk.shared.with_rows(self.side.data.support(), parsed.session))
        # Who lacks the trunk or the row list says so instead of training: its masks would not cancel against the others'.
        agreed = self.trunk.begins(parsed.session) if parsed.rows else self.trunk.shared.session == parsed.session
        if self.trunk.shared.version != parsed.version or not agreed:
            return self.protocol.tell_holding(Step.COLLECT, request, self.trunk.shared.version), []
        tail = tag_words(self.protocol.session)
        words, metrics = self._supported(tail) if parsed.rows else self._train(fit, tail)
        self.protocol.hide_slots(parsed.number, self.trunk.listed_slots(words) if parsed.rows else self.trunk.codec().blocks(words))
        public = public_metrics.encode(
            self.protocol.session.parameters.metrics, metrics, self.side.terms.word_bits, self.side.terms.partners
        )
        trunk = self.protocol.session.trunk if parsed.rows else self.trunk.basis()
        return self.protocol.mask(request, trunk, words, public, self.side.threads), [words]

    def _supported(self, tail: int) -> tuple[np.ndarray, dict[str, float]]:
        """What may leave of this partner as 0/1 words, with `tail` zeros behind; and no metrics."""
        words = np.append(self.side.data.support(), np.zeros(tail, dtype=np.bool_)).astype(DTYPES[self.side.terms.word_bits])
        return words, {}

    def _train(self, fit: Trainer, tail: int) -> tuple[np.ndarray, dict[str, float]]:
        """Train on from the shared trunk; see `departure.ready_to_mask`."""
        self.trunk.draw_first()
        attempt = self.protocol.repetition.attempt(self.trunk.shared.version + 1)
        return ready_to_mask(self.side, self.member.limits, self.trunk.shared, attempt, fit, tail)

    def _finish(self, request: bytes, arrived: Arrived, evaluate: Evaluator) -> bytes:
        """The end of a run: take the last sum in, and evaluate."""
        parsed = self.protocol.close(request)
        self._take_proofs(parsed.proofs)
        self.trunk.catch_up(parsed, arrived)
        if self.trunk.shared.version == parsed.version and self.trunk.shared.arrays:
            self.side.keep_rows(self.trunk.shared.rows)
            evaluate(self.trunk.shared.arrays, {"round": self.trunk.shared.version})
        return self.protocol.tell_holding(Step.FINISH, request, self.trunk.shared.version)

    def _hand_over(self, request: bytes) -> tuple[bytes, list[np.ndarray]]:
        """A trunk for those who lack it: the one that others can check, which is not always the newest.

        Raises:
            OldRoundError: It is not here any more.
        """
        version = self.protocol.asked_to_hand_over(request)
        self.trunk.begin()
        asked = self.trunk.held.of(version)
        if asked is None:
            raise OldRoundError(f"a request for the trunk of round {version}, and ours is that of {self.trunk.shared.version}")
        message, ciphertext = self.protocol.hand_over(asked.name, asked.to_bytes())
        return message, [np.frombuffer(ciphertext, dtype=np.uint8)]

    def _take_proofs(self, proofs: tuple[bytes, ...]) -> None:
        """Write down who was proven to misbehave."""
        for index in self.protocol.take_proofs(proofs):
            log(WARNING, "%s was proven to have misbehaved: polyphony transcript verify", self.member.roster.member(index).name)

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

    One that was killed while it wrote leaves a state beside it, with the keys of its session: nobody reads that, and it is removed.

    Raises:
        StateFileError, DamagedFileError: What it left is damaged.
    """
    folder = PartnerFolder(directory)
    path = folder.protocol
    sweep_beside(path)
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
        DamagedFileError: The last line is whole and no entry, or was altered.
    """
    newest, roster = last_line(path), member.roster
    with reading(path, TRANSCRIPT_HINT):
        before = transcript.resume([] if newest is None else [newest], roster.member(protocol.index), roster.digest())
    session, number = protocol.state.place(step, request)
    _, line = transcript.append(
        before,
        identity=member.identity,
        roster_digest=roster.digest(),
        session=session,
        number=number,
        phase=step.value,
        facts=protocol.facts,
        received=hashlib.sha256(request).digest(),
        sent=hashlib.sha256(reply).digest() if reply else b"",
        refused=refused,
    )
    append_line(path, line)
