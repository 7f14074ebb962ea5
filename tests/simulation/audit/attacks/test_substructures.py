"""Which substructures occur together in the others' compounds, and which act alike."""

from dataclasses import replace
from itertools import combinations
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.metrics import roc_auc_score

from simulation.audit.attacks.substructures import (
    LEAST,
    acting_alike,
    attack,
    effects,
    held_by_each,
    mean_of,
    right,
    right_of_most_alike,
)
from simulation.audit.federations import Trial, run_trial
from simulation.audit.findings import OFF, ON, Finding
from simulation.audit.other_rows import moved_bits, others_updates
from simulation.audit.pool import Pool
from tests.simulation.audit.demo_pool import demo_config, demo_pool, scenario
from tests.simulation.audit.linear_pool import fingerprints, linear_pool, linear_trial

Found = dict[str, Finding]
TRAINED = "co-occurring rows, trained against left out"


def found_in(pool: Pool, trial: Trial, defences: str) -> Found:
    return {finding.attack: finding for finding in attack(scenario(pool, trial, defences=defences)).findings}


def demo_trial(row_guard: int) -> Trial:
    config = demo_config("model.hidden=[64]", f"privacy.row_guard={row_guard}")
    return run_trial(demo_pool(), config, 0, Path(mkdtemp(prefix="polyphony-substructures-")), lambda *_: {}, keep=True)


@pytest.fixture(scope="module")
def off() -> Found:
    return found_in(demo_pool(), demo_trial(0), OFF)


@pytest.fixture(scope="module")
def guarded() -> Trial:
    return demo_trial(3)


@pytest.fixture(scope="module")
def on(guarded: Trial) -> Found:
    return found_in(demo_pool(), guarded, ON)


# Which bits occur together


def test_without_defences_sums_tell_which_bits_occur_together_far_beyond_chemistry(off: Found) -> None:
    found = off["co-occurring rows"]
    assert found.value > found.lower > found.chance + 0.05
    assert off["co-occurring rows, beyond chemistry"].lower > 0.05
    assert off["co-occurring rows, beyond chemistry"].value == pytest.approx(found.value - found.chance)
    unseen = off["co-occurring rows, never together at home"]
    assert unseen.lower > unseen.chance


def test_without_defences_pairs_of_trained_compounds_are_told_from_pairs_of_others(off: Found) -> None:
    assert off[TRAINED].lower > 0.6 and off[TRAINED].chance == 0.5


def test_with_defences_the_figure_is_what_counting_pair_by_pair_gives(guarded: Trial, on: Found) -> None:
    """An independent count, over sets of bits; the cosines are taken pair by pair."""
    pool, bits = demo_pool(), moved_bits(demo_pool(), guarded)
    compounds = [set(pool.indices[first:last].tolist()) for first, last in zip(pool.indptr[:-1], pool.indptr[1:], strict=True)]
    held = {
        inside: [compounds[row] for row in np.flatnonzero((pool.owners != 0) & (guarded.members == inside))] for inside in (True, False)
    }
    pairs = list(combinations(range(len(bits)), 2))
    with_both = {
        inside: np.array([any({bits[one], bits[other]} <= compound for compound in held[inside]) for one, other in pairs])
        for inside in held
    }
    plain, cleaned = np.zeros(len(pairs)), np.zeros(len(pairs))
    for update in others_updates(pool, guarded, bits):
        rows = update.astype(float)
        ways = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        common = np.linalg.svd(ways, full_matrices=False)[2][:8]
        rest = rows - rows @ common.T @ common
        rest /= np.linalg.norm(rest, axis=1, keepdims=True)
        plain += [ways[one] @ ways[other] for one, other in pairs]
        cleaned += [rest[one] @ rest[other] for one, other in pairs]
    scores = plain / plain.std() + cleaned / cleaned.std()
    one_half = with_both[True] ^ with_both[False]
    assert on[TRAINED].value == pytest.approx(roc_auc_score(with_both[True][one_half], scores[one_half]), abs=1e-4)
    assert on[TRAINED].trials == one_half.sum()
    assert all(finding.gate is None and finding.adversary == "partner" for finding in on.values())


def test_rows_that_move_at_random_say_nothing_of_which_bits_occur_together() -> None:
    pool = linear_pool(compounds=40)
    found = found_in(pool, linear_trial(pool, noise=True), OFF)
    assert found[TRAINED].lower < 0.5 < found[TRAINED].upper
    assert found["co-occurring rows, beyond chemistry"].value < 0.02


def test_where_a_row_is_the_sum_of_what_its_compounds_send_back_trained_pairs_are_told() -> None:
    pool = linear_pool(compounds=40)
    found = found_in(pool, linear_trial(pool), OFF)
    assert found[TRAINED].lower > 0.6


def test_two_partners_have_one_other_each_and_are_attacked_all_the_same() -> None:
    pool = linear_pool(partners=2, compounds=60)
    assert found_in(pool, linear_trial(pool), OFF)[TRAINED].lower > 0.6


def test_where_no_row_is_left_of_the_others_nothing_is_tried() -> None:
    pool, trial = linear_pool(), linear_trial(linear_pool())
    assert trial.words is not None
    words = trial.words.copy()
    words[1:] = 0
    for finding in found_in(pool, replace(trial, words=words), ON).values():
        assert np.isnan(finding.value) and finding.trials == 0 and "Not tried" in finding.note
        assert finding.lower <= finding.chance <= finding.upper


def test_equal_seeds_give_equal_findings() -> None:
    pool = linear_pool()
    assert found_in(pool, linear_trial(pool), ON) == found_in(pool, linear_trial(pool), ON)


# Which bits act alike


def test_private_heads_tell_which_bits_act_alike_beyond_what_ones_own_assays_do() -> None:
    pool = linear_pool()
    found = found_in(pool, linear_trial(pool), OFF)
    told, more = found["directions of rows"], found["directions of rows, beyond one's own assays"]
    assert told.lower > 0.52 and abs(told.chance - 0.5) < 0.03 and told.trials == 18
    assert more.lower > 0 and more.value == pytest.approx(told.value - told.chance)
    assert found["directions of rows, most alike"].lower > 0.6
    assert found["directions of rows, one partner"].value >= told.value


def test_rows_that_move_at_random_tell_no_direction() -> None:
    pool = linear_pool()
    found = found_in(pool, linear_trial(pool, noise=True), OFF)
    assert found["directions of rows"].lower < 0.51 and found["directions of rows"].value < 0.52


def test_with_defences_the_share_right_is_what_counting_assay_by_assay_gives() -> None:
    """An independent count of a pool with so few bits that every pair is asked about."""
    pool = linear_pool(bits=40)
    trial = linear_trial(pool, guard=30, least=3)
    bits, held = moved_bits(pool, trial), fingerprints(pool)
    updates = [update.astype(float) for update in others_updates(pool, trial, bits)]
    alike = sum(turned(update) for update in updates) / len(updates) + turned(np.sum(updates, axis=0))
    shares = []
    for partner, dataset in list(enumerate(pool.datasets.values()))[1:]:
        rows, labels = np.flatnonzero(pool.owners == partner), dataset.labels
        for task in range(len(dataset.tasks)):
            chosen = (labels.tasks == task) & trial.members[rows][labels.owners]
            has, values = held[rows[labels.owners[chosen]]][:, bits], labels.values[chosen]
            effect = {
                place: values[has[:, place]].mean() - values[~has[:, place]].mean()
                for place in range(len(bits))
                if LEAST <= has[:, place].sum() <= len(values) - LEAST
            }
            pairs = [(one, other) for one, other in combinations(effect, 2) if effect[one] * effect[other]]
            shares.append(np.mean([(alike[one, other] > 0) == (effect[one] * effect[other] > 0) for one, other in pairs]))
    found = found_in(pool, trial, ON)["directions of rows"]
    assert 0 < len(bits) < pool.bits and found.trials == len(shares) == 18
    assert found.value == pytest.approx(np.mean(shares), abs=0.005)  # single and double precision disagree on a pair now and then


def turned(rows: np.ndarray) -> np.ndarray:
    """Cosines of rows without the way that they have most in common."""
    ways = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    common = np.linalg.svd(ways)[2][0]
    rest = rows - np.outer(rows @ common, common)
    rest /= np.linalg.norm(rest, axis=1, keepdims=True)
    return np.asarray(rest @ rest.T)


def test_an_effect_is_the_mean_label_with_a_bit_less_that_without_it() -> None:
    pool = linear_pool()
    dataset, held = next(iter(pool.datasets.values())), fingerprints(pool)[:150]
    inside, bits = np.arange(150) % 2 == 0, np.arange(20, 60)
    found = list(effects(dataset, csr_array(held[:, bits].astype(np.float32)), inside))
    assert len(found) == len(dataset.tasks)
    for task, effect in enumerate(found):
        of_task = (dataset.labels.tasks == task) & inside[dataset.labels.owners]
        compounds, values = dataset.labels.owners[of_task], dataset.labels.values[of_task]
        for bit, value in zip(bits, effect, strict=True):
            with_it = held[compounds, bit]
            enough = min(with_it.sum(), (~with_it).sum()) >= LEAST
            assert value == pytest.approx(values[with_it].mean() - values[~with_it].mean() if enough else 0.0, abs=1e-6)


def test_of_an_assays_tasks_the_one_whose_labels_are_divided_most_evenly_counts() -> None:
    dataset = next(iter(linear_pool().datasets.values()))
    one_assay = replace(dataset, tasks=dataset.tasks.with_columns(group=np.array(["assay"] * len(dataset.tasks), dtype=object)))
    held, everybody = csr_array(fingerprints(linear_pool())[:150].astype(np.float32)), np.ones(150, dtype=bool)
    (chosen,) = effects(one_assay, held, everybody)
    labels = dataset.labels
    less = [min((labels.values[labels.tasks == task] == kind).sum() for kind in (0, 1)) for task in range(len(dataset.tasks))]
    assert np.array_equal(chosen, list(effects(dataset, held, everybody))[int(np.argmax(less))])


def test_each_partners_compounds_are_its_own() -> None:
    pool, bits = linear_pool(), np.array([5, 50])
    parts = held_by_each(pool, bits)
    assert np.array_equal(np.concatenate([part.toarray() for part in parts]), fingerprints(pool)[:, bits])
    assert [part.shape[0] for part in parts] == [150] * 4


def test_to_say_nothing_is_right_half_of_the_time_and_equal_guesses_are_all_most_alike() -> None:
    truth = np.array([1.0, 1.0, -1.0, -1.0])
    assert right(np.array([2.0, -1.0, -3.0, 0.0]), truth) == (1 + 0 + 1 + 0.5) / 4
    assert right(np.zeros(4), truth) == 0.5
    assert right_of_most_alike(np.array([0.9, 0.1, 0.2, 0.3]), truth) == 1.0
    assert right_of_most_alike(np.zeros(4), truth) == 0.5


def test_two_rows_are_alike_beside_the_way_that_all_rows_go() -> None:
    common, way = np.eye(20, dtype=np.float32)[:2]
    rows = np.stack([5 * common + sign * way for sign in (1, 1, -1, -1)])
    assert np.sign(acting_alike([rows])).tolist() == [[1, 1, -1, -1], [1, 1, -1, -1], [-1, -1, 1, 1], [-1, -1, 1, 1]]


def test_an_interval_is_of_resampled_assays_and_wider_for_the_worst_of_several_partners() -> None:
    values = np.random.default_rng(3).normal(0.5, 0.1, size=40)
    one, several = (mean_of(values, np.random.default_rng(0), looks) for looks in (1, 7))
    assert one.value == pytest.approx(values.mean()) and one.trials == 40
    assert one.upper - one.lower == pytest.approx(2 * 1.96 * 0.1 / np.sqrt(40), rel=0.3)
    assert several.lower < one.lower < one.upper < several.upper
