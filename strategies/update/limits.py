"""What a partner's own update may tell before the partner refuses to send it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class LeakLimits:
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
