"""Random compounds, and a federation whose updates are what theory says: a row is the sum of what its compounds send back."""

from dataclasses import replace
from functools import cache

import numpy as np

from simulation.audit.federations import Trial, held_bits
from simulation.audit.pool import Pool
from tests.model import synthetic

WIDTH, ROUNDS = 48, 4


@cache
def linear_pool(partners: int = 4, compounds: int = 150, bits: int = 200) -> Pool:
    """So many partners' compounds with 20 random bits each, whose labels are decided by a few bits."""
    made = [synthetic.dataset(f"partner-{number}", compounds, bits) for number in range(1, partners + 1)]
    lengths = np.concatenate([np.diff(each.x_indptr) for each in made])
    everybody = np.ones(len(lengths), dtype=np.bool_)
    return Pool(
        datasets={each.name: replace(each, folds=np.full(compounds, 2, dtype=np.uint8)) for each in made},
        owners=np.repeat(np.arange(partners, dtype=np.int32), compounds),
        indptr=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        indices=np.concatenate([each.x_indices for each in made]),
        structures=np.arange(len(lengths)),
        active=everybody,
        rare=everybody,
        smiles=[""] * len(lengths),
    )


def fingerprints(pool: Pool) -> np.ndarray:
    """bool [N, bits]."""
    dense = np.zeros((len(pool.owners), pool.bits), dtype=np.bool_)
    dense[np.repeat(np.arange(len(pool.owners)), np.diff(pool.indptr)), pool.indices] = True
    return dense


def sent_back(pool: Pool, generator: np.random.Generator) -> np.ndarray:
    """What each compound sends back to its bits' rows: its labels, +1 or -1, through private heads. [N, WIDTH]."""
    parts = []
    for dataset in pool.datasets.values():
        signs = np.zeros((len(dataset.folds), len(dataset.tasks)))
        signs[dataset.labels.owners, dataset.labels.tasks] = 2 * dataset.labels.values - 1
        parts.append(signs @ generator.normal(size=(signs.shape[1], WIDTH)))
    return np.concatenate(parts)


def linear_trial(pool: Pool, *, guard: int = 0, least: int = 1, noise: bool = False, rounds: int = ROUNDS) -> Trial:
    """A federation on a random half of the compounds, with heads that change from round to round.

    Args:
        guard, least: Members with a bit that make a partner its supporter, and supporters of a listed row; 0 for all rows.
        noise: Whether rows move at random instead, whoever holds their bits.
    """
    generator, members = np.random.default_rng(5), pool.draw_members(np.random.default_rng(4))
    held, partners = fingerprints(pool), len(pool.datasets)
    mine = [members & (pool.owners == partner) for partner in range(partners)]
    counts = np.stack([held[chosen].sum(axis=0) for chosen in mine])
    supports = counts >= guard
    listed = supports.sum(axis=0) >= (least if guard else 0)
    sends = listed & supports & (counts > 0)
    updates = np.zeros((rounds, partners, pool.bits, WIDTH), dtype=np.float32)
    for number in range(rounds):
        back = sent_back(pool, generator)
        for partner, chosen in enumerate(mine):
            rows = generator.normal(size=(pool.bits, WIDTH)) if noise else held[chosen].T.astype(float) @ back[chosen]
            updates[number, partner] = rows * sends[partner][:, None]
    rows = np.flatnonzero(listed & held_bits(pool))
    return Trial(
        members=members,
        listed=listed,
        supports=supports,
        means=[[each] for each in updates.mean(axis=1)],
        updates=updates[-1],
        own=[each[0, rows] for each in updates],
        words=(updates[-1][:, rows] != 0).reshape(partners, -1).astype(np.uint32),
    )
