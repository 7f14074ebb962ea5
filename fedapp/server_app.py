"""Flower's entry point at the coordinator: opens or makes the run folder and hands over to the strategy."""

import os
import time
from collections.abc import Callable, Mapping
from logging import ERROR, INFO
from pathlib import Path

from flwr.app import Context
from flwr.common import log
from flwr.serverapp import Grid, ServerApp

from fedapp.coordinator.run_rounds import federate
from fedapp.coordinator.side import CoordinatorSide, new_run, simulated_side, site_side
from fedapp.errors import PolyphonyError
from fedapp.run_folder import RunFolder
from fedapp.runtime.prompt_pull import prompt_pull
from fedapp.site.finished import TERMS, terms_digest
from fedapp.site.folder import SITE_VARIABLE, Site
from fedapp.storage.json_file import write_sealed
from strategies.coordinator.exchange import RoundFailedError
from strategies.coordinator.journal import AWAITED
from strategies.coordinator.polling_grid import PollingGrid
from strategies.secagg.errors import SecAggError

POLL = 0.1  # seconds
NAMED = (PolyphonyError, RoundFailedError, SecAggError, OSError)  # their texts are for people
app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Flower calls this."""
    run(PollingGrid(grid, prompt_pull(grid)), context)


def run(grid: Grid, context: Context) -> None:
    """Run or resume the federated rounds; `coordinator/outcome.json` says how they ended."""
    if SITE_VARIABLE in os.environ:
        site = Site.open(Path(os.environ[SITE_VARIABLE]))
        conclude(grid, site.coordinator, lambda: site_side(site), {TERMS: terms_digest(site)})
        return
    bare = not context.run_config["run-dir"]
    folder = new_run(grid, context) if bare else prepared_run(Path(str(context.run_config["run-dir"])))
    started = time.monotonic()
    conclude(grid, folder.coordinator, lambda: simulated_side(folder))
    if bare:
        folder.update(state="finished", seconds=round(time.monotonic() - started, 1))
        log(INFO, "finished; for the report: polyphony report %s", folder.path)


def prepared_run(path: Path) -> RunFolder:
    """A run folder, when the process that started Flower has put in place what partners need."""
    folder = RunFolder.open(path)
    while not folder.status().get("prepared", True):
        time.sleep(POLL)
    return folder


def conclude(grid: Grid, folder: Path, open_side: Callable[[], CoordinatorSide], facts: Mapping[str, str] | None = None) -> None:
    """Drive the rounds to their end, and write down in `folder` how they ended, whatever it was that ended them; with `facts`, if well."""
    outcome, awaited = folder / "outcome.json", folder / AWAITED
    for left in (outcome, awaited):  # of a process before, which may have been killed
        left.unlink(missing_ok=True)
    try:
        federate(grid, open_side())
    except Exception as error:
        reason = str(error) if isinstance(error, NAMED) else f"{type(error).__name__}: {error}"
        log(ERROR, "error: %s", reason)
        write_sealed(outcome, {"state": "failed", "error": reason})
        raise
    finally:
        awaited.unlink(missing_ok=True)
    write_sealed(outcome, {"state": "finished", "error": "", **(facts or {})})
