"""The partner's side of secure aggregation: unmask, call the `NumPyClient`, mask. It translates and does nothing else."""

from collections.abc import Callable

from flwr.app import Context, Message
from flwr.clientapp.typing import ClientAppCallable, Mod

from strategies import message_records
from strategies.partner.inner_client import InnerClient, Opener
from strategies.partner.secure_partner import SecurePartner
from strategies.partner.side import PartnerSide
from strategies.partner.trunk_in_session import Arrived
from strategies.secagg.errors import MalformedMessageError
from strategies.secagg.phases import Step


def secure_trunk_mod(open_side: Callable[[Context], PartnerSide], opener: Opener | None = None) -> Mod:
    """The mod for partners that `open_side` opens.

    Args:
        opener: Opens the `NumPyClient` behind the mod, where the app is one's own; see `InnerClient`.
    """

    def mod(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
        content = message.content
        asked, body = message_records.step_and_body(content)
        if asked not in set(Step):
            raise MalformedMessageError(f"{message_records.quoted(asked)} is no step of the protocol")
        step, partner = Step(asked), SecurePartner(open_side(context))
        try:
            arrived = Arrived(
                message_records.vectors(content, message_records.WORDS), message_records.vectors(content, message_records.HANDOVER)
            )
        except MalformedMessageError as error:
            partner.note_refusal(step, body, error)
            raise
        inner = InnerClient(message, context, call_next, opener)
        reply, vectors = partner.answer(step, body, arrived, inner.fit, inner.evaluate)
        name = message_records.HANDOVER if step is Step.HANDOVER else message_records.WORDS
        return inner.reply(message_records.content(step, {message_records.BODY: reply}, {name: vectors} if vectors else {}))

    return mod
