"""What the client mods need of a partner's house; `fedapp.client_app` builds it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from strategies.secagg.identity import Identity
from strategies.secagg.policy import Policy
from strategies.secagg.roster import Roster
from strategies.shared_trunk import Form

ROW_LIST = "rows.npy"


@dataclass(frozen=True)
class Membership:
    """Who a partner is in the consortium."""

    identity: Identity
    roster: Roster
    policy: Policy


@dataclass(frozen=True)
class House:
    """One partner's own side.

    Attributes:
        directory: Its private folder.
        membership: Its keys, roster and policy; None under plain aggregation.
        support: Computes which rows of the trunk's first array it may train and send, bool.
        first_trunk: Draws a first trunk, given 32 secret bytes that all partners have in common; whether it uses them, or a seed
            that partners agreed on, is theirs to say.
        shapes: Of the trunk's arrays.
        partners: Most partners in a sum.
        word_bits: 32 or 16.
        value_range: Of the first update's quantiser.
        server_learning_rate: Step from the old trunk towards the mean of the partners' trunks.
        weight: Computes this partner's weight in the mean, 1 to `largest_weight`.
        largest_weight: Of any partner.
        seed: Of the rounding in a round and attempt.
        metrics: Names of the metrics whose mean the coordinator may learn.
        threads: For the masks.
    """

    directory: Path
    membership: Membership | None
    support: Callable[[], np.ndarray]
    first_trunk: Callable[[bytes], list[np.ndarray]]
    shapes: tuple[tuple[int, ...], ...]
    partners: int
    word_bits: int
    value_range: float
    server_learning_rate: float
    weight: Callable[[], int]
    largest_weight: int
    seed: Callable[[int, int], int]
    metrics: tuple[str, ...]
    threads: int = 1

    def form(self, rows: np.ndarray) -> Form:
        """How an update over these rows becomes words."""
        return Form(self.shapes, rows, self.word_bits, self.partners, self.largest_weight)
