"""Rounds, traffic and time, from the coordinator's journal and the partners' metrics."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from fedapp.evaluation.selection import validation_curve
from fedapp.report.saved_run import SavedRun

SET_UP, FINISH = "set-up", "finish"
LAST = ("Finish", "final")  # phases that take the last trunk home: they carry the number of a round that is over


@dataclass(frozen=True)
class RoundFigures:
    """One round of the federated arm; what was not saved is None. Bytes are summed over partners.

    Attributes:
        name: Its number, `set-up` or `finish`.
        exchanges: How many there were; more than usual if the round was tried again.
        asked, replied: Of the exchange with the fewest replies.
    """

    name: str
    exchanges: int
    asked: int | None
    replied: int | None
    bytes_down: int | None
    bytes_up: int | None
    seconds: float | None
    loss: float | None
    auc_pr: float | None


def rounds_of(run: SavedRun) -> list[RoundFigures]:
    """Every round that left a trace; set-up comes first, and the last trunk's way home last."""
    arm = run.arms.get("federated")
    losses: dict[str, float] = {}
    scores: dict[str, float] = {}
    if arm is not None:
        means = arm.losses.drop_nulls("loss").group_by("round").agg(pl.col("loss").mean())
        losses = {str(number): loss for number, loss in means.iter_rows()}
        scores = {str(number): score for number, score in validation_curve(arm.metrics, run.minimum).items()}
    exchanges: dict[str, list[Mapping[str, Any]]] = {}
    for row in run.journal:
        exchanges.setdefault(place(row), []).append(row)
    numbers = sorted({*losses, *scores, *exchanges} - {SET_UP, FINISH}, key=int)
    names = [SET_UP] * (SET_UP in exchanges) + numbers + [FINISH] * (FINISH in exchanges)
    return [one_round(name, exchanges.get(name, []), losses.get(name), scores.get(name)) for name in names]


def place(exchange: Mapping[str, Any]) -> str:
    """The round that an exchange belongs to."""
    if exchange.get("phase") in LAST:
        return FINISH
    number = exchange.get("round")
    return str(number) if isinstance(number, int) and number > 0 else SET_UP


def one_round(name: str, exchanges: list[Mapping[str, Any]], loss: float | None, auc_pr: float | None) -> RoundFigures:
    """Sum a round's exchanges."""
    fewest = min(exchanges, key=lambda row: people(row.get("replied")) or 0, default={})
    return RoundFigures(
        name=name,
        exchanges=len(exchanges),
        asked=people(fewest.get("asked")),
        replied=people(fewest.get("replied")),
        bytes_down=total(exchanges, "bytes_down"),
        bytes_up=total(exchanges, "bytes_up"),
        seconds=seconds(exchanges),
        loss=loss,
        auc_pr=auc_pr,
    )


def phases(journal: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """The phases of set-up, of a round and of the finish, each in the order in which they first came."""
    held: dict[str, dict[str, None]] = {}
    for row in journal:
        name = place(row)
        held.setdefault(name if name in (SET_UP, FINISH) else "a round", {})[str(row.get("phase"))] = None
    return {name: list(held[name]) for name in (SET_UP, "a round", FINISH) if name in held}


def left_out(journal: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], list[str]]:
    """Phase and reason to the rounds, each once, in which a reply was not accepted for it."""
    held: dict[tuple[str, str], dict[str, None]] = {}
    for row in journal:
        for reason in row.get("left_out") or []:
            held.setdefault((str(row.get("phase")), str(reason)), {})[place(row)] = None
    return {key: list(names) for key, names in held.items()}


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


def total_bytes(rounds: list[RoundFigures]) -> int | None:
    """Both directions, all rounds."""
    held = [value for one in rounds for value in (one.bytes_down, one.bytes_up) if value is not None]
    return sum(held) if held else None
