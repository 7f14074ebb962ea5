"""What is done to an update before it leaves, in order, and what is left where one of the steps fails."""

import json
from pathlib import Path

import numpy as np
import pytest

from strategies.partner.departure import ready_to_mask
from strategies.partner.side import PartnerSide
from strategies.update.limits import LeakLimits
from strategies.update.self_audit import LeakError
from strategies.update.shared_trunk import SharedTrunk, no_trunk
from tests.strategies.toy import FIRST, ROWS, Toy, changed, holders_of, update

TAIL = 2
ANYTHING = LeakLimits(most_identified=1.0)
Arrays = list[np.ndarray]


@pytest.fixture
def side(tmp_path: Path) -> PartnerSide:
    """Partner 1, which has trained nothing yet."""
    return Toy(tmp_path).side(1)


@pytest.fixture
def shared() -> SharedTrunk:
    trunk = no_trunk(0.25).with_rows(np.array([True, True, True, False]), b"s" * 32)
    return trunk.starting_with([array.copy() for array in FIRST])


def trained(arrays: Arrays, config: dict[str, int]) -> tuple[Arrays, dict[str, float]]:
    learned = update(1, config["round"], config["attempt"])
    return [array + change for array, change in zip(arrays, learned, strict=True)], {"loss": 0.5}


def test_training_finds_the_rows_that_may_leave(side: PartnerSide, shared: SharedTrunk) -> None:
    seen = []

    def fit(arrays: Arrays, config: dict[str, int]) -> tuple[Arrays, dict[str, float]]:
        seen.append((np.load(side.folder.rows).tolist(), config))
        assert not side.folder.audits.exists()
        return trained(arrays, config)

    ready_to_mask(side, ANYTHING, shared, 2, fit, TAIL)
    assert seen == [((ROWS & shared.rows).tolist(), {"round": 1, "attempt": 2})]


def test_the_words_are_those_of_the_codec_with_space_behind(side: PartnerSide, shared: SharedTrunk) -> None:
    words, metrics = ready_to_mask(side, ANYTHING, shared, 0, trained, TAIL)
    codec = side.terms.codec(shared.rows)
    alone = np.zeros(codec.words, dtype=np.uint32)
    after, _ = trained(shared.arrays, {"round": 1, "attempt": 0})
    shared.encode(codec, after, ROWS & shared.rows, alone, side.data.rounding_seed(1, 0), side.data.weight())
    assert words[:-TAIL].tolist() == alone.tolist() and words[-TAIL:].tolist() == [0] * TAIL
    assert metrics == {"loss": 0.5}


def test_every_training_is_audited_under_its_number(side: PartnerSide, shared: SharedTrunk) -> None:
    for attempt in range(3):
        ready_to_mask(side, ANYTHING, shared, attempt, trained, TAIL)
    lines = [json.loads(line) for line in side.folder.audits.read_text().splitlines()]
    assert [(line["vector"], line["round"], line["attempt"]) for line in lines] == [("own", 1, attempt) for attempt in range(3)]


def test_what_tells_too_much_is_written_down(side: PartnerSide, shared: SharedTrunk) -> None:
    telling = changed(side, {"holders": lambda: holders_of([(0, 1)] * 20)})
    with pytest.raises(LeakError):
        ready_to_mask(telling, LeakLimits(least_compounds=21), shared, 0, trained, TAIL)
    assert side.folder.audits.read_text().count("\n") == 1


def test_a_training_that_fails_leaves_no_trace_but_the_row_list(side: PartnerSide, shared: SharedTrunk) -> None:
    before = {path.name for path in side.directory.iterdir()}

    def ill(*_: object) -> tuple[Arrays, dict[str, float]]:
        raise ArithmeticError("no training today")

    with pytest.raises(ArithmeticError):
        ready_to_mask(side, ANYTHING, shared, 0, ill, TAIL)
    assert {path.name for path in side.directory.iterdir()} == before | {side.folder.rows.name}
