"""Partners of a toy consortium that lie: what they send is forged behind their own, honest, side."""

from collections.abc import Callable
from dataclasses import replace

from flwr.app import Message

from strategies import message_records
from strategies.secagg import verification, wire
from strategies.secagg.consistency_messages import UnmaskReply
from strategies.secagg.messages import COLLECT_REPLIES, MaskedInput, SignedHeader
from strategies.secagg.phases import Step
from strategies.secagg.roster import Roster
from tests.helpers.federation import body, step
from tests.strategies.secagg.parties import identities
from tests.strategies.toy import Toy, state_of

LIAR = 3  # of four
HONEST = [1, 2, 4]
Forge = Callable[[bytes, Roster], bytes]  # from an honest reply to the liar's


def lying(toy: Toy, when: tuple[Step, str], forge: Forge) -> None:
    """The liar's replies to one step of one round are forged."""

    def up(partition: int, message: Message) -> Message:
        if partition == LIAR - 1 and message.has_content() and (Step(step(message)), message.metadata.group_id) == when:
            message.content[message_records.MESSAGE][message_records.BODY] = forge(body(message), toy.roster)
        return message

    toy.grid.up = up


def left_out(toy: Toy) -> list[str]:
    return [f"{exchange.phase}: {line}" for exchange in toy.journal() for line in exchange.left_out]


def sign(message: bytes) -> bytes:
    return identities(4)[LIAR - 1].sign(message)


def header_of(toy: Toy, masked: MaskedInput, liar: int = LIAR, **changes: object) -> MaskedInput:
    """A liar's masked input with other fields of its header, signed."""
    state = state_of(toy, liar)
    assert state.session is not None
    assert state.round is not None
    changed = replace(masked.header.body, **changes)
    message = verification.header_message(toy.roster, state.session.id, state.round.number, changed)
    return replace(masked, header=SignedHeader(changed, identities(len(toy.roster.members))[liar - 1].sign(message)))


def dealing_garbage(toy: Toy, liars: dict[int, str]) -> None:
    """Each liar deals shares that do not open to the round over the row list, or round, of this number, and falls silent in it."""
    silent = set[tuple[int, str]]()

    def up(partition: int, message: Message) -> Message | None:
        liar, number = partition + 1, message.metadata.group_id
        if not message.has_content() or liars.get(liar) != number:
            return message
        if step(message) == Step.COLLECT and not others_before(liar):
            masked = wire.decode_tagged(COLLECT_REPLIES, body(message))
            assert isinstance(masked, MaskedInput)
            bundle = tuple(bytes(len(each)) for each in masked.bundle)
            forged = header_of(toy, replace(masked, bundle=bundle), liar, bundle=verification.bundle_digest(bundle))
            message.content[message_records.MESSAGE][message_records.BODY] = wire.encode_tagged(COLLECT_REPLIES, forged)
            silent.add((liar, number))
        return None if step(message) in (Step.CONSISTENCY, Step.UNMASK) and (liar, number) in silent else message

    def others_before(liar: int) -> bool:
        """They take turns: one in each attempt."""
        return any(other < liar and (other, liars[other]) not in silent for other in liars)

    toy.grid.up = up


def with_wrong_shares(toy: Toy, reply: bytes, liar: int) -> bytes:
    """A liar's answer to Unmasking with shares that are none, signed."""
    answer, state = wire.decode(UnmaskReply, reply), state_of(toy, liar)
    assert state.session is not None
    assert state.round is not None
    answer = replace(answer, shares=b"x" * len(answer.shares))
    message = verification.answer_message(toy.roster, state.session.id, state.round.number, answer)
    return wire.encode(replace(answer, signature=identities(len(toy.roster.members))[liar - 1].sign(message)))
