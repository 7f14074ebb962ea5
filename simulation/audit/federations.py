"""One federation on a random half of the pool, and all that its adversaries may see of it.

Fingerprints are cut to the bits that the sum lists: all other rows of the trunk are zero and stay so. It makes no difference to any
bit of the result, and a federation takes a second or two instead of half a minute.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedapp.config import NO_NOISE, Config
from fedapp.data.dataset import Dataset
from fedapp.errors import DataError
from fedapp.model.checkpoint import load_tensors
from fedapp.model.network import Heads
from fedapp.model.private_rows import DIFFERENCE, ROWS, private_bits
from fedapp.partner.client import Partner
from fedapp.seeds import derived_seed
from fedapp.storage.scratch import in_memory, scratch
from simulation.audit.pool import Pool, selected, with_columns
from simulation.audit.signals import SuspectModel
from simulation.federation import Guarded, first_shared, form_of, guard, take_in, words_of
from strategies.update.shared_trunk import SharedTrunk, no_trunk

SCRATCH = "polyphony-audit"  # name of the folders for partners' states
Step = tuple[list[np.ndarray], list[np.ndarray]]  # a trunk before and after
Signals = Callable[[list[Dataset], list[SuspectModel], list[list[np.ndarray]]], dict[str, NDArray[np.float32]]]


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What a federation leaves behind.

    Attributes:
        members: bool [N], compounds of the pool that were trained on.
        listed: bool [bits], rows in the sum.
        supports: bool [partners, bits], bits that enough of a partner's members hold.
        trunks: The trunk before the first round and after each: R + 1 lists of arrays, float32, `bits` rows in the first one,
            zero where not listed. Empty unless kept.
        updates: float32 [partners, bits, hidden[0]], each partner's own change of the first layer in the last round, as it went into
            the sum. None unless kept.
        words: uint32 [partners, words], what each partner sent in the last round before it is masked. None unless kept.
        signals: Name to float32 [N]: what membership is guessed from.
        momentum: With which the sums were added.
    """

    members: NDArray[np.bool_]
    listed: NDArray[np.bool_]
    supports: NDArray[np.bool_]
    trunks: list[list[np.ndarray]] = field(default_factory=list)
    updates: NDArray[np.float32] | None = None
    words: NDArray[np.unsignedinteger] | None = None
    signals: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    momentum: float = 0.0

    def step(self, number: int) -> Step:
        """The trunk before round `number`, 1 to R, and where the sum of that round alone would have moved it: whoever saw the rounds
        before takes off what they add to the step, which is momentum times the last one."""
        before, after = self.trunks[number - 1], self.trunks[number]
        if number == 1 or not self.momentum:
            return before, after
        momentum, earlier = np.float32(self.momentum), self.trunks[number - 2]
        return before, [new - momentum * (old - older) for older, old, new in zip(earlier, before, after, strict=True)]

    def steps(self, last: int | None = None) -> Iterator[Step]:
        """Of all rounds, or of so many last ones, in order."""
        rounds = len(self.trunks) - 1
        return map(self.step, range(1 if last is None else max(1, rounds + 1 - last), rounds + 1))


def run_trial(pool: Pool, config: Config, number: int, folder: Path, signals: Signals, keep: bool = False) -> Trial:
    """Train one federation.

    Args:
        config: With or without defences.
        number: Which half is trained on derives from it; 0 is the target.
        folder: Scratch; removed afterwards.
        signals: Computes per-compound figures of all partners' pools from their models and the trunks of all rounds.
        keep: Whether trunks and updates are kept.
    Raises:
        DataError: The row guard leaves no row.
    """
    members, inside = half_of(pool, config, number)
    config = replace(config, seed=derived_seed(config.seed, "audit trial", number))
    setting = set_up(inside, config, folder, held_bits(pool))
    shared, trunks, words = federate(setting)
    columns, guarded = setting.columns, setting.guarded
    seen = [with_columns(dataset, columns) for dataset in pool.datasets.values()]
    models = [partner.model(trunks[-1], pool.datasets[name]) for name, partner in setting.partners.items()]
    told_apart_by = signals(seen, models, trunks)
    shutil.rmtree(folder, ignore_errors=True)
    return Trial(
        members=members,
        listed=guarded.listed,
        supports=guarded.supports,
        trunks=[whole(arrays, columns, pool.bits) for arrays in trunks] if keep else [],
        updates=first_layers(words, shared, setting.config, columns, pool.bits) if keep else None,
        words=words if keep else None,
        signals=told_apart_by,
        momentum=config.federation.momentum,
    )


def half_of(pool: Pool, config: Config, number: int) -> tuple[NDArray[np.bool_], dict[str, Dataset]]:
    """Which compounds of the pool trial `number` trains on, bool [N], and each partner's dataset of them."""
    members = pool.draw_members(np.random.default_rng(derived_seed(config.seed, "audit members", number)))
    halves = zip(pool.datasets.items(), pool.split(members), strict=True)
    return members, {name: selected(dataset, inside) for (name, dataset), inside in halves}


def states() -> AbstractContextManager[Path]:
    """A folder for partners' states, in memory where there is room, and removed afterwards."""
    return scratch(SCRATCH, in_memory())


class OwnRows(Partner):
    """A partner whose trunk has no rows but those that it trains: sent or private.

    Args:
        columns: Bits that the rows of the shared trunk stand for, ascending, int64.
        sent: bool [bits], rows of which bits it sends; all among `columns`.
    """

    def __init__(self, directory: Path, dataset: Dataset, config: Config, columns: NDArray[np.int64], sent: NDArray[np.bool_]) -> None:
        counts = np.bincount(dataset.x_indices, minlength=dataset.bits)
        noisy = config.privacy.profile != NO_NOISE
        self.own = np.flatnonzero(sent if noisy else (sent & (counts > 0)) | private_bits(counts, sent))
        self.columns = columns
        super().__init__(directory, with_columns(dataset, self.own), cut_to(config, self.own), sent=sent[self.own], judged=False)

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
            arrays: The shared trunk.
            pool: All its compounds, with all their bits.
        """
        tensors, _ = load_tensors(self.folder.state_of(self.last_round()))
        bits = np.union1d(self.columns, self.own)
        first = rows_of(arrays[0], self.columns, bits)
        first[np.searchsorted(bits, self.own[tensors[ROWS].numpy()])] += tensors[DIFFERENCE].numpy()
        heads = Heads(self.config.model.hidden[-1], len(self.dataset.tasks))
        heads.load_state_dict({name: tensors[f"heads.{name}"] for name, _ in heads.named_parameters()})
        return SuspectModel(with_columns(pool, bits), [first, *arrays[1:]], heads.requires_grad_(False))


def rows_of(first: NDArray[np.float32], columns: NDArray[np.int64], bits: NDArray[np.int64]) -> NDArray[np.float32]:
    """Rows of `bits`, of a first layer with those of `columns`; 0 for others. Both ascend."""
    rows = np.zeros((len(bits), first.shape[1]), dtype=first.dtype)
    both = np.isin(bits, columns)
    rows[both] = first[np.searchsorted(columns, bits[both])]
    return rows


@dataclass(frozen=True)
class AuditSetting:
    """A federation before its first round.

    Attributes:
        guarded: What the row guard left.
        columns: Bits that partners train on, ascending, int64: to the partners the only ones there are.
        config: The experiment, with as many bits.
        partners: Ready to train.
        first: The first trunk.
    """

    guarded: Guarded
    columns: NDArray[np.int64]
    config: Config
    partners: Mapping[str, OwnRows]
    first: SharedTrunk


def set_up(datasets: dict[str, Dataset], config: Config, folder: Path, wanted: NDArray[np.bool_]) -> AuditSetting:
    """Guard the datasets and cut them to the listed bits.

    Args:
        folder: For the partners' states.
        wanted: bool [bits], bits that any compound of interest holds; rows of others change nothing.
    Raises:
        DataError: The row guard leaves no row.
    """
    guarded = guard(datasets, config, folder)
    columns, sendable = listed_columns(guarded, config, wanted), guarded.listed & wanted
    partners = {
        name: OwnRows(folder / name, dataset, config, columns, supported & sendable)
        for (name, dataset), supported in zip(datasets.items(), guarded.supports, strict=True)
    }
    return AuditSetting(
        guarded=guarded, columns=columns, config=cut_to(config, columns), partners=partners, first=first_of(config, columns)
    )


def cut_to(config: Config, columns: NDArray[np.int64]) -> Config:
    """The experiment with so many bits."""
    return replace(config, chemistry=replace(config.chemistry, bits=len(columns)))


def listed_columns(guarded: Guarded, config: Config, wanted: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Bits of `wanted`, bool [bits], whose rows are in the sum: int64, ascending.

    Raises:
        DataError: The row guard leaves none.
    """
    columns = np.flatnonzero(guarded.listed & wanted)
    if not len(columns):
        raise DataError(
            f"privacy.row_guard of {config.privacy.row_guard} leaves no row of so few compounds",
            "raise audit.compounds, or use more data",
        )
    return columns


def first_of(config: Config, columns: np.ndarray) -> SharedTrunk:
    """The first trunk of the whole federation, cut to its listed rows."""
    arrays = first_shared(config, np.ones(config.chemistry.bits, dtype=np.bool_)).arrays
    return (
        no_trunk(config.privacy.range, b"")
        .with_rows(np.ones(len(columns), dtype=np.bool_), b"")
        .starting_with([arrays[0][columns], *arrays[1:]], b"")
    )


def federate(setting: AuditSetting) -> tuple[SharedTrunk, list[list[np.ndarray]], np.ndarray]:
    """All rounds.

    Returns:
        What partners held before the last round, the trunks, and the words of the last round.
    """
    config, partners, shared = setting.config, setting.partners, setting.first
    before, form, trunks = shared, form_of(shared, config), [[array.copy() for array in shared.arrays]]
    words = np.empty((len(partners), form.words), dtype=form.quantiser(shared.value_range).word_type)
    for _ in range(config.federation.rounds):
        for place, partner in enumerate(partners.values()):
            words[place] = words_of(partner, shared, form, config)
        before = shared
        shared = take_in(shared, form, words.sum(axis=0, dtype=words.dtype), len(partners), config)
        trunks.append([array.copy() for array in shared.arrays])
    return before, trunks, words


def first_layers(words: np.ndarray, shared: SharedTrunk, config: Config, columns: np.ndarray, bits: int) -> NDArray[np.float32]:
    """Each partner's own words of the first layer, decoded: [partners, bits, hidden[0]]."""
    quantiser, width = form_of(shared, config).quantiser(shared.value_range), config.model.hidden[0]
    updates = np.zeros((len(words), bits, width), dtype=np.float32)
    for place, update in enumerate(words):
        values = update[: len(columns) * width].view(quantiser.sum_type)
        updates[place, columns] = quantiser.mean(values, 1).reshape(-1, width)
    return updates


def whole(arrays: list[np.ndarray], columns: np.ndarray, bits: int) -> list[np.ndarray]:
    """A trunk with all rows, those that are not listed zero."""
    first = np.zeros((bits, *arrays[0].shape[1:]), dtype=np.float32)
    first[columns] = arrays[0]
    return [first, *arrays[1:]]


def held_bits(pool: Pool) -> NDArray[np.bool_]:
    """Bits that any compound of the pool holds: bool [bits]."""
    bits = np.zeros(pool.bits, dtype=np.bool_)
    bits[pool.indices] = True
    return bits
