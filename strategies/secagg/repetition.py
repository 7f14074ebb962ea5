"""What one partner has been made to repeat in a run, and how much of that it lets happen. PROTOCOL.md, section 6.

Theory of operation:

- One sum shows nobody's update. Two sums of one round over cohorts that differ by a partner differ by that partner's update, and whoever
  may abandon a round can have it repeated. So a partner counts what it contributes to, and refuses beyond what its policy allows.
- What counts for a round is the lists of survivors that it *signed*: nothing is unmasked that `threshold` partners did not sign, and of
  two sums each takes the signatures of more than half of the honest partners. With `L` lists each, fewer than `2 * L` sums come about.
- Rounds are counted by their number and not by the name of the trunk that they start from: a trunk that is drawn again for round 1, or
  that took another's place, has another name, and tells as much of the same update.
- A row list follows from a partner's compounds alone, and two over one cohort are alike: it counts where its survivors are others than
  those that were signed before.
- Nothing is ever counted down. A caller keeps it in a file of its own beside the state, written before the state is (section 6), so that
  who is killed between the two counts once too often and never once too few.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace

from strategies.secagg.errors import RepetitionError

SPARE = 10  # pieces of trouble beyond one for each round


@dataclass(frozen=True)
class RepetitionLimits:
    """How much repetition a partner lets happen in a run; the defaults are those of 100 rounds, each in a session of its own.

    Attributes:
        survivor_lists: Lists of survivors that it signs for one round. Two: a round may be lost once after it was signed.
        sessions: Sessions that it contributes keys to.
        cohort_changes: Lists that it signs with other survivors than the list before; 0 for none.
    Raises:
        ValueError: One of them is below 1, or the last below 0.
    """

    survivor_lists: int = 2
    sessions: int = 210
    cohort_changes: int = 210

    def __post_init__(self) -> None:
        for name, most in asdict(self).items():
            least = 0 if name == "cohort_changes" else 1
            if most < least:
                raise ValueError(f"{name} is {most}, not {least} or more")

    @classmethod
    def of_run(cls, rounds: int, session_rounds: int) -> "RepetitionLimits":
        """Those that let usual trouble through: in every round a restart, and somebody who is missing and is back in the next."""
        return cls(sessions=-(-rounds // session_rounds) + rounds + SPARE, cohort_changes=2 * rounds + SPARE)


@dataclass(frozen=True)
class RoundCount:
    """How often a partner masked an update for one round, and signed a list of its survivors."""

    trainings: int = 0
    survivor_lists: int = 0


@dataclass(frozen=True)
class Repetition:
    """What a partner has been made to repeat in a run.

    Attributes:
        rounds: Of each round that it trained for.
        sessions: That it contributed keys to.
        cohort_changes: Lists that it signed, of rounds and of rows, with other survivors than the list before.
        survivors: The last list that it signed; empty before the first.
        first_attempt: Number of each round's first training; above 0 where nobody knows any more how many there were.
        furthest: Most rounds behind a trunk that it gave up, by which it goes back no second time.
    """

    rounds: Mapping[int, RoundCount] = field(default_factory=dict)
    sessions: int = 0
    cohort_changes: int = 0
    survivors: tuple[int, ...] = ()
    first_attempt: int = 0
    furthest: int = 0

    def of_round(self, number: int) -> RoundCount:
        """What was repeated of one round."""
        return self.rounds.get(number, RoundCount())

    def attempt(self, number: int) -> int:
        """The number of the next training for a round, which no update that left had."""
        return self.first_attempt + self.of_round(number).trainings

    def trained(self, number: int) -> "Repetition":
        """With one more update masked for a round."""
        return self._with(number, trainings=self.of_round(number).trainings + 1)

    def joining(self, limits: RepetitionLimits) -> "Repetition":
        """With one more session.

        Raises:
            RepetitionError: There were as many as are allowed.
        """
        if self.sessions >= limits.sessions:
            raise RepetitionError(f"{self.sessions} sessions of this run were joined, and this partner's policy allows {limits.sessions}")
        return replace(self, sessions=self.sessions + 1)

    def check_round(self, number: int, limits: RepetitionLimits) -> None:
        """Before anything is trained, or signed, for a round.

        Raises:
            RepetitionError: As many lists of its survivors were signed as are allowed.
        """
        signed = self.of_round(number).survivor_lists
        if signed >= limits.survivor_lists:
            raise RepetitionError(
                f"{signed} lists of survivors of round {number} were signed, and this partner's policy allows {limits.survivor_lists}: "
                "one more sum of the same round would tell more of its update"
            )

    def giving_up(self, version: int) -> "Repetition":
        """With the trunk after so many rounds given up."""
        return replace(self, furthest=max(self.furthest, version))

    def signing(self, number: int, survivors: tuple[int, ...], limits: RepetitionLimits) -> "Repetition":
        """With one more signed list.

        Args:
            number: Of the round; 0 for a row list.
        Raises:
            RepetitionError: As `check_round`; or its survivors are others than those before once more than is allowed.
        """
        changes = self.cohort_changes + (self.survivors not in ((), survivors))
        if changes > max(self.cohort_changes, limits.cohort_changes):
            raise RepetitionError(
                f"the survivors changed {self.cohort_changes} times in this run, from {self.survivors} to {survivors} they would once "
                f"more, and this partner's policy allows {limits.cohort_changes}"
            )
        signed = replace(self, cohort_changes=changes, survivors=survivors)
        if number:
            self.check_round(number, limits)
            return signed._with(number, survivor_lists=self.of_round(number).survivor_lists + 1)
        return signed

    def _with(self, number: int, **counts: int) -> "Repetition":
        return replace(self, rounds={**self.rounds, number: replace(self.of_round(number), **counts)})
