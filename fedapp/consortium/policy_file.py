"""A partner's policy on disk: the least that it accepts, in a YAML file of its own."""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from omegaconf import OmegaConf

from fedapp.errors import ConfigError
from fedapp.storage.files import write_text
from fedapp.storage.yaml_file import first_line, read_whole
from strategies.secagg.policy import Policy
from strategies.secagg.repetition import RepetitionLimits
from strategies.update.limits import LeakLimits

POLICY_HEADER = "# The least that this partner accepts, whatever the coordinator asks.\n"
POLICY_HINT = (
    "it says the least that this partner accepts: bring it back from a backup; or take it from the kit, and then `polyphony accept` again, "
    "with the endpoints"
)
VALUE_HINT = "correct that value there; the kit's own file has one that is allowed"
STRICT = LeakLimits()
DIGEST = re.compile("([0-9a-fA-F]{64})?")


@dataclass(frozen=True)
class PolicyFile:
    """A policy as people write it; digests are hexadecimal.

    Attributes:
        most_identified, least_compounds: As in `strategies.update.limits.LeakLimits`; the partner's business alone, which no session names.
        survivor_lists, sessions, cohort_changes: As in `strategies.secagg.repetition.RepetitionLimits`; no session names them either.
        applications: Digests of the app bundles that may send requests; empty in a simulation, where any may.
        data: Digest of the dataset that may be used; empty in a simulation, where any may, and at a site that accepted none yet.
        catalogue: Digest of the catalogue of common endpoints; empty in a simulation, where any may be used, and without one.
        endpoints: In words, which groups of tasks `polyphony accept` declared to be which endpoints, and what these are.
    """

    roster: str
    configuration: str
    layout: str
    word_bits: list[int]
    row_guard: int
    least_supporters: int
    rounds: int
    metrics_shown: list[str]
    least_survivors: int
    most_identified: float = LeakLimits.most_identified
    least_compounds: int = LeakLimits.least_compounds
    survivor_lists: int = RepetitionLimits.survivor_lists
    sessions: int = RepetitionLimits.sessions
    cohort_changes: int = RepetitionLimits.cohort_changes
    applications: list[str] = field(default_factory=list)
    data: str = ""
    catalogue: str = ""
    endpoints: list[str] = field(default_factory=list)


def write_policy(
    path: Path,
    policy: Policy,
    applications: Sequence[str] = (),
    data: str = "",
    catalogue: str = "",
    header: str = POLICY_HEADER,
    limits: LeakLimits = STRICT,
) -> None:
    """Write a policy for people to read and change.

    Args:
        applications, data, catalogue: As in `PolicyFile`.
        header: What the file's first line says.
        limits: Of the partner's own updates.
    """
    fields = PolicyFile(
        roster=policy.roster.hex(),
        configuration=policy.configuration.hex(),
        layout=policy.layout,
        word_bits=list(policy.word_bits),
        row_guard=policy.row_guard,
        least_supporters=policy.least_supporters,
        rounds=policy.rounds,
        metrics_shown=list(policy.metrics),
        least_survivors=policy.least_survivors,
        most_identified=limits.most_identified,
        least_compounds=limits.least_compounds,
        **asdict(policy.repetition),
        applications=list(applications),
        data=data,
        catalogue=catalogue,
    )
    write_policy_file(path, fields, header)


def write_policy_file(path: Path, fields: PolicyFile, header: str = POLICY_HEADER) -> None:
    """Write all that a policy file says."""
    write_text(path, header + OmegaConf.to_yaml(OmegaConf.structured(fields)))


def read_policy(path: Path) -> Policy:
    """The rules for a session in a policy file.

    Raises:
        ConfigError: Missing or unusable.
    """
    fields = read_policy_file(path)
    return Policy(
        roster=bytes.fromhex(fields.roster),
        configuration=bytes.fromhex(fields.configuration),
        layout=fields.layout,
        word_bits=tuple(fields.word_bits),
        row_guard=fields.row_guard,
        least_supporters=fields.least_supporters,
        rounds=fields.rounds,
        metrics=tuple(fields.metrics_shown),
        least_survivors=fields.least_survivors,
        repetition=_repetition(fields),
    )


def read_limits(path: Path) -> LeakLimits:
    """The limits of the partner's own updates in a policy file.

    Raises:
        ConfigError: Missing or unusable.
    """
    return _limits(read_policy_file(path))


def _limits(fields: PolicyFile) -> LeakLimits:
    return LeakLimits(fields.most_identified, fields.least_compounds)


def _repetition(fields: PolicyFile) -> RepetitionLimits:
    return RepetitionLimits(fields.survivor_lists, fields.sessions, fields.cohort_changes)


def read_policy_file(path: Path) -> PolicyFile:
    """All that a policy file says.

    Raises:
        ConfigError: Missing or unusable.
    """
    fields = read_whole(path, PolicyFile, POLICY_HINT)
    digests = {name: [getattr(fields, name)] for name in ("roster", "configuration", "data", "catalogue")}
    for name, each in [(name, digest) for name, named in (digests | {"applications": fields.applications}).items() for digest in named]:
        if not DIGEST.fullmatch(each):
            raise ConfigError(f"{path}: {name} is {each!r:.80}, no SHA-256 of 64 hexadecimal digits", VALUE_HINT)
    try:
        _limits(fields)
        _repetition(fields)
    except ValueError as error:
        raise ConfigError(f"{path}: {first_line(error)}", VALUE_HINT) from error
    return fields
