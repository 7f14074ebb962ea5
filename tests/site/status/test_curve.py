"""Charts as numbers, and numbers as words."""

import re
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from fedapp.site.status import curve
from fedapp.site.status.curve import BOTTOM, HEIGHT, LEFT, RIGHT, TICKS, TOP, WIDTH, chart, steps, whole
from fedapp.site.status.sentences import ranges

FINITE = st.floats(-1e6, 1e6)
POINTS = st.dictionaries(st.integers(1, 500), st.none() | FINITE, max_size=30)


@given(FINITE, FINITE)
def test_an_axis_reaches_from_below_the_least_to_above_the_greatest_in_few_even_steps(low: float, high: float) -> None:
    low, high = min(low, high), max(low, high)
    ticks = steps(low, high, TICKS)
    slack = 1e-6 * max(1.0, abs(low), abs(high))
    assert ticks[0] <= low + slack and ticks[-1] >= high - slack
    assert 2 <= len(ticks) <= TICKS + 2
    assert max(b - a for a, b in zip(ticks, ticks[1:], strict=False)) - (ticks[1] - ticks[0]) < slack


@given(POINTS, POINTS, st.none() | st.integers(1, 600))
def test_every_point_lies_inside_the_drawing_and_none_is_lost(
    first: dict[int, float | None], second: dict[int, float | None], rounds: int | None
) -> None:
    drawn = chart("what", {"one": first, "two": second}, rounds)
    held = {name: [n for n, value in points.items() if value is not None] for name, points in (("one", first), ("two", second))}
    if drawn is None:
        assert not any(held.values())
        return
    for line in drawn.lines:
        on_paths = [tuple(map(float, pair.split(","))) for path in line.paths for pair in path.split()]
        for x, y in (*on_paths, *line.marks):
            assert LEFT - 0.11 <= x <= WIDTH - RIGHT + 0.11
            assert TOP - 0.11 <= y <= HEIGHT - BOTTOM + 0.11
        assert len(set(on_paths) | set(line.marks)) <= len(held[line.name])
        assert line.paths or line.marks
    assert [line.name for line in drawn.lines] == [name for name, numbers in held.items() if numbers]


def test_a_round_without_a_value_is_a_gap_and_not_a_line() -> None:
    drawn = chart("what", {"one": {1: 0.1, 2: 0.2, 3: None, 4: 0.4, 5: 0.5}}, None)
    assert drawn is not None
    assert [len(path.split()) for path in drawn.lines[0].paths] == [2, 2]
    assert drawn.alt == "what: one from 0.1 in round 1 to 0.5 in round 5."


@given(st.integers(1, 50), st.integers(1, 5000))
def test_rounds_on_the_axis_are_whole_ascending_and_few(first: int, more: int) -> None:
    ticks = whole(first, first + more)
    assert ticks[0] == first
    assert all(tick == int(tick) and first <= tick <= first + more for tick in ticks)
    assert ticks == sorted(set(ticks))
    assert len(ticks) <= 12


@given(st.lists(st.integers(0, 60), unique=True).map(sorted))
def test_ranges_name_every_number_once(numbers: list[int]) -> None:
    named: list[int] = []
    for part in filter(None, ranges(numbers).replace("set-up", "0").split(", ")):
        low, _, high = part.partition("–")
        named += range(int(low), int(high or low) + 1)
    assert named == numbers


def test_each_of_a_partners_three_curves_has_a_colour_and_a_dash_of_its_own_and_marks_of_its_colour() -> None:
    css = Path(curve.__file__).with_name("page.css").read_text()
    lines, marks = (dict(re.findall(rf"^\.{what} {{([^}}]*)}}", css, re.MULTILINE)) for what in (r"(line(?:-\d)?)", r"(mark-\d)"))
    colours = [re.search(r"stroke: (var\(--\w+\))", lines[name])[1] for name in ("line", "line-1", "line-2")]  # type: ignore[index]
    dashes = [re.search("stroke-dasharray: ([^;]*)", lines[name]) for name in ("line", "line-1", "line-2")]
    assert len(set(colours)) == len({dash and dash[1] for dash in dashes}) == 3
    assert [f"fill: {colour};" for colour in colours] == [marks[f"mark-{place}"].strip() for place in range(3)]
