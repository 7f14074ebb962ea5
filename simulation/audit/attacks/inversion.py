"""Fingerprints by optimisation: made-up compounds are changed until their gradient points the way that the update does.

Deep leakage from gradients (Zhu et al., NeurIPS 2019, arXiv 1906.08935), with the cosine that Geiping et al. match (NeurIPS 2020, arXiv
2003.14053) and a prior for bits: each lies between 0 and 1 and is driven to one of them. Heads and labels are secret, so what comes back
through the trunk is free for every dummy and hidden unit, but for the units that the trunk's weights say are off.
"""

from dataclasses import asdict, dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedapp.data.dataset import Dataset
from fedapp.model.adam import Adam
from fedapp.model.batches import assemble
from fedapp.model.losses import mean_loss
from fedapp.model.network import Heads, Trunk
from simulation.audit.attacks.rows import Target
from simulation.audit.findings import AuditOutcome, Finding
from simulation.audit.scenario import Scenario
from simulation.audit.statistics import CONFIDENCE, Estimate
from strategies.update.leakage import Library, present_rows

ATTACK, NAME = "optimisation-based inversion", "inverted_fingerprints"
CONTROL_COMPOUNDS, CONTROL_WIDTH = 4, 256
DUMMIES = 32  # made-up compounds for a sum of many
MOST_ROWS = 1024  # of the longest rows that are matched; more cost time and, at this many dummies, tell nothing
STEPS, RATE = 400, 0.05
SHARP = 20.0  # slope of the smooth step that stands for a unit's being on, in units of a unit's spread
BINARY = 0.2  # weight of the prior for bits in the last step; it grows from 0
DRAWS = 400
CHANCE = "The chance is the same for compounds that were not trained on."

partners_finding = partial(Finding, name=NAME, attack=ATTACK, adversary="partner")


@dataclass(frozen=True)
class Problem:
    """What is matched, of `rows` rows and `width` hidden units.

    Attributes:
        rows: int64 [rows], bits.
        update: float32 [rows, width], their change.
        bias: float32 [width], the bias's change, the sum of all vectors.
        weight, start: float32 [rows, width] and [width], weights and bias before.
    """

    rows: NDArray[np.int64]
    update: Tensor
    bias: Tensor
    weight: Tensor
    start: Tensor

    @staticmethod
    def of(before: list[np.ndarray], mean: list[np.ndarray]) -> "Problem":
        """Of a trunk and the mean update to it: the rows that changed, the longest first."""
        update = mean[0]
        rows = np.flatnonzero(present_rows(update))
        longest = np.argsort(-np.linalg.norm(update[rows], axis=1), kind="stable")[:MOST_ROWS]
        rows = np.sort(rows[longest])
        parts = (update[rows], mean[1], before[0][rows], before[1])
        return Problem(rows, *(torch.from_numpy(np.array(part, dtype=np.float32)) for part in parts))


def invert(problem: Problem, dummies: int, seed: int) -> NDArray[np.float32]:
    """Bits of made-up compounds whose gradient matches: float32 [dummies, rows], between 0 and 1.

    Dummies start at rows that are as unlike each other as can be: a row of few compounds is much like one of theirs.
    """
    generator = torch.Generator().manual_seed(seed)
    back = unlike_rows(problem.update, dummies, generator)
    alike = torch.nn.functional.normalize(problem.update, dim=1) @ torch.nn.functional.normalize(back, dim=1).T
    bits = (4 * alike.T - 2).contiguous().requires_grad_()
    back = (back / back.norm(dim=1).mean()).requires_grad_()
    adam = Adam([bits, back], RATE, weight_decay=0.0)
    for step in range(STEPS):
        adam.zero_grad()
        fingerprints = torch.sigmoid(bits)
        loss = mismatch(problem, fingerprints, back) + BINARY * step / STEPS * (4 * fingerprints * (1 - fingerprints)).mean()
        torch.autograd.backward(loss)
        adam.step()
    return torch.sigmoid(bits.detach()).numpy()


def unlike_rows(update: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Rows drawn one after another, each with a chance that grows with its distance from all before (k-means++): [count, width].

    Source: D. Arthur, S. Vassilvitskii, SODA 2007, section 2.2.
    """
    unit = torch.nn.functional.normalize(update, dim=1)
    chosen = [int(torch.randint(len(unit), (1,), generator=generator))]
    while len(chosen) < count:
        distance = (1 - (unit @ unit[chosen].T).amax(1)).clamp(min=0) ** 2 + 1e-9
        chosen.append(int(torch.multinomial(distance, 1, generator=generator)))
    return update[chosen].clone()


def mismatch(problem: Problem, bits: Tensor, back: Tensor) -> Tensor:
    """One minus the cosine of the dummies' gradient and the update, rows and bias."""
    inside = bits @ problem.weight + problem.start
    on = torch.sigmoid(SHARP * inside / inside.detach().std().clamp(min=1e-12))
    vectors = back * on
    made = torch.cat([bits.T @ vectors, vectors.sum(0, keepdim=True)]).flatten()
    seen = torch.cat([problem.update, problem.bias[None]]).flatten()
    return 1 - torch.nn.functional.cosine_similarity(made, seen, dim=0)


def tanimoto(inverted: NDArray[np.bool_], library: Library, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Tanimoto similarity of inverted fingerprints and candidates over these rows: [inverted, n]; 0 where both are empty."""
    place = np.full(library.bits, -1)
    place[rows] = np.arange(len(rows))
    candidates = np.zeros((len(library.indptr) - 1, len(rows)), dtype=np.float32)
    seen = place[library.indices] >= 0
    candidates[library.owner[seen], place[library.indices[seen]]] = 1
    common = inverted.astype(np.float32) @ candidates.T
    union = inverted.sum(axis=1)[:, None] + candidates.sum(axis=1)[None] - common
    return np.divide(common, union, out=np.zeros(common.shape), where=union > 0)


def attack(scenario: Scenario) -> AuditOutcome:
    """How like compounds trained on what inversion of the first and of the last round's sum finds is, and how like others.

    The generator draws the search, as many others as there are compounds trained on, and resamples for the interval.
    """
    generator, trial = scenario.generator, scenario.target
    target = Target.of(scenario.pool, trial)
    members, others = np.flatnonzero(target.members), np.flatnonzero(~target.members)
    count = min(len(members), len(others))
    members, others = generator.permutation(members)[:count], generator.permutation(others)[:count]
    best: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None
    for before, mean in ((trial.trunks[0], trial.means[0]), (trial.trunks[-2], trial.means[-1])):
        problem = Problem.of(before, mean)
        if len(problem.rows) < DUMMIES:
            continue
        inverted = invert(problem, DUMMIES, int(generator.integers(1 << 31))) > 0.5
        alike = tanimoto(inverted, target.library, problem.rows)
        pair = alike[:, members].max(axis=1), alike[:, others].max(axis=1)
        if best is None or (pair[0] - pair[1]).mean() > (best[0] - best[1]).mean():
            best = pair
    nothing = np.zeros(DUMMIES)
    mine, chance = (nothing, nothing) if best is None else best
    finding = partners_finding(
        defences=scenario.defences,
        what="Tanimoto similarity of an inverted fingerprint and the compound trained on that is most like it, over the rows matched.",
        chance=float(chance.mean()),
        note=f"Worse of the first and the last round; {count} compounds on either side. {CHANCE}",
        **asdict(similarity(mine, generator)),
    )
    return AuditOutcome(findings=(finding,))


def control(scenario: Scenario) -> AuditOutcome:
    """The same where it is known to work: one plain gradient step on four compounds, or half of a dataset of fewer than eight."""
    dataset, generator = scenario.pool.largest, scenario.generator
    count = min(CONTROL_COMPOUNDS, len(dataset.folds) // 2)
    drawn = generator.permutation(len(dataset.folds))
    trained, others = np.sort(drawn[:count]), np.sort(drawn[count : 2 * count])
    problem = Problem.of(*control_step(dataset, trained))
    inverted = invert(problem, count, int(generator.integers(1 << 31))) > 0.5
    mine, chance = (
        tanimoto(inverted, Library(*dataset.fingerprints(rows), dataset.bits), problem.rows).max(axis=1) for rows in (trained, others)
    )
    finding = partners_finding(
        defences=scenario.defences,
        what=f"Tanimoto similarity of an inverted fingerprint and the nearest of {count} compounds of one plain gradient step.",
        chance=float(chance.mean()),
        note=CHANCE,
        **asdict(similarity(mine, generator)),
    )
    return AuditOutcome(findings=(finding,))


def control_step(dataset: Dataset, rows: NDArray[np.int64]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """First layer and bias before one step of plain gradient descent at rate 1, and that step."""
    trunk = Trunk(dataset.bits, [CONTROL_WIDTH])
    batch = assemble(dataset, rows, torch.from_numpy(dataset.task_weights))
    heads = Heads(CONTROL_WIDTH, len(dataset.tasks), 0, dataset.name)
    torch.autograd.backward(mean_loss(heads(trunk(batch.bits), batch.pairs), batch))
    before = [parameter.detach().numpy().copy() for parameter in (trunk.weight, trunk.bias)]
    assert trunk.weight.grad is not None
    assert trunk.bias.grad is not None
    return before, [-trunk.weight.grad.numpy(), -trunk.bias.grad.numpy()]


def similarity(mine: NDArray[np.float64], generator: np.random.Generator) -> Estimate:
    """A mean similarity with the middle 95 % of those of resampled dummies."""
    drawn = mine[generator.integers(len(mine), size=(DRAWS, len(mine)))].mean(axis=1)
    lower, upper = np.quantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    value = float(mine.mean())
    return Estimate(value, min(float(lower), value), max(float(upper), value), len(mine))
