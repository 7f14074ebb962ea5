"""Where a partner lives: its own folder, dataset, experiment and keys, at a site or in a simulation."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from flwr.app import Context

from fedapp.config import Config
from fedapp.consortium.membership import ROSTER, open_membership
from fedapp.data.catalogue import Declaration, catalogue_of
from fedapp.partner_folder import PartnerFolder
from fedapp.run_folder import RunFolder, bare_config, bare_run_path
from fedapp.site.accept import check_data, check_state
from fedapp.site.agreed import check_agreed
from fedapp.site.endpoints import declared
from fedapp.site.floor import check_floor
from fedapp.site.folder import Site
from fedapp.site.took_part import take_part
from strategies.partner.side import Membership

SITE = "site"  # in the node's own configuration: where its site is


@dataclass(frozen=True)
class Place:
    """Where a partner lives.

    Attributes:
        name: As in the roster.
        folder: Its own, private.
        dataset: Its dataset.
        config: The experiment.
        partners: Most partners in a sum.
        declared: What it says of its groups of tasks, of those that it declares to be endpoints of the catalogue.
        membership: Reads its keys, roster and policy.
        partition: Its number in a simulation, from 0; None at a site.
    """

    name: str
    folder: Path
    dataset: Path
    config: Config
    partners: int
    declared: Mapping[str, Declaration]
    membership: Callable[[], Membership]
    partition: int | None = None


def partner_folder(context: Context) -> Path:
    """This partner's own folder.

    Raises:
        ConfigError: No site.
        RunError: No run folder.
    """
    if SITE in context.node_config:
        return Site.open(Path(str(context.node_config[SITE]))).state
    run = simulated_run(context)
    return run.partner(run.partners()[int(context.node_config["partition-id"])])


def place(context: Context) -> Place:
    """This partner's place: what its own node says, whatever the coordinator does.

    Raises:
        ConfigError: No site, or not the data that its policy accepts.
        RunError: No run folder.
    """
    if SITE in context.node_config:
        return site_place(Site.open(Path(str(context.node_config[SITE]))))
    run, folder = simulated_run(context), partner_folder(context)
    files = PartnerFolder(folder)
    config = run.config()
    membership = partial(open_membership, files.identity, run.path / ROSTER, files.policy)
    partition = int(context.node_config["partition-id"])
    return Place(
        name=folder.name,
        folder=folder,
        dataset=files.dataset,
        config=config,
        partners=config.data.partners,
        declared=catalogue_of(config).by_name,
        membership=membership,
        partition=partition,
    )


def site_place(site: Site) -> Place:
    """A partner at its own premises.

    Raises:
        ConfigError: Its terms lie below its own floor, its experiment, catalogue or roster are not those that were agreed on, or its data
            or its state not those that it may use.
        DamagedFileError: Its state is lost or damaged.
    """
    config = site.config()  # before the checks: whatever changes after them is found by those of the next request
    check_floor(site)
    check_agreed(site)
    check_data(site)
    check_state(site)
    take_part(site)
    membership = partial(open_membership, site.keys, site.roster, site.policy)
    return Place(
        name=site.settings.name,
        folder=site.state,
        dataset=site.dataset,
        config=config,
        partners=config.data.partners,
        declared=declared(site),
        membership=membership,
    )


def simulated_run(context: Context) -> RunFolder:
    """The run folder of a simulation."""
    given = str(context.run_config["run-dir"])
    return RunFolder.open(Path(given) if given else bare_run_path(bare_config(context.run_config), context.run_id))
