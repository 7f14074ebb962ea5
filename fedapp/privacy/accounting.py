"""What noisy steps together say about one compound: (epsilon, delta) of the Gaussian mechanism on random samples, composed.

Neighbouring data sets differ in one record, added or removed. Rényi differential privacy (Mironov, CSF 2017; Mironov, Talwar and Zhang,
arXiv 1908.10530, for Poisson samples) by dp-accounting; it is an upper bound, some 10 % above a numerical privacy-loss distribution,
which takes minutes for the steps of a small partner.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

ORDERS = (*range(2, 65), 80, 96, 128, 192, 256, 384, 512, 768, 1024)  # whole ones, whose divergence is a finite sum
MOST_REPEATS = 1 << 17  # more than a configuration has rounds


@dataclass(frozen=True)
class NoiseEvent:
    """Equal steps, each of which publishes a sum over sampled records plus Gaussian noise.

    Attributes:
        noise_multiplier: Standard deviation of the noise over the L2 norm that one record adds at most, above 0.
        sample_rate: Probability with which each record is in a step, independently of all others; above 0, to 1.
        steps: How many, 1 or more.
    """

    noise_multiplier: float
    sample_rate: float = 1.0
    steps: int = 1

    def __post_init__(self) -> None:
        if not (self.noise_multiplier > 0 and 0 < self.sample_rate <= 1 and self.steps >= 1):
            raise ValueError(f"{self} is no event: noise above 0, a rate up to 1 and at least one step are needed")


def epsilon(events: Iterable[NoiseEvent], delta: float) -> float:
    """The epsilon of all these events together at `delta`; 0 without any."""
    steps: Counter[tuple[float, float]] = Counter()
    for event in events:
        steps[event.noise_multiplier, event.sample_rate] += event.steps
    if not steps:
        return 0.0
    import dp_accounting  # takes a second, and only this profile needs it
    from dp_accounting.rdp import RdpAccountant

    accountant = RdpAccountant(ORDERS)
    for (noise_multiplier, sample_rate), count in steps.items():
        noisy: Any = dp_accounting.GaussianDpEvent(noise_multiplier)
        accountant.compose(noisy if sample_rate == 1 else dp_accounting.PoissonSampledDpEvent(sample_rate, noisy), count)
    return float(accountant.get_epsilon(delta))


def repeats(events: Iterable[NoiseEvent], event: NoiseEvent, budget: float, delta: float) -> int:
    """How many more times `event` fits into an epsilon of `budget` after `events`; at most `MOST_REPEATS`."""
    before = list(events)

    def exceeds(times: int) -> bool:
        return epsilon([*before, replace(event, steps=times * event.steps)], delta) > budget

    return bisect_left(range(1, MOST_REPEATS + 1), True, key=exceeds)  # epsilon grows with every step
