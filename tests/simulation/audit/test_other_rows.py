"""What is left of the sums without the attacker's own words, in real federations of the demo's compounds."""

from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import pytest

from simulation.audit.federations import Trial, run_trial
from simulation.audit.other_rows import listed_bits, moved_bits, others_updates
from tests.simulation.audit.demo_pool import demo_config, demo_pool


@pytest.fixture(scope="module", params=[0, 3], ids=["off", "on"])
def trial(request: pytest.FixtureRequest) -> Trial:
    config = demo_config(f"privacy.row_guard={request.param}", "privacy.least_supporters=2")
    return run_trial(demo_pool(), config, 0, Path(mkdtemp(prefix="polyphony-others-")), lambda *_: {}, keep=True)


def test_what_is_left_is_the_mean_of_the_others_updates(trial: Trial) -> None:
    assert trial.updates is not None
    bits = listed_bits(demo_pool(), trial)[::3]
    left = others_updates(demo_pool(), trial, bits)
    assert len(left) == len(trial.means) == len(trial.own) == demo_config().federation.rounds
    np.testing.assert_allclose(left[-1], (trial.updates[1] + trial.updates[2])[bits] / 3, atol=1e-8)


def test_the_rows_that_others_moved_are_those_of_their_trained_compounds(trial: Trial) -> None:
    pool, expected = demo_pool(), set()
    for compound in np.flatnonzero(trial.members & (pool.owners != 0)):
        for bit in pool.indices[pool.indptr[compound] : pool.indptr[compound + 1]]:
            if trial.listed[bit] and trial.supports[pool.owners[compound], bit]:
                expected.add(int(bit))
    assert moved_bits(pool, trial).tolist() == sorted(expected)


def test_nothing_is_kept_of_who_attacks_where_it_is_not_asked_for() -> None:
    kept = run_trial(demo_pool(), demo_config("privacy.row_guard=3"), 0, Path(mkdtemp(prefix="polyphony-others-")), lambda *_: {})
    assert kept.own == [] and kept.words is None
