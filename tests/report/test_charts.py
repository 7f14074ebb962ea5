import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fedapp.evaluation.intervals import Interval
from fedapp.report.charts import Row, gain_histogram, interval_rows, score_scatter
from fedapp.report.drawing import VARIABLES, short
from fedapp.report.run_page import write_report
from tests.report.html_page import written

Make = Callable[..., Path]
pytestmark = pytest.mark.usefixtures("few_resamples")
HOSTILE = "<script>alert(1)<script>"


def test_the_page_makes_no_outside_request_and_forbids_them(synthetic: Make) -> None:
    page = written(synthetic())
    for tag, attributes in page.elements:
        assert tag not in {"script", "link", "iframe", "object", "embed", "base", "form"}
        for name, value in attributes.items():
            if name in {"src", "href", "xlink:href", "srcset", "action", "data"}:
                assert value.startswith(("#", "data:image/png"))
            assert not name.startswith("on")
            assert "url(http" not in value
    assert "http" not in "".join(page.styles)
    assert "@import" not in "".join(page.styles)
    policy = [attributes["content"] for _, attributes in page.elements if attributes.get("http-equiv") == "Content-Security-Policy"]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'; img-src data:"]


def test_names_of_partners_and_tasks_stay_text(synthetic: Make) -> None:
    run = synthetic(partners=(HOSTILE.replace("/", ""), 'B" onload="x', "a$b$^{2}"), groups=lambda number: f'{HOSTILE}"{number}')
    page = written(run)
    assert "<script" not in page.source
    assert HOSTILE in page.text
    assert all(not name.startswith("on") for _, attributes in page.elements for name in attributes)
    assert "a$b$^{2}" in page.text


def test_a_run_of_one_round_has_a_page(synthetic: Make) -> None:
    assert "1 round ·" in written(synthetic(rounds=1, tasks=20, partners=("A", "B"))).text


def test_the_same_files_give_the_same_page(synthetic: Make) -> None:
    run = synthetic()
    assert write_report(run).read_bytes() == write_report(run).read_bytes()


def test_the_page_of_a_large_run_stays_small_and_every_chart_has_a_description(synthetic: Make) -> None:
    run = synthetic(partners=[f"partner-{number}" for number in range(1, 9)], tasks=1460, rounds=3)
    page = written(run)
    assert len(page.source) < 1_500_000
    charts = [attributes for tag, attributes in page.elements if tag == "svg" and "role" in attributes]
    assert len(charts) == 11
    assert all(chart["role"] == "img" and len(chart["aria-label"]) > 30 for chart in charts)
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_more_partners_than_colours_are_drawn(synthetic: Make) -> None:
    text = written(synthetic(kind="simulate", partners=[f"partner-{number}" for number in range(1, 13)], rounds=2)).text
    assert "12 partners" in text


@pytest.mark.parametrize("dots", [3, 2000])
def test_many_dots_become_one_picture_and_few_stay_shapes(dots: int) -> None:
    values = np.random.default_rng(0).uniform(size=dots)
    drawn = score_scatter("dots", values, values, ("x", "y"), "dots")
    assert ("data:image/png" in drawn) == (dots == 2000)
    assert len(drawn) < 150_000


def test_charts_take_their_colours_from_the_page() -> None:
    drawn = gain_histogram("gains", np.array([-0.02, 0.01, 0.03]), Interval(0.007), "gain", "gains")
    assert "var(--federated)" in drawn
    assert not any(colour in drawn for colour in VARIABLES)


def test_a_gain_of_exactly_zero_everywhere_can_be_drawn() -> None:
    assert "<svg" in gain_histogram("gains", np.zeros(9), Interval(0.0, 0.0, 0.0), "gain", "nothing gained")


def test_the_description_of_a_chart_cannot_break_out_of_its_attribute() -> None:
    drawn = interval_rows("rows", [Row('a" onload="b', (("federated", Interval(0.1)),))], "gain", 'partner a" onload="b')
    assert 'aria-label="partner a&quot; onload=&quot;b"' in drawn


def test_long_names_are_cut_beside_an_axis() -> None:
    assert short("partner-1") == "partner-1"
    assert len(short("x" * 90)) == 18


@pytest.mark.parametrize("kind", ["compare", "simulate"])
def test_of_one_of_anything_the_page_speaks_in_the_singular(kind: str, synthetic: Make) -> None:
    run = synthetic(kind=kind, partners=["Alder"], tasks=1, rounds=1, secure=True, row_guard=3)
    source = re.sub(r"<(style|script)\b.*?</\1>", " ", written(run).source, flags=re.DOTALL)
    several = re.findall(r"(?<![\d.,])1[\s\u00a0](?:tasks|partners|rounds|labels|compounds|rows|exchanges|coordinates)\b", source)
    assert several == []
    assert re.search(r"(?<![\d.,])1[\s\u00a0]task\b", source)
