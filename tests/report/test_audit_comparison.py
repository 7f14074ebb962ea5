"""What became worse since the last audit of the same consortium."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fedapp.report.audit_page import write_audit_report
from tests.report.audit_facts import HOSTILE, facts, finding, membership, rows
from tests.report.html_page import Page

LONG_BEFORE, BEFORE, JUST_BEFORE, AFTER = (f"2026-11-{day}T08:00:00+00:00" for day in ("02", "20", "23", "25"))
NO_OTHER = "No earlier audit of this consortium lies beside this one."
Beside = Callable[..., Page]

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture
def beside(tmp_path: Path) -> Beside:
    """Write the audit `now` and, by name of folder, others beside it, as facts or as text; make the page of the first and read it."""

    def make(now: dict[str, Any], **others: dict[str, Any] | str) -> Page:
        for folder, content in {"now": now, **others}.items():
            path = tmp_path / "runs" / folder / "audit.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return Page(write_audit_report(tmp_path / "runs" / "now"))

    return make


def earlier(findings: list[dict[str, Any]], started: str = BEFORE, **other: Any) -> dict[str, Any]:
    return facts(findings, started=started, **other)


def test_the_same_figures_are_no_worse_than_before(beside: Beside) -> None:
    text = beside(facts(rows()), last=earlier(rows())).text
    assert "Since the audit of 20 Nov 2026, 08:00:00 UTC: nothing became worse." in text
    assert (
        "Compared is last, the last audit of the same name and as many partners. 1 figure with the defences on was measured in both" in text
    )
    assert "No figure changed. All settings and versions are the same." in text


def test_a_figure_whose_interval_lies_above_the_earlier_one_became_worse_and_the_first_screen_names_it(beside: Beside) -> None:
    told_only = [finding("bits_present", "present rows", "partner", "on", *share, 0.1) for share in ((0.5, 0.4, 0.6), (0.2, 0.1, 0.3))]
    page = beside(facts(rows() + told_only[:1]), last=earlier(rows() + told_only[1:]))
    assert "1 figure became worse: “Which bits are in the sum”." in page.text
    assert "Which bits are in the sum Present rows a curious partner 20 % 10 to 30 % 50 % 40 to 60 %" in page.text
    assert page.text.index("became worse") < page.text.index("Who attacks")
    assert ("a", {"href": "#since"}) in page.elements
    page = beside(facts(rows() + told_only[1:]), last=earlier(rows() + told_only[:1]))
    assert "nothing became worse." in page.text
    assert "• not above chance better" in page.text


def test_intervals_that_overlap_are_no_change_and_neither_is_what_the_defences_do_not_stop(beside: Beside) -> None:
    overlapping = [finding("bits_present", "present rows", "partner", "on", *share, 0.1) for share in ((0.4, 0.3, 0.5), (0.2, 0.1, 0.3))]
    assert "No figure changed." in beside(facts(overlapping[:1]), last=earlier(overlapping[1:])).text
    assert "No figure changed." in beside(facts(membership(off=0.5)), last=earlier(membership())).text


def test_a_gate_that_fails_where_it_held_became_worse(beside: Beside) -> None:
    page = beside(facts(rows(on=0.004, upper=0.0061)), last=earlier(rows(on=0.0004, upper=0.0009)))
    assert "1 figure became worse: “Compounds named one by one, by the rows of the sum”." in page.text
    assert "✓ holds ✗ fails worse" in page.text


def test_a_gate_that_held_and_has_too_few_now_is_less_known_and_not_worse(beside: Beside) -> None:
    page = beside(facts(rows(upper=0.0061)), last=earlier(rows()))
    assert "nothing became worse. Of 1 figure less is known than then." in page.text
    assert "✓ holds ? too few to tell less is known" in page.text
    assert "? too few to tell ✓ holds better" in beside(facts(rows()), last=earlier(rows(upper=0.0061))).text


def test_a_gate_that_fails_by_an_attack_that_is_new_became_worse(beside: Beside) -> None:
    new = finding("identified_by_rows", "elimination", "partner", "on", 0.01, 0.008, 0.012, 0.0, gate=0.001)
    page = beside(facts([*rows(), new]), last=earlier(rows()))
    assert "1 figure became worse: “Compounds named one by one, by the rows of the sum”." in page.text
    assert "was measured in both, 1 in this one only." in page.text


def test_a_gate_that_is_new_and_fails_is_named_on_the_first_screen(beside: Beside) -> None:
    new = finding("attribution", "source inference", "partner", "on", 0.2, 0.1, 0.3, 0.0, gate=0.0, judged="lower")
    text = beside(facts([*rows(), new]), last=earlier(rows())).text
    assert "nothing became worse. Not asked then, and beyond its limit now: “Whose compound it is”." in text


def test_what_guessing_alone_finds_more_of_became_no_worse(beside: Beside) -> None:
    now, before = (
        finding("cooccurrence", "co-occurring rows", "partner", "on", share, share - 0.03, share + 0.03, chance)
        for share, chance in ((0.92, 0.91), (0.78, 0.75))
    )
    assert "nothing became worse." in beside(facts([now]), last=earlier([before])).text
    more = finding("cooccurrence", "co-occurring rows", "partner", "on", 0.92, 0.89, 0.95, 0.76)
    assert (
        "1 figure became worse: “Which substructures occur together in others' compounds”."
        in beside(facts([more]), last=earlier([before])).text
    )


def test_the_newest_of_the_earlier_audits_of_the_same_consortium_is_compared(beside: Beside) -> None:
    page = beside(
        facts(rows()),
        old=earlier(rows(), LONG_BEFORE),
        last=earlier(rows()),
        later=earlier(rows(), AFTER),
        other=earlier(rows(), JUST_BEFORE, name="panel"),
        larger=earlier(rows(), JUST_BEFORE, partners=9),
        undated=earlier(rows(), "yesterday"),
    )
    assert "Compared is last," in page.text
    assert not any(f"Compared is {other}," in page.text for other in ("old", "later", "other", "larger", "undated"))


def test_without_an_earlier_audit_the_page_says_so(beside: Beside) -> None:
    page = beside(facts(rows()), other=earlier(rows(), name="panel"))
    assert NO_OTHER in page.text
    assert "What changed since" not in page.text
    assert NO_OTHER in beside({key: value for key, value in facts(rows()).items() if key != "name"}, other=earlier(rows())).text
    assert NO_OTHER in beside(facts(rows(), started=None), other=earlier(rows())).text


@pytest.mark.parametrize("damaged", ["{", "\udcff", {"findings": [{}]}, {"findings": 3}, {"configuration": 3}, {"versions": [1]}])
def test_an_audit_that_cannot_be_read_is_named_and_the_one_before_it_compared(beside: Beside, damaged: Any, tmp_path: Path) -> None:
    (tmp_path / "runs" / "damaged").mkdir(parents=True)
    text = damaged if isinstance(damaged, str) else json.dumps(earlier(rows()) | damaged)
    (tmp_path / "runs" / "damaged" / "audit.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    page = beside(facts(rows()), last=earlier(rows(), LONG_BEFORE))
    assert "Since the audit of 2 Nov 2026" in page.text
    assert "Not read, for they are damaged: damaged." in page.text


def test_what_is_no_audit_is_passed_over_in_silence(beside: Beside) -> None:
    assert "Not read" not in beside(facts(rows()), list="[]", empty="{}", number="1").text


def test_audits_without_a_figure_in_common_cannot_be_compared(beside: Beside) -> None:
    assert "nothing can be compared, for no figure is in both." in beside(facts(rows()), last=earlier(membership())).text


def test_settings_and_versions_that_differ_are_told_and_of_paths_the_last_part_only(beside: Beside) -> None:
    then = {"privacy.row_guard": 20, "model.hidden": [400], "tasks.catalogue": "/home/then/catalogue.yaml", "data.tables": "/then/fsmol"}
    now = {"privacy.row_guard": 10, "model.hidden": [400], "tasks.catalogue": "/home/now/catalogue.yaml", "data.tables": "C:\\now\\panel"}
    page = beside(facts(rows(), configuration=now), last=earlier(rows(), configuration=then, versions={"torch": "2.12.0"}))
    table = page.text[page.text.index("Settings that differ Setting Then Now") :]
    table = table[: table.index("Compounds named or decoded")].strip()
    assert table == (
        "Settings that differ Setting Then Now data.tables fsmol panel privacy.row_guard 20 10 "
        "version of polyphony – 0.1.0 version of torch 2.12.0 2.13.0+cpu"
    )
    assert "/home" not in page.source and "now\\panel" not in page.source


def test_no_folder_but_by_its_name_is_on_the_page_and_hostile_names_stay_text(beside: Beside, tmp_path: Path) -> None:
    name = HOSTILE.replace("/", "")
    page = beside(facts(rows()), **{name: earlier(rows(), versions={HOSTILE: HOSTILE}, configuration={HOSTILE: HOSTILE})}, damaged="{")
    assert str(tmp_path) not in page.source
    assert f"Compared is {name}," in page.text
    assert "<script" not in page.source
    assert not any(each.startswith("on") for _, attributes in page.elements for each in attributes)


def test_the_same_audits_give_the_same_page(beside: Beside) -> None:
    first, again = (beside(facts(rows()), one=earlier(rows()), two=earlier(rows())).source for _ in range(2))
    assert first == again
