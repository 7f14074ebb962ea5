"""How near compounds are to those that were trained on."""

import numpy as np
from scipy.sparse import csr_array

CHUNK = 256


def nearest_similarity(compounds: tuple[np.ndarray, np.ndarray], others: tuple[np.ndarray, np.ndarray], bits: int) -> np.ndarray:
    """Tanimoto similarity of each compound to its nearest among `others`: float32 (n,), 0 where there are none.

    Args:
        compounds, others: Fingerprints as CSR (indptr, indices).
        bits: Fingerprint length.
    """
    these, those = (
        csr_array((np.ones(len(ones), np.float32), ones, ends), shape=(len(ends) - 1, bits)) for ends, ones in (compounds, others)
    )
    columns, own, theirs = those.T.tocsr(), np.diff(compounds[0]), np.diff(others[0])
    nearest = np.zeros(these.shape[0], dtype=np.float32)
    for start in range(0, len(nearest), CHUNK):
        common = (these[start : start + CHUNK] @ columns).tocsr()
        rows = np.repeat(np.arange(common.shape[0]), np.diff(common.indptr))
        similar = common.data / (own[start + rows] + theirs[common.indices] - common.data)
        np.maximum.at(nearest, start + rows, similar.astype(np.float32))
    return nearest


def quarters(values: np.ndarray) -> np.ndarray:
    """The quarter of each value, 0 (lowest) to 3: int64 (n,); equal values are in one."""
    edges = np.quantile(values, [0.25, 0.5, 0.75]) if len(values) else np.zeros(3)
    return np.searchsorted(edges, values, side="left")
