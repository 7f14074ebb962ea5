"""RESULTS.md is what the records say, and so is what other pages quote of it."""

from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest

from fedapp.errors import RunError
from fedapp.evaluation.intervals import Interval
from simulation.benchmarks.metrics import measure_metrics
from simulation.benchmarks.round import compared
from simulation.results.figures import SECAGG_SPREADS, Spread, benchmarked, findings_by_name, fixed, gained, seed_words, shared
from simulation.results.page import PAGE, rendered, secagg_settings
from simulation.results.records import Record, read_records
from tests.conftest import ROOT
from tests.helpers.docs import PAGES

RECORDS = read_records()
SHARED_HEADS = ("membership_shared_heads", "membership_shared", "shared_labels")
# A page, and templates of its lines with figures that were measured.
QUOTED = {
    "README.md": ("{% include 'gains.md.j2' %}",),
    "fedapp/privacy/README.md": (
        "{% set sizes = records['privacy-tox21'].result.training_compounds %}"
        "On Tox21, with {{ sizes | min | count }} to {{ sizes | max | count }} training compounds each",
        "{% set curve = records['privacy-tox21'].result %}"
        "{% set noisy = curve.points | selectattr('epsilon') | map(attribute='auc_pr') | list %}"
        "partners lose {{ noisy | max | share_lost(curve.local) | percent }} "
        "to {{ noisy | min | share_lost(curve.local) | percent }} of what they have",
    ),
    "simulation/audit/README.md": (
        "| compounds named or decoded one by one | at most {{ findings['audit-fsmol'].on.decoded_fingerprints.gate | percent }} |",
        "| who was trained on, at {{ findings['audit-fsmol'].on.membership_trunk.chance | percent }} false positives "
        "| {{ findings['audit-fsmol'].on.membership_trunk.gate | percent }}, three times",
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
        quoted = rendered(template, RECORDS)
        assert plain(quoted) in plain(PAGES[page]), f"{page} must say:\n{quoted}"


@pytest.mark.parametrize("name", RECORDS)
def test_the_page_names_every_record_with_its_command_and_commit(name: str) -> None:
    facts, text = RECORDS[name].provenance, PAGE.read_text(encoding="utf-8")
    (line,) = {line for line in text.splitlines() if line.startswith(f"- [{name}](results/records/{name}.json)")}
    assert f"`{facts['command']}`, commit {facts['commit']}, {facts['date']}" in line
    assert ("†" in line) == ("transcribed" in facts)


def test_a_record_that_is_missing_is_told_in_words() -> None:
    for name in ("privacy-tox21", "sites"):
        with pytest.raises(RunError, match="a figure is missing among the records"):
            rendered(records={key: record for key, record in RECORDS.items() if key != name})


def changed(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[tuple[Any, ...], Any]]:
    """Every number of a JSON value, as the way to it, and a number that no rounding makes the same."""
    if isinstance(value, dict):
        return [number for key, part in value.items() for number in changed(part, (*path, key))]
    if isinstance(value, list):
        return [number for place, part in enumerate(value) for number in changed(part, (*path, place))]
    return [(path, value * 3 + 1)] if isinstance(value, int | float) and not isinstance(value, bool) else []


@pytest.mark.parametrize("name", ["audit-fsmol", "privacy-tox21", "round-fsmol", "sites"])
def test_no_figure_of_the_page_is_typed_by_hand(name: str) -> None:
    """Every record's own figures change the page; of so many, those at a few places."""
    before, numbers = rendered(records=RECORDS), changed(RECORDS[name].result)
    shown = 0
    for way, other in numbers[:: max(1, len(numbers) // 25)]:
        result = deepcopy(RECORDS[name].result)
        place = result
        for step in way[:-1]:
            place = place[step]
        place[way[-1]] = other
        shown += rendered(records=RECORDS | {name: replace(RECORDS[name], result=result)}) != before
    assert shown


def test_a_loss_is_written_with_a_minus_sign() -> None:
    assert Spread.of([-0.02, 0.01]).text(3) == "−0.005 (−0.020 to 0.010)"


def test_what_rounds_to_zero_has_no_sign() -> None:
    assert fixed(-0.0004, 3) == "0.000"
    assert gained(Interval(-0.0004, -0.01, 0.02), 2) == "0.00 (−0.01 to +0.02)"


def test_a_figure_that_was_not_measured_is_a_dash_and_one_without_bounds_stands_alone() -> None:
    assert gained(None) == shared(None) == "–"
    assert gained(Interval(0.0061)) == "+0.0061"
    assert plain(shared(Interval(0.83, 0.79, 0.88))) == "83 % (79 % to 88 %)"


@pytest.mark.parametrize(("seeds", "words"), [([4], "seed 4"), ([1, 2, 3], "seeds 1 to 3"), ([1, 3], "seeds 1, 3")])
def test_seeds_are_told_in_words(seeds: list[int], words: str) -> None:
    assert seed_words(seeds) == words


def test_every_benchmark_has_its_place_on_the_page_and_is_said_to_be_missing_until_then() -> None:
    facts = RECORDS["audit-fsmol"].provenance
    training = {"hidden": 8, "batch": 16, "device": "cpu", "threads": 1, "epoch_s": 0.25, "reference_epoch_s": 1.5, "speedup": 6.0}
    training |= {"speedups": [5.5, 6.0, 7.0], "labels_per_s": 4321, "peak_memory_gb": 0.5}
    metrics = measure_metrics(20, 2)
    rounds = compared([("plain", [2.0, 3.0]), ("secure", [2.5, 3.5])]) | {"partners": 7}
    results = {"training-here": training | {"sizes": [training]}, "metrics-here": metrics, "round-here": rounds}
    names = {"training": "training", "metrics": "metrics", "round": "round conf/fsmol.yaml"}
    without = {name: record for name, record in RECORDS.items() if not name.startswith(tuple(names))}
    before = rendered(records=without)
    after = rendered(records=without | {name: Record(name, facts, result) for name, result in results.items()})
    for verb in names.values():
        assert f"Not measured with this version yet; `polyphony benchmark {verb}` tells." in before
        assert f"`polyphony benchmark {verb}` tells" not in after
    assert "| hidden 8, batches of 16, cpu, threads: 1 | 0.25 s | 4,321 | 0.50 GB | 1.50 s | 6.0 (5.5 to 7.0) |" in after
    assert f"of 20 tasks with {metrics['labels']:,} labels in {metrics['seconds']:.3f} s" in after
    assert "| 7 | 2.50 s | 3.00 s | 1.200 (1.200 to 1.200 in 1 pairs) |" in after


def priced(seed: int, price: float) -> Record:
    facts = RECORDS["audit-fsmol"].provenance | {"command": f"polyphony price conf/fsmol.yaml seed={seed} --json"}
    asis, changed = ({"federated": 0.7, "combined": mean, "price": None} for mean in (0.6, 0.6 + price))
    lost = {"value": price, "low": price - 0.01, "high": price + 0.01}
    federations = [
        {"settings": [], "rows": 1234, "shared_heads": 3, "validation": asis, "test": asis},
        {"settings": ["privacy.row_guard=7"], "rows": 2345, "shared_heads": 3}
        | {"validation": changed | {"price": {"value": 0.0123 * seed, "low": 0.01, "high": 0.02}}, "test": changed | {"price": lost}},
    ]
    return Record(f"price-fsmol-seed{seed}", facts, {"name": "fsmol", "seed": seed, "federations": federations})


def test_prices_of_several_seeds_have_an_interval_over_them_and_the_gates_of_the_audit_with_these_settings() -> None:
    others = {name: record for name, record in RECORDS.items() if not name.startswith(("price-", "audit-fsmol"))}
    present = {fact: value for fact, value in RECORDS["audit-fsmol"].provenance.items() if fact != "since"}
    others["audit-fsmol"] = audit = replace(RECORDS["audit-fsmol"], provenance=present)
    assert "`polyphony price conf/fsmol.yaml" in rendered(records=others)
    seeds = {record.name: record for record in (priced(2, 0.03), priced(1, 0.01))}
    page = plain(rendered(records=others | seeds))
    assert "`polyphony price conf/fsmol.yaml seed=1 --json`, seeds 1 to 2:" in page
    # Student's t of one degree of freedom is 12.7062 at 97.5 %, and the mean's standard error 0.01.
    assert "+0.0200 (−0.1071 to +0.1471) | – |" in page
    gates = f"{sum(gate['pass'] for gate in audit.result['gates'].values())} of {len(audit.result['gates'])}"
    assert f"| as it is | 1,234 | 0.700 | 0.600 | – | – | {gates} |" in page
    one = plain(rendered(records=others | {"price-fsmol-seed1": priced(1, 0.01)}))
    assert "| +0.0123 (+0.0100 to +0.0200) | +0.0100 (0.0000 to +0.0200) | – |" in one
    audited = {"audit-fsmol-row-guard-7": replace(audit, name="audit-fsmol-row-guard-7")}
    page = plain(rendered(records=others | seeds | audited))
    assert f"+0.0200 (−0.1071 to +0.1471) | {gates} |" in page
    older = {"audit-fsmol": replace(audit, provenance=present | {"since": "something changed"})}
    assert f"| {gates}, measured before the present version |" in plain(rendered(records=others | seeds | older))
    assert page.count("Every gate is met") == plain(rendered(records=others)).count("Every gate is met"), "no table of its own"


def test_an_audit_with_shared_heads_tells_of_them() -> None:
    record = deepcopy(RECORDS["audit-fsmol"].result)
    record["findings"] = [finding for finding in record["findings"] if finding["name"] not in SHARED_HEADS]
    del record["shared_heads"]
    plain_audit = Record("audit-fsmol", RECORDS["audit-fsmol"].provenance, deepcopy(record))
    finding = next(finding for finding in record["findings"] if finding["name"] == "membership_trunk" and finding["defences"] == "on")
    heads = [finding | {"name": name, "attack": name, "defences": side} for name in SHARED_HEADS for side in ("on", "off")]
    audited = Record("audit-panel", RECORDS["audit-fsmol"].provenance, record | {"shared_heads": {"on": 8, "off": 19}})
    audited.result["findings"] += heads
    without = {name: kept for name, kept in RECORDS.items() if name != "audit-panel"} | {"audit-fsmol": plain_audit}
    before, after = rendered(records=without), rendered(records=without | {"audit-panel": audited})
    assert "| shared heads in the sum | 19 | 8 | | |" in after and "| shared heads in the sum" not in before
    for line in ("| the same on shared heads |", "| the same on shared heads, trunks and row list |", "| which label: "):
        assert line in after and line not in before
    assert "conf/panel.yaml` was not run" in before and "conf/panel.yaml` was not run" not in after


def test_what_was_measured_before_the_present_version_is_said_to_be_above_its_table() -> None:
    for name in ("audit-fsmol", "privacy-tox21"):
        facts = {key: fact for key, fact in RECORDS[name].provenance.items() if key != "since"}
        fresh, old = (
            rendered(records=RECORDS | {name: replace(RECORDS[name], provenance=facts | since)}) for since in ({}, {"since": "all is new"})
        )
        assert "**Measured before the present version**: since then all is new." in old
        assert "all is new" not in fresh


def runs_of_secagg(name: str, partners: int, stock: float | None) -> list[Record]:
    sizes = {"partners": partners, "words": 10, "dropped": 1, "upload_bytes": 101, "answer_bytes": 4, "float32_bytes": 100}
    times = [dict.fromkeys(SECAGG_SPREADS, seconds) | {"stock_coordinator_s": stock and 40 * seconds} for seconds in (1.25, 1.0, 1.5)]
    return [Record(f"secagg-{name}-{number}", {}, sizes | each) for number, each in enumerate(times, 1)]


def test_sizes_of_a_benchmark_are_its_own_and_times_those_of_all_runs() -> None:
    summary = benchmarked(runs_of_secagg("a", 10, 1.0))
    assert summary["upload"] == 1.01
    assert summary["upload_and_answers"] == 1.05
    assert summary["mask_ratio"] == summary["coordinator_s"] == Spread(1.25, 1.0, 1.5)
    assert summary["stock_coordinator_s"] == Spread(50, 40, 60)


def test_runs_of_several_settings_of_a_benchmark_are_not_mixed() -> None:
    few, many = secagg_settings([*runs_of_secagg("b", 200, None), *runs_of_secagg("a", 10, 1.0)])
    assert (few["partners"], many["partners"]) == (10, 200)
    assert many["stock_coordinator_s"] is None
    with pytest.raises(ValueError, match="too many values to unpack"):
        benchmarked([*runs_of_secagg("a", 200, None), *runs_of_secagg("a", 10, 1.0)])


def test_findings_with_one_name_are_told_by_their_attacks() -> None:
    by_name = findings_by_name(RECORDS["audit-fsmol"])
    assert by_name["on"]["membership_trunk"]["attack"] == "LiRA on the last trunk"
    assert by_name["on"]["twin rows"]["name"] == by_name["on"]["twin rows of the others"]["name"] == "identified_by_rows"
    assert set(by_name) == {"on", "off", "control"}


def test_pages_with_figures_lie_where_they_are_looked_for() -> None:
    assert ROOT / "simulation" / "RESULTS.md" == PAGE
