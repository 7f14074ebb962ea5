"""The partner's side of plain averaging: puts the trunk before the `NumPyClient`, and lets the update out in the clear."""

from collections.abc import Callable
from math import isfinite

import numpy as np
from flwr.app import Context, Message
from flwr.clientapp.typing import ClientAppCallable, Mod

from strategies import message_records, plain_messages
from strategies.partner.inner_client import InnerClient, Opener
from strategies.partner.side import PartnerSide
from strategies.plain_messages import PlainMetric, PlainReply, PlainRequest
from strategies.secagg import wire
from strategies.secagg.errors import MalformedMessageError
from strategies.update.shared_trunk import SharedTrunk, TrunkFileError, check_list, check_trunk


def plain_trunk_mod(open_side: Callable[[Context], PartnerSide], opener: Opener | None = None) -> Mod:
    """The mod for partners that `open_side` opens.

    Args:
        opener: As `secure_trunk_mod` takes it.
    """

    def mod(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
        content, side = message.content, open_side(context)
        step, body = message_records.step_and_body(content)
        parsed = wire.decode(PlainRequest, body)
        trunk, rows = message_records.vectors(content, message_records.TRUNK), message_records.vectors(content, message_records.ROWS)
        check(side, step, parsed, trunk, rows)
        inner = InnerClient(message, context, call_next, opener)
        words, metrics = answer(side, step, parsed, trunk, rows, inner)
        reply = PlainReply(
            tuple(PlainMetric(name, metrics[name]) for name in side.terms.metrics if isfinite(metrics.get(name, float("nan"))))
        )
        return inner.reply(
            message_records.content(step, {message_records.BODY: wire.encode(reply)}, {message_records.WORDS: words} if words else {})
        )

    return mod


def check(side: PartnerSide, step: str, request: PlainRequest, trunk: list[np.ndarray], rows: list[np.ndarray]) -> None:
    """See that a request has what its step needs.

    Raises:
        MalformedMessageError: It has not.
    """
    if step not in (plain_messages.ROW_LIST, plain_messages.TRAIN, plain_messages.FINAL):
        raise MalformedMessageError(f"{message_records.quoted(step)} is no step of plain averaging")
    if step == plain_messages.ROW_LIST:
        return
    if request.number < (step == plain_messages.TRAIN):
        raise MalformedMessageError("training for a round before the first")
    if len(rows) != 1:
        raise MalformedMessageError(f"{len(rows)} row lists, not one")
    try:
        check_list(rows[0], side.terms.shapes, side.terms.slots)
        check_trunk(trunk, side.terms.shapes)
    except TrunkFileError as error:
        raise MalformedMessageError(str(error)) from error


def answer(
    side: PartnerSide, step: str, request: PlainRequest, trunk: list[np.ndarray], rows: list[np.ndarray], inner: InnerClient
) -> tuple[list[np.ndarray], dict[str, float]]:
    """The words of a reply, and the metrics of this partner."""
    if step == plain_messages.ROW_LIST:
        codec = side.terms.codec(np.empty(0, dtype=np.bool_))
        return [side.data.support().astype(codec.quantiser(side.terms.value_range).word_type)], {}
    if step == plain_messages.FINAL:
        return [], inner.evaluate(trunk, {"round": request.number})
    sent = side.keep_rows(rows[0])
    shared = SharedTrunk(trunk, request.number - 1, bytes(32), request.value_range, rows[0], b"")
    codec = side.terms.codec(shared.rows)
    trained, metrics = inner.fit(trunk, {"round": request.number, "attempt": 0})
    words = np.zeros(codec.words, dtype=codec.quantiser(request.value_range).word_type)
    shared.encode(codec, trained, sent, words, side.data.rounding_seed(request.number, 0), side.data.weight())
    return [words], metrics
