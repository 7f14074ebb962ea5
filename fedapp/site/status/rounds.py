"""How a run gets on, from the coordinator's journal: rounds, phases, sizes, times and drop-outs, since it knows nothing else."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from strategies.coordinator.journal import Exchange
from strategies.secagg.phases import Step

OUTCOME = "outcome.json"
SET_UP, ROUND, FINISH = "set-up", "round", "finish"
OF_SET_UP = (Step.ADVERTISE_KEYS, Step.SHARE_KEYS, Step.HANDOVER)


@dataclass(frozen=True)
class RoundMade:
    """All exchanges of one round.

    Attributes:
        done: Whether its sum was unmasked.
        attempts: How often masked updates were asked for.
        asked, replied: In the exchange with the fewest replies.
        seconds: All exchanges together, `collecting` those that wait for training.
        metrics: Means over partners that every partner's policy lets the coordinator see.
    """

    round: int
    done: bool
    attempts: int
    asked: int
    replied: int
    bytes_down: int
    bytes_up: int
    seconds: float
    collecting: float
    left_out: list[str]
    metrics: dict[str, float]


@dataclass(frozen=True)
class PhaseTaken:
    """One phase over all its exchanges: medians of seconds and bytes."""

    part: str
    phase: str
    exchanges: int
    seconds: float
    total_seconds: float
    bytes_down: float
    bytes_up: float


@dataclass(frozen=True)
class DropOut:
    """Replies that were left out for one reason in one phase, and the rounds in which that happened."""

    phase: str
    reason: str
    replies: int
    rounds: list[int]


def progress(exchanges: list[Exchange], threshold: int, recent: int) -> dict[str, Any]:
    """What the journal says, as one JSON object.

    Keys: round (the last one done), attempt (of the one in progress; None without one), made (rounds), phases, drop_outs, exchanges
    (the `recent` newest first).

    Args:
        threshold: Replies that unmasking needs.
    """
    made = rounds_made(exchanges, threshold)
    done = max((entry.round for entry in made if entry.done), default=0)
    current = [entry for entry in made if entry.round > done]
    return {
        "round": done,
        "attempt": current[-1].attempts if current else None,
        "made": [asdict(entry) for entry in made],
        "phases": [asdict(phase) for phase in phases_taken(exchanges)],
        "drop_outs": [asdict(loss) for loss in drop_outs(exchanges)],
        "exchanges": [asdict(exchange) for exchange in reversed(exchanges[-recent:])],
    }


def part_of(exchange: Exchange) -> str:
    """Set-up (keys, the row list, a trunk for who lacks it), a round, or the last trunk's way home."""
    if exchange.phase == Step.FINISH:
        return FINISH
    return SET_UP if exchange.round == 0 or exchange.phase in OF_SET_UP else ROUND


def rounds_made(exchanges: Iterable[Exchange], threshold: int) -> list[RoundMade]:
    """Every federated round that was begun, ascending."""
    by_round: dict[int, list[Exchange]] = {}
    for each in exchanges:
        if part_of(each) == ROUND:
            by_round.setdefault(each.round, []).append(each)
    return [_one_round(number, by_round[number], threshold) for number in sorted(by_round)]


def _one_round(number: int, exchanges: list[Exchange], threshold: int) -> RoundMade:
    fewest = min(exchanges, key=lambda each: each.replied - each.asked)
    return RoundMade(
        round=number,
        done=any(each.phase == Step.UNMASK and each.replied >= threshold for each in exchanges),
        attempts=sum(each.phase == Step.COLLECT for each in exchanges),
        asked=fewest.asked,
        replied=fewest.replied,
        bytes_down=sum(each.bytes_down for each in exchanges),
        bytes_up=sum(each.bytes_up for each in exchanges),
        seconds=sum(each.seconds for each in exchanges),
        collecting=sum(each.seconds for each in exchanges if each.phase == Step.COLLECT),
        left_out=[reason for each in exchanges for reason in each.left_out],
        metrics={name: value for each in exchanges for name, value in each.metrics.items()},
    )


def phases_taken(exchanges: Iterable[Exchange]) -> list[PhaseTaken]:
    """Every phase of every part, in the order of the protocol's first use."""
    groups: dict[tuple[str, str], list[Exchange]] = {}
    for each in exchanges:
        groups.setdefault((part_of(each), each.phase), []).append(each)
    ordered = sorted(groups, key=lambda key: (SET_UP, ROUND, FINISH).index(key[0]))
    return [_one_phase(part, phase, groups[part, phase]) for part, phase in ordered]


def _one_phase(part: str, phase: str, exchanges: list[Exchange]) -> PhaseTaken:
    seconds = [each.seconds for each in exchanges]
    return PhaseTaken(
        part=part,
        phase=phase,
        exchanges=len(exchanges),
        seconds=median(seconds),
        total_seconds=sum(seconds),
        bytes_down=median(each.bytes_down for each in exchanges),
        bytes_up=median(each.bytes_up for each in exchanges),
    )


def drop_outs(exchanges: Iterable[Exchange]) -> list[DropOut]:
    """Phase and reason of every reply that was left out, the most frequent first."""
    rounds_by_reason: dict[tuple[str, str], list[int]] = {}
    for each in exchanges:
        for reason in each.left_out:
            rounds_by_reason.setdefault((each.phase, str(reason)), []).append(each.round)
    ordered = sorted(rounds_by_reason.items(), key=lambda item: -len(item[1]))
    return [DropOut(phase, reason, len(rounds), sorted(set(rounds))) for (phase, reason), rounds in ordered]
