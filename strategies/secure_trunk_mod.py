"""The partner's side of secure aggregation: unmask, call the `NumPyClient`, mask. It translates and does nothing else."""

from collections.abc import Callable

from flwr.app import Context, Message
from flwr.clientapp.typing import ClientAppCallable, Mod

from strategies import records
from strategies.house import House
from strategies.inner_client import InnerClient
from strategies.secagg.errors import MalformedMessageError
from strategies.secagg.phases import Step
from strategies.secure_partner import Arrived, SecurePartner


def secure_trunk_mod(open_house: Callable[[Context], House]) -> Mod:
    """The mod for partners whose house `open_house` opens."""

    def mod(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
        held = message.content
        asked, body = records.letter(held)
        if asked not in set(Step):
            raise MalformedMessageError(f"{records.quoted(asked)} is no step of the protocol")
        step, partner = Step(asked), SecurePartner(open_house(context))
        try:
            arrived = Arrived(records.vectors(held, records.WORDS), records.vectors(held, records.HANDOVER))
        except MalformedMessageError as error:
            partner.note_refusal(step, body, error)
            raise
        inner = InnerClient(message, context, call_next)
        reply, vectors = partner.answer(step, body, arrived, inner.fit, inner.evaluate)
        name = records.HANDOVER if step is Step.HANDOVER else records.WORDS
        return inner.reply(records.content(step, {records.BODY: reply}, {name: vectors} if vectors else {}))

    return mod
