"""What the client mods need of one partner; `fedapp.partner.open_side` builds it."""

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np

from fedapp.storage.files import atomic_path
from strategies.secagg.identity import Identity
from strategies.secagg.policy import Policy
from strategies.secagg.roster import Roster
from strategies.update.holders import Holders
from strategies.update.limits import Limits
from strategies.update.shared_trunk import UpdateCodec

ROW_LIST = "rows.npy"


@dataclass(frozen=True)
class Membership:
    """Who a partner is in the consortium, and what it accepts: from others, and of itself."""

    identity: Identity
    roster: Roster
    policy: Policy
    limits: Limits = Limits()


@dataclass(frozen=True)
class PartnerSide:
    """One partner's own side.

    Attributes:
        directory: Its private folder.
        membership: Its keys, roster and policy; None under plain aggregation.
        support: Computes which rows of the trunk's first array it may train and send, bool.
        holders: Its training compounds behind each bit of their whole fingerprints.
        first_trunk: Draws a first trunk, given 32 secret bytes that all partners have in common; whether it uses them, or a seed
            that partners agreed on, is theirs to say.
        shapes: Of the trunk's arrays.
        partners: Most partners in a sum.
        word_bits: 32 or 16.
        value_range: Of the first update's quantiser.
        server_learning_rate: Step from the old trunk towards the mean of the partners' trunks.
        row_guard: Training compounds that each row of an update must have, checked before it leaves; 0 where noise decides on rows.
        weight: Computes this partner's weight in the mean, 1 to `largest_weight`.
        largest_weight: Of any partner.
        seed: Of the rounding in a round and attempt.
        metrics: Names of the metrics whose mean the coordinator may learn.
        threads: For the masks.
    """

    directory: Path
    membership: Membership | None
    support: Callable[[], np.ndarray]
    holders: Callable[[], Holders]
    first_trunk: Callable[[bytes], list[np.ndarray]]
    shapes: tuple[tuple[int, ...], ...]
    partners: int
    word_bits: int
    value_range: float
    server_learning_rate: float
    row_guard: int
    weight: Callable[[], int]
    largest_weight: int
    seed: Callable[[int, int], int]
    metrics: tuple[str, ...]
    threads: int = 1

    def form(self, rows: np.ndarray) -> UpdateCodec:
        """How an update over these rows becomes words."""
        return UpdateCodec(self.shapes, rows, self.word_bits, self.partners, self.largest_weight)

    def keep_rows(self, listed: np.ndarray) -> None:
        """Write down which rows of the next training may leave: our own support within the agreed list, bool."""
        held, path = BytesIO(), self.directory / ROW_LIST
        np.save(held, listed & self.support())
        if path.is_file() and path.read_bytes() == held.getvalue():
            return
        with atomic_path(path) as temporary:
            temporary.write_bytes(held.getvalue())
