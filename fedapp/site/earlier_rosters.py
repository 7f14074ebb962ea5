"""The rosters that a site had before: what was signed under one of them cannot be verified without it."""

from pathlib import Path

from fedapp.consortium.promises import spoken
from fedapp.consortium.roster_file import load_roster
from fedapp.errors import ConfigError
from fedapp.site.folder import Site
from fedapp.storage.files import write_text
from strategies.secagg.roster import Roster

DIGITS = 8  # of a roster's digest, in the name of its file and of the transcript that was written under it


def earlier_roster(site: Site, digits: str) -> Path:
    """Where a site keeps the roster whose digest begins with these hex digits."""
    return site.path / f"consortium-{digits}.yaml"


def keep_roster(site: Site, new: Path) -> None:
    """Keep a site's roster by its digest, before another one takes its place; one that cannot be read verifies nothing, and is not kept."""
    old = _digest(site.roster)
    if old is None or old == _digest(new):
        return
    kept = earlier_roster(site, old.hex()[:DIGITS])
    if _digest(kept) != old:
        write_text(kept, site.roster.read_text(encoding="utf-8"))


def load_earlier(site: Site, digits: str) -> Roster:
    """The roster that a site keeps under these digits.

    Raises:
        ConfigError: None is kept, it cannot be read, or it is another one.
    """
    path = earlier_roster(site, digits)
    hint = (
        f"put the `consortium.yaml` of that time there as {path.name}: it is in the kit of that time, and every other partner had the same"
    )
    if not path.is_file():
        raise ConfigError(f"there is no {path}", hint)
    try:
        roster = load_roster(path)
    except ConfigError as error:
        raise ConfigError(str(error), hint) from error
    if roster.digest().hex()[:DIGITS] != digits:
        raise ConfigError(f"{path} is the roster of digest {spoken(roster.digest())}", hint)
    return roster


def _digest(path: Path) -> bytes | None:
    """The digest of the roster in a file; None if it holds none."""
    try:
        return load_roster(path).digest()
    except ConfigError:
        return None
