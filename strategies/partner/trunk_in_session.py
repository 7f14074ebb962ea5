"""How a partner's trunk comes to where the others are: where a session begins, by a handover, and by the sums of its rounds.

PROTOCOL.md of `strategies.secagg`, sections 3 and 5. Whatever is taken in was checked before, and is on disk afterwards.
"""

from dataclasses import asdict, dataclass, replace
from logging import WARNING

import numpy as np
from flwr.common import log

from strategies.partner.held_trunk import HeldTrunk
from strategies.partner.repetition import write_repetition
from strategies.partner.side import PartnerSide
from strategies.secagg.errors import HandoverError, NoQuorumError, OldRoundError, SumOutOfRangeError, SupportOutOfRangeError
from strategies.secagg.messages import NO_TRUNK, CollectRequest, FinishRequest, Handover, LastRound
from strategies.secagg.participant import Participant
from strategies.update.codec import UpdateCodec
from strategies.update.round_sum import RoundSum
from strategies.update.row_guard import least_holders, listed
from strategies.update.self_audit import SUM, audit, audit_rows
from strategies.update.shared_trunk import SharedTrunk, TrunkFileError
from strategies.update.verdict import AcceptedSum, judge, judge_supports


@dataclass(frozen=True)
class Arrived:
    """The vectors beside a request, each empty if it was not sent; a masked sum is unmasked in place."""

    words: list[np.ndarray]
    handover: list[np.ndarray]


class TrunkInSession:
    """A partner's trunk while it takes part in a session.

    Args:
        side: The partner's own side.
        protocol: The partner in the protocol.
    """

    def __init__(self, side: PartnerSide, protocol: Participant) -> None:
        self.side, self.protocol = side, protocol
        self.held = HeldTrunk(side.folder, side.terms.value_range)

    @property
    def shared(self) -> SharedTrunk:
        """The trunk that this partner holds.

        Raises:
            TrunkFileError: It is damaged.
        """
        self._note_found(self.held.now)
        return self.held.now

    def begin(self) -> None:
        """Come to the trunk that the session goes on from, as far as it lies here; once, before anything is done in the session.

        Raises:
            NoQuorumError: It is more than one round older than ours.
        """
        agreed, held = self.protocol.session, self.held
        if held.now.session == agreed.id or held.now.name == agreed.trunk:
            return
        furthest = max(held.now.version, self.protocol.repetition.furthest)
        if furthest > agreed.version + 1:
            raise self.protocol.refuse(
                NoQuorumError(
                    f"the session goes on from round {agreed.version}, and this partner had come to the trunk of round {furthest}: "
                    f"fewer than {self.protocol.roster.quorum()} of the partners in it say that they have a later one"
                )
            )
        if held.now.version > agreed.version:
            self.protocol.repetition = self.protocol.repetition.giving_up(held.now.version)
            write_repetition(self.side.folder, self.protocol.repetition)  # before it is given up, or a kill would make it forgotten
            log(WARNING, "the trunk of round %s is given up: too few partners have it, and the session goes on before it", held.now.version)
            self.protocol.saw("gone back to", agreed.trunk)
        if agreed.trunk == NO_TRUNK:
            held.begin_anew()
        elif held.before is not None and held.before.name == agreed.trunk:
            held.go_back()

    def catch_up(self, parsed: CollectRequest | FinishRequest, arrived: Arrived) -> None:
        """Bring the shared trunk to where the request goes on: the session's beginning, then a handover, then the last round's sum."""
        self.begin()
        last, offered = parsed.last, parsed.handover
        if offered is not None and arrived.handover and not self._needs_no_handover(parsed):
            self._take_over(offered, arrived.handover[0].tobytes(), parsed)
        if last is None or not arrived.words:
            return
        if last.rows and self.begins(parsed.session):
            sums = self.protocol.finish(last, arrived.words[0], self.protocol.session.trunk, self.side.threads)
            agreed = self._agreed(sums, last)
            self._audit_rows(agreed, sums, last)
            self.keep(self.shared.with_rows(agreed, parsed.session))
        elif not last.rows and self.shared.session == parsed.session and self.shared.version + 1 == parsed.version:
            self.draw_first()
            sums = self.protocol.finish(last, arrived.words[0], self.basis(), self.side.threads)
            self._apply(sums, last)

    def begins(self, session: bytes) -> bool:
        """Whether this partner holds what the session goes on from, and no row list of it yet."""
        return self.shared.session != session and self.shared.name == self.protocol.session.trunk

    def draw_first(self) -> None:
        """A first trunk, if there is none: the same one at all partners."""
        if not self.shared.arrays:
            first = self.shared.starting_with(self.side.data.first_trunk(self.protocol.initial_seed()))
            self.keep(first.named(self.protocol.trunk_blind(None)))

    def basis(self) -> bytes:
        """What this partner trains from, as headers and masks name it."""
        return self.protocol.basis(self.shared.name, self.shared.rows_digest)

    def codec(self) -> UpdateCodec:
        """How the next update becomes words."""
        return self.side.terms.codec(self.shared.rows)

    def listed_slots(self, words: np.ndarray) -> np.ndarray:
        """A view of the slots in the words of a row list, [slots, 1]."""
        bits = self.side.terms.shapes[0][0]
        return words[bits : bits + self.side.terms.slots].reshape(-1, 1)

    def keep(self, shared: SharedTrunk) -> None:
        self.held.keep(shared)
        self._note_found(shared)

    def _needs_no_handover(self, parsed: CollectRequest | FinishRequest) -> bool:
        """Whether this partner is where the request goes on, or comes there by the sum that it brings."""
        if self.shared.session != parsed.session:
            return self.begins(parsed.session) and not _trained(parsed.last)
        return self.shared.version in (parsed.version, parsed.version - _trained(parsed.last))

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
            raise HandoverError(offered.holder, str(error)) from error
        if self.shared.session == parsed.session and taken.version <= self.shared.version:  # within a session nobody goes back
            raise OldRoundError(f"the trunk of round {taken.version} is handed over, and ours is that of {self.shared.version}")
        self.protocol.check_taken(offered, taken.name, taken.rows_digest, parsed.last, parsed.headers)
        self.keep(taken if _trained(parsed.last) else taken.without_rows())  # the row list of a session that begins is yet to be made

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
        self.protocol.show_slots(last.number, self.listed_slots(sums))
        try:
            judge_supports(sums, bits, len(last.survivors))
        except SupportOutOfRangeError as error:
            raise self.protocol.refuse(SupportOutOfRangeError(f"row list of round {last.number}: {error}")) from error
        return listed(sums, bits, self.protocol.session.parameters.least_supporters)

    def _apply(self, sums: np.ndarray, last: LastRound) -> None:
        """Take a sum into the trunk, once it was accepted.

        Raises:
            SumOutOfRangeError: It is genuine, and no sum of allowed words.
        """
        codec, survivors = self.codec(), len(last.survivors)
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
            own=self.side.data.own_compounds(self.shared.version + 1),
        )
        self.side.note(self.side.folder.audits, asdict(audited))

    def _audit_rows(self, agreed: np.ndarray, supporters: np.ndarray, last: LastRound) -> None:
        """Note how many rows are nearly one partner's own: the counts are not kept."""
        bits = self.side.terms.shapes[0][0]
        ours = self.side.data.support()[:bits] & (self.protocol.index in last.survivors)
        audited = audit_rows(self.shared.version + 1, agreed[:bits], supporters[:bits], ours, self.side.data.holders())
        self.side.note(self.side.folder.audits, asdict(audited))

    def _note_found(self, shared: SharedTrunk) -> None:
        """The line of the last sum: whoever was killed between trunk and line writes it when it is back."""
        if shared.found:
            self.side.note(self.side.folder.sums, shared.found)


def _trained(last: LastRound | None) -> bool:
    """Whether the last round added updates up: no round, and no row list."""
    return last is not None and not last.rows
