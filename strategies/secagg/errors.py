"""Everything that the protocol refuses, each by a name of its own, grouped by who is at fault.

An error says what it proves and who is at fault, as far as the one who raises it can tell. A partner hears everything through the
coordinator: "the coordinator" always stands for whoever is between it and the partner, too. What a signature covers its signer said;
what is unsigned anybody may have changed. What a refusal does to the session is written in `phases.py`; how several partners'
transcripts narrow down who is at fault, in `transcript_comparison.py`.
"""


class SecAggError(Exception):
    """Base of all refusals; never raised as itself."""


class MalformedMessageError(SecAggError):
    """Bytes that are not a message of this protocol: truncated, too long, or not in the one canonical form.

    Proves nothing: a damaged or an older program sends them as well as an attacker. State is unchanged.
    """


class IdentityFileError(SecAggError):
    """A key or roster file at home is missing, unreadable or inconsistent. The fault is at home, and nobody else's."""


class NotEnoughSharesError(SecAggError):
    """Fewer shares than the threshold, from which no secret follows. A fault of the program: the coordinator counts before."""


class WrongSharesError(SecAggError):
    """Enough shares, but so many of them are wrong that no secret can be read from them.

    Proves that at least `least` of the holders revealed a wrong share, or that the dealer dealt something else than it committed to.

    Args:
        answers: Shares that there were.
        least: How many of them must be wrong.
    """

    def __init__(self, answers: int, least: int) -> None:
        super().__init__(f"at least {least} of {answers} shares are wrong, or what was dealt is not what the dealer committed to")
        self.answers, self.least = answers, least


class OutOfOrderError(SecAggError):
    """A message that this phase does not expect. Proves nothing: networks deliver late and twice. State is unchanged."""


# The coordinator asks for what a partner's policy or the protocol forbids.


class CoordinatorError(SecAggError):
    """The coordinator is at fault, or somebody between it and us."""


class PolicyError(CoordinatorError):
    """A request outside the partner's own policy.

    Proves that the coordinator's configuration and this partner's policy differ: by mistake on either side, or because the coordinator
    tries what was not agreed.
    """

    hint = (
        "what was agreed on is not the same everywhere: install the kit that the others have (`polyphony kit install`), or ask the "
        "coordinator which kit it has"
    )


class OldSessionError(CoordinatorError):
    """A message of another session. Proves nothing: it may be late. State is unchanged."""


class OldRoundError(CoordinatorError):
    """A round number that was used before, or another one than the round in progress. Proves nothing, as `OldSessionError`.

    That it is refused is what keeps a partner from masking two vectors alike.
    """


class CohortError(CoordinatorError):
    """A cohort that lacks us, repeats a partner, names one outside the session, or is not the one we masked for.

    Proves a faulty or lying coordinator: no honest one makes such a list.
    """


class OwnMessageAlteredError(CoordinatorError):
    """Our own advertisement or header came back changed or not at all. Proves it: we know what we sent."""


class TooFewPartnersError(CoordinatorError):
    """Fewer partners than threshold and policy demand.

    Proves that the coordinator went on where it had to wait or give up; in a sum of fewer each would be more visible.
    """


class UnknownPartnerError(CoordinatorError):
    """A partner index that is not in the roster or not in the session. Proves that the coordinator invents or mixes up partners."""


class RepeatedPartnerError(CoordinatorError):
    """One partner listed twice: it would count twice towards a threshold. At a coordinator: two nodes have one identity."""


class AliveAndDroppedError(CoordinatorError):
    """One partner listed both as survivor and as dropped.

    Proves an attack or a grave fault: both kinds of shares about one partner would open its vector up to the group mask.
    """


class SelfDroppedError(CoordinatorError):
    """We are listed as dropped, or not at all, though we answered.

    The coordinator may not have got our answer, and then should not have asked us; or it asks for shares against us.
    """


class SecondSurvivorListError(CoordinatorError):
    """Another list of survivors for a round whose first we signed. Proves that the coordinator said two things about one round."""


class SurvivorsDisagreeError(CoordinatorError):
    """Another partner signed another list of survivors than we did, or a sum is of other survivors.

    With two signatures it proves that the coordinator showed two lists: an honest partner signs what it is shown.
    """


class TooFewSignaturesError(CoordinatorError):
    """Fewer signatures on the survivors than the threshold. Proves that the coordinator asks for shares before enough partners agree."""


class SecondUnmaskingError(CoordinatorError):
    """A second request to reveal shares of one round, on another list of survivors. Proves an attempt to get both kinds of shares."""


class AlteredSumError(CoordinatorError):
    """The masked sum is not the sum of what the survivors sent.

    Proves that somebody changed it, and not who: the coordinator, or a survivor that masked with other streams than it committed to. An
    honest mistake passes the check with probability below 2^-59, and so does an attack by whoever lacks the group key.
    """

    hint = (
        "compare transcripts (polyphony transcript compare): if all were given the same sum, the coordinator or a survivor spoiled it; "
        "the next session goes on from the trunk before"
    )


class RepetitionError(CoordinatorError):
    """A session, a round or another cohort once more than the partner's own policy allows.

    Proves nothing, since honest rounds get lost as well, and so changes nothing: the next round, in the cohort that was signed before, may
    go on. But it is what a coordinator does that works with a partner and wants to see one update in several sums.
    """

    hint = (
        "look at what was repeated (polyphony status) and ask the coordinator and the other partners why; if that is a good reason, raise "
        "survivor_lists, sessions or cohort_changes in policy.yaml, and in floor.yaml where that says less"
    )


class AlteredReplyError(SecAggError):
    """What reached the coordinator is not what the partner signed; the reply is left out.

    Proves that it was altered on its way, or that the partner's program is at fault.
    """


# A partner is at fault, or the coordinator put words into its mouth.


class PeerError(SecAggError):
    """A partner's message does not hold. That partner is at fault, or the coordinator, where no signature of the partner says so.

    Args:
        partner: Its index in the roster.
        reason: What is wrong.
    """

    def __init__(self, partner: int, reason: str) -> None:
        super().__init__(f"partner {partner}: {reason}")
        self.partner = partner


class SignatureError(PeerError):
    """A signature that does not verify: altered, forged, or by another key.

    Proves nothing against the partner that it names: whoever carries a message can spoil its signature.
    """


class KeyConfirmationError(PeerError):
    """A partner whose signed header says that it holds another group key than we do, though it was shown the same contributions.

    Proves that it is at fault: each contribution is bound by its sender's signature, so the key follows from what both were shown.
    """


class CohortMismatchError(PeerError):
    """A partner signed that it masked for another cohort than we did: proves that the coordinator named different ones."""


class TrunkMismatchError(PeerError):
    """A partner signed that it trained from another trunk than we did.

    The coordinator handed out different sums, or one of the two partners has a trunk that it should not have.
    """


class FormMismatchError(PeerError):
    """A partner signed a vector of another length than ours: it has another row list or another configuration."""


class ContributionError(PeerError):
    """An encrypted contribution that is not the one that its sender signed, or a share that does not open.

    Proves nothing against the sender: whoever carries a message can alter it.
    """


class WrongSecretError(PeerError):
    """A partner revealed other seeds than it committed to. Proves that it is at fault: it signed both (`proofs.py`)."""


class WrongShareError(PeerError):
    """A share that is not on the polynomial of all the others: its holder revealed another one, or its dealer dealt it wrong.

    Where it happens with more dealers than may misbehave, it is the holder.
    """


class UnusableKeyError(PeerError):
    """A partner signed a key that nothing can be encrypted for. Proves that the partner is at fault: its signed advertisement shows it.

    An honest coordinator leaves such a partner out before anybody else hears of it.
    """


class ExcludedPartnerError(PeerError):
    """A partner that is left out for what it did, or for what became of its seeds, wants to take part. Proves nothing new."""


class UnequalContributionError(PeerError):
    """What a partner encrypted for us is not what it signed: it does not open, or has another contribution to the group key.

    Proves that its sender is at fault, since it signed both the ciphertext's digest and the commitment; `proofs.py` shows it to others.
    """


class ContributionsMismatchError(PeerError):
    """A partner signed that it was shown other lists of contributions than we were.

    Proves that the coordinator showed different ones; if the same sender signed both, that sender works with it (`transcript compare`).
    """


class HandoverError(PeerError):
    """A handed-over trunk that does not open, is damaged, or has another name than the one that a quorum holds.

    If its ciphertext is the signed one, the holder is at fault. The content is never taken.
    """


class NoQuorumError(CoordinatorError):
    """A session would go on from a trunk more than one round behind ours.

    Either too few of the partners that are here still have the newer one, or the coordinator left those out that have it. Nothing proves
    which. A round that was finished is given up by a person's decision alone.
    """

    hint = (
        "wait until more partners are connected; if they lost their trunks for good, a person decides: once both trunks of this partner "
        "are moved away from its state, it goes on from the one that the others hold"
    )


class ProtocolVersionError(CoordinatorError):
    """A coordinator that speaks another version of the protocol. Proves that one of the two programs is older."""

    hint = "all partners and the coordinator run the same version of Polyphony; a run that began under another version begins anew"


class SumOutOfRangeError(SecAggError):
    """The sum is genuine, but no sum of allowed words.

    Proves that a survivor left the agreed range, by a fault or on purpose, and not which one: the others' words hide it.
    """


class SupportOutOfRangeError(SecAggError):
    """The sum of the partners' supports is genuine, and above their number in some row or slot: a partner said more than one of its own.

    Proves it, and not which partner did: the others' words hide it. A lie that stays below their number looks like the truth.
    """


class BehindError(SecAggError):
    """A partner lacks the trunk that a round goes on from: nobody's fault, and it gets the trunk with the next request."""


class RoundAbandonedError(SecAggError):
    """Too few partners answered: no sum can be read, and the next round trains afresh."""


class GuiltyPartnerError(RoundAbandonedError):
    """A partner was proven to misbehave before anything was masked: the session ends, and the next one begins without it.

    Args:
        partner: Its index in the roster.
        reason: What it did.
    """

    def __init__(self, partner: int, reason: str) -> None:
        super().__init__(f"partner {partner}: {reason}")
        self.partner = partner


class LostSeedsError(RoundAbandonedError):
    """A survivor revealed none of its seeds, or wrong ones, and too many shares of them are wrong: no sum follows.

    Args:
        partners: Whose seeds are lost; the next attempt goes on without them.
    """

    def __init__(self, partners: tuple[int, ...]) -> None:
        super().__init__(
            f"the seeds of partners {', '.join(map(str, partners))} cannot be found: they did not answer, and shares are wrong"
        )
        self.partners = partners
