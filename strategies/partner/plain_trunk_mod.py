"""The partner's side of plain averaging: puts the trunk before the `NumPyClient`, and lets the update out in the clear."""

from collections.abc import Callable
from math import isfinite

import numpy as np
from flwr.app import Context, Message
from flwr.clientapp.typing import ClientAppCallable, Mod

from strategies import message_records
from strategies.coordinator import plain_trunk
from strategies.partner.inner_client import InnerClient
from strategies.partner.side import House
from strategies.plain_messages import Metric, PlainReply, PlainRequest
from strategies.secagg import wire
from strategies.secagg.errors import MalformedMessageError
from strategies.update.shared_trunk import SharedTrunk, TrunkFileError, check_trunk


def plain_trunk_mod(open_house: Callable[[Context], House]) -> Mod:
    """The mod for partners whose house `open_house` opens."""

    def mod(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
        held, house = message.content, open_house(context)
        step, body = message_records.letter(held)
        parsed = wire.decode(PlainRequest, body)
        trunk, rows = message_records.vectors(held, message_records.TRUNK), message_records.vectors(held, message_records.ROWS)
        check(house, step, parsed, trunk, rows)
        inner = InnerClient(message, context, call_next)
        words, metrics = answer(house, step, parsed, trunk, rows, inner)
        reply = PlainReply(tuple(Metric(name, metrics[name]) for name in house.metrics if isfinite(metrics.get(name, float("nan")))))
        return inner.reply(
            message_records.content(step, {message_records.BODY: wire.encode(reply)}, {message_records.WORDS: words} if words else {})
        )

    return mod


def check(house: House, step: str, request: PlainRequest, trunk: list[np.ndarray], rows: list[np.ndarray]) -> None:
    """See that a request has what its step needs.

    Raises:
        MalformedMessageError: It has not.
    """
    if step not in (plain_trunk.ROW_LIST, plain_trunk.TRAIN, plain_trunk.FINAL):
        raise MalformedMessageError(f"{message_records.quoted(step)} is no step of plain averaging")
    if step == plain_trunk.ROW_LIST:
        return
    if request.number < (step == plain_trunk.TRAIN):
        raise MalformedMessageError("training for a round before the first")
    listed = [(array.dtype, array.shape) for array in rows]
    if listed != [(np.dtype(np.bool_), (house.shapes[0][0],))]:
        raise MalformedMessageError(f"a row list of {listed}, not of {house.shapes[0][0]} rows")
    try:
        check_trunk(trunk, house.shapes)
    except TrunkFileError as error:
        raise MalformedMessageError(str(error)) from error


def answer(
    house: House, step: str, request: PlainRequest, trunk: list[np.ndarray], rows: list[np.ndarray], inner: InnerClient
) -> tuple[list[np.ndarray], dict[str, float]]:
    """The words of a reply, and the metrics of this partner."""
    if step == plain_trunk.ROW_LIST:
        form = house.form(np.empty(0, dtype=np.int64))
        return [house.support().astype(form.quantiser(house.value_range).word_type)], {}
    if step == plain_trunk.FINAL:
        return [], inner.evaluate(trunk, {"round": request.number})
    house.keep_rows(rows[0])
    shared = SharedTrunk(trunk, request.number - 1, b"", request.value_range, rows[0], b"")
    form = house.form(shared.listed())
    trained, metrics = inner.fit(trunk, {"round": request.number, "attempt": 0})
    words = np.zeros(form.words, dtype=form.quantiser(request.value_range).word_type)
    shared.encode(form, trained, words, house.seed(request.number, 0), house.weight())
    return [words], metrics
