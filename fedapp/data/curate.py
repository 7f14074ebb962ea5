"""Sorting rows into usable and rejected; every rejected row has one reason."""

from dataclasses import dataclass, field

import polars as pl

from fedapp.data.tables import LINE, Table

EMPTY = "empty {}"
REPEATED = "repeats an earlier row"
CONTRADICTORY = "{} stands for different values of {}"
UNMEASURED_COMPOUND = "compound has no activities"
UNMEASURED_ASSAY = "assay has no activities"
UNKNOWN_COMPOUND = "compound_id is not in the compounds table"
REJECTED_COMPOUND = "compound was rejected"
UNKNOWN_ASSAY = "assay_id is not in the assays table"
REJECTED_ASSAY = "assay was rejected"
UNKNOWN_UNIT = "unknown unit"
UNKNOWN_RELATION = "unknown relation"
NOT_A_NUMBER = "value is not a number"
INFINITE = "value is infinite"
NOT_POSITIVE = "molar value is not positive"
NOT_A_LABEL = "value without unit is not 0 or 1"
CENSORED_LABEL = "a 0/1 label has no relation but ="

P_UNIT = "p"
# unit -> p-value of 1 in that unit; both the micro sign and the Greek letter are in use
MOLAR = {"pM": 12.0, "nM": 9.0, "uM": 6.0, "\u00b5M": 6.0, "\u03bcM": 6.0, "mM": 3.0, "M": 0.0}
RELATIONS = {"=": "=", "~": "=", "<": "<", "<=": "<", "<<": "<", ">": ">", ">=": ">", ">>": ">"}
FLIPPED = {"=": "=", "<": ">", ">": "<"}  # a concentration below x is a p-value above p(x)

REASON = "reason for rejection"
REJECTED_SCHEMA = {"file": pl.String, "line": pl.Int64, "id": pl.String, "reason": pl.String}


@dataclass
class Rejects:
    """Rejected rows of all tables, and how many rows each table had."""

    frames: list[pl.DataFrame] = field(default_factory=lambda: [pl.DataFrame(schema=REJECTED_SCHEMA)])
    read: dict[str, int] = field(default_factory=dict)

    def open(self, table: Table) -> None:
        """Count a table's rows and take over those that could not be read."""
        self.read[table.path.name] = len(table.rows) + len(table.unreadable)
        rows = [(table.path.name, line, "", reason) for line, reason in table.unreadable]
        self.frames.append(pl.DataFrame(rows, schema=REJECTED_SCHEMA, orient="row"))

    def split(self, table: Table, rows: pl.DataFrame, reason: pl.Expr, id_column: pl.Expr) -> pl.DataFrame:
        """Reject the rows whose `reason` is not null; return the others."""
        rows = rows.with_columns(reason.alias(REASON))
        bad = rows.filter(pl.col(REASON).is_not_null())
        file, line = pl.lit(table.path.name).alias("file"), pl.col(LINE).alias("line")
        self.frames.append(bad.select(file, line, id_column.alias("id"), pl.col(REASON).alias("reason")))
        return rows.filter(pl.col(REASON).is_null()).drop(REASON)

    def table(self) -> pl.DataFrame:
        """All rejected rows, in the order of files and lines."""
        return pl.concat(self.frames).sort("file", "line")

    def counts(self, file: str) -> dict[str, int]:
        """Reason -> number of rejected rows of one file, commonest first."""
        counted = self.table().filter(pl.col("file") == file)["reason"].value_counts(sort=True)
        return dict(counted.iter_rows())


def first_reason(*checks: tuple[pl.Expr, str]) -> pl.Expr:
    """Text of the first check that holds, else null."""
    return pl.coalesce(*[pl.when(check).then(pl.lit(reason)) for check, reason in checks], pl.lit(None, dtype=pl.String))


def check_entities(table: Table, key: str, measured: pl.Series, unmeasured: str, rejects: Rejects) -> pl.DataFrame:
    """Check a table whose rows each describe one compound or one assay.

    Args:
        table: The table; all its columns count when rows are compared.
        key: Its id column.
        measured: Ids that activities name.
        unmeasured: Reason for ids that they do not.
        rejects: Receives the rejected rows.
    Returns:
        Rows with unique ids.
    """
    cells = [column for column in table.rows.columns if column != LINE]
    others = [column for column in cells if column != key]
    needed = [key, *[column for column in others if column == "smiles"]]
    empty = first_reason(*[(pl.col(column) == "", EMPTY.format(column)) for column in needed])
    rows = rejects.split(table, table.rows, empty, pl.col(key))
    reason = first_reason(
        (~pl.struct(cells).is_first_distinct(), REPEATED),
        (pl.struct(cells).n_unique().over(key) > 1, CONTRADICTORY.format(key, "smiles" if others == ["smiles"] else "the other columns")),
        (~pl.col(key).is_in(measured.implode()), unmeasured),
    )
    return rejects.split(table, rows, reason, pl.col(key))


def check_activities(table: Table, rejects: Rejects) -> pl.DataFrame:
    """Check what an activity row says by itself; whether its compound and assay are known is checked later.

    Returns:
        Columns LINE, assay_id, compound_id, relation ("=", "<", ">" on the p scale), value (f32, p-value or 0/1), kind
        ("p" or "label").
    """
    rows = table.rows
    cells = [column for column in rows.columns if column != LINE]
    defaults = {"relation": "=", "unit": ""}
    rows = rows.with_columns([pl.lit(text).alias(column) for column, text in defaults.items() if column not in cells])
    unit, relation = pl.col("unit"), pl.col("sign")
    molar, label = unit.is_in(list(MOLAR)), unit == ""
    rows = rows.with_columns(
        pl.col("value").cast(pl.Float64, strict=False).alias("number"),
        pl.col("relation").replace_strict(RELATIONS, default=None, return_dtype=pl.String).alias("sign"),
    )
    number = pl.col("number")
    reason = first_reason(
        (pl.col("assay_id") == "", EMPTY.format("assay_id")),
        (pl.col("compound_id") == "", EMPTY.format("compound_id")),
        (~pl.struct(cells).is_first_distinct(), REPEATED),
        (~(molar | label | (unit == P_UNIT)), UNKNOWN_UNIT),
        (relation.is_null(), UNKNOWN_RELATION),
        (number.is_null() | number.is_nan(), NOT_A_NUMBER),
        (number.is_infinite(), INFINITE),
        (molar & (number <= 0), NOT_POSITIVE),
        (label & ~number.is_in([0.0, 1.0]), NOT_A_LABEL),
        (label & (relation != "="), CENSORED_LABEL),
    )
    rows = rejects.split(table, rows, reason, activity_id())
    zero = unit.replace_strict(MOLAR, default=None, return_dtype=pl.Float64)
    return rows.select(
        LINE,
        "assay_id",
        "compound_id",
        pl.when(molar).then(relation.replace_strict(FLIPPED)).otherwise(relation).alias("relation"),
        pl.when(molar).then(zero - number.log10()).otherwise(number).cast(pl.Float32).alias("value"),
        pl.when(label).then(pl.lit("label")).otherwise(pl.lit("p")).alias("kind"),
    )


def check_references(
    table: Table, rows: pl.DataFrame, key: str, known: tuple[pl.Series, pl.Series], reasons: tuple[str, str], rejects: Rejects
) -> pl.DataFrame:
    """Reject activities whose compound (or assay) is absent from its table, or was rejected there.

    Args:
        known: All ids in that table, and those that passed.
        reasons: For ids that are not in the table, and for those that did not pass.
    """
    reason = first_reason(*[(~pl.col(key).is_in(ids.implode()), why) for ids, why in zip(known, reasons, strict=True)])
    return rejects.split(table, rows, reason, activity_id())


def activity_id() -> pl.Expr:
    """How an activity is named in `rejected.csv`."""
    return pl.format("{}/{}", "assay_id", "compound_id")
