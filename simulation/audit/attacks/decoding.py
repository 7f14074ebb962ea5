"""Whole fingerprints out of one update, without any list of candidates.

Rows of the first layer are sums of compounds' vectors, U = X^T A with X of 0 and 1. Of fewer compounds than hidden units the vectors are
independent, so that rows span a space of as many dimensions as there are compounds. The rows with most twins are likely to be single
compounds' vectors, a basis of that space; in the right basis every row has coefficients of 0 and 1, which say who holds the bit.
A vector of the basis that is a sum itself gives itself away by coefficients of -1 for its other parts, which are then taken off it.

The counterpart for dense input is SPEAR (Dimitrov et al., NeurIPS 2024, arXiv 2403.03945). Nothing is decoded of more compounds than
half the width, nor of Adam's steps, which are not linear in the gradient: only the very first of them, -rate * g / (|g| + 1e-8), could be
undone, and what tells g from its sign there is lost when the update is rounded to 24 bits.
"""

from dataclasses import asdict
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from fedapp.data.dataset import Dataset
from fedapp.model.batches import assemble
from fedapp.model.losses import mean_loss
from fedapp.model.network import Heads, Trunk
from simulation.audit.attacks.rows import Target, views
from simulation.audit.findings import AuditOutcome, Finding
from simulation.audit.scenario import Scenario
from simulation.audit.statistics import at_most, rate
from strategies.update.leakage import Library, present_rows, twin_groups

ATTACK, NAME, GATE = "decoding of whole fingerprints", "decoded_fingerprints", 0.001
SAME = 1 - 1e-6  # cosine of rows that are one but for rounding
FITS = 1e-3  # share of a row's length that others do not explain, above which it is independent of them
SPAN = 1e-2  # the same for a space of rows, with a margin for rows that are one
WHOLE = 0.05  # a coefficient no farther than that from a whole number counts as one
MOST_CHANGES = 4  # of the base, for each of its vectors
CONTROL_COMPOUNDS, CONTROL_WIDTH = 64, 256

partners_finding = partial(Finding, name=NAME, attack=ATTACK, adversary="partner")


def decode(update: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Fingerprints that a sum of single compounds' vectors decodes to.

    Args:
        update: Change of the first layer, [bits, width].
    Returns:
        bool [found, bits]; none of more than width / 2 compounds, where a basis would fit anything. Bits whose rows do not decode are
        missing.
    """
    rows = np.flatnonzero(present_rows(update))
    values = update[rows].astype(np.float64)
    base = values[[] if surely_too_many(values) else first_base(values)]
    fingerprints = np.zeros((len(base), len(update)), dtype=np.bool_)
    if len(base):
        shares = refined(coefficients(base, values))
        nearest = np.clip(np.rint(shares), 0, 1)
        fingerprints[:, rows] = ((nearest == 1) & (np.abs(shares - nearest).max(axis=1) <= WHOLE)[:, None]).T
    return fingerprints


def surely_too_many(values: NDArray[np.float64]) -> bool:
    """Whether no width / 2 rows can span all of them, seen at some of them: far quicker than to look for a base.

    Were all rows within a share t of their length of a space of k dimensions, then singular value k + 1 would be at most t times the
    Frobenius norm (Eckart and Young, Psychometrika 1(3), 1936).
    """
    width = values.shape[1]
    some = values[:: max(1, len(values) // (2 * width))]
    return len(some) > width // 2 and bool(np.linalg.svd(some, compute_uv=False)[width // 2] > SPAN * np.linalg.norm(some))


def first_base(values: NDArray[np.float64]) -> list[int]:
    """Independent rows that span all rows, those with most twins first; empty if they are more than half of the width."""
    order = np.argsort(np.linalg.norm(values, axis=1), kind="stable")
    twins = np.zeros(len(values), dtype=np.int64)
    for group in twin_groups(values.astype(np.float32), alike=SAME):
        twins[group[0]], twins[group[1:]] = len(group), -1
    order = order[np.argsort(-twins[order], kind="stable")]
    directions, base = np.empty((0, values.shape[1])), []
    for row in order[twins[order] >= 0].tolist():
        left = values[row] - (values[row] @ directions.T) @ directions
        left -= (left @ directions.T) @ directions
        if np.linalg.norm(left) > FITS * np.linalg.norm(values[row]):
            directions = np.concatenate([directions, left[None] / np.linalg.norm(left)])
            base.append(row)
            if 2 * len(base) > values.shape[1]:
                return []
    return base


def coefficients(base: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of each row in that base, by least squares: [rows, base]."""
    return np.asarray(np.linalg.lstsq(base.T, values.T, rcond=None)[0].T)


def refined(coefficients: NDArray[np.float64]) -> NDArray[np.float64]:
    """The coefficients once vectors of the base that are sums are taken apart.

    With p - q in the place of a vector p, the coefficients of p are added to those of q; with p + q, they are taken off them. The change
    that brings all coefficients nearest to 0 and 1 is made first, until none does.
    """
    refined, count = coefficients.copy(), coefficients.shape[1]
    for _ in range(MOST_CHANGES * count):
        numbers = np.rint(refined)
        single = [(numbers == sign).astype(np.float32).T for sign in (1, -1)]
        added, taken = (distance(numbers) - distance(numbers + step) for step in (1, -1))
        gains = np.stack([single[0] @ added + single[1] @ taken, single[0] @ taken + single[1] @ added])
        gains[:, np.arange(count), np.arange(count)] = 0
        way, changed, other = np.unravel_index(int(np.argmax(gains)), gains.shape)
        if gains[way, changed, other] <= 0:
            break
        refined[:, other] += (1, -1)[way] * refined[:, changed]
    return refined


def distance(numbers: NDArray[np.float64]) -> NDArray[np.float32]:
    """How far numbers are from both 0 and 1."""
    return np.abs(numbers - np.clip(numbers, 0, 1)).astype(np.float32)


def control_update(dataset: Dataset, rows: NDArray[np.int64], width: int = CONTROL_WIDTH, seed: int = 0) -> NDArray[np.float32]:
    """The first layer's gradient of one step on these compounds, as plain gradient descent would send it: [bits, width]."""
    trunk, heads = Trunk(dataset.bits, [width], seed), Heads(width, len(dataset.tasks), seed, dataset.name)
    batch = assemble(dataset, rows, torch.from_numpy(dataset.task_weights))
    mean_loss(heads(trunk(batch.bits), batch.pairs), batch).backward()
    assert trunk.weight.grad is not None
    return trunk.weight.grad.numpy().copy()


def exact(decoded: NDArray[np.bool_], library: Library) -> NDArray[np.bool_]:
    """Candidates whose whole fingerprint is among those decoded, bool [decoded, bits]: bool [n]."""
    known = {np.flatnonzero(fingerprint).tobytes() for fingerprint in decoded}
    parts = np.split(library.indices.astype(np.int64), library.indptr[1:-1])
    return np.array([np.sort(part).tobytes() in known for part in parts], dtype=np.bool_)


def attack(scenario: Scenario) -> AuditOutcome:
    """Compounds trained on that the rows of a round, or of all, spell out; the worst of them."""
    target, sums = Target.of(scenario.pool, scenario.target), list(views(scenario.target, scenario.defences))
    best = max((int(exact(decode(view.update), target.library)[target.members].sum()) for view in sums), default=0)
    finding = partners_finding(
        defences=scenario.defences,
        what="Share of compounds trained on whose whole fingerprint the sum gives away without any list.",
        chance=0.0,
        gate=GATE,
        judged="upper",
        note=f"Worst of {len(sums)} updates.",
        **asdict(at_most(rate(best, int(target.members.sum())), best)),
    )
    return AuditOutcome(findings=(finding,))


def control(scenario: Scenario) -> AuditOutcome:
    """The same attack where it is known to work: one plain step on 64 compounds, or all if there are fewer; no guard, no partner beside."""
    dataset = scenario.pool.largest
    count = min(CONTROL_COMPOUNDS, len(dataset.folds))
    rows = np.sort(scenario.generator.choice(len(dataset.folds), count, replace=False))
    library = Library(*dataset.fingerprints(rows), dataset.bits)
    decoded = exact(decode(control_update(dataset, rows)), library)
    finding = partners_finding(
        defences=scenario.defences,
        what=f"Share of {count} compounds whose whole fingerprint one plain gradient step gives away.",
        chance=0.0,
        **asdict(rate(int(decoded.sum()), count)),
    )
    return AuditOutcome(findings=(finding,))
