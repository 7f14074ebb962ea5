"""What an attacker computes of compounds that nobody trained on, to find out of what kind others train on.

Ten compounds with labels of a target: a trunk that learned the target puts its actives nearer to each other, and farther from its
inactives, than the first trunk did and than their fingerprints lie. A few analogues of a series: where others train on the series, more
partners support the bits of the analogues, and their rows move farther and point more alike.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from simulation.audit.shared_signals import features
from simulation.audit.signals import TRUNK, Named, Rounds, change_signals

LIST = "support"
UPDATE, ROWS, KNOWN_LIST = "update", "rows", "known_list"
EMBEDDING, CHANGE, EMBEDDINGS = "embedding", "change", "embedding_rounds"


def target_signals(known: csr_array, targets: int, rounds: Rounds) -> Named:
    """How far a federation moved the known compounds of each target by their labels: float32 [targets] each; see `agreement`.

    embedding: In what the last trunk's last layer gives, less the same of the first trunk.
    change: In what the change of the first layer over all rounds gives, less the same of the fingerprints.
    embedding_rounds: As `embedding`, the mean over the trunks of all rounds.

    Args:
        known: Fingerprints with those bits that the trunk has rows for, target after target, actives first: [targets * compounds, rows].
    """
    if not targets:
        return {name: np.zeros(0, dtype=np.float32) for name in (EMBEDDING, CHANGE, EMBEDDINGS)}
    first, *later = (agreement(embedded(known, trunk), targets) for trunk in rounds.trunks)
    moved = known @ (rounds.trunks[-1][0] - rounds.trunks[0][0])
    return {
        EMBEDDING: later[-1] - first,
        CHANGE: agreement(moved, targets) - agreement(known.toarray(), targets),
        EMBEDDINGS: np.mean(later, axis=0) - first,
    }


def series_signals(known: csr_array, series: int, rounds: Rounds) -> Named:
    """`TRUNK` of the analogues of each series, of the change from the first trunk to the last, their means: float32 [series] each.

    Args:
        known: Fingerprints with those bits that the trunk has rows for, series after series: [series * analogues, rows].
    """
    if not series:
        return {name: np.zeros(0, dtype=np.float32) for name in TRUNK}
    told = change_signals(known.indptr.astype(np.int64), known.indices, rounds.trunks[-1][0] - rounds.trunks[0][0])
    return {name: values.reshape(series, -1).mean(axis=1) for name, values in told.items()}


def list_signals(known: csr_array, series: int, counts: NDArray[np.integer]) -> Named:
    """Partners that support a bit, the mean over the bits of a series' analogues: float32 [series].

    Args:
        known: Full fingerprints, series after series.
        counts: int [bits], which all partners know.
    """
    if not series:
        return {LIST: np.zeros(0, dtype=np.float32)}
    sums = np.stack([known @ counts.astype(np.float32), known.sum(axis=1)]).reshape(2, series, -1).sum(axis=2)
    return {LIST: (sums[0] / np.maximum(sums[1], 1)).astype(np.float32)}


def partner_signals(updates: NDArray[np.float32]) -> Named:
    """Norm of each partner's update, the difference of the sums of one round with it and without it: float32 [partners].

    Args:
        updates: Of the first layer, [partners, rows, width].
    """
    return {UPDATE: np.array([np.linalg.norm(update) for update in updates], dtype=np.float32)}


def row_list_signals(supports: NDArray[np.bool_], known: Sequence[csr_array]) -> Named:
    """What row lists tell of partners, float32 [partners] each.

    rows: Rows that a partner supports, the difference of two lists' counts with it and without it.
    known_list: Of a single list, partners that support a bit, the mean over the bits of compounds that a partner is known to train on.

    Args:
        supports: bool [partners, bits].
        known: Full fingerprints of each partner's known compounds.
    """
    counts = supports.sum(axis=0)
    listed = [list_signals(each, 1, counts)[LIST][0] if each.shape[0] else 0.0 for each in known]
    return {ROWS: supports.sum(axis=1).astype(np.float32), KNOWN_LIST: np.array(listed, dtype=np.float32)}


def embedded(known: csr_array, trunk: list[np.ndarray]) -> NDArray[np.float32]:
    """What a trunk's last layer gives: [compounds, width]."""
    return features(trunk, known.indptr.astype(np.int64), known.indices.astype(np.int32))


def agreement(vectors: NDArray[np.floating], targets: int) -> NDArray[np.float32]:
    """How much vectors of one class point one way and those of the other the other way: float32 [targets], from -1 to 1.

    The mean over pairs of compounds of a target of their cosine about the target's mean, times -1 for two of different classes: how well
    their likeness agrees with their labels (N. Cristianini et al., "On kernel-target alignment", NIPS 2001), without the diagonal.

    Args:
        vectors: [targets * compounds, width], the first half of each target's compounds active, the second not.
    """
    grouped = vectors.reshape(targets, -1, vectors.shape[-1]).astype(np.float64)
    centred = grouped - grouped.mean(axis=1, keepdims=True)
    unit = centred / np.maximum(np.linalg.norm(centred, axis=2, keepdims=True), 1e-12)
    signs = np.repeat([1.0, -1.0], grouped.shape[1] // 2)
    pairs = np.outer(signs, signs) - np.eye(len(signs))
    return np.asarray(((unit @ unit.transpose(0, 2, 1)) * pairs).sum(axis=(1, 2)) / (len(signs) * (len(signs) - 1)), dtype=np.float32)
