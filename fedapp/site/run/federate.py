"""At the coordinator: start the rounds, or follow those that are going on, and say how they ended."""

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from fedapp.errors import RunError
from fedapp.run_folder import read_outcome
from fedapp.runtime.bundle import bundle_pyproject
from fedapp.runtime.flower import CONNECTION, script, wait_until_listening
from fedapp.runtime.locks import locked
from fedapp.runtime.processes import child
from fedapp.site.finished import nothing_left, outcome_file
from fedapp.site.folder import Site
from fedapp.site.run.serve import superlink_connection
from fedapp.storage.files import write_text
from fedapp.storage.json_lines import record
from fedapp.storage.live_files import json_object
from strategies.coordinator.journal import AWAITED, Awaited, Exchange, read_journal, round_seconds

POLL = 0.5
START = 60.0  # seconds for the coordinator to be served
PATIENCE = 10.0  # seconds between looks at the SuperLink, and before it is told who is awaited
OVER = "finished"


def federate(
    site: Site,
    follow: Callable[[Exchange], None],
    wait_for: Callable[[Awaited], None],
    again: bool = False,
    begin: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Run the rounds to their end; those that partners have behind them are not repeated.

    Args:
        follow: Told each exchange.
        wait_for: Told whose replies are awaited, when that has been so for a while.
        again: Open a session although all rounds are done: a partner that lost the last trunk since gets it in there.
        begin: Told that partners are about to be asked.
    Returns:
        rounds, exchanges, seconds_per_round (median), seconds, before (whether all was finished before, and nobody was asked for anything).
    Raises:
        RunError: The coordinator is not being served, or the rounds ended before the last one: why, and how to go on.
        BusyError: Another process has started the rounds or follows them.
    """
    with locked(site.coordinator, "polyphony federate"):
        started, before = time.monotonic(), not again and nothing_left(site)
        if not before:
            begin()
            _federate(site, follow, wait_for)
        return summary(site, started, before)


def _federate(site: Site, follow: Callable[[Exchange], None], wait_for: Callable[[Awaited], None]) -> None:
    environment = reached(site)
    reported = first = len(read_journal(site.coordinator / "journal.jsonl"))
    outcome, waiting = outcome_file(site), Waiting(site.coordinator / AWAITED, wait_for)
    with rounds(site, environment) as going_on:
        while not outcome.is_file() and going_on():
            reported = tell(site, reported, follow)
            waiting.look()
            time.sleep(POLL)
    tell(site, reported, follow)
    ended = {"state": "died", "error": f"the rounds ended without a word; see {site.log}/run.log"}
    state = read_outcome(outcome) or ended
    if state["state"] != OVER:
        raise RunError(str(state["error"]), what_to_do(site, read_journal(site.coordinator / "journal.jsonl")[first:]))


def what_to_do(site: Site, exchanges: Sequence[Exchange]) -> str:
    """Where to look when rounds ended too early: at the partners that these exchanges left out, last, and in our own log."""
    reasons = dict(each.partition(": ")[::2] for exchange in exchanges for each in exchange.left_out)
    who = ", ".join(f"{name} ({reason})" for name, reason in reasons.items())
    look = f"left out were {who}: ask them what `polyphony status` says there; " if who else ""
    return f"{look}what went on here is in {site.log}/run.log; put that right and go on: polyphony federate {site.path}"


def summary(site: Site, started: float, before: bool) -> dict[str, Any]:
    """What `federate` returns."""
    exchanges = read_journal(site.coordinator / "journal.jsonl")
    times = sorted(round_seconds(exchanges)) or [0.0]
    return {
        "rounds": max((each.round for each in exchanges), default=0),
        "exchanges": len(exchanges),
        "seconds_per_round": round(times[len(times) // 2], 2),
        "seconds": round(time.monotonic() - started, 1),
        "before": before,
    }


class Waiting:
    """Tells who is awaited, once each time that it has not changed for a while.

    Args:
        file: Where the coordinator says it.
        wait_for: Is told.
        patience: Seconds that are a while.
    """

    def __init__(self, file: Path, wait_for: Callable[[Awaited], None], patience: float = PATIENCE) -> None:
        self.file, self.wait_for, self.patience = file, wait_for, patience
        self._seen: Awaited | None = None
        self._since, self._told = time.monotonic(), False

    def look(self) -> None:
        """See who is awaited now."""
        awaited = record(json_object(self.file), Awaited)
        if awaited != self._seen:
            self._seen, self._since, self._told = awaited, time.monotonic(), False
        elif awaited is not None and not self._told and time.monotonic() >= self._since + self.patience:
            self._told = True
            self.wait_for(awaited)


def reached(site: Site) -> dict[str, str]:
    """The environment in which the `flwr` command talks to the SuperLink, when that answers; it may just be starting.

    Raises:
        RunError: It does not.
    """
    deadline = time.monotonic() + START
    while time.monotonic() < deadline:
        with suppress(RunError):
            port, environment = superlink_connection(site)
            if wait_until_listening(port, site.authority, patience=POLL):
                return environment
        time.sleep(POLL)
    raise RunError("the SuperLink does not answer", f"is `polyphony serve {site.path}` running?")


@contextmanager
def rounds(site: Site, environment: Mapping[str, str]) -> Iterator[Callable[[], bool]]:
    """Start the rounds, unless they are going on; yields a function that tells whether they still do."""
    if running(environment):
        yield patient(lambda: running(environment))
        return
    outcome_file(site).unlink(missing_ok=True)
    app = site.log / "app"
    write_text(app / "pyproject.toml", bundle_pyproject())
    with child([script("flwr"), "run", str(app), CONNECTION, "--stream"], site.log / "run.log", environment) as streaming:
        yield lambda: streaming.poll() is None


def running(environment: Mapping[str, str]) -> bool:
    """Whether the SuperLink has a run that is not over."""
    command = [script("flwr"), "list", CONNECTION, "--format", "json"]
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    try:
        return any(not each["status"].startswith(OVER) for each in json.loads(done.stdout)["runs"])
    except (ValueError, KeyError):
        return False  # it does not answer: nothing goes on


def patient(look: Callable[[], bool]) -> Callable[[], bool]:
    """`look`, but at most every few seconds: each look starts a process."""
    last, there = time.monotonic(), True

    def now_and_then() -> bool:
        nonlocal last, there
        if time.monotonic() > last + PATIENCE:
            last, there = time.monotonic(), look()
        return there

    return now_and_then


def tell(site: Site, reported: int, follow: Callable[[Exchange], None]) -> int:
    """Tell the exchanges that are new; how many have been told now."""
    exchanges = read_journal(site.coordinator / "journal.jsonl")
    for each in exchanges[reported:]:
        follow(each)
    return len(exchanges)
