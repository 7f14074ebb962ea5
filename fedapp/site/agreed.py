"""A site's files against what its consortium agreed on: roster, catalogue and experiment, by the digests in its policy.

Updates are added without anybody looking at them, and each partner adds the sum to its own trunk. One that trains, encodes or adds under
another experiment would not be noticed: trunks would drift apart under one name. So a partner compares its own files before it answers
anything, as `polyphony kit install`, `accept` and `doctor` do.
"""

from functools import lru_cache
from pathlib import Path

from fedapp.consortium.agreement import configuration_digest
from fedapp.consortium.membership import changed
from fedapp.consortium.policy_file import read_policy_file
from fedapp.consortium.roster_file import load_roster
from fedapp.data.catalogue import catalogue_digest
from fedapp.errors import ConfigError
from fedapp.model.trunk_shape import layout
from fedapp.site.folder import CONFIG_FILE, Site

BRING_BACK = (
    "bring back the kit's own {}; if the consortium agreed on another, install its new kit (`polyphony kit install`); if this is the kit, "
    "ask whoever made it"
)
SHOWN = 16  # characters of a digest; layouts are shown whole


def check_agreed(site: Site) -> None:
    """Refuse a roster, a catalogue or an experiment other than those that the policy names; at the coordinator, those of its proposal.

    Raises:
        ConfigError: One is another, missing or unusable; it is named.
    """
    files = (site.path / CONFIG_FILE, site.catalogue, site.roster, _terms(site))
    _check_files(site, tuple(map(changed, files)))


def _terms(site: Site) -> Path:
    return site.policy if site.partner else site.proposal


@lru_cache(maxsize=16)
def _check_files(site: Site, _changed: tuple[int, ...]) -> None:
    """Once per process and version of the files: parsing takes longer than a short phase."""
    config, path = site.config(), _terms(site)
    terms, experiment = read_policy_file(path), site.path / CONFIG_FILE
    found = [
        (site.roster, "roster", load_roster(site.roster).digest().hex(), terms.roster),
        (site.catalogue, "catalogue", catalogue_digest(config), terms.catalogue),
    ]
    if site.partner or config.federation.initial_trunk == "group_key":  # else it covers a seed that the coordinator does not have
        found.append((experiment, "experiment", configuration_digest(config).hex(), terms.configuration))
    for file, what, digest, named in found:
        if digest != named:
            covered = ", the catalogue included," if what == "experiment" and terms.catalogue else ""
            raise ConfigError(
                f"{file} is not the {what} that {path} names: its digest{covered} is {digest[:SHOWN] or 'none'}, not "
                f"{named[:SHOWN] or 'any'}",
                BRING_BACK.format(f"{file.name} and {site.catalogue.name}" if covered else file.name),
            )
    if (ours := layout(config)) != terms.layout:
        raise ConfigError(f"{path} names a trunk of {terms.layout}, and {experiment} has {ours}", BRING_BACK.format(path.name))
