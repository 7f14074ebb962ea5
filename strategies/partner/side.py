"""What the client mods need of a partner's house; `fedapp.client_app` builds it."""

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
from strategies.update.shared_trunk import Form

ROW_LIST = "rows.npy"


@dataclass(frozen=True)
class Limits:
    """What a partner's own update may tell of its training compounds before it refuses to send; see `strategies.update.self_audit`.

    Attributes:
        most_identified: Share of them that the attacks may name, 0 to 1; 1 refuses nothing.
        least_compounds: Fewest of them with which an update leaves at all; 0 refuses nothing.
    Raises:
        ValueError: Outside these bounds.
    """

    most_identified: float = 0.001
    least_compounds: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.most_identified <= 1:
            raise ValueError(f"most_identified is {self.most_identified}, not a share from 0 to 1")
        if self.least_compounds < 0:
            raise ValueError(f"least_compounds is {self.least_compounds}, not 0 or more")


@dataclass(frozen=True)
class Membership:
    """Who a partner is in the consortium, and what it accepts: from others, and of itself."""

    identity: Identity
    roster: Roster
    policy: Policy
    limits: Limits = Limits()


@dataclass(frozen=True)
class House:
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

    def form(self, rows: np.ndarray) -> Form:
        """How an update over these rows becomes words."""
        return Form(self.shapes, rows, self.word_bits, self.partners, self.largest_weight)

    def keep_rows(self, listed: np.ndarray) -> None:
        """Write down which rows of the next training may leave: our own support within the agreed list, bool."""
        held, path = BytesIO(), self.directory / ROW_LIST
        np.save(held, listed & self.support())
        if path.is_file() and path.read_bytes() == held.getvalue():
            return
        with atomic_path(path) as temporary:
            temporary.write_bytes(held.getvalue())
