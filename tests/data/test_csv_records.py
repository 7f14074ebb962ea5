"""Damaged text: whatever was inserted or lost, every line is in a row that is read, or is told why not."""

import csv
import io
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedapp.data.csv_records import NUL, UNDECODABLE, Lines, Unreadable, read_header, read_records, shown


def read(text: str, used: tuple[int, ...] = (0, 1)) -> tuple[list[tuple[int, list[str]]], list[Unreadable]]:
    """(line, cells) of all rows, and what could not be read."""
    lines, unreadable = Lines(io.StringIO(text, newline="")), list[Unreadable]()
    names, separator = read_header(lines)
    return list(read_records(lines, names, used, separator, unreadable)), unreadable


def test_a_stray_quote_costs_the_lines_that_it_is_in_and_no_other() -> None:
    rows, unreadable = read('id,smiles\nA,"CCO\nB,CCN\nC,CCC"\nD,CC\n')
    assert rows == [(3, ["B", "CCN"]), (5, ["D", "CC"])]
    assert unreadable == [(2, "row opens a quote that is not closed in its line", 'A,"CCO'), (4, "row has misplaced quotes", 'C,CCC"')]


def test_a_quote_swallows_no_row_even_where_the_cells_would_come_out_right() -> None:
    rows, unreadable = read('id,smiles\nA,"CCO\nB,CCN"\nC,CC\n')
    assert rows == [(4, ["C", "CC"])]
    assert [line for line, *_ in unreadable] == [2, 3]


def test_a_quote_that_is_never_closed_costs_its_line_alone() -> None:
    rows, unreadable = read('id,smiles\nA,CC\nB,"CO\nC,CN\nD,CS\n')
    assert [line for line, _ in rows] == [2, 4, 5]
    assert unreadable == [(3, "row opens a quote that is not closed in its line", 'B,"CO')]


def test_a_stray_quote_in_a_column_that_is_not_read_swallows_no_row_either() -> None:
    rows, unreadable = read('id,smiles,note\nA,CC,"so\nB,CO,x\nC,CN,that"\nD,CS,\n')
    assert [cells[0] for _, cells in rows] == ["B", "C", "D"]
    assert [line for line, *_ in unreadable] == [2]


def test_a_cell_of_several_lines_is_fine_where_it_is_not_read() -> None:
    rows, unreadable = read('id,smiles,molblock\nA,CC,"\n  RDKit\n\nM  END\n"\nB,CO,\n')
    assert [(line, cells[0]) for line, cells in rows] == [(2, "A"), (7, "B")]
    assert unreadable == []


def test_rows_after_a_stray_quote_keep_their_cells_of_several_lines() -> None:
    rows, _ = read('id,smiles,molblock\nZ,"C,x\nA,CC,"\n  RDKit\nM  END\n"\nB,CO,\n')
    assert [cells[0] for _, cells in rows] == ["A", "B"]


def test_a_quote_within_a_name_that_is_not_read_does_no_harm() -> None:
    assert read('id,smiles,name\nA,CC,3"-deoxy\n') == ([(2, ["A", "CC", '3"-deoxy'])], [])


def test_cells_longer_than_any_limit_of_the_reader_are_read() -> None:
    rows, unreadable = read(f"id,smiles,picture\nA,CC,{'x' * 200_000}\n")
    assert (len(rows), unreadable) == (1, [])


def test_a_nul_character_costs_its_row() -> None:
    rows, unreadable = read("id,smiles\nA,CC\0O\nB,CO\n")
    assert [line for line, _ in rows] == [3]
    assert unreadable[0][:2] == (2, "row has a NUL character")


def test_columns_without_a_name_may_be_missing_or_empty_but_hold_nothing() -> None:
    rows, unreadable = read("id,smiles,,\nA,CC,,\nB,CO\nC,CN,,,,\nD,CS,,x,y\n")
    assert [line for line, _ in rows] == [2, 3, 4]
    assert unreadable[0][:2] == (5, "row has more or fewer cells than the header")


@pytest.mark.parametrize(("separator", "end"), list(itertools.product([",", ";", "\t"], ["\n", "\r\n", "\r"])))
def test_separators_and_line_ends_are_told_from_the_file(separator: str, end: str) -> None:
    text = end.join(separator.join(cells) for cells in (["id", "smiles"], ["A", "CC"], ["B", "C"]))
    assert read(text) == ([(2, ["A", "CC"]), (3, ["B", "C"])], [])


@pytest.mark.parametrize(("first", "separator"), [("sep=;", ";"), ('"sep=\t"', "\t"), ("sep=|", "|")])
def test_excels_line_before_the_names_tells_the_separator_and_counts_as_a_line(first: str, separator: str) -> None:
    text = f"{first}\nid{separator}smiles\nA{separator}CC\n"
    assert read(text) == ([(3, ["A", "CC"])], [])


def test_what_is_shown_of_a_file_moves_no_cursor() -> None:
    assert shown("a\x1b[2Jb\0\udcb5\u00b5") == r"a\x1b[2Jb\x00\xb5" + "\u00b5"


CELLS = st.sampled_from(["A", "CCO", "c1ccccc1", "", "1,5", 'a "b"', "x;y", "\u00b5M", "C(=O)\nO", " "])
DAMAGE = st.lists(st.tuples(st.floats(0, 1), st.sampled_from(['"', ",", "\n", "\r", ";", "\0", '""', "", "\udcb5"])), max_size=12)


@st.composite
def damaged(draw: st.DrawFn) -> tuple[str, int]:
    """A table of 2 to 4 columns with characters put in or taken out anywhere after its header, and how many columns it has."""
    width = draw(st.integers(2, 4))
    written = io.StringIO(newline="")
    csv.writer(written).writerows(draw(st.lists(st.lists(CELLS, min_size=width, max_size=width), max_size=12)))
    body = written.getvalue()
    for place, text in draw(DAMAGE):
        at = int(place * len(body))
        body = body[:at] + text + body[at + (not text) :]
    return ",".join(["id", "smiles", "molblock", "note"][:width]) + "\n" + body, width


@given(damaged(), st.sampled_from([(0, 1), (0,), (1,)]))
def test_of_damaged_tables_every_line_is_in_one_row_or_is_told_why_not(table: tuple[str, int], used: tuple[int, ...]) -> None:
    text, width = table
    rows, unreadable = read(text, used)
    lines = list(io.StringIO(text, newline=""))
    starts = sorted([line for line, _ in rows] + [line for line, *_ in unreadable])
    assert len(set(starts)) == len(starts)
    after = dict(itertools.pairwise([*starts, len(lines) + 1]))
    whole = {line for line, _ in rows} | {line for line, reason, _ in unreadable if reason in (UNDECODABLE, NUL)}
    for line in starts:
        inside = [text for text in lines[line : after[line] - 1] if text.strip()]
        assert not inside or line in whole  # what is not a row's own line lies in a cell that is not read
        assert all(len(next(csv.reader([text]), [])) != width for text in inside)  # and is no row itself
    assert not [line for line in lines[1 : min([*starts, len(lines) + 1]) - 1] if line.strip()]


@given(damaged())
def test_a_line_without_quotes_and_with_all_its_cells_is_always_read_where_all_columns_are(table: tuple[str, int]) -> None:
    text, width = table
    rows, _ = read(text, tuple(range(width)))
    read_lines = {line for line, _ in rows}
    for number, line in enumerate(io.StringIO(text, newline=""), start=1):
        clean = not any(character in line for character in '"\0\udcb5') and line.strip("\r\n").count(",") == width - 1
        assert number == 1 or not clean or number in read_lines, line
