"""Whether targets and series are in play: how a guess is judged where the truth is known, and where there is nothing to know."""

import math
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from simulation.audit.attacks import series, targets
from simulation.audit.attacks.in_play import Asked
from simulation.audit.consortia import Consortium
from simulation.audit.findings import OFF, ON
from simulation.audit.fresh_signals import CHANGE, EMBEDDING, EMBEDDINGS, LIST
from simulation.audit.scenario import Scenario
from simulation.audit.signals import TRUNK
from tests.simulation.audit.demo_pool import demo_config, demo_pool

THINGS = 60
NAMES = {"of_targets": (EMBEDDING, CHANGE, EMBEDDINGS), "of_series": (*TRUNK, LIST)}


def consortia(gap: float, count: int = 6, own: float = 0.0, seed: int = 0) -> list[Consortium]:
    """Federations in which every signal is normal, `gap` higher for what is in play, beside what is each target's and series' `own`."""
    generator, made = np.random.default_rng(seed), []
    level = own * generator.normal(size=THINGS)
    for _ in range(count):
        truth = generator.random(THINGS) < 0.7
        told = {
            kind: {name: (level + gap * truth + generator.normal(size=THINGS)).astype(np.float32) for name in names}
            for kind, names in NAMES.items()
        }
        made.append(Consortium(targets=truth, series=truth, sizes=np.ones(3), of_partners={}, **told))
    return made


def scenario(made: list[Consortium], defences: str = ON) -> Scenario:
    return Scenario(demo_pool(), [], defences, demo_config(), np.random.default_rng(0), made)


def figures(made: list[Consortium], defences: str = ON) -> dict[str, float]:
    outcome = targets.attack(scenario(made, defences)) + series.attack(scenario(made, defences))
    assert all(each.gate is None and each.chance == 0.5 and each.defences == defences for each in outcome.findings)
    assert all(each.lower <= each.value <= each.upper for each in outcome.findings if not math.isnan(each.value))
    return {each.attack: each.value for each in outcome.findings}


def test_what_is_plain_to_see_is_told_in_all_seven_ways() -> None:
    found = figures(consortia(6.0), OFF)
    assert len(found) == 7 and min(found.values()) > 0.97


def test_where_signals_say_nothing_every_way_is_at_chance() -> None:
    values = [list(figures(consortia(0.0, seed=seed)).values()) for seed in range(12)]
    assert np.abs(np.mean(values, axis=0) - 0.5).max() < 0.04


def test_shadows_tell_what_is_usual_of_a_target_from_what_a_federation_did() -> None:
    found = figures(consortia(2.0, own=5.0))
    assert found["target with shadow trunks"] > 0.9 > 0.75 > found["target from the last trunk"]
    assert found["series from row list and last trunk, with shadows"] > 0.9 > 0.75 > found["series from the row list"]


def test_the_figure_is_the_area_under_the_curve_of_all_federations_together() -> None:
    made = consortia(1.0)
    asked = Asked(np.stack([each.targets for each in made]), [each.of_targets for each in made])
    scores = asked.without_shadows((CHANGE,))
    expected = roc_auc_score(asked.truth.ravel(), scores.ravel())
    assert asked.area(scores, np.random.default_rng(0)).value == pytest.approx(expected)


def test_the_interval_resamples_targets_and_so_is_no_narrower_with_the_same_targets_once_more() -> None:
    made = consortia(1.0, count=2, own=3.0)
    one, twice = (Asked(np.stack([e.targets for e in each]), [e.of_targets for e in each]) for each in (made, [*made, *made]))
    spans = [
        found.upper - found.lower
        for found in (asked.area(asked.without_shadows((CHANGE,)), np.random.default_rng(1)) for asked in (one, twice))
    ]
    assert spans[1] == pytest.approx(spans[0], rel=0.1)


def test_equal_scores_tell_nothing() -> None:
    made = [replace(each, of_targets=dict.fromkeys(each.of_targets, np.ones(THINGS, dtype=np.float32))) for each in consortia(1.0)]
    assert {each.value for each in targets.attack(scenario(made)).findings} == {0.5}


@pytest.mark.parametrize("made", [[], [replace(each, targets=np.ones(THINGS, dtype=bool)) for each in consortia(1.0)]])
def test_without_federations_or_where_all_is_in_play_nothing_is_tried_and_the_note_says_so(made: list[Consortium]) -> None:
    for each in targets.attack(scenario(made)).findings:
        assert math.isnan(each.value) and (each.lower, each.upper, each.trials) == (0, 1, 0) and "Not tried" in each.note


def test_without_a_row_list_the_ways_that_need_one_are_left_out() -> None:
    made = [replace(each, of_series={name: each.of_series[name] for name in TRUNK}) for each in consortia(1.0)]
    assert [each.attack for each in series.attack(scenario(made, OFF)).findings] == [
        "series from the last trunk",
        "series from the last trunk, with shadow trunks",
    ]
