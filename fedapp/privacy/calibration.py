"""How much noise an epsilon takes: the accounting, the other way round."""

from collections.abc import Sequence
from math import exp, log

from scipy.optimize import brentq

from fedapp.privacy.accounting import NoiseEvent, epsilon

LEAST, MOST = 0.05, 1e4  # noise multipliers that are looked at
PRECISION = 1e-3  # by which the answer may be too large, as a share
NOTHING = 1e-12  # epsilon that is as good as none


def noise_multiplier(budget: float, delta: float, sample_rate: float, steps: int, before: Sequence[NoiseEvent] = ()) -> float:
    """The smallest noise multiplier with which so many steps, after the events `before`, fit into an epsilon of `budget` at `delta`.

    Raises:
        ValueError: None up to 10,000 does: the budget is spent already, or next to nothing.
    """

    def above(size: float) -> float:
        """Logarithm of the budget's share that noise of this logarithm spends: nearly a line, of which few points find the zero."""
        spent = epsilon([*before, NoiseEvent(exp(size), sample_rate, steps)], delta)
        return log(max(spent, NOTHING) / budget)

    if above(log(MOST)) > 0:
        raise ValueError(f"no noise lets {steps} steps at a rate of {sample_rate:g} fit into an epsilon of {budget:g} at delta {delta:g}")
    if above(log(LEAST)) <= 0:
        return LEAST
    return exp(float(brentq(above, log(LEAST), log(MOST), xtol=PRECISION / 2)) + PRECISION / 2)
