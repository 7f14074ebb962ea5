"""Flower's entry point at the coordinator: opens or makes the run folder and hands over to the strategy."""

import os
import time
from collections.abc import Callable
from dataclasses import replace
from logging import ERROR, INFO
from pathlib import Path

from flwr.app import ArrayRecord, Context
from flwr.common import log
from flwr.serverapp import Grid, ServerApp

from fedapp.config import LEAST_SECURE, Config
from fedapp.consortium import load_roster
from fedapp.errors import PolyphonyError, RunError
from fedapp.files import write_json
from fedapp.first_trunk import first_trunk
from fedapp.membership import ROSTER, found, propose, trunk_shapes
from fedapp.run_folder import RunFolder, bare_config, bare_run_path
from strategies.exchange import Exchanges, RoundFailedError
from strategies.journal import Journal
from strategies.plain_trunk import PlainTrunk
from strategies.secagg.errors import SecAggError
from strategies.secure_trunk import SecureTrunk
from strategies.shared_trunk import Form, SharedTrunk, no_trunk

LEAST_PARTNERS = {"secure": LEAST_SECURE, "plain": 2}

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Flower calls this."""
    run(grid, context)


def run(grid: Grid, context: Context) -> None:
    """Run or resume the federated rounds; `coordinator/outcome.json` says how they ended."""
    bare = not context.run_config["run-dir"]
    folder = new_run(grid, context) if bare else RunFolder.open(Path(str(context.run_config["run-dir"])))
    outcome = folder.coordinator / "outcome.json"
    outcome.unlink(missing_ok=True)
    started = time.monotonic()
    try:
        federate(grid, folder)
    except (PolyphonyError, RoundFailedError, SecAggError, OSError) as error:
        write_json(outcome, {"state": "failed", "error": str(error)})
        log(ERROR, "error: %s", error)
        raise
    write_json(outcome, {"state": "finished", "error": ""})
    if bare:
        folder.update(state="finished", seconds=round(time.monotonic() - started, 1))
        log(INFO, "finished; for the report: polyphony report %s", folder.path)


def new_run(grid: Grid, context: Context) -> RunFolder:
    """The run folder of a bare `flwr run .`, with a partner for every node that Flower simulates.

    Raises:
        RunError: Too few nodes for a federation.
    """
    config = bare_config(context.run_config)
    nodes, least = len(list(grid.get_node_ids())), LEAST_PARTNERS[config.aggregation]
    if nodes < least:
        raise RunError(
            f"{nodes} partner{'s are' if nodes > 1 else ' is'} connected, and a federation has at least {least}",
            'add --federation-config "num-supernodes=4"',
        )
    if nodes != config.data.partners:
        log(INFO, "%s partners, one for each of Flower's nodes; for %s add", nodes, config.data.partners)
        log(INFO, '    --federation-config "num-supernodes=%s"', config.data.partners)
    config = replace(config, data=replace(config.data, partners=nodes))
    run = RunFolder.create(bare_run_path(config, context.run_id), config, "simulate")
    found(run, config)
    return run


def federate(grid: Grid, run: RunFolder) -> None:
    """Drive the strategy from the last finished round to the last one."""
    config = run.config()
    partners = config.data.partners
    exchanges = Exchanges(
        grid,
        Journal(run.coordinator / "journal.jsonl"),
        partners,
        partners if config.federation.min_partners is None else config.federation.min_partners,
        config.federation.connect_timeout,
        config.federation.round_timeout,
    )
    (secure_rounds if config.aggregation == "secure" else plain_rounds)(grid, run, config, exchanges)


def secure_rounds(grid: Grid, run: RunFolder, config: Config, exchanges: Exchanges) -> None:
    """All rounds blindly: what partners agreed on before tells where to go on."""
    roster = load_roster(run.path / ROSTER)
    strategy = SecureTrunk(exchanges, roster, lambda: propose(config, roster), config.federation.session_rounds, os.cpu_count() or 1)
    done = strategy.set_up()
    start(strategy.start, grid, config, done)
    strategy.finish()


def plain_rounds(grid: Grid, run: RunFolder, config: Config, exchanges: Exchanges) -> None:
    """All rounds in the clear, from the last trunk that the coordinator kept."""
    privacy, largest = config.privacy, config.federation.largest_weight
    strategy = PlainTrunk(
        exchanges,
        latest_trunk(run, config),
        lambda rows: Form(trunk_shapes(config), rows, privacy.word_bits, config.data.partners, largest),
        lambda shared: keep_trunk(run, shared),
        privacy.row_guard > 1,
        config.federation.server_learning_rate,
    )
    strategy.set_up()
    start(strategy.start, grid, config, strategy.shared.version)
    strategy.finish()


def start(rounds: Callable[..., object], grid: Grid, config: Config, done: int) -> None:
    """Flower's own loop over the rounds that are left; the trunk does not travel through it."""
    rounds(grid, ArrayRecord(), num_rounds=config.federation.rounds - done, timeout=config.federation.round_timeout)


def latest_trunk(run: RunFolder, config: Config) -> SharedTrunk:
    """The last trunk that the coordinator kept under plain aggregation; the seeded first one if there is none."""
    stored = sorted(run.coordinator.glob("trunk-*.safetensors"), key=round_of)
    if stored:
        return SharedTrunk.read(stored[-1])
    return replace(no_trunk(config.privacy.range, b""), arrays=first_trunk(config, b""))


def keep_trunk(run: RunFolder, shared: SharedTrunk) -> None:
    """Store a trunk, and drop those older than the one before it."""
    shared.write(run.coordinator / f"trunk-{shared.version:04d}.safetensors")
    for old in run.coordinator.glob("trunk-*.safetensors"):
        if round_of(old) < shared.version - 1:
            old.unlink()


def round_of(path: Path) -> int:
    """`trunk-0007.safetensors` is round 7."""
    return int(path.stem.removeprefix("trunk-"))
