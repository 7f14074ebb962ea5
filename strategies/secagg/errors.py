"""Everything that the protocol refuses, each by a name of its own, grouped by who is at fault.

`OutOfOrderError` changes nothing: the message is not expected now. Every other error, raised for a message that was expected, is a
refusal; what a refusal does to the session is written in `phases.py`.
"""


class SecAggError(Exception):
    """Base of all refusals."""


class MalformedMessageError(SecAggError):
    """Bytes that are not a message of this protocol: truncated, too long, or not in the one canonical form. Whoever sent it."""


class IdentityFileError(SecAggError):
    """A key or roster file at home is missing, unreadable or inconsistent. Nobody else is at fault."""


class NotEnoughSharesError(SecAggError):
    """Fewer shares than the threshold."""


class OutOfOrderError(SecAggError):
    """A message that this phase does not expect. State is unchanged."""


# The coordinator asks for what a partner's policy or the protocol forbids.


class CoordinatorError(SecAggError):
    """The coordinator is at fault, or somebody between it and us."""


class PolicyError(CoordinatorError):
    """A request outside the partner's own policy."""


class OldSessionError(CoordinatorError):
    """A message of another session."""


class OldRoundError(CoordinatorError):
    """A round number that was used before, or another one than the round in progress."""


class CohortError(CoordinatorError):
    """A cohort that lacks us, repeats a partner, names one outside the session, is too small, or is not the one we masked for."""


class OwnMessageAlteredError(CoordinatorError):
    """Our own advertisement, header or signature came back changed or not at all."""


class TooFewPartnersError(CoordinatorError):
    """Fewer partners than threshold and policy demand."""


class UnknownPartnerError(CoordinatorError):
    """A partner index that is not in the roster or not in the session."""


class RepeatedPartnerError(CoordinatorError):
    """One partner listed twice."""


class AliveAndDroppedError(CoordinatorError):
    """One partner listed both as survivor and as dropped."""


class SelfDroppedError(CoordinatorError):
    """We are listed as dropped, or not at all, though we answered."""


class SecondSurvivorListError(CoordinatorError):
    """Another list of survivors for a round whose first we signed."""


class SurvivorsDisagreeError(CoordinatorError):
    """Another partner signed another list of survivors than we did."""


class TooFewSignaturesError(CoordinatorError):
    """Fewer signatures on the survivors than the threshold."""


class SecondUnmaskingError(CoordinatorError):
    """A second request to reveal shares of one round, on another list of survivors."""


class AlteredSumError(CoordinatorError):
    """The masked sum is not the sum of what the survivors sent."""

    hint = (
        "compare transcripts (polyphony transcript compare): if all were given the same sum, the coordinator or a partner that revealed "
        "shares spoiled it; the next session goes on from the trunk before"
    )


class AlteredReplyError(SecAggError):
    """What reached the coordinator is not what the partner signed; the reply is left out."""


# A partner is at fault, or the coordinator put words into its mouth.


class PeerError(SecAggError):
    """A partner's message does not hold.

    Args:
        partner: Its index in the roster.
        reason: What is wrong.
    """

    def __init__(self, partner: int, reason: str) -> None:
        super().__init__(f"partner {partner}: {reason}")
        self.partner = partner


class SignatureError(PeerError):
    """A signature that does not verify: altered, forged, or by another key."""


class KeyConfirmationError(PeerError):
    """A partner that does not hold the group key of this session."""


class CohortMismatchError(PeerError):
    """A partner masked for another cohort than we did."""


class TrunkMismatchError(PeerError):
    """A partner trained from another trunk than we did."""


class FormMismatchError(PeerError):
    """A partner whose vector has another length than ours."""


class ContributionError(PeerError):
    """An encrypted contribution or share that does not open."""


class HandoverError(PeerError):
    """A handed-over trunk that does not open, or is not the one asked for."""


class SumOutOfRangeError(SecAggError):
    """The sum is genuine, but no sum of allowed words: a survivor left the agreed range."""


class BehindError(SecAggError):
    """A partner lacks the trunk that a round goes on from: nobody's fault, and it gets the trunk with the next request."""


class RoundAbandonedError(SecAggError):
    """Too few partners answered; nothing was revealed, and the next round trains afresh."""
