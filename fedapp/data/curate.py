"""Sorting rows into usable and rejected; every rejected row has one reason, and shows what it is about."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import polars as pl

from fedapp.data.notation import (
    FLIPPED,
    HIGHEST_P,
    LABEL_UNIT,
    LARGEST_PERCENT,
    LOWEST_P,
    MOLAR,
    MOSTLY,
    P_UNIT,
    PERCENT_UNIT,
    RELATIONS,
    UNITS,
)
from fedapp.data.tables import LINE, Table
from fedapp.wording import shown

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
NO_UNIT = "no unit, where other rows have one"
UNKNOWN_RELATION = "unknown relation"
NOT_A_NUMBER = "value is not a number"
COMMA = "value has a comma"
RELATION_IN_VALUE = "value begins with a relation"
INFINITE = "value is infinite"
NOT_POSITIVE = "molar value is not positive"
IMPLAUSIBLE = f"p-value outside {LOWEST_P:g} to {HIGHEST_P:g}"
IMPLAUSIBLE_PERCENT = f"value in % outside {-LARGEST_PERCENT:g} to {LARGEST_PERCENT:g}"
NOT_A_LABEL = "value without unit is not 0 or 1"
NO_LABELS = "value without unit, in an assay where most such values are not 0 or 1"
CENSORED_LABEL = "a 0/1 label has no relation but ="
REMEDIES = {
    NO_UNIT: f"the unit of a 0/1 label is {LABEL_UNIT}",
    UNKNOWN_UNIT: f"known are {', '.join(UNITS)}, and {PERCENT_UNIT} for an assay with thresholds of its own, or an auxiliary one",
    UNKNOWN_RELATION: f"known are {', '.join(RELATIONS)}; an empty cell is none",
    COMMA: "write 1.5, and 1500 for thousands",
    RELATION_IN_VALUE: "it has a column of its own",
    NOT_A_LABEL: f"for others a column unit says {', '.join(UNITS[:-1])}",
    NO_LABELS: f"if they are measured, a column unit says {', '.join(UNITS[:-1])}; if they are labels, {LABEL_UNIT}",
}

REASON, TEXT, WRITTEN = "reason for rejection", "text that it is about", "value as written"
SHOWN = 80  # characters of an offending cell
REJECTED_SCHEMA = {"file": pl.String, "line": pl.Int64, "id": pl.String, "reason": pl.String, "text": pl.String}
EXTRAS = ("smiles", "target_id", "type")  # of an activity, where its table has them

Check = tuple[pl.Expr, str | pl.Expr, str | pl.Expr]  # what is wrong, the reason or its column, and the column that shows it


@dataclass
class Rejects:
    """Rejected rows of all tables, and how many rows each table had."""

    frames: list[pl.DataFrame] = field(default_factory=lambda: [pl.DataFrame(schema=REJECTED_SCHEMA)])
    read: dict[str, int] = field(default_factory=dict)

    def open(self, table: Table) -> None:
        """Count a table's rows and take over those that could not be read."""
        self.read[table.path.name] = table.read()
        rows = [(table.path.name, line, "", reason, text) for line, reason, text in table.unreadable]
        self.frames.append(pl.DataFrame(rows, schema=REJECTED_SCHEMA, orient="row"))

    def split(self, table: Table, rows: pl.DataFrame, checks: Sequence[Check], id_column: pl.Expr) -> pl.DataFrame:
        """Reject the rows for which a check holds, by the first that does; return the others."""
        reason = pl.coalesce(*[pl.when(wrong).then(_text(why)) for wrong, why, _ in checks], pl.lit(None, dtype=pl.String))
        text = pl.coalesce(*[pl.when(pl.col(REASON) == _text(why)).then(_cell(about)) for _, why, about in checks], pl.lit(""))
        rows = rows.with_columns(reason.alias(REASON))
        bad = rows.filter(pl.col(REASON).is_not_null()).with_columns(text.str.slice(0, SHOWN).alias(TEXT))
        file, line = pl.lit(table.path.name).alias("file"), pl.col(LINE).alias("line")
        self.frames.append(bad.select(file, line, id_column.alias("id"), pl.col(REASON).alias("reason"), pl.col(TEXT).alias("text")))
        return rows.filter(pl.col(REASON).is_null()).drop(REASON)

    def table(self) -> pl.DataFrame:
        """All rejected rows, in the order of files and lines."""
        return pl.concat(self.frames).sort("file", "line")

    def counts(self, file: str) -> dict[str, int]:
        """Reason -> number of rejected rows of one file, commonest first."""
        counted = self.table().filter(pl.col("file") == file)["reason"].value_counts(sort=True)
        return dict(counted.iter_rows())

    def examples(self, file: str) -> dict[str, str]:
        """Reason -> the first row of one file that was rejected for it, in words, and where there is one a remedy."""
        first = self.table().filter(pl.col("file") == file).unique("reason", keep="first", maintain_order=True)
        return {
            reason: f"line {line}" + (f": {shown(text)}" if text else "") + (f"; {REMEDIES[reason]}" if reason in REMEDIES else "")
            for _, line, _, reason, text in first.iter_rows()
        }


def _text(why: str | pl.Expr) -> pl.Expr:
    return pl.lit(why) if isinstance(why, str) else why


def _cell(about: str | pl.Expr) -> pl.Expr:
    return pl.col(about) if isinstance(about, str) else about


def check_entities(
    table: Table, key: str, measured: pl.Series, unmeasured: str, rejects: Rejects, further: Sequence[Check] = ()
) -> pl.DataFrame:
    """Check a table whose rows each describe one compound or one assay.

    One assay with different cells is a contradiction. One compound with different SMILES need not be: that is for
    `contradictions` to say, once they are standardised.

    Args:
        table: The table; all its columns count when rows are compared.
        key: Its id column.
        measured: Ids that activities name.
        unmeasured: Reason for ids that they do not.
        rejects: Receives the rejected rows.
        further: What else a row of this table must not say.
    Returns:
        Rows of which no two are equal.
    """
    cells = [column for column in table.rows.columns if column != LINE]
    compounds = "smiles" in cells
    empty = [(pl.col(column) == "", EMPTY.format(column), pl.lit("")) for column in ([key, "smiles"] if compounds else [key])]
    rows = rejects.split(table, table.rows, empty, pl.col(key))
    contradictory = (pl.struct(cells).n_unique().over(key) > 1) & (not compounds)
    checks: list[Check] = [
        (~pl.struct(cells).is_first_distinct(), REPEATED, key),
        (contradictory, CONTRADICTORY.format(key, "the other columns"), key),
        (~pl.col(key).is_in(measured.implode()), unmeasured, key),
        *further,
    ]
    return rejects.split(table, rows, checks, pl.col(key))


def contradictions(described: pl.DataFrame) -> pl.DataFrame:
    """Refuse compounds whose SMILES are of different structures; different spellings of one structure are one compound.

    Args:
        described: compound_id, row (i32, null where the structure was refused) and why (null where it was not).
    """
    wrong = pl.col("why").is_null() & (pl.col("row").drop_nulls().n_unique().over("compound_id") > 1)
    return described.with_columns(
        pl.when(wrong).then(pl.lit(CONTRADICTORY.format("compound_id", "smiles"))).otherwise("why").alias("why"),
        pl.when(~wrong).then("row").alias("row"),
    )


def check_activities(table: Table, rejects: Rejects, in_percent: Sequence[str] = ()) -> pl.DataFrame:
    """Check what an activity row says by itself; whether its compound and assay are known is checked later.

    Args:
        table: The activities.
        rejects: Receives the rejected rows.
        in_percent: Assays that may have values in %.
    Returns:
        Columns LINE, assay_id, compound_id, relation ("=", "<", ">" on the p scale), value (f32, p-value, % or 0/1), kind
        ("p", "%" or "label"), those of EXTRAS that the table has, and WRITTEN.
    """
    rows = table.rows
    defaults = {"relation": "=", "unit": table.chosen.unit}
    rows = rows.with_columns([pl.lit(text).alias(column) for column, text in defaults.items() if column not in rows.columns])
    # ChEMBL's download quotes relations: '='
    written = pl.col("relation").str.replace(r"""^(?:'(.*)'|"(.*)")$""", "$1$2").str.strip_chars()
    unit, relation, value = pl.col("unit"), pl.col("sign"), pl.col("value")
    molar, label = unit.is_in(list(MOLAR)), (unit == "") | (unit == LABEL_UNIT)
    percent = (unit == PERCENT_UNIT) & pl.col("assay_id").is_in(list(in_percent))
    has_units = bool((rows["unit"] != "").any())
    rows = rows.with_columns(
        value.cast(pl.Float64, strict=False).alias("number"),
        written.replace_strict(RELATIONS, default=None, return_dtype=pl.String).alias("sign"),
    )
    bare = pl.col("number").is_in([0.0, 1.0]).filter(unit == "")  # measured values are 0 or 1 by chance too
    rows = rows.with_columns((bare.mean().over("assay_id") < MOSTLY).alias("measured"))
    zero, number = unit.replace_strict(MOLAR, default=None, return_dtype=pl.Float64), pl.col("number")
    p_value = pl.when(molar).then(zero - number.log10()).otherwise(number)
    needed = [column for column in ("assay_id", "smiles", "compound_id") if column in rows.columns]
    checks: list[Check] = [
        *[(pl.col(column) == "", EMPTY.format(column), pl.lit("")) for column in needed],
        ((unit == "") & has_units, NO_UNIT, "value"),
        (~(molar | label | percent | (unit == P_UNIT)), UNKNOWN_UNIT, "unit"),
        (relation.is_null(), UNKNOWN_RELATION, "relation"),
        (number.is_null() & value.str.contains(r"^[+-]?[0-9.,]*,[0-9.,]*(?:[eE][+-]?\d+)?$"), COMMA, "value"),
        (number.is_null() & value.str.contains("^[<>=~\u2248\u2264\u2265]"), RELATION_IN_VALUE, "value"),
        (number.is_null() | number.is_nan(), NOT_A_NUMBER, "value"),
        (number.is_infinite(), INFINITE, "value"),
        (molar & (number <= 0), NOT_POSITIVE, "value"),
        (label & ~number.is_in([0.0, 1.0]), NOT_A_LABEL, "value"),
        ((unit == "") & pl.col("measured"), NO_LABELS, "value"),
        (label & (relation != "="), CENSORED_LABEL, "relation"),
        (percent & (number.abs() > LARGEST_PERCENT), IMPLAUSIBLE_PERCENT, "value"),
        (~label & ~percent & ~p_value.is_between(LOWEST_P, HIGHEST_P), IMPLAUSIBLE, pl.concat_str("value", "unit", separator=" ")),
    ]
    rows = rejects.split(table, rows, checks, activity_id())
    return rows.select(
        LINE,
        "assay_id",
        "compound_id",
        pl.when(molar).then(relation.replace_strict(FLIPPED)).otherwise(relation).alias("relation"),
        p_value.cast(pl.Float32).alias("value"),
        pl.when(label).then(pl.lit(LABEL_UNIT)).when(percent).then(pl.lit(PERCENT_UNIT)).otherwise(pl.lit(P_UNIT)).alias("kind"),
        *[column for column in EXTRAS if column in rows.columns],
        value.alias(WRITTEN),
    )


def check_repeats(table: Table, rows: pl.DataFrame, compound: str, rejects: Rejects) -> pl.DataFrame:
    """Reject a row that says the same as an earlier one: assay, compound, relation and value, however written and in whatever unit.

    Any other value of a compound in an assay is a replicate, and stays.

    Args:
        compound: The column by which compounds are the same: compound_id, or the structure where the table has no ids.
    """
    said = ["assay_id", compound, "relation", "value", "kind"]
    checks: list[Check] = [(~pl.struct(said).is_first_distinct(), REPEATED, WRITTEN)]
    return rejects.split(table, rows, checks, activity_id())


def check_references(
    table: Table, rows: pl.DataFrame, key: str, known: tuple[pl.Series, pl.Series], reasons: tuple[str, str], rejects: Rejects
) -> pl.DataFrame:
    """Reject activities whose compound (or assay) is absent from its table, or was rejected there.

    Args:
        known: All ids in that table, and those that passed.
        reasons: For ids that are not in the table, and for those that did not pass.
    """
    checks: list[Check] = [(~pl.col(key).is_in(ids.implode()), why, key) for ids, why in zip(known, reasons, strict=True)]
    return rejects.split(table, rows, checks, activity_id())


def activity_id() -> pl.Expr:
    """How an activity is named in `rejected.csv`."""
    return pl.format("{}/{}", "assay_id", "compound_id")
