"""What an assays table may say of an assay's labels: how much they weigh, whether they only help others, and where active begins."""

from collections.abc import Collection

import polars as pl

from fedapp.data.columns import SETTINGS
from fedapp.data.notation import THRESHOLDS_WITHIN
from fedapp.data.tables import Table
from fedapp.errors import DataError

WEIGHT, AUXILIARY, THRESHOLDS = SETTINGS
LOWEST_WEIGHT, HIGHEST_WEIGHT = 1e-6, 1e6  # beyond them one assay is all or nothing
TRUE, FALSE = ("true", "yes", "1"), ("false", "no", "0", "")
REASONS = {
    WEIGHT: f"weight is not a number from {LOWEST_WEIGHT:f} to {HIGHEST_WEIGHT:,.0f}",
    AUXILIARY: "auxiliary is neither true nor false",
    THRESHOLDS: "thresholds are not numbers with ; between them",
}
BEYOND = "thresholds are not within {:g} to {:g}: {}"


def setting_checks(columns: Collection[str], measured: pl.DataFrame) -> list[tuple[pl.Expr, str, str]]:
    """For each of `SETTINGS` that an assays table has: which of its cells are wrong, the reason, and the column.

    Args:
        measured: assay_id and kind ("p", "%" or "label") of what was measured: thresholds must be such values.
    """
    number = pl.col(WEIGHT).cast(pl.Float64, strict=False)
    wrong = {
        WEIGHT: (pl.col(WEIGHT) != "") & ~number.is_between(LOWEST_WEIGHT, HIGHEST_WEIGHT).fill_null(False),
        AUXILIARY: ~pl.col(AUXILIARY).str.to_lowercase().is_in([*TRUE, *FALSE]),
        THRESHOLDS: (pl.col(THRESHOLDS) != "") & ~_numbers().list.eval(pl.element().is_finite().fill_null(False)).list.all(),
    }
    checks = [(wrong[name], REASONS[name], name) for name in SETTINGS if name in columns]
    return [*checks, *(_beyond(unit, measured) for unit in THRESHOLDS_WITHIN if THRESHOLDS in columns)]


def _beyond(unit: str, measured: pl.DataFrame) -> tuple[pl.Expr, str, str]:
    """Which assays with values in this unit have a threshold that can be none of them."""
    lowest, highest, hint = THRESHOLDS_WITHIN[unit]
    own = measured.filter(pl.col("kind") == unit)["assay_id"].unique()
    within = _numbers().list.eval(pl.element().is_between(lowest, highest)).list.all()
    return pl.col("assay_id").is_in(own.implode()) & (pl.col(THRESHOLDS) != "") & ~within, BEYOND.format(lowest, highest, hint), THRESHOLDS


def assays_in_percent(table: Table | None) -> list[str]:
    """Assays whose values may be in %, which no common threshold fits: those with thresholds of their own, and auxiliary ones."""
    if table is None:
        return []
    own = {THRESHOLDS: pl.col(THRESHOLDS) != "", AUXILIARY: pl.col(AUXILIARY).str.to_lowercase().is_in(TRUE)}
    told = [said for name, said in own.items() if name in table.rows.columns]
    return table.rows.filter(pl.any_horizontal(pl.lit(False), *told))["assay_id"].to_list()


def assay_settings(assays: pl.DataFrame) -> pl.DataFrame:
    """assay_id, weight f32, auxiliary bool and thresholds list[f32] of every assay; null thresholds are those of the configuration.

    Args:
        assays: assay_id, and those of `SETTINGS` that the table had, as text that `setting_checks` has passed.
    """
    read = {
        WEIGHT: pl.when(pl.col(WEIGHT) != "").then(pl.col(WEIGHT)).cast(pl.Float32).fill_null(1.0),
        AUXILIARY: pl.col(AUXILIARY).str.to_lowercase().is_in(TRUE),
        THRESHOLDS: pl.when(pl.col(THRESHOLDS) != "").then(_numbers().list.unique().list.sort()),
    }
    absent = {WEIGHT: pl.lit(1.0, pl.Float32), AUXILIARY: pl.lit(False), THRESHOLDS: pl.lit(None, pl.List(pl.Float32))}
    return assays.select("assay_id", *((read if name in assays.columns else absent)[name].alias(name) for name in SETTINGS))


def group_settings(assays: pl.DataFrame) -> pl.DataFrame:
    """group, weight, auxiliary and thresholds: what the assays of each group say.

    Args:
        assays: group, assay_id, weight, auxiliary, thresholds.
    Raises:
        DataError: Two assays of one group say different things; it names both.
    """
    for name in SETTINGS:
        said = assays.unique(["group", name], keep="first", maintain_order=True)
        if len(differing := said.filter(pl.len().over("group") > 1)):
            first, second, *_ = differing.filter(pl.col("group") == differing["group"][0]).select("group", "assay_id", name).rows()
            words = ["of the configuration" if value is None else str(value) for value in (first[2], second[2])]
            raise DataError(
                f"assays {first[1]} and {second[1]} are both of {first[0]}, and their {name} differ: {words[0]} and {words[1]}",
                f"the assays that tasks.group_by brings together need the same {name} in the assays table",
            )
    return assays.unique("group", keep="first", maintain_order=True).select("group", *SETTINGS)


def _numbers() -> pl.Expr:
    """The cells of thresholds as list[f32]; null for what is no number."""
    parts = pl.col(THRESHOLDS).str.replace_all(r"[;\s]+", ";").str.strip_chars(";").str.split(";")
    return parts.list.eval(pl.element().cast(pl.Float32, strict=False))
