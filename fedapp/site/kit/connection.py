"""Where a kit says that the coordinator is, and by whose word a partner takes somebody for it: what changes of that, in words."""

from pathlib import Path

from fedapp.consortium.certificates import fingerprints
from fedapp.consortium.promises import spoken
from fedapp.errors import ConfigError
from fedapp.site.folder import Site


def connection_changes(given: Site, known: Site) -> list[str]:
    """What a kit changes of the coordinator's address and of the authority; one without a `ca.crt` leaves the site's."""
    old, new = known.settings.superlink, given.settings.superlink
    lines = [f"coordinator: {old} -> {new}"] if old != new else []
    if given.authority.is_file() and _text(given.authority) != _text(known.authority):
        lines.append(f"authority: new ca.crt, SHA-256 {_named(known.authority)} -> {_named(given.authority)}")
    return lines


def _text(path: Path) -> str | None:
    """All that a file of certificates says: beside those that we read in it, others may be there that TLS takes."""
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else None


def _named(path: Path) -> str:
    """The fingerprints in a file of certificates."""
    if not path.is_file():
        return "none"
    try:
        return " and ".join(map(spoken, fingerprints(path)))
    except ConfigError:
        return "one that cannot be read"
