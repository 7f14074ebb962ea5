"""What the client mods need of one partner; `fedapp.partner.open_side` builds it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fedapp.partner_folder import PartnerFolder
from fedapp.storage.json_lines import append_line, last_line, sealed_line
from fedapp.storage.sealed_array import write_flags
from strategies.secagg.identity import Identity
from strategies.secagg.policy import Policy
from strategies.secagg.roster import Roster
from strategies.update.candidates import Candidates, OwnCompounds
from strategies.update.codec import UpdateCodec
from strategies.update.holders import Holders
from strategies.update.limits import LeakLimits


@dataclass(frozen=True)
class Membership:
    """Who a partner is in the consortium, and what it accepts: from others, and of itself."""

    identity: Identity
    roster: Roster
    policy: Policy
    limits: LeakLimits = field(default_factory=LeakLimits)


@dataclass(frozen=True)
class UpdateTerms:
    """What partners of a run agreed on about updates: whose words differ in one of these cannot be added.

    Attributes:
        shapes: Of the trunk's arrays; with slots, the last is that of the shared heads.
        partners: Most partners in a sum.
        word_bits: 32 or 16.
        value_range: Of the first update's quantiser.
        largest_weight: Of any partner.
        server_learning_rate: Step along the mean update, or along the velocity.
        momentum: Of the velocity; 0 is off.
        slots: Shared heads, 0 without any.
        row_guard: Training compounds that each row of an update must have, checked before it leaves; 0 where noise decides on rows.
        metrics: Names of the metrics whose mean the coordinator may learn.
    """

    shapes: tuple[tuple[int, ...], ...]
    partners: int
    word_bits: int
    value_range: float
    largest_weight: int
    server_learning_rate: float
    momentum: float
    slots: int
    row_guard: int
    metrics: tuple[str, ...]

    def codec(self, listed: np.ndarray) -> UpdateCodec:
        """How an update becomes words, where this may leave: bool [rows of the first array + slots]."""
        return UpdateCodec(self.shapes, listed, self.word_bits, self.partners, self.largest_weight)


@dataclass(frozen=True)
class PartnerData:
    """What only a partner's own data and secrets can say; each is computed when it is asked for, since most requests need none.

    Attributes:
        support: Which rows of the trunk's first array it may train and send, then in which slots of the shared heads it has a part: bool.
        holders: Its training compounds behind each bit of their whole fingerprints.
        candidates: Of a round: compounds that it trained on, and such that it did not, by which it judges what a vector tells of that.
        weight: Its weight in the mean, 1 to `largest_weight`.
        first_trunk: Draws a first trunk, given 32 secret bytes that all partners have in common; whether it uses them, or a seed
            that partners agreed on, is theirs to say.
        rounding_seed: Of a round and an attempt at it; never the same for two updates, or their rounding would tell of their difference.
    """

    support: Callable[[], np.ndarray]
    holders: Callable[[], Holders]
    candidates: Callable[[int], Candidates]
    weight: Callable[[], int]
    first_trunk: Callable[[bytes], list[np.ndarray]]
    rounding_seed: Callable[[int, int], int]

    def own_compounds(self, number: int) -> OwnCompounds:
        """What the vectors of a round are attacked with."""
        return OwnCompounds(self.holders(), self.candidates(number))


@dataclass(frozen=True)
class PartnerSide:
    """One partner's own side.

    Attributes:
        directory: Its private folder.
        membership: Its keys, roster and policy; None under plain aggregation.
        terms: What it has in common with the others.
        data: What it has not.
        threads: For the masks.
    """

    directory: Path
    membership: Membership | None
    terms: UpdateTerms
    data: PartnerData
    threads: int = 1

    @property
    def folder(self) -> PartnerFolder:
        """Its private folder, file by file."""
        return PartnerFolder(self.directory)

    def keep_rows(self, listed: np.ndarray) -> np.ndarray:
        """Write down what of the next training may leave: our own support within the agreed list, bool; returned as well."""
        sent = listed & self.data.support()
        write_flags(self.folder.rows, sent)
        return sent

    def note(self, path: Path, record: dict[str, Any]) -> None:
        """One more line in a file of the private folder, unless it is the last one already: whoever was killed after it notes it again."""
        line = sealed_line(record)
        if last_line(path) != line:
            append_line(path, line)
