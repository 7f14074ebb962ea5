"""What is done to an update before it leaves this partner: `ready_to_mask` is the list, in order.

Whoever asks what protects an update reads the lines there, and the module behind each of them. Masking, which leaves nothing of it to be
seen but its part of the sum, comes last and is the protocol's (`strategies.secagg.masking`).
"""

from collections.abc import Callable
from dataclasses import asdict

import numpy as np

from strategies.partner.side import PartnerSide
from strategies.secagg.keystream import DTYPES
from strategies.update.limits import LeakLimits
from strategies.update.self_audit import OWN, audit, check
from strategies.update.shared_trunk import SharedTrunk

Trainer = Callable[[list[np.ndarray], dict[str, int]], tuple[list[np.ndarray], dict[str, float]]]


def ready_to_mask(
    side: PartnerSide, limits: LeakLimits, shared: SharedTrunk, attempt: int, fit: Trainer, tail: int
) -> tuple[np.ndarray, dict[str, float]]:
    """Train on from the shared trunk, and make the update ready to be masked.

    Args:
        limits: What the update may tell of this partner's compounds.
        shared: The trunk, which has arrays.
        attempt: Number of this training for the round, which no update that left had.
        fit: Trains a trunk, given round and attempt; it leaves its argument as it is.
        tail: Words to leave free behind the update.
    Returns:
        The update as words, uint32 or uint16, with `tail` zeros behind; and the metrics of the training.
    Raises:
        LeakError: The update tells too much of our own compounds.
        ValueError: It is not finite.
    """
    terms, number = side.terms, shared.version + 1
    codec = terms.codec(shared.rows)
    # 1. Rows of bits that few of our compounds, or no other partner's, hold stay at home, and shared heads of endpoints that too few
    # partners have: training reads the list.
    sent = side.keep_rows(shared.rows)
    # 2. Train; under record-level privacy this clips each compound's gradient and adds noise.
    trained, metrics = fit(shared.arrays, {"round": number, "attempt": attempt})
    # 3. Clip every value to the agreed range, round it at random, and count weight and clipped values behind.
    words = np.zeros(codec.words + tail, dtype=DTYPES[terms.word_bits])
    shared.encode(codec, trained, sent, words[: codec.words], side.data.rounding_seed(number, attempt), side.data.weight())
    # 4. Attack these very words as all others together could, and write down what that found.
    audited = audit(
        vector=OWN,
        number=number,
        attempt=attempt,
        codec=codec,
        words=words,
        before=shared.arrays[0],
        own=side.data.own_compounds(number),
    )
    side.note(side.folder.audits, asdict(audited))
    # 5. Keep at home what tells more than this partner allows.
    check(audited, limits, terms.row_guard)
    return words, metrics
