"""Which rows of the first layer may leave a partner: those of fingerprint bits that enough compounds hold.

The gradient of a first-layer row is the sum, over the compounds that hold its bit, of what each of them sends back through the
network. So all bits that one compound alone holds have one and the same row, in every step and whatever the optimiser: "twins". They
survive averaging, rounding and the sum of ten partners, and as a group they spell out the compound, for anyone with a list of
candidates (SRATTA, Marchand et al., ICML 2023, arXiv 2306.07644). Masks do not help against the receiver of the sum. Two rules do:

- a partner keeps the rows of bits that fewer than `least` of its training compounds hold at home (`support`), where it trains them for
  itself (`fedapp.model.private_rows`);
- only rows that several partners support are sent at all (`listed`): with one it would be known to be that partner's own, and with two
  each would find the other's by subtraction. With s supporters it takes s - 1 of them together to find the last one's.

A shared head is a row of the trunk's last array and leaves under the same rule, whatever is agreed on never with fewer than `LEAST_HOLDERS`
partners that have tasks of its endpoint, since its sum says more of one partner's labels than a row of the first layer does.

This takes single compounds out of sight. It is no differential privacy: what many compounds have in common stays visible.
"""

import numpy as np
from numpy.typing import NDArray

LEAST_HOLDERS = 3  # partners of a shared head, to be listed and, in each sum, to be used: with two, each would find the other's in the sum


def support(indptr: NDArray[np.int64], indices: NDArray[np.int32], rows: NDArray[np.int64], bits: int, least: int) -> NDArray[np.bool_]:
    """Fingerprint bits that at least `least` of the compounds `rows` hold: bool [bits].

    Args:
        indptr, indices: CSR over all compounds, int64 [n + 1] and int32; each on bit of a compound occurs once.
        rows: Compounds that count, int64; one that is named twice counts once.
        bits: Fingerprint length.
        least: 1 or less turns the guard off: every bit passes, even one that no compound holds.
    """
    if least <= 1:
        return np.ones(bits, dtype=np.bool_)
    counted = np.zeros(len(indptr) - 1, dtype=np.bool_)
    counted[rows] = True
    return np.bincount(indices[np.repeat(counted, np.diff(indptr))], minlength=bits) >= least


def least_holders(least_supporters: int) -> int:
    """Partners that a shared head needs where a row needs so many."""
    return max(LEAST_HOLDERS, least_supporters)


def listed(supporters: NDArray[np.integer], bits: int, least_supporters: int) -> NDArray[np.bool_]:
    """What may leave: rows with `least_supporters`, and slots of shared heads with `least_holders` of it: bool, of the same length.

    Args:
        supporters: Sum of the partners' own supports, taken as 0 and 1: integers [bits + slots].
        bits: Rows of the first layer.
        least_supporters: As partners agreed.
    """
    return np.concatenate([supporters[:bits] >= least_supporters, supporters[bits:] >= least_holders(least_supporters)])
