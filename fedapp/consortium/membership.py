"""A partner's place in a consortium: its identity, the roster it pinned and the policy it set; in simulation all made on the fly."""

from functools import lru_cache
from pathlib import Path

from fedapp.config import Config
from fedapp.consortium.agreement import default_limits, default_policy
from fedapp.consortium.identity_files import KEY_FILE, load_identity, new_identity
from fedapp.consortium.names import nearest_name
from fedapp.consortium.policy_file import read_limits, read_policy, write_policy
from fedapp.consortium.roster_file import load_roster, write_roster
from fedapp.partner_folder import PartnerFolder
from fedapp.run_folder import RunFolder
from strategies.partner.side import Membership
from strategies.secagg.roster import LEAST_PARTNERS, Member, Roster, default_threshold

ROSTER = "consortium.yaml"


def make_consortium(run: RunFolder, config: Config) -> None:
    """Make identities, roster and policies of a simulated consortium, unless an earlier process did."""
    if config.aggregation != "secure" or (run.path / ROSTER).is_file():
        return
    names = run.partners()
    folders = [PartnerFolder(run.partner(name)).identity for name in names]
    identities = [load_identity(folder) if (folder / KEY_FILE).is_file() else new_identity(folder) for folder in folders]
    members = tuple(Member(index, name, identity.public) for index, (name, identity) in enumerate(zip(names, identities, strict=True), 1))
    least = len(names) if config.federation.min_partners is None else config.federation.min_partners
    roster = Roster(nearest_name(run.name), default_threshold(len(names)), max(least, LEAST_PARTNERS), members)
    for name in names:
        write_policy(PartnerFolder(run.partner(name)).policy, default_policy(config, roster), limits=default_limits(config))
    write_roster(run.path / ROSTER, roster)


def open_membership(identity: Path, roster: Path, policy: Path) -> Membership:
    """One partner's keys, roster and policy.

    Raises:
        ConfigError: A file is missing or unusable; it is named.
    """
    return Membership(load_identity(identity), _roster(roster, changed(roster)), read_policy(policy), read_limits(policy))


def changed(path: Path) -> int:
    """When a file was written, for those that are parsed once per process and version: parsing takes longer than a short phase."""
    return path.stat().st_mtime_ns if path.is_file() else 0


@lru_cache(maxsize=8)
def _roster(path: Path, _changed: int) -> Roster:
    return load_roster(path)
