"""One federation on a random half of the pool, and all that its adversaries may see of it.

Fingerprints are cut to the bits that the sum lists: all other rows of the trunk are zero and stay so. It makes no difference to any
bit of the result, and a federation takes a second or two instead of half a minute.
"""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedapp.config import NO_NOISE, Config
from fedapp.data.dataset import Dataset
from fedapp.errors import DataError
from fedapp.model.checkpoint import load_tensors
from fedapp.model.network import Heads
from fedapp.partner import Partner
from fedapp.seeds import derived_seed
from simulation.audit.pool import Pool, selected, with_columns
from simulation.in_process import Guarded, first_shared, form_of, guard, take_in, words_of
from strategies.shared_trunk import SharedTrunk, no_trunk

Signals = Callable[[list[Dataset], list[Heads], list[list[np.ndarray]]], dict[str, NDArray[np.float32]]]


@dataclass(frozen=True)
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
    """

    members: NDArray[np.bool_]
    listed: NDArray[np.bool_]
    supports: NDArray[np.bool_]
    trunks: list[list[np.ndarray]]
    updates: NDArray[np.float32] | None
    words: NDArray[np.unsignedinteger] | None
    signals: dict[str, NDArray[np.float32]]


def run_trial(pool: Pool, config: Config, number: int, folder: Path, signals: Signals, keep: bool = False) -> Trial:
    """Train one federation.

    Args:
        config: With or without defences.
        number: Which half is trained on derives from it; 0 is the target.
        folder: Scratch; removed afterwards.
        signals: Computes per-compound figures of all partners' pools from their heads and the trunks of all rounds.
        keep: Whether trunks and updates are kept.
    Raises:
        DataError: The row guard leaves no row.
    """
    members = pool.draw_members(np.random.default_rng(derived_seed(config.seed, "audit members", number)))
    halves = zip(pool.datasets.items(), pool.split(members), strict=True)
    inside = {name: selected(dataset, kept) for (name, dataset), kept in halves}
    config = replace(config, seed=derived_seed(config.seed, "audit trial", number))
    setting = set_up(inside, config, folder, held_bits(pool))
    shared, trunks, words = federate(setting)
    columns, guarded = setting.columns, setting.guarded
    seen = [with_columns(dataset, columns) for dataset in pool.datasets.values()]
    found = signals(seen, [last_heads(partner, setting.config) for partner in setting.partners.values()], trunks)
    shutil.rmtree(folder, ignore_errors=True)
    return Trial(
        members=members,
        listed=guarded.listed,
        supports=guarded.supports,
        trunks=[whole(arrays, columns, pool.bits) for arrays in trunks] if keep else [],
        updates=first_layers(words, shared, setting.config, columns, pool.bits) if keep else None,
        words=words if keep else None,
        signals=found,
    )


class OwnRows(Partner):
    """A partner that sees no rows but those it trains: all others come back as they came in, and there is nothing to judge it on.

    Args:
        rows: Its own among those of the trunk that it is given, ascending, int64; its dataset has these bits and no others.
    """

    def __init__(self, directory: Path, dataset: Dataset, config: Config, rows: NDArray[np.int64]) -> None:
        cut = replace(config, chemistry=replace(config.chemistry, bits=len(rows)))
        super().__init__(directory, with_columns(dataset, rows), cut, judged=False)
        self.rows = rows

    def fit(self, parameters: list[np.ndarray], config: dict[str, Any]) -> tuple[list[np.ndarray], int, dict[str, Any]]:
        """As `Partner.fit`, of the whole trunk."""
        first, *others = parameters
        (own, *trained), count, metrics = super().fit([first[self.rows], *others], config)
        whole = first.copy()
        whole[self.rows] = own
        return [whole, *trained], count, metrics


@dataclass(frozen=True)
class Setting:
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
    partners: Mapping[str, Partner]
    first: SharedTrunk


def set_up(datasets: dict[str, Dataset], config: Config, folder: Path, wanted: NDArray[np.bool_]) -> Setting:
    """Guard the datasets and cut them to the listed bits.

    Args:
        folder: For the partners' states.
        wanted: bool [bits], bits that any compound of interest holds; rows of others change nothing.
    Raises:
        DataError: The row guard leaves no row.
    """
    guarded = guard(datasets, config, folder)
    columns = np.flatnonzero(guarded.listed & wanted)
    if not len(columns):
        raise DataError(
            f"privacy.row_guard of {config.privacy.row_guard} leaves no row of so few compounds",
            "raise audit.compounds, or use more data",
        )
    cut = replace(config, chemistry=replace(config.chemistry, bits=len(columns)))
    partners = {
        name: OwnRows(folder / name, with_columns(dataset, columns), cut, np.flatnonzero(own[columns]))
        for (name, dataset), own in zip(guarded.datasets.items(), trained(guarded, config), strict=True)
    }
    return Setting(guarded, columns, cut, partners, first_of(config, columns))


def trained(guarded: Guarded, config: Config) -> NDArray[np.bool_]:
    """Bits whose rows each partner trains: bool [partners, bits]. With noise those that it supports, held or not."""
    if config.privacy.profile != NO_NOISE:
        return guarded.supports
    held = np.zeros_like(guarded.supports)
    for own, dataset in zip(held, guarded.datasets.values(), strict=True):
        own[dataset.x_indices] = True
    return held & guarded.supports


def first_of(config: Config, columns: np.ndarray) -> SharedTrunk:
    """The first trunk of the whole federation, cut to its listed rows."""
    arrays = first_shared(config, np.ones(config.chemistry.bits, dtype=np.bool_)).arrays
    return (
        no_trunk(config.privacy.range, b"")
        .with_rows(np.ones(len(columns), dtype=np.bool_), b"")
        .starting_with([arrays[0][columns], *arrays[1:]], b"")
    )


def federate(setting: Setting) -> tuple[SharedTrunk, list[list[np.ndarray]], np.ndarray]:
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


def last_heads(partner: Partner, config: Config) -> Heads:
    """A partner's heads after its last training."""
    tensors, _ = load_tensors(partner.directory / "state" / f"round-{config.federation.rounds:04d}.safetensors")
    heads = Heads(config.model.hidden[-1], len(partner.dataset.tasks), config.seed, partner.dataset.name)
    heads.load_state_dict({name.removeprefix("heads."): held for name, held in tensors.items() if name.startswith("heads.")})
    return heads.requires_grad_(False)


def first_layers(words: np.ndarray, shared: SharedTrunk, config: Config, columns: np.ndarray, bits: int) -> NDArray[np.float32]:
    """Each partner's own words of the first layer, decoded: [partners, bits, hidden[0]]."""
    quantiser, width = form_of(shared, config).quantiser(shared.value_range), config.model.hidden[0]
    updates = np.zeros((len(words), bits, width), dtype=np.float32)
    for place, own in enumerate(words):
        values = own[: len(columns) * width].view(quantiser.sum_type)
        updates[place, columns] = quantiser.mean(values, 1).reshape(-1, width)
    return updates


def whole(arrays: list[np.ndarray], columns: np.ndarray, bits: int) -> list[np.ndarray]:
    """A trunk with all rows, those that are not listed zero."""
    first = np.zeros((bits, *arrays[0].shape[1:]), dtype=np.float32)
    first[columns] = arrays[0]
    return [first, *arrays[1:]]


def held_bits(pool: Pool) -> NDArray[np.bool_]:
    """Bits that any compound of the pool holds: bool [bits]."""
    held = np.zeros(pool.bits, dtype=np.bool_)
    held[pool.indices] = True
    return held
