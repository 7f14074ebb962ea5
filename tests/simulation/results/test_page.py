"""RESULTS.md is what the records say, and so is what other pages quote of it."""

from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedapp.errors import RunError
from simulation.results.figures import Spread, benchmarked, compared, findings_by_name
from simulation.results.page import PAGE, rendered
from simulation.results.records import Record, read_records
from tests.conftest import ROOT
from tests.helpers.docs import PAGES

RECORDS = read_records()
# A page, and templates of its lines with figures that were measured.
QUOTED = {
    "README.md": (
        "{% set worst = compared.named | first %}"
        "sums named at most {{ worst.identified }} of {{ worst.compounds | count }} in the next section",
        "means over tasks, seed{{ 's' if compared.seeds | length > 1 else '' }} {{ compared.seeds | join(' and ') }}:",
        "| local only | {{ compared.local.auc_pr.mean | score }} | {{ compared.local.auc_roc.mean | score }} |",
        "| **federated, as it ships** | **{{ compared.federated.auc_pr.mean | score }}** "
        "| **{{ compared.federated.auc_roc.mean | score }}** |",
        "| pooled | {{ compared.pooled.auc_pr.mean | score }} | {{ compared.pooled.auc_roc.mean | score }} |",
    ),
    "fedapp/privacy/README.md": (
        "{% set sizes = records['privacy-tox21'].result.training_compounds %}"
        "On Tox21, with {{ sizes | min | count }} to {{ sizes | max | count }} training compounds each",
        "{% set curve = records['privacy-tox21'].result %}"
        "{% set noisy = curve.points | selectattr('epsilon') | map(attribute='auc_pr') | list %}"
        "partners lose {{ noisy | max | share_lost(curve.local) | percent }} "
        "to {{ noisy | min | share_lost(curve.local) | percent }} of what they have",
    ),
    "simulation/audit/README.md": (
        "| compounds named or decoded one by one | at most {{ findings.on.decoded_fingerprints.gate | percent }} |",
        "| who was trained on, at {{ findings.on.membership_trunk.chance | percent }} false positives "
        "| {{ findings.on.membership_trunk.gate | percent }}, three times",
    ),
}


def plain(text: str) -> str:
    """With ordinary spaces."""
    return text.replace("\u00a0", " ")


def test_the_page_is_what_the_program_writes() -> None:
    assert PAGE.read_text(encoding="utf-8") == rendered(), "write it anew: python -m simulation.results"


@pytest.mark.parametrize("page", QUOTED)
def test_what_other_pages_quote_is_what_the_records_say(page: str) -> None:
    for template in QUOTED[page]:
        assert plain(rendered(template)) in plain(PAGES[page])


@pytest.mark.parametrize("name", RECORDS)
def test_the_page_names_every_record_with_its_command_and_commit(name: str) -> None:
    facts, text = RECORDS[name].provenance, PAGE.read_text(encoding="utf-8")
    (line,) = {line for line in text.splitlines() if line.startswith(f"- [{name}](results/records/{name}.json)")}
    assert f"`{facts['command']}`, commit {facts['commit']}, {facts['date']}" in line
    assert ("†" in line) == ("transcribed" in facts)


def test_a_record_that_is_missing_is_told_in_words() -> None:
    for name in ("audit-fsmol", "sites"):
        with pytest.raises(RunError, match="a figure is missing among the records"):
            rendered(records={key: record for key, record in RECORDS.items() if key != name})


def changed(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[tuple[Any, ...], Any]]:
    """Every number of a JSON value, as the way to it, and a number that no rounding makes the same."""
    if isinstance(value, dict):
        return [number for key, part in value.items() for number in changed(part, (*path, key))]
    if isinstance(value, list):
        return [number for place, part in enumerate(value) for number in changed(part, (*path, place))]
    return [(path, value * 3 + 1)] if isinstance(value, int | float) and not isinstance(value, bool) else []


@pytest.mark.parametrize("name", ["compare-fsmol-seed1", "privacy-tox21", "secagg-seconds", "sites"])
def test_no_figure_of_the_page_is_typed_by_hand(name: str) -> None:
    """Every record's own figures change the page; of so many, those at a few places."""
    before, numbers = rendered(records=RECORDS), changed(RECORDS[name].result)
    shown = 0
    for way, other in numbers[:: max(1, len(numbers) // 12)]:
        result = deepcopy(RECORDS[name].result)
        place = result
        for step in way[:-1]:
            place = place[step]
        place[way[-1]] = other
        shown += rendered(records=RECORDS | {name: replace(RECORDS[name], result=result)}) != before
    assert shown


def comparison(seed: int, auc_pr: float) -> Record:
    arms = {arm: {"auc_pr": auc_pr + gain, "auc_roc": 0.7, "bce": 0.5} for arm, gain in (("local", 0), ("federated", 0.02))}
    arms |= {
        "unguarded": {"auc_pr": auc_pr + 0.03, "auc_roc": 0.7, "bce": 0.5},
        "pooled": {"auc_pr": auc_pr + 0.05, "auc_roc": 0.7, "bce": 0.5},
    }
    named = {"named_in_sums": {"p1": {"identified": 1, "compounds": 10 * seed}, "p2": {"identified": 0, "compounds": 5}}}
    return Record(f"seed{seed}", {}, {"seed": seed, "tasks": 10 * seed, "rounds": 3, "bits": 64, "rows_in_sum": 20 + seed, **arms, **named})


@given(st.permutations([1, 2, 3]))
def test_a_gain_is_the_mean_over_seeds_of_differences_in_whatever_order_records_come(seeds: list[int]) -> None:
    summary = compared([comparison(seed, seed / 10) for seed in seeds])
    assert summary["seeds"] == [1, 2, 3]
    assert summary["tasks"] == 10
    assert summary["local"]["auc_pr"].text(2) == "0.20 (0.10 to 0.30)"
    assert summary["gain"].mean == pytest.approx(0.02)
    assert summary["guard_effect"].mean == pytest.approx(-0.01)
    assert summary["pooled_gain"].bounds(3) == "0.050"
    assert summary["rows_in_sum"] == Spread(22, 21, 23)
    assert [seen["compounds"] for seen in summary["named"]] == [10, 20, 30, 5, 5, 5]


def test_one_seed_has_a_figure_and_no_bounds() -> None:
    assert compared([comparison(4, 0.4)])["federated"]["auc_pr"].text(3) == "0.420"


def test_a_loss_is_written_with_a_minus_sign() -> None:
    assert Spread.of([-0.02, 0.01]).text(3) == "−0.005 (−0.020 to 0.010)"


def test_sizes_of_a_benchmark_are_its_own_and_ratios_those_of_all_runs() -> None:
    sizes = {"upload_bytes": 101, "answer_bytes": 4, "float32_bytes": 100}
    summary = benchmarked([Record("", {}, sizes | {"mask_ratio": ratio, "coordinator_speedup": 40 * ratio}) for ratio in (1.25, 1.0, 1.5)])
    assert summary["upload"] == 1.01
    assert summary["upload_and_answers"] == 1.05
    assert summary["mask_ratio"] == Spread(1.25, 1.0, 1.5)


def test_findings_with_one_name_are_told_by_their_attacks() -> None:
    by_name = findings_by_name(RECORDS["audit-fsmol"])
    assert by_name["on"]["membership_trunk"]["attack"] == "LiRA on the last trunk"
    assert by_name["on"]["twin rows"]["name"] == by_name["on"]["twin rows of the others"]["name"] == "identified_by_rows"
    assert set(by_name) == {"on", "off", "control"}


def test_pages_with_figures_lie_where_they_are_looked_for() -> None:
    assert ROOT / "simulation" / "RESULTS.md" == PAGE
