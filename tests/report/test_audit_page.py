"""The audit's page: its verdict, its figures, and what of it holds for every page."""

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from fedapp.errors import PolyphonyError, RunError
from fedapp.report import audit_page
from fedapp.report.audit_figures import read_figure
from fedapp.report.audit_page import attack_of, grouped, notes, write_audit_report
from simulation.audit.findings import Recovered
from tests.report.audit_facts import (
    HOSTILE,
    Save,
    curve,
    decoding,
    document,
    facts,
    finding,
    full,
    membership,
    recovered,
    rows,
)
from tests.report.html_page import Page

# The verdict


@pytest.mark.usefixtures("undrawn")
def test_an_audit_that_passes_says_so_first_and_what_was_attacked(save: Save) -> None:
    text = save(full()).text
    assert "All 3 gates hold: with the defences on, no attack learned more than its limit allows." in text
    assert "a federation of 8 partners in the configuration below, 10 rounds long. Of a pool of 9,600 compounds, 4,800" in text
    assert text.index("✓ Holds. All 3 gates hold") < text.index("One row per gate")
    assert "✗" not in text
    assert "proves nothing" not in text


@pytest.mark.usefixtures("undrawn")
def test_an_audit_that_fails_names_every_gate_that_fails(save: Save) -> None:
    text = save(facts(rows(on=0.004, upper=0.0061) + membership(on=0.031) + decoding())).text
    assert "2 of 3 gates fail: “Compounds named one by one, by the rows of the sum” and “membership of trunk”." in text
    assert text.count("✗ fails") == 8  # each on the first screen, in the gates' table, over its attack and in its attack's table
    assert "hold:" not in text


@pytest.mark.usefixtures("undrawn")
def test_a_gate_whose_attack_finds_nothing_without_defences_proves_nothing_and_the_verdict_says_so(save: Save) -> None:
    page = save(facts(rows() + membership(off=0.001)))
    assert "All 2 gates hold, but 1 of them proves nothing: no leak was shown there without the defences either." in page.text
    told_twice = "“membership of trunk” shows no leak with defences off either (0.1 %, 95 % interval 0.09 to 0.11 %, guessing 0.1 %)."
    assert page.text.count(told_twice) == 2
    assert page.text.count("This audit proves nothing here.") == 1
    assert "no: 0.1 % with defences off" in page.text


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
        lambda content: content["gates"].pop("identified_by_rows"),
        lambda content: content["gates"]["identified_by_rows"].update(verdict="fail"),
        lambda content: content["gates"]["identified_by_rows"].update(verdict="too few to tell"),
        lambda content: content["gates"]["identified_by_rows"].update(value=0.5),
        lambda content: content["gates"]["identified_by_rows"].update(gate=0.5),
        lambda content: content["findings"][0].update(upper=0.5),
        lambda content: content["findings"][0].update(verdict="fail"),
        lambda content: content["findings"][0].update(finest=0.5),
    ],
)
def test_a_file_that_contradicts_itself_gets_no_verdict(save: Save, change: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads(json.dumps(full()))
    change(content)
    text = save(content).text
    assert "No verdict: the audit’s file contradicts itself.".replace("’", "'") in text
    assert "Do not rely on this page." in text
    assert "tell different things of: Compounds named one by one, by the rows of the sum." in text


@pytest.mark.usefixtures("undrawn")
def test_of_a_figure_that_is_not_a_number_nothing_can_be_told(save: Save) -> None:
    for nothing in (None, math.nan):
        content = facts(rows(on=math.nan, upper=math.nan))
        for row in (content["findings"][0], content["gates"]["identified_by_rows"]):
            row.update(value=nothing, upper=nothing)
        said = "Too few compounds or trainings to tell of “Compounds named one by one, by the rows of the sum”."
        assert said in save(content).text


@pytest.mark.usefixtures("undrawn")
def test_nobody_named_of_too_few_is_neither_a_gate_that_holds_nor_one_that_fails_and_the_page_says_why(save: Save) -> None:
    few = [finding("identified_by_rows", "twin rows", "partner", "on", 0.0, 0.0, 0.0133, 0.0, gate=0.001, trials=223, finest=0.0133)]
    page = save(facts(few + rows()[1:] + membership()))
    assert (
        "Too few compounds or trainings to tell of “Compounds named one by one, by the rows of the sum”; the other gates hold." in page.text
    )
    assert "? too few to tell" in page.text and "✗" not in page.text
    assert (
        "was tried on 223: had nothing been found among them, the upper end would still be 1.3 %, beyond the limit of 0.1 %." in page.text
    )
    (banner,) = [attributes["class"] for _, attributes in page.elements if attributes.get("class", "").startswith("banner")]
    assert banner == "banner unsure"


@pytest.mark.usefixtures("undrawn")
def test_a_gate_that_fails_is_named_before_those_of_which_nothing_can_be_told(save: Save) -> None:
    text = save(facts(rows(upper=0.0061) + membership(on=0.031))).text
    assert "1 of 2 gates fails: “membership of trunk”. Too few compounds or trainings to tell of “Compounds named one by one" in text
    assert "lies at 0 %, within the limit of 0.1 %, and its interval of 0 to 0.61 % reaches beyond." in text


@pytest.mark.usefixtures("undrawn")
def test_of_several_attacks_under_one_limit_the_worst_counts_and_the_file_does_not_contradict_itself(save: Save) -> None:
    def view(attack: str, defences: str, lower: float) -> dict[str, Any]:
        return finding(
            "coordinator_view", attack, "coordinator", defences, lower + 0.01, lower, lower + 0.02, 0.0, gate=0.0, judged="lower"
        )

    calm = [view("zero rows", "on", -0.01), view("sizes", "on", -0.02), view("zero rows", "off", 0.4), view("sizes", "off", -0.02)]
    text = save(facts(calm)).text
    assert "The only gate holds: with" in text
    assert (
        "Share of coordinator view. By zero rows. the coordinator 0 % \u22121 to 1 % 0 % lower end at most 0 % yes: 41 % with defences off"
        in text
    )
    assert (
        text[text.index("Sizes, by the coordinator") :].count("This audit proves nothing here.")
        == text.count("This audit proves nothing here.")
        == 1
    )
    loud = [*calm[:1], view("sizes", "on", 0.3), *calm[2:]]
    text = save(facts(loud)).text
    assert "The only gate fails: “What the coordinator reads in masked messages”." in text
    assert "✗ fails What the coordinator reads in masked messages Share of coordinator view. By sizes." in text


@pytest.mark.usefixtures("undrawn")
def test_a_figure_that_is_no_share_is_not_told_in_percent(save: Save) -> None:
    row = finding("canary_epsilon", "canaries", "partner", "on", 0.31, 0.31, 0.92, 0.0, gate=8.0, judged="value")
    assert "0.31 0.31 to 0.92 0 figure at most 8" in save(facts([row])).text


@pytest.mark.usefixtures("undrawn")
def test_charts_are_of_gated_figures_and_of_the_first_two_where_there_are_none(save: Save) -> None:
    assert [picture.title for picture in attack_of(0, "membership", [read_figure(row) for row in membership()]).pictures] == [
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
    noted = [row | {"note": "For all."} for row in decoding()]
    assert notes([read_figure(row) for row in noted]) == ("For all.",)
    assert notes([read_figure(row) for row in rows()]) == ("With defences off: Of compounds that hold a bit of their own.",)


# The first screen


def first_screen(page: Page) -> str:
    """The words before the adversaries are explained."""
    return re.sub(" (?=[:;])", "", page.text[: page.text.index("Who attacks")])


@pytest.mark.usefixtures("undrawn")
def test_each_gate_is_one_line_in_plain_words_with_what_was_found_and_the_limit(save: Save) -> None:
    above = [finding("coordinator_view", "sizes", "coordinator", "on", 0.3, 0.2, 0.4, 0.0, gate=0.0, judged="lower")]
    said = first_screen(save(facts([*rows(), *membership(), *above])))
    for line in (
        "✗ fails What the coordinator reads in masked messages: 30 % beyond guessing; no excess allowed",
        "✓ holds Compounds named one by one, by the rows of the sum: none of 4,800; limit 0.1 %",
        "✓ holds Membership of trunk: 0.16 % found, 0.1 % by guessing; limit 0.3 %",
    ):
        assert line in said
    assert said.index("✗ fails") < said.index("✓ holds"), "what fails comes first"
    calm = finding("attribution", "source inference", "partner", "on", 0.01, -0.01, 0.03, 0.0, gate=0.0, judged="lower")
    assert "Whose compound it is: nothing beyond guessing; no excess allowed" in first_screen(save(facts([calm])))
    assert "0.4 % of 4,800; limit 0.1 %" in first_screen(save(facts(rows(on=0.004, upper=0.0061))))
    assert "No figure was held against a limit." in first_screen(save(facts([])))


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(
    ("findings", "banner", "words"),
    [
        (rows(), "holds", "✓ Holds."),
        (rows(on=0.004, upper=0.0061), "fails", "✗ Fails."),
        (rows(upper=0.0061), "unsure", "? Too few to tell."),
        ([], "none", "• No verdict."),
    ],
)
def test_each_verdict_has_a_word_and_a_colour_of_its_own(save: Save, findings: list[dict[str, Any]], banner: str, words: str) -> None:
    page = save(facts(findings))
    (shown,) = [attributes["class"] for _, attributes in page.elements if attributes.get("class", "").startswith("banner")]
    assert shown == f"banner {banner}"
    assert words in first_screen(page)
    edges = re.findall(r"\.banner\.(\w+) \{ border-color: var\((--\w+)\)", "".join(page.styles))
    assert len(edges) == len(set(dict(edges).values())) == 3


@pytest.mark.usefixtures("undrawn")
def test_a_gate_with_too_few_to_tell_says_what_would_tell(save: Save) -> None:
    few = [finding("identified_by_rows", "twin rows", "partner", "on", 0.0, 0.0, 0.0133, 0.0, gate=0.001, trials=223, finest=0.0133)]
    assert "none of 223; limit 0.1 % – more compounds would tell" in first_screen(save(facts(few)))
    assert "none of 4,800; limit 0.1 % – more compounds or trainings would tell" in first_screen(save(facts(rows(upper=0.0061))))


@pytest.mark.usefixtures("undrawn")
def test_a_line_of_a_gate_that_proves_nothing_says_so(save: Save) -> None:
    assert "none of 4,800; limit 0.1 % – proves nothing" in first_screen(save(facts(rows()[:1])))


@pytest.mark.usefixtures("undrawn")
def test_what_to_do_is_on_the_first_screen(save: Save) -> None:
    assert "What to do Keep the row guard at 10." in first_screen(save(full()))


@pytest.mark.usefixtures("undrawn")
def test_each_adversary_is_explained_once(save: Save) -> None:
    text = save(full()).text
    for phrase in ("It runs the rounds.", "It follows the protocol", "They put together what", "It took no part in training."):
        assert text.count(phrase) == 1


def within(page: Page, anchor: str) -> list[str]:
    """The elements that are open where an element with this id begins."""
    before = page.source[: page.source.index(f'id="{anchor}"')]
    return [tag for tag in ("details", "summary") if before.count(f"<{tag}") > before.count(f"</{tag}>")]


@pytest.mark.usefixtures("undrawn")
def test_a_line_of_the_first_screen_leads_into_the_folded_details_of_its_attack(save: Save) -> None:
    page = save(full())
    links = [attributes["href"].removeprefix("#") for tag, attributes in page.elements if tag == "a"]
    assert len(links) == 3
    for link in links:
        assert within(page, link) == ["details"], "a browser opens details for what they hold, not for themselves or their summary"
    held = page.source[page.source.index(f'id="{links[0]}"') :]
    assert "<caption>All figures of this attack</caption>" in held[: held.index("</details>")]


def test_each_attack_is_folded_under_the_heading_of_its_subject(save: Save) -> None:
    page = save(full())
    headings = [
        page.text.index(f" {each} ") for each in ("Compounds named or decoded", "Who was trained on", "Structures that were recovered")
    ]
    twin, members = page.text.index("Twin rows, by a curious partner"), page.text.index("Membership, by a curious partner")
    assert headings[0] < twin < headings[1] < members < headings[2]
    assert not any("open" in attributes for tag, attributes in page.elements if tag == "details")


@pytest.mark.usefixtures("undrawn")
def test_what_is_folded_is_printed_without_any_script(save: Save) -> None:
    page = save(full())
    printed = "".join(page.styles)
    printed = printed[printed.rindex("@media print") :]
    assert "details:not([open]) { display: block; }" in printed
    assert "details::details-content { content-visibility: visible; block-size: auto; }" in printed


# Figures on the page are those of the file


@pytest.mark.usefixtures("undrawn")
def test_each_gate_has_its_row_with_measure_adversary_figure_interval_guessing_limit_and_evidence(save: Save) -> None:
    text = save(full()).text
    assert (
        "✓ holds Compounds named one by one, by the rows of the sum Share of compounds that were trained on and whose structure the attack "
        "named rightly. By twin rows. a curious partner 0 % 0 to 0.077 % 0 % upper end at most 0.1 % yes: 83 % with defences off" in text
    )
    assert "0.16 % 0.12 to 0.22 % 0.1 % figure at most 0.3 % yes: 9.4 % with defences off" in text


@pytest.mark.usefixtures("undrawn")
def test_each_attack_has_its_section_with_all_its_figures_and_their_notes(save: Save) -> None:
    text = save(full()).text
    section = text[text.index("Membership, by a curious partner and an outsider") :]
    assert "Membership of heads an outsider defences on 2.1 % 1.8 to 2.4 % 0.1 % 4,800 • above chance" in section
    assert "Membership of trunk a curious partner defences off 9.4 % 8.5 to 10 % 0.1 % 38,400 • above chance" in section
    assert text.index("With defences off: Of compounds that hold a bit of their own.") < text.index("Membership, by a curious partner")


@pytest.mark.usefixtures("undrawn")
def test_scale_settings_versions_and_the_caveat_on_the_data_are_told(save: Save) -> None:
    text = save(full()).text
    for phrase in ("16 / 8", "2,448 / 32,768", "privacy.row_guard 10", "model.hidden 400", "torch 2.13.0+cpu", "21 min 25 s", "seed 1"):
        assert phrase in text
    assert "Mind the data. Labels are computed." in text
    assert "Keep the row guard at 10." in text
    assert "What to do Nothing. " in save(facts(rows())).text


# The page


def test_the_page_asks_nothing_of_the_outside_has_unique_ids_and_valid_drawings(save: Save) -> None:
    page = save(full())
    for tag, attributes in page.elements:
        assert tag not in {"script", "link", "iframe", "object", "embed", "base", "form", "img"}
        for name, value in attributes.items():
            assert name not in {"src", "srcset", "action", "data"}
            assert name not in {"href", "xlink:href"} or value.startswith("#")
    assert "http" not in page.source.replace("http-equiv", "")
    assert "@import" not in page.source
    policy = [attributes["content"] for _, attributes in page.elements if attributes.get("http-equiv") == "Content-Security-Policy"]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'; img-src data:"]
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    drawn = re.findall(r'<svg viewBox[^>]* role="img".*?</svg>', page.source, flags=re.DOTALL)
    assert len(drawn) == 3 + 1 + 4  # gated figures, curves, structures
    for svg in drawn:
        ElementTree.fromstring(document(svg))


@pytest.mark.usefixtures("undrawn")
def test_headings_are_in_order_and_tables_have_captions_and_scopes(save: Save) -> None:
    page = save(full())
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(below <= above + 1 for above, below in zip(levels, levels[1:], strict=False))
    tags = [tag for tag, _ in page.elements]
    assert tags.count("table") == tags.count("caption") == 4
    assert all(attributes.get("scope") in {"col", "row"} for tag, attributes in page.elements if tag == "th")
    named = {attributes["aria-labelledby"] for _, attributes in page.elements if "aria-labelledby" in attributes}
    assert named <= {attributes["id"] for _, attributes in page.elements if "id" in attributes}


def test_the_same_file_gives_the_same_page(save: Save) -> None:
    content = facts(rows(), curves=[curve("on", 1.0)], recovered=[recovered("off")])
    assert save(content).source == save(content).source


def test_hostile_strings_stay_text(save: Save) -> None:
    row = finding("on_any", HOSTILE, HOSTILE, "on", 0.1, 0.0, 0.2, 0.0, what=HOSTILE, note=HOSTILE, gate=0.3)
    other = {"name": HOSTILE, "run": HOSTILE, "note": HOSTILE, "advice": [HOSTILE], "configuration": {HOSTILE: HOSTILE}}
    text = {"started": HOSTILE, "versions": {HOSTILE: HOSTILE}, "curves": [curve("on", 1) | {"attack": HOSTILE}]}
    structure = vars(Recovered(HOSTILE, "on", HOSTILE, HOSTILE, 0.3, HOSTILE))
    page = save(facts([row], recovered=[structure], **other, **text))
    assert "<script" not in page.source
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    assert page.text.count("alert(1)") > 12


@pytest.mark.usefixtures("undrawn")
def test_parts_that_are_not_told_are_left_open(save: Save) -> None:
    content = facts(rows())
    for key in ("name", "note", "seconds", "trials", "configuration", "curves", "recovered", "advice"):
        assert "The only gate holds" in save({name: value for name, value in content.items() if name != key}).text
    text = save({name: content[name] for name in ("findings", "gates")}).text
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
    with pytest.raises(PolyphonyError, match=r"audit\.json (is damaged|does not describe an audit)") as caught:
        write_audit_report(tmp_path)
    assert caught.value.hint


def test_a_folder_without_an_audit_is_an_error_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"it has no audit\.json") as caught:
        write_audit_report(tmp_path)
    assert caught.value.hint


def test_a_missing_template_is_an_error_with_a_hint(save: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_page, "TEMPLATES", tmp_path / "empty")
    with pytest.raises(RunError, match=r"audit\.html\.j2 is not installed") as caught:
        save(facts([]))
    assert "wheel" in caught.value.hint
