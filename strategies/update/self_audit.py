"""A partner's last look at an update before it is masked: what would the others learn from it?

All others may collude, and take their own updates from a round's sum: what is left is this partner's update, rounded as it was sent. So
it attacks those very words, with the best list of candidates that there can be: its own training compounds. It refuses to send what tells
more of them than it allows. The coordinator has no say in this, and does not hear why. The sum is attacked too when it comes home; that
has left already, and is told and not judged.

On a list of nothing but true answers every guess is right, also those that chance makes of rows which merely look alike. A partner knows
better: it counts those alone that are right for the right reason, twin rows of bits that the very same compounds hold. Where a guess needs
wrong answers beside right ones, own compounds that were kept aside give them (`membership`). And of the list of rows it counts those that
have so few supporters that one partner sees another's bare.

Nothing here leaves a partner.
"""

from dataclasses import asdict, dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from strategies.secagg.errors import SecAggError
from strategies.update.candidates import OwnCompounds
from strategies.update.codec import UpdateCodec
from strategies.update.holders import Holders
from strategies.update.leakage import ALIKE, components, cosines
from strategies.update.limits import LeakLimits
from strategies.update.membership import ToldApart, beyond_chance, told_apart

OWN, SUM, ROW_LIST = "own", "sum", "row list"
PIECE = 1024  # pairs of rows that are compared at a time


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
    """One line of a partner's record of audits: what the attacks found in one vector.

    Attributes:
        round: Whose update, or sum of updates, it is; of a row list the first that it holds for.
        vector: `OWN`, `SUM` or `ROW_LIST`.
        attempt: At training for that round; 0 for a sum and for a row list.
        rows: Of the first layer that are not zero; that are listed.
        fewest: Own training compounds behind the rarest of these rows; a sum has rows of others, and it may be 0.
        twin_groups: Groups of rows that look alike and whose bits the very same of our training compounds hold.
        identified: Own training compounds that such a group names.
        compounds: Own training compounds that differ in their fingerprints.
        auc, trained, others, found: As in `ToldApart`: who was trained on, told from own compounds that were kept aside.
        bare: Listed rows that we support and one other partner at most: of these that one, or everybody, sees our update as it is.
        bare_of_others: Listed rows that one other partner alone supports: of these we see its update as it is.
    """

    round: int
    vector: str
    attempt: int
    rows: int
    fewest: int
    twin_groups: int
    identified: int
    compounds: int
    auc: float = ToldApart.auc
    trained: int = ToldApart.trained
    others: int = ToldApart.others
    found: float = ToldApart.found
    bare: int = 0
    bare_of_others: int = 0

    @property
    def tells_trained(self) -> bool:
        """Whether it tells who was trained on, beyond what chance and other chemistry could do."""
        return beyond_chance(ToldApart(self.auc, self.trained, self.others, self.found))


def audit(
    vector: str,
    number: int,
    attempt: int,
    codec: UpdateCodec,
    words: np.ndarray,
    before: NDArray[np.float32],
    own: OwnCompounds,
) -> Audited:
    """Attack the first layer of a vector as somebody who knows the trunk that it changes.

    Args:
        vector, number, attempt: As in `Audited`.
        codec: How the vector is written.
        words: An update or a sum of them, uint or int; what follows the first layer does not count.
        before: The first layer that it changes, float32 [bits, width].
        own: Our compounds.
    """
    holders, rows, width = own.holders, len(codec.rows), prod(codec.shapes[0][1:])
    change = words[: rows * width].view(f"i{words.itemsize}").reshape(rows, width)  # in units of the rounding: attacks know no scale
    seen = codec.rows[change.any(axis=1)]
    groups = twins(change, codec.rows, before, holders, seen)
    named = {int(holders.alone[group[0]]) for group in groups} - {-1}
    return Audited(
        round=number,
        vector=vector,
        attempt=attempt,
        rows=len(seen),
        fewest=int(holders.counts[seen].min()) if len(seen) else 0,
        twin_groups=len(groups),
        identified=len(named),
        compounds=holders.fingerprints,
        **asdict(told_apart(change, codec.rows, own.candidates, number)),
    )


def audit_rows(
    number: int, listed: NDArray[np.bool_], supporters: NDArray[np.integer], ours: NDArray[np.bool_], holders: Holders
) -> Audited:
    """Count the rows of a list of which a partner sees another's update bare, once it takes its own off a sum.

    How many support a row all partners know, and each whether it does itself. Who drops out of a round later may make more of them; but of
    which rows nobody is told.

    Args:
        number: First round that the list holds for.
        listed: Rows of the first layer that may leave, bool [bits].
        supporters: Of each row, integers [bits].
        ours: Which of them are ours, bool [bits].
        holders: Our training compounds.
    """
    rows, other = np.flatnonzero(listed), supporters - ours
    return Audited(
        round=number,
        vector=ROW_LIST,
        attempt=0,
        rows=len(rows),
        fewest=int(holders.counts[rows].min()) if len(rows) else 0,
        twin_groups=0,
        identified=0,
        compounds=holders.fingerprints,
        bare=int((listed & ours & (other <= 1)).sum()),
        bare_of_others=int((listed & (other == 1)).sum()),
    )


def twins(
    change: NDArray[np.signedinteger], rows: NDArray[np.int64], before: NDArray[np.float32], holders: Holders, seen: NDArray[np.int64]
) -> list[NDArray[np.int64]]:
    """Groups of two or more rows that look alike, of bits that the very same compounds hold: bits, ascending.

    Args:
        change: Of the first layer's listed rows, [rows, width].
        rows: Bits that these stand for, ascending.
        holders: Our training compounds.
        before: The first layer that was changed, float32 [bits, width].
        seen: Bits whose rows changed, ascending.
    """
    bits = seen[holders.counts[seen] > 0]
    bits = bits[np.argsort(holders.marks[bits], kind="stable")]
    pairs = np.stack([bits[:-1], bits[1:]], axis=1)[np.diff(holders.marks[bits]) == 0]
    alike = [pairs[:0]]
    for first in range(0, len(pairs), PIECE):
        piece = pairs[first : first + PIECE]
        changes = change[np.searchsorted(rows, piece)].astype(np.float32)
        alike.append(piece[cosines(changes, before[piece])[:, 0, 1] >= ALIKE])
    return components(np.concatenate(alike), len(before))


def check(audited: Audited, limits: LeakLimits, row_guard: int) -> None:
    """Let an update go, or refuse to send it.

    Args:
        row_guard: Training compounds that each row needs.
    Raises:
        LeakError: It tells too much.
    """
    update = f"the update of round {audited.round}"
    if audited.compounds < limits.least_compounds:
        raise LeakError(
            f"{update} is of {audited.compounds:,} training compounds, and this partner sends none of fewer than "
            f"{limits.least_compounds:,}",
            "take part with more compounds, or lower least_compounds in policy.yaml",
        )
    if audited.rows and audited.fewest < row_guard:
        raise LeakError(
            f"{update} has a row of a bit that {audited.fewest} training compounds hold, and the row guard is {row_guard}",
            "the dataset was changed under way, or this is a fault of the software: report it, and let nothing leave until it is found",
        )
    if audited.identified > limits.most_identified * audited.compounds:
        raise LeakError(
            f"{update} names {audited.identified:,} of {audited.compounds:,} training compounds to whoever has them in a list, and this "
            f"partner allows a share of {limits.most_identified:g}",
            "agree on a larger privacy.row_guard with all partners; to send it all the same, raise most_identified in policy.yaml",
        )
