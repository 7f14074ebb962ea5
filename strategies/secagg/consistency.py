"""One round at a partner, between masking and its sum: all survivors agree on who they are, and only then reveal shares.

PROTOCOL.md, section 4, ConsistencyCheck and Unmasking. Everything hangs on one list. Of each partner of the cohort either the share of
its self mask may leave (it survived) or those of its pairwise masks (it dropped out): with both, its vector lies under the group mask
alone, which any other partner can take off. A coordinator that named it a survivor to some partners and dropped to others would get
both. So a partner signs one list in a round, and reveals only when `threshold` of the survivors signed the same one: two lists with that
many signatures each would need partners that sign twice, and no honest one does.
"""

from dataclasses import replace

from strategies.secagg import keys, shamir, shares
from strategies.secagg.consistency_messages import (
    ConsistencyRequest,
    SealedShares,
    SurvivorsSignature,
    UnmaskReply,
    UnmaskRequest,
    survivors_digest,
)
from strategies.secagg.errors import (
    AliveAndDroppedError,
    CohortError,
    CohortMismatchError,
    ContributionError,
    ContributionsMismatchError,
    FormMismatchError,
    KeyConfirmationError,
    OwnMessageAlteredError,
    RepeatedPartnerError,
    SecondSurvivorListError,
    SecondUnmaskingError,
    SelfDroppedError,
    SurvivorsDisagreeError,
    TooFewPartnersError,
    TooFewSignaturesError,
    TrunkMismatchError,
    UnknownPartnerError,
)
from strategies.secagg.identity import Identity
from strategies.secagg.masking import Round
from strategies.secagg.messages import cohort_digest
from strategies.secagg.roster import Roster
from strategies.secagg.session import Session
from strategies.secagg.verification import answer_message, survivors_message, verify_header, verify_survivors


def confirm(
    identity: Identity, roster: Roster, least: int, session: Session, state: Round, request: ConsistencyRequest
) -> tuple[Round, SurvivorsSignature]:
    """ConsistencyCheck: check the survivors, and sign them.

    Raises:
        SecAggError: As `check_survivors` and `check_headers`.
    """
    check_survivors(session, state, request, least)
    check_headers(roster, session, state, request)
    digest = survivors_digest(request)
    signature = identity.sign(survivors_message(roster, session.id, state.number, digest))
    agreed = replace(state, survivors=request.survivors, dropped=request.dropped, signed=digest)
    return agreed, SurvivorsSignature(session.index, digest, signature)


def check_survivors(session: Session, state: Round, request: ConsistencyRequest, least: int) -> None:
    """Every partner of the cohort is alive or dropped, and we are alive.

    Raises:
        RepeatedPartnerError, UnknownPartnerError, AliveAndDroppedError, SelfDroppedError, CohortError,
            TooFewPartnersError: As their names say.
    """
    alive, dropped = request.survivors, request.dropped
    for listed in (alive, dropped):
        if len(set(listed)) != len(listed):
            raise RepeatedPartnerError(f"a partner is listed twice in {listed}")
    if outside := sorted((set(alive) | set(dropped)) - set(state.cohort)):
        raise UnknownPartnerError(f"partners {outside} were not in the cohort of round {state.number}")
    if both := sorted(set(alive) & set(dropped)):
        raise AliveAndDroppedError(f"partners {both} are listed as survivors and as dropped: we would reveal both kinds of their shares")
    if session.index not in alive:
        raise SelfDroppedError(f"we, partner {session.index}, answered and are not among the survivors")
    if set(alive) | set(dropped) != set(state.cohort) or [*alive] != sorted(alive) or [*dropped] != sorted(dropped):
        raise CohortError("survivors and dropped, each ascending, are not together the cohort that we masked for")
    if len(alive) < least:
        raise TooFewPartnersError(f"{len(alive)} survivors, and {least} are needed")


def check_headers(roster: Roster, session: Session, state: Round, request: ConsistencyRequest) -> None:
    """Every survivor masked for the same cohort, from the same trunk, with the same keys.

    Raises:
        OwnMessageAlteredError, RepeatedPartnerError, SignatureError, CohortMismatchError, TrunkMismatchError,
            ContributionsMismatchError, KeyConfirmationError, FormMismatchError: As their names say.
    """
    if tuple(header.body.index for header in request.headers) != request.survivors:
        raise RepeatedPartnerError("there is not exactly one header for each survivor, in order")
    if state.header not in request.headers:
        raise OwnMessageAlteredError("our own header was changed")
    ours = state.header.body
    for header in request.headers:  # ours is among them, and equals itself
        body = header.body
        verify_header(roster, session.id, state.number, header)
        if body.cohort != ours.cohort:
            raise CohortMismatchError(body.index, "it masked for another cohort: the coordinator named different ones")
        if body.trunk != ours.trunk:
            raise TrunkMismatchError(body.index, "it trained from another trunk: the coordinator handed out different sums")
        if body.contributions != ours.contributions:
            raise ContributionsMismatchError(body.index, "it was shown other contributions: the coordinator handed out different lists")
        if body.confirmation != keys.confirmation(session.group, session.id, state.number, body.index):
            raise KeyConfirmationError(body.index, "it does not hold this session's group key")
        if body.words != ours.words:
            raise FormMismatchError(body.index, f"it sent {body.words} words, and we {ours.words}")


def reveal(identity: Identity, roster: Roster, session: Session, state: Round, request: UnmaskRequest) -> UnmaskReply:
    """Unmasking: our own self-mask seed, and our pairwise seeds with those who dropped out; and of every survivor's our shares.

    Each partner of the cohort is alive or dropped in the one list that we signed, so that both kinds for one never leave. Shares that do
    not open are left out with their dealer's name: the round does without them.

    Raises:
        SecAggError: As `check_signatures` and `held_shares`, but for `ContributionError`.
    """
    check_signatures(roster, session, state, request)
    sealed = {bundle.dealer: bundle for bundle in request.shares}
    if len(sealed) != len(request.shares):
        raise RepeatedPartnerError("two bundles of shares of one dealer")
    revealed, unopened = b"", []
    for dealer in state.survivors:
        try:
            shares_by = held_shares(roster.threshold, session, state, dealer, sealed.get(dealer))
        except ContributionError:
            unopened.append(dealer)
            revealed += bytes(shamir.SHARE_BYTES * (1 + len(state.dropped)))
            continue
        # Of a survivor its self mask, and what it shares with the dropped. Never its pairwise seeds with other survivors: those masks
        # cancelled in the sum, and taken off its vector alone they would leave it under the group mask.
        revealed += shares_by[dealer] + b"".join(shares_by[gone] for gone in state.dropped)
    seeds = {gone: keys.pairwise_seed(session.pair(gone), state.number, cohort_digest(state.cohort), state.trunk) for gone in state.dropped}
    own = state.self_seed + b"".join(seeds[gone] for gone in state.dropped)
    answer = UnmaskReply(session.index, state.dropped, own, revealed, tuple(unopened), b"")
    return replace(answer, signature=identity.sign(answer_message(roster, session.id, state.number, answer)))


def check_signatures(roster: Roster, session: Session, state: Round, request: UnmaskRequest) -> None:
    """Enough survivors signed the list that we signed.

    Raises:
        RepeatedPartnerError, UnknownPartnerError, SignatureError, SurvivorsDisagreeError, TooFewSignaturesError.
    """
    signers = [signature.index for signature in request.signatures]
    if len(set(signers)) != len(signers):
        raise RepeatedPartnerError(f"a partner's signature twice: {sorted(signers)}")
    for signature in request.signatures:
        if signature.index not in state.survivors:
            raise UnknownPartnerError(f"a signature of partner {signature.index}, who is not a survivor")
        verify_survivors(roster, session.id, state.number, signature)
        if signature.survivors != state.signed:
            raise SurvivorsDisagreeError(
                f"partner {signature.index} signed other survivors than we did: the coordinator named different ones"
            )
    if len(signers) < roster.threshold:
        raise TooFewSignaturesError(f"{len(signers)} signatures on the survivors, and {roster.threshold} are needed")


def held_shares(threshold: int, session: Session, state: Round, dealer: int, sealed: SealedShares | None) -> dict[int, bytes]:
    """The shares that we hold of one dealer, by the partner that each is about.

    Raises:
        TooFewPartnersError: Its encrypted shares were not delivered.
        ContributionError: They do not open.
    """
    names, holder, cohort = shares.secrets_of(dealer, state.cohort), session.index, cohort_digest(state.cohort)
    if holder in shares.derived_by(dealer, state.cohort, threshold):
        secret = state.own_secret if dealer == holder else session.pair(dealer)
        derived = keys.fixed_shares(secret, state.number, dealer, holder, cohort, len(names))
        return dict(zip(names, map(shamir.to_bytes, derived), strict=True))
    if sealed is None:
        raise TooFewPartnersError(f"the shares that partner {dealer} dealt to us were not delivered")
    key = keys.share_key(session.pair(dealer), state.number, dealer, holder, cohort)
    opened = shares.open_sealed(sealed.ciphertext, key, session.id, len(names), dealer)
    return dict(zip(names, opened, strict=True))


def check_list_again(state: Round, request: ConsistencyRequest) -> None:
    """What comes after our signature is the list that we signed: late, or delivered twice.

    Raises:
        SecondSurvivorListError: It is another one.
    """
    if survivors_digest(request) != state.signed:
        raise SecondSurvivorListError("a second list of survivors, after this partner signed the round's first")


def check_unmasking_again(state: Round, request: UnmaskRequest) -> None:
    """What comes after our shares is about the list that we signed: late, or delivered twice.

    Raises:
        SecondUnmaskingError: It is about another one.
    """
    if any(signature.survivors != state.signed for signature in request.signatures):
        raise SecondUnmaskingError("a second request to unmask, on another list than the one whose shares this partner revealed")
