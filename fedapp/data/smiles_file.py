"""Structures to predict for: a table or a .smi file -> one row per row of the file."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from fedapp.data.columns import role_of
from fedapp.data.csv_records import NUL, UNDECODABLE, has_surrogate
from fedapp.data.losses import taken_columns
from fedapp.data.tables import LINE, column_names, decoded, named_errors, opened, read_file
from fedapp.errors import DataError
from fedapp.wording import shown

SMI = (".smi", ".smi.gz")
_SCHEMA = {"compound_id": pl.String, "smiles": pl.String, "reason": pl.String}


@dataclass(frozen=True)
class SmilesFile:
    """What is to be predicted for.

    Attributes:
        rows: compound_id ("" where there is none), smiles, and reason: why the row cannot be read, or "". A row of a table that cannot
            be read has its text, shortened, in place of the SMILES.
        read: Which columns were taken for what, in words; "" where there are none.
    """

    rows: pl.DataFrame
    read: str = ""


def read_smiles(path: Path) -> SmilesFile:
    """Read the structures of a file, in its order.

    Args:
        path: CSV, TSV (also .gz) or Parquet with a column smiles and perhaps compound_id, without it id or name; or a .smi or .smi.gz
            file, each line a SMILES and perhaps an id after white space. A CXSMILES extension (|...|) between the two belongs to the
            structure, never to the id.
    Raises:
        DataError: Missing or unreadable file, no column smiles, or no rows.
    """
    if not path.is_file():
        raise DataError(f"no file {path}", "give a .csv, .csv.gz, .parquet or .smi file")
    table = _read_smi(path) if path.name.lower().endswith(SMI) else _read_table(path)
    if table.rows.is_empty():
        raise DataError(f"{path} has no rows", "each line is a SMILES, and perhaps an id" if not table.read else "it holds a header only")
    return table


def _read_smi(path: Path) -> SmilesFile:
    with named_errors(path), opened(path) as raw:
        cells = [_smi_cells(line.strip()) for line in decoded(raw) if line.strip()]
    return SmilesFile(pl.DataFrame(cells, schema=_SCHEMA, orient="row"))


def _smi_cells(line: str) -> tuple[str, str, str]:
    """Id, structure and fault of a line; an extension that is not closed is left with the structure, which is then rejected."""
    reason = UNDECODABLE if has_surrogate(line) else NUL if "\0" in line else ""
    smiles, rest = [*(shown(line) if reason else line).split(maxsplit=1), ""][:2]
    if not rest.startswith("|"):
        return rest, smiles, reason
    extension, closed, identifier = rest[1:].partition("|")
    return identifier.strip(), f"{smiles} |{extension}{closed}", reason


def _read_table(path: Path) -> SmilesFile:
    role = "compound_id" if "compound_id" in map(role_of, column_names(path)) else "name"
    table = read_file(path, ["smiles"], [role])
    identifier = pl.col(role) if role in table.chosen.taken else pl.lit("")
    readable = table.rows.select(LINE, identifier.alias("compound_id"), "smiles", pl.lit("").alias("reason"))
    faults = [(line, "", text, reason) for line, reason, text in table.unreadable]
    rows = pl.concat([readable, pl.DataFrame(faults, schema={LINE: pl.Int64, **_SCHEMA}, orient="row")]).sort(LINE)
    columns = {
        "columns": {"compound_id" if taken == role else taken: name for taken, name in table.chosen.taken.items()},
        "unit": "",
        "separator": table.separator,
        "assumed": [] if role in table.chosen.taken else ["no compound_id: rows are in the order of the file"],
        "not_read": table.unread(),
    }
    return SmilesFile(rows.drop(LINE), f"{path.name}: {taken_columns(columns)}")
