"""Canaries in a whole federation of real compounds: what they show stays below a stated epsilon, and not where none is kept."""

from pathlib import Path

import pytest

from fedapp.config import Config
from fedapp.privacy.budget import BudgetError
from simulation.audit.attacks.canary_run import CANARIES, canary_epsilon
from simulation.audit.findings import OFF, ON
from tests.simulation.audit.demo_pool import demo_config, demo_pool

STATED = 2.0
LONG = ("federation.rounds=8", "privacy.row_guard=0", "training.batch_size=32", "model.hidden=[64]")


def private(epsilon: float) -> Config:
    """With noise that keeps an epsilon of 2 for the smallest partner, which samples each compound most often."""
    return demo_config(
        *LONG, "privacy.profile=record_dp", f"privacy.epsilon={epsilon}", "privacy.delta=0.00001", "privacy.noise_multiplier=4.0"
    )


def test_under_record_level_privacy_canaries_never_show_more_than_the_stated_epsilon(tmp_path: Path) -> None:
    found = canary_epsilon(demo_pool(), private(STATED), ON, tmp_path)
    assert (found.gate, found.trials) == (STATED, CANARIES)
    assert found.passes


def test_without_it_the_same_canaries_show_more_than_that(tmp_path: Path) -> None:
    found = canary_epsilon(demo_pool(), demo_config(*LONG), OFF, tmp_path)
    assert found.gate is None
    assert found.value > STATED


def test_a_budget_that_the_noise_does_not_keep_ends_the_training(tmp_path: Path) -> None:
    with pytest.raises(BudgetError):
        canary_epsilon(demo_pool(), private(0.5), ON, tmp_path)
