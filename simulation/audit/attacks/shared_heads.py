"""What shared heads tell those who hold them: who was trained on, which labels, and which partners measure an endpoint.

A shared head is one regression, logistic or of values, learned by all partners who measure its endpoint, and everybody has it after each
round. So it is attacked as a trunk is, compound by compound, and beyond that for labels, which no trunk tells. Judged are compounds with a
label in a head that their own partner has a part in: of others it can know nothing.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from math import nan

import numpy as np
from numpy.typing import NDArray

from fedapp.data.catalogue import NO_SLOT, catalogue_of
from fedapp.model.shared_heads import in_common_units
from simulation.audit.attacks.attribution import LEVEL, in_words, unit
from simulation.audit.attacks.membership import GATE, SUPPORT, MembershipAttack, combined, curve_of, overall, signals_of
from simulation.audit.federations import Trial
from simulation.audit.findings import CONTROL, OFF, AuditOutcome, Curve, Finding
from simulation.audit.ownership import Case, TooFewError, draw
from simulation.audit.scenario import ATTACKER, Scenario
from simulation.audit.shared_signals import ASKED, SHARED, SharedLabels, features, outputs
from simulation.audit.signals import ROUNDS
from simulation.audit.statistics import Estimate, GuessScores, measured, newcombe
from simulation.federation import declared_slots

LIRA = (
    MembershipAttack("membership_shared_heads", "LiRA on shared heads", "partner", SHARED, GATE),
    MembershipAttack("membership_shared", "LiRA on shared heads, trunks and row list", "partner", (*SHARED, *ROUNDS, SUPPORT), GATE),
)
FEWEST_HEADS = 3  # to compare a partner's with each other
NONE = "Not tried: no shared head has partners enough with labels enough among so few compounds."


def attack(scenario: Scenario) -> AuditOutcome:
    """All attacks on shared heads; none without a catalogue."""
    if not scenario.target.slots.size:
        return AuditOutcome()
    findings = [labels_told(scenario), *holders_told(scenario)]
    return membership(scenario) + AuditOutcome(findings=tuple(findings))


# Who was trained on


def membership(scenario: Scenario) -> AuditOutcome:
    """LiRA on shared heads, by themselves and with all else that a partner has, of three trials or more."""
    trials, signals = scenario.trials, signals_of(scenario)
    members, structures = np.stack([trial.members for trial in trials]), np.tile(scenario.pool.structures, (len(trials), 1))
    asked = signals[ASKED] > 0
    findings: list[Finding] = []
    curves: list[Curve] = []
    for way in LIRA:
        if not (members & asked).any() or not (~members & asked).any():
            findings.append(untold(way, scenario))
            continue
        scores = combined([signals[name] for name in way.signals if name in signals], members)
        scored = GuessScores(scores[asked], members[asked], structures[asked])
        findings += overall(way, scored, scenario, "compounds of shared heads")
        curves.append(curve_of(way, scored, scenario))
    return AuditOutcome(findings=tuple(findings), curves=tuple(curves))


def untold(way: MembershipAttack, scenario: Scenario) -> Finding:
    """A gate of which nothing can be told."""
    return Finding(
        name=way.name,
        attack=way.title,
        adversary=way.adversary,
        defences=scenario.defences,
        what="Share of the compounds of shared heads trained on that are recognised.",
        chance=0.0,
        gate=way.gate,
        note=NONE,
        **asdict(Estimate(nan, 0.0, 1.0, 0)),
    )


# Which labels


def labels_told(scenario: Scenario) -> Finding:
    """How much more often the last shared head is right of a label that another partner trained on than of one that it left out.

    What it says rightly of labels that nobody trained on, it has learned of the endpoint: that is what it is for. One label of a compound
    is asked about, chosen at random, so that they are independent; of a value, on which side of its head's centre it lies.
    """
    pool, target, generator = scenario.pool, scenario.target, scenario.generator
    slots_of_tasks, catalogue = own_slots(scenario), catalogue_of(scenario.config)
    pairs = zip(pool.datasets.values(), slots_of_tasks, strict=True)
    labels = SharedLabels.of([in_common_units(dataset, slots, catalogue) for dataset, slots in pairs], slots_of_tasks)
    known, signs = np.isin(pool.structures, pool.structures[pool.owners == ATTACKER]), labels.signs
    shuffled = generator.permutation(np.flatnonzero(~known[labels.compounds] & (signs != 0)))
    compounds, first = np.unique(labels.compounds[shuffled], return_index=True)
    chosen, inside = shuffled[first], target.members[compounds]
    finding = partial(
        Finding,
        name="shared_labels",
        attack="label from a shared head",
        adversary="partner",
        defences=scenario.defences,
        what="How much more often a shared head gives the right label for others' compounds that were trained on than for their others.",
        chance=0.0,
        judged="lower",
    )
    if inside.all() or not inside.any():
        return finding(note=NONE, **asdict(Estimate(nan, -1.0, 1.0, 0)))
    seen = features(target.trunks[-1], pool.indptr, pool.indices)[compounds]
    hits = outputs(seen, target.trunks[-1][-1], labels.slots[chosen]) * signs[chosen] > 0
    counts = [(int(hits[inside == side].sum()), int((inside == side).sum())) for side in (True, False)]
    difference = counts[0][0] / counts[0][1] - counts[1][0] / counts[1][1]
    estimate = Estimate(difference, *newcombe(*counts[0], *counts[1], LEVEL), len(hits))
    note = f"Right for {in_words(counts[0])} trained on and {in_words(counts[1])} others: what the head has learned of the endpoint."
    return finding(note=note, **asdict(estimate))


def own_slots(scenario: Scenario) -> list[NDArray[np.int32]]:
    """Of each partner's tasks the shared head that the partner has a part in, -1 without: int32 [tasks]."""
    target, found = scenario.target, []
    for dataset, holds in zip(scenario.pool.datasets.values(), target.holders, strict=True):
        slots = declared_slots(dataset, scenario.config)
        found.append(np.where(np.append(target.slots & holds, False)[slots], slots, NO_SLOT).astype(np.int32))
    return found


# Who measures an endpoint


@dataclass(frozen=True)
class Question:
    """Which other partners have a part in heads that the attacker has one in, too.

    Attributes:
        slots: int64 [asked], heads in which some others have a part, and some do not.
        others: Numbers of the other partners.
        holds: bool [asked, others], the truth.
    """

    slots: NDArray[np.int64]
    others: list[int]
    holds: NDArray[np.bool_]

    @classmethod
    def of(cls, trial: Trial) -> "Question":
        """About the heads of a trial."""
        others = [partner for partner in range(len(trial.holders)) if partner != ATTACKER]
        holds = trial.holders[others].T
        slots = np.flatnonzero(trial.slots & trial.holders[ATTACKER] & holds.any(axis=1) & ~holds.all(axis=1))
        return cls(slots, others, holds[slots])


def holders_told(scenario: Scenario) -> list[Finding]:
    """Who has a part in a shared head, from the sums of all rounds, from what is left of the last one without the attacker's own, and,
    where each update is in the clear, from its presence words."""
    target, generator = scenario.target, scenario.generator
    assert target.words is not None and target.form is not None
    question = Question.of(target)
    finding = partial(
        Finding,
        name="endpoint_holders",
        adversary="partner",
        defences=scenario.defences,
        what="Chance that a partner who measures an endpoint is told from one who does not, of those that the attacker measures (AUC).",
        chance=0.5,
    )
    try:
        anchors, _ = draw(Case.of(scenario.pool, target.members, (ATTACKER,), scenario.defences), generator)
    except TooFewError as error:
        return [finding(attack="endpoints from sums", note=f"Not tried: {error}.", **asdict(Estimate(nan, 0.0, 1.0, 0)))]
    if len(question.slots) < FEWEST_HEADS:
        note = f"Not tried: there are fewer than {FEWEST_HEADS} shared heads of the attacker in which some others have a part, and not all."
        return [finding(attack="endpoints from sums", note=note, **asdict(Estimate(nan, 0.0, 1.0, 0)))]
    sent = own_heads(target, ATTACKER)[question.slots]
    means = [mean[-1][question.slots] for mean in target.means]
    count = question.holds.sum(axis=1)[:, None] + 1
    told, rest, own = (ranked(scenario, question, anchors, updates) for updates in (means, [means[-1] * count - sent], [sent]))
    note = (
        f"{len(question.slots)} shared heads. The attacker's own update alone, that is chemistry, gives "
        f"{area(question, own, generator).value:.3f}. The attacker is given a quarter of every other partner's trained compounds, a strong "
        "assumption, and how many partners have a part it knows."
    )
    findings = [
        finding(attack="endpoints from sums", note=note, **asdict(area(question, told, generator))),
        finding(attack="endpoints from sums without one's own", note=note, **asdict(area(question, rest, generator))),
    ]
    if scenario.defences == OFF:
        present = np.stack([present_in(target, partner)[question.slots] for partner in question.others], axis=1)
        shown = finding(
            attack="presence words", note="Plain averaging: no masks.", **asdict(area(question, present.astype(np.float64), generator))
        )
        findings.append(replace(shown, adversary="coordinator", defences=CONTROL))
    return findings


def ranked(
    scenario: Scenario, question: Question, anchors: NDArray[np.int64], updates: Sequence[NDArray[np.float32]]
) -> NDArray[np.float64]:
    """How alike the updates of heads and each other partner's known compounds are, beyond what is usual of that partner: [asked, others].

    The update of a head is a sum of features of compounds, those of partners who have a part in it. So they are compared as directions, by
    squared cosine, since actives and inactives pull opposite ways; less what all compounds have in common.

    Args:
        anchors: Compounds whose owners are known.
        updates: Of the last rounds, float32 [asked, width + 1] each.
    """
    pool, trunks = scenario.pool, scenario.target.trunks[:-1]
    total = np.zeros((len(question.slots), len(question.others)))
    for trunk, update in zip(trunks[-len(updates) :], updates, strict=True):
        seen = features(trunk, pool.indptr, pool.indices)[anchors]
        squared = (unit(update[:, :-1]) @ unit(seen - seen.mean(axis=0)).T) ** 2
        total += np.stack([squared[:, pool.owners[anchors] == partner].mean(axis=1) for partner in question.others], axis=1)
    return total / np.maximum(total.mean(axis=0), 1e-12)


def area(question: Question, scores: NDArray[np.float64], generator: np.random.Generator) -> Estimate:
    """Area under the curve of scores within each head, [asked, others], with an interval over heads."""
    heads = np.repeat(np.arange(len(scores)), scores.shape[1])
    centred = scores - scores.mean(axis=1, keepdims=True)
    _, found = measured(GuessScores(centred.ravel(), question.holds.ravel(), heads), (), generator)
    return found


def own_heads(trial: Trial, partner: int) -> NDArray[np.float32]:
    """One partner's own update of the shared heads in the last round: float32 [slots, width + 1], 0 where it has no part."""
    assert trial.words is not None and trial.form is not None
    form = trial.form
    heads = np.zeros((len(trial.slots), form.slot_width), dtype=np.float32)
    blocks = form.blocks(trial.words[partner])[:, :-1]
    ranged = form.quantiser(trial.value_range)
    heads[form.slots] = ranged.mean(np.ascontiguousarray(blocks).view(ranged.sum_type).ravel(), 1).reshape(blocks.shape)
    return heads


def present_in(trial: Trial, partner: int) -> NDArray[np.bool_]:
    """In which shared heads a partner's words say that it has a part: bool [slots]."""
    assert trial.words is not None and trial.form is not None
    present = np.zeros(len(trial.slots), dtype=np.bool_)
    present[trial.form.slots] = trial.form.blocks(trial.words[partner])[:, -1] != 0
    return present
