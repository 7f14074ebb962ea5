"""The least that a partner accepts, whatever the coordinator's configuration says."""

from dataclasses import dataclass, field

from strategies.secagg.errors import PolicyError
from strategies.secagg.messages import SessionParameters
from strategies.secagg.repetition import RepetitionLimits


@dataclass(frozen=True)
class Policy:
    """A partner's own words on a session.

    Attributes:
        roster: Digest of the roster that it pinned.
        configuration: Digest of the experiment that it agreed to.
        layout: Shapes of the trunk's arrays.
        word_bits: Word sizes that it sends.
        row_guard: Least training compounds of a fingerprint bit.
        least_supporters: Fewest partners of a listed row.
        rounds: Most rounds of the project.
        metrics: Metrics whose mean the coordinator may learn.
        least_survivors: Fewest partners whose sum it accepts, beyond the roster's own minimum.
        repetition: How much repetition it lets happen, which no session names.
    """

    roster: bytes
    configuration: bytes
    layout: str
    word_bits: tuple[int, ...]
    row_guard: int
    least_supporters: int
    rounds: int
    metrics: tuple[str, ...]
    least_survivors: int
    repetition: RepetitionLimits = field(default_factory=RepetitionLimits)

    def check(self, proposed: SessionParameters) -> None:
        """Accept a proposal or refuse it.

        Raises:
            PolicyError: Naming what was proposed and what is allowed.
        """
        rules: list[tuple[str, bool, object, object]] = [
            ("roster", proposed.roster == self.roster, proposed.roster.hex()[:16], self.roster.hex()[:16]),
            (
                "configuration",
                proposed.configuration == self.configuration,
                proposed.configuration.hex()[:16],
                self.configuration.hex()[:16],
            ),
            ("trunk layout", proposed.layout == self.layout, proposed.layout, self.layout),
            ("word bits", proposed.word_bits in self.word_bits, proposed.word_bits, self.word_bits),
            ("row guard", proposed.row_guard >= self.row_guard, proposed.row_guard, f"at least {self.row_guard}"),
            (
                "least supporters",
                proposed.least_supporters >= self.least_supporters,
                proposed.least_supporters,
                f"at least {self.least_supporters}",
            ),
            ("rounds", proposed.rounds <= self.rounds, proposed.rounds, f"at most {self.rounds}"),
            ("metrics shown", set(proposed.metrics) <= set(self.metrics), proposed.metrics, self.metrics),
        ]
        for what, allowed, given, allows in rules:
            if not allowed:
                raise PolicyError(f"the coordinator proposes {what} {given}, and this partner's policy says {allows}")
