"""What goes on at a site, from its files alone: as much as is there, at any moment, while others write."""

import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from fedapp.consortium.policy_file import read_policy_file
from fedapp.consortium.promises import spoken
from fedapp.consortium.roster_file import load_roster
from fedapp.errors import PolyphonyError
from fedapp.evaluation.arms import CLASSIFICATION
from fedapp.partner_folder import PartnerFolder
from fedapp.run_folder import now
from fedapp.runtime.locks import in_use
from fedapp.site.folder import Site
from fedapp.site.own_files import unusable_files
from fedapp.site.request_log import Request
from fedapp.site.status.attention import concerns, misbehaved
from fedapp.site.status.learning import learning, score_of
from fedapp.site.status.ledger import answers_given, held_trunk, ledger, own_rows, sent_by_round, took_part
from fedapp.site.status.missing import missing
from fedapp.site.status.predicting import predicting
from fedapp.site.status.privacy_spent import privacy_spent
from fedapp.site.status.proven import proven_guilty
from fedapp.site.status.repeated import repeated
from fedapp.site.status.rounds import OUTCOME, progress
from fedapp.site.status.shared_heads import shared_heads
from fedapp.site.terms import Terms
from fedapp.site.took_part import check_not_lost
from fedapp.storage.json_lines import record
from fedapp.storage.live_files import json_object, records, written
from strategies.coordinator.journal import AWAITED, Awaited, Exchange
from strategies.secagg.roster import Roster
from strategies.update.round_sum import RoundSum, sums_that_count
from strategies.update.self_audit import Audited

RECENT = 50
STALE = 60.0  # seconds without a sign of life
AT_WORK = ("connecting", "waiting", "answering")
T = TypeVar("T")


@dataclass(frozen=True)
class Heartbeat:
    """`log/supernode.json`, as the SuperNode writes it every few seconds."""

    state: str = "not started"
    since: str = ""
    alive: str = ""
    step: str = ""
    round: str = ""
    node: int = 0
    error: str = ""


def site_status(site: Site) -> dict[str, Any]:
    """Of either party, as one JSON object."""
    return partner_status(site) if site.partner else coordinator_status(site)


def partner_status(site: Site) -> dict[str, Any]:
    """What a partner knows of itself, as one JSON object; none of it is for others.

    Keys: role, name, time, healthy, consortium, round (rounds behind the trunk that is held), rounds, phase, health, selected (the
    federated model's best round, which is kept), predicts (what predicts and how well, `predicting`; None before there is a model), score
    (what scores are called), learning, sent, ledger, endpoints (the declared tasks, whether their shared heads are in play, and in which
    rounds too few holders were left), privacy_spent (None without record-level privacy), repetition (None if its file is unusable), proven
    (partner to what it was proven to have done), phases, requests (newest first), policy, warnings (what needs attention: about, told,
    hint), problems, hints (problem to what to do about it, where that is known). It is `healthy` while its SuperNode lives and no file is
    unusable that every request needs.
    """
    problems, hints = list[str](), dict[str, str]()
    config = _told(site.config, problems, hints)
    policy = _told(lambda: read_policy_file(site.policy), problems, hints)
    roster = _told(lambda: load_roster(site.roster), problems, hints)
    _told(lambda: check_not_lost(site), problems, hints)
    usable = not problems
    terms = Terms.of(config, policy, roster) if config and policy and roster else None
    needed, lost = unusable_files(site.state), missing(site.state)
    problems += [*(each.told for each in needed), *lost]
    hints |= {each.told: each.hint for each in needed} | lost
    folder = PartnerFolder(site.state)
    asked, sums = records(folder.requests, Request, problems), sums_that_count(records(folder.sums, RoundSum, problems))
    audits = records(folder.audits, Audited, problems)
    ours = took_part(sums, asked, audits)
    trunk, health = held_trunk(site.state), _health(site, problems)
    learned = learning(site.state, config.evaluation.min_per_class if config else 1, problems)
    header = json_object(folder.model_header, problems)
    spent = _told(lambda: privacy_spent(site.state, config), problems, hints) if config else None
    repetition = _told(lambda: repeated(site.state, policy, trunk), problems, hints)
    guilty = (_told(lambda: proven_guilty(folder.transcript(roster.digest()), roster), problems, hints) if roster else None) or {}
    return {
        "role": site.settings.role,
        "name": site.settings.name,
        "time": now(),
        "healthy": health["up"] and usable and not needed,
        "consortium": _consortium(roster),
        "round": max([trunk.version, *(round_sum.round for round_sum in sums)]),
        "rounds": config.federation.rounds if config else None,
        "phase": _phase(health, asked),
        "health": health,
        "selected": header.get("round"),
        "predicts": predicting(header),
        "score": score_of(learned, config.tasks.kinds if config else [CLASSIFICATION]),
        "learning": [asdict(entry) for entry in learned],
        "sent": [asdict(entry) for entry in sent_by_round(asked, ours, audits)],
        "ledger": ledger(config, asked, ours, audits, trunk, own_rows(site.state, trunk.rows, problems)),
        "endpoints": _told(lambda: shared_heads(site, config, trunk, sums), problems, hints) or [] if config else [],
        "privacy_spent": spent and asdict(spent),
        "repetition": repetition,
        "proven": guilty,
        "phases": [asdict(answers) for answers in answers_given(asked)],
        "requests": [asdict(request) for request in reversed(asked[-RECENT:])],
        "policy": policy and asdict(policy),
        "warnings": [asdict(concern) for concern in misbehaved(guilty) + concerns(site, terms, audits, trunk, repetition)],
        "problems": problems,
        "hints": {problem: hints[problem] for problem in problems if hints.get(problem)},
    }


def coordinator_status(site: Site) -> dict[str, Any]:
    """What the coordinator knows, as one JSON object: who answered when, and how long messages were.

    Keys: role, name, time, healthy, consortium, state, error, last, awaited (whose reply is awaited now, in which phase of which round,
    since when; None if nobody's is), then those of `progress.progress`, problems, hints (problem to what to do about it).
    """
    problems, hints = list[str](), dict[str, str]()
    exchanges = records(site.coordinator / "journal.jsonl", Exchange, problems)
    outcome = json_object(site.coordinator / OUTCOME, problems)
    proposal = _told(lambda: read_policy_file(site.proposal), problems, hints)
    consortium = _consortium(_told(lambda: load_roster(site.roster), problems, hints))
    running = "running" if in_use(site.coordinator) else "interrupted"
    state = str(outcome.get("state") or (running if exchanges else "not started"))
    return {
        "role": site.settings.role,
        "name": site.settings.name,
        "time": now(),
        "healthy": state not in ("failed", "interrupted"),
        "consortium": consortium,
        "state": state,
        "error": str(outcome.get("error", "")),
        "last": _moment(written(site.coordinator / "journal.jsonl")),
        "awaited": None if outcome else _awaited(site),
        "rounds": proposal and proposal.rounds,
        **progress(exchanges, consortium["threshold"] if consortium else 1, RECENT),
        "problems": problems,
        "hints": {problem: hint for problem, hint in hints.items() if hint},
    }


def _told(read: Callable[[], T], problems: list[str], hints: dict[str, str]) -> T | None:
    """What `read` returns; None if it fails, and then the problem is written down, once however many need the same file."""
    try:
        return read()
    except (PolyphonyError, OSError) as error:
        if str(error) not in problems:
            problems.append(str(error))
        hints.setdefault(str(error), getattr(error, "hint", ""))
        return None


def _consortium(roster: Roster | None) -> dict[str, Any] | None:
    if roster is None:
        return None
    return {
        "name": roster.consortium,
        "partners": len(roster.members),
        "threshold": roster.threshold,
        "least": roster.least(),
        "digest": spoken(roster.digest()),
    }


def _awaited(site: Site) -> dict[str, Any] | None:
    path = site.coordinator / AWAITED
    awaited = record(json_object(path), Awaited)
    return None if awaited is None else {**asdict(awaited), "since": _moment(written(path))}


def _health(site: Site, problems: list[str]) -> dict[str, Any]:
    """The SuperNode, the last failure and the disk."""
    error = PartnerFolder(site.state).error
    beat = record(json_object(site.log / "supernode.json", problems), Heartbeat) or Heartbeat()
    age, failure = _age(beat.alive), json_object(error, problems)
    alive = age is not None and age <= STALE
    return {
        **asdict(beat),
        "up": beat.state in AT_WORK and alive,
        "stale": beat.state in AT_WORK and not alive,
        "age": age,
        "failure": {key: str(failure.get(key, "")) for key in ("error", "hint")} | {"time": _moment(written(error))} if failure else None,
        "disk_free": shutil.disk_usage(site.path).free,
    }


def _phase(health: dict[str, Any], asked: list[Request]) -> str:
    """`down`, `answering`, or the last step of the protocol that was answered; before the first, the SuperNode's state."""
    if not health["up"]:
        return "down"
    if health["state"] == "answering":
        return "answering"
    return next((request.step for request in reversed(asked) if not request.refused), str(health["state"]))


def _age(moment: str) -> float | None:
    """Seconds since an ISO time with its zone; None if it is none."""
    try:
        return max(0.0, (datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds())
    except (ValueError, TypeError):
        return None


def _moment(seconds: float | None) -> str | None:
    """ISO 8601, UTC, from seconds since 1970."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
