"""Which of a partner's own tasks have a shared head in play: its own business, for its own page alone."""

from dataclasses import asdict
from typing import Any

from fedapp.config import Config
from fedapp.data.dataset import Dataset
from fedapp.site.declared_tasks import DeclaredTask, declared_tasks
from fedapp.site.endpoints import check_endpoints, declared
from fedapp.site.folder import Site
from fedapp.site.status.ledger import HeldTrunk


def shared_heads(site: Site, config: Config, trunk: HeldTrunk) -> list[dict[str, Any]]:
    """The declared tasks: the keys of `DeclaredTask`, and `in_play`; where it is not, `lacks` says why.

    Raises:
        ConfigError: The declarations are not those that were accepted.
        DataError: A damaged dataset or table.
    """
    if site.settings.dataset is None:
        return []
    check_endpoints(site)  # also where nothing is declared: what was accepted may be lost
    if not (declarations := declared(site)):
        return []
    found = declared_tasks(Dataset.open(site.dataset), config, declarations)
    return [asdict(each) | {"lacks": (lacks := each.lacks or _others(each, trunk)), "in_play": not lacks} for each in found]


def _others(each: DeclaredTask, trunk: HeldTrunk) -> str:
    """What the other partners lack."""
    if not trunk.slots:
        return "partners have not agreed on shared heads yet"
    return "" if trunk.slots[each.slot] else "fewer than three partners have a part in it"
