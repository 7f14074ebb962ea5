"""What rows of an update give away."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedapp.config import Training
from fedapp.model.network import Heads, Trunk, trunk_arrays
from fedapp.model.training import optimiser, train
from strategies.update import leakage
from strategies.update.leakage import Library, components, identify, present_rows, twin_groups, twins_within
from strategies.update.row_guard import support
from tests.helpers.sweeps import examples
from tests.model.synthetic import from_dense

BITS, WIDTH = 16, 64
SETS = st.lists(st.sets(st.integers(0, BITS - 1), min_size=1), min_size=1, max_size=12)


def csr(dense: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    indptr = np.concatenate([[0], np.cumsum(dense.sum(axis=1))]).astype(np.int64)
    return indptr, np.nonzero(dense)[1].astype(np.int32)


def named(update: np.ndarray, dense: np.ndarray, before: np.ndarray | None = None) -> int:
    """How many of these compounds an update names."""
    library, present = Library(*csr(dense), len(update)), present_rows(update)
    return len(identify(twins_within(update, library, present, before), library, present))


def dense_of(compounds: list[set[int]]) -> np.ndarray:
    dense = np.zeros((len(compounds), BITS), dtype=bool)
    for row, bits in enumerate(compounds):
        dense[row, list(bits)] = True
    return dense


def chemistry(compounds: int = 120, own: int = 3, shared: int = 300, seed: int = 0) -> np.ndarray:
    """Each compound has a few bits that are its own and about 15 of 300 that others have too: bool [compounds, bits]."""
    random = np.random.default_rng(seed)
    dense = np.zeros((compounds, shared + own * compounds), dtype=bool)
    dense[:, :shared] = random.random((compounds, shared)) < 0.05
    for row in range(compounds):
        dense[row, shared + own * row : shared + own * (row + 1)] = True
    return dense[:, random.permutation(dense.shape[1])]


def sum_of_vectors(dense: np.ndarray, seed: int = 0) -> np.ndarray:
    """The update of plain gradient descent: every compound adds its vector to the rows of its bits."""
    vectors = np.random.default_rng(seed).normal(size=(len(dense), WIDTH)) + 1.0
    return (dense.T @ vectors).astype(np.float32)


@pytest.fixture(scope="module")
def adam() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fingerprints, of which the first 120 are trained on with Adam and weight decay; the first layer before and its change in the last of
    five epochs."""
    dense = chemistry(240)
    random = np.random.default_rng(1)
    labels = random.random((240, 5)) < 0.5
    data = from_dense("alpha", dense, labels, random.random((240, 5)) < 0.6, np.zeros(240))
    settings_ = Training(batch_size=16, local_epochs=1, learning_rate=0.002, last_learning_rate=0.002, weight_decay=2e-5)
    trunk, heads = Trunk(dense.shape[1], [WIDTH]), Heads(WIDTH, 5)
    steps = optimiser(trunk, heads, settings_)
    for epoch in range(5):
        before = trunk_arrays(trunk)[0]
        train(trunk, heads, steps, data, np.arange(120), settings=settings_, dropout=0.4, seed=epoch)
    change = trunk_arrays(trunk)[0] - before
    change[~dense[:120].any(axis=0)] = 0.0  # as `Partner.fit` does
    return dense, before, change


@given(values=st.lists(st.lists(st.sampled_from([-2.0, 0.0, 0.5]), min_size=3, max_size=3), min_size=1, max_size=8))
def test_a_row_is_present_if_any_of_its_values_is_beyond_zero(values: list[list[float]]) -> None:
    update = np.array(values, dtype=np.float32)
    assert present_rows(update).tolist() == [any(row) for row in values]
    assert present_rows(update, 0.5).tolist() == [-2.0 in row for row in values]


@given(compounds=SETS, wanted=st.sets(st.integers(0, BITS - 1), min_size=1, max_size=4))
def test_candidates_are_those_that_hold_all_of_the_bits(compounds: list[set[int]], wanted: set[int]) -> None:
    library = Library(*csr(dense_of(compounds)), BITS)
    expected = [row for row, bits in enumerate(compounds) if wanted <= bits]
    assert library.candidates(np.array(sorted(wanted))).tolist() == expected


@examples(50)
@given(compounds=SETS)
def test_rows_of_bits_that_the_same_compounds_hold_are_twins_and_no_others(compounds: list[set[int]]) -> None:
    dense = dense_of(compounds)
    holders: dict[bytes, list[int]] = {}
    for bit in np.flatnonzero(dense.any(axis=0)):
        holders.setdefault(dense[:, bit].tobytes(), []).append(int(bit))
    expected = sorted(bits for bits in holders.values() if len(bits) > 1)
    found = twin_groups(sum_of_vectors(dense), alike=1 - 1e-6)
    assert sorted(group.tolist() for group in found) == expected


def test_an_update_of_nothing_has_no_twins() -> None:
    assert twin_groups(np.zeros((5, 4), dtype=np.float32)) == []
    assert named(np.zeros((309, 4), dtype=np.float32), chemistry(3)) == 0


@given(edges=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=12))
def test_components_are_the_groups_that_edges_merge_the_one_of_the_smallest_node_first(edges: list[tuple[int, int]]) -> None:
    groups = [{node} for node in range(10)]
    for one, other in edges:
        merged = [group for group in groups if one in group or other in group]
        groups = [group for group in groups if group not in merged] + [set().union(*merged)]
    expected = sorted(sorted(group) for group in groups if len(group) > 1)
    pairs = np.array(edges, dtype=np.int64).reshape(-1, 2)
    assert [group.tolist() for group in components(pairs, 10)] == expected


def test_twins_name_a_compound_only_if_it_alone_holds_them_all() -> None:
    library = Library(*csr(dense_of([{0, 1, 2}, {1, 2}, {3, 4}])), BITS)
    groups, everything = [np.array([0, 1]), np.array([1, 2]), np.array([3, 4]), np.array([0, 3])], np.ones(BITS, dtype=bool)
    assert {name: bits.tolist() for name, bits in identify(groups, library, everything).items()} == {0: [0, 1], 2: [3, 4]}


def test_a_group_that_shows_one_visible_bit_names_nobody() -> None:
    library = Library(*csr(dense_of([{0, 1, 2}, {3, 4}])), BITS)
    visible = np.ones(BITS, dtype=bool)
    visible[1] = False
    assert identify([np.array([0, 1])], library, visible) == {}
    assert list(identify([np.array([0, 1, 2])], library, visible)) == [0]


def test_a_plain_update_names_every_compound_with_bits_of_its_own() -> None:
    dense = chemistry()
    assert named(sum_of_vectors(dense), dense) == 120
    assert present_rows(sum_of_vectors(dense)).tolist() == dense.any(axis=0).tolist()


def test_with_the_row_guard_an_update_names_nobody() -> None:
    dense = chemistry()
    kept = support(*csr(dense), np.arange(120), dense.shape[1], 3)
    assert present_rows(sum_of_vectors(dense & kept)).sum() == kept.sum() > 100
    assert named(sum_of_vectors(dense & kept), dense) == 0


def test_rows_of_noise_name_nobody() -> None:
    dense = chemistry()
    noise = np.random.default_rng(0).normal(size=(dense.shape[1], WIDTH)).astype(np.float32)
    assert named(noise + 3.0, dense) == 0


def test_after_adam_with_decay_twins_name_those_trained_on_and_no_others(adam: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    dense, before, change = adam
    library = Library(*csr(dense), dense.shape[1])
    named = identify(twins_within(change, library, np.ones(dense.shape[1], dtype=bool), before), library, present_rows(change))
    assert sum(candidate < 120 for candidate in named) >= 0.9 * 120
    assert sum(candidate >= 120 for candidate in named) == 0


def test_whoever_knows_the_trunk_before_sees_through_decay(adam: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    dense, before, change = adam
    assert named(change, dense[:120], before) > named(change, dense[:120])


def test_few_rows_all_compared_at_once_give_the_groups_that_many_do(
    adam: tuple[np.ndarray, np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    dense, before, update = adam
    library, present = Library(*csr(dense), len(update)), present_rows(update)
    assert len(update) <= leakage.FEW
    at_once = twins_within(update, library, present, before)
    monkeypatch.setattr(leakage, "FEW", 0)
    each = twins_within(update, library, present, before)
    assert len(at_once) > 50
    assert {group.tobytes() for group in at_once} == {group.tobytes() for group in each}


def test_decay_by_the_sign_of_the_weight_alone_does_not_hide_twins() -> None:
    random = np.random.default_rng(0)
    dense = chemistry()
    before = random.normal(size=(dense.shape[1], WIDTH)).astype(np.float32)
    change = sum_of_vectors(dense) - 3.0 * np.sign(before)
    assert named(change, dense, before) == 120
    assert named(change, dense) < 12


def test_groups_found_without_candidates_agree_with_the_true_ones_despite_rounding() -> None:
    dense = chemistry()
    step = 1e-3
    rounded = (np.rint(sum_of_vectors(dense) / step + np.random.default_rng(0).uniform(-0.5, 0.5, (dense.shape[1], WIDTH))) * step).astype(
        np.float32
    )
    found = {tuple(group) for group in twin_groups(rounded)}
    own = {tuple(np.flatnonzero(dense[row] & (dense.sum(axis=0) == 1))) for row in range(len(dense))}
    assert len(found & own) >= 0.95 * len(own)
