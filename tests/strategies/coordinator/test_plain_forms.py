"""Plain averaging's own messages: what a partner may show and be sent, whatever the other side writes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from strategies import message_records
from strategies.coordinator.exchange import Exchanges, RoundFailedError
from strategies.coordinator.journal import Exchange, Journal, read_journal
from strategies.coordinator.plain_trunk import PlainTrunk
from strategies.partner.plain_trunk_mod import check
from strategies.plain_messages import FINAL, ROW_LIST, TRAIN, PlainMetric, PlainReply, PlainRequest
from strategies.secagg import wire
from strategies.secagg.errors import MalformedMessageError
from strategies.update.codec import UpdateCodec
from strategies.update.shared_trunk import SharedTrunk
from tests.helpers.local_grid import LocalGrid
from tests.strategies.toy import FIRST, SHAPES, Toy

TRUNK = [array.copy() for array in FIRST]
ROWS = np.ones(4, dtype=np.bool_)


def averaging(folder: Path, app: ClientApp, rows: np.ndarray, guarded: bool = False) -> PlainTrunk:
    """Of three nodes."""
    exchanges = Exchanges(
        LocalGrid(app, 3, {}), Journal(folder / "journal.jsonl"), 3, 2, connect_timeout=0.01, exchange_timeout=1, round_timeout=1
    )
    return PlainTrunk(
        exchanges,
        SharedTrunk(TRUNK, 1, b"", 0.25, rows, b""),
        codec_of=lambda listed: UpdateCodec(SHAPES, listed, 32, 3),
        keep=lambda _: None,
        slots=0,
        guarded=guarded,
        least_supporters=3,
        server_learning_rate=1.0,
        momentum=0.0,
        metrics=("loss",),
    )


def shown_by(folder: Path, shown: dict[int, tuple[PlainMetric, ...]]) -> Exchange:
    """The journal's line of an exchange in which three nodes show these metrics."""
    app = ClientApp()

    @app.evaluate()
    def answer(message: Message, context: Context) -> Message:
        reply = PlainReply(shown[message.metadata.dst_node_id])
        return Message(message_records.content(FINAL, {message_records.BODY: wire.encode(reply)}, {}), reply_to=message)

    averaging(folder, app, ROWS).finish()
    (line,) = read_journal(folder / "journal.jsonl")
    return line


@pytest.mark.parametrize(
    "lie",
    [
        [PlainMetric("loss", float("nan"))],
        [PlainMetric("loss", float("inf"))],
        [PlainMetric("loss", 1e308)],
        [PlainMetric("loss", 0.5), PlainMetric("loss", 0.5)],
        [PlainMetric("compounds", 7.0)],
        [PlainMetric(f"m{number}", 1.0) for number in range(1000)],
    ],
    ids=["nan", "infinite", "whose sum overflows", "twice", "not to be shown", "a thousand"],
)
def test_metrics_that_nobody_may_show_leave_their_sender_out(tmp_path: Path, lie: list[PlainMetric]) -> None:
    line = shown_by(tmp_path, {101: (PlainMetric("loss", 0.25),), 102: tuple(lie), 103: (PlainMetric("loss", 0.75),)})
    assert line.metrics == {"loss": 0.5}
    assert [each.split(": ")[:2] for each in line.left_out] == [["node 102", "MalformedMessageError"]]


def test_a_row_list_that_says_more_than_one_of_itself_ends_the_run_before_anything_is_trained(tmp_path: Path) -> None:
    app = ClientApp()

    @app.query()
    def answer(message: Message, context: Context) -> Message:
        said = np.array([1, 1, 0, 1000 if message.metadata.dst_node_id == 102 else 1], dtype=np.uint32)
        body = {message_records.BODY: wire.encode(PlainReply(()))}
        return Message(message_records.content(ROW_LIST, body, {message_records.WORDS: [said]}), reply_to=message)

    plain = averaging(tmp_path, app, rows=np.empty(0, dtype=np.bool_), guarded=True)
    with pytest.raises(RoundFailedError, match="^row list: row 3 has 1002 supporters among 3 partners: one of them said more than 1$"):
        plain.set_up()
    assert not len(plain.shared.rows)


@pytest.mark.parametrize(
    ("step", "number", "trunk", "rows"),
    [
        ("", 1, TRUNK, [ROWS]),
        ("Unmasking", 1, TRUNK, [ROWS]),
        (TRAIN, 0, TRUNK, [ROWS]),
        (TRAIN, 1, TRUNK, []),
        (TRAIN, 1, TRUNK, [ROWS, ROWS]),
        (TRAIN, 1, TRUNK, [ROWS[:3]]),
        (TRAIN, 1, TRUNK, [ROWS.astype(np.uint8)]),
        (TRAIN, 1, [], [ROWS]),
        (TRAIN, 1, TRUNK[:1], [ROWS]),
        (TRAIN, 1, [TRUNK[0].astype(np.float64), TRUNK[1]], [ROWS]),
        (TRAIN, 1, [TRUNK[0][:2], TRUNK[1]], [ROWS]),
        (FINAL, 1, [TRUNK[0], np.full(2, np.nan, dtype=np.float32)], [ROWS]),
        (FINAL, 1, [], []),
    ],
)
def test_a_request_that_lacks_what_its_step_needs_is_one_named_error(
    tmp_path: Path, step: str, number: int, trunk: list[np.ndarray], rows: list[np.ndarray]
) -> None:
    side = replace(Toy(tmp_path).side(1), membership=None)
    with pytest.raises(MalformedMessageError):
        check(side, step, PlainRequest(number, 0.25), trunk, rows)
    for fine in (ROW_LIST, TRAIN, FINAL):
        check(side, fine, PlainRequest(1, 0.25), TRUNK, [ROWS])
