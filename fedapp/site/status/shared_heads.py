"""Which of a partner's own tasks have a shared head in play: its own business, for its own page alone."""

from dataclasses import asdict
from functools import lru_cache
from typing import Any

from fedapp.config import Config
from fedapp.data.catalogue import NO_SLOT, catalogue_digest
from fedapp.data.dataset import Dataset
from fedapp.data.task_names import task_name
from fedapp.site.endpoints import DeclaredTask, check_endpoints, declared, declared_tasks
from fedapp.site.folder import Site
from fedapp.site.status.ledger import HeldTrunk


def shared_heads(site: Site, config: Config, trunk: HeldTrunk) -> list[dict[str, Any]]:
    """The declared tasks: the keys of `DeclaredTask`, name, in_play, and why not.

    Raises:
        PolyphonyError: The declarations are not those that were accepted.
    """
    if site.settings.dataset is None or not (declarations := declared(site)):
        return []
    check_endpoints(site)
    found = _counted(Dataset.open(site.dataset), config, tuple(declarations.items()), catalogue_digest(config))
    return [_told(each, trunk, config) for each in found]


@lru_cache(maxsize=4)
def _counted(dataset: Dataset, config: Config, declarations: tuple[tuple[str, str], ...], _catalogue: str) -> list[DeclaredTask]:
    return declared_tasks(dataset, config, dict(declarations))


def _told(each: DeclaredTask, trunk: HeldTrunk, config: Config) -> dict[str, Any]:
    why = ""
    if each.slot == NO_SLOT:
        why = "the catalogue does not have its threshold"
    elif not each.enough:
        why = f"fewer than {config.privacy.endpoint_labels:,} training labels"
    elif not trunk.slots:
        why = "partners have not agreed on shared heads yet"
    elif not trunk.slots[each.slot]:
        why = "fewer than three partners have a part in it"
    return asdict(each) | {"name": task_name(each.group, each.threshold), "in_play": not why, "why_not": why}
