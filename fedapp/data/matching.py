"""Bringing activities, compounds and assays together: each activity finds its structure and its assay, or is rejected."""

import polars as pl

from fedapp.data import curate
from fedapp.data.assay_settings import setting_checks
from fedapp.data.inputs import Inputs
from fedapp.data.tables import LINE
from fedapp.errors import DataError


def check_assays(inputs: Inputs, measured: pl.DataFrame, rejects: curate.Rejects) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Activities of known assays, and one row per assay: that of the assays table, or what activities say (assay_id, target_id)."""
    if inputs.assays is None:
        targets = [pl.col(column).max() for column in ("target_id",) if column in measured.columns]  # "" where no row has one
        return measured, measured.group_by("assay_id").agg(targets).sort("assay_id")
    named = inputs.activities.rows["assay_id"].unique()
    cells = setting_checks(inputs.assays.rows.columns, measured)
    listed = curate.check_entities(inputs.assays, "assay_id", named, curate.UNMEASURED_ASSAY, rejects, cells)
    known = inputs.assays.rows["assay_id"].unique(), listed["assay_id"]
    reasons = curate.UNKNOWN_ASSAY, curate.REJECTED_ASSAY
    return curate.check_references(inputs.activities, measured, "assay_id", known, reasons, rejects), listed.drop(LINE)


def list_compounds(inputs: Inputs, measured: pl.DataFrame, rejects: curate.Rejects) -> pl.DataFrame:
    """compound_id and smiles of every structure to compute: those of the compounds table, or those beside activities."""
    if inputs.compounds is None:
        return measured.select("compound_id", "smiles").unique(maintain_order=True)
    named = inputs.activities.rows["compound_id"].unique()
    return curate.check_entities(inputs.compounds, "compound_id", named, curate.UNMEASURED_COMPOUND, rejects)


def match_compounds(
    inputs: Inputs, measured: pl.DataFrame, described: pl.DataFrame, rejects: curate.Rejects
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Compounds with the row (i32) of their structure, each id once, and the activities with theirs."""
    why = pl.col("why")
    if inputs.compounds is None:
        measured = measured.join(described, on=["compound_id", "smiles"], how="left", maintain_order="left")
        measured = rejects.split(inputs.activities, measured, [(why.is_not_null(), why, "smiles")], curate.activity_id())
        return measured.select("compound_id", "row").unique(maintain_order=True), measured
    good = rejects.split(inputs.compounds, described, [(why.is_not_null(), why, "smiles")], pl.col("compound_id"))
    accepted = good.select("compound_id", "row").unique(maintain_order=True)
    known = inputs.compounds.rows["compound_id"].unique(), accepted["compound_id"]
    reasons = curate.UNKNOWN_COMPOUND, curate.REJECTED_COMPOUND
    measured = curate.check_references(inputs.activities, measured, "compound_id", known, reasons, rejects)
    return accepted, measured.join(accepted, on="compound_id", how="left", maintain_order="left")


def split_assays(measured: pl.DataFrame, assays: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame, int]:
    """Make an assay that reports several targets or types of value (IC50 and Ki, say) one for each, named "ASSAY TARGET TYPE".

    An absent target is that of the assay's other rows where these have just one; an absent type is a type of its own.

    Returns:
        The activities, the assays, and how many assays were split.
    Raises:
        DataError: Such a name is that of another assay.
    """
    parts = [column for column in ("target_id", "type") if column in measured.columns]
    if not parts:
        return measured, assays, 0
    values = {"target_id": pl.col("target_id").replace("", None).drop_nulls(), "type": pl.col("type")}
    several = [values[part].n_unique().over("assay_id") > 1 for part in parts]
    words = [pl.when(many).then(part).otherwise(pl.lit("")) for many, part in zip(several, parts, strict=True)]
    name = pl.concat_str("assay_id", *words, separator=" ").str.replace_all(" +", " ").str.strip_chars()
    measured = measured.with_columns(pl.when(pl.any_horizontal(several)).then(name).otherwise("assay_id").alias("name"))
    names = measured.group_by("assay_id", "name").agg([pl.col("target_id").max()] if "target_id" in parts else [])
    if not names["name"].is_unique().all():
        raise DataError(f"two assays would be named {names.filter(~pl.col('name').is_unique())['name'][0]}", "rename one of them")
    others = assays.drop("target_id") if "target_id" in parts else assays  # a part has the target of its own rows
    split = names.filter(pl.col("name") != pl.col("assay_id"))["assay_id"].n_unique()
    joined = names.join(others, on="assay_id", how="left").drop("assay_id").rename({"name": "assay_id"})
    return measured.drop("assay_id").rename({"name": "assay_id"}), joined.select(assays.columns).sort("assay_id"), split
