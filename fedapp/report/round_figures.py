"""Rounds, traffic and time, from the coordinator's journal and the partners' metrics."""

from collections.abc import Iterable
from dataclasses import dataclass

import polars as pl

from fedapp.evaluation.selection import validation_curve
from fedapp.report.saved_run import SavedRun
from strategies.coordinator.journal import Exchange

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
    score: float | None


def rounds_of(run: SavedRun) -> list[RoundFigures]:
    """Every round that left a trace; set-up comes first, and the last trunk's way home last."""
    arm = run.arms.get("federated")
    losses: dict[str, float] = {}
    scores: dict[str, float] = {}
    if arm is not None:
        means = arm.losses.drop_nulls("loss").group_by("round").agg(pl.col("loss").mean())
        losses = {str(number): loss for number, loss in means.iter_rows()}
        scores = {str(number): score for number, score in validation_curve(arm.metrics, run.minimum).items()}
    exchanges: dict[str, list[Exchange]] = {}
    for exchange in run.journal:
        exchanges.setdefault(place(exchange), []).append(exchange)
    numbers = sorted({*losses, *scores, *exchanges} - {SET_UP, FINISH}, key=int)
    names = [SET_UP] * (SET_UP in exchanges) + numbers + [FINISH] * (FINISH in exchanges)
    return [one_round(name, exchanges.get(name, []), losses.get(name), scores.get(name)) for name in names]


def place(exchange: Exchange) -> str:
    """The round that an exchange belongs to."""
    if exchange.phase in LAST:
        return FINISH
    return str(exchange.round) if exchange.round > 0 else SET_UP


def one_round(name: str, exchanges: list[Exchange], loss: float | None, score: float | None) -> RoundFigures:
    """Sum a round's exchanges."""
    fewest = min(exchanges, key=lambda exchange: exchange.replied, default=None)
    return RoundFigures(
        name=name,
        exchanges=len(exchanges),
        asked=fewest.asked if fewest else None,
        replied=fewest.replied if fewest else None,
        bytes_down=sum(exchange.bytes_down for exchange in exchanges) if exchanges else None,
        bytes_up=sum(exchange.bytes_up for exchange in exchanges) if exchanges else None,
        seconds=sum(exchange.seconds for exchange in exchanges) if exchanges else None,
        loss=loss,
        score=score,
    )


def phases(journal: Iterable[Exchange]) -> dict[str, list[str]]:
    """The phases of set-up, of a round and of the finish, each in the order in which they first came."""
    names: dict[str, dict[str, None]] = {}
    for exchange in journal:
        name = place(exchange)
        names.setdefault(name if name in (SET_UP, FINISH) else "a round", {})[exchange.phase] = None
    return {name: list(names[name]) for name in (SET_UP, "a round", FINISH) if name in names}


def left_out(journal: Iterable[Exchange]) -> dict[tuple[str, str], list[str]]:
    """Phase and reason to the rounds, each once, in which a reply was not accepted for it."""
    places: dict[tuple[str, str], dict[str, None]] = {}
    for exchange in journal:
        for reason in exchange.left_out:
            places.setdefault((exchange.phase, str(reason)), {})[place(exchange)] = None
    return {key: list(names) for key, names in places.items()}


def total_bytes(rounds: list[RoundFigures]) -> int | None:
    """Both directions, all rounds."""
    sizes = [value for one in rounds for value in (one.bytes_down, one.bytes_up) if value is not None]
    return sum(sizes) if sizes else None
