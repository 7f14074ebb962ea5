"""A partner's tables as people have them: compounds and activities apart, or one table with both."""

from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from fedapp.data.columns import role_of, same_with_unit
from fedapp.data.notation import MOSTLY
from fedapp.data.tables import SUFFIXES, Table, column_names, find_table, read_table

TABLES = ("compounds", "activities", "assays")
MEASURED = ["relation", "unit", "type"]


@dataclass(frozen=True)
class Inputs:
    """The tables of one partner; without a compounds table, each activity has its structure beside it.

    Attributes:
        compounds: compound_id, smiles; None where activities have smiles.
        activities: assay_id, compound_id, value, and perhaps relation, unit, type, target_id, smiles.
        assays: assay_id and all other columns that have a name; None where there is no such table.
        compound: What tells compounds apart when rows are compared: "compound_id", or "row" of the structure where there are no ids.
    """

    compounds: Table | None
    activities: Table
    assays: Table | None
    compound: str = "compound_id"

    def tables(self) -> dict[str, Table]:
        """Those that there are, by name."""
        every = {"compounds": self.compounds, "activities": self.activities, "assays": self.assays}
        return {name: table for name, table in every.items() if table is not None}

    def assumed(self) -> list[str]:
        """What holds where the table of activities has no column for it."""
        targets = "target_id" in self.activities.chosen.taken
        assay = "what is known of one target is one assay" if targets else "every row belongs to one assay, named after the file"
        every = {"compound_id": "a compound is its SMILES", "assay_id": assay, "relation": "every value is exact"}
        if not self.activities.chosen.unit:
            every["unit"] = "values are 0/1 labels"
        return [f"no {role}: {text}" for role, text in every.items() if role not in self.activities.chosen.taken]


def read_inputs(tables: Path) -> Inputs:
    """Read the tables of a folder, or one table with everything.

    In one table without a column for ids a compound is its SMILES; without a column for assays there is one assay for each target, or
    where there are no targets either, one that is named after the file.

    Raises:
        DataError: As `read_table`.
    """
    assays = read_table(tables, "assays", ["assay_id"], None) if find_table(tables, "assays") else None
    further = MEASURED if assays else [*MEASURED, "target_id"]
    path = find_table(tables, "activities")
    alone = path is not None and find_table(tables, "compounds") is None
    if path is not None and alone and (tables.is_file() or "smiles" in map(role_of, column_names(path))):
        table = read_activities(tables, ["smiles", "value"], ["compound_id", "assay_id", *further])
        assay = pl.col("target_id") if "target_id" in table.rows.columns else pl.lit(_stem(path))
        absent = {"compound_id": pl.col("smiles"), "assay_id": assay}
        rows = table.rows.with_columns([cell.alias(role) for role, cell in absent.items() if role not in table.rows.columns])
        compound = "compound_id" if "compound_id" in table.rows.columns else "row"
        return Inputs(None, replace(table, rows=rows), assays, compound)
    compounds = read_table(tables, "compounds", ["compound_id", "smiles"])
    return Inputs(compounds, read_activities(tables, ["assay_id", "compound_id", "value"], further), assays)


def read_activities(tables: Path, required: list[str], optional: list[str]) -> Table:
    """The table of activities. Of values that name no unit and are no 0/1 labels, the same with their unit beside them are read instead.

    Raises:
        DataError: As `read_table`.
    """
    table = read_table(tables, "activities", required, optional)
    labels = table.rows["value"].cast(pl.Float64, strict=False).is_in([0.0, 1.0]).mean()
    value = same_with_unit(table.unread())
    if value is None or "unit" in table.chosen.taken or table.chosen.unit or (isinstance(labels, float) and labels >= MOSTLY):
        return table
    return read_table(tables, "activities", required, optional, value)


def _stem(path: Path) -> str:
    """A table's name without its suffix."""
    return next(path.name.removesuffix(suffix) for suffix in SUFFIXES if path.name.endswith(suffix))
