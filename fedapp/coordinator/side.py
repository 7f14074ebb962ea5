"""What the coordinator works with: at a site what its partners told it to propose, in a simulation what the experiment says."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from logging import INFO
from pathlib import Path

from flwr.app import Context
from flwr.common import log
from flwr.serverapp import Grid

from fedapp.config import LEAST_SECURE, Config
from fedapp.consortium.agreement import propose, proposed
from fedapp.consortium.membership import ROSTER, make_consortium
from fedapp.consortium.policy_file import read_policy
from fedapp.consortium.roster_file import load_roster
from fedapp.errors import RunError
from fedapp.run_folder import RunFolder, bare_config, bare_run_path
from fedapp.site.folder import Site
from strategies.secagg.messages import SessionParameters
from strategies.secagg.roster import Roster

LEAST_PARTNERS = {"secure": LEAST_SECURE, "plain": 2}


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


def simulated_side(run: RunFolder) -> CoordinatorSide:
    """The coordinator of a simulation."""
    config = run.config()
    return CoordinatorSide(config, run.coordinator, lambda: load_roster(run.path / ROSTER), partial(propose, config), config.data.partners)


def site_side(site: Site) -> CoordinatorSide:
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
    make_consortium(run, config)
    return run
