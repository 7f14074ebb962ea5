"""A partner's last look at an update before it is masked: what would the others learn from it?

All others may collude, and take their own updates from a round's sum: what is left is this partner's update, rounded as it was sent. So
it attacks those very words, with the best list of candidates that there can be: its own training compounds. It refuses to send what tells
more of them than it allows. The coordinator has no say in this, and does not hear why. The sum is attacked too when it comes home; that
has left already, and is told and not judged.

On a list of nothing but true answers every guess is right, also those that chance makes of rows which merely look alike. A partner knows
better: it counts those alone that are right for the right reason, twin rows of bits that the very same compounds hold.

Nothing here leaves the house.
"""

from dataclasses import dataclass
from itertools import pairwise
from math import prod

import numpy as np
from numpy.typing import NDArray

from fedapp.privacy.leakage import ALIKE, Library, components, cosines, identify, present_rows
from strategies.house import Limits
from strategies.secagg.errors import SecAggError
from strategies.shared_trunk import Form

AUDITS = "self_audit.jsonl"
OWN, SUM = "own", "sum"
PIECE = 1024  # pairs of rows that are compared at a time
Compounds = tuple[NDArray[np.int64], NDArray[np.int32]]


class LeakError(SecAggError):
    """An update that tells more of our compounds than we allow; it stays at home, and the round goes on without it.

    Args:
        message: Which one, and what it tells.
        hint: What to do about it.
    """

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True)
class Audited:
    """One line of `self_audit.jsonl`: what the attacks found in one vector.

    Attributes:
        round: Whose update, or sum of updates, it is.
        vector: `OWN` or `SUM`.
        attempt: At training for that round; 0 for a sum.
        rows: Of the first layer that are not zero.
        fewest: Own training compounds behind the rarest of these rows; a sum has rows of others, and it may be 0.
        twin_groups: Groups of rows that look alike and whose bits the very same of our training compounds hold.
        identified: Own training compounds that such a group names.
        compounds: Own training compounds that differ in their fingerprints.
    """

    round: int
    vector: str
    attempt: int
    rows: int
    fewest: int
    twin_groups: int
    identified: int
    compounds: int


def audit(
    vector: str, number: int, attempt: int, form: Form, words: np.ndarray, before: NDArray[np.float32], compounds: Compounds
) -> Audited:
    """Attack the first layer of a vector as somebody who knows the trunk that it changes.

    Args:
        vector, number, attempt: As in `Audited`.
        words: An update or a sum of them, uint or int; what follows the first layer does not count.
        before: The first layer that it changes, [bits, width].
        compounds: Our training compounds, as `House.compounds` gives them.
    """
    rows, width = len(form.rows), prod(form.shapes[0][1:])
    update = np.zeros((form.shapes[0][0], width), dtype=np.float32)  # in units of the rounding: attacks know no scale
    update[form.rows] = words[: rows * width].view(f"i{words.itemsize}").reshape(rows, width)
    present, library = present_rows(update), Library(*distinct(compounds), len(update))
    groups = twins(update, before, library, present)
    held = np.bincount(compounds[1], minlength=len(update))[present]
    return Audited(
        round=number,
        vector=vector,
        attempt=attempt,
        rows=len(held),
        fewest=int(held.min()) if len(held) else 0,
        twin_groups=len(groups),
        identified=len(identify(groups, library, present)),
        compounds=len(library.indptr) - 1,
    )


def twins(
    update: NDArray[np.float32], before: NDArray[np.float32], library: Library, present: NDArray[np.bool_]
) -> list[NDArray[np.int64]]:
    """Groups of two or more present rows that look alike, of bits that the very same compounds hold: bits, ascending.

    Args:
        update, before: A change of the first layer, and what it changes; float32 [bits, width].
    """
    weights = np.random.default_rng(0).random(len(library.indptr) - 1)  # their sum marks a set of compounds, added in one order
    marks = np.bincount(library.indices, weights=weights[library.owner], minlength=library.bits)
    bits = np.flatnonzero(present & (library.counts > 0))
    bits = bits[np.argsort(marks[bits], kind="stable")]
    pairs = np.stack([bits[:-1], bits[1:]], axis=1)[np.diff(marks[bits]) == 0]
    pieces = (pairs[first : first + PIECE] for first in range(0, len(pairs), PIECE))
    alike = [piece[cosines(update[piece], before[piece])[:, 0, 1] >= ALIKE] for piece in pieces]
    return list(components(np.concatenate([pairs[:0], *alike]), library.bits))


def distinct(compounds: Compounds) -> Compounds:
    """One of each: equal fingerprints look like one compound, which rows may well name."""
    indptr, indices = compounds
    held = {indices[start:end].tobytes(): end - start for start, end in pairwise(indptr.tolist())}
    return np.cumsum([0, *held.values()]), np.frombuffer(b"".join(held), dtype=indices.dtype)


def check(found: Audited, limits: Limits, row_guard: int) -> None:
    """Let an update go, or refuse to send it.

    Args:
        row_guard: Training compounds that each row needs.
    Raises:
        LeakError: It tells too much.
    """
    told = f"the update of round {found.round}"
    if found.compounds < limits.least_compounds:
        raise LeakError(
            f"{told} is of {found.compounds:,} training compounds, and this partner sends none of fewer than {limits.least_compounds:,}",
            "take part with more compounds, or lower least_compounds in policy.yaml",
        )
    if found.rows and found.fewest < row_guard:
        raise LeakError(
            f"{told} has a row of a bit that {found.fewest} training compounds hold, and the row guard is {row_guard}",
            "the dataset was changed under way, or this is a fault of the software: report it, and let nothing leave until it is found",
        )
    if found.identified > limits.most_identified * found.compounds:
        raise LeakError(
            f"{told} names {found.identified:,} of {found.compounds:,} training compounds to whoever has them in a list, and this "
            f"partner allows a share of {limits.most_identified:g}",
            "agree on a larger privacy.row_guard with all partners; to send it all the same, raise most_identified in policy.yaml",
        )
