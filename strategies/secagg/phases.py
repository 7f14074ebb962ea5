"""Which message a partner expects when, as a table; and what a refusal does. PROTOCOL.md, section 7.

A message that the phase does not expect is refused and changes nothing. So are messages that prove nothing: bytes that cannot be read,
an old session, an old round, and what was repeated too often, as honest rounds are when they get lost. Any other refusal ends the session
for this partner: FAILED has no exit but a new session, with new keys.
Networks deliver late and twice: what was answered before is out of order, unless it contradicts what this partner signed.
"""

from enum import StrEnum

from strategies.secagg.errors import MalformedMessageError, OldRoundError, OldSessionError, OutOfOrderError, RepetitionError


class Phase(StrEnum):
    """Where a partner stands."""

    IDLE = "idle"
    ADVERTISED = "advertised"
    KEYED = "keyed"
    MASKED = "masked"
    SIGNED = "signed"
    REVEALED = "revealed"
    FAILED = "failed"


class Step(StrEnum):
    """The coordinator's requests; phases of Bonawitz et al., and two of our own."""

    ADVERTISE_KEYS = "AdvertiseKeys"
    SHARE_KEYS = "ShareKeys"
    HANDOVER = "Handover"
    COLLECT = "MaskedInputCollection"
    CONSISTENCY = "ConsistencyCheck"
    UNMASK = "Unmasking"
    FINISH = "Finish"


# A round ends with the next one's request, which brings its sum, or with Finish; one that failed elsewhere simply never gets a sum.
_OPEN = {Step.ADVERTISE_KEYS: Phase.ADVERTISED, Step.COLLECT: Phase.MASKED, Step.FINISH: Phase.KEYED}

TRANSITIONS: dict[Phase, dict[Step, Phase]] = {
    Phase.IDLE: {Step.ADVERTISE_KEYS: Phase.ADVERTISED},
    Phase.ADVERTISED: {Step.ADVERTISE_KEYS: Phase.ADVERTISED, Step.SHARE_KEYS: Phase.KEYED},
    Phase.KEYED: {**_OPEN, Step.HANDOVER: Phase.KEYED},
    Phase.MASKED: {**_OPEN, Step.HANDOVER: Phase.MASKED, Step.CONSISTENCY: Phase.SIGNED},
    Phase.SIGNED: {**_OPEN, Step.HANDOVER: Phase.SIGNED, Step.UNMASK: Phase.REVEALED},
    Phase.REVEALED: {**_OPEN, Step.HANDOVER: Phase.REVEALED},
    Phase.FAILED: {Step.ADVERTISE_KEYS: Phase.ADVERTISED},
}
HARMLESS = (OutOfOrderError, MalformedMessageError, OldSessionError, OldRoundError, RepetitionError)


def after(phase: Phase, step: Step) -> Phase:
    """The phase that a step leads to.

    Raises:
        OutOfOrderError: `phase` does not expect it.
    """
    expected = TRANSITIONS[phase]
    if step not in expected:
        raise OutOfOrderError(f"{step} is not expected in phase {phase}, which expects {', '.join(expected)}")
    return expected[step]


def diagram() -> str:
    """The table as a Mermaid state diagram."""
    lines = ["stateDiagram-v2", f"    [*] --> {Phase.IDLE}"]
    for phase, expected in TRANSITIONS.items():
        lines += [f"    {phase} --> {following}: {step}" for step, following in expected.items()]
        if phase is not Phase.IDLE and phase is not Phase.FAILED:
            lines.append(f"    {phase} --> {Phase.FAILED}: refusal")
    return "\n".join(lines)
