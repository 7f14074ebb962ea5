"""A partner's privacy ledger: what was sent in each round and altogether, and what limited it."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from statistics import median
from typing import Any

from fedapp.config import Config
from fedapp.partner_folder import PartnerFolder
from fedapp.site.request_log import Request
from fedapp.storage.damage import DamagedFileError
from fedapp.storage.sealed_array import read_flags
from strategies.secagg.phases import Step
from strategies.update.round_sum import RoundSum
from strategies.update.self_audit import OWN, ROW_LIST, SUM, Audited
from strategies.update.shared_trunk import SharedTrunk, TrunkFileError

SET_UP = 0


@dataclass(frozen=True)
class Sent:
    """What was sent for one round, and what came of it.

    Attributes:
        round: `SET_UP` for keys and the row list.
        bytes_out, bytes_in: Payload of our answers, and of the requests.
        attempts: Masked vectors that left; more than one if a round was tried again.
        refused: Requests that were refused.
        rows: Of the trunk's first layer in the sum; this and what follows is None before there is a sum.
        coordinates, partners, clipped: As in `RoundSum`.
        named, named_by_sum: Own training compounds that the attacks named from our update, in its worst attempt, and from the sum.
    """

    round: int
    bytes_out: int
    bytes_in: int
    attempts: int
    refused: int
    rows: int | None
    coordinates: int | None
    partners: int | None
    clipped: int | None
    named: int | None
    named_by_sum: int | None


@dataclass(frozen=True)
class Answers:
    """All answers of one step: how many, median and sum of the seconds that they took."""

    phase: str
    exchanges: int
    seconds: float
    total_seconds: float


@dataclass(frozen=True)
class HeldTrunk:
    """The trunk that a partner holds: rounds behind it, rows of its first layer that partners agreed on, and all rows.

    Attributes:
        slots: Of each shared head, whether it is in play.
    """

    version: int = 0
    listed: int = 0
    rows: int = 0
    slots: tuple[bool, ...] = ()


def held_trunk(folder: Path, problems: list[str] | None = None) -> HeldTrunk:
    """Of the shared trunk's file, which is compared with its own checksum; `problems` is told of one that is damaged."""
    path = PartnerFolder(folder).shared_trunk
    try:
        return _held_trunk(path, path.stat().st_mtime_ns) if path.is_file() else HeldTrunk()
    except (TrunkFileError, OSError) as error:
        if problems is not None:
            problems.append(str(error))
        return HeldTrunk()


@lru_cache(maxsize=4)
def _held_trunk(path: Path, _changed: int) -> HeldTrunk:
    """Read once for each trunk: the file may have hundreds of megabytes."""
    shared = SharedTrunk.read(path)
    rows = len(shared.arrays[0]) if shared.arrays else len(shared.rows)
    return HeldTrunk(shared.version, int(shared.rows[:rows].sum()), rows, tuple(shared.rows[rows:].tolist()))  # shared heads lie behind


def sent_by_round(asked: list[Request], sums: list[RoundSum], audits: list[Audited]) -> list[Sent]:
    """Every round that left a trace, ascending; requests whose label is no round count as set-up."""
    taken = {round_sum.round: round_sum for round_sum in sums}
    by_round: dict[int, list[Request]] = {number: [] for number in taken}
    for each in asked:
        by_round.setdefault(labelled(each), []).append(each)
    audited: dict[int, list[Audited]] = {}
    for audit in audits:
        audited.setdefault(audit.round, []).append(audit)
    return [_one_round(number, by_round[number], taken.get(number), audited.get(number, [])) for number in sorted(by_round)]


def took_part(sums: list[RoundSum], asked: list[Request], audits: list[Audited]) -> list[RoundSum]:
    """The sums of rounds for which an update of ours was made: with a trunk that is handed over comes the line of a sum that has none."""
    ours = {labelled(each) for each in asked if left_masked(each)} | {audit.round for audit in audits if audit.vector == OWN}
    return [round_sum for round_sum in sums if round_sum.round in ours]


def labelled(request: Request) -> int:
    """The round that the coordinator called it."""
    return int(request.round) if request.round.isascii() and request.round.isdecimal() and len(request.round) < 9 else SET_UP


def left_masked(request: Request) -> bool:
    """Whether a masked vector left."""
    return request.step == Step.COLLECT and not request.refused


def answers_given(asked: list[Request]) -> list[Answers]:
    """By step, in the order in which they first came; refused requests are left out."""
    taken: dict[str, list[float]] = {}
    for each in asked:
        if not each.refused:
            taken.setdefault(each.step, []).append(each.seconds)
    return [Answers(step, len(seconds), median(seconds), sum(seconds)) for step, seconds in taken.items()]


def most_named(audits: list[Audited], vector: str) -> int | None:
    """Own compounds named from any one vector of this kind, at most; None without one."""
    return max((audit.identified for audit in audits if audit.vector == vector), default=None)


def clearest(audits: list[Audited], vector: str) -> Audited | None:
    """Where own compounds that were trained on are told from others best; None where that was never tried."""
    return max((audit for audit in audits if audit.vector == vector and audit.trained), key=lambda audit: audit.auc, default=None)


def most_bare(audits: list[Audited]) -> tuple[int, int] | None:
    """Of any row list at most: rows of ours that one other partner sees bare, and rows of one other that we do; None without a list."""
    lists = [audit for audit in audits if audit.vector == ROW_LIST]
    return (max(audit.bare for audit in lists), max(audit.bare_of_others for audit in lists)) if lists else None


def ledger(
    config: Config | None, asked: list[Request], sums: list[RoundSum], audits: list[Audited], trunk: HeldTrunk, own: int | None
) -> dict[str, Any]:
    """All that was sent so far, and what limited it, as one JSON object; `own` is what `own_rows` says."""
    bare, by_own, by_sum = most_bare(audits), clearest(audits, OWN), clearest(audits, SUM)
    return {
        "row_guard": config.privacy.row_guard if config else None,
        "rows": trunk.rows or None,
        "rows_listed": trunk.listed if trunk.rows else None,
        "rows_own": own,
        "rounds_sent": len({labelled(request) for request in asked if left_masked(request)} - {SET_UP}),
        "sums": len({round_sum.round for round_sum in sums}),
        "fewest_partners": min((round_sum.partners for round_sum in sums), default=None),
        "clipped": sum(round_sum.clipped for round_sum in sums),
        "coordinates": sum(round_sum.coordinates * round_sum.partners for round_sum in sums),
        "bytes_out": sum(request.bytes_out for request in asked),
        "bytes_in": sum(request.bytes_in for request in asked),
        "requests": len(asked),
        "refused": sum(bool(request.refused) for request in asked),
        "named": most_named(audits, OWN),
        "named_by_sum": most_named(audits, SUM),
        "compounds": audits[-1].compounds if audits else None,
        "told_apart": by_own.auc if by_own else None,
        "told_apart_by_sum": by_sum.auc if by_sum else None,
        "rows_bare": bare[0] if bare else None,
        "others_rows_bare": bare[1] if bare else None,
    }


def _one_round(number: int, asked: list[Request], taken: RoundSum | None, audits: list[Audited]) -> Sent:
    return Sent(
        round=number,
        bytes_out=sum(request.bytes_out for request in asked),
        bytes_in=sum(request.bytes_in for request in asked),
        attempts=sum(map(left_masked, asked)),
        refused=sum(bool(request.refused) for request in asked),
        rows=taken.rows if taken else None,
        coordinates=taken.coordinates if taken else None,
        partners=taken.partners if taken else None,
        clipped=taken.clipped if taken else None,
        named=most_named(audits, OWN),
        named_by_sum=most_named(audits, SUM),
    )


def own_rows(folder: Path, rows: int, problems: list[str] | None = None) -> int | None:
    """How many of the first layer's rows our own compounds may train; None without a list; `problems` is told of one that is damaged."""
    path = PartnerFolder(folder).rows
    try:
        return int(read_flags(path)[: rows or None].sum()) if path.is_file() else None
    except (DamagedFileError, OSError) as error:
        if problems is not None:
            problems.append(str(error))
        return None
