"""A party takes over a kit: the first time, and again whenever roster, experiment or addresses change.

Keys, state, log and dataset are the site's own and stay, as do the settings that nobody else has to know; all else comes from the kit.
"""

import shutil
from dataclasses import asdict, replace
from pathlib import Path

from fedapp.config import Config, saved_config, to_yaml
from fedapp.consortium import KEY_FILE, load_identity, load_roster
from fedapp.errors import ConfigError
from fedapp.files import PRIVATE_DIRECTORY, atomic_directory, write_text
from fedapp.membership import read_policy_file, write_policy_file
from fedapp.site.accept import OWNER, own_state
from fedapp.site.folder import SITE_FILE, Site
from fedapp.site.kit import CONFIG, SERVICES, copy, own_seed
from fedapp.site.saved import json_object

COPIED = ("consortium.yaml", "session.yaml", "ca.crt", "tls/server.key", "tls/server.crt", "README.md")  # where the kit has them


def install(kit: Path, path: Path) -> list[str]:
    """Take over a kit, as a new site or into an existing one.

    Args:
        kit: One party's folder of `polyphony kit new`.
        path: The site's folder.
    Returns:
        What changed in the partner's own policy, a line each; none at a new site.
    Raises:
        ConfigError: No kit, one for another party, or one whose roster has other keys for this partner than the site.
    """
    given = Site.open(kit)
    known = Site.open(path) if (path / SITE_FILE).is_file() else None
    if given.path == path.resolve():
        raise ConfigError(f"{path} is the kit itself", "name another folder, for the site to live in")
    if known is not None and party(known) != party(given):
        raise ConfigError(f"{kit} is for {party(given)}, and {path} is the site of {party(known)}", "take the kit that was made for it")
    if given.partner:
        _check_keys(given, path)
    config, changes = _config(given, known), _changes(given, known)
    site = Site.create(path, replace(known.settings, superlink=given.settings.superlink) if known else given.settings)
    _copy(given, site)
    if site.partner:
        data = read_policy_file(site.policy).data if site.policy.is_file() else ""
        write_policy_file(site.policy, replace(read_policy_file(given.policy), data=data))
        _take_over_state(site)
    write_text(site.path / CONFIG, to_yaml(config))
    return changes


def party(site: Site) -> str:
    """Whose site it is, in words."""
    return f"the partner {site.settings.name}" if site.partner else "the coordinator"


def _check_keys(given: Site, path: Path) -> None:
    """Refuse a roster that has other keys for this partner than those that lie in its site."""
    keys = path / "keys"
    if not (keys / KEY_FILE).is_file():
        return
    identity, name = load_identity(keys).public, given.settings.name
    if not any(member.identity == identity and member.name == name for member in load_roster(given.roster).members):
        raise ConfigError(
            f"the key in {keys} is not the one that {given.roster} has for {name}",
            "put the keys in place whose identity.pub was handed out, or have the roster corrected: `polyphony consortium replace`",
        )


def _config(given: Site, known: Site | None) -> Config:
    """The kit's experiment; a seed that nobody else has to know is drawn here, once."""
    config = saved_config(given.path / CONFIG)
    if not given.partner or config.federation.initial_trunk == "seed":
        return config
    drawn = known.config().seed if known and (known.path / CONFIG).is_file() else own_seed()
    return replace(config, seed=drawn)


def _changes(given: Site, known: Site | None) -> list[str]:
    if known is None or not known.partner or not known.policy.is_file():
        return []
    before, after = asdict(read_policy_file(known.policy)), asdict(read_policy_file(given.policy))
    return [f"{key}: {before[key]} -> {after[key]}" for key in after if key != "data" and before[key] != after[key]]


def _copy(given: Site, site: Site) -> None:
    for name in COPIED:
        if (given.path / name).is_file():
            (site.path / name).parent.mkdir(mode=PRIVATE_DIRECTORY, exist_ok=True)
            copy(given.path / name, site.path / name)
    if (given.path / SERVICES).is_dir():
        with atomic_directory(site.path / SERVICES) as folder:
            shutil.copytree(given.path / SERVICES, folder, dirs_exist_ok=True)


def _take_over_state(site: Site) -> None:
    """After a change of keys: what this partner left under its old ones is its own under the new."""
    owner = site.state / OWNER
    if owner.is_file() and json_object(owner).get("name") == site.settings.name and (site.keys / KEY_FILE).is_file():
        own_state(site)
