"""How much guesses at canaries show at least, as the distance of two normal curves: an audit of f-differential privacy in one run.

Source: S. Mahloujifar, L. Melis, K. Chaudhuri, "Auditing f-differential privacy in one run", ICML 2025, arXiv 2410.22235.
"""

import numpy as np
from scipy.optimize import brentq
from scipy.special import log_ndtr, ndtr, ndtri

FARTHEST, HALVED = 8.0, 1e-3  # distance beyond which nothing is told apart; as near as it is looked for
LARGEST = 50.0  # epsilon of which the same is true: no attack looks for more


def gaussian_lower_bound(correct: int, guesses: int, canaries: int, level: float) -> float:
    """The largest mu so that mu-Gaussian private training gives that many right guesses, or more, with a chance below `level`.

    0 where the guesses show nothing; at most `FARTHEST`.
    """
    low, high = 0.0, FARTHEST
    if not refuted(correct, guesses, canaries, low, level):
        return low
    while high - low > HALVED:
        middle = (low + high) / 2
        low, high = (middle, high) if refuted(correct, guesses, canaries, middle, level) else (low, middle)
    return low


def refuted(correct: int, guesses: int, canaries: int, mu: float, level: float) -> bool:
    """Whether mu-Gaussian private training makes that many right guesses, or more, with a chance below `level`.

    If it did so more often, the chances of fewer right guesses would follow from the trade-off curve one after another, down to none, and
    add up to more than all guesses.

    Args:
        correct, guesses, canaries: 0 <= correct <= guesses <= canaries.
        mu: Two outputs are told apart as well as two normal curves at that distance are, in their standard deviations: 0 or more.
    Source: S. Mahloujifar et al., the bound on the tail with abstentions, for a coin (k = 2).
    """
    share = level * guesses / canaries
    right, wrong = share * correct / guesses, share * (guesses - correct) / guesses
    for fewer in range(correct - 1, -1, -1):
        least = max(wrong, float(ndtr(ndtri(min(right, 1.0)) - mu)))
        right += fewer / (guesses - fewer) * (least - wrong)
        wrong = least
    return right + wrong > guesses / canaries


def epsilon_of(mu: float, delta: float) -> float:
    """The epsilon of mu-Gaussian differential privacy at `delta`, above 0; at most `LARGEST`.

    Source: J. Dong, A. Roth, W. J. Su, "Gaussian differential privacy", J. R. Stat. Soc. B 84(1), 2022, corollary 1.
    """

    def beyond(epsilon: float) -> float:
        return float(ndtr(mu / 2 - epsilon / mu) - np.exp(epsilon + log_ndtr(-mu / 2 - epsilon / mu))) - delta

    if mu <= 0 or beyond(0.0) <= 0:
        return 0.0
    return LARGEST if beyond(LARGEST) > 0 else float(brentq(beyond, 0.0, LARGEST))
