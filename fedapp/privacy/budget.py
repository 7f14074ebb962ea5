"""A partner's privacy budget: what was spent, in a file of its own, written before anything that it pays for exists.

A process that is killed between the two has paid for nothing: the account may be too high and never too low. A training that is asked
for again is another draw of the noise, and paid for again.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

from fedapp.errors import RunError
from fedapp.privacy.accounting import NoiseEvent, epsilon, repeats
from fedapp.storage.damage import DamagedFileError, reading
from fedapp.storage.json_file import read_sealed, write_sealed

PAID = "paid"


class BudgetError(RunError):
    """A partner's privacy budget is spent, or what was spent is not known."""


@dataclass(frozen=True)
class Budget:
    """The account of one partner, over everything that left it under record-level privacy.

    It speaks of one compound with all its labels at this partner, added or removed. For a compound that several partners hold,
    their epsilons add up, and so do their deltas.

    Attributes:
        path: The file: {"paid": [{"what": "round 7", "noise_multiplier": 1.0, "sample_rate": 0.02, "steps": 50}, ..], "seal": ..}, 0600.
        epsilon: What may be spent.
        delta: At which it counts.
        used: Whether something was paid for, as far as the rest of the folder tells: no file is then a lost account, and no empty one.
    """

    path: Path
    epsilon: float
    delta: float
    used: bool = False

    def begin(self) -> None:
        """Write down that nothing was paid for yet, before anything is kept that says otherwise."""
        if not self.path.is_file() and not self.used:
            write_sealed(self.path, {PAID: []})

    def events(self) -> list[tuple[str, NoiseEvent]]:
        """What was paid for, in order, and its cost.

        Raises:
            BudgetError: The file is lost or damaged.
        """
        hint = "bring back this very file: what was spent must be known, and an older copy says too little; without it, start a new run"
        try:
            if not self.path.is_file() and not self.used:
                return []
            paid = read_sealed(self.path, {PAID: list}, hint)[PAID]
            with reading(self.path, hint):
                return [(str(entry.pop("what")), NoiseEvent(**entry)) for entry in paid]
        except DamagedFileError as error:
            raise BudgetError(str(error), hint) from error

    def spent(self) -> float:
        """Epsilon so far."""
        return epsilon((event for _, event in self.events()), self.delta)

    def left(self, event: NoiseEvent) -> int:
        """How many more times this can be paid."""
        return repeats((paid for _, paid in self.events()), event, self.epsilon, self.delta)

    def spend(self, what: str, event: NoiseEvent) -> float:
        """Pay for an event, on disk when this returns; the caller must not begin it before.

        Args:
            what: Such as "round 7".
        Returns:
            Epsilon so far, this event included.
        Raises:
            BudgetError: It does not fit, and nothing was paid; or the file is damaged.
        """
        before = self.events()
        total = epsilon([*(paid for _, paid in before), event], self.delta)
        if total > self.epsilon:
            raise BudgetError(
                f"{what} would bring this partner's epsilon to {total:.3g}, beyond privacy.epsilon of {self.epsilon:g}",
                "the run ends here for this partner: plan fewer rounds, or more noise, with a budget that all partners agree on",
            )
        write_sealed(self.path, {PAID: [{"what": name, **asdict(paid)} for name, paid in (*before, (what, event))]})
        return total
