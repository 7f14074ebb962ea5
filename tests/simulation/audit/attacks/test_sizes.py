"""The order of partners' sizes: the figure is the mean of scipy's rank correlations, and its interval holds what permuted sizes give."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from simulation.audit.attacks.sizes import attack, order
from simulation.audit.consortia import Consortium
from simulation.audit.findings import Finding
from simulation.audit.fresh_signals import KNOWN_LIST, ROWS, UPDATE
from simulation.audit.scenario import ATTACKER, Scenario
from tests.simulation.audit.demo_pool import demo_config, demo_pool

PARTNERS = 8


def consortia(noise: float, seed: int = 0) -> list[Consortium]:
    """Four federations whose signals are sizes with noise."""
    generator, nothing = np.random.default_rng(seed), np.zeros(0, dtype=bool)
    made = []
    for _ in range(4):
        sizes = generator.permutation(PARTNERS) * 100.0 + 100
        told = {name: (sizes + noise * generator.normal(size=PARTNERS)).astype(np.float32) for name in (KNOWN_LIST, ROWS, UPDATE)}
        made.append(Consortium(targets=nothing, series=nothing, sizes=sizes, of_targets={}, of_series={}, of_partners=told))
    return made


def found(made: list[Consortium]) -> list[Finding]:
    return list(attack(Scenario(demo_pool(), [], "off", demo_config(), np.random.default_rng(0), made)).findings)


def test_what_grows_with_size_gives_the_whole_order_away() -> None:
    for each in found(consortia(0.0)):
        assert each.value == pytest.approx(1) and each.lower > 0 and each.gate is None and each.trials == 4 * (PARTNERS - 1)


def test_the_attacker_ranks_the_others_alone() -> None:
    made = [replace(each, of_partners={name: each.sizes.copy() for name in each.of_partners}) for each in consortia(0.0)]
    for each in made:
        for values in each.of_partners.values():
            values[ATTACKER] = -values[ATTACKER]
    assert all(each.value == pytest.approx(1) for each in found(made))


def test_the_figure_is_the_mean_of_rank_correlations() -> None:
    made = consortia(300.0)
    expected = np.mean([stats.spearmanr(each.of_partners[ROWS][1:], each.sizes[1:]).statistic for each in made])
    assert next(each for each in found(made) if each.attack == "sizes from two row lists").value == pytest.approx(expected)


def test_noise_is_clear_of_chance_no_more_often_than_one_in_forty_times() -> None:
    generator, clear = np.random.default_rng(1), 0
    for _ in range(200):
        sizes = [generator.permutation(7).astype(float) for _ in range(3)]
        clear += order([generator.normal(size=7) for _ in sizes], sizes, generator).lower > 0
    assert clear <= 12


def test_without_a_row_list_two_sums_alone_are_compared_and_without_federations_nothing() -> None:
    made = [replace(each, of_partners={UPDATE: each.of_partners[UPDATE]}) for each in consortia(0.0)]
    assert [each.attack for each in found(made)] == ["sizes from two sums"]
    assert all(math.isnan(each.value) and "Not tried" in each.note for each in found([]))
