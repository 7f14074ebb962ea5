"""One round at a partner, first and last step: mask (PROTOCOL.md, section 4), and finish (section 5).

Pure functions, as in `session.py`; between the two lies `consistency.py`.

A vector is [private words | words of the check's tag]; the sum of its private words is what partners learn. A second, short vector of
public words carries no group mask: its sum is for the coordinator.
"""

import hashlib
from dataclasses import dataclass

import numpy as np

from strategies.secagg import aggregate_check, digits, keys, shares
from strategies.secagg.errors import (
    CohortError,
    MalformedMessageError,
    RepeatedPartnerError,
    TooFewPartnersError,
    UnknownPartnerError,
)
from strategies.secagg.identity import Identity
from strategies.secagg.keystream import DTYPES, add_streams
from strategies.secagg.messages import Header, LastRound, MaskedInput, SignedHeader, cohort_digest
from strategies.secagg.roster import Roster
from strategies.secagg.session import Entropy, Session
from strategies.secagg.verification import bundle_digest, header_message, input_digest


@dataclass(frozen=True)
class Round:
    """A round that this partner has masked for; secret, since its self mask follows from it.

    Attributes:
        number, cohort, trunk: What it masked for.
        self_seed: Seed of its self mask, b_i.
        own_secret: Derives the shares that it keeps itself.
        header: As it was sent.
        survivors, dropped: What it signed, empty before.
        signed: Digest of that, empty before.
        trains: The round of the trunk that it trained for; 0 for a row list.
    """

    number: int
    cohort: tuple[int, ...]
    trunk: bytes
    self_seed: bytes
    own_secret: bytes
    header: SignedHeader
    survivors: tuple[int, ...]
    dropped: tuple[int, ...]
    signed: bytes
    trains: int = 0


def signed_view(words: np.ndarray) -> np.ndarray:
    """The same memory as signed integers, int32 or int16."""
    signed: np.ndarray = words.view(np.dtype(f"<i{words.itemsize}"))
    return signed


def tag_words(session: Session) -> int:
    """Words that the aggregate check adds at the end of a vector."""
    return digits.count(aggregate_check.TAG_BITS, session.parameters.word_bits, len(session.members))


def check_cohort(session: Session, cohort: tuple[int, ...], least: int) -> None:
    """What a partner checks before it trains.

    Raises:
        CohortError: It lacks us, is not ascending without repeats, or names somebody outside the session.
        TooFewPartnersError: Fewer than `least`.
    """
    if list(cohort) != sorted(set(cohort)):
        raise CohortError(f"the cohort {cohort} is not ascending without repeats")
    if not set(cohort) <= set(session.members):
        raise CohortError(f"the cohort {cohort} names partners outside the session's {session.members}")
    if session.index not in cohort:
        raise CohortError(f"the cohort {cohort} lacks us, partner {session.index}")
    if len(cohort) < least:
        raise TooFewPartnersError(f"a cohort of {len(cohort)}, and {least} are needed")


def mask(  # noqa: PLR0913 - who, in which round, what and with what; called with keywords
    identity: Identity,
    roster: Roster,
    session: Session,
    number: int,
    cohort: tuple[int, ...],
    trunk: bytes,
    words: np.ndarray,
    public: np.ndarray,
    entropy: Entropy,
    threads: int = 1,
) -> tuple[Round, MaskedInput]:
    """MaskedInputCollection: mask `words` in place, and share the seeds.

    Once for a round number: every mask but the self mask comes from keys, number, cohort and trunk, so two vectors under one number would
    differ, but for their self masks, by what they say. Of that the caller takes care, in `Participant`.

    Args:
        words: The session's word size; its last `tag_words` are overwritten.
        public: Same word size; masked in a copy.
        threads: For the keystreams.
    Returns:
        What to keep, and what to send beside `words`.
    """
    asked = cohort_digest(cohort)
    others = tuple(index for index in cohort if index != session.index)
    seeds = {j: keys.pairwise_seed(session.pair(j), number, asked, trunk) for j in others}
    # The self mask is the one fresh seed. Without it, a coordinator that calls a slow partner dropped, collects the shares of its pairwise
    # seeds and then receives its vector after all, would find it under the group mask alone, which any other partner can take off.
    seeds[session.index] = shares.seed_bytes(entropy(keys.WIDE_BYTES))
    _write_tag(session, number, trunk, words)  # before masking: the tag is masked with the words that it is about
    # Of two partners the one with the lower index adds their stream and the other subtracts it; its own self mask each adds.
    plus = [seeds[j] for j in cohort if j >= session.index]
    minus = [seeds[j] for j in cohort if j < session.index]
    hidden, cancelled = group_masks(session, number, (session.index,))
    add_streams(words, plus + hidden, minus + cancelled, threads)
    shown = public.astype(DTYPES[session.parameters.word_bits])
    add_streams(shown, list(map(keys.public_seed, plus)), list(map(keys.public_seed, minus)))
    own_secret = entropy(keys.KEY_BYTES)
    bundle = _bundle(roster, session, number, cohort, seeds, own_secret)
    names = shares.secrets_of(session.index, cohort)
    commitments = b"".join(keys.secret_commitment(session.id, number, session.index, about, seeds[about]) for about in names)
    header = Header(
        index=session.index,
        cohort=asked,
        trunk=trunk,
        contributions=session.contributions,
        confirmation=keys.confirmation(session.group, session.id, number, session.index),
        secrets=hashlib.sha256(commitments).digest(),
        words=len(words),
        input=input_digest(words, shown.tobytes()),
        bundle=bundle_digest(bundle),
    )
    signed = SignedHeader(header, identity.sign(header_message(roster, session.id, number, header)))
    masked = Round(
        number=number,
        cohort=cohort,
        trunk=trunk,
        self_seed=seeds[session.index],
        own_secret=own_secret,
        header=signed,
        survivors=(),
        dropped=(),
        signed=b"",
    )
    return masked, MaskedInput(signed, commitments, bundle, shown.tobytes())


def group_masks(session: Session, number: int, partners: tuple[int, ...]) -> tuple[list[bytes], list[bytes]]:
    """The sum of these partners' group masks: keys of the streams to add, and of those to subtract.

    A member's mask is its own stream minus that of the member before it. So each is as random as if all were drawn apart (any choice
    of masks comes from one choice of streams), and in a sum all streams cancel but one, and up to two for each gap in `partners`.

    Never one mask common to all: |U| times a mask is not uniform (for an even |U| its lowest bit is 0), and would show low bits of the sum.
    """
    following = (*session.members[1:], 0)
    count = {member: (member in partners) - (after in partners) for member, after in zip(session.members, following, strict=True)}
    seeds = {member: keys.group_seed(session.group, number, member) for member, times in count.items() if times}
    return [seeds[member] for member in seeds if count[member] > 0], [seeds[member] for member in seeds if count[member] < 0]


def finish(session: Session, least: int, last: LastRound, words: np.ndarray, trunk: bytes, threads: int = 1) -> np.ndarray:
    """Take the group masks off a masked sum, in place, and check it.

    Args:
        least: Survivors that a round needs. A sum of nobody has no masks, so that anybody can make it, and its check.
        words: The masked sum, which `check_sum` let pass; overwritten.
        trunk: What the survivors trained from, as their headers say; those of a row list name the session's trunk.
    Returns:
        The sum of the private words, signed, a view of `words`.
    Raises:
        RepeatedPartnerError, UnknownPartnerError, TooFewPartnersError: In the list of survivors.
        AlteredSumError: It is not the survivors' sum, or was taken in before.
    """
    if len(set(last.survivors)) != len(last.survivors):
        raise RepeatedPartnerError(f"a survivor is listed twice in {last.survivors}")
    if not set(last.survivors) <= set(session.members):
        raise UnknownPartnerError(f"survivors {last.survivors} are not all in the session")
    if len(last.survivors) < least:
        raise TooFewPartnersError(f"a sum of {len(last.survivors)} survivors, and {least} are needed")
    tail = tag_words(session)
    hidden, cancelled = group_masks(session, last.number, last.survivors)
    add_streams(words, cancelled, hidden, threads)
    private = signed_view(words[:-tail])
    claimed = digits.join(words[-tail:].tolist(), session.parameters.word_bits, len(session.members))
    # The check's key names the trunk that the round starts from, so a sum that was taken in, whose trunk is another, passes never again.
    start = session.trunk if last.rows else trunk
    aggregate_check.verify(private, keys.check_key(session.group, last.number, start), claimed)
    return private


def check_sum(session: Session, words: np.ndarray) -> None:
    """See that an array can be a masked sum of this session, before it is worked on: it came over the network.

    Raises:
        MalformedMessageError: Other words than the session's, more than one dimension, or no more words than a tag has.
    """
    expected = DTYPES[session.parameters.word_bits]
    if words.dtype != expected or words.ndim != 1 or len(words) <= tag_words(session):
        raise MalformedMessageError(f"a masked sum of {words.dtype} {words.shape}, not of more than {tag_words(session)} {expected} words")


def _write_tag(session: Session, number: int, trunk: bytes, words: np.ndarray) -> None:
    tail = tag_words(session)
    private = signed_view(words[:-tail])
    value = aggregate_check.tag(private, keys.check_key(session.group, number, trunk))
    words[-tail:] = digits.split(value, aggregate_check.TAG_BITS, session.parameters.word_bits, len(session.members))


def _bundle(
    roster: Roster, session: Session, number: int, cohort: tuple[int, ...], seeds: dict[int, bytes], own_secret: bytes
) -> tuple[bytes, ...]:
    """Every seed, shared among the cohort and sealed for those holders that do not derive their shares."""
    dealer, asked = session.index, cohort_digest(cohort)

    def derived(holder: int) -> list[int]:
        secret = own_secret if holder == dealer else session.pair(holder)
        return keys.fixed_shares(secret, number, dealer, holder, asked, len(cohort))

    dealt = shares.deal(dealer, cohort, roster.threshold, seeds, derived)
    sealing = {holder: keys.share_key(session.pair(holder), number, dealer, holder, asked) for holder in dealt}
    return tuple(shares.seal(dealt[holder], sealing[holder], session.id) for holder in dealt)
