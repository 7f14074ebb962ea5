"""Reading a partner's tables as text, so that ids such as "007" survive and every row keeps its line."""

import csv
import gzip
import io
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from fedapp.errors import DataError

SUFFIXES = (".csv", ".csv.gz", ".parquet")
NOTE_FILE = "note.txt"
LINE = "line of file"  # not a name that a table would use itself
_BLOCK = 100_000  # rows turned into columns at a time, which bounds the memory taken by Python strings

UNDECODABLE = "row is not UTF-8 text"
MALFORMED = "row has misplaced quotes"
RAGGED = "row has more or fewer cells than the header"


@dataclass(frozen=True)
class Table:
    """One table as text.

    Attributes:
        path: The file it came from.
        rows: Column LINE (int64; of a Parquet file, which has no lines, the row counted from 1), then str columns, stripped,
            with "" for an absent value.
        unreadable: (line, reason) of rows that could not be taken apart into cells.
        columns: All columns of the file.
    """

    path: Path
    rows: pl.DataFrame
    unreadable: list[tuple[int, str]]
    columns: list[str]


def find_table(folder: Path, name: str) -> Path | None:
    """The file of table `name`, or None.

    Raises:
        DataError: The folder is missing, or the table is there in more than one format.
    """
    if not folder.is_dir():
        raise DataError(f"no folder {folder}", "give the folder that holds compounds.csv and activities.csv (or .csv.gz, .parquet)")
    found = [folder / f"{name}{suffix}" for suffix in SUFFIXES if (folder / f"{name}{suffix}").is_file()]
    if len(found) > 1:
        raise DataError(f"{folder} has both {found[0].name} and {found[1].name}", "keep the one that is meant")
    return found[0] if found else None


def read_table(folder: Path, name: str, required: Sequence[str], optional: Sequence[str] | None = ()) -> Table:
    """Read one table.

    Args:
        folder: Folder of tables.
        name: "compounds", "activities" or "assays"; the file is name.csv, name.csv.gz or name.parquet.
        required: Columns that must be there.
        optional: Columns to take when they are there; None takes all. Further columns are ignored.
    Raises:
        DataError: Missing file or column, no rows, or a file that cannot be read; it names the file and the column.
    """
    path = find_table(folder, name)
    if path is None:
        names = ", ".join(f"{name}{suffix}" for suffix in SUFFIXES)
        raise DataError(f"{folder} has no {name} table", f"put one of {names} there, with columns {', '.join(required)}")
    return _not_empty(_read_file(path, required, optional))


def read_smiles(path: Path) -> pl.DataFrame:
    """Structures to predict for: columns compound_id ("" where there is none) and smiles, one row per row of the file.

    Args:
        path: CSV, CSV.gz or Parquet with a column smiles and perhaps compound_id; or a .smi file, each line a SMILES and perhaps
            an id after white space. A CXSMILES extension (|...|) between the two belongs to the structure, never to the id.
    Raises:
        DataError: Missing or unreadable file, no column smiles, no rows, or a row that cannot be taken apart.
    """
    if not path.is_file():
        raise DataError(f"no file {path}", "give a .csv, .csv.gz, .parquet or .smi file")
    if path.suffix == ".smi":
        text = path.read_text(encoding="utf-8-sig", errors="replace")
        cells = [_smi_cells(line.strip()) for line in text.splitlines() if line.strip()]
        rows = pl.DataFrame(cells, schema={"compound_id": pl.String, "smiles": pl.String}, orient="row")
        if rows.is_empty():
            raise DataError(f"{path} has no rows")
        return rows
    table = _not_empty(_read_file(path, ["smiles"], ["compound_id"]))
    if table.unreadable:
        raise DataError(f"{path} cannot be read in full", f"{_first(table.unreadable)}; correct it or leave the row out")
    identifier = pl.col("compound_id") if "compound_id" in table.rows.columns else pl.lit("").alias("compound_id")
    return table.rows.select(identifier, "smiles")


def _smi_cells(line: str) -> tuple[str, str]:
    """Id and structure of a line; an extension that is not closed is left with the structure, which is then rejected."""
    smiles, rest = [*line.split(maxsplit=1), ""][:2]
    if not rest.startswith("|"):
        return rest, smiles
    extension, closed, identifier = rest[1:].partition("|")
    return identifier.strip(), f"{smiles} |{extension}{closed}"


def _read_file(path: Path, required: Sequence[str], optional: Sequence[str] | None) -> Table:
    """Read by the file's suffix.

    Raises:
        DataError: Missing column, or a damaged file.
    """
    try:
        return _read_parquet(path, required, optional) if path.suffix == ".parquet" else _read_csv(path, required, optional)
    except (OSError, EOFError, zlib.error, pl.exceptions.PolarsError) as error:
        raise DataError(f"cannot read {path}: {error}", "the file may be damaged or not what its name says") from error


def _not_empty(table: Table) -> Table:
    if table.rows.is_empty():
        raise DataError(f"{table.path} has no usable rows", _first(table.unreadable) or "it holds a header only")
    return table


def _first(unreadable: list[tuple[int, str]]) -> str:
    return f"line {unreadable[0][0]}: {unreadable[0][1]}" if unreadable else ""


def _choose(path: Path, columns: list[str], required: Sequence[str], optional: Sequence[str] | None) -> list[str]:
    """Columns to read, in the order required, optional.

    Raises:
        DataError: One is missing, or there twice.
    """
    if missing := [column for column in required if column not in columns]:
        raise DataError(
            f"{path} has no column {', '.join(missing)}",
            f"its first line reads {', '.join(columns)[:200] or '(nothing)'}; columns are separated by commas and named exactly so",
        )
    others = columns if optional is None else [column for column in optional if column in columns]
    wanted = list(dict.fromkeys([*required, *others]))
    if twice := [column for column in wanted if columns.count(column) > 1]:
        raise DataError(f"{path} has the column {', '.join(twice)} more than once", "keep the one that is meant")
    return wanted


def _read_parquet(path: Path, required: Sequence[str], optional: Sequence[str] | None) -> Table:
    columns = list(pl.read_parquet_schema(path))
    wanted = _choose(path, columns, required, optional)
    text = [pl.col(column).cast(pl.String).fill_null("").str.strip_chars() for column in wanted]
    rows = pl.read_parquet(path, columns=wanted).select(text).with_row_index(LINE, offset=1)
    return Table(path, rows.with_columns(pl.col(LINE).cast(pl.Int64)), [], columns)


def _read_csv(path: Path, required: Sequence[str], optional: Sequence[str] | None) -> Table:
    """Read with the standard library's csv module: unlike table libraries it knows the line of every row, and a short row or an
    undecodable one costs that row alone."""
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as raw:
        text = io.TextIOWrapper(raw, encoding="utf-8-sig", errors="surrogateescape", newline="")
        reader = csv.reader(text, strict=True)
        unreadable: list[tuple[int, str]] = []
        records = _records(path, reader, unreadable)
        columns = [name.strip() for name in next(records, (0, []))[1]]
        wanted = _choose(path, columns, required, optional)
        positions = [columns.index(column) for column in wanted]
        schema = {LINE: pl.Int64} | dict.fromkeys(wanted, pl.String)
        frames = [pl.DataFrame(schema=schema)]
        block: list[tuple[int | str, ...]] = []
        for line, cells in records:
            if len(cells) != len(columns):
                unreadable.append((line, RAGGED))
                continue
            block.append((line, *[cells[position] for position in positions]))
            if len(block) == _BLOCK:
                frames.append(pl.DataFrame(block, schema=schema, orient="row"))
                block = []
        frames.append(pl.DataFrame(block, schema=schema, orient="row"))
    rows = pl.concat(frames).with_columns(pl.col(wanted).str.strip_chars())
    return Table(path, rows, sorted(unreadable), columns)


def _records(path: Path, reader: "csv._reader", unreadable: list[tuple[int, str]]) -> Iterator[tuple[int, list[str]]]:  # type: ignore[name-defined]
    """Yield (first line, cells) of each record that can be read; blank lines are skipped, the others go to `unreadable`.

    Raises:
        DataError: A quote is opened and never closed: where the next row begins can then not be known.
    """
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if "unexpected end" in str(error) or "field limit" in str(error):
                raise DataError(f"{path} opens a quote in line {line} that is not closed", "double the quote inside a cell") from error
            unreadable.append((line, MALFORMED))
            continue
        if any(not cell.isascii() and _has_surrogate(cell) for cell in cells):
            unreadable.append((line, UNDECODABLE))
        elif cells:
            yield line, cells


def _has_surrogate(cell: str) -> bool:
    """Whether a byte was kept by `surrogateescape` because it is not UTF-8."""
    return any("\udc80" <= character <= "\udcff" for character in cell)


def read_note(folder: Path) -> str:
    """What `note.txt` in a folder of tables says about them, such as that labels are computed; it travels with all results."""
    path = folder / NOTE_FILE
    return path.read_text(encoding="utf-8").strip() if path.is_file() else ""
