"""Small tables for the tests."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from fedapp.config import Chemistry, Tasks

CHEMISTRY = Chemistry(radius=3, bits=2048, max_heavy_atoms=100, folds=5, fold_key_file=None)
TASKS = Tasks(kinds=["classification"], group_by="assay_id", thresholds=[5.5, 6.5, 7.5], min_per_class=1, catalogue=None)

Rows = Sequence[str]  # lines of CSV without the header


def write_csv(path: Path, header: str, rows: Rows) -> None:
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")


def write_tables(
    folder: Path,
    compounds: Rows,
    activities: Rows,
    assays: Rows = (),
    columns: str = "assay_id,compound_id,value,relation,unit",
    assay_columns: str = "assay_id,target_id",
) -> Path:
    """Write compounds.csv, activities.csv and, when there are rows for it, assays.csv."""
    folder.mkdir(parents=True, exist_ok=True)
    write_csv(folder / "compounds.csv", "compound_id,smiles", compounds)
    write_csv(folder / "activities.csv", columns, activities)
    if assays:
        write_csv(folder / "assays.csv", assay_columns, assays)
    return folder


def rejected(prepared: Path) -> list[tuple[str, int, str, str]]:
    """File, line, id and reason of all rows of rejected.csv."""
    return [row[:4] for row in shown_rejects(prepared)]  # type: ignore[misc]


def shown_rejects(prepared: Path) -> list[tuple[str, int, str, str, str]]:
    """Rows of rejected.csv, with the text that each is about."""
    table = pl.read_csv(prepared / "rejected.csv", schema_overrides={"line": pl.Int64}, infer_schema=False, glob=False)
    return table.fill_null("").rows()


def good_tables(folder: Path, compounds: int = 12) -> Path:
    """Alcohols and amines of growing length, one assay in nM and one of 0/1 labels, all usable."""
    names = [f"{number:03d}" for number in range(compounds)]
    structures = [f"{name},{'C' * (1 + number)}{'ON'[number % 2]}" for number, name in enumerate(names)]
    molar = [f"potency,{name},{10 ** (number % 6)},=,nM" for number, name in enumerate(names)]
    labels = [f"toxic,{name},{number % 2},=,label" for number, name in enumerate(names)]
    return write_tables(folder, structures, [*molar, *labels])
