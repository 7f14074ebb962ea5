"""From a partner's place to what answers a request: its `NumPyClient`, and its side of the aggregation."""

import os
from functools import lru_cache
from pathlib import Path

import numpy as np
from flwr.app import Context
from flwr.client import Client, NumPyClient

from fedapp.config import RECORD_DP
from fedapp.data.catalogue import catalogue_of, slots_of
from fedapp.data.dataset import Dataset
from fedapp.errors import ConfigError
from fedapp.model.first_trunk import first_trunk
from fedapp.model.trunk_shape import slot_count
from fedapp.model.update_codec import update_codec
from fedapp.partner.candidates import round_candidates
from fedapp.partner.place import Place, place
from fedapp.partner.record_privacy import open_budget
from fedapp.partner.update_rules import rounding_seed, supported_rows, weight
from fedapp.partner_folder import PartnerFolder
from fedapp.storage.sealed_array import read_flags
from strategies.partner.side import PartnerData, PartnerSide, UpdateTerms
from strategies.update.candidates import Candidates
from strategies.update.holders import Holders


@lru_cache(maxsize=16)
def read_holders(directory: Path, _digest: str, folds: tuple[int, ...]) -> Holders:
    """What the self-audit asks of a dataset, counted once per process and version of it."""
    dataset = Dataset.open(directory)
    return Holders.of(*dataset.fingerprints(dataset.rows_in(folds)), dataset.bits)


def open_client(context: Context) -> Client:
    """`open_partner` as Flower calls it."""
    return open_partner(context).to_client()


def open_partner(context: Context) -> NumPyClient:
    """The `NumPyClient` over this partner's folder.

    Raises:
        ConfigError: No dataset.
    """
    from fedapp.model.training import choose_device
    from fedapp.partner.client import Partner

    partner_place = place(context)
    folder, dataset = partner_place.folder, open_dataset(partner_place)
    slots = slots_in(dataset, partner_place)
    partner = Partner(folder, dataset, partner_place.config, choose_device(), read_row_list(folder), slots=slots)
    PartnerFolder(folder).error.unlink(missing_ok=True)
    return partner


def slots_in(dataset: Dataset, partner_place: Place) -> np.ndarray:
    """The slot of each task, as the partner declared it: int32 [tasks], -1 without.

    Raises:
        ConfigError: It declared a group to an endpoint that the catalogue does not have.
    """
    return slots_of(dataset.tasks, catalogue_of(partner_place.config), partner_place.declared)


def read_row_list(folder: Path) -> np.ndarray | None:
    """Rows and shared heads that may leave, bool; None before partners agreed on any.

    Raises:
        DamagedFileError: The list is damaged.
    """
    path = PartnerFolder(folder).rows
    return read_flags(path, "remove it: the next training writes it anew") if path.is_file() else None


def open_dataset(partner_place: Place) -> Dataset:
    """This partner's dataset; a bare `flwr run .` makes the demo's on the way.

    Raises:
        ConfigError: A bare run of anything but the demo, whose partners have no data yet.
    """
    config = partner_place.config
    if not partner_place.dataset.is_dir():
        if config.data.tables != "demo" or partner_place.partition is None:
            raise ConfigError(
                f"{partner_place.dataset.parent} has no dataset",
                f"`flwr run .` alone runs the demo; for {config.name} use `polyphony simulate conf/{config.name}.yaml`",
            )
        from fedapp.data.demo import demo_dataset

        demo_dataset(partner_place.dataset, partner_place.partition + 1, config.data.partners, config.chemistry, config.tasks)
    return Dataset.open(partner_place.dataset)


def open_side(context: Context) -> PartnerSide:
    """What the mod needs of this partner; nothing here imports torch or rdkit before it is called for."""
    partner_place = place(context)
    folder, config = partner_place.folder, partner_place.config
    if config.privacy.profile == RECORD_DP:
        open_budget(folder, config).begin()
    codec = update_codec(config, np.empty(0, dtype=np.bool_), partner_place.partners)  # its rows are not agreed on yet

    def supported() -> np.ndarray:
        dataset = open_dataset(partner_place)
        return supported_rows(folder, dataset, config, slots_in(dataset, partner_place))

    def holders() -> Holders:
        dataset = open_dataset(partner_place)
        return read_holders(dataset.directory, dataset.digest, tuple(config.training_folds()))

    def candidates(number: int) -> Candidates:
        return round_candidates(open_dataset(partner_place), config, number)

    terms = UpdateTerms(
        shapes=codec.shapes,
        partners=codec.partners,
        word_bits=codec.word_bits,
        value_range=config.privacy.range,
        largest_weight=codec.largest_weight,
        server_learning_rate=config.federation.server_learning_rate,
        momentum=config.federation.momentum,
        slots=slot_count(config),
        row_guard=0 if config.privacy.profile == RECORD_DP else config.privacy.row_guard,
        metrics=tuple(sorted(config.federation.metrics_shown)),
    )
    data = PartnerData(
        support=supported,
        holders=holders,
        candidates=candidates,
        weight=lambda: weight(open_dataset(partner_place), config),
        first_trunk=lambda key: first_trunk(config, key),
        rounding_seed=lambda number, attempt: rounding_seed(config, partner_place.name, number, attempt),
    )
    return PartnerSide(
        directory=folder,
        membership=partner_place.membership() if config.aggregation == "secure" else None,
        terms=terms,
        data=data,
        threads=max(1, (os.cpu_count() or 1) // (1 if partner_place.partition is None else partner_place.partners)),
    )
