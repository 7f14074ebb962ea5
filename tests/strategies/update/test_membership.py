"""How well compounds that were trained on are told from others, with pools of known truth."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from strategies.update.candidates import MOST, Candidates, drawn
from strategies.update.leakage import Library
from strategies.update.membership import ENOUGH, LEAST, ToldApart, area, beyond_chance, told_apart

BITS, WIDTH = 600, 24


def pool(trained: int, others: int, density: float = 0.08, others_density: float | None = None, seed: int = 0) -> NDArray[np.bool_]:
    """Fingerprints of compounds of one chemistry, or of two of which one holds fewer bits: bool [trained + others, BITS]."""
    random = np.random.default_rng(seed)
    densities = np.repeat([density, others_density or density], [trained, others])
    return random.random((trained + others, BITS)) < densities[:, None]


def candidates(dense: NDArray[np.bool_], trained: int) -> Candidates:
    """The first so many were trained on."""
    indptr = np.concatenate([[0], np.cumsum(dense.sum(axis=1))])
    library = Library(indptr, np.nonzero(dense)[1].astype(np.int32), BITS)
    return Candidates(library, np.arange(len(dense)) < trained)


def update_of(dense: NDArray[np.bool_], seed: int = 1) -> NDArray[np.int32]:
    """X^T A: each of these compounds adds a vector of its own to the rows of its bits; in units of the rounding."""
    vectors = np.random.default_rng(seed).normal(size=(len(dense), WIDTH))
    return np.rint(1000 * (dense.T @ vectors)).astype(np.int32)


@pytest.mark.parametrize("listed", [BITS, 100], ids=["more rows than candidates", "fewer"])
def test_compounds_whose_vectors_are_the_update_are_told_from_others(listed: int) -> None:
    dense, rows = pool(60, 60), np.arange(listed)
    told = told_apart(update_of(dense[:60])[rows], rows, candidates(dense, 60), seed=3)
    assert (told.trained, told.others) == (60, 60)
    assert told.auc > (0.99 if listed == BITS else 0.8) and beyond_chance(told)


@pytest.mark.parametrize("others_density", [0.08, 0.03], ids=["of one chemistry", "the others hold fewer bits"])
@pytest.mark.parametrize("whose", ["noise", "foreign"])
def test_noise_and_the_update_of_somebody_else_tell_no_more_than_chance(whose: str, others_density: float) -> None:
    """Also where trained ones and others could be told apart by how many listed bits they hold."""
    dense, random = pool(400, 400, others_density=others_density), np.random.default_rng(5)
    foreign = update_of(pool(300, 0, seed=9))
    change = foreign if whose == "foreign" else np.rint(1000 * random.normal(size=foreign.shape)).astype(np.int32)
    told = told_apart(change, np.arange(BITS), candidates(dense, 400), seed=3)
    assert abs(told.auc - 0.5) < 0.08
    assert not beyond_chance(told)


def test_bits_of_rows_that_are_not_listed_do_not_count() -> None:
    dense, rows = pool(60, 60), np.arange(0, BITS, 2)
    only = dense.copy()
    only[:, 1::2] = False
    change = update_of(dense[:60])[rows]
    assert told_apart(change, rows, candidates(dense, 60), seed=3).auc == told_apart(change, rows, candidates(only, 60), seed=3).auc


def test_it_is_the_same_each_time_and_for_any_number_of_columns_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line of the self-audit is written once, also after a kill."""
    dense, rows = pool(60, 60), np.arange(100)
    change, own = update_of(dense[:60])[rows], candidates(dense, 60)
    once = told_apart(change, rows, own, seed=3)
    assert told_apart(change, rows, own, seed=3) == once
    monkeypatch.setattr("strategies.update.membership.COLUMNS", 5)
    assert told_apart(change, rows, own, seed=3).auc == pytest.approx(once.auc, abs=1e-3)


def test_few_compounds_of_a_kind_or_rows_that_did_not_move_are_not_judged() -> None:
    dense, rows = pool(LEAST, LEAST), np.arange(BITS)
    change = update_of(dense[:LEAST])
    assert told_apart(change, rows, candidates(dense, LEAST - 1), seed=0) == ToldApart()
    assert told_apart(change, rows, candidates(dense, LEAST + 1), seed=0) == ToldApart()
    assert told_apart(change, rows, candidates(dense, LEAST), seed=0).trained == LEAST
    assert told_apart(np.zeros_like(change), rows, candidates(dense, LEAST), seed=0) == ToldApart()
    assert told_apart(change[:0], rows[:0], candidates(dense, LEAST), seed=0) == ToldApart()
    assert not beyond_chance(ToldApart())


@pytest.mark.parametrize(("others", "share"), [(ENOUGH, 0.9), (ENOUGH - 1, 0.0)])
def test_a_share_at_few_false_positives_takes_many_others(others: int, share: float) -> None:
    dense = pool(40, others)
    told = told_apart(update_of(dense[:40]), np.arange(BITS), candidates(dense, 40), seed=3)
    assert told.found >= share and (told.found > 0) == (share > 0)


def test_the_area_counts_pairs_and_halves_ties() -> None:
    random = np.random.default_rng(0)
    members, others = random.integers(0, 6, 30).astype(float), random.integers(0, 5, 20).astype(float)
    pairs = [(one > other) + 0.5 * (one == other) for one in members for other in others]
    assert area(members, others) == pytest.approx(np.mean(pairs))


def test_the_more_compounds_the_less_it_takes_to_be_beyond_chance_and_a_little_never_does() -> None:
    assert not beyond_chance(ToldApart(0.68, 40, 40))
    assert beyond_chance(ToldApart(0.68, 1000, 1000))
    assert not beyond_chance(ToldApart(0.60, 10**6, 10**6))
    assert beyond_chance(ToldApart(1.0, LEAST, LEAST))
    assert not beyond_chance(replace(ToldApart(1.0, LEAST, LEAST), auc=0.0))


def test_a_draw_is_of_so_many_at_most_each_once_and_all_where_there_are_fewer() -> None:
    rows, generator = np.arange(5, 5 + 3 * MOST), np.random.default_rng(0)
    some = drawn(rows, generator)
    assert len(some) == len(np.unique(some)) == MOST and set(some) <= set(rows)
    assert drawn(rows, generator).tolist() != some.tolist()
    assert drawn(rows[:7], generator).tolist() == rows[:7].tolist()
    assert drawn(rows[:0], generator).size == 0
