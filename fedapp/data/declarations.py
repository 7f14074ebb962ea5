"""Which of a partner's tasks are endpoints of the consortium's catalogue: a table of two columns, group and endpoint.

A third one, thresholds, is for groups of which not every task is meant: it names those that are, as an assays table does.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import polars as pl

from fedapp.data.assay_settings import THRESHOLDS
from fedapp.data.catalogue import LARGEST, Declaration, is_name
from fedapp.data.tables import LINE, Table, read_file
from fedapp.errors import DataError
from fedapp.storage.files import write_text

COLUMNS = ("group", "endpoint")
VALUE = "value"  # among thresholds: the task of a group's values
TOLD = 5  # unusable rows that a message names
SHOWN = 200  # characters of columns


def read_declarations(path: Path) -> dict[str, Declaration]:
    """What is declared of each group.

    A declaration is a consent, so nothing of the table is passed over: a misspelt thresholds would declare all of a group's tasks. One
    row that cannot be used refuses the table: which rows count is for its writer to say.

    Raises:
        DataError: Missing or unreadable file or column, a column of another name, or rows that cannot be used; the first of them are
            named with their reasons.
    """
    if not path.is_file():
        raise DataError(f"no file {path}", f"give a table with the columns {' and '.join(COLUMNS)}, such as a CSV file")
    table = read_file(path, COLUMNS, (THRESHOLDS,))
    _refuse_further(table)
    faults = {line: f"{reason} ({text})" for line, reason, text in table.unreadable}
    thresholds = THRESHOLDS if THRESHOLDS in table.rows.columns else pl.lit("").alias(THRESHOLDS)
    declared: dict[str, Declaration] = {}
    for line, group, endpoint, only in table.rows.select(LINE, *COLUMNS, thresholds).iter_rows():
        if not (group or endpoint or only):
            continue
        try:
            if not (group and endpoint):
                raise ValueError(f"no {'endpoint' if group else 'group'} beside {group or endpoint or only!r:.60}")
            if odd := [name for name in (group, endpoint) if not is_name(name)]:
                raise ValueError(f"{odd[0]!r:.60} cannot be shown as it is")
            declared[group] = both(group, declared.get(group), Declaration(endpoint, thresholds_in(only) if only else None))
        except ValueError as fault:
            faults[line] = str(fault)
    if faults:
        lines = [f"line {line}: {reason}" for line, reason in sorted(faults.items())]
        more = f"; and {len(lines) - TOLD:,} more" if len(lines) > TOLD else ""
        raise DataError(
            f"{path}: {'; '.join(lines[:TOLD])}{more}", "each row is a group of tasks and the id of its endpoint; none was taken"
        )
    return declared


def _refuse_further(table: Table) -> None:
    """Refuse a column that nothing is read from, named or not; cells behind the last name are refused with their row."""
    width = max(place for place, name in enumerate(table.columns, 1) if name)
    unread = [name or "without a name" for name in table.columns[:width] if name not in table.chosen.taken.values()]
    if unread:
        raise DataError(
            f"{table.path}: there is no column {', '.join(unread):.{SHOWN}}",
            f"its columns are {', '.join(COLUMNS)} and perhaps {THRESHOLDS}: name it so, or leave it out; none was taken",
        )


def both(group: str, said: Declaration | None, now: Declaration) -> Declaration:
    """What two sayings of one group come to.

    Raises:
        ValueError: They are of two endpoints, or one is of all of the group's tasks and the other of some.
    """
    if said is None or said == now:
        return now
    if said.endpoint != now.endpoint:
        raise ValueError(f"{group:.60} is declared to be {said.endpoint:.60} and {now.endpoint:.60}")
    if said.only is None or now.only is None:
        raise ValueError(f"{group:.60} is declared to be {now.endpoint:.60} with all of its tasks, and with some")
    return Declaration(now.endpoint, said.only | now.only)


def thresholds_in(text: str) -> frozenset[float | None]:
    """The thresholds that a person names, with `;` between several, None for `VALUE`.

    Raises:
        ValueError: Something else is there, or nothing.
    """
    try:
        named = frozenset(None if word == VALUE else _number(word) for word in text.replace(";", " ").split())
    except ValueError:
        named = frozenset()
    if not named:
        raise ValueError(f"{text!r:.60} is no threshold: numbers, or {VALUE}, with ; between several")
    return named


def _number(word: str) -> float:
    """As tables have numbers, not as Python has them: 5_5 is no 55.

    Raises:
        ValueError: None, or beyond what a threshold may be.
    """
    number = float("" if "_" in word else word)
    if not abs(number) <= LARGEST:
        raise ValueError(f"{word:.60} is no number within ±{LARGEST:g}")
    return number


def thresholds_text(only: frozenset[float | None] | None) -> str:
    """As `thresholds_in` reads them; empty where all tasks are meant."""
    return ";".join(VALUE if threshold is None else f"{threshold:.9g}" for threshold in in_order(only or ()))


def in_order(thresholds: Iterable[float | None]) -> list[float | None]:
    """Ascending, then None, for values."""
    return sorted(thresholds, key=lambda threshold: (threshold is None, threshold or 0.0))


def saying(group: str, only: frozenset[float | None] | None) -> str:
    """`GROUP`, or `GROUP@THRESHOLDS` where not all of its tasks are meant."""
    return group if only is None else f"{group}@{thresholds_text(only)}"


def write_declarations(path: Path, declared: Mapping[str, Declaration]) -> None:
    """Write such a table, by group."""
    rows = [(group, each.endpoint, thresholds_text(each.only) or None) for group, each in sorted(declared.items())]
    table = pl.DataFrame(rows, schema=dict.fromkeys((*COLUMNS, THRESHOLDS), pl.String), orient="row")
    if table[THRESHOLDS].null_count() == len(table):
        table = table.drop(THRESHOLDS)
    write_text(path, table.write_csv(quote_style="necessary"))
