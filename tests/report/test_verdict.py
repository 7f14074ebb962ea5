"""One rule for all gates: it holds, it fails, or there were too few to tell."""

from dataclasses import asdict, replace
from itertools import product
from math import nan

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from fedapp.config import load_config
from fedapp.report.verdict import Verdict, judge, worst
from simulation.audit.advice import advice, needed
from simulation.audit.findings import ON, Finding
from simulation.audit.statistics import Estimate, at_most, rate

shares = st.floats(0, 1)


def named(hits: int, of: int, gate: float = 0.001, chance: float = 0.0) -> Verdict | None:
    """Of a gate on compounds that are named one by one."""
    return finding(at_most(rate(hits, of), hits), gate, chance, "upper").verdict


def recognised(hits: int, of: int, gate: float = 0.003, chance: float = 0.001) -> Verdict | None:
    """Of a gate on who was trained on."""
    return finding(rate(hits, of), gate, chance, "value").verdict


def finding(share: Estimate, gate: float, chance: float, judged: str) -> Finding:
    return Finding(
        name="named",
        attack="rows",
        adversary="partner",
        defences=ON,
        what="Share.",
        chance=chance,
        gate=gate,
        judged=judged,
        **asdict(share),
    )


@pytest.mark.parametrize(
    ("hits", "of", "verdict"),
    [
        (0, 223, Verdict.TOO_FEW),
        (0, 2994, Verdict.TOO_FEW),
        (0, 2995, Verdict.PASS),
        (1, 2995, Verdict.TOO_FEW),
        (1, 4700, Verdict.TOO_FEW),
        (1, 4800, Verdict.PASS),
        (3, 223, Verdict.FAIL),
        (1, 223, Verdict.FAIL),
        (40, 4440, Verdict.FAIL),
        (0, 0, Verdict.TOO_FEW),
    ],
)
def test_of_compounds_named_one_by_one_the_most_that_there_may_be_is_within_the_gate_or_the_share_is_beyond_it(
    hits: int, of: int, verdict: Verdict
) -> None:
    assert named(hits, of) is verdict


def test_names_that_are_as_often_wrong_as_right_are_no_evidence_until_their_interval_is_beyond_the_gate_itself() -> None:
    assert named(1, 2000, gate=0.0004, chance=0.001) is Verdict.TOO_FEW
    assert named(60, 2000, chance=0.03) is Verdict.FAIL


@pytest.mark.parametrize(
    ("hits", "of", "verdict"),
    [
        (0, 200, Verdict.TOO_FEW),  # a true share of 0.3 % would be missed more often than not
        (6, 4440, Verdict.PASS),
        (13, 4440, Verdict.PASS),
        (40, 4440, Verdict.FAIL),
        (1, 200, Verdict.TOO_FEW),  # 0.5 %, and its interval begins below what guessing gives
        (6, 200, Verdict.FAIL),
    ],
)
def test_of_who_was_trained_on_the_figure_is_judged_in_a_sample_that_could_have_shown_more(hits: int, of: int, verdict: Verdict) -> None:
    assert recognised(hits, of) is verdict


@given(lower=st.floats(-1, 1), width=shares)
def test_of_a_distance_from_chance_only_a_clear_excess_fails_and_all_else_holds(lower: float, width: float) -> None:
    value = lower + width
    assert judge(lower, value, lower, 0.0, 0.0, 0.0) is (Verdict.FAIL if lower > 0 else Verdict.PASS)


@given(st.lists(shares, min_size=3, max_size=3).map(sorted), shares, shares, shares, st.sampled_from(["value", "lower", "upper"]))
def test_a_whole_interval_beyond_the_gate_fails_and_a_whole_one_within_it_never_does(
    ends: list[float], gate: float, chance: float, finest: float, judged: str
) -> None:
    lower, value, upper = ends
    verdict = judge({"value": value, "lower": lower, "upper": upper}[judged], value, lower, chance, gate, finest)
    if lower > gate:
        assert verdict is Verdict.FAIL
    if upper <= gate:
        assert verdict is (Verdict.PASS if finest <= gate else Verdict.TOO_FEW)


@given(st.integers(0, 4000).flatmap(lambda of: st.tuples(st.integers(0, of), st.just(of))), st.sampled_from([0.001, 0.003, 0.05]))
def test_more_compounds_named_never_make_a_verdict_better(case: tuple[int, int], gate: float) -> None:
    hits, of = case
    order = [Verdict.PASS, Verdict.TOO_FEW, Verdict.FAIL]
    verdicts = [named(number, of, gate) for number in (hits, min(hits + 1, of))]
    assert [order.index(verdict) for verdict in verdicts if verdict] == sorted(order.index(verdict) for verdict in verdicts if verdict)


def test_a_figure_that_is_not_a_number_tells_nothing() -> None:
    for limited, lower in ((nan, nan), (-1.0, -1.0), (0.0, nan)):
        assert judge(limited, nan, lower, 0.0, 0.0, 0.0) is Verdict.TOO_FEW


def test_a_gate_that_is_broken_is_seldom_said_to_hold_whatever_the_size() -> None:
    gate = 0.01
    for of in (50, 299, 700, 3000):
        holds = sum(binom.pmf(hits, of, 1.0001 * gate) for hits in range(of + 1) if named(hits, of, gate) is Verdict.PASS)
        assert holds <= 0.05 + 1e-9


def test_of_several_gates_the_worst_counts_and_without_any_nothing_was_held() -> None:
    assert worst([]) is Verdict.TOO_FEW
    for one, other in product(Verdict, Verdict):
        expected = Verdict.FAIL if Verdict.FAIL in (one, other) else Verdict.TOO_FEW if Verdict.TOO_FEW in (one, other) else Verdict.PASS
        assert worst([one, other]) is expected


@pytest.mark.parametrize("gate", [0.001, 0.003, 0.05])
def test_the_advice_names_the_least_number_that_can_show_that_a_gate_holds(gate: float) -> None:
    assert (named(0, needed(gate), gate), named(0, needed(gate) - 1, gate)) == (Verdict.PASS, Verdict.TOO_FEW)


def test_too_few_named_by_nobody_are_advised_more_compounds_and_no_larger_guard() -> None:
    config = load_config(None, ("privacy.row_guard=20", "data.partners=8"))
    few, some = (replace(finding(at_most(rate(hits, 223), hits), 0.001, 0.0, "upper"), name="identified_by_rows") for hits in (0, 9))
    (said,) = advice([few], config)
    assert "too few to tell of “Compounds named one by one, by the rows of the sum”: audit" in said
    assert "2,995 compounds trained on, and none of them found, are what a gate of 0.1% takes at least" in said
    assert "still name compounds" in advice([some], config)[0]
    assert advice([replace(few, gate=None)], config) == advice([], config)


def test_rows_of_a_single_partner_are_advised_three_supporters_a_row() -> None:
    config = load_config(None, ("privacy.row_guard=20", "privacy.least_supporters=2", "data.partners=8"))
    bare = replace(finding(rate(40, 223), 0.0, 0.0, "lower"), name="isolated_rows", finest=0.0)
    assert "privacy.least_supporters=3" in advice([bare], config)[0]
