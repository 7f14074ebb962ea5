"""Flower's entry point at the coordinator: opens or makes the run folder and hands over to the strategy."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from logging import ERROR, INFO
from pathlib import Path

from flwr.app import ArrayRecord, Context
from flwr.common import log
from flwr.serverapp import Grid, ServerApp

from fedapp.config import Config
from fedapp.config_check import LEAST_SECURE
from fedapp.consortium.agreement import propose, proposed
from fedapp.consortium.membership import ROSTER, found_consortium
from fedapp.consortium.policy_file import read_policy
from fedapp.consortium.roster_file import load_roster
from fedapp.errors import PolyphonyError, RunError
from fedapp.model.trunk_shape import trunk_shapes
from fedapp.partner.first_trunk import first_trunk
from fedapp.run_folder import RunFolder, bare_config, bare_run_path
from fedapp.site.folder import SITE_VARIABLE, Site
from fedapp.storage.files import write_json
from strategies.coordinator.exchange import Exchanges, RoundFailedError
from strategies.coordinator.journal import AWAITED, Journal
from strategies.coordinator.plain_trunk import PlainTrunk
from strategies.coordinator.polling_grid import PollingGrid
from strategies.coordinator.secure_trunk import SecureTrunk
from strategies.secagg.errors import SecAggError
from strategies.secagg.messages import SessionParameters
from strategies.secagg.roster import Roster
from strategies.update.shared_trunk import SharedTrunk, UpdateCodec, no_trunk

NAMED = (PolyphonyError, RoundFailedError, SecAggError, OSError)  # their texts are for people
LEAST_PARTNERS = {"secure": LEAST_SECURE, "plain": 2}

app = ServerApp()


@dataclass(frozen=True)
class CoordinatorSide:
    """What the coordinator works with.

    Attributes:
        config: The experiment, as far as it concerns the coordinator.
        folder: Its own: the journal, and how the rounds ended.
        roster: Who may take part, read when it is needed.
        propose: Makes a proposal for a session of this roster.
        partners: How many there are.
    """

    config: Config
    folder: Path
    roster: Callable[[], Roster]
    propose: Callable[[Roster], SessionParameters]
    partners: int


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Flower calls this."""
    run(PollingGrid(grid), context)


def run(grid: Grid, context: Context) -> None:
    """Run or resume the federated rounds; `coordinator/outcome.json` says how they ended."""
    if SITE_VARIABLE in os.environ:
        site = Site.open(Path(os.environ[SITE_VARIABLE]))
        conclude(grid, site.coordinator, lambda: site_desk(site))
        return
    bare = not context.run_config["run-dir"]
    folder = new_run(grid, context) if bare else RunFolder.open(Path(str(context.run_config["run-dir"])))
    started = time.monotonic()
    conclude(grid, folder.coordinator, lambda: run_desk(folder))
    if bare:
        folder.update(state="finished", seconds=round(time.monotonic() - started, 1))
        log(INFO, "finished; for the report: polyphony report %s", folder.path)


def conclude(grid: Grid, folder: Path, open_desk: Callable[[], CoordinatorSide]) -> None:
    """Drive the rounds to their end, and write down in `folder` how they ended, whatever it was that ended them."""
    outcome, awaited = folder / "outcome.json", folder / AWAITED
    outcome.unlink(missing_ok=True)
    try:
        federate(grid, open_desk())
    except Exception as error:
        reason = str(error) if isinstance(error, NAMED) else f"{type(error).__name__}: {error}"
        log(ERROR, "error: %s", reason)
        write_json(outcome, {"state": "failed", "error": reason})
        raise
    finally:
        awaited.unlink(missing_ok=True)
    write_json(outcome, {"state": "finished", "error": ""})


def run_desk(run: RunFolder) -> CoordinatorSide:
    """The coordinator of a simulation."""
    config = run.config()
    return CoordinatorSide(config, run.coordinator, lambda: load_roster(run.path / ROSTER), partial(propose, config), config.data.partners)


def site_desk(site: Site) -> CoordinatorSide:
    """The coordinator of a consortium, which proposes what partners told it to."""
    roster = load_roster(site.roster)
    proposal = read_policy(site.proposal)
    return CoordinatorSide(site.config(), site.coordinator, lambda: roster, lambda _: proposed(proposal), len(roster.members))


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
    found_consortium(run, config)
    return run


def federate(grid: Grid, desk: CoordinatorSide) -> None:
    """Drive the strategy from the last finished round to the last one."""
    if desk.config.aggregation == "secure":
        roster = desk.roster()
        secure_rounds(grid, desk, roster, open_exchanges(grid, desk, tuple(member.name for member in roster.members)))
    else:
        plain_rounds(grid, desk, open_exchanges(grid, desk, ()))


def open_exchanges(grid: Grid, desk: CoordinatorSide, names: tuple[str, ...]) -> Exchanges:
    """The way to the partners of these names, as the configuration says."""
    settings = desk.config.federation
    return Exchanges(
        grid,
        Journal(desk.folder / "journal.jsonl"),
        desk.partners,
        desk.partners if settings.min_partners is None else settings.min_partners,
        settings.connect_timeout,
        settings.exchange_timeout,
        settings.round_timeout,
        names,
    )


def secure_rounds(grid: Grid, desk: CoordinatorSide, roster: Roster, exchanges: Exchanges) -> None:
    """All rounds blindly: what partners agreed on before tells where to go on."""
    strategy = SecureTrunk(exchanges, roster, lambda: desk.propose(roster), desk.config.federation.session_rounds, os.cpu_count() or 1)
    done = strategy.set_up()
    start(strategy.start, grid, desk.config, done)
    strategy.finish()


def plain_rounds(grid: Grid, desk: CoordinatorSide, exchanges: Exchanges) -> None:
    """All rounds in the clear, from the last trunk that the coordinator kept."""
    config, privacy, largest = desk.config, desk.config.privacy, desk.config.federation.largest_weight
    strategy = PlainTrunk(
        exchanges,
        latest_trunk(desk),
        lambda rows: UpdateCodec(trunk_shapes(config), rows, privacy.word_bits, desk.partners, largest),
        lambda shared: keep_trunk(desk.folder, shared),
        privacy.row_guard > 1,
        config.federation.server_learning_rate,
        config.federation.metrics_shown,
    )
    strategy.set_up()
    start(strategy.start, grid, config, strategy.shared.version)
    strategy.finish()


def start(rounds: Callable[..., object], grid: Grid, config: Config, done: int) -> None:
    """Flower's own loop over the rounds that are left; the trunk does not travel through it."""
    rounds(grid, ArrayRecord(), num_rounds=config.federation.rounds - done, timeout=config.federation.round_timeout)


def latest_trunk(desk: CoordinatorSide) -> SharedTrunk:
    """The last trunk that the coordinator kept under plain aggregation; the seeded first one if there is none."""
    stored = sorted(desk.folder.glob("trunk-*.safetensors"), key=round_of)
    if stored:
        return SharedTrunk.read(stored[-1])
    return replace(no_trunk(desk.config.privacy.range, b""), arrays=first_trunk(desk.config, b""))


def keep_trunk(folder: Path, shared: SharedTrunk) -> None:
    """Store a trunk, and drop those older than the one before it."""
    shared.write(folder / f"trunk-{shared.version:04d}.safetensors")
    for old in folder.glob("trunk-*.safetensors"):
        if round_of(old) < shared.version - 1:
            old.unlink()


def round_of(path: Path) -> int:
    """`trunk-0007.safetensors` is round 7."""
    return int(path.stem.removeprefix("trunk-"))
