"""Flower's entry point at the coordinator: opens or makes the run folder and hands over to the strategy."""

import time
from dataclasses import replace
from logging import ERROR, INFO
from pathlib import Path

import numpy as np
from flwr.app import Context
from flwr.common import log
from flwr.serverapp import Grid, ServerApp
from safetensors.numpy import load_file, save_file

from fedapp.config import Config
from fedapp.errors import PolyphonyError, RunError
from fedapp.files import atomic_path, write_json
from fedapp.run_folder import RunFolder, bare_config, bare_run_path
from strategies.journal import Journal
from strategies.plain_trunk import PlainTrunk, RoundFailedError
from strategies.records import trunk_record

LEAST_PARTNERS = 2

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
    except (PolyphonyError, RoundFailedError, OSError) as error:
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
    nodes = len(list(grid.get_node_ids()))
    if nodes < LEAST_PARTNERS:
        raise RunError(
            f"{nodes} partner is connected, and a federation has at least {LEAST_PARTNERS}", "add --federation-config num-supernodes=4"
        )
    if nodes != config.data.partners:
        log(INFO, "%s partners, one for each of Flower's nodes; for %s add", nodes, config.data.partners)
        log(INFO, "    --federation-config num-supernodes=%s", config.data.partners)
    config = replace(config, data=replace(config.data, partners=nodes))
    return RunFolder.create(bare_run_path(config, context.run_id), config, "simulate")


def federate(grid: Grid, run: RunFolder) -> None:
    """Drive the strategy from the last finished round to the last one."""
    config = run.config()
    done, trunk = latest_trunk(run, config)
    strategy = PlainTrunk(
        journal=Journal(run.coordinator / "journal.jsonl"),
        keep=lambda server_round, arrays: keep_trunk(run, server_round, arrays),
        rounds=config.federation.rounds,
        done=done,
        partners=config.data.partners,
        min_partners=config.federation.min_partners,
        server_learning_rate=config.federation.server_learning_rate,
        connect_timeout=config.federation.connect_timeout,
    )
    strategy.start(
        grid,
        initial_arrays=trunk_record(trunk),
        num_rounds=config.federation.rounds - done,
        timeout=config.federation.round_timeout,
    )


def latest_trunk(run: RunFolder, config: Config) -> tuple[int, list[np.ndarray]]:
    """Last finished round and its trunk; round 0 is the seeded initial trunk.

    The last round is given out once more when its final exchange never happened, so at most `rounds` - 1 are taken as done.
    """
    stored = sorted(run.coordinator.glob("trunk-*.safetensors"), key=round_of)
    usable = [path for path in stored if round_of(path) < config.federation.rounds]
    if usable:
        arrays = load_file(usable[-1])
        return round_of(usable[-1]), [arrays[str(position)] for position in range(len(arrays))]
    from fedapp.model.network import Trunk, trunk_arrays  # imports torch, which a resumed coordinator does not need

    return 0, trunk_arrays(Trunk(config.chemistry.bits, list(config.model.hidden), config.seed))


def keep_trunk(run: RunFolder, server_round: int, trunk: list[np.ndarray]) -> None:
    """Store a round's trunk, and drop those older than the one before it."""
    with atomic_path(run.coordinator / f"trunk-{server_round:04d}.safetensors") as path:
        save_file({str(position): array for position, array in enumerate(trunk)}, path)
    for old in run.coordinator.glob("trunk-*.safetensors"):
        if round_of(old) < server_round - 1:
            old.unlink()


def round_of(path: Path) -> int:
    """`trunk-0007.safetensors` is round 7."""
    return int(path.stem.removeprefix("trunk-"))
