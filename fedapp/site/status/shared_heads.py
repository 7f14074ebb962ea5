"""Which of a partner's own tasks have a shared head in play: its own business, for its own page alone."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from fedapp.config import Config
from fedapp.data.dataset import Dataset
from fedapp.site.declared_tasks import DeclaredTask, declared_tasks
from fedapp.site.endpoints import check_endpoints, declared
from fedapp.site.folder import Site
from fedapp.site.status.ledger import HeldTrunk
from strategies.update.round_sum import RoundSum


def shared_heads(site: Site, config: Config, trunk: HeldTrunk, sums: Sequence[RoundSum]) -> list[dict[str, Any]]:
    """The declared tasks: the keys of `DeclaredTask`, and `in_play`; where it is not, `lacks` says why.

    `few` are the rounds in which too few holders were left for its head to be used, `round` and `holders` of each: a holder that drops out
    of a round, or stops taking part in the head, leaves a sum over the others that every partner can read.

    Args:
        sums: What was taken in, round by round.
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
    return [_head(each, trunk, sums) for each in found]


def _head(each: DeclaredTask, trunk: HeldTrunk, sums: Sequence[RoundSum]) -> dict[str, Any]:
    few = [{"round": taken.round, "holders": taken.few[slot]} for taken in sums if (slot := str(each.slot)) in taken.few]
    lacks = each.lacks or _others(each, trunk, bool(few) and few[-1]["round"] == trunk.version)
    return asdict(each) | {"lacks": lacks, "in_play": not lacks, "few": few}


def _others(each: DeclaredTask, trunk: HeldTrunk, few: bool) -> str:
    """What the other partners lack; `few` says whether too few of them were in the last sum."""
    if not trunk.slots:
        return "partners have not agreed on shared heads yet"
    return "fewer than three partners have a part in it" if few or not trunk.slots[each.slot] else ""
