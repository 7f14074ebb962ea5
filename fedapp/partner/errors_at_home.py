"""What goes wrong at a partner stays there: the reason in its own folder, a reply without one to the coordinator."""

import logging
import time
import traceback
from collections.abc import Callable

from flwr.app import Context, Message
from flwr.clientapp.typing import ClientAppCallable

from fedapp.errors import PolyphonyError, explained
from fedapp.partner.place import SITE, partner_folder
from fedapp.partner_folder import PartnerFolder
from fedapp.run_folder import now
from fedapp.site.request_log import Request, note_request
from fedapp.storage.json_file import write_sealed
from strategies import message_records
from strategies.secagg.errors import MalformedMessageError, OutOfOrderError


class PartnerFailedError(Exception):
    """All that the coordinator hears of a failure at a partner: a reason could name a compound, a task or a path."""


def keep_errors_home(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
    """Log the request; write the reason of a failure into the partner's own folder, and send a reply that carries none.

    Raises:
        PartnerFailedError: Whatever went wrong; always with the same text.
    """
    started = time.monotonic()
    number = message.metadata.group_id[: message_records.LONGEST_QUOTE]
    step, size = (
        (message_records.step(message.content), message_records.payload_bytes(message.content)) if message.has_content() else ("", 0)
    )

    def note(answered: int, refused: str) -> None:
        request = Request(
            time=now(),
            run=context.run_id,
            step=step,
            round=number,
            bytes_in=size,
            bytes_out=answered,
            seconds=round(time.monotonic() - started, 3),
            refused=refused,
        )
        note_request(partner_folder(context), request)

    try:
        if not message.has_content():
            raise MalformedMessageError("a request without content")
        reply = call_next(message, context)
        note(message_records.payload_bytes(reply.content), "")
        return reply
    except Exception as error:
        reason = describe(error) if explained(error) is None else f"{type(error).__name__}: {describe(error)}"  # the kind once
        remember(error, context, lambda: note(0, reason))
    raise PartnerFailedError("the partner could not answer; its own log says why")


def remember(error: Exception, context: Context, note: Callable[[], None]) -> None:
    """Leave the reason in the partner's folder; at a site the reason is in its own log too.

    In a simulation the log is everybody's, and hears no more than what kind of error it was.
    """
    trace = "".join(traceback.format_exception(error))
    logging.getLogger("polyphony").error("%s", trace if SITE in context.node_config else f"a partner failed: {type(error).__name__}")
    try:
        note()
        path = PartnerFolder(partner_folder(context)).error
        if not (isinstance(error, OutOfOrderError) and path.is_file()):  # a session that was refused says why, not what follows
            write_sealed(path, {"error": describe(error), "hint": hint_of(error), "traceback": trace})
    except (OSError, PolyphonyError) as second:
        logging.getLogger("polyphony").error("could not write down why: %s", second)


def describe(error: Exception) -> str:
    """One line for a person."""
    known = explained(error)
    return f"{type(error).__name__}: {error}" if known is None else str(known)


def hint_of(error: Exception) -> str:
    """What to do about it, if that is known."""
    known = explained(error)
    return str(getattr(error, "hint", "")) if known is None else known.hint
