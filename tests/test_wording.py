import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fedapp.wording import (
    DASH,
    count,
    duration,
    is_plain,
    moment,
    percent,
    plural,
    readings,
    score,
    short,
    shown,
    signed,
    size,
    was_or_were,
)


def test_numbers_read_as_in_print() -> None:
    assert signed(0.0104) == "+0.010"
    assert signed(-0.0104) == "\u22120.010"
    assert signed(-0.0001) == "0.000"
    assert percent(0.614) == "61\u00a0%"
    assert percent(0.004) == "0.4\u00a0%"
    assert percent(-0.25) == "\u221225\u00a0%"
    assert size(52_430_400) == "52.4\u00a0MB"
    assert size(17_196_800_000) == "17.2\u00a0GB"
    assert (count(1460), score(0.8751), short("ab" * 16)) == ("1,460", "0.875", "abababababababab…")


def test_what_is_not_known_is_a_dash() -> None:
    assert {form(None) for form in (count, score, signed, percent, size, duration, moment)} == {DASH}


def test_times_read_as_in_print() -> None:
    assert duration(4.25) == "4.2\u00a0s"
    assert duration(95) == "1\u00a0min 35\u00a0s"
    assert duration(7300) == "2\u00a0h 1\u00a0min"
    assert moment("2026-11-22T10:14:03+01:00") == "22 Nov 2026, 09:14:03\u00a0UTC"
    assert moment(0) == "1 Jan 1970, 00:00:00\u00a0UTC"
    assert moment("yesterday") == "yesterday"


@given(st.text(st.characters(exclude_categories=[])))
def test_foreign_text_is_shown_in_one_line_without_what_a_terminal_obeys(text: str) -> None:
    told = shown(text)
    assert is_plain(told) and len(told.splitlines()) <= 1 and told.isprintable() >= text.isprintable()
    assert (told == text) == is_plain(text)


@pytest.mark.parametrize("text", ["\x1b[2K", "\r", "\n", "\x9b", "\u202e", "\u2066", "\u200b", "\u2028", "\ud800", "\udcff", "\0"])
def test_escapes_line_ends_and_changes_of_direction_are_shown_by_their_numbers(text: str) -> None:
    assert not is_plain(text)
    assert shown(f"a{text}b").startswith("a\\")


@given(st.integers(0, 10**15))
def test_a_size_has_at_most_four_characters_before_its_unit(value: int) -> None:
    number, unit = size(value).split("\u00a0")
    assume(unit != "TB")
    assert len(number) <= 4
    factor = {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9}[unit]
    assert abs(float(number) * factor - value) <= 0.06 * value


def test_small_shares_and_long_times_stay_readable() -> None:
    assert [percent(share) for share in (None, 0, 0.5, 0.00012)] == [DASH, "0\u00a0%", "50\u00a0%", "0.012\u00a0%"]
    assert [duration(seconds) for seconds in (0.42, 95, 3700, 100_000)] == [
        "0.4\u00a0s",
        "1\u00a0min 35\u00a0s",
        "1\u00a0h 1\u00a0min",
        "1\u00a0d 3\u00a0h",
    ]


@pytest.mark.parametrize(
    ("number", "word", "text"),
    [
        (0, "round", "0 rounds"),
        (1, "round", "1 round"),
        (2, "round", "2 rounds"),
        (1, "entry", "1 entry"),
        (1200, "entry", "1,200 entries"),
        (3, "day", "3 days"),
        (1, "training compound", "1 training compound"),
        (None, "partner", "– partners"),
    ],
)
def test_one_is_not_several(number: int | None, word: str, text: str) -> None:
    assert plural(number, word) == text
    assert was_or_were(number) == ("was" if number == 1 else "were")


LOOK_ALIKES = [
    *[("hERG", "HErg"), ("hERG", "h\u0415RG"), ("A1", "\u0391\uff11"), ("h ERG", "h\u00a0 ERG")],
    *[("Nav1-5", "Nav1\u20135"), ("\u00eb", "\u0451")],
]
DIFFERENT = [("hERG", "hERG2"), ("ER\u03b1", "ERa"), ("\u03bc1", "m1"), ("h ERG", "hERG"), ("\u0444", "\u03c6"), ("TRPV1", "TRPVI")]


@pytest.mark.parametrize(("one", "other"), LOOK_ALIKES)
def test_names_that_are_drawn_alike_share_a_reading(one: str, other: str) -> None:
    assert readings(one) & readings(other)


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_names_that_people_tell_apart_share_none(one: str, other: str) -> None:
    assert not readings(one) & readings(other)
