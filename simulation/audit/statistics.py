"""How sure a figure of an attack is: rates with exact intervals, and error rates of a guess from scores.

Scores of one compound in several trials are not independent, and neither are those of a compound that two partners hold. All intervals
of scores therefore resample whole compounds (cluster bootstrap), and each resample picks its own threshold anew, so that they also
tell how sure the threshold is.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta, binomtest

CONFIDENCE = 0.95
POINTS = 200  # of a curve, for a plot
DRAWS = 400


@dataclass(frozen=True)
class Estimate:
    """A figure with its interval, how many trials are behind it, and, of a share, the upper end that these would give if nothing were
    found; the interval is one of 95 % unless a docstring says otherwise."""

    value: float
    lower: float
    upper: float
    trials: int
    finest: float = 0.0


@dataclass(frozen=True)
class GuessScores:
    """Scores of compounds, higher for those that look trained on; n in all.

    Attributes:
        scores: float [n], none of them NaN.
        inside: bool [n], whether the compound was trained on.
        compounds: int [n], equal for equal compounds.
    """

    scores: NDArray[np.floating]
    inside: NDArray[np.bool_]
    compounds: NDArray[np.integer]

    def __post_init__(self) -> None:
        if np.isnan(self.scores).any():
            raise ValueError("a score is not a number")
        if self.inside.all() or not self.inside.any():
            raise ValueError("scores of both kinds are needed, of compounds inside and outside")

    def of(self, chosen: NDArray[np.bool_]) -> "GuessScores":
        """Those of `chosen`, bool [n]."""
        return GuessScores(self.scores[chosen], self.inside[chosen], self.compounds[chosen])


def rate(successes: float, trials: float) -> Estimate:
    """A share of independent trials.

    Args:
        successes: 0 .. trials; need not be whole (an effective number).
        trials: At least 1 for a share, 0 for one of which nothing is known: value NaN, from 0 to 1.
    Source: C. Clopper, E. Pearson, Biometrika 26(4), 1934: exact, never too narrow.
    """
    if not 0 <= successes <= trials:
        raise ValueError(f"{successes} of {trials} is no share")
    if trials == 0:
        return Estimate(float("nan"), 0.0, 1.0, 0, 1.0)
    tail, failures = (1 - CONFIDENCE) / 2, trials - successes
    lower = float(beta.ppf(tail, successes, failures + 1)) if successes > 0 else 0.0
    upper = float(beta.ppf(1 - tail, successes + 1, failures)) if failures > 0 else 1.0
    return Estimate(float(successes / trials), lower, upper, int(trials), float(beta.ppf(1 - tail, 1, trials)))


def at_most(share: Estimate, successes: float) -> Estimate:
    """The same share with an upper limit that holds with 95 % confidence by itself, beside no lower one: what a gate on a few is about."""
    if share.trials == 0:
        return share
    failures = share.trials - successes
    upper = float(beta.ppf(CONFIDENCE, successes + 1, failures)) if failures > 0 else 1.0
    return replace(share, upper=upper, finest=float(beta.ppf(CONFIDENCE, 1, share.trials)))


def newcombe(hits: int, of: int, other_hits: int, of_others: int, level: float) -> tuple[float, float]:
    """Interval of the difference of two independent proportions: method 10 of R. G. Newcombe, Statistics in Medicine 17, 1998."""
    one, other = hits / of, other_hits / of_others
    first = binomtest(hits, of).proportion_ci(1 - level, method="wilson")
    second = binomtest(other_hits, of_others).proportion_ci(1 - level, method="wilson")
    lower = one - other - np.hypot(one - first.low, second.high - other)
    return float(lower), float(one - other + np.hypot(first.high - one, other - second.low))


def allowed(outside: float, false_positive_rate: float) -> int:
    """False positives among `outside` at which the rate is still at most `false_positive_rate`; guards against 0.3 * 10 < 3."""
    return int(np.floor(outside * false_positive_rate + 1e-9))


def true_positives(inside: NDArray[np.floating], outside: NDArray[np.floating], false_positive_rate: float) -> Estimate:
    """Share of `inside` above the lowest threshold at which at most that share of `outside` is above it.

    Scores equal to the threshold count as outside, on both sides: ties never help. The interval takes scores as independent and the
    threshold as given; those of `measured` do neither.

    Args:
        inside, outside: Scores of compounds that were trained on and of others, float, neither empty.
        false_positive_rate: 0 to less than 1.
    """
    threshold = np.sort(outside)[::-1][allowed(len(outside), false_positive_rate)]
    return rate(int((inside > threshold).sum()), len(inside))


def measured(scored: GuessScores, false_positive_rates: Sequence[float], generator: np.random.Generator) -> tuple[list[Estimate], Estimate]:
    """True positives at each rate of false positives, and the area under the curve (AUC), with intervals of the cluster bootstrap.

    The middle 95 % of 400 resamples of compounds; for a share the wider of that and of Clopper-Pearson with one trial per compound,
    since resamples of nobody recognised show nobody, too. At a rate of 0 a single compound makes the threshold: the interval of that
    share is a rough one.

    Source: B. Efron, R. Tibshirani, "An introduction to the bootstrap", 1993, chapter 13, for the percentile interval.
    """
    ordered = Ordered.of(scored)
    drawn = resampled(ordered, false_positive_rates, generator)
    inside, outside = scored.scores[scored.inside], scored.scores[~scored.inside]
    compounds = len(np.unique(scored.compounds[scored.inside]))
    plain = [true_positives(inside, outside, most) for most in false_positive_rates]
    single = [rate(share.value * compounds, compounds) for share in plain]
    shares = [around(share.value, draws, share.trials, one) for share, draws, one in zip(plain, drawn.T[:-1], single, strict=True)]
    value = area(*ordered.totals(np.ones(len(scored.scores))))
    return shares, around(value, drawn[:, -1], len(scored.scores), Estimate(value, value, value, 0))


def around(value: float, draws: NDArray[np.floating], trials: int, least: Estimate) -> Estimate:
    """A value with the middle of its resamples, and with no narrower an interval than `least`."""
    lower, upper = np.quantile(draws, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Estimate(value, min(float(lower), least.lower), max(float(upper), least.upper), trials, least.finest)


def resampled(ordered: "Ordered", false_positive_rates: Sequence[float], generator: np.random.Generator) -> NDArray[np.floating]:
    """True positives at each rate, then AUC, of resamples of compounds with replacement: [draws, rates + 1].

    A resample without a compound inside, or without one outside, is left out.
    """
    draws = []
    for _ in range(DRAWS):
        drawn = generator.integers(ordered.clusters, size=ordered.clusters)
        weights = np.bincount(drawn, minlength=ordered.clusters)[ordered.cluster].astype(np.float64)
        if weights[ordered.inside].any() and weights[~ordered.inside].any():
            true, false = ordered.totals(weights)
            draws.append([*(above(true, false, most) for most in false_positive_rates), area(true, false)])
    return np.array(draws)


@dataclass(frozen=True)
class Ordered:
    """Scores from the highest to the lowest, ready to be weighed.

    Attributes:
        inside: bool [n].
        cluster: int [n], number of the compound, 0 .. clusters - 1.
        last: int [groups], place of the last of each group of equal scores.
    """

    inside: NDArray[np.bool_]
    cluster: NDArray[np.integer]
    last: NDArray[np.integer]
    clusters: int

    @staticmethod
    def of(scored: GuessScores) -> "Ordered":
        """Sort once for all resamples."""
        order = np.argsort(-scored.scores, kind="stable")
        names, cluster = np.unique(scored.compounds, return_inverse=True)
        return Ordered(scored.inside[order], cluster[order], group_ends(scored.scores[order]), len(names))

    def totals(self, weights: NDArray[np.floating]) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """Weight above each distinct score and at it, and nothing before: [groups + 1] of those inside, and of those outside."""
        true, false = np.cumsum(weights * self.inside)[self.last], np.cumsum(weights * ~self.inside)[self.last]
        return np.concatenate([[0.0], true]), np.concatenate([[0.0], false])


def area(true: NDArray[np.floating], false: NDArray[np.floating]) -> float:
    """AUC of totals."""
    return float(np.trapezoid(true, false) / (true[-1] * false[-1]))


def above(true: NDArray[np.floating], false: NDArray[np.floating], false_positive_rate: float) -> float:
    """Share inside that the lowest threshold passes at which at most that share outside passes too."""
    place = np.searchsorted(false, allowed(float(false[-1]), false_positive_rate), side="right") - 1
    return float(true[place] / true[-1])


def group_ends(ordered: NDArray[np.floating]) -> NDArray[np.integer]:
    """Where each group of equal values ends."""
    return np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))


def curve(inside: NDArray[np.floating], outside: NDArray[np.floating]) -> tuple[list[float], list[float]]:
    """False and true positive rates at falling thresholds, both ascending from 0 to 1, at most 200 of each.

    Half of the points lie evenly and half by orders of magnitude, since it is the smallest rates of false positives that matter.
    """
    scores = np.concatenate([inside, outside])
    order = np.argsort(-scores, kind="stable")
    last = group_ends(scores[order])
    hits = np.cumsum(order < len(inside))[last]
    true = np.concatenate([[0.0], hits / len(inside)])
    false = np.concatenate([[0.0], (last + 1 - hits) / len(outside)])
    if len(true) > POINTS:
        half = POINTS // 2
        wanted = np.concatenate([np.linspace(0, 1, half), np.geomspace(1 / len(outside), 1, half - 1)])
        chosen = np.unique(np.append(np.searchsorted(false, wanted, side="right") - 1, 0))
        true, false = true[chosen], false[chosen]
    return false.tolist(), true.tolist()
