"""One federation on a random half of the pool, and all that its adversaries may see of it.

Fingerprints are cut to the bits that the sum lists: all other rows of the trunk are zero and stay so. It makes no difference to any
bit of the result, and a federation takes a second or two instead of half a minute.
"""

import shutil
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedapp.config import Config
from fedapp.data.dataset import Dataset
from fedapp.errors import DataError
from fedapp.seeds import derived_seed
from fedapp.storage.scratch import in_memory, scratch
from simulation.audit.others_signals import others_signals, without_own
from simulation.audit.own_rows import OwnRows, cut_to
from simulation.audit.pool import Pool, selected, with_columns
from simulation.audit.regression import EXPLAINED, Structures, explained
from simulation.audit.signals import Rounds, SuspectModel, fingerprints
from simulation.federation import Guarded, first_shared, form_of, guard, take_in, words_of
from strategies.update.codec import UpdateCodec
from strategies.update.leakage import Library
from strategies.update.row_guard import least_holders
from strategies.update.shared_trunk import SharedTrunk, no_trunk

SCRATCH = "polyphony-audit"  # name of the folders for partners' states
Signals = Callable[[list[Dataset], list[SuspectModel], Rounds], dict[str, NDArray[np.float32]]]


def nothing_of_slots() -> NDArray[np.bool_]:
    """Of a federation without shared heads."""
    return np.zeros(0, dtype=np.bool_)


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What a federation leaves behind.

    Attributes:
        members: bool [N], compounds of the pool that were trained on.
        listed: bool [bits], rows in the sum.
        supports: bool [partners, bits], bits that enough of a partner's members hold.
        slots: bool [slots], shared heads in the sum.
        holders: bool [partners, slots], shared heads for which a partner has labels enough. No partner knows more of it than how many
            there are.
        trunks, means: As in `Rounds`, with `bits` rows in the first array, zero where not listed. Empty unless kept.
        updates: float32 [partners, bits, hidden[0]], each partner's own change of the first layer in the last round, as it went into
            the sum. None unless kept.
        own: float32 [rows, hidden[0]] for each round: the first partner's change of the first layer, as it went into the sum, in those
            listed rows whose bits a compound of the pool holds, ascending. Empty unless kept.
        words: uint32 [partners, words], what each partner sent in the last round before it is masked. None unless kept.
        form, value_range: What these words mean. None and 0 unless kept.
        signals: Name to float32 [N]: what membership is guessed from.
    """

    members: NDArray[np.bool_]
    listed: NDArray[np.bool_]
    supports: NDArray[np.bool_]
    slots: NDArray[np.bool_] = field(default_factory=nothing_of_slots)
    holders: NDArray[np.bool_] = field(default_factory=lambda: nothing_of_slots()[None])
    trunks: list[list[np.ndarray]] = field(default_factory=list)
    means: list[list[np.ndarray]] = field(default_factory=list)
    updates: NDArray[np.float32] | None = None
    own: list[NDArray[np.float32]] = field(default_factory=list)
    words: NDArray[np.unsignedinteger] | None = None
    form: UpdateCodec | None = None
    value_range: float = 0.0
    signals: dict[str, NDArray[np.float32]] = field(default_factory=dict)


def run_trial(
    pool: Pool, config: Config, number: int, folder: Path, signals: Signals, *, holders: int | None = None, keep: bool = False
) -> Trial:
    """Train one federation.

    Args:
        config: With or without defences.
        number: Which half is trained on derives from it; 0 is the target.
        folder: Scratch; removed afterwards.
        signals: Computes per-compound figures of all partners' pools from their models and the rounds.
        holders: As in `set_up`.
        keep: Whether trunks and updates are kept.
    Raises:
        DataError: The row guard leaves no row.
    """
    members, inside = half_of(pool, config, number)
    config = replace(config, seed=derived_seed(config.seed, "audit trial", number))
    setting = set_up(inside, config, folder, held_bits(pool), holders)
    trained = federate(setting)
    columns, guarded, last = setting.columns, setting.guarded, trained.rounds.trunks[-1]
    seen = [with_columns(dataset, columns) for dataset in pool.datasets.values()]
    models = [partner.model(last, pool.datasets[name]) for name, partner in setting.partners.items()]
    told_apart_by = signals(seen, models, trained.rounds)
    structures, guards = (
        Structures.of(Library(pool.indptr, pool.indices, pool.bits), pool.structures, columns),
        config.privacy.row_guard > 1,
    )
    told_apart_by[EXPLAINED] = explained(structures, trained.rounds, every=guards)
    others = without_own([mean[0] for mean in trained.rounds.means], trained.own, len(pool.datasets))
    told_apart_by |= others_signals(*fingerprints(seen), others, structures, every=guards)
    shutil.rmtree(folder, ignore_errors=True)
    (listed, slots), (supports, holding) = (np.split(each, [pool.bits], axis=-1) for each in (guarded.listed, guarded.supports))
    trial = Trial(members=members, listed=listed, supports=supports, slots=slots, holders=holding, signals=told_apart_by)
    if not keep:
        return trial
    kept, updates = whole(trained.rounds, columns, pool.bits), first_layers(trained, columns, pool.bits)
    trial = replace(trial, words=trained.words, form=trained.form, value_range=trained.value_range)
    return replace(trial, trunks=kept.trunks, means=kept.means, updates=updates, own=trained.own)


def half_of(pool: Pool, config: Config, number: int) -> tuple[NDArray[np.bool_], dict[str, Dataset]]:
    """Which compounds of the pool trial `number` trains on, bool [N], and each partner's dataset of them."""
    members = pool.draw_members(np.random.default_rng(derived_seed(config.seed, "audit members", number)))
    halves = zip(pool.datasets.items(), pool.split(members), strict=True)
    return members, {name: selected(dataset, inside) for (name, dataset), inside in halves}


def undefended(config: Config) -> Config:
    """The same experiment with every defence off."""
    return replace(config, privacy=replace(config.privacy, row_guard=0, endpoint_labels=1, profile="none"))


def states() -> AbstractContextManager[Path]:
    """A folder for partners' states, in memory where there is room, and removed afterwards."""
    return scratch(SCRATCH, in_memory())


@dataclass(frozen=True)
class AuditSetting:
    """A federation before its first round.

    Attributes:
        guarded: What the row guard left.
        columns: Bits that partners train on, ascending, int64: to the partners the only ones there are.
        config: The experiment, with as many bits.
        partners: Ready to train.
        first: The first trunk.
        holders: Fewest partners of a shared head in the sum, and with which it is used.
    """

    guarded: Guarded
    columns: NDArray[np.int64]
    config: Config
    partners: Mapping[str, OwnRows]
    first: SharedTrunk
    holders: int


def set_up(
    datasets: dict[str, Dataset], config: Config, folder: Path, wanted: NDArray[np.bool_], holders: int | None = None
) -> AuditSetting:
    """Guard the datasets and cut them to the listed bits.

    Args:
        folder: For the partners' states.
        wanted: bool [bits], bits that any compound of interest holds; rows of others change nothing.
        holders: Fewest partners of a shared head in the sum; None for what the configuration says.
    Raises:
        DataError: The row guard leaves no row.
    """
    guarded = guard(datasets, config, folder)
    bits, holders = config.chemistry.bits, least_holders(config.privacy.least_supporters) if holders is None else holders
    guarded.listed[bits:] = guarded.supports[:, bits:].sum(axis=0) >= holders
    columns, sendable = listed_columns(guarded, config, wanted), guarded.listed.copy()
    sendable[:bits] &= wanted
    partners = {
        name: OwnRows(folder / name, dataset, config, columns, supported & sendable)
        for (name, dataset), supported in zip(datasets.items(), guarded.supports, strict=True)
    }
    first = first_of(config, columns, guarded.listed[bits:])
    return AuditSetting(guarded=guarded, columns=columns, config=cut_to(config, columns), partners=partners, first=first, holders=holders)


def listed_columns(guarded: Guarded, config: Config, wanted: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Bits of `wanted`, bool [bits], whose rows are in the sum: int64, ascending.

    Raises:
        DataError: The row guard leaves none.
    """
    columns = np.flatnonzero(guarded.listed[: len(wanted)] & wanted)
    if not len(columns):
        raise DataError(
            f"privacy.row_guard of {config.privacy.row_guard} leaves no row that {config.privacy.least_supporters} partners support, of so "
            "few compounds",
            "raise audit.compounds, or use more data",
        )
    return columns


def first_of(config: Config, columns: np.ndarray, slots: np.ndarray) -> SharedTrunk:
    """The first trunk of the whole federation, cut to its listed rows, with these shared heads listed, bool [slots]."""
    arrays = first_shared(config, np.ones(config.chemistry.bits + len(slots), dtype=np.bool_)).arrays
    return (
        no_trunk(config.privacy.range)
        .with_rows(np.concatenate([np.ones(len(columns), dtype=np.bool_), slots]), b"")
        .starting_with([arrays[0][columns], *arrays[1:]])
    )


@dataclass(frozen=True)
class Federated:
    """All rounds of a federation, and the words of the last one.

    Attributes:
        rounds: Of the trunk with those rows alone that are listed.
        form, value_range: What the words mean.
        words: uint32 or uint16 [partners, words].
        own: As in `Trial`.
    """

    rounds: Rounds
    form: UpdateCodec
    value_range: float
    words: NDArray[np.unsignedinteger]
    own: list[NDArray[np.float32]]


def federate(setting: AuditSetting) -> Federated:
    """All rounds."""
    config, partners, shared = setting.config, setting.partners, setting.first
    value_range, form, rounds = shared.value_range, form_of(shared, config), Rounds([copied(shared.arrays)], [])
    words = np.empty((len(partners), form.words), dtype=form.quantiser(value_range).word_type)
    own: list[NDArray[np.float32]] = []
    for _ in range(config.federation.rounds):
        for place, partner in enumerate(partners.values()):
            words[place] = words_of(partner, shared, form, config)
        sums, value_range = words.sum(axis=0, dtype=words.dtype), shared.value_range
        own.append(first_layer(words[0], form, value_range))
        rounds.means.append(mean_update(shared, form, sums, len(partners)))
        shared = take_in(shared, form, sums, len(partners), config, setting.holders)
        rounds.trunks.append(copied(shared.arrays))
    return Federated(rounds, form, value_range, words, own)


def mean_update(shared: SharedTrunk, form: UpdateCodec, sums: np.ndarray, partners: int) -> list[np.ndarray]:
    """The mean that partners can decode from a sum, whatever they use of it, as arrays of the trunk's form; 0 for what is not listed."""
    arrays = [np.zeros_like(array) for array in shared.arrays]
    pending = shared.pending(form, sums.view(form.quantiser(shared.value_range).sum_type), partners, holders=1)
    for _, number, part, mean in pending.means(arrays):
        if isinstance(part, slice):
            arrays[number].reshape(-1)[part] = mean
        else:
            arrays[number][part] = mean.reshape(len(part), -1)
    return arrays


def first_layer(words: NDArray[np.unsignedinteger], form: UpdateCodec, value_range: float) -> NDArray[np.float32]:
    """One partner's words of the first layer, decoded: float32 [listed rows, hidden[0]]."""
    quantiser, shape = form.quantiser(value_range), form.shapes[0]
    return quantiser.mean(words[: shape[0] * shape[1]].view(quantiser.sum_type), 1).reshape(shape)


def first_layers(trained: Federated, columns: np.ndarray, bits: int) -> NDArray[np.float32]:
    """Each partner's own words of the first layer, decoded: [partners, bits, hidden[0]]."""
    updates = np.zeros((len(trained.words), bits, trained.form.shapes[0][1]), dtype=np.float32)
    for place, update in enumerate(trained.words):
        updates[place, columns] = first_layer(update, trained.form, trained.value_range)
    return updates


def whole(rounds: Rounds, columns: np.ndarray, bits: int) -> Rounds:
    """The same with all rows of the first array, those that are not listed zero."""

    def with_all(arrays: list[np.ndarray]) -> list[np.ndarray]:
        first = np.zeros((bits, *arrays[0].shape[1:]), dtype=np.float32)
        first[columns] = arrays[0]
        return [first, *arrays[1:]]

    return Rounds([with_all(arrays) for arrays in rounds.trunks], [with_all(arrays) for arrays in rounds.means])


def copied(arrays: list[np.ndarray]) -> list[np.ndarray]:
    """A copy: rounds change a trunk's arrays in place."""
    return [array.copy() for array in arrays]


def held_bits(pool: Pool) -> NDArray[np.bool_]:
    """Bits that any compound of the pool holds: bool [bits]."""
    bits = np.zeros(pool.bits, dtype=np.bool_)
    bits[pool.indices] = True
    return bits
