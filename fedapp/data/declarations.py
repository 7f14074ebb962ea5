"""Which of a partner's groups of tasks are endpoints of the consortium's catalogue: a table of two columns, group and endpoint."""

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from fedapp.data.tables import LINE, read_file
from fedapp.errors import DataError
from fedapp.storage.files import write_text

COLUMNS = ("group", "endpoint")
TOLD = 5  # unusable rows that a message names


def read_declarations(path: Path) -> dict[str, str]:
    """A group to the id of its endpoint.

    A declaration is a consent, so one row that cannot be used refuses the table: which rows count is for its writer to say.

    Raises:
        DataError: Missing or unreadable file or column, or rows that cannot be used; the first of them are named with their reasons.
    """
    if not path.is_file():
        raise DataError(f"no file {path}", f"give a table with the columns {' and '.join(COLUMNS)}, such as a CSV file")
    table = read_file(path, COLUMNS, ())
    faults = {line: f"{reason} ({text})" for line, reason, text in table.unreadable}
    declared: dict[str, str] = {}
    for line, group, endpoint in table.rows.select(LINE, *COLUMNS).iter_rows():
        if not (group or endpoint):
            continue
        if not (group and endpoint):
            faults[line] = f"no {'group' if endpoint else 'endpoint'} beside {group or endpoint!r:.60}"
        elif declared.setdefault(group, endpoint) != endpoint:
            faults[line] = f"{group:.60} is {declared[group]:.60} in a line above, and {endpoint:.60} here"
    if faults:
        lines = [f"line {line}: {reason}" for line, reason in sorted(faults.items())]
        more = f"; and {len(lines) - TOLD:,} more" if len(lines) > TOLD else ""
        raise DataError(
            f"{path}: {'; '.join(lines[:TOLD])}{more}", "each row is a group of tasks and the id of its endpoint; none was taken"
        )
    return declared


def write_declarations(path: Path, declared: Mapping[str, str]) -> None:
    """Write such a table, by group."""
    rows = sorted(declared.items())
    write_text(path, pl.DataFrame(rows, schema=dict.fromkeys(COLUMNS, pl.String), orient="row").write_csv(quote_style="necessary"))
