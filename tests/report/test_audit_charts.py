"""How the audit's figures are printed and drawn."""

import math
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedapp.report import audit_page, drawing
from fedapp.report.audit_charts import DRAWN_POINTS, interval_picture, roc_pictures, thinned
from fedapp.report.audit_figures import as_printed, percentage, printed, read_figure, span
from tests.report.audit_facts import Save, curve, decoding, document, finding, full


def test_charts_describe_the_figures_of_the_file_in_words(save: Save) -> None:
    described = [
        attributes["aria-label"].replace("\u00a0", " ")
        for tag, attributes in save(full()).elements
        if tag == "svg" and "role" in attributes
    ]
    assert any("defences on 0 %, interval 0 to 0.077 %; defences off 83 %, interval 82 to 84 %" in alt for alt in described)
    assert any("others are mistaken: defences on 0.14 %; defences off 6.2 %. Guessing: 0.1 %." in alt for alt in described)


@given(st.floats(0, 1), st.floats(0, 1))
def test_a_printed_figure_lies_on_the_same_side_of_its_limit_as_the_true_one(value: float, limit: float) -> None:
    limit = float(f"{limit:.3g}") if limit > 1e-6 else 1e-3  # limits are round numbers
    if abs(value - limit) > 1e-9:
        assert (printed(as_printed(value, limit)) <= float(f"{limit * 100:.6g}")) == (value <= limit)


@given(st.floats(1e-9, 1))
def test_a_printed_figure_is_within_a_twentieth_of_the_true_one(share: float) -> None:
    assert printed(percentage(share)) / 100 == pytest.approx(share, rel=0.051)


def test_figures_read_as_in_print() -> None:
    shown = [as_printed(value).replace("\u00a0", " ") for value in (0.0, 0.00077, 0.003, 0.4213, 0.9996, 1.0, 1.75, -0.2, math.nan)]
    assert shown == ["0 %", "0.077 %", "0.3 %", "42 %", "99.96 %", "100 %", "1.75", "\u221220 %", "–"]
    assert [as_printed(value, plain=True) for value in (0.0, 0.314, 8.0, 123.4, -0.5)] == ["0", "0.314", "8", "123", "\u22120.5"]
    assert as_printed(8.0004, 8.0, plain=True) == "8.0004"
    assert as_printed(0.0010004).replace("\u00a0", " ") == "0.1 %"
    assert as_printed(0.0010004, 0.001).replace("\u00a0", " ") == "0.10004 %"
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
    assert not any(colour in drawn for colour in drawing.VARIABLES)


@pytest.mark.parametrize("value", [0.0, 1.0, 1e-9, 4.2, -0.3, math.nan, math.inf])
def test_any_number_can_be_drawn(value: float) -> None:
    figure = read_figure(finding("any", "any", "partner", "on", value, value, value, value, gate=value))
    ElementTree.fromstring(document(interval_picture("any", [figure]).svg))


def test_curves_of_an_attack_share_a_chart_and_those_of_an_adversary_have_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "drawn", lambda name, alt, draw, height=0: "<svg></svg>")
    rows = [curve("on", 1.0), curve("off", 0.5), curve("off", 0.5) | {"adversary": "outsider"}]
    pictures = roc_pictures([audit_page.read_curve(row) for row in rows])
    assert [picture.title for picture in pictures] == ["Membership, partner", "Membership, outsider"]
    assert [mark.label for mark in pictures[0].legend][:2] == ["defences on", "defences off"]


def test_a_curve_tells_what_is_recognised_at_one_mistake_in_a_thousand() -> None:
    assert audit_page.read_curve(curve("on", 1.0, points=4001)).at_low_rate == pytest.approx(0.001, rel=0.01)
    assert audit_page.read_curve(curve("on", 0.5, points=4001)).at_low_rate == pytest.approx(0.001**0.5, rel=0.01)


def test_a_long_curve_is_thinned_without_leaving_its_path_or_its_ends() -> None:
    x = np.maximum(np.linspace(0, 1, 200_001), 1e-5)
    kept, y = thinned(x, np.sqrt(x))
    assert 100 < len(kept) <= DRAWN_POINTS + 2
    assert (kept[0], kept[-1]) == (x[0], x[-1])
    assert np.array_equal(y, np.sqrt(kept))
    assert np.max(np.diff(np.log(kept))) < 1
