import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rdkit import Chem

from fedapp.errors import RunError
from fedapp.report import audit, charts, structures
from fedapp.report.audit import attack_of, grouped, notes, write_audit_report
from fedapp.report.audit_charts import DRAWN_POINTS, interval_picture, percentage, printed, read_figure, roc_pictures, span, thinned, told
from simulation.audit.findings import Curve, Finding, Recovered
from tests.report.html_page import Page

Save = Callable[..., Page]
HOSTILE = "<script>alert(1)<script>\" onload=\"x' onerror='y"
ASPIRIN, PARACETAMOL, CAFFEINE = "CC(=O)Oc1ccccc1C(=O)O", "CC(=O)Nc1ccc(O)cc1", "CN1C=NC2=C1C(=O)N(C(=O)N2C)C"


def finding(
    name: str, attack: str, adversary: str, defences: str, value: float, lower: float, upper: float, chance: float, **other: Any
) -> dict[str, Any]:
    """As simulation.audit saves it."""
    held: dict[str, Any] = {"what": f"Share of {name.replace('_', ' ')}.", "gate": None, "judged": "upper", "trials": 4800} | other
    return Finding(name, attack, adversary, defences, value=value, lower=lower, upper=upper, chance=chance, **held).told()


def rows(on: float = 0.0, upper: float = 0.00077) -> list[dict[str, Any]]:
    """The attack by twin rows, with a gate at 0.1 %."""
    what = "Share of compounds that were trained on and whose structure the attack named rightly."
    held = ("identified_by_rows", "twin rows", "partner")
    return [
        finding(*held, "on", on, 0.0, upper, 0.0, what=what, gate=0.001),
        finding(*held, "off", 0.8313, 0.8204, 0.8418, 0.0, what=what, note="Of compounds that hold a bit of their own."),
    ]


def membership(on: float = 0.0016, off: float = 0.094) -> list[dict[str, Any]]:
    """The attack on membership from the trunk alone, with a gate at 0.3 %, and from the heads, without one."""
    what = "Share of members recognised while only 0.1 % of the others are mistaken for members."
    held = ("membership_of_trunk", "membership", "partner")
    return [
        finding(*held, "on", on, 0.0012, 0.0022, 0.001, what=what, gate=0.003, judged="value", trials=76800),
        finding(*held, "off", off, 0.9 * off, 1.1 * off, 0.001, what=what, trials=38400),
        finding("membership_of_heads", "membership", "outsider", "on", 0.021, 0.018, 0.024, 0.001, what=what),
        finding("membership_of_heads", "membership", "outsider", "off", 0.061, 0.055, 0.066, 0.001, what=what),
    ]


def decoding() -> list[dict[str, Any]]:
    """An attack that works in its control only."""
    held = ("identified_by_decoding", "decoding", "partner")
    return [
        finding(*held, "on", 0.0, 0.0, 0.00077, 0.0, gate=0.001),
        finding(*held, "off", 0.0, 0.0, 0.00077, 0.0),
        finding(*held, "control", 0.97, 0.89, 0.996, 0.0, trials=64),
    ]


def curve(defences: str, power: float, points: int = 200) -> dict[str, Any]:
    """Recognised members grow as a power of the others mistaken: 1 is guessing."""
    false = np.concatenate([[0.0], np.geomspace(1e-4, 1, points)])
    return vars(Curve("membership", "partner", defences, false.tolist(), (false**power).tolist()))


def recovered(defences: str, true: str = ASPIRIN, found: str = ASPIRIN, similarity: float = 1.0) -> dict[str, Any]:
    return vars(Recovered("twin rows", defences, true, found, similarity, "Birch"))


def facts(findings: list[dict[str, Any]], **other: Any) -> dict[str, Any]:
    """audit.json of these findings."""
    gated = [held for held in findings if held["gate"] is not None and held["defences"] == "on"]
    worst = {held["name"]: held for held in sorted(gated, key=lambda held: float(held[held["judged"]]))}
    gates = {name: {key: held[key] for key in ("adversary", "value", "upper", "gate", "chance", "pass")} for name, held in worst.items()}
    return {
        "run": "audit-2026-11-24",
        "name": "fsmol",
        "seed": 1,
        "started": "2026-11-24T09:14:03+00:00",
        "seconds": 1284.6,
        "note": "",
        "partners": 8,
        "pool": 9600,
        "members": 4800,
        "rounds": 10,
        "trials": {"on": 16, "off": 8},
        "row_guard": 10,
        "listed_rows": {"on": 2448, "off": 32768},
        "configuration": {"privacy.row_guard": 10, "model.hidden": [400], "training.learning_rate": 0.002},
        "versions": {"polyphony": "0.1.0", "torch": "2.13.0+cpu"},
        "gates": gates,
        "findings": findings,
        "curves": [],
        "recovered": [],
        "advice": [],
    } | other


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Write audit.json of these facts, make its page and read that."""

    def make(held: dict[str, Any]) -> Page:
        (tmp_path / "audit.json").write_text(json.dumps(held), encoding="utf-8")
        return Page(write_audit_report(tmp_path))

    return make


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests that read words only: drawing takes most of a page's time."""
    monkeypatch.setattr(charts, "drawn", lambda name, alt, draw, height=0: "<svg></svg>")


def full() -> dict[str, Any]:
    """An audit with everything in it."""
    return facts(
        rows() + membership() + decoding(),
        curves=[curve("on", 0.95), curve("off", 0.4)],
        recovered=[recovered("off"), recovered("off", PARACETAMOL, CAFFEINE, 0.21)],
        advice=["Keep the row guard at 10."],
        note="Labels are computed.",
    )


# The verdict


@pytest.mark.usefixtures("undrawn")
def test_an_audit_that_passes_says_so_first_and_what_was_attacked(save: Save) -> None:
    text = save(full()).text
    assert "All 3 gates hold: with the defences on, no attack learned more than its limit allows." in text
    assert "a federation of 8 partners in the configuration below, 10 rounds long. Of a pool of 9,600 compounds, 4,800" in text
    assert text.index("All 3 gates hold") < text.index("One row per gate")
    assert "✗" not in text
    assert "proves nothing" not in text


@pytest.mark.usefixtures("undrawn")
def test_an_audit_that_fails_names_every_gate_that_fails(save: Save) -> None:
    text = save(facts(rows(on=0.004, upper=0.0061) + membership(on=0.031) + decoding())).text
    assert "2 of 3 gates fail: “identified by rows” and “membership of trunk”." in text
    assert text.count("✗ fails") == 4  # each in the gates' table and in its attack's
    assert "hold:" not in text


@pytest.mark.usefixtures("undrawn")
def test_a_gate_whose_attack_finds_nothing_without_defences_proves_nothing_and_the_verdict_says_so(save: Save) -> None:
    found = save(facts(rows() + membership(off=0.001)))
    assert "All 2 gates hold, but 1 of them proves nothing: no leak was shown there without the defences either." in found.text
    told_twice = "“membership of trunk” shows no leak with defences off either (0.1 %, 95 % interval 0.09 to 0.11 %, guessing 0.1 %)."
    assert found.text.count(told_twice) == 2
    assert found.text.count("This audit proves nothing here.") == 1
    assert "no: 0.1 % with defences off" in found.text


@pytest.mark.usefixtures("undrawn")
def test_a_gate_that_was_tried_with_defences_only_proves_nothing_either(save: Save) -> None:
    text = save(facts(rows()[:1])).text
    assert "The only gate holds, but it proves nothing" in text
    assert "was tried with the defences on only" in text


@pytest.mark.usefixtures("undrawn")
def test_a_control_in_which_the_attack_works_counts_as_proof(save: Save) -> None:
    text = save(facts(decoding())).text
    assert "The only gate holds: with" in text
    assert "yes: 97 % with control setting" in text


@pytest.mark.usefixtures("undrawn")
def test_an_audit_without_gates_or_findings_gives_no_verdict(save: Save) -> None:
    assert "No verdict: this audit held nothing against a limit." in save(facts([])).text
    assert "No verdict" in save(facts(membership()[2:])).text


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(
    "change",
    [
        lambda held: held["gates"].pop("identified_by_rows"),
        lambda held: held["gates"]["identified_by_rows"].update({"pass": False}),
        lambda held: held["gates"]["identified_by_rows"].update(value=0.5),
        lambda held: held["gates"]["identified_by_rows"].update(gate=0.5),
        lambda held: held["findings"][0].update(upper=0.5),
        lambda held: held["findings"][0].update({"pass": False}),
    ],
)
def test_a_file_that_contradicts_itself_gets_no_verdict(save: Save, change: Callable[[dict[str, Any]], object]) -> None:
    held = json.loads(json.dumps(full()))
    change(held)
    text = save(held).text
    assert "No verdict: the audit’s file contradicts itself.".replace("’", "'") in text
    assert "Do not rely on this page." in text
    assert "tell different things of: identified by rows." in text


@pytest.mark.usefixtures("undrawn")
def test_a_figure_that_is_not_a_number_fails_its_gate(save: Save) -> None:
    for nothing in (None, math.nan):
        held = facts(rows(on=math.nan, upper=math.nan))
        for row in (held["findings"][0], held["gates"]["identified_by_rows"]):
            row.update(value=nothing, upper=nothing)
        assert "The only gate fails" in save(held).text


@pytest.mark.usefixtures("undrawn")
def test_of_several_attacks_under_one_limit_the_worst_counts_and_the_file_does_not_contradict_itself(save: Save) -> None:
    def view(attack: str, defences: str, lower: float) -> dict[str, Any]:
        return finding(
            "coordinator_view", attack, "coordinator", defences, lower + 0.01, lower, lower + 0.02, 0.0, gate=0.0, judged="lower"
        )

    calm = [view("zero rows", "on", -0.01), view("sizes", "on", -0.02), view("zero rows", "off", 0.4), view("sizes", "off", -0.02)]
    text = save(facts(calm)).text
    assert "The only gate holds: with" in text
    assert "coordinator view, zero rows the coordinator 0 % \u22121 to 1 % 0 % lower end at most 0 % yes: 41 % with defences off" in text
    assert (
        text[text.index("Attack: Sizes") :].count("This audit proves nothing here.") == text.count("This audit proves nothing here.") == 1
    )
    loud = [*calm[:1], view("sizes", "on", 0.3), *calm[2:]]
    text = save(facts(loud)).text
    assert "The only gate fails: “coordinator view”." in text
    assert "✗ fails Share of coordinator view. coordinator view, sizes" in text


@pytest.mark.usefixtures("undrawn")
def test_a_figure_that_is_no_share_is_not_told_in_percent(save: Save) -> None:
    held = finding("canary_epsilon", "canaries", "partner", "on", 0.31, 0.31, 0.92, 0.0, gate=8.0, judged="value")
    assert "0.31 0.31 to 0.92 0 figure at most 8" in save(facts([held])).text


@pytest.mark.usefixtures("undrawn")
def test_charts_are_of_gated_figures_and_of_the_first_two_where_there_are_none(save: Save) -> None:
    assert [found.title for found in attack_of(0, "membership", [read_figure(row) for row in membership()]).pictures] == [
        "Membership of trunk"
    ]
    told_only = [finding(f"told_{place}", "heads", "outsider", "on", 0.1, 0.0, 0.2, 0.0) for place in range(5)]
    assert len(attack_of(0, "heads", [read_figure(row) for row in told_only]).pictures) == 2


def test_a_control_goes_with_its_namesake_and_figures_that_measure_different_things_do_not_mix() -> None:
    control = decoding()[2] | {"what": "Share of 64 compounds."}
    assert [len(group) for group in grouped([read_figure(row) for row in (*decoding()[:2], control)])] == [3]
    precise, recalled = (
        finding("property", "families", "partner", "on", 0.5, 0.4, 0.6, 0.1, what=what) for what in ("Precision.", "Recall.")
    )
    assert [len(group) for group in grouped([read_figure(row) for row in (precise, recalled)])] == [1, 1]


def test_a_note_on_all_figures_of_an_attack_stands_alone_and_another_names_its_figures() -> None:
    held = [row | {"note": "For all."} for row in decoding()]
    assert notes([read_figure(row) for row in held]) == ("For all.",)
    assert notes([read_figure(row) for row in rows()]) == (
        "identified by rows with defences off: Of compounds that hold a bit of their own.",
    )


# Figures on the page are those of the file


@pytest.mark.usefixtures("undrawn")
def test_each_gate_has_its_row_with_measure_adversary_figure_interval_guessing_limit_and_evidence(save: Save) -> None:
    text = save(full()).text
    assert (
        "✓ holds Share of compounds that were trained on and whose structure the attack named rightly. identified by rows, twin rows "
        "a curious partner 0 % 0 to 0.077 % 0 % upper end at most 0.1 % yes: 83 % with defences off" in text
    )
    assert "0.16 % 0.12 to 0.22 % 0.1 % figure at most 0.3 % yes: 9.4 % with defences off" in text


@pytest.mark.usefixtures("undrawn")
def test_each_attack_has_its_section_with_all_its_figures_and_their_notes(save: Save) -> None:
    text = save(full()).text
    own = text[text.index("Attack: Membership") : text.index("Attack: Decoding")]
    assert "membership of heads an outsider defences on 2.1 % 1.8 to 2.4 % 0.1 % 4,800 • above chance" in own
    assert "membership of trunk a curious partner defences off 9.4 % 8.5 to 10 % 0.1 % 38,400 • above chance" in own
    assert "By a curious partner. It follows the protocol" in own
    assert "By an outsider. It took no part in training." in own
    assert "Identified by rows with defences off: Of compounds that hold a bit of their own." in text[: text.index("Attack: Membership")]


@pytest.mark.usefixtures("undrawn")
def test_scale_settings_versions_and_the_caveat_on_the_data_are_told(save: Save) -> None:
    text = save(full()).text
    for held in ("16 / 8", "2,448 / 32,768", "privacy.row_guard 10", "model.hidden 400", "torch 2.13.0+cpu", "21 min 25 s", "seed 1"):
        assert held in text
    assert "Mind the data. Labels are computed." in text
    assert "Keep the row guard at 10." in text
    assert "The audit advises no change." in save(facts(rows())).text


def test_charts_describe_the_figures_of_the_file_in_words(save: Save) -> None:
    described = [held["aria-label"].replace("\u00a0", " ") for tag, held in save(full()).elements if tag == "svg" and "role" in held]
    assert any("defences on 0 %, interval 0 to 0.077 %; defences off 83 %, interval 82 to 84 %" in alt for alt in described)
    assert any("others are mistaken: defences on 0.14 %; defences off 6.2 %. Guessing: 0.1 %." in alt for alt in described)


@given(st.floats(0, 1), st.floats(0, 1))
def test_a_printed_figure_lies_on_the_same_side_of_its_limit_as_the_true_one(value: float, limit: float) -> None:
    limit = float(f"{limit:.3g}") if limit > 1e-6 else 1e-3  # limits are round numbers
    if abs(value - limit) > 1e-9:
        assert (printed(told(value, limit)) <= float(f"{limit * 100:.6g}")) == (value <= limit)


@given(st.floats(1e-9, 1))
def test_a_printed_figure_is_within_a_twentieth_of_the_true_one(share: float) -> None:
    assert printed(percentage(share)) / 100 == pytest.approx(share, rel=0.051)


def test_figures_read_as_in_print() -> None:
    shown = [told(value).replace("\u00a0", " ") for value in (0.0, 0.00077, 0.003, 0.4213, 0.9996, 1.0, 1.75, -0.2, math.nan)]
    assert shown == ["0 %", "0.077 %", "0.3 %", "42 %", "99.96 %", "100 %", "1.75", "\u221220 %", "–"]
    assert [told(value, plain=True) for value in (0.0, 0.314, 8.0, 123.4, -0.5)] == ["0", "0.314", "8", "123", "\u22120.5"]
    assert told(8.0004, 8.0, plain=True) == "8.0004"
    assert told(0.0010004).replace("\u00a0", " ") == "0.1 %"
    assert told(0.0010004, 0.001).replace("\u00a0", " ") == "0.10004 %"
    assert span(0.0, 0.0008).replace("\u00a0", " ") == "0 to 0.08 %"


@given(st.floats(0, 1), st.floats(0, 1))
def test_ends_of_an_interval_that_differ_do_not_look_alike(one: float, other: float) -> None:
    if abs(one - other) > 1e-8:
        low, high = span(min(one, other), max(one, other)).removesuffix("\u00a0%").split(" to ")
        assert float(low) < float(high)


# Charts


def test_an_interval_chart_shows_each_setting_and_takes_its_colours_from_the_page() -> None:
    drawn = interval_picture("rows", [read_figure(row) for row in decoding()]).svg
    assert "on: 0" in drawn
    assert "control: 97" in drawn
    assert all(f"var({colour})" in drawn for colour in ("--federated", "--local", "--ink", "--muted"))
    assert not any(colour in drawn for colour in charts.VARIABLES)


@pytest.mark.parametrize("value", [0.0, 1.0, 1e-9, 4.2, -0.3, math.nan, math.inf])
def test_any_number_can_be_drawn(value: float) -> None:
    held = read_figure(finding("any", "any", "partner", "on", value, value, value, value, gate=value))
    ElementTree.fromstring(document(interval_picture("any", [held]).svg))


def document(svg: str) -> str:
    """An element of the page as a document of its own."""
    return svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" ', 1)


def test_curves_of_an_attack_share_a_chart_and_those_of_an_adversary_have_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(charts, "drawn", lambda name, alt, draw, height=0: "<svg></svg>")
    held = [curve("on", 1.0), curve("off", 0.5), curve("off", 0.5) | {"adversary": "outsider"}]
    found = roc_pictures([audit.read_curve(row) for row in held])
    assert [picture.title for picture in found] == ["Membership, partner", "Membership, outsider"]
    assert [mark.label for mark in found[0].legend][:2] == ["defences on", "defences off"]


def test_a_curve_tells_what_is_recognised_at_one_mistake_in_a_thousand() -> None:
    assert audit.read_curve(curve("on", 1.0, points=4001)).at_low_rate == pytest.approx(0.001, rel=0.01)
    assert audit.read_curve(curve("on", 0.5, points=4001)).at_low_rate == pytest.approx(0.001**0.5, rel=0.01)


def test_a_long_curve_is_thinned_without_leaving_its_path_or_its_ends() -> None:
    x = np.maximum(np.linspace(0, 1, 200_001), 1e-5)
    kept, y = thinned(x, np.sqrt(x))
    assert 100 < len(kept) <= DRAWN_POINTS + 2
    assert (kept[0], kept[-1]) == (x[0], x[-1])
    assert np.array_equal(y, np.sqrt(kept))
    assert np.max(np.diff(np.log(kept))) < 1


# Structures


@pytest.mark.usefixtures("undrawn")
def test_what_was_recovered_without_defences_is_shown_and_that_nothing_was_with_them(save: Save) -> None:
    found = save(full())
    assert "With the defences on, twin rows recovered no structure. Below is what the same attack recovers without them." in found.text
    assert "Similarity 1.00 , the same structure · Birch" in found.text
    assert "Similarity 0.21 · Birch" in found.text
    drawn = [held["aria-label"] for tag, held in found.elements if tag == "svg" and held.get("role")]
    assert drawn == [
        f"Structure that was trained on: {ASPIRIN}",
        f"Structure that the attack named: {ASPIRIN}",
        f"Structure that was trained on: {PARACETAMOL}",
        f"Structure that the attack named: {CAFFEINE}",
    ]


@pytest.mark.usefixtures("undrawn")
def test_what_was_recovered_with_defences_is_shown_first_and_not_denied(save: Save) -> None:
    text = save(facts(rows(), recovered=[recovered("off"), recovered("on", similarity=0.4)])).text
    assert "recovered no structure" not in text
    assert text.index("Twin rows, defences on: 1 structure") < text.index("Twin rows, defences off: 1 structure")


@pytest.mark.usefixtures("undrawn")
def test_an_audit_that_recovered_nothing_says_so(save: Save) -> None:
    assert "No attack recovered a structure, neither with the defences nor without them." in save(facts(rows())).text


@pytest.mark.usefixtures("undrawn")
def test_only_the_structures_most_like_the_truth_are_shown_and_how_many_there_were(save: Save) -> None:
    found = save(facts(rows(), recovered=[recovered("off", similarity=share / 10) for share in range(9)]))
    assert "the 4 most similar of 9" in found.text
    assert re.findall(r"Similarity (\d\.\d\d)", found.text) == ["0.80", "0.70", "0.60", "0.50"]


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("smiles", ["C1CC", HOSTILE, "C<b>bold</b>", "x" * 5000, "C" * 5000, f"CC |${HOSTILE}$|", "C C"])
def test_a_smiles_that_cannot_be_drawn_is_shown_as_text(save: Save, smiles: str) -> None:
    found = save(facts(rows(), recovered=[recovered("off", ASPIRIN, smiles, 0.1)]))
    assert " ".join(smiles[:150].split()) in found.text
    assert len([tag for tag, held in found.elements if tag == "svg" and held.get("role")]) == 1
    assert "<script" not in found.source
    assert "<b>" not in found.source


@pytest.mark.usefixtures("undrawn")
def test_an_attack_that_named_no_structure_has_none_beside_the_true_one(save: Save) -> None:
    assert "Named by the attack no structure named" in save(facts(rows(), recovered=[recovered("off", ASPIRIN, "", 0.1)])).text


@pytest.mark.parametrize("smiles", [ASPIRIN, CAFFEINE, "[Na+].[Cl-]", "C[C@H](N)C(=O)O", "[*:1]CC#N", "FC(Cl)(Br)I", "C"])
def test_a_structure_is_a_valid_drawing_in_the_colours_of_the_page(smiles: str) -> None:
    mol = structures.read(smiles)
    assert mol is not None
    drawn = structures.draw(mol, 'a" onload="b')
    shapes = list(ElementTree.fromstring(document(drawn)))
    assert shapes
    assert len({each.tag.split("}")[1] for each in shapes} - {"path", "ellipse"}) == 0
    assert 'aria-label="a&quot; onload=&quot;b"' in drawn
    assert not re.search(r"#[0-9A-Fa-f]{6}|\bid=|class=", drawn)


def test_structures_are_the_same_whatever_way_their_smiles_are_written() -> None:
    other = Chem.MolToSmiles(Chem.MolFromSmiles(ASPIRIN), doRandom=True)
    assert structures.pair(recovered("off", ASPIRIN, other)).exact
    assert not structures.pair(recovered("off", ASPIRIN, PARACETAMOL)).exact


# The page


def test_the_page_asks_nothing_of_the_outside_has_unique_ids_and_valid_drawings(save: Save) -> None:
    found = save(full())
    for tag, attributes in found.elements:
        assert tag not in {"script", "link", "iframe", "object", "embed", "base", "form", "img"}
        for name, value in attributes.items():
            assert name not in {"src", "srcset", "action", "data"}
            assert name not in {"href", "xlink:href"} or value.startswith("#")
    assert "http" not in found.source.replace("http-equiv", "")
    assert "@import" not in found.source
    policy = [attributes["content"] for _, attributes in found.elements if attributes.get("http-equiv") == "Content-Security-Policy"]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'; img-src data:"]
    ids = [attributes["id"] for _, attributes in found.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    drawn = re.findall(r'<svg viewBox[^>]* role="img".*?</svg>', found.source, flags=re.DOTALL)
    assert len(drawn) == 3 + 1 + 4  # gated figures, curves, structures
    for svg in drawn:
        ElementTree.fromstring(document(svg))


@pytest.mark.usefixtures("undrawn")
def test_headings_are_in_order_and_tables_have_captions_and_scopes(save: Save) -> None:
    found = save(full())
    levels = [int(tag[1]) for tag, _ in found.elements if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(below <= above + 1 for above, below in zip(levels, levels[1:], strict=False))
    tags = [tag for tag, _ in found.elements]
    assert tags.count("table") == tags.count("caption") == 4
    assert all(attributes.get("scope") in {"col", "row"} for tag, attributes in found.elements if tag == "th")
    named = {attributes["aria-labelledby"] for _, attributes in found.elements if "aria-labelledby" in attributes}
    assert named <= {attributes["id"] for _, attributes in found.elements if "id" in attributes}


def test_the_same_file_gives_the_same_page(save: Save) -> None:
    held = facts(rows(), curves=[curve("on", 1.0)], recovered=[recovered("off")])
    assert save(held).source == save(held).source


def test_hostile_strings_stay_text(save: Save) -> None:
    held = finding("on_any", HOSTILE, HOSTILE, "on", 0.1, 0.0, 0.2, 0.0, what=HOSTILE, note=HOSTILE, gate=0.3)
    other = {"name": HOSTILE, "run": HOSTILE, "note": HOSTILE, "advice": [HOSTILE], "configuration": {HOSTILE: HOSTILE}}
    text = {"started": HOSTILE, "versions": {HOSTILE: HOSTILE}, "curves": [curve("on", 1) | {"attack": HOSTILE}]}
    structure = vars(Recovered(HOSTILE, "on", HOSTILE, HOSTILE, 0.3, HOSTILE))
    found = save(facts([held], recovered=[structure], **other, **text))
    assert "<script" not in found.source
    assert not any(name.startswith("on") for _, attributes in found.elements for name in attributes)
    assert found.text.count("alert(1)") > 12


@pytest.mark.usefixtures("undrawn")
def test_parts_that_are_not_told_are_left_open(save: Save) -> None:
    held = facts(rows())
    for key in ("name", "note", "seconds", "trials", "configuration", "curves", "recovered", "advice"):
        assert "The only gate holds" in save({name: value for name, value in held.items() if name != key}).text
    text = save({name: held[name] for name in ("findings", "gates")}).text
    assert "The only gate holds" in text
    assert "Of a pool of – compounds" in text


@pytest.mark.parametrize(
    "change",
    [
        {"findings": [{}]},
        {"findings": ["x"]},
        {"findings": [rows()[0] | {"value": "much"}]},
        {"findings": [rows()[0] | {"defences": "perhaps"}]},
        {"findings": [rows()[0] | {"judged": "note"}]},
        {"gates": {"identified_by_rows": {}}},
        {"gates": {"identified_by_rows": 1}},
        {"curves": [{"attack": "membership"}]},
        {"curves": [curve("on", 1.0) | {"true_positives": [0.0]}]},
        {"recovered": [{"attack": "twin rows", "defences": "on"}]},
        {"recovered": [recovered("on") | {"similarity": "high"}]},
        {"partners": "many"},
        {"trials": 3},
        {"seconds": "long"},
        {"versions": [1]},
    ],
)
@pytest.mark.usefixtures("undrawn")
def test_a_damaged_file_is_an_error_with_a_hint_and_gets_no_page(save: Save, tmp_path: Path, change: dict[str, Any]) -> None:
    with pytest.raises(RunError, match=r"audit\.json is damaged") as caught:
        save(facts(rows()) | change)
    assert caught.value.hint
    assert not (tmp_path / "audit.html").exists()


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"findings": []}', '{"findings": {}, "gates": {}}', "\udcff"])
def test_a_file_that_is_no_audit_is_an_error_with_a_hint(tmp_path: Path, text: str) -> None:
    (tmp_path / "audit.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(RunError, match="cannot be read|does not describe an audit") as caught:
        write_audit_report(tmp_path)
    assert caught.value.hint


def test_a_folder_without_an_audit_is_an_error_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"it has no audit\.json") as caught:
        write_audit_report(tmp_path)
    assert caught.value.hint


def test_a_missing_template_is_an_error_with_a_hint(save: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "TEMPLATES", tmp_path / "empty")
    with pytest.raises(RunError, match=r"audit\.html\.j2 is not installed") as caught:
        save(facts([]))
    assert "wheel" in caught.value.hint
