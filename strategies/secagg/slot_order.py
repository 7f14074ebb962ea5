"""In which order the slots of shared heads lie within a masked vector: one that the coordinator does not know. PROTOCOL.md, section 5.

A slot is a block of words, and each stands for an endpoint that partners measure. Masks hide what is in a block; the order hides which
endpoint a place belongs to, should anything about a place ever show. It is drawn anew for each round, and taken back before a sum is read.
"""

import numpy as np
from numpy.typing import NDArray

from strategies.secagg import keys
from strategies.secagg.keystream import keystream


def slot_order(group: bytes, number: int, slots: int) -> NDArray[np.int64]:
    """Slot at each place of round `number`: those of a keystream's words, 8 bytes each, by ascending word; of equal ones the lower first.

    Args:
        group: The session's group key.
    """
    drawn = np.frombuffer(keystream(keys.slot_key(group, number), 8 * slots), dtype="<u8")
    return np.argsort(drawn, kind="stable")


def hide(blocks: np.ndarray, order: NDArray[np.int64]) -> None:
    """Put blocks, [slots, words], into an order, in place."""
    blocks[:] = blocks[order]


def show(blocks: np.ndarray, order: NDArray[np.int64]) -> None:
    """Undo `hide`, in place."""
    blocks[order] = blocks.copy()
