"""Our own tables in the other forms that people have: ChEMBL's download, and two columns."""

from pathlib import Path

import polars as pl


def as_chembl_download(folder: Path) -> None:
    """Turn a folder's p-values into one table as ChEMBL's web page gives it: semicolons, quotes, concentrations in nM."""
    rows = _measured(folder).filter(pl.col("unit") == "p")
    flipped = pl.col("relation").replace_strict({"=": "'='", "<": "'>'", ">": "'<'"})
    nanomolar = (10 ** (9 - pl.col("value").cast(pl.Float64))).cast(pl.String)
    table = rows.select(
        pl.col("compound_id").alias("Molecule ChEMBL ID"),
        pl.col("smiles").alias("Smiles"),
        pl.lit("IC50").alias("Standard Type"),
        flipped.alias("Standard Relation"),
        nanomolar.alias("Standard Value"),
        pl.lit("nM").alias("Standard Units"),
        pl.lit("").alias("pChEMBL Value"),
        pl.col("assay_id").alias("Assay ChEMBL ID"),
        pl.col("assay_id").alias("Target ChEMBL ID"),
    )
    _replace(folder, table.write_csv(separator=";", quote_style="always"))


def as_two_columns(folder: Path) -> None:
    """Turn the first assay with p-values into a table of structures and exact values."""
    rows = _measured(folder).filter((pl.col("unit") == "p") & (pl.col("relation") == "="))
    first = rows.filter(pl.col("assay_id") == rows["assay_id"][0])
    _replace(folder, first.select("smiles", pl.col("value").alias("pIC50")).write_csv())


def _measured(folder: Path) -> pl.DataFrame:
    activities, compounds = (pl.read_csv(folder / f"{name}.csv", infer_schema=False) for name in ("activities", "compounds"))
    return activities.join(compounds, on="compound_id", maintain_order="left")


def _replace(folder: Path, text: str) -> None:
    (folder / "compounds.csv").unlink()
    (folder / "activities.csv").write_text(text)
