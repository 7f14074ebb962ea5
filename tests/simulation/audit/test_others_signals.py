"""What a partner finds in the rounds' sums, once its own words are off, where each compound's share of them is known."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from simulation.audit.others_signals import OTHERS, others_signals, without_own
from simulation.audit.regression import Structures
from simulation.audit.scenario import ATTACKER
from strategies.update.leakage import Library

COMPOUNDS, BITS, WIDTH, ROUNDS, PARTNERS = 120, 900, 16, 6, 3


class Federation:
    """Rows are sums of what compounds send back, the same way in every round but for noise; half of the compounds are trained on."""

    def __init__(self) -> None:
        generator = np.random.default_rng(0)
        self.holds = generator.random((COMPOUNDS, BITS)) < 0.05
        self.owners = np.repeat(np.arange(PARTNERS), COMPOUNDS // PARTNERS)
        self.members = generator.random(COMPOUNDS) < 0.5
        self.columns = np.flatnonzero(self.holds.sum(axis=0) >= 4)
        vectors = generator.normal(size=(COMPOUNDS, WIDTH)) * self.members[:, None]
        sent = [vectors + generator.normal(size=vectors.shape) * self.members[:, None] / 2 for _ in range(ROUNDS)]
        updates = [[self.rows(each, self.owners == partner) for partner in range(PARTNERS)] for each in sent]
        self.means = [np.mean(each, axis=0).astype(np.float32) for each in updates]
        self.own = [each[ATTACKER] for each in updates]
        self.library = Library(np.concatenate([[0], np.cumsum(self.holds.sum(axis=1))]), np.nonzero(self.holds)[1].astype(np.int32), BITS)

    def rows(self, vectors: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        return (self.holds[chosen].T.astype(float) @ vectors[chosen])[self.columns].astype(np.float32)

    def signals(self, every: bool = True) -> dict[str, np.ndarray]:
        structures = Structures.of(self.library, np.arange(COMPOUNDS), self.columns)
        listed = self.holds[:, self.columns]
        indptr, indices = np.concatenate([[0], np.cumsum(listed.sum(axis=1))]), np.nonzero(listed)[1].astype(np.int32)
        return others_signals(indptr, indices, without_own(self.means, self.own, PARTNERS), structures, every)


@pytest.fixture(scope="module")
def federation() -> Federation:
    return Federation()


def told_apart(federation: Federation, values: np.ndarray, chosen: np.ndarray) -> float:
    return float(roc_auc_score(federation.members[chosen], values[chosen]))


def test_a_regression_of_what_is_left_tells_others_compounds_that_were_trained_on(federation: Federation) -> None:
    found, others = federation.signals(), federation.owners != ATTACKER
    assert set(found) == set(OTHERS)
    assert told_apart(federation, found["explained_others"], others) > 0.95
    assert told_apart(federation, found["steady_others"], others) >= told_apart(federation, found["explained_others"], others)


def test_without_its_own_words_nothing_of_its_own_compounds_is_left(federation: Federation) -> None:
    own = federation.owners == ATTACKER
    found = federation.signals()
    assert max(found["steady_others"][own & federation.members]) < np.median(found["steady_others"][~own & federation.members])
    for left, mean, own_part in zip(without_own(federation.means, federation.own, PARTNERS), federation.means, federation.own, strict=True):
        np.testing.assert_allclose(left * PARTNERS + own_part, mean * PARTNERS, atol=1e-4)


def test_without_a_guard_the_last_round_alone_is_regressed(federation: Federation) -> None:
    last, all_rounds = federation.signals(every=False), federation.signals()
    assert told_apart(federation, last["explained_others"], federation.owners != ATTACKER) > 0.9
    np.testing.assert_array_equal(last["movement_others"], all_rounds["movement_others"])
