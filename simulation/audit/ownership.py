"""Whose compounds there are, who wants to know, and which of them an attack on ownership is told and asked about."""

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from simulation.audit.findings import Finding
from simulation.audit.pool import Pool
from simulation.audit.statistics import Estimate

KNOWN = 0.25  # share of every other partner's trained compounds that the attacker is given


class TooFewError(ValueError):
    """Too few compounds to draw anchors and targets from."""


@dataclass(frozen=True)
class Case:
    """Whose compounds there are, and who attacks.

    Attributes:
        fingerprints: CSR of 0 and 1, float32 [N, bits].
        owners: int32 [N], number of the partner.
        single: bool [N], whether no other compound has that fingerprint: one that two partners hold has no single owner.
        members: bool [N], trained on.
        insiders: Numbers of the partners that attack together, with the coordinator where they are several.
        defences: As in `Finding`.
    """

    fingerprints: csr_array
    owners: NDArray[np.int32]
    single: NDArray[np.bool_]
    members: NDArray[np.bool_]
    insiders: tuple[int, ...]
    defences: str

    @classmethod
    def of(cls, pool: Pool, members: NDArray[np.bool_], insiders: tuple[int, ...], defences: str) -> "Case":
        """The compounds of a pool."""
        ones = np.ones(len(pool.indices), dtype=np.float32)
        fingerprints = csr_array((ones, pool.indices, pool.indptr), shape=(len(pool.owners), pool.bits))
        single = np.bincount(pool.structures)[pool.structures] == 1
        return cls(fingerprints, pool.owners, single, members, insiders, defences)

    @property
    def others(self) -> list[int]:
        """Partners under attack, ascending."""
        return sorted(set(self.owners.tolist()) - set(self.insiders))

    def finding(self, attack: str, what: str, estimate: Estimate, note: str) -> Finding:
        """A difference from chance, which is 0. It is gated for a single partner: all but one of a row's supporters may be insiders."""
        alone = len(self.insiders) <= 1
        return Finding(
            name="attribution",
            attack=attack,
            adversary="partner" if alone else "coordinator with partners",
            defences=self.defences,
            what=what,
            chance=0.0,
            gate=0.0 if alone else None,
            judged="lower",
            note=note,
            **asdict(estimate),
        )


def draw(case: Case, generator: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Anchors, whose owner the attacker is told, and targets: of each other partner as many that were trained on as that were not.

    Raises:
        ValueError: Fewer than two others.
        TooFewError: One of them has fewer than two compounds that were trained on, or none that was not.
    """
    if len(case.others) < 2:
        raise ValueError("with one partner outside the attack there is nothing to guess")
    anchors, targets = [], []
    for partner in case.others:
        single = case.single & (case.owners == partner)
        trained, left_out = (generator.permutation(np.flatnonzero(single & (case.members == inside))) for inside in (True, False))
        if len(trained) < 2 or not len(left_out):
            raise TooFewError(f"partner {partner} has {len(trained)} compounds trained on and {len(left_out)} not, too few to attribute")
        first = max(1, int(KNOWN * len(trained)))
        count = min(len(trained) - first, len(left_out))
        anchors.append(trained[:first])
        targets += [trained[first : first + count], left_out[:count]]
    return np.concatenate(anchors), np.concatenate(targets)
