"""Text lines -> rows of cells. A line is lost to nobody: it is in a row that is read, or it is told why not."""

import csv
import re
import sys
from collections.abc import Iterable, Iterator, Sequence

from fedapp.wording import shown

csv.field_size_limit(min(sys.maxsize, (1 << 31) - 1))  # a picture or a molblock in a column that is not read is no fault

UNDECODABLE = "row is not UTF-8 text"
MALFORMED = "row has misplaced quotes"
UNCLOSED = "row opens a quote that is not closed in its line"
RAGGED = "row has more or fewer cells than the header"
NUL = "row has a NUL character"
SEPARATORS = (",", ";", "\t")
TOLD = re.compile(r'"?sep=([^\w\s"]|\t)"?\s*')
_SHOWN = 80  # characters of an unreadable line that are shown

Unreadable = tuple[int, str, str]  # line, reason, the line itself, shortened
Record = tuple[int, list[str]]  # line, cells


class Lines:
    """The lines of a file one after the other; remembers those that the record being read spans, and the number of the last."""

    def __init__(self, text: Iterable[str]) -> None:
        self._text = iter(text)
        self._back: list[str] = []  # last first
        self.span: list[str] = []
        self.number = 0

    def __iter__(self) -> "Lines":
        return self

    def __next__(self) -> str:
        line = self._back.pop() if self._back else next(self._text)
        self.number += 1
        self.span.append(line)
        return line

    def give_back(self) -> None:
        """Read all lines of the record but its first once more."""
        self.number -= len(self.span) - 1
        self._back.extend(reversed(self.span[1:]))


def read_header(lines: Lines) -> tuple[list[str], str]:
    """Names of the columns, from the first line that is not blank, and the separator.

    The separator is the one that gives most columns, or what a line before the names says in the way of Excel: `sep=;`.
    """
    line = next((line for line in lines if line.strip()), "")
    if declaration := TOLD.fullmatch(line):
        return [shown(name.strip()) for name in _cells(next(lines, ""), declaration[1])], declaration[1]
    splits = {separator: _cells(line, separator) for separator in SEPARATORS}
    separator = max(splits, key=lambda each: len(splits[each]))
    return [shown(name.strip()) for name in splits[separator]], separator


def read_records(  # noqa: C901 - one automaton, whose states would otherwise lie in several places
    lines: Lines, names: Sequence[str], used: Sequence[int], separator: str, unreadable: list[Unreadable]
) -> Iterator[Record]:
    """Yield all rows after the header that can be taken apart; the others go to `unreadable`, and blank lines are skipped.

    A quoted cell may span lines where its column is not read, as pictures and molblocks do. Anywhere else, and where one of the
    lines is a row by itself, the quote is a stray one: it costs the line that it is in, and no other.

    Args:
        names: Of the columns; cells beyond the last that has a name must be empty.
        used: Positions of the columns that are read.
    """
    width, least = len(names), max((index + 1 for index, name in enumerate(names) if name), default=0)

    def fault(cells: list[str]) -> str | None:
        if len(cells) != width and (len(cells) < least or any(cell.strip() for cell in cells[least:])):
            return RAGGED
        for index in used:
            if not cells[index].isascii() and has_surrogate(cells[index]):
                return UNDECODABLE
            if "\0" in cells[index]:
                return NUL
            if '"' in cells[index] and sum(text.count('"') for text in lines.span) % 2:
                return MALFORMED  # the other end of a stray quote
        return None

    def stray(cells: list[str] | None, reason: str | None) -> bool:
        """Whether the quote that makes a record of several lines is a stray one."""
        if cells is None or reason in (RAGGED, MALFORMED) or any("\n" in cells[index] or "\r" in cells[index] for index in used):
            return True
        return any(len(_cells(line, separator)) == width > 1 for line in lines.span[1:])

    reader = csv.reader(lines, delimiter=separator, strict=True)
    cells: list[str] | None
    reason: str | None
    while True:
        lines.span.clear()
        line = lines.number + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            cells, reason = None, UNCLOSED if "unexpected end" in str(error) else MALFORMED
        else:
            reason = fault(cells)
        if len(lines.span) > 1 and stray(cells, reason):
            reason = UNCLOSED
            lines.give_back()
        if reason is None and cells is not None:
            yield line, cells
        elif lines.span[0].strip():
            unreadable.append((line, reason or MALFORMED, _shortened(lines.span[0])))


def _cells(line: str, separator: str) -> list[str]:
    """The cells of one line as far as they can be told."""
    return next(csv.reader([line], delimiter=separator), [])


def has_surrogate(cell: str) -> bool:
    """Whether a byte was kept by `surrogateescape` because it is not UTF-8."""
    return any("\udc80" <= character <= "\udcff" for character in cell)


def _shortened(line: str) -> str:
    text = shown(line.strip("\r\n"))
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}\u2026"
