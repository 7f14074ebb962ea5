"""Bringing activities, compounds and assays together: each activity finds its structure and its assay, or is rejected."""

import polars as pl

from fedapp.data import curate
from fedapp.data.inputs import Inputs
from fedapp.data.tables import LINE
from fedapp.errors import DataError


def check_assays(inputs: Inputs, measured: pl.DataFrame, rejects: curate.Rejects) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Activities of known assays, and one row per assay: that of the assays table, or what activities say (assay_id, target_id)."""
    if inputs.assays is None:
        columns = [column for column in ("assay_id", "target_id") if column in measured.columns]
        if "target_id" in columns:
            several = pl.col("target_id").n_unique().over("assay_id") > 1
            check = several, curate.CONTRADICTORY.format("assay_id", "target_id"), "target_id"
            measured = rejects.split(inputs.activities, measured, [check], curate.activity_id())
        return measured, measured.select(columns).unique().sort("assay_id")
    named = inputs.activities.rows["assay_id"].unique()
    listed = curate.check_entities(inputs.assays, "assay_id", named, curate.UNMEASURED_ASSAY, rejects)
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


def split_types(measured: pl.DataFrame, assays: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Make an assay that reports several types of value (IC50 and Ki, say) one assay each, named "ASSAY TYPE".

    Raises:
        DataError: Such a name is that of another assay.
    """
    if "type" not in measured.columns:
        return measured, assays
    several = pl.col("type").n_unique().over("assay_id") > 1
    name = pl.when(several).then(pl.format("{} {}", "assay_id", "type").str.strip_chars()).otherwise("assay_id").alias("name")
    measured = measured.with_columns(name)
    names = measured.select("assay_id", "name").unique(maintain_order=True)
    if not names["name"].is_unique().all():
        raise DataError(f"two assays would be named {names.filter(~pl.col('name').is_unique())['name'][0]}", "rename one of them")
    assays = names.join(assays, on="assay_id", how="left", maintain_order="left").drop("assay_id").rename({"name": "assay_id"})
    return measured.drop("assay_id").rename({"name": "assay_id"}), assays.sort("assay_id")
