"""Federations that differ in which targets and which chemical series are in play, for attacks on partners as a whole.

The trials of an audit leave out compounds, so that all targets and most series are in play in each of them. Were they to leave out whole
targets, a compound's membership would be told by its target, and no figure of the other attacks would mean what it does. So there are a few
federations more. Each leaves out some targets and some series at all partners; what is left is about as much as in a trial, and of unequal
sizes. Some compounds of each target and of each series are in none of them: those that the attacker knows.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from fedapp.config import Config
from fedapp.data.dataset import Dataset
from fedapp.errors import DataError
from fedapp.seeds import derived_seed
from simulation.audit.federations import federate, first_layers, held_bits, set_up, states
from simulation.audit.findings import OFF, ON
from simulation.audit.fresh_signals import list_signals, partner_signals, row_list_signals, series_signals, target_signals
from simulation.audit.pool import Pool, numbered, scaffolds_of, subset
from simulation.audit.signals import Named, class_labels

COUNTS = {ON: 6, OFF: 3}  # federations; with the defences off enough to show that an attack works
MOST_ROUNDS = 10  # of each: half of the usual ones, so that an audit takes no minute longer
SHARE = 0.7  # of targets, and of series, that are in play: of both together about half of the compounds
OF_CLASS, ANALOGUES = 5, 3  # compounds that the attacker knows: actives of a target, and as many inactives; of a series
SERIES = 6  # structures that make a series
KNOWN = 20  # compounds of each partner that the attacker knows to be trained on


@dataclass(frozen=True)
class Questions:
    """What the attacker asks about, T targets and S series, and the compounds that it knows of each, on which nobody trains.

    Attributes:
        tasks: For each partner, the number of each task's target: int64 [tasks].
        asked: int64 [T], numbers of targets.
        labelled: int64 [T, 2 * OF_CLASS], numbers of compounds, the actives first.
        series: int64 [N], of each compound of the pool; -1 for those of no series.
        analogues: int64 [S, ANALOGUES].
        fresh: bool [N], known to the attacker, in whatever partner's hands.
    """

    tasks: list[NDArray[np.int64]]
    asked: NDArray[np.int64]
    labelled: NDArray[np.int64]
    series: NDArray[np.int64]
    analogues: NDArray[np.int64]
    fresh: NDArray[np.bool_]

    @classmethod
    def of(cls, pool: Pool, generator: np.random.Generator) -> "Questions":
        """About a pool: every target with compounds enough of both classes at one threshold, and every series of `SERIES` structures."""
        taken: set[int] = set()
        names = [dataset.tasks["group"].to_list() for dataset in pool.datasets.values()]
        tasks = np.split(numbered([name for each in names for name in each]), np.cumsum([len(each) for each in names])[:-1])
        asked, labelled = [], []
        for target, choices in candidates(pool, tasks).items():
            free = [[fresh_of(each, pool, taken, generator) for each in classes] for classes in choices]
            actives, inactives = max(free, key=lambda classes: min(map(len, classes)))
            if min(len(actives), len(inactives)) >= OF_CLASS:
                asked.append(target)
                labelled.append([*actives[:OF_CLASS], *inactives[:OF_CLASS]])
                taken |= set(pool.structures[labelled[-1]].tolist())
        series, analogues = series_of(pool, taken, generator)
        known = np.concatenate([np.array(labelled, dtype=np.int64).ravel(), analogues.ravel()])
        return cls(
            tasks=tasks,
            asked=np.array(asked, dtype=np.int64),
            labelled=np.array(labelled, dtype=np.int64).reshape(-1, 2 * OF_CLASS),
            series=series,
            analogues=analogues,
            fresh=np.isin(pool.structures, pool.structures[known]),
        )


@dataclass(frozen=True)
class Consortium:
    """What is told of one federation, and the truth.

    Attributes:
        targets: bool [T], in play: a partner trains on a label.
        series: bool [S], in play: a partner trains on a compound.
        sizes: float64 [partners], compounds trained on.
        of_targets, of_series, of_partners: Name to float [T], [S] and [partners]: what the attacker computes, see `fresh_signals`.
    """

    targets: NDArray[np.bool_]
    series: NDArray[np.bool_]
    sizes: NDArray[np.float64]
    of_targets: Named
    of_series: Named
    of_partners: Named


def run_consortia(pool: Pool, config: Config, defences: str) -> list[Consortium]:
    """All of them, of one kind.

    Args:
        config: With or without defences, as `defences` says.
    Returns:
        No federation where the row guard leaves too little of one.
    """
    questions = Questions.of(pool, np.random.default_rng(derived_seed(config.seed, "audit questions")))
    consortia = []
    try:
        for number in range(COUNTS[defences]):
            with states() as folder:
                consortia.append(run_consortium(pool, questions, config, number, folder, None if defences == ON else 1))
    except DataError:
        return []
    return consortia


def run_consortium(pool: Pool, questions: Questions, config: Config, number: int, folder: Path, holders: int | None) -> Consortium:
    """Train one federation.

    Args:
        number: Which targets and series are left out derives from it.
        folder: Scratch.
        holders: As in `set_up`.
    Raises:
        DataError: The row guard leaves no row.
    """
    generator = np.random.default_rng(derived_seed(config.seed, "audit consortium", number))
    trained, datasets = in_play(pool, questions, generator)
    rounds = replace(config.federation, rounds=min(config.federation.rounds, MOST_ROUNDS))
    config = replace(config, federation=rounds, seed=int(generator.integers(2**63)))
    setting = set_up(datasets, config, folder, held_bits(pool), holders)
    federated, columns, supports = federate(setting), setting.columns, setting.guarded.supports[:, : pool.bits]
    whole, analogues, guards = fingerprints(pool), questions.analogues.ravel(), config.privacy.row_guard > 1
    cut, series = whole[:, columns], len(questions.analogues)
    of_series = series_signals(cut[analogues], series, federated.rounds)
    updates = first_layers(federated, np.arange(len(columns)), len(columns))
    known = [whole[drawn(rows, generator)] for rows in owned(pool, trained)]
    return Consortium(
        targets=np.isin(questions.asked, targets_of(pool, questions, datasets)),
        series=np.isin(np.arange(series), questions.series[trained]),
        sizes=np.array([len(dataset.folds) for dataset in datasets.values()], dtype=np.float64),
        of_targets=target_signals(cut[questions.labelled.ravel()], len(questions.asked), federated.rounds),
        of_series=of_series | (list_signals(whole[analogues], series, supports.sum(axis=0)) if guards else {}),
        of_partners=partner_signals(updates) | (row_list_signals(supports, known) if guards else {}),
    )


def owned(pool: Pool, trained: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
    """Each partner's compounds among these, by their numbers in the pool."""
    return [np.flatnonzero(trained & (pool.owners == partner)) for partner in range(len(pool.datasets))]


def drawn(rows: NDArray[np.int64], generator: np.random.Generator) -> NDArray[np.int64]:
    """`KNOWN` of them at random, or all."""
    return generator.permutation(rows)[:KNOWN]


def in_play(pool: Pool, questions: Questions, generator: np.random.Generator) -> tuple[NDArray[np.bool_], dict[str, Dataset]]:
    """A random choice of targets and series: which compounds of the pool are trained on, bool [N], and each partner's dataset of them.

    A partner of which nothing would be left keeps all but what the attacker knows.
    """
    targets = generator.random(max(int(tasks.max()) for tasks in questions.tasks) + 1) < SHARE
    series = np.append(generator.random(len(questions.analogues)) < SHARE, True)[questions.series]
    trained, datasets = [], {}
    parts = zip(pool.datasets.items(), questions.tasks, pool.split(~questions.fresh), pool.split(series), strict=True)
    for (name, dataset), tasks, others, kept in parts:
        played = targets[tasks]
        rows = np.isin(np.arange(len(dataset.folds)), dataset.labels.owners[played[dataset.labels.tasks]]) & others & kept
        if not rows.any():
            played, rows = np.ones(len(tasks), dtype=np.bool_), others
        trained.append(rows)
        datasets[name] = subset(dataset, np.flatnonzero(rows), np.flatnonzero(played).astype(np.int32))
    return np.concatenate(trained), datasets


def targets_of(pool: Pool, questions: Questions, datasets: dict[str, Dataset]) -> list[int]:
    """Numbers of targets of which somebody trains on a label."""
    number: dict[str, int] = {}
    for dataset, tasks in zip(pool.datasets.values(), questions.tasks, strict=True):
        number |= dict(zip(dataset.tasks["group"].to_list(), tasks.tolist(), strict=True))
    groups = [dataset.tasks["group"].gather(np.unique(dataset.labels.tasks)).to_list() for dataset in datasets.values()]
    return sorted({number[group] for each in groups for group in each})


def candidates(pool: Pool, tasks: Sequence[NDArray[np.int64]]) -> dict[int, list[tuple[NDArray[np.int64], NDArray[np.int64]]]]:
    """Of each target, for each partner's task of classes, its active and its inactive compounds by their numbers in the pool."""
    found: dict[int, list[tuple[NDArray[np.int64], NDArray[np.int64]]]] = {}
    before = 0
    for dataset, targets in zip(pool.datasets.values(), tasks, strict=True):
        labels, classes, owners = dataset.labels, class_labels(dataset), dataset.labels.owners + before
        for task, target in enumerate(targets.tolist()):
            own = (labels.tasks == task) & classes
            found.setdefault(target, []).append((owners[own & (labels.values == 1)], owners[own & (labels.values == 0)]))
        before += len(dataset.folds)
    return found


def fresh_of(compounds: NDArray[np.int64], pool: Pool, taken: set[int], generator: np.random.Generator) -> list[int]:
    """One compound of each structure that is not taken yet, in random order."""
    shuffled = generator.permutation(compounds)
    _, first = np.unique(pool.structures[shuffled], return_index=True)
    return [int(compound) for compound in shuffled[np.sort(first)] if int(pool.structures[compound]) not in taken]


def series_of(pool: Pool, taken: set[int], generator: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The series of each compound, int64 [N], and the known analogues of each series, int64 [S, ANALOGUES]."""
    scaffolds = scaffolds_of(pool.smiles)
    series = np.full(len(scaffolds), -1, dtype=np.int64)
    analogues: list[list[int]] = []
    order = np.argsort(scaffolds, kind="stable")
    for compounds in np.split(order, np.flatnonzero(np.diff(scaffolds[order])) + 1):
        free = fresh_of(compounds, pool, taken, generator)
        if len(free) >= SERIES:
            series[compounds] = len(analogues)
            analogues.append(free[:ANALOGUES])
    return series, np.array(analogues, dtype=np.int64).reshape(-1, ANALOGUES)


def fingerprints(pool: Pool) -> csr_array:
    """Of all compounds: CSR of 0 and 1, float32 [N, bits]."""
    return csr_array((np.ones(len(pool.indices), dtype=np.float32), pool.indices, pool.indptr), shape=(len(pool.owners), pool.bits))
