"""What a partner remembers between two messages, and where a message belongs. PROTOCOL.md, section 6."""

import hashlib
from dataclasses import dataclass, field

from strategies.secagg import wire
from strategies.secagg.consistency_messages import ConsistencyRequest, UnmaskRequest
from strategies.secagg.errors import MalformedMessageError
from strategies.secagg.masking import Round
from strategies.secagg.messages import CollectRequest, FinishRequest, HandoverRequest, SessionParameters
from strategies.secagg.phases import Phase, Step
from strategies.secagg.session import Advertised, Session, Shared

NO_SESSION = bytes(32)
MARK = b"polyphony state 2\n"
DIGEST = 32


@dataclass(frozen=True)
class State:
    """All that a partner remembers; secret, and used once: an older copy of it could mask two vectors alike (`keystream.py`).

    Attributes:
        phase: Of `phases.Phase`.
        advertised, shared, session: The set-up as far as it got; keys of earlier sessions are gone.
        round: The last round masked for.
        next_number: Least round number that may be masked for.
        request, reply: `request_digest` of the last request answered, and the answer.
        line: The transcript's about the last request, answered or refused; nothing in the protocol depends on it.
    """

    phase: str = Phase.IDLE.value
    advertised: Advertised | None = None
    shared: Shared | None = None
    session: Session | None = None
    round: Round | None = None
    next_number: int = 0
    request: bytes = b""
    reply: bytes = b""
    line: str = field(default="", compare=False)

    def repeated(self, step: Step, request: bytes) -> bytes | None:
        """The answer, if `request` is the last one that was answered, and was the same step."""
        return self.reply if self.request == request_digest(step, request) else None

    def place(self, step: Step, request: bytes) -> tuple[bytes, int]:
        """Session and round of a request, for the transcript; zeros where it names none.

        In set-up the nonce stands for the session, which partners that were shown different messages would name differently.
        """
        try:
            match step:
                case Step.ADVERTISE_KEYS:
                    return wire.decode(SessionParameters, request).nonce, 0
                case Step.SHARE_KEYS:
                    set_up = self.shared or self.advertised
                    return (set_up.parameters.nonce if set_up else NO_SESSION), 0
                case Step.COLLECT:
                    parsed = wire.decode(CollectRequest, request)
                    return known(parsed.session), parsed.number
                case Step.CONSISTENCY:
                    shown = wire.decode(ConsistencyRequest, request)
                    return known(shown.session), shown.number
                case Step.UNMASK:
                    asked = wire.decode(UnmaskRequest, request)
                    return known(asked.session), asked.number
                case Step.HANDOVER:
                    return known(wire.decode(HandoverRequest, request).session), 0
                case Step.FINISH:
                    last = wire.decode(FinishRequest, request)
                    return known(last.session), last.last.number if last.last else 0
        except MalformedMessageError:
            return NO_SESSION, 0


def request_digest(step: Step, request: bytes) -> bytes:
    """Names a request. The same bytes under another step are another one, which the phase may not expect."""
    return hashlib.sha256(step.encode() + b"\0" + request).digest()


def dump(state: State) -> bytes:
    """The state as it lies on disk: a mark, the digest of what follows, and the state.

    A flipped bit in a key would otherwise be found by nobody but the others, who would blame the partner or each other for it.
    """
    content = wire.encode(state)
    return MARK + hashlib.sha256(content).digest() + content


def load(data: bytes) -> State:
    """The state of `dump`.

    Raises:
        MalformedMessageError: Damaged, or of an earlier version of the protocol.
    """
    if not data.startswith(MARK):
        raise MalformedMessageError("it does not begin as one of version 2 of the protocol does")
    digest, content = data[len(MARK) :][:DIGEST], data[len(MARK) + DIGEST :]
    if digest != hashlib.sha256(content).digest():
        raise MalformedMessageError("truncated or altered: it is not what its own digest says")
    state = wire.decode(State, content)
    if state.phase not in {phase.value for phase in Phase}:
        raise MalformedMessageError(f"no phase {state.phase!r}")
    return state


def known(session: bytes) -> bytes:
    """A session id as it was sent, or zeros for what cannot be one."""
    return session if len(session) == len(NO_SESSION) else NO_SESSION
