"""Which endpoints of the catalogue the simulated partners have in common, told before they train: a match that fails is silent otherwise.

A simulated partner declares whatever it can: each of its groups of tasks that is called as an endpoint, in the endpoint's unit.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fedapp.config import Config
from fedapp.data.catalogue import Catalogue, catalogue_of, slots_of
from fedapp.data.dataset import Dataset
from fedapp.data.slot_labels import SlotLabels
from fedapp.wording import plural
from strategies.update.row_guard import least_holders

EACH = 10  # endpoints that are told one by one
NAMED = 5  # in a warning


@dataclass(frozen=True)
class CommonEndpoints:
    """How many of the partners measure what the catalogue names.

    Attributes:
        partners: How many there are.
        measured: Endpoint to how many have a task of it.
        holders: Endpoint to how many have labels enough, for each of its shared heads.
        groups: Of all partners' tasks.
        least: Holders that a shared head needs.
    """

    partners: int
    measured: Mapping[str, int]
    holders: Mapping[str, tuple[int, ...]]
    groups: frozenset[str]
    least: int

    @property
    def shared(self) -> list[int]:
        """Of each shared head that is in play, how many hold it."""
        return [number for numbers in self.holders.values() for number in numbers if number >= self.least]

    def facts(self) -> dict[str, Any]:
        """What a report says of it: endpoints in the catalogue, those shared, their heads, and by how many partners at least and most."""
        return {
            "endpoints": len(self.measured),
            "shared": len(self.measured) - len(self._unshared(self.measured)),
            "heads": len(self.shared),
            "fewest": min(self.shared, default=0),
            "most": max(self.shared, default=0),
        }

    def lines(self, endpoint_labels: int) -> list[str]:
        """What a person is told: each endpoint, or all in short, and warnings of those that are not shared, with the reason."""
        unmeasured = [name for name, number in self.measured.items() if not number]
        few = [name for name, number in self.measured.items() if 0 < number < self.least]
        poor = self._unshared(self.measured.keys() - {*unmeasured, *few})
        groups = f"the partners' groups are {in_short(sorted(self.groups))}"
        called = "a group of tasks is an endpoint if it is called as its id, and has its unit and thresholds"
        fewer, least = f"fewer than {self.least} partners", f"privacy.endpoint_labels = {endpoint_labels:,} training compounds"
        reasons = (
            (unmeasured, "no partner measures ", f": {called}; {groups}"),
            (few, f"{fewer} measure ", ", so that nothing of it is shared"),
            (poor, f"{fewer} have {least}, of both classes, of ", ""),
        )
        return self._numbers() + [f"warning: {before}{in_short(names)}{after}" for names, before, after in reasons if names]

    def _unshared(self, names: Iterable[str]) -> list[str]:
        return sorted(name for name in names if max(self.holders[name]) < self.least)

    def _numbers(self) -> list[str]:
        if len(self.measured) <= EACH:
            return [
                f"endpoint {name}: {number:,} of {plural(self.partners, 'partner')} measure it" for name, number in self.measured.items()
            ]
        facts = self.facts()
        by = f", each head by {facts['fewest']:,} to {facts['most']:,} of {plural(self.partners, 'partner')}" if facts["heads"] else ""
        return [f"{plural(facts['endpoints'], 'endpoint')} of the catalogue: {facts['shared']:,} shared{by}"]


def common_endpoints(datasets: Mapping[str, Dataset], config: Config) -> CommonEndpoints:
    """Count them.

    Args:
        datasets: Of all partners.
    """
    catalogue, folds = catalogue_of(config), config.training_folds()
    names = list(catalogue.by_id)
    measured, holders = dict.fromkeys(names, 0), np.zeros(len(catalogue.slots), dtype=np.int64)
    for dataset in datasets.values():
        slots = slots_of(dataset.tasks, catalogue, catalogue.by_name)
        for name in measured_by(slots, catalogue):
            measured[name] += 1
        holders += SlotLabels.of(dataset, slots, len(catalogue.slots), folds).enough(config.privacy.endpoint_labels)
    heads: dict[str, tuple[int, ...]] = dict.fromkeys(names, ())
    for (name, _), number in zip(catalogue.slots, holders.tolist(), strict=True):
        heads[name] = (*heads[name], number)
    groups = frozenset(group for dataset in datasets.values() for group in dataset.tasks["group"])
    return CommonEndpoints(len(datasets), measured, heads, groups, least_holders(config.privacy.least_supporters))


def measured_by(slots: np.ndarray, catalogue: Catalogue) -> set[str]:
    """Endpoints of which one partner has a task, by the slots of its tasks."""
    return {catalogue.slots[slot][0] for slot in slots[slots >= 0].tolist()}


def in_short(names: Sequence[str]) -> str:
    """The first few, and how many more."""
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return f"{', '.join(f'{name:.60}' for name in names[:NAMED])}{more}"
