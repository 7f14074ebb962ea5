"""The compounds that an audit trains on, or leaves out: a small partner's share of each real one.

A pool of some hundred compounds a partner is quick to train on. The fewer there are, the more of them rows name; more are trained on in
more steps, and are recognised more often as trained on: neither size is the harder case in everything.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray
from rdkit import Chem

from fedapp.chemistry.fold import scaffold
from fedapp.config import Config
from fedapp.data.catalogue import catalogue_of
from fedapp.data.dataset import Dataset
from fedapp.errors import DataError
from fedapp.seeds import derived_seed
from simulation.federation import declared_slots
from strategies.update.row_guard import least_holders


@dataclass(frozen=True)
class Pool:
    """Compounds of all partners, one partner after another; N in all.

    Attributes:
        datasets: Partner's name to its pool, every compound in a training fold.
        owners: int32 [N], number of the partner.
        indptr, indices: int64 [N + 1] and int32: full fingerprints, CSR.
        structures: int64 [N], equal for compounds with equal fingerprints, of whichever partner.
        active: bool [N], whether a compound has an active label.
        rare: bool [N], whether no other structure of the pool has its scaffold.
        smiles: N standardised structures.
    """

    datasets: dict[str, Dataset]
    owners: NDArray[np.int32]
    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    structures: NDArray[np.int64]
    active: NDArray[np.bool_]
    rare: NDArray[np.bool_]
    smiles: list[str]

    @property
    def bits(self) -> int:
        """Fingerprint length."""
        return next(iter(self.datasets.values())).bits

    @property
    def largest(self) -> Dataset:
        """The pool of the partner that has most compounds."""
        return max(self.datasets.values(), key=lambda dataset: len(dataset.folds))

    def split(self, values: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
        """Values [N] cut into one array a partner."""
        return np.split(values, np.flatnonzero(np.diff(self.owners)) + 1)

    def draw_members(self, generator: np.random.Generator) -> NDArray[np.bool_]:
        """A random half, by structure, so that one that two partners hold is trained on by both or by neither: bool [N]."""
        count = int(self.structures.max()) + 1
        inside = np.zeros(count, dtype=np.bool_)
        inside[generator.permutation(count)[: count // 2]] = True
        return inside[self.structures]


def draw_pool(datasets: Mapping[str, Dataset], config: Config) -> Pool:
    """Up to `audit.compounds` training compounds of each partner, from randomly chosen groups of its tasks, group after group.

    With a catalogue the first groups are those of common endpoints: drawn by each partner for itself, hardly any would be at three.

    Raises:
        DataError: A partner has fewer than two training compounds.
    """
    pools, smiles, common = {}, [], common_groups(datasets, config)
    for name, dataset in datasets.items():
        rows, tasks = choose(dataset, config, np.random.default_rng(derived_seed(config.seed, "audit pool", name)), common)
        if len(rows) < 2:
            raise DataError(f"{name} has {len(rows)} training compounds, too few to audit", "give each partner more data")
        pools[name] = subset(dataset, rows, tasks)
        smiles += dataset.smiles()[rows].to_list()
    owners = np.repeat(np.arange(len(pools), dtype=np.int32), [len(pool.folds) for pool in pools.values()])
    lengths = np.concatenate([np.diff(pool.x_indptr) for pool in pools.values()])
    indices = np.concatenate([pool.x_indices for pool in pools.values()])
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    active = np.concatenate([actives(pool) for pool in pools.values()])
    structures = numbered([indices[first:last].tobytes() for first, last in zip(indptr[:-1], indptr[1:], strict=True)])
    rare = rare_scaffolds(smiles, structures)
    return Pool(
        datasets=pools, owners=owners, indptr=indptr, indices=indices, structures=structures, active=active, rare=rare, smiles=smiles
    )


def common_groups(datasets: Mapping[str, Dataset], config: Config) -> list[str]:
    """Groups with a shared head even if half of all compounds are left out, in random order; none without a catalogue."""
    slots = catalogue_of(config).slots
    counts = np.zeros((len(datasets), len(slots)), dtype=np.int64)
    for place, dataset in enumerate(datasets.values()):
        labels = dataset.labels.of(dataset.rows_in(config.training_folds()))
        of_labels = declared_slots(dataset, config)[labels.tasks]
        counts[place] = np.bincount(of_labels[of_labels >= 0], minlength=len(slots))
    often = (counts >= 2 * config.privacy.endpoint_labels).sum(axis=0) >= least_holders(config.privacy.least_supporters)
    groups = sorted({slots[slot][0] for slot in np.flatnonzero(often)})
    np.random.default_rng(derived_seed(config.seed, "audit pool")).shuffle(groups)
    return groups


def choose(
    dataset: Dataset, config: Config, generator: np.random.Generator, common: Sequence[str] = ()
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Compounds, ascending int64, and the tasks of the groups that they were chosen for, ascending int32.

    Args:
        common: Groups that come first, in this order, whether or not the dataset has them.
    """
    training = np.isin(dataset.folds, config.training_folds())
    owner = dataset.labels.owners
    names = dataset.tasks["group"].to_list()
    first = [group for group in common if group in set(names)]
    group_of_task = numbered([*first, *names])[len(first) :]
    group_of_label = group_of_task[dataset.labels.tasks]
    chosen = np.zeros(len(training), dtype=np.bool_)
    groups: list[int] = []
    others = generator.permutation(np.arange(len(first), int(group_of_task.max()) + 1))
    for group in [*range(len(first)), *others]:
        mine = np.zeros(len(training), dtype=np.bool_)
        mine[owner[group_of_label == group]] = True
        new = np.flatnonzero(mine & training & ~chosen)
        left = config.audit.compounds - int(chosen.sum())
        chosen[generator.permutation(new)[:left]] = True
        groups.append(int(group))
        if left <= len(new):
            break
    return np.flatnonzero(chosen), np.flatnonzero(np.isin(group_of_task, groups)).astype(np.int32)


def subset(dataset: Dataset, rows: NDArray[np.int64], tasks: NDArray[np.int32]) -> Dataset:
    """These compounds with the labels of these tasks, both numbered anew; in memory."""
    x_indptr, x_indices = dataset.fingerprints(rows)
    return replace(
        dataset,
        folds=np.array(dataset.folds[rows]),
        x_indptr=x_indptr,
        x_indices=np.array(x_indices),
        labels=dataset.labels.of(rows).of_tasks(tasks),
        tasks=dataset.tasks[tasks].with_columns(pl.int_range(pl.len(), dtype=pl.Int32).alias("task")),
    )


def with_columns(dataset: Dataset, columns: NDArray[np.int64]) -> Dataset:
    """The same compounds with these bits alone, numbered anew; `columns` ascend."""
    return dataset.of_bits(columns)


def selected(dataset: Dataset, kept: NDArray[np.bool_]) -> Dataset:
    """The compounds of `kept`, bool [compounds], with all tasks."""
    return subset(dataset, np.flatnonzero(kept), np.arange(len(dataset.tasks), dtype=np.int32))


def actives(dataset: Dataset) -> NDArray[np.bool_]:
    """Compounds with an active label: bool [compounds]."""
    active = np.zeros(len(dataset.folds), dtype=np.bool_)
    active[dataset.labels.owners[dataset.labels.values == 1]] = True
    return active


def rare_scaffolds(smiles: list[str], structures: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Compounds whose Murcko scaffold no other structure has: bool [N]."""
    scaffolds = scaffolds_of(smiles)
    pairs = np.unique(np.stack([scaffolds, structures]), axis=1)
    return np.asarray(np.bincount(pairs[0])[scaffolds] == 1)


def scaffolds_of(smiles: list[str]) -> NDArray[np.int64]:
    """The Murcko scaffold of each structure, by number: int64 [N]. An acyclic compound is its own scaffold."""
    return numbered([scaffold(Chem.MolFromSmiles(structure)) or structure for structure in smiles])


def numbered(values: list[str] | list[bytes]) -> NDArray[np.int64]:
    """Equal values to equal numbers from 0, in the order in which they first occur."""
    numbers: dict[str | bytes, int] = {}
    return np.array([numbers.setdefault(value, len(numbers)) for value in values], dtype=np.int64)
