"""Whether a compound was trained on: guesses from what adversaries see, calibrated on federations that trained on other halves.

Every trial is attacked in turn with all others as its shadow models. They trained on random halves of the very compounds that are
guessed at, so the adversary knows all of them, just not which ones were used: nobody has more to guess from, and a real one has less.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from simulation.audit.findings import AuditOutcome, Curve, Finding
from simulation.audit.others_signals import OTHERS
from simulation.audit.scenario import ATTACKER, Scenario
from simulation.audit.shared_signals import SHARED
from simulation.audit.signals import ROUNDS, TRUNK, standardised, support_signal
from simulation.audit.statistics import Estimate, GuessScores, curve, measured

JUDGED_AT = 0.001  # rate of false positives; lower ones need more compounds than an audit has
GATE = 3 * JUDGED_AT
RATES = (0.0, JUDGED_AT, 0.01)
PRIOR = 4.0  # degrees of freedom that the variance over all compounds counts for, beside a compound's own
LEAST = 1e-12  # variance, of a standardised signal: below it differences are those of rounding
SUPPORT, SUPPORT_OTHERS = "support", "support_others"
SUREST = 5.0  # log-likelihood ratio of one signal, either way: beyond it an odd value outweighs all other signals
LEAST_WEIGHT = 1e-6  # variance that each signal has at least: a constant one gets no weight


@dataclass(frozen=True)
class MembershipAttack:
    """One way to guess: a name in `gates`, a title, who can do it, from which signals, and the gate at `JUDGED_AT`."""

    name: str
    title: str
    adversary: str
    signals: tuple[str, ...]
    gate: float | None = None


LIRA = (
    MembershipAttack("membership_lira", "LiRA on confidence", "outsider", ("confidence",)),
    MembershipAttack("membership_trunk", "LiRA on the last trunk", "partner", TRUNK, GATE),
    MembershipAttack("membership_trunk_rounds", "LiRA on the trunks of all rounds", "partner", ROUNDS, GATE),
    MembershipAttack("membership_support", "LiRA on the row list", "partner", (SUPPORT,), GATE),
    MembershipAttack("membership_partner", "LiRA on trunks and row list", "partner", (*ROUNDS, SUPPORT), GATE),
)
RMIA = MembershipAttack("membership_rmia", "RMIA on loss", "outsider", ("loss",))
LOSS = MembershipAttack("membership_loss", "loss threshold", "outsider", ("loss",))
SEPARATED = MembershipAttack(
    "membership_separated", "all rounds without one's own share", "partner", (*OTHERS, SUPPORT_OTHERS, *SHARED), GATE
)


def attack(scenario: Scenario) -> AuditOutcome:
    """All membership attacks on three trials or more, of which each is attacked with the others.

    An attack that uses the row list is left out where there is none.

    Returns:
        For each attack, true positives at each of `RATES` (`<name>_at_0`, `<name>`, `<name>_at_1_percent`), AUC (`<name>_auc`), and
        those at `JUDGED_AT` of compounds with and without an active label and of rare scaffolds; and its curve.
    """
    trials, pool = scenario.trials, scenario.pool
    members = np.stack([trial.members for trial in trials])
    signals = signals_of(scenario)
    scores = {way: combined([signals[name] for name in way.signals], members) for way in LIRA if set(way.signals) <= set(signals)}
    scores |= {RMIA: rmia(np.exp(-signals["loss"]), members), LOSS: threshold(signals["loss"])}
    findings: list[Finding] = []
    curves: list[Curve] = []
    for way, values in scores.items():
        scored = GuessScores(values.ravel(), members.ravel(), np.tile(pool.structures, len(trials)))
        findings += overall(way, scored, scenario)
        findings += by_kind(way, scored, scenario)
        curves.append(curve_of(way, scored, scenario))
    known = [signals[name] for name in SEPARATED.signals if name in signals]
    scored = scored_others(weighed(known, members, pool.owners != ATTACKER), scenario)
    findings += [*overall(SEPARATED, scored, scenario, "compounds of others"), *of_one_holder(scored, scenario)]
    curves.append(curve_of(SEPARATED, scored, scenario))
    return AuditOutcome(findings=tuple(findings), curves=tuple(curves))


def scored_others(values: NDArray[np.float64], scenario: Scenario) -> GuessScores:
    """Scores of others' compounds alone: of its own the attacker knows which it trained on, and took them off."""
    trials, pool = scenario.trials, scenario.pool
    others = pool.owners != ATTACKER
    members = np.stack([trial.members for trial in trials])[:, others]
    return GuessScores(values[:, others].ravel(), members.ravel(), np.tile(pool.structures[others], len(trials)))


def of_one_holder(scored: GuessScores, scenario: Scenario) -> list[Finding]:
    """`SEPARATED` on compounds that one other partner alone holds: what several hold is trained on several times, and adds up.

    Nothing where there are none of them inside, or outside.
    """
    alone = np.bincount(scenario.pool.structures)[scored.compounds] == 1
    if not (alone & scored.inside).any() or not (alone & ~scored.inside).any():
        return []
    part = scored.of(alone)
    (judged,), _ = measured(part, (JUDGED_AT,), scenario.generator)
    what, guess = sentence("compounds that one other partner alone holds", "0.1 %"), chance(JUDGED_AT, int((~part.inside).sum()))
    return [rate_finding(SEPARATED, scenario, judged, guess, ending="_alone", what=what)]


def signals_of(scenario: Scenario) -> dict[str, NDArray[np.float32]]:
    """What membership is guessed from, [S, N], of trial and compound: what the trials kept, and, where there is one, the row list, of all
    partners and of the others."""
    trials, pool = scenario.trials, scenario.pool
    signals = {name: np.stack([trial.signals[name] for trial in trials]) for name in trials[0].signals}
    if not all(trial.supports.all() for trial in trials):
        signals[SUPPORT] = np.stack([support_signal(pool.indptr, pool.indices, trial.supports) for trial in trials])
        others = [np.delete(trial.supports, ATTACKER, axis=0) for trial in trials]
        signals[SUPPORT_OTHERS] = np.stack([support_signal(pool.indptr, pool.indices, supports) for supports in others])
    return signals


def combined(signals: Sequence[NDArray[np.floating]], members: NDArray[np.bool_]) -> NDArray[np.float64]:
    """LiRA on several signals: their log-likelihood ratios added up, as if they were independent; float64 [S, N]."""
    return np.sum([lira(values, members) for values in signals], axis=0)


def weighed(signals: Sequence[NDArray[np.floating]], members: NDArray[np.bool_], judged: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Several signals and their log-likelihood ratios, weighed as they tell members apart in all other trials: float64 [S, N].

    The adversary that knows the defences: it trained its shadows with them and learned what they leave.

    Args:
        signals: [S, N] each.
        members: bool [S, N].
        judged: bool [N], the compounds that weights are learned from.
    Source: R. A. Fisher, Annals of Eugenics 7(2), 1936: the linear discriminant.
    """
    known, scores = features(signals, members), np.empty(members.shape)
    for trial in range(len(members)):
        rest = np.arange(len(members)) != trial
        shadows = features([values[rest] for values in signals], members[rest])[:, :, judged].reshape(len(known), -1)
        inside = members[rest][:, judged].ravel()
        spread = np.cov(shadows[:, inside]) + np.cov(shadows[:, ~inside]) + LEAST_WEIGHT * np.eye(len(known))
        apart = shadows[:, inside].mean(axis=1) - shadows[:, ~inside].mean(axis=1)
        scores[trial] = np.tensordot(np.linalg.solve(spread, apart), known[:, trial], axes=1)
    return scores


def features(signals: Sequence[NDArray[np.floating]], members: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Each signal's log-likelihood ratio from the other trials, then each signal: float64 [2 * signals, S, N]."""
    ratios = [np.clip(lira(values, members), -SUREST, SUREST) for values in signals]
    return np.stack([*ratios, *(standardised(values.astype(np.float64)) for values in signals)])


def lira(signals: NDArray[np.floating], members: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Log-likelihood ratio of having been trained on, of each compound in each trial, from all other trials: float64 [S, N].

    A compound's signal is taken as normal, with one mean where it was trained on and another where not, and one variance. With few
    trials that variance is uncertain, so it is drawn towards the mean over all compounds, which counts for `PRIOR` degrees of freedom.
    Where the other trials do not have the compound on both sides, they say nothing: 0.

    Args:
        signals: [S, N], of trial and compound. Standardised within each trial first: what shifts all compounds alike says nothing.
        members: bool [S, N].
    Source: Carlini et al., S&P 2022, arXiv 2112.03570, algorithm 1 (online); the moderated variance is that of G. Smyth, Stat. Appl.
        Genet. Mol. Biol. 3(1), 2004, with a fixed prior, in the place of their one variance for few shadow models (section VI).
    """
    values = standardised(signals.astype(np.float64))
    inside, outside = Others.of(values, members), Others.of(values, ~members)
    squares, freedom = inside.squares + outside.squares, inside.freedom + outside.freedom
    known = freedom.sum(axis=1, keepdims=True)
    common = np.where(known > 0, squares.sum(axis=1, keepdims=True) / np.maximum(known, 1), 1.0)
    variance = np.maximum((squares + PRIOR * common) / (freedom + PRIOR), LEAST)
    ratio = ((values - outside.mean) ** 2 - (values - inside.mean) ** 2) / (2 * variance)
    return np.where((inside.count > 0) & (outside.count > 0), ratio, 0.0)


def rmia(confidence: NDArray[np.floating], members: NDArray[np.bool_], factor: float | None = None) -> NDArray[np.float64]:
    """Share of all compounds z that trial s favours less than compound x, both relative to the other trials: float64 [S, N].

    Args:
        confidence: Probability that a model gives the labels of a compound, [S, N], above 0.
        members: bool [S, N].
        factor: None: reference models on both sides of x (online). A number from 0 to 1: only those not trained on x, whose mean
            probability p stands for ((1 + factor) p + 1 - factor) / 2 (offline).
    Source: Zarifzadeh, Liu, Shokri, ICML 2024, arXiv 2312.03262, with gamma 1, which tells the compounds of a trial apart to the last;
        z are all compounds of the pool, used and unused.
    """
    values = confidence.astype(np.float64)
    inside, outside = Others.of(values, members), Others.of(values, ~members)
    if factor is None:
        usual, known = (inside.mean + outside.mean) / 2, (inside.count > 0) & (outside.count > 0)
    else:
        usual, known = ((1 + factor) * outside.mean + 1 - factor) / 2, outside.count > 0
    ratio = np.divide(values, usual, out=np.ones_like(values), where=known)
    return np.asarray(rankdata(ratio, method="max", axis=1) / ratio.shape[1], dtype=np.float64)


def threshold(loss: NDArray[np.floating]) -> NDArray[np.float64]:
    """The loss attack: the smaller a compound's loss, the likelier it was trained on; needs no other trial. float64 [S, N].

    Source: Yeom et al., CSF 2018, arXiv 1709.01604.
    """
    return np.asarray(standardised(-loss), dtype=np.float64)


@dataclass(frozen=True)
class Others:
    """What all trials but one say of each compound, of those trials in which it is on one side: [S, N] each.

    Attributes:
        count: Such trials.
        mean: Of the values in them; 0 without any.
        squares: Of their distances from the mean, summed.
    """

    count: NDArray[np.int64]
    mean: NDArray[np.float64]
    squares: NDArray[np.float64]

    @property
    def freedom(self) -> NDArray[np.int64]:
        """Degrees of freedom of `squares`."""
        return np.maximum(self.count - 1, 0)

    @staticmethod
    def of(values: NDArray[np.floating], side: NDArray[np.bool_]) -> "Others":
        """Leave each trial out in turn; sums of all minus its own, about a centre that keeps the differences exact."""
        centre = values.mean(axis=0)
        counted = np.where(side, values - centre, 0.0)
        count = side.sum(axis=0) - side.astype(np.int64)
        total = counted.sum(axis=0) - counted
        mean = total / np.maximum(count, 1)
        squares = np.maximum((counted**2).sum(axis=0) - counted**2 - count * mean**2, 0.0)
        return Others(count, np.where(count > 0, mean + centre, 0.0), squares)


def overall(way: MembershipAttack, scored: GuessScores, scenario: Scenario, compounds: str = "compounds") -> list[Finding]:
    """An attack on all compounds scored, in words `compounds`: at each of `RATES`, and its AUC."""
    (none, judged, percent), area = measured(scored, RATES, scenario.generator)
    outside = int((~scored.inside).sum())
    return [
        rate_finding(way, scenario, judged, chance(JUDGED_AT, outside), what=sentence(compounds, "0.1 %"), gate=way.gate),
        rate_finding(way, scenario, none, chance(0.0, outside), ending="_at_0", what=sentence(compounds, "no")),
        rate_finding(way, scenario, percent, chance(0.01, outside), ending="_at_1_percent", what=sentence(compounds, "1 %")),
        rate_finding(way, scenario, area, 0.5, ending="_auc", what="Chance that a compound trained on scores higher than another (AUC)."),
    ]


def curve_of(way: MembershipAttack, scored: GuessScores, scenario: Scenario) -> Curve:
    """Its true against false positives."""
    points = curve(scored.scores[scored.inside], scored.scores[~scored.inside])
    return Curve(way.title, way.adversary, scenario.defences, *points)


def by_kind(way: MembershipAttack, scored: GuessScores, scenario: Scenario) -> list[Finding]:
    """An attack on some of the compounds, at `JUDGED_AT`; a kind of which none is inside, or outside, is left out."""
    pool = scenario.pool
    kinds = {
        "_active": (pool.active, "compounds with an active label"),
        "_inactive": (~pool.active, "compounds without an active label"),
        "_rare": (pool.rare, "compounds whose scaffold is theirs alone"),
    }
    findings = []
    for ending, (kind, compounds) in kinds.items():
        chosen = np.tile(kind, len(scenario.trials))
        if (chosen & scored.inside).any() and (chosen & ~scored.inside).any():
            part = scored.of(chosen)
            (judged,), _ = measured(part, (JUDGED_AT,), scenario.generator)
            guess = chance(JUDGED_AT, int((~part.inside).sum()))
            findings.append(rate_finding(way, scenario, judged, guess, ending=ending, what=sentence(compounds, "0.1 %")))
    return findings


def chance(false_positive_rate: float, outside: int) -> float:
    """True positives of blind guesses. Below one false positive it is the chance of beating all scores outside."""
    return max(false_positive_rate, 1 / (outside + 1))


def sentence(compounds: str, false: str) -> str:
    """What a rate of true positives is."""
    return f"Share of the {compounds} trained on that are recognised, with {false} false positives among such as were not."


def rate_finding(
    way: MembershipAttack, scenario: Scenario, estimate: Estimate, chance: float, *, what: str, ending: str = "", gate: float | None = None
) -> Finding:
    """A rate of one attack; `ending` tells it from the others of that attack by name."""
    return Finding(
        name=way.name + ending,
        attack=way.title,
        adversary=way.adversary,
        defences=scenario.defences,
        what=what,
        chance=chance,
        gate=gate,
        note=f"{len(scenario.trials)} federations, each attacked with all others as shadow models; the interval resamples compounds",
        **asdict(estimate),
    )
