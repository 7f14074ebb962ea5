"""Rounds, traffic and time, from the coordinator's journal and the partners' metrics."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from fedapp.report.saved_run import SavedRun
from fedapp.selection import validation_curve


@dataclass(frozen=True)
class Round:
    """One round of the federated arm; what was not saved is None. Bytes are summed over partners."""

    number: int | None
    phases: str
    asked: int | None
    replied: int | None
    bytes_down: int | None
    bytes_up: int | None
    seconds: float | None
    loss: float | None
    auc_pr: float | None


def rounds_of(run: SavedRun) -> list[Round]:
    """Every round that left a trace; exchanges outside any round come first, with number None."""
    arm = run.arms.get("federated")
    losses: dict[int | None, float] = {}
    scores: dict[int, float] = {}
    if arm is not None:
        losses = dict(arm.losses.drop_nulls("loss").group_by("round").agg(pl.col("loss").mean()).iter_rows())
        scores = validation_curve(arm.metrics, run.minimum)
    exchanges: dict[int | None, list[Mapping[str, Any]]] = {}
    for row in run.journal:
        number = row.get("round")
        exchanges.setdefault(number if isinstance(number, int) and number > 0 else None, []).append(row)
    numbers = sorted({*losses, *scores, *exchanges} - {None}, key=lambda number: number or 0)
    held: list[int | None] = [None, *numbers] if None in exchanges else [*numbers]
    return [one_round(number, exchanges.get(number, []), losses.get(number), scores.get(number or 0)) for number in held]


def one_round(number: int | None, exchanges: list[Mapping[str, Any]], loss: float | None, auc_pr: float | None) -> Round:
    """Sum a round's exchanges; asked and replied are those of the exchange with the fewest replies."""
    fewest = min(exchanges, key=lambda row: people(row.get("replied")) or 0, default={})
    phases = list(dict.fromkeys(str(row["phase"]) for row in exchanges if row.get("phase")))
    return Round(
        number=number,
        phases=", ".join(phases),
        asked=people(fewest.get("asked")),
        replied=people(fewest.get("replied")),
        bytes_down=total(exchanges, "bytes_down"),
        bytes_up=total(exchanges, "bytes_up"),
        seconds=seconds(exchanges),
        loss=loss,
        auc_pr=auc_pr,
    )


def people(value: Any) -> int | None:
    """How many partners, from a number or a list of them."""
    if isinstance(value, list):
        return len(value)
    return value if isinstance(value, int) else None


def total(exchanges: list[Mapping[str, Any]], key: str) -> int | None:
    held = [row[key] for row in exchanges if isinstance(row.get(key), int)]
    return sum(held) if held else None


def seconds(exchanges: list[Mapping[str, Any]]) -> float | None:
    held = [float(row["seconds"]) for row in exchanges if isinstance(row.get("seconds"), int | float)]
    return sum(held) if held else None


def total_bytes(rounds: list[Round]) -> int | None:
    """Both directions, all rounds."""
    held = [value for one in rounds for value in (one.bytes_down, one.bytes_up) if value is not None]
    return sum(held) if held else None
