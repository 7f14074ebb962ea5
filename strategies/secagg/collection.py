"""One round at the coordinator: it adds masked words, and takes off the masks that survivors reveal. PROTOCOL.md, section 4.

What remains is a sum under group masks that it cannot take off. Replies that do not hold are left out with their reason, as if their
senders had dropped out: the round goes on with the others as long as there are enough.

Nothing that is checked here protects a partner, since a coordinator may lie: each partner checks for itself, in `consistency.py`. These
checks keep an honest coordinator's round from being spoiled by a damaged reply, and name its sender.
"""

import hashlib
from dataclasses import dataclass

import numpy as np

from strategies.secagg import keys, shamir, shares, verification, wire
from strategies.secagg.consistency_messages import (
    ConsistencyRequest,
    SealedShares,
    SurvivorsSignature,
    UnmaskReply,
    UnmaskRequest,
    survivors_digest,
)
from strategies.secagg.coordinator import Coordinator
from strategies.secagg.errors import (
    AlteredReplyError,
    BehindError,
    ContributionsMismatchError,
    FormMismatchError,
    GuiltyPartnerError,
    LostSeedsError,
    MalformedMessageError,
    PeerError,
    RoundAbandonedError,
    SecAggError,
    TrunkMismatchError,
    WrongSecretError,
    WrongShareError,
)
from strategies.secagg.keystream import DTYPES, add_streams
from strategies.secagg.messages import COLLECT_REPLIES, DIGEST, Complaint, Holding, MaskedInput, cohort_digest
from strategies.secagg.proofs import WrongSecret, own_secrets
from strategies.secagg.seeds import Unmasking


@dataclass(frozen=True)
class MaskedForm:
    """What masked inputs have in common whose masks cancel: the trunk's digest, the lists of contributions, and the numbers of words."""

    trunk: bytes
    contributions: bytes
    words: int
    public: int

    def unlike(self, partner: int, other: "MaskedForm") -> PeerError:
        """How a partner's masked input differs from most of them, which have this form."""
        if other.trunk != self.trunk:
            return TrunkMismatchError(partner, "it signed that it masked from another trunk than most")
        if other.contributions != self.contributions:
            return ContributionsMismatchError(partner, "it signed other lists of contributions than most")
        sent = f"{other.words} words and {other.public} public ones"
        return FormMismatchError(partner, f"it signed {sent}, and most {self.words} and {self.public}")


@dataclass
class MaskedSum:
    """The masked inputs of one form, added up as they arrive, so that memory stays at two vectors however many partners there are."""

    partners: list[int]
    words: np.ndarray
    public: np.ndarray

    def add(self, partner: int, words: np.ndarray, public: np.ndarray) -> None:
        """One more."""
        self.partners.append(partner)
        self.words += words
        self.public += public


class Collection:
    """One round at the coordinator.

    Args:
        coordinator: Its session.
        number: Of the round.
        cohort: Everybody who was asked.
    """

    def __init__(self, coordinator: Coordinator, number: int, cohort: tuple[int, ...]) -> None:
        self.coordinator, self.number, self.cohort = coordinator, number, cohort
        self.inputs: dict[int, MaskedInput] = {}
        self.sums: dict[MaskedForm, MaskedSum] = {}
        self.signatures: dict[int, SurvivorsSignature] = {}
        self.answers: dict[int, UnmaskReply] = {}
        self.seeds: dict[int, dict[int, bytes]] = {}
        self.unlike: dict[int, PeerError] = {}
        self.wrong: dict[int, WrongShareError] = {}
        self.dtype = DTYPES[coordinator.parameters.word_bits]
        self.consistency: ConsistencyRequest | None = None
        self.agreed_digest = b""

    def add_input(self, index: int, reply: bytes, words: np.ndarray | None) -> None:
        """Take one partner's masked input, and add it to those of the same form: from the same trunk, with as many words.

        Args:
            words: uint32 or uint16, as the session's word size, read, not kept; None if none came.
        Raises:
            BehindError: The partner says that it lacks the trunk.
            GuiltyPartnerError: The partner proves that another one sent it something else than it signed.
            SecAggError: It is not what the partner signed, or not for this round.
        """
        masked = wire.decode_tagged(COLLECT_REPLIES, reply)
        if index not in self.cohort:
            raise AlteredReplyError(f"partner {index} was not asked")
        if isinstance(masked, Complaint):
            raise self._judged(index, masked)
        if isinstance(masked, Holding):
            raise BehindError(f"it holds the trunk of round {masked.version}, and gets the newest first")
        if words is None:
            raise MalformedMessageError("a masked input without its vector")
        if index in self.inputs:
            raise AlteredReplyError(f"a second masked input of partner {index}")
        self._check_input(index, masked, words)
        self.inputs[index] = masked
        self.coordinator.joined.add(index)  # it has the session's keys: no later request need bring it the contributions again
        public = np.frombuffer(masked.public, dtype=self.dtype)
        form = MaskedForm(masked.header.body.trunk, masked.header.body.contributions, len(words), len(public))
        if form not in self.sums:
            self.sums[form] = MaskedSum([], np.zeros(len(words), dtype=self.dtype), np.zeros(len(public), dtype=self.dtype))
        self.sums[form].add(index, words, public)

    def _check_input(self, index: int, masked: MaskedInput, words: np.ndarray) -> None:
        """See that a masked input is what its sender signed for this round."""
        body, roster = masked.header.body, self.coordinator.roster
        receivers = shares.sent_to(index, self.cohort, roster.threshold)
        if body.index != index:
            raise AlteredReplyError(f"partner {index} answered in the name of partner {body.index}")
        verification.verify_header(roster, self.coordinator.session, self.number, masked.header)
        if body.cohort != cohort_digest(self.cohort) or len(masked.bundle) != len(receivers):
            raise AlteredReplyError(f"partner {index} answered for another cohort")
        if words.dtype != self.dtype or words.ndim != 1 or body.words != len(words):
            raise AlteredReplyError(f"partner {index} sent another vector than it signed")
        if len(masked.commitments) != DIGEST * len(self.cohort) or body.secrets != hashlib.sha256(masked.commitments).digest():
            raise AlteredReplyError(f"the commitments of partner {index} are not those that it signed")
        if body.bundle != verification.bundle_digest(masked.bundle) or body.input != verification.input_digest(words, masked.public):
            raise AlteredReplyError(f"the vector or the shares of partner {index} were altered on their way")
        if len(masked.public) % self.dtype.itemsize:
            raise AlteredReplyError(f"the public words of partner {index} are not whole words")
        if any(len(sealed) != shares.sealed_bytes(self.cohort) for sealed in masked.bundle):
            raise MalformedMessageError(
                f"partner {index} sent encrypted shares that have not {shares.sealed_bytes(self.cohort)} bytes each"
            )

    def consistency_request(self) -> bytes:
        """Fix the survivors, and add their words; for every survivor.

        Those who masked from another trunk or with other keys than most, or other words, count as dropped: their masks would not cancel.
        `unlike` then says why.

        Raises:
            RoundAbandonedError: Too few are left.
        """
        usual = max(self.sums, key=lambda form: len(self.sums[form].partners), default=None)
        survivors = () if usual is None else tuple(sorted(self.sums[usual].partners))
        if usual is not None:
            self.unlike = {
                index: usual.unlike(index, form) for form, total in self.sums.items() for index in total.partners if form != usual
            }
        self.coordinator.enough(len(survivors), "sent masked inputs that fit together" if self.unlike else "sent a masked input")
        self.sums = {form: total for form, total in self.sums.items() if form == usual}
        headers = tuple(self.inputs[index].header for index in survivors)
        dropped = tuple(sorted(set(self.cohort) - set(survivors)))
        self.consistency = ConsistencyRequest(self.coordinator.session, self.number, survivors, dropped, headers)
        self.agreed_digest = survivors_digest(self.consistency)
        return wire.encode(self.consistency)

    @property
    def survivors(self) -> tuple[int, ...]:
        """Whose words are in the sum."""
        return self._agreed().survivors

    def add_signature(self, index: int, reply: bytes) -> None:
        """Take one survivor's signature on the survivors.

        Raises:
            SecAggError: It is none, or on other survivors.
        """
        signed, agreed = wire.decode(SurvivorsSignature, reply), self._agreed()
        if signed.index != index:
            raise AlteredReplyError(f"partner {index} answered in the name of partner {signed.index}")
        verification.verify_survivors(self.coordinator.roster, self.coordinator.session, self.number, signed)
        if index not in agreed.survivors or signed.survivors != self.agreed_digest:
            raise AlteredReplyError(f"partner {index} signed other survivors than it was shown")
        self.signatures[index] = signed

    def signers(self) -> tuple[int, ...]:
        """The survivors whose signature arrived, ascending: who is asked to unmask. The others may not have seen the list.

        Raises:
            RoundAbandonedError: Fewer than `threshold`.
        """
        self._threshold(len(self.signatures), "signed the survivors")
        return tuple(sorted(self.signatures))

    def unmask_request(self, index: int) -> bytes:
        """For one of the signers: all signatures, and the encrypted shares that others dealt to it.

        Raises:
            RoundAbandonedError: Fewer than `threshold` signed.
        """
        signatures = tuple(self.signatures[signer] for signer in self.signers())
        return wire.encode(UnmaskRequest(self.coordinator.session, self.number, signatures, self._sealed_for(index)))

    def add_answer(self, index: int, reply: bytes) -> None:
        """Take one survivor's shares.

        Raises:
            SecAggError: They are none, or of another number.
            WrongSecretError: Its own seeds are not those to which it committed. Its shares of the others' count all the same.
        """
        answer, agreed = wire.decode(UnmaskReply, reply), self._agreed()
        if answer.index != index:
            raise AlteredReplyError(f"partner {index} answered in the name of partner {answer.index}")
        verification.verify_answer(self.coordinator.roster, self.coordinator.session, self.number, answer)
        expected = len(agreed.survivors) * (1 + len(agreed.dropped)) * shamir.SHARE_BYTES
        if index not in agreed.survivors:
            raise MalformedMessageError(f"partner {index} answered in the place of nobody who survived")
        if len(answer.shares) != expected:
            raise MalformedMessageError(f"partner {index} revealed {len(answer.shares)} bytes of shares, not {expected}")
        if len(answer.own) > shamir.SHARE_BYTES * len(self.cohort):  # a proof of that would be as long
            raise MalformedMessageError(
                f"partner {index} revealed {len(answer.own)} bytes of its own seeds for {len(self.cohort)} partners"
            )
        if answer.unopened != tuple(sorted(set(answer.unopened) & set(agreed.survivors))):
            raise MalformedMessageError(f"partner {index} says of others than survivors that their shares do not open, or says it twice")
        if answer.dropped != agreed.dropped:
            raise AlteredReplyError(f"partner {index} answered for other dropped partners than it was shown")
        self.answers[index] = answer
        try:
            self.seeds[index] = own_secrets(self.coordinator.session, self.number, self.cohort, self.inputs[index].commitments, answer)
        except WrongSecretError:
            held = self.inputs[index]
            self.coordinator.proofs.append(
                WrongSecret(self.coordinator.session, self.number, self.cohort, held.header, held.commitments, answer)
            )
            raise

    def unmask(self) -> tuple[np.ndarray, np.ndarray]:
        """Take off the survivors' self masks, and their pairwise masks with those who dropped out.

        Returns:
            The sum, still under group masks; and the sum of the public words, in the clear.
        Raises:
            RoundAbandonedError: Fewer than `threshold` answered: no sum can be read.
            LostSeedsError: Seeds that a survivor did not reveal itself do not follow from the others' shares.
        """
        self._threshold(len(self.answers), "answered the unmasking")
        unmasking = self._unmasking()
        self.seeds = unmasking.seeds()
        self.wrong = unmasking.wrong(self.seeds)
        if lost := tuple(index for index in self.survivors if index not in self.seeds):
            raise LostSeedsError(lost)
        plus, minus = self._masks()  # as partners added and subtracted them: what was added is subtracted here
        (total,) = self.sums.values()
        add_streams(total.words, minus, plus, self.coordinator.threads)
        add_streams(total.public, list(map(keys.public_seed, minus)), list(map(keys.public_seed, plus)))
        self.answers.clear()  # taken off once: the same streams again would spoil the sum
        self.seeds.clear()
        return total.words, total.public

    def _agreed(self) -> ConsistencyRequest:
        assert self.consistency is not None
        return self.consistency

    def _threshold(self, count: int, what: str) -> None:
        if count < self.coordinator.roster.threshold:
            raise RoundAbandonedError(f"{count} partners {what}, and {self.coordinator.roster.threshold} are needed")

    def _sealed_for(self, holder: int) -> tuple[SealedShares, ...]:
        sealed = []
        for dealer in self.survivors:
            receivers = shares.sent_to(dealer, self.cohort, self.coordinator.roster.threshold)
            if holder in receivers:
                sealed.append(SealedShares(dealer, self.inputs[dealer].bundle[receivers.index(holder)]))
        return tuple(sealed)

    def _unmasking(self) -> Unmasking:
        agreed, roster = self._agreed(), self.coordinator.roster
        return Unmasking(
            session=self.coordinator.session,
            number=self.number,
            cohort=self.cohort,
            dropped=agreed.dropped,
            inputs={index: self.inputs[index] for index in agreed.survivors},
            answers=self.answers,
            said=self.seeds,
            threshold=roster.threshold,
            tolerated=roster.tolerated(),
        )

    def _masks(self) -> tuple[list[bytes], list[bytes]]:
        """Seeds of the masks that were added, and of those that were subtracted, in the sum of the survivors.

        Masks between two survivors cancelled already. Left are each survivor's self mask (`dealer == about`, added), and its pairwise
        mask with each dropped partner: added by the partner with the lower index, subtracted by the other.
        """
        agreed = self._agreed()
        plus: list[bytes] = []
        minus: list[bytes] = []
        names = [(dealer, about) for dealer in agreed.survivors for about in (dealer, *agreed.dropped)]
        for dealer, about in names:
            (plus if dealer <= about else minus).append(self.seeds[dealer][about])
        return plus, minus

    def _judged(self, index: int, complaint: Complaint) -> SecAggError:
        """What a complaint leads to: one that proves something ends the session, and any other leaves its sender out."""
        proof = self.coordinator.prove(complaint) if complaint.index == index else None
        if proof is None:
            return AlteredReplyError(f"partner {index} complains about partner {complaint.accused}, and proves nothing")
        self.coordinator.proofs.append(proof)
        return GuiltyPartnerError(proof.accused, f"what it sent to partner {index} is not what it signed for everybody")
