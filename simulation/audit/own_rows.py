"""A partner of an audit: its trunk has no rows but those that it trains, which makes a federation of a second or two."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedapp.config import NO_NOISE, Config
from fedapp.data.catalogue import NO_SLOT
from fedapp.data.dataset import Dataset
from fedapp.model.checkpoint import load_tensors
from fedapp.model.network import Heads
from fedapp.model.private_rows import DIFFERENCE, ROWS, private_bits
from fedapp.partner.client import Partner
from simulation.audit.pool import with_columns
from simulation.audit.signals import SuspectModel, layers
from simulation.federation import declared_slots


class OwnRows(Partner):
    """A partner whose trunk has no rows but those that it trains: sent or private.

    Args:
        columns: Bits that rows of the shared trunk stand for, ascending, int64.
        sent: bool [bits + slots], rows of which bits it sends, all among `columns`, and in which shared heads it has a part.
    """

    def __init__(self, directory: Path, dataset: Dataset, config: Config, columns: NDArray[np.int64], sent: NDArray[np.bool_]) -> None:
        counts = np.bincount(dataset.x_indices, minlength=dataset.bits)
        rows, heads = np.split(sent, [dataset.bits])
        noisy = config.privacy.profile != NO_NOISE
        self.own = np.flatnonzero(rows if noisy else (rows & (counts > 0)) | private_bits(counts, rows))
        self.columns = columns
        slots = declared_slots(dataset, config)
        self.slot_of_task = np.where((slots >= 0) & np.append(heads, False)[slots], slots, NO_SLOT)
        sent = np.concatenate([rows[self.own], heads])
        super().__init__(directory, with_columns(dataset, self.own), cut_to(config, self.own), sent=sent, slots=slots, judged=False)

    def fit(self, parameters: list[np.ndarray], config: dict[str, Any]) -> tuple[list[np.ndarray], int, dict[str, Any]]:
        """As `Partner.fit`, of the shared trunk; rows that are not its own come back as they came in."""
        first, *others = parameters
        (trained_rows, *trained), count, metrics = super().fit([rows_of(first, self.columns, self.own), *others], config)
        whole = first.copy()
        both = np.isin(self.own, self.columns)
        whole[np.searchsorted(self.columns, self.own[both])] = trained_rows[both]
        return [whole, *trained], count, metrics

    def model(self, arrays: list[np.ndarray], pool: Dataset) -> SuspectModel:
        """What this partner keeps after the last round, beside its pool with those bits that the model knows.

        Args:
            arrays: The shared trunk, its shared heads last.
            pool: All its compounds, with all their bits.
        """
        tensors, _ = load_tensors(self.folder.state_of(self.last_round()))
        bits = np.union1d(self.columns, self.own)
        first = rows_of(arrays[0], self.columns, bits)
        first[np.searchsorted(bits, self.own[tensors[ROWS].numpy()])] += tensors[DIFFERENCE].numpy()
        heads = Heads(self.config.model.hidden[-1], len(self.dataset.tasks), shared=len(self.shared))
        heads.load_state_dict({name: tensors[f"heads.{name}"] for name, _ in heads.named_parameters()})
        if len(self.shared):
            self.shared.fill(heads, arrays[-1])
        predicting = self.shared.predicting(heads).requires_grad_(False)
        seen = replace(with_columns(pool, bits), tasks=self.dataset.tasks)  # in the units that the model learned in
        return SuspectModel(seen, [first, *layers(arrays)[1:]], predicting, self.slot_of_task)


def cut_to(config: Config, columns: NDArray[np.int64]) -> Config:
    """The experiment with so many bits."""
    return replace(config, chemistry=replace(config.chemistry, bits=len(columns)))


def rows_of(first: NDArray[np.float32], columns: NDArray[np.int64], bits: NDArray[np.int64]) -> NDArray[np.float32]:
    """Rows of `bits`, of a first layer with those of `columns`; 0 for others. Both ascend."""
    rows = np.zeros((len(bits), first.shape[1]), dtype=first.dtype)
    both = np.isin(bits, columns)
    rows[both] = first[np.searchsorted(columns, bits[both])]
    return rows
