"""Runs of made-up comparisons, and what `compare --json` would have printed of them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from fedapp.evaluation.arms import ARMS, CALIBRATION_ERROR, CLASS_METRICS, CONFORMAL, UNGUARDED, VALUE_METRICS, column
from fedapp.evaluation.comparison import BREAKDOWN
from fedapp.storage.sealed_table import write_table

FACTS = {
    "command": "polyphony compare conf/tox21.yaml seed=3 --json",
    "commit": "0123456789ab",
    "date": "2026-01-02",
    "machine": {"processor": "Chip", "cores": 2, "memory_gib": 8, "gpu": None},
    "versions": {"torch": "2"},
    "wall_seconds": 1.5,
}
GROUPS, THRESHOLDS = 12, 3
GAINS = {"local_twice": 0.002, "federated": 0.03, "combined": 0.04, "pooled": 0.02, "merged": 0.05, "forest": -0.03, "constant": -0.2}


def tasks(seed: int, metrics: tuple[str, ...] = CLASS_METRICS, noise: float = 0.01) -> pl.DataFrame:
    """A comparison's tasks: two partners with twelve targets each, three thresholds of each, one task in six of which does not count."""
    draw = np.random.default_rng(seed)
    number = 2 * GROUPS * THRESHOLDS
    table = pl.DataFrame(
        {
            "partner": np.repeat(["alpha", "beta"], number // 2),
            "group": [f"target {place // THRESHOLDS % GROUPS}" for place in range(number)],
            "task": np.arange(number) % (number // 2),
            "counts": draw.random(number) > 1 / 6,
        }
    )
    easy = draw.uniform(0.5, 0.7, number)
    arms = [arm for arm in ARMS if arm != UNGUARDED]
    figures = {column(arm, name): easy + GAINS.get(arm, 0) + draw.normal(0, noise, number) for arm in arms for name in metrics}
    absent = {column(arm, name): None for arm in arms for name in {*CLASS_METRICS, *VALUE_METRICS} - set(metrics)}
    if "spearman" in metrics:
        figures[column("constant", "spearman")] = np.full(number, np.nan)  # all its predictions are equal
    return table.with_columns(**{name: pl.Series(values).fill_nan(None) for name, values in figures.items()}).with_columns(
        *(pl.lit(value, pl.Float64).alias(name) for name, value in absent.items())
    )


def breakdown(seed: int) -> pl.DataFrame:
    """Two parts of each kind."""
    rows = [
        {"by": by, "part": part, "least": 0.1 * part, "most": 0.2 + 0.1 * part, "tasks": 10 + seed, "arm": arm, "auc_pr": 0.6}
        | ({"gain_value": gain + 0.001 * seed} if arm != "local" else {})
        for by in ("similarity", "partner_size", "labels", "holders")
        for part in range(2)
        for arm, gain in {"local": 0.0, **GAINS}.items()
    ]
    return pl.DataFrame(rows, schema=BREAKDOWN)


def printed(run: Path, seed: int, metrics: tuple[str, ...] = CLASS_METRICS, noise: float = 0.01) -> str:
    """Make the run's tables, and print a comparison's result."""
    run.mkdir(parents=True, exist_ok=True)
    table = tasks(seed, metrics, noise)
    write_table(run / "comparison.parquet", table)
    write_table(run / "breakdown.parquet", breakdown(seed))
    counted = table.filter("counts")
    of_arms: dict[str, Any] = {
        arm: {name: counted[column(arm, name)].mean() for name in metrics} | dict.fromkeys((CALIBRATION_ERROR, *CONFORMAL), 0.1)
        for arm in ARMS
        if arm != UNGUARDED
    }
    kind = "classification" if metrics == CLASS_METRICS else "regression"
    result = of_arms | {
        "tasks": len(counted),
        "partners": {name: {"choice": {kind: choice}} for name, choice in (("alpha", "federated"), ("beta", "mean"))},
        "gains": {},
        "seed": seed,
        "bits": 64,
        "rounds": 3,
        "rows_in_sum": 20 + seed,
        "named_in_sums": {"alpha": {"identified": 1, "compounds": 10 * seed}, "beta": {"identified": 0, "compounds": 5}},
        "run": str(run),
        "report": str(run / "report.html"),
        "provenance": FACTS,
    }
    return json.dumps(result)
