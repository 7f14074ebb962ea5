"""A federation in this process: the partners' own training, guard and sum, without Flower and without masks.

Masks do not change a sum, so a trunk that is made here is, bit for bit, the one that the same partners make under secure aggregation.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fedapp.config import Config
from fedapp.data.catalogue import catalogue_of, slots_of
from fedapp.data.dataset import Dataset
from fedapp.model.first_trunk import first_trunk
from fedapp.model.update_codec import update_codec
from fedapp.partner.client import Partner
from fedapp.partner.update_rules import rounding_seed, supported_rows, weight
from fedapp.seeds import derived_seed
from strategies.update.codec import UpdateCodec
from strategies.update.row_guard import least_holders, listed
from strategies.update.shared_trunk import SharedTrunk, no_trunk
from strategies.update.verdict import judge


@dataclass(frozen=True)
class Guarded:
    """What the row guard lets pass.

    Attributes:
        supports: bool [partners, bits + slots], the bits that enough of a partner's training compounds hold, and the shared heads in which
            it has a part.
        listed: bool [bits + slots], what is in the sum.
    """

    supports: np.ndarray
    listed: np.ndarray


def guard(datasets: Mapping[str, Dataset], config: Config, folder: Path) -> Guarded:
    """What the row guard lets pass of these datasets; with a guard of 1 or less, every row.

    Args:
        folder: Below it lie the partners' own folders: under record-level privacy, rows are chosen with noise and paid for there.
    """
    supports = np.stack(
        [supported_rows(folder / name, dataset, config, declared_slots(dataset, config)) for name, dataset in datasets.items()]
    )
    passed = listed(supports.sum(axis=0), config.chemistry.bits, config.privacy.least_supporters)
    if config.privacy.row_guard <= 1:
        passed[: config.chemistry.bits] = True
    return Guarded(supports, passed)


def declared_slots(dataset: Dataset, config: Config) -> np.ndarray:
    """The slot of each task of a simulated partner, which declares whatever it can: int32 [tasks], -1 without."""
    catalogue = catalogue_of(config)
    return slots_of(dataset.tasks, catalogue, catalogue.by_name)


def first_shared(config: Config, listed: np.ndarray) -> SharedTrunk:
    """The first trunk, with these rows and slots listed."""
    arrays = first_trunk(config, derived_seed(config.seed, "first trunk").to_bytes(32, "little"))
    return no_trunk(config.privacy.range).with_rows(listed, b"").starting_with(arrays)


def form_of(shared: SharedTrunk, config: Config) -> UpdateCodec:
    """How this federation's updates become words."""
    return update_codec(config, shared.rows, config.data.partners)


def words_of(partner: Partner, shared: SharedTrunk, form: UpdateCodec, config: Config) -> np.ndarray:
    """One partner's update of the next round as words: [form.words]."""
    number, attempt = shared.version + 1, 0
    trained, _, _ = partner.fit(shared.arrays, {"round": number, "attempt": attempt})
    words = np.zeros(form.words, dtype=form.quantiser(shared.value_range).word_type)
    seed = rounding_seed(config, partner.directory.name, number, attempt)
    sent = shared.rows.copy()  # of rows, what a partner may not send came back as it went in
    sent[form.shapes[0][0] :] &= partner.sent[partner.dataset.bits :]
    shared.encode(form, trained, sent, words, seed, weight(partner.dataset, config))
    return words


def take_in(
    shared: SharedTrunk, form: UpdateCodec, sums: np.ndarray, partners: int, config: Config, holders: int | None = None
) -> SharedTrunk:
    """The trunk after a round whose words, added up over `partners`, are `sums`; changes the arrays of `shared`.

    Args:
        holders: Least presence with which a shared head is used; None for what the configuration says.
    """
    holders = least_holders(config.privacy.least_supporters) if holders is None else holders
    signed = sums.view(form.quantiser(shared.value_range).sum_type)
    accepted = judge(shared.pending(form, signed, partners, holders))
    return shared.adding(accepted, config.federation.server_learning_rate, config.federation.momentum)


def federate(datasets: Mapping[str, Dataset], config: Config, folder: Path) -> np.ndarray:
    """All rounds, each judged, in `folder/<partner>`; what is in the sum, `listed` of `Guarded`."""
    guarded = guard(datasets, config, folder)
    partners = {
        name: Partner(folder / name, dataset, config, sent=guarded.listed & supported, slots=declared_slots(dataset, config), local=False)
        for (name, dataset), supported in zip(datasets.items(), guarded.supports, strict=True)
    }
    shared = first_shared(config, guarded.listed)
    form = form_of(shared, config)
    for _ in range(config.federation.rounds):
        sums = np.zeros(form.words, dtype=form.quantiser(shared.value_range).word_type)
        for partner in partners.values():
            sums += words_of(partner, shared, form, config)
        shared = take_in(shared, form, sums, len(partners), config)
    for partner in partners.values():
        partner.evaluate(shared.arrays, {"round": config.federation.rounds})
    return guarded.listed
