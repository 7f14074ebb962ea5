"""What each party gets to set up its site: made once for all, sent to each, and installed there (`fedapp.site.kit.install`).

A kit holds nothing secret of anyone, but for the coordinator's, which holds the key of its certificate.
"""

import ipaddress
import secrets
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from fedapp.config import CATALOGUE, CONF, Config, to_yaml
from fedapp.consortium.agreement import default_limits, default_policy
from fedapp.consortium.certificates import AUTHORITY, SERVER, SERVER_KEY, certificate_facts
from fedapp.consortium.names import alike
from fedapp.consortium.policy_file import write_policy
from fedapp.consortium.promises import spoken
from fedapp.consortium.roster_file import Draft, load_draft, load_roster
from fedapp.data.catalogue import catalogue_digest
from fedapp.errors import ConfigError
from fedapp.runtime.bundle import bundle_digest
from fedapp.site.folder import CONFIG_FILE, COORDINATOR, PARTNER, Settings, Site
from fedapp.site.needs import coordinator_memory, partner_memory
from fedapp.storage.files import atomic_directory, write_text
from strategies.secagg.roster import Roster

TEMPLATES = CONF / "deployment"
PAGE = 8600  # loopback port of the coordinator's page; partner i's is i higher
SERVICES = "services"
FOLD_KEY = "keys/fold.key"
PROPOSAL_HEADER = "# What the coordinator proposes to partners; each compares it with its own policy.\n"


@dataclass(frozen=True)
class Plan:
    """What all kits are made of.

    Attributes:
        roster_file: The consortium file; every partner in it has a node key.
        config: The experiment, secure, for as many partners as the roster has.
        superlink: `host:port` at which partners reach the coordinator.
        certificates: Folder with ca.crt, server.crt and server.key; None if they are put in place by hand.
        seed: Makes the run repeat, and is then known to all partners; None draws the first trunk from what only they know.
        page: Loopback port of the coordinator's page; 0 = no pages.
    """

    roster_file: Path
    config: Config
    superlink: str
    certificates: Path | None = None
    seed: int | None = None
    page: int = PAGE


def assignments(roster_file: Path) -> list[str]:
    """What the roster says of an experiment, and what is each party's own, as KEY=VALUE.

    Raises:
        ConfigError: An unusable roster.
    """
    return [f"data.partners={len(load_roster(roster_file).members)}", "data.tables=tables", "runs=runs"]


def make_kits(plan: Plan, out: Path) -> list[Path]:
    """Write one folder per party into `out`, all or none.

    Returns:
        The folders, the coordinator's first.
    Raises:
        ConfigError: `out` exists, a plain experiment, an unusable catalogue, a partner without a node key, or certificates that
            are missing or of another host.
    """
    if out.exists() or out.is_symlink():
        raise ConfigError(f"{out} exists", "kits are made in a new folder; `polyphony kit install` brings a site up to date")
    draft, roster = load_draft(plan.roster_file), load_roster(plan.roster_file)
    _check(plan, draft, roster)
    names, application = [COORDINATOR, *(member.name for member in roster.members)], bundle_digest()
    with atomic_directory(out) as folder:
        for index, name in enumerate(names):
            role = PARTNER if index else COORDINATOR
            page = plan.page + index if plan.page else 0
            _write(plan, roster, application, Site.create(folder / name, Settings(role, name, plan.superlink, page)))
    return [out / name for name in names]


def _check(plan: Plan, draft: Draft, roster: Roster) -> None:
    if plan.config.aggregation != "secure":
        raise ConfigError("aggregation is plain, which is for simulations", "across sites it is secure")
    catalogue_digest(plan.config)
    if len(roster.members) != plan.config.data.partners:
        raise ConfigError(f"data.partners is {plan.config.data.partners}, and the roster has {len(roster.members)}")
    for member in roster.members:
        if member.name not in draft.nodes:
            raise ConfigError(
                f"{plan.roster_file}: {member.name} has no node key",
                f"it makes one with `polyphony identity node`; `polyphony consortium replace` takes {member.name}'s new identity.pub in",
            )
        if alike(member.name, COORDINATOR):
            raise ConfigError(f"{plan.roster_file}: no partner can be called {member.name}, as {COORDINATOR}", "choose another name for it")
    host = split_address(plan.superlink)[0]
    if plan.certificates is not None:
        for name in (AUTHORITY, SERVER, SERVER_KEY):
            if not (plan.certificates / name).is_file():
                raise ConfigError(f"{plan.certificates} has no {name}", "`polyphony certificates new` makes all that is needed")
        facts = certificate_facts(plan.certificates / SERVER)
        if not facts.covers(host):
            raise ConfigError(
                f"{plan.certificates / SERVER} is for {', '.join(facts.hosts)}, not for {host}",
                f"`polyphony certificates new {plan.certificates} --host {host}` makes one that is",
            )


def split_address(address: str) -> tuple[str, int]:
    """Host, without the brackets of an IPv6 address, and port.

    Raises:
        ConfigError: Not `host:port`.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 1 << 16:
        raise ConfigError(f"{address!r} is not host:port", "such as polyphony.example.org:9092")
    return host.strip("[]"), int(port)


def _write(plan: Plan, roster: Roster, application: str, site: Site) -> None:
    """One party's kit; the policy and the proposal are of the partners' configuration, whose digest the coordinator cannot compute."""
    config, source = _config(plan, roster), plan.config.tasks.catalogue
    policy, catalogue = default_policy(config, roster), catalogue_digest(config)
    if site.partner:
        write_policy(site.policy, policy, [application], catalogue=catalogue, limits=default_limits(config))
    else:
        config = replace(config, seed=0, chemistry=replace(config.chemistry, fold_key_file=None))
        write_policy(site.proposal, policy, [application], catalogue=catalogue, header=PROPOSAL_HEADER)
    if source is not None:
        copy(Path(source), site.catalogue)  # at the coordinator too, whose sums have a place for every shared head
    write_text(site.path / CONFIG_FILE, to_yaml(replace(config, tasks=replace(config.tasks, catalogue=source and CATALOGUE))))
    copy(plan.roster_file, site.roster)
    if plan.certificates is not None:
        copy(plan.certificates / AUTHORITY, site.authority)
        if not site.partner:
            for name in (SERVER, SERVER_KEY):
                copy(plan.certificates / name, site.tls / name)
    for name, text in rendered(site.settings.role, _facts(plan, roster, site, config)):
        write_text(site.path / name, text)


def _config(plan: Plan, roster: Roster) -> Config:
    """A partner's experiment; without a common seed each has one of its own."""
    federation = plan.config.federation
    least = roster.least() if federation.min_partners is None else federation.min_partners
    first = "group_key" if plan.seed is None else "seed"
    key = None if plan.config.chemistry.fold_key_file is None else FOLD_KEY
    return replace(
        plan.config,
        seed=own_seed() if plan.seed is None else plan.seed,
        federation=replace(federation, min_partners=least, initial_trunk=first),
        chemistry=replace(plan.config.chemistry, fold_key_file=key),
    )


def own_seed() -> int:
    """A seed that nobody else knows."""
    return secrets.randbits(31)


def copy(source: Path, target: Path) -> None:
    """Copy a text file; the copy is its owner's alone."""
    write_text(target, source.read_text(encoding="utf-8"))


def _facts(plan: Plan, roster: Roster, site: Site, config: Config) -> dict[str, Any]:
    """What the templates may say."""
    host, port = split_address(plan.superlink)
    try:
        network = str(ipaddress.ip_network(host))
    except ValueError:
        network = ""
    return asdict(site.settings) | {
        "consortium": roster.consortium,
        "partners": [member.name for member in roster.members],
        "digest": spoken(roster.digest()),
        "host": host,
        "port": port,
        "network": network,
        "certificates": plan.certificates is not None,
        "catalogue": config.tasks.catalogue is not None,
        "fold_key": config.chemistry.fold_key_file,
        "memory": memory_limit(config, roster, site.partner),
        "version": version("polyphony"),
    }


def memory_limit(config: Config, roster: Roster, partner: bool) -> int:
    """Memory that a service may take, GiB: twice what `polyphony doctor` wants to find free, and no less than small models need."""
    floor, needed = (16, partner_memory(config)) if partner else (8, coordinator_memory(config, len(roster.members)))
    return max(floor, -(-2 * needed >> 30))


def rendered(role: str, facts: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Path in the kit and contents of each file that is made of a template: those of both parties, and the party's own."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    for template in environment.list_templates(extensions=["j2"]):
        folder, _, name = template.partition("/")
        if folder in ("both", role):
            yield name.removesuffix(".j2"), environment.get_template(template).render(facts)
