"""A partner's place in a consortium: its identity, the roster it pinned and the policy it set; in simulation all made on the fly.

consortium.yaml        the roster, the same at everybody
partners/<name>/identity/   the partner's private keys
partners/<name>/policy.yaml the least that it accepts
"""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

from omegaconf import OmegaConf

from fedapp.config import Config
from fedapp.config_check import RECORD_DP, flatten
from fedapp.consortium import load_identity, load_roster, nearest_name, new_identity, write_roster
from fedapp.errors import ConfigError
from fedapp.files import write_text
from fedapp.run_folder import RunFolder
from fedapp.yaml_file import first_line, read_whole
from strategies.house import Limits, Membership
from strategies.secagg.messages import SessionParameters
from strategies.secagg.policy import Policy
from strategies.secagg.roster import LEAST_PARTNERS, Member, Roster, default_threshold

IDENTITY, POLICY, ROSTER = "identity", "policy.yaml", "consortium.yaml"
# What partners must have in common: everything that the trunk depends on.
COMMON = (
    *("chemistry.", "model.", "training.", "privacy.", "evaluation.test_fold", "evaluation.validation_fold"),
    *("federation.rounds", "federation.server_learning_rate", "federation.initial_trunk", "federation.largest_weight"),
)
POLICY_HEADER = "# The least that this partner accepts, whatever the coordinator asks.\n"
OWN = ("chemistry.fold_key_file",)
POLICY_HINT = "it says the least that this partner accepts: bring it back from a backup, or take it from the kit"
STRICT = Limits()


@dataclass(frozen=True)
class PolicyFile:
    """A policy as people write it; digests are hexadecimal.

    Attributes:
        most_identified, least_compounds: As in `strategies.house.Limits`; the partner's business alone, which no session names.
        applications: Digests of the app bundles that may send requests; empty in a simulation, where any may.
        data: Digest of the dataset that may be used; empty in a simulation, where any may, and at a site that accepted none yet.
    """

    roster: str
    configuration: str
    layout: str
    word_bits: list[int]
    row_guard: int
    rounds: int
    metrics_shown: list[str]
    least_survivors: int
    most_identified: float = Limits.most_identified
    least_compounds: int = Limits.least_compounds
    applications: list[str] = field(default_factory=list)
    data: str = ""


def found(run: RunFolder, config: Config) -> None:
    """Make identities, roster and policies of a simulated consortium, unless an earlier process did."""
    if config.aggregation != "secure" or (run.path / ROSTER).is_file():
        return
    names = run.partners()
    folders = [run.partner(name) / IDENTITY for name in names]
    identities = [load_identity(folder) if (folder / "identity.key").is_file() else new_identity(folder) for folder in folders]
    members = tuple(Member(index, name, each.public) for index, (name, each) in enumerate(zip(names, identities, strict=True), 1))
    least = len(names) if config.federation.min_partners is None else config.federation.min_partners
    roster = Roster(nearest_name(run.name), default_threshold(len(names)), max(least, LEAST_PARTNERS), members)
    for name in names:
        write_policy(run.partner(name) / POLICY, default_policy(config, roster), limits=default_limits(config))
    write_roster(run.path / ROSTER, roster)


def open_membership(identity: Path, roster: Path, policy: Path) -> Membership:
    """One partner's keys, roster and policy.

    Raises:
        ConfigError: A file is missing or unusable; it is named.
    """
    return Membership(load_identity(identity), _roster(roster, changed(roster)), *_rules(policy, changed(policy)))


def changed(path: Path) -> int:
    """When a file was written, for those that are parsed once per process and version: parsing takes longer than a short phase."""
    return path.stat().st_mtime_ns if path.is_file() else 0


@lru_cache(maxsize=8)
def _roster(path: Path, _changed: int) -> Roster:
    return load_roster(path)


@lru_cache(maxsize=64)
def _rules(path: Path, _changed: int) -> tuple[Policy, Limits]:
    return read_policy(path), read_limits(path)


def propose(config: Config, roster: Roster) -> SessionParameters:
    """What the coordinator of a simulation proposes for a session."""
    return proposed(default_policy(config, roster))


def proposed(policy: Policy) -> SessionParameters:
    """A proposal that fits a policy, fresh."""
    return SessionParameters(
        roster=policy.roster,
        configuration=policy.configuration,
        layout=policy.layout,
        word_bits=policy.word_bits[0],
        row_guard=policy.row_guard,
        rounds=policy.rounds,
        metrics=policy.metrics,
        nonce=os.urandom(32),
    )


def default_policy(config: Config, roster: Roster) -> Policy:
    """The policy that accepts this experiment and nothing else."""
    return Policy(
        roster=roster.digest(),
        configuration=configuration_digest(config),
        layout=layout(config),
        word_bits=(config.privacy.word_bits,),
        row_guard=config.privacy.row_guard,
        rounds=config.federation.rounds,
        metrics=tuple(sorted(config.federation.metrics_shown)),
        least_survivors=roster.minimum,
    )


def default_limits(config: Config) -> Limits:
    """The limits of a partner that wants this experiment's protection.

    With no more compounds than the first layer has units, what each compound adds to the rows is linearly independent, and whole
    fingerprints can be solved for. Whoever turned the row guard off is told by the self-audit what that means, and refuses nothing;
    nor does anybody under record-level privacy, where a refusal that depends on compounds would itself be unpaid for.
    """
    judged = config.privacy.row_guard > 1 and config.privacy.profile != RECORD_DP
    return Limits(least_compounds=config.model.hidden[0]) if judged else Limits(most_identified=1.0)


def write_policy(
    path: Path,
    policy: Policy,
    applications: Sequence[str] = (),
    data: str = "",
    header: str = POLICY_HEADER,
    limits: Limits = STRICT,
) -> None:
    """Write a policy for people to read and change.

    Args:
        applications, data: As in `PolicyFile`.
        header: What the file's first line says.
        limits: Of the partner's own updates.
    """
    held = PolicyFile(
        roster=policy.roster.hex(),
        configuration=policy.configuration.hex(),
        layout=policy.layout,
        word_bits=list(policy.word_bits),
        row_guard=policy.row_guard,
        rounds=policy.rounds,
        metrics_shown=list(policy.metrics),
        least_survivors=policy.least_survivors,
        most_identified=limits.most_identified,
        least_compounds=limits.least_compounds,
        applications=list(applications),
        data=data,
    )
    write_policy_file(path, held, header)


def write_policy_file(path: Path, held: PolicyFile, header: str = POLICY_HEADER) -> None:
    """Write all that a policy file says."""
    write_text(path, header + OmegaConf.to_yaml(OmegaConf.structured(held)))


def read_policy(path: Path) -> Policy:
    """The rules for a session in a policy file.

    Raises:
        ConfigError: Missing or unusable.
    """
    held = read_policy_file(path)
    return Policy(
        roster=bytes.fromhex(held.roster),
        configuration=bytes.fromhex(held.configuration),
        layout=held.layout,
        word_bits=tuple(held.word_bits),
        row_guard=held.row_guard,
        rounds=held.rounds,
        metrics=tuple(held.metrics_shown),
        least_survivors=held.least_survivors,
    )


def read_limits(path: Path) -> Limits:
    """The limits of the partner's own updates in a policy file.

    Raises:
        ConfigError: Missing or unusable.
    """
    return _limits(read_policy_file(path))


def _limits(held: PolicyFile) -> Limits:
    return Limits(held.most_identified, held.least_compounds)


def read_policy_file(path: Path) -> PolicyFile:
    """All that a policy file says.

    Raises:
        ConfigError: Missing or unusable.
    """
    held = read_whole(path, PolicyFile, POLICY_HINT)
    try:
        for digest in (held.roster, held.configuration, held.data, *held.applications):
            if len(bytes.fromhex(digest)) not in (0, 32):
                raise ValueError(f"{digest:.80} is no SHA-256 of 64 hexadecimal digits")
        _limits(held)
    except ValueError as error:
        raise ConfigError(f"{path}: {first_line(error)}", POLICY_HINT) from error
    return held


def configuration_digest(config: Config) -> bytes:
    """SHA-256 of all settings that the trunk depends on."""
    held = {key: value for key, value in flatten(config).items() if key.startswith(COMMON) and key not in OWN}
    if config.federation.initial_trunk == "seed":
        held["seed"] = config.seed
    return hashlib.sha256(json.dumps(held, sort_keys=True).encode()).digest()


def trunk_shapes(config: Config) -> tuple[tuple[int, ...], ...]:
    """Shapes of the trunk's arrays: the first layer's weight and bias, then those of each further one."""
    hidden = list(config.model.hidden)
    first: list[tuple[int, ...]] = [(config.chemistry.bits, hidden[0]), (hidden[0],)]
    for before, after in pairwise(hidden):
        first += [(after, before), (after,)]
    return tuple(first)


def layout(config: Config) -> str:
    """Shapes as text, such as "32768x400,400"."""
    return ",".join("x".join(map(str, shape)) for shape in trunk_shapes(config))
