"""`took-part.json`: says, beside a partner's state, that there must be one; else one that is lost as a whole begins anew, unnoticed."""

import json

from fedapp.partner_folder import PartnerFolder
from fedapp.site.folder import Site
from fedapp.storage.damage import DamagedFileError
from fedapp.storage.json_file import BY_HAND, SEAL, read_sealed, write_sealed
from strategies.partner.repetition import counted_anew, read_repetition, write_repetition


def take_part(site: Site) -> None:
    """Write down that this site takes part, before its first reply leaves.

    Raises:
        DamagedFileError: What was repeated is lost or damaged.
    """
    if site.took_part.exists():
        return
    state = PartnerFolder(site.state)
    if not state.repetition.exists():  # before the mark, which says that it is there
        write_repetition(state, read_repetition(state))
    write_sealed(site.took_part, {"name": site.settings.name})


def check_not_lost(site: Site) -> None:
    """Refuse to begin anew where this site took part and its state is gone.

    Raises:
        DamagedFileError: The state is lost, or nobody can read whether there was one.
    """
    if not site.took_part.exists():
        return
    said = json.dumps({"name": site.settings.name, SEAL: BY_HAND})
    read_sealed(site.took_part, {"name": str}, f"it says that this site took part in rounds: write {said} into it")
    state = PartnerFolder(site.state)
    if not state.answered():
        raise DamagedFileError(
            f"{site.state} is lost or empty, and this site took part in rounds, as {site.took_part} says",
            "if it was moved just now, move it back; bring no older copy back, which could let an update leave twice. To begin anew on "
            "purpose, and to count all that was repeated, and all that was paid for under record_dp, from nothing, "
            f"write {counted_anew()} into {state.repetition}",
        )
