"""Many rounds in bad weather: a short spell with every test run, a longer one with --full, a long one on demand.

    POLYPHONY_SOAK_ROUNDS=200 pytest tests/federation/test_soak.py -s

POLYPHONY_SOAK_SEED chooses the weather; a failure shows both.
"""

import logging
import os
import re
import time
from collections.abc import Iterator
from itertools import pairwise

import pytest

from strategies.coordinator.journal import Exchange
from strategies.secagg import errors
from strategies.secagg.phases import Step
from tests.helpers.federation import alike
from tests.helpers.killed_writes import watch_writes
from tests.helpers.soak import Measured, Soak, memory_counted
from tests.helpers.sweeps import EFFORT

ROUNDS = int(os.environ.get("POLYPHONY_SOAK_ROUNDS", "12" if EFFORT.full else "8"))
SEED = int(os.environ.get("POLYPHONY_SOAK_SEED", "1"))
PARTNERS = 6
LONGEST_LINE = 8_000  # bytes, of a transcript
AT_HOME = {"ArithmeticError", "PartnerKilledError"}


@pytest.fixture(scope="module")
def soak(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Soak]:
    """A consortium that went through all its rounds; what partners hold was checked after every message."""
    logging.disable(logging.CRITICAL)
    started = time.monotonic()
    with pytest.MonkeyPatch.context() as patch, memory_counted():
        held = Soak(tmp_path_factory.mktemp("soak"), partners=PARTNERS, rounds=ROUNDS, seed=SEED, death=watch_writes(patch))
        print(f"\nPOLYPHONY_SOAK_ROUNDS={ROUNDS} POLYPHONY_SOAK_SEED={SEED}")
        try:
            held.run()
        finally:
            print(held.account(), f"{time.monotonic() - started:.0f} s", sep="\n")
            logging.disable(logging.NOTSET)
    yield held


def finished(soak: Soak, tried: list[Exchange]) -> bool:
    return tried[-1].phase == Step.UNMASK and tried[-1].replied >= soak.roster.threshold


def test_every_round_is_finished_in_the_end_and_everybody_has_its_trunk(soak: Soak) -> None:
    assert alike(soak.all_held(), version=ROUNDS)
    assert soak.kills + len(soak.failed) > 0
    assert sum(finished(soak, tried) for tried in soak.attempts()) >= ROUNDS


def test_every_reply_that_is_missing_has_a_named_reason(soak: Soak) -> None:
    for exchange in soak.journal():
        assert exchange.asked - exchange.replied == len(exchange.left_out)
        for line in exchange.left_out:
            partner, _, reason = line.partition(": ")
            name, _, words = reason.partition(": ")
            assert partner.startswith(("partner-", "node ")), line
            assert reason in ("no reply", "it went away", "it could not answer") or (
                (hasattr(errors, name) or name == "ValueError") and words
            ), reason


def test_every_round_that_was_tried_is_finished_or_says_what_it_lacked(soak: Soak) -> None:
    """In the journal; only those that the coordinator's own end cut short do not."""
    cut = 0
    for tried in soak.attempts():
        if not finished(soak, tried):
            enough = soak.roster.least() if tried[-1].phase == Step.COLLECT else soak.roster.threshold
            cut += tried[-1].replied >= enough
            assert tried[-1].left_out or tried[-1].replied >= enough
    assert cut <= soak.kills


def test_every_refusal_of_a_partner_is_named_in_its_transcript(soak: Soak) -> None:
    for partner in range(1, PARTNERS + 1):
        entries = soak.entries(partner)
        assert 0 < len(entries) <= soak.weather.delivered[partner - 1]
        assert all(not entry.refused or issubclass(getattr(errors, entry.refused), errors.SecAggError) for entry in entries)
    assert set(soak.weather.refusals) - AT_HOME - {"ValueError"} <= set(vars(errors))


def test_no_file_grows_but_the_logs_and_these_by_a_line_a_message(soak: Soak) -> None:
    early, late = halves(soak)
    assert max(each.files for each in late) <= 1.25 * max(each.files for each in early)
    assert late[-1].logs <= LONGEST_LINE * soak.weather.delivered.total()
    for partner in range(1, PARTNERS + 1):
        known = r"protocol\.state|shared(-before)?\.safetensors|rows\.npy|repetition\.json|(sums|self_audit|transcript-[0-9a-f]{8})\.jsonl"
        assert all(re.fullmatch(known, path.name) for path in soak.home(partner).iterdir())
        noted = soak.rounds_of(partner)
        went_back = sum(later <= earlier for earlier, later in pairwise(noted))  # alone with a round that the coordinator's end cut short
        assert went_back <= soak.kills
        assert len(noted) <= ROUNDS + 2 * went_back
        assert noted[-1] == ROUNDS


def test_memory_stays_what_it_was(soak: Soak) -> None:
    early, late = halves(soak)
    assert late[-1].traced <= 1.2 * max(each.traced for each in early) + 200_000
    assert late[-1].resident <= 1.2 * max(each.resident for each in early) + 20_000_000


def halves(soak: Soak) -> tuple[list[Measured], list[Measured]]:
    """What was measured in the first and in the last half of the rounds."""
    early = [each for each in soak.measured if 0 < each.round <= ROUNDS / 2]
    return early, [each for each in soak.measured if each.round > ROUNDS / 2]
