"""Reading a partner's tables as text, so that ids such as "007" survive and every row keeps its line."""

import gzip
import io
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, cast

import polars as pl

from fedapp.data.columns import OF_ASSAYS, SETTINGS, Chosen, choose, refuse_contents, unit_in
from fedapp.data.csv_records import Lines, Unreadable, read_header, read_records
from fedapp.data.notation import ABSENT
from fedapp.errors import DataError

SUFFIXES = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet")
NOTE_FILE = "note.txt"
LINE = "line of file"  # not a name that a table would use itself
_BLOCK = 100_000  # rows turned into columns at a time, which bounds the memory taken by Python strings
_SAMPLE = 1000  # cells that are looked at in a column that is not read, those that hold anything
TEXT = (pl.String, pl.Categorical, pl.Enum)  # of a Parquet file's columns, those that may hold relations or units
NO_TEXT = (pl.Binary, pl.Duration, pl.Object)
EMPTY = "save it, or fetch it, once more"
UTF_16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class Table:
    """One table as text.

    Attributes:
        path: The file it came from.
        rows: Column LINE (int64; of a Parquet file, which has no lines, the row counted from 1), then str columns, stripped,
            with "" for an absent name; named as in `fedapp.data.columns.NAMES`, whatever the file calls them.
        unreadable: Rows that could not be taken apart into cells.
        columns: All columns of the file.
        chosen: Which column was taken for what.
        separator: Between the cells; "" in a Parquet file.
    """

    path: Path
    rows: pl.DataFrame
    unreadable: list[Unreadable]
    columns: list[str]
    chosen: Chosen = field(default_factory=lambda: Chosen({}))
    separator: str = ","

    def read(self) -> int:
        """How many rows the file has."""
        return len(self.rows) + len(self.unreadable)

    def unread(self) -> list[str]:
        """Columns of the file that nothing is read from."""
        return [name for name in self.columns if name and name not in self.chosen.taken.values()]


def find_table(tables: Path, name: str) -> Path | None:
    """The file of table `name` in a folder, or None.

    The one of activities may have any name where it is the only table beside assays, or where `tables` is itself a file.

    Raises:
        DataError: Nothing there, a file of another kind, or the table in more than one format.
    """
    if tables.is_file():
        if not tables.name.endswith(SUFFIXES):
            raise DataError(f"{tables} is not a table that can be read", f"save it as one of {', '.join(SUFFIXES)}")
        return tables if name == "activities" else None
    if not tables.is_dir():
        raise DataError(
            f"no folder {tables}", "give the folder that holds compounds.csv and activities.csv (or .csv.gz, .parquet), or one table"
        )
    files = [tables / f"{name}{suffix}" for suffix in SUFFIXES if (tables / f"{name}{suffix}").is_file()]
    if len(files) > 1:
        raise DataError(f"{tables} has both {files[0].name} and {files[1].name}", "keep the one that is meant")
    if not files and name == "activities":
        files = [path for path in tables.iterdir() if path.name.endswith(SUFFIXES) and not path.name.startswith((".", "~", "assays."))]
        return files[0] if len(files) == 1 and not files[0].name.startswith("compounds.") else None
    return files[0] if files else None


def read_table(tables: Path, name: str, required: Sequence[str], optional: Sequence[str] | None = (), value: str | None = None) -> Table:
    """Read one table.

    Args:
        tables: Folder of tables, or the file of activities.
        name: "compounds", "activities" or "assays"; the file in a folder is the name with one of SUFFIXES.
        required: What must be there, as in `fedapp.data.columns.NAMES`.
        optional: What to take when it is there; None takes all columns that have a name. Further columns are ignored.
        value: The column of values, which names their unit, where another one would be chosen.
    Raises:
        DataError: Missing file or column, a column that may be meant but is not known, no rows, or a file that cannot be read; it
            names the file and the column.
    """
    path = find_table(tables, name)
    if path is None:
        names = ", ".join(f"{name}{suffix}" for suffix in SUFFIXES)
        hint = f"put one of {names} there, with columns {', '.join(required)}; or give one file with structures and values"
        raise DataError(f"{tables} has no {name} table", hint)
    table = read_file(path, required, optional, value)
    if not table.read():
        raise DataError(f"{path} has no usable rows", "it holds a header only")
    return table


def column_names(path: Path) -> list[str]:
    """The columns of a table.

    Raises:
        DataError: A file that cannot be read.
    """
    with named_errors(path):
        if path.suffix == ".parquet":
            return list(_schema(path))
        with opened(path) as raw:
            names = read_header(Lines(decoded(raw)))[0]
    if not any(names):
        raise DataError(f"{path} is empty: not even a header is there", EMPTY)
    return names


def _schema(path: Path) -> pl.Schema:
    """Columns of a Parquet file.

    Raises:
        DataError: There is nothing in the file.
    """
    if not path.stat().st_size:
        raise DataError(f"{path} is empty", EMPTY)
    return pl.scan_parquet(path, glob=False).collect_schema()


def read_note(folder: Path) -> str:
    """What `note.txt` in a folder of tables says about them, such as that labels are computed; it travels with all results.

    Raises:
        DataError: It is not UTF-8 text.
    """
    path = folder / NOTE_FILE
    try:
        return path.read_text(encoding="utf-8-sig").strip() if path.is_file() else ""
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise DataError(
            f"{path} is not UTF-8 text: line {line} has the byte {error.object[error.start]:#04x}", "save it as UTF-8"
        ) from error


@contextmanager
def named_errors(path: Path) -> Iterator[None]:
    """Name the file in what reading raises.

    Raises:
        DataError: In place of the system's and the libraries' errors.
    """
    try:
        yield
    except (OSError, EOFError, zlib.error, pl.exceptions.PolarsError) as error:
        raise DataError(f"cannot read {path}: {error}", "the file may be damaged or not what its name says") from error


def read_file(path: Path, required: Sequence[str], optional: Sequence[str] | None, value: str | None = None) -> Table:
    """Read by the file's suffix.

    Raises:
        DataError: Missing column, or a damaged file.
    """
    with named_errors(path):
        read = _read_parquet if path.suffix == ".parquet" else _read_csv
        table = read(path, required, optional, value)
    names = [name for name in table.rows.columns if name not in (LINE, "value", "smiles", *SETTINGS)]  # a setting is there or empty
    absent = [pl.when(pl.col(name).is_in(ABSENT)).then(pl.lit("")).otherwise(name).alias(name) for name in names]
    return replace(table, rows=table.rows.with_columns(pl.exclude(LINE).str.strip_chars()).with_columns(absent))


def _choose(path: Path, columns: list[str], required: Sequence[str], optional: Sequence[str] | None, value: str | None) -> Chosen:
    """Columns to read, in the order required, optional.

    Raises:
        DataError: One is missing, or there twice, or may be another.
    """
    if optional is not None:
        chosen = choose(path, columns, required, optional)
        return chosen if value is None else Chosen(chosen.taken | {"value": value}, unit_in(value))
    chosen = choose(path, columns, required, [name for name in OF_ASSAYS if name not in required])
    rest = [name for name in columns if name and name not in chosen.taken.values() and name not in chosen.taken]
    if twice := [name for name in rest if columns.count(name) > 1]:
        raise DataError(f"{path} has the column {twice[0]} more than once", "keep the one that is meant")
    taken = chosen.taken | {name: name for name in rest}
    return Chosen(dict(sorted(taken.items(), key=lambda pair: columns.index(pair[1]))), further=tuple(rest))


def _read_parquet(path: Path, required: Sequence[str], optional: Sequence[str] | None, value: str | None) -> Table:
    schema = _schema(path)
    chosen = _choose(path, list(schema), required, optional, value)
    unread = [name for name, dtype in schema.items() if dtype in TEXT and name not in chosen.taken.values()]
    samples = {name: _sample(pl.scan_parquet(path, glob=False).select(pl.col(name).cast(pl.String))) for name in unread}
    refuse_contents(path, samples, _absent(chosen, optional))
    frame = pl.read_parquet(path, columns=list(chosen.taken.values()), glob=False)
    for name, dtype in frame.schema.items():
        if dtype.is_nested() or dtype in NO_TEXT:
            raise DataError(f"{path}: the column {name} holds {dtype}, which is neither text nor numbers", "save it as one or the other")
    text = [_text(frame[name], role).alias(role) for role, name in chosen.taken.items()]
    rows = pl.DataFrame(text).with_row_index(LINE, offset=1)
    return Table(path, rows.with_columns(pl.col(LINE).cast(pl.Int64)), [], list(schema), chosen, "")


def _sample(column: pl.LazyFrame) -> list[str]:
    """The first cells of one column that hold anything."""
    return column.filter(pl.all().str.strip_chars() != "").head(_SAMPLE).collect().to_series().to_list()


def _text(cells: pl.Series, role: str) -> pl.Series:
    """A column as text. Whole numbers with gaps, which pandas keeps as floats, become whole numbers again: 7, not 7.0."""
    if cells.dtype.is_float() and role not in ("value", "smiles"):
        cells = cells.fill_nan(None)
        if (cells.drop_nulls() % 1 == 0).all():
            cells = cells.cast(pl.Int64)
    return cells.cast(pl.String).fill_null("")


def _read_csv(path: Path, required: Sequence[str], optional: Sequence[str] | None, value: str | None) -> Table:
    """Read with the standard library's csv module: unlike table libraries it knows the line of every row, and a short row or an
    undecodable one costs that row alone."""
    with opened(path) as raw:
        lines = Lines(decoded(raw))
        columns, separator = read_header(lines)
        chosen = _choose(path, columns, required, optional, value)
        positions = [columns.index(name) for name in chosen.taken.values()]
        others = {index: name for index, name in enumerate(columns) if name and index not in positions}
        samples: dict[str, list[str]] = {name: [] for name in others.values()}
        schema = {LINE: pl.Int64} | dict.fromkeys(chosen.taken, pl.String)
        frames = [pl.DataFrame(schema=schema)]
        unreadable: list[Unreadable] = []
        block: list[tuple[int | str, ...]] = []
        for line, cells in read_records(lines, columns, positions, separator, unreadable):
            for index, name in [*others.items()] if others else ():
                if index < len(cells) and (cell := cells[index]) and not cell.isspace():
                    samples[name].append(cell)
                    if len(samples[name]) == _SAMPLE:
                        del others[index]
            block.append((line, *[cells[position] for position in positions]))
            if len(block) == _BLOCK:
                frames.append(pl.DataFrame(block, schema=schema, orient="row"))
                block = []
        frames.append(pl.DataFrame(block, schema=schema, orient="row"))
    refuse_contents(path, samples, _absent(chosen, optional))
    return Table(path, pl.concat(frames), sorted(unreadable), columns, chosen, separator)


def _absent(chosen: Chosen, optional: Sequence[str] | None) -> list[str]:
    """What is read where it is there, and is not there."""
    known = ("unit",) if chosen.unit else ()
    return [role for role in optional or () if role not in chosen.taken and role not in known]


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """Open a CSV file, packed or not.

    Raises:
        DataError: It is UTF-16, as Excel's "Unicode text" is.
    """
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as raw:
        start = raw.read(4)
        if start.startswith(UTF_16) or b"\0" in start:
            raise DataError(f"{path} is not UTF-8 text: it begins with {start!r}", "save it as UTF-8; Excel offers that as CSV UTF-8")
        raw.seek(0)
        yield cast(IO[bytes], raw)


def decoded(raw: IO[bytes]) -> io.TextIOWrapper:
    """Text of which no byte is lost: one that is not UTF-8 costs its row alone."""
    return io.TextIOWrapper(raw, encoding="utf-8-sig", errors="surrogateescape", newline="")
