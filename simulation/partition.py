"""Which assays belong to which simulated partner."""

from pathlib import Path

import numpy as np
import polars as pl

from fedapp.errors import DataError

LARGEST_TO_SMALLEST = 3.0  # partner-1 holds about three times as many assays as the last partner


def partition_assays(prepared: Path, partners: int, seed: int) -> dict[str, set[str]]:
    """Deal the assays of a prepared folder out to simulated partners, at random and in unequal shares.

    Compounds follow their assays, so partners share those that several of their assays measure. Assays with the same
    `dup_group` (one experiment deposited twice) stay together: apart, one partner would hold another's labels.

    Args:
        prepared: Folder written by `fedapp.data.prepare.prepare`.
        partners: How many, 1 or more.
        seed: The same seed gives the same partition.
    Returns:
        "partner-1" .. "partner-N" to assay ids; shares fall geometrically from the
        first to the last; each has at least one assay.
    Raises:
        DataError: No prepared folder, or fewer assays (or groups of duplicates) than partners.
    """
    if not (prepared / "assays.parquet").is_file():
        raise DataError(f"{prepared} is not a prepared folder", "polyphony prepare TABLES --out DIR writes one")
    blocks = duplicate_blocks(prepared)
    if len(blocks) < partners:
        raise DataError(
            f"{len(blocks)} independent assays cannot be split over {partners} partners", "lower data.partners or give more assays"
        )
    order = np.random.default_rng(seed).permutation(len(blocks))
    ends = np.cumsum(share_sizes(len(blocks), partners))
    names = partner_names(partners)
    return {
        name: {assay for block in chosen for assay in blocks[block]} for name, chosen in zip(names, np.split(order, ends[:-1]), strict=True)
    }


def partner_names(partners: int) -> list[str]:
    """partner-1 .. partner-N."""
    return [f"partner-{number}" for number in range(1, partners + 1)]


def share_sizes(items: int, partners: int) -> list[int]:
    """Sizes that fall geometrically, add up to `items` and are at least 1 (items >= partners)."""
    weights = LARGEST_TO_SMALLEST ** (-np.arange(partners) / max(partners - 1, 1))
    ideal = 1 + (items - partners) * weights / weights.sum()
    sizes = np.floor(ideal).astype(int)
    for index in np.argsort(sizes - ideal, kind="stable")[: items - sizes.sum()]:
        sizes[index] += 1
    return [int(size) for size in sizes]


def duplicate_blocks(prepared: Path) -> list[list[str]]:
    """Assays that have activities, in sorted order, those of one `dup_group` as one block."""
    measured = pl.read_parquet(prepared / "activities.parquet", columns=["assay_id"], glob=False).unique()
    assays = pl.read_parquet(prepared / "assays.parquet", glob=False).join(measured, on="assay_id", how="semi")
    group = pl.col("dup_group") if "dup_group" in assays.columns else pl.lit("")
    block = pl.when(group == "").then(pl.format("assay {}", "assay_id")).otherwise(pl.format("group {}", group))
    blocks = assays.select("assay_id", block.alias("block")).group_by("block").agg(pl.col("assay_id").sort())
    return blocks.sort(pl.col("assay_id").list.first())["assay_id"].to_list()
