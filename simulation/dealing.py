"""Endpoints that several simulated partners measure: each endpoint's compounds are dealt out over some partners, series by series.

So it is with ADME and safety panels: partners measure the same on compounds of their own, from chemical series that the others do not
have. A compound that was measured in several endpoints goes with each of them by itself.
"""

from pathlib import Path

import numpy as np
import polars as pl

from fedapp.config import Data, Tasks
from fedapp.data.dataset import read_activities
from fedapp.errors import DataError
from fedapp.wording import plural
from simulation.partition import LARGEST_TO_SMALLEST, partner_names


def deal_endpoints(prepared: Path, data: Data, tasks: Tasks, seed: int) -> dict[str, pl.DataFrame]:
    """Deal the largest endpoints of a prepared folder out to simulated partners, at random and in unequal parts.

    Args:
        prepared: Folder written by `fedapp.data.prepare.prepare`.
        data: How many partners and endpoints, and to how many partners each goes.
        tasks: An endpoint is a value of `group_by`; the smallest of its parts could still hold a task.
        seed: The same seed gives the same partition.
    Returns:
        "partner-1" .. "partner-N" to the activities that it gets, as `build_dataset` takes a share: assay_id, row.
    Raises:
        DataError: No prepared folder, fewer endpoints than asked for that are large enough, or a partner that none was drawn for.
    """
    measured = read_activities(prepared, "all partners", tasks.group_by)[1].select("group", "assay_id", "row").unique()
    series = pl.read_parquet(prepared / "structures.parquet", columns=["row", "series"], glob=False)
    chosen = largest_endpoints(measured, data, tasks)
    generator = np.random.default_rng(seed)
    names, parts = partner_names(data.partners), []
    for endpoint in chosen:
        own = measured.filter(pl.col("group") == endpoint)
        holders = generator.choice(data.partners, size=data.holders, replace=False)
        compounds = own.select("row").unique().join(series, on="row").sort("row")
        part = part_of_series(compounds["series"].to_numpy(), data.holders, generator)
        home = pl.Series("partner", np.array(names)[holders[part]], dtype=pl.String)
        parts.append(own.join(compounds.select("row", home), on="row").select("partner", "assay_id", "row"))
    shares = pl.concat(parts).sort("partner", "assay_id", "row").partition_by("partner", as_dict=True, include_key=False)
    if empty := [name for name in names if (name,) not in shares]:
        raise DataError(
            f"none of {plural(len(chosen), 'endpoint')} was dealt out to {empty[0]}",
            "raise data.endpoints or data.holders, or lower data.partners",
        )
    return {name: shares[(name,)] for name in names}


def largest_endpoints(measured: pl.DataFrame, data: Data, tasks: Tasks) -> list[str]:
    """The endpoints with most measured compounds, largest first.

    Args:
        measured: group, row.
    Raises:
        DataError: Fewer than `data.endpoints` are large enough for a task at every holder.
    """
    least = int(np.ceil(2 * tasks.min_per_class / part_sizes(data.holders).min()))
    counts = (
        measured.group_by("group").agg(pl.col("row").n_unique().alias("compounds")).sort("compounds", "group", descending=[True, False])
    )
    enough = counts.filter(pl.col("compounds") >= least)
    if len(enough) < data.endpoints:
        raise DataError(
            f"{plural(len(enough), 'endpoint')} of {len(counts):,} by {tasks.group_by} {'have' if len(enough) != 1 else 'has'} {least:,} "
            f"measured compounds, which a task at each of {plural(data.holders, 'holder')} takes, and data.endpoints is {data.endpoints:,}",
            "lower data.endpoints, data.holders or tasks.min_per_class, or group more assays together with tasks.group_by",
        )
    return enough["group"].head(data.endpoints).to_list()


def part_sizes(holders: int) -> np.ndarray:
    """Shares of an endpoint's compounds: they fall geometrically and add up to 1."""
    weights = LARGEST_TO_SMALLEST ** (-np.arange(holders) / max(holders - 1, 1))
    return np.asarray(weights / weights.sum())


def part_of_series(series: np.ndarray, holders: int, generator: np.random.Generator) -> np.ndarray:
    """The part, 0 .. holders - 1, of each compound: int (n,). Series lie whole in one, in random order, as near as may be to `part_sizes`.

    Args:
        series: Number of each compound's series (n,).
    """
    numbers, place, counts = np.unique(series, return_inverse=True, return_counts=True)
    order = generator.permutation(len(numbers))
    middle = np.empty(len(numbers))
    middle[order] = np.cumsum(counts[order]) - counts[order] / 2
    ends = np.cumsum(part_sizes(holders))[:-1] * len(series)
    return np.searchsorted(ends, middle, side="right")[place]
