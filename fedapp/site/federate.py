"""At the coordinator: start the rounds, or follow those that are going on, and say how they ended."""

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from fedapp.bundle import bundle_pyproject
from fedapp.errors import RunError
from fedapp.flower import CONNECTION, script, wait_until_listening
from fedapp.processes import child
from fedapp.run_folder import read_outcome
from fedapp.site.folder import Site
from fedapp.site.serve import superlink_connection
from strategies.journal import Exchange, read_journal, round_seconds

POLL = 0.5
START = 60.0  # seconds for the coordinator to be served
PATIENCE = 10.0  # seconds between looks at the SuperLink
OVER = "finished"


def federate(site: Site, follow: Callable[[Exchange], None]) -> dict[str, Any]:
    """Run the rounds to their end; those that partners have behind them are not repeated.

    Args:
        follow: Told each exchange.
    Returns:
        rounds, exchanges, seconds_per_round (median), seconds.
    Raises:
        RunError: The coordinator is not being served, or the rounds ended before the last one: why, and how to go on.
    """
    environment = reached(site)
    started, told = time.monotonic(), len(read_journal(site.coordinator / "journal.jsonl"))
    outcome = site.coordinator / "outcome.json"
    with rounds(site, environment) as going_on:
        while not outcome.is_file() and going_on():
            told = tell(site, told, follow)
            time.sleep(POLL)
    tell(site, told, follow)
    ended = {"state": "died", "error": f"the rounds ended without a word; see {site.log}/run.log"}
    state = read_outcome(outcome) or ended
    if state["state"] != OVER:
        raise RunError(str(state["error"]), f"put that right and go on: polyphony federate {site.path}")
    exchanges = read_journal(site.coordinator / "journal.jsonl")
    times = sorted(round_seconds(exchanges)) or [0.0]
    return {
        "rounds": max((each.round for each in exchanges), default=0),
        "exchanges": len(exchanges),
        "seconds_per_round": round(times[len(times) // 2], 2),
        "seconds": round(time.monotonic() - started, 1),
    }


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
    (site.coordinator / "outcome.json").unlink(missing_ok=True)
    app = site.log / "app"
    app.mkdir(exist_ok=True)
    (app / "pyproject.toml").write_text(bundle_pyproject(), encoding="utf-8")
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
    last, found = time.monotonic(), True

    def now_and_then() -> bool:
        nonlocal last, found
        if time.monotonic() > last + PATIENCE:
            last, found = time.monotonic(), look()
        return found

    return now_and_then


def tell(site: Site, told: int, follow: Callable[[Exchange], None]) -> int:
    """Tell the exchanges that are new; how many have been told now."""
    exchanges = read_journal(site.coordinator / "journal.jsonl")
    for each in exchanges[told:]:
        follow(each)
    return len(exchanges)
