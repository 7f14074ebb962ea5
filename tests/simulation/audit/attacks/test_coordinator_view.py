"""What the coordinator sees is noise under secure aggregation, and everything under plain aggregation; and flawed masks are noticed."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score

from fedapp.errors import DataError
from simulation.audit.attacks import coordinator_view
from simulation.audit.attacks.coordinator_view import CoordinatorView, coordinator_findings, judged, plain_view, secure_view
from simulation.audit.federations import Trial
from simulation.audit.findings import OFF, ON, Finding
from strategies.secagg.phases import Step
from tests.simulation.audit.demo_pool import demo_pool, scenario

PARTNERS, WORDS, WIDTH = 4, 20_000, 50


@cache
def updates() -> np.ndarray:
    """Quantised updates, four rows in ten zero."""
    generator = np.random.default_rng(0)
    values = np.rint(generator.normal(size=(PARTNERS, WORDS // WIDTH, WIDTH)) * 2**16).astype(np.int32)
    values[generator.random((PARTNERS, WORDS // WIDTH)) < 0.4] = 0
    return values.reshape(PARTNERS, WORDS).view(np.uint32)


@cache
def views() -> tuple[CoordinatorView, CoordinatorView]:
    """Of the updates, and of zeros."""
    entropy = np.random.default_rng(1).bytes
    return secure_view(updates(), entropy), secure_view(np.zeros_like(updates()), entropy)


@cache
def findings() -> dict[tuple[str, str], Finding]:
    """By defences and attack."""
    found = coordinator_findings(updates(), np.zeros_like(updates()), WIDTH, np.random.default_rng(2).bytes)
    return {(each.defences, each.attack): each for each in found}


def by_attack(view: CoordinatorView, other: CoordinatorView) -> dict[str, Finding]:
    return {each.attack: each for each in judged(updates(), WIDTH, view, other, ON)}


ATTACKS = ("zero rows", "two inputs", "uniform bytes", "correlation", "sizes")


@pytest.mark.parametrize("attack", ATTACKS)
def test_under_secure_aggregation_every_figure_holds_chance_within_its_interval(attack: str) -> None:
    found = findings()[ON, attack]
    assert found.name == "coordinator_view" and found.adversary == "coordinator"
    assert found.lower <= found.chance <= found.upper and found.passes and found.trials > 0


@pytest.mark.parametrize("attack", ATTACKS[:-1])
def test_in_the_clear_every_attack_succeeds(attack: str) -> None:
    assert findings()[OFF, attack].passes is False


def test_in_the_clear_zero_rows_and_true_words_are_simply_read() -> None:
    assert findings()[OFF, "zero rows"].value == 0.5
    assert findings()[OFF, "correlation"].value == pytest.approx(1.0)
    assert findings()[OFF, "two inputs"].value > 0.4


def test_the_view_is_that_of_a_real_round_whose_masks_hide_words_and_sum() -> None:
    view, _ = views()
    assert view.vectors.shape == updates().shape and view.total.shape == (WORDS,)
    assert np.mean(view.vectors == updates()) < 1e-3
    assert not np.any(view.total == updates().sum(axis=0, dtype=np.uint32))
    steps = {name for name, _ in view.messages}
    asked = (Step.ADVERTISE_KEYS, Step.SHARE_KEYS, Step.COLLECT, Step.CONSISTENCY, Step.UNMASK)
    assert steps == {"words", *(f"{step} {kind}" for step in asked for kind in ("request", "reply"))}
    assert all(size > 4 * WORDS for name, size in view.messages if name == "words")


def test_a_round_that_gives_another_sum_is_no_audit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coordinator_view, "signed_view", lambda words: words.view(np.int32) + 1)
    with pytest.raises(RuntimeError, match="did not give the sum"):
        secure_view(updates()[:, :600], np.random.default_rng(3).bytes)


# Flaws that must not pass


def test_a_mask_that_forgets_zero_rows_is_noticed() -> None:
    view, other = views()
    leaky = view.vectors.copy().reshape(-1, WIDTH)
    leaky[~updates().reshape(-1, WIDTH).any(axis=1)] &= np.uint32(0x0FFFFFFF)
    assert by_attack(CoordinatorView(leaky.reshape(updates().shape), view.total, view.messages), other)["zero rows"].passes is False


def test_a_mask_of_16_bits_is_noticed() -> None:
    view, other = views()
    masked = updates() + (view.vectors & np.uint32(0xFFFF))
    found = by_attack(CoordinatorView(masked, view.total, view.messages), other)
    assert not found["uniform bytes"].passes and not found["correlation"].passes and not found["two inputs"].passes


def test_an_unmasked_sum_alone_is_noticed() -> None:
    view, other = views()
    bare = CoordinatorView(view.vectors, updates().sum(axis=0, dtype=np.uint32), view.messages)
    assert by_attack(bare, other)["uniform bytes"].passes is False


def test_a_message_whose_size_depends_on_the_input_is_noticed() -> None:
    view, other = views()
    name, size = view.messages[5]
    longer = [*view.messages[:5], (name, size + 1), *view.messages[6:]]
    found = by_attack(CoordinatorView(view.vectors, view.total, longer), other)["sizes"]
    assert found.value == 1.0 and found.passes is False
    assert by_attack(CoordinatorView(view.vectors, view.total, view.messages[:-1]), other)["sizes"].value == 1.0


# The figures themselves


def test_the_area_for_zero_rows_is_that_of_an_independent_implementation() -> None:
    generator = np.random.default_rng(4)
    seen = generator.integers(0, 2**32, updates().shape, dtype=np.uint32)
    zero = ~updates().reshape(-1, WIDTH).any(axis=1)
    rows = seen.reshape(-1, WIDTH)
    size = np.abs(rows.view(np.int32).astype(float))
    statistics = [size.mean(1), size.max(1), size.min(1), np.bitwise_count(rows).mean(1), rows.std(1)]
    expected = max(abs(roc_auc_score(zero, each) - 0.5) for each in statistics)
    found = coordinator_view.zero_rows(updates(), WIDTH, CoordinatorView(seen, seen[0]))
    assert found.value == pytest.approx(expected)
    assert found.trials == len(zero)


def test_the_byte_figure_passes_exactly_where_no_chi_square_test_rejects() -> None:
    generator = np.random.default_rng(5)
    for share in (0.0, 0.002, 0.01, 0.1):
        seen = generator.integers(0, 2**32, (2, 5000), dtype=np.uint32)
        seen[0, : int(share * 5000)] = 7
        view = CoordinatorView(seen, seen[1])
        places = [vector.view(np.uint8)[start::4] for vector in (*seen, seen[1]) for start in range(4)]
        least = min(stats.chisquare(np.bincount(place, minlength=256)).pvalue for place in places)
        assert (coordinator_view.uniform_bytes(view).lower <= 0) == (least >= coordinator_view.LEVEL / len(places))


def test_perfect_noise_fails_no_figure_in_thirty_views() -> None:
    generator = np.random.default_rng(6)
    words = updates()[:, :2000]
    for _ in range(30):
        one, other = (
            CoordinatorView(drawn[:-1], drawn[-1]) for drawn in generator.integers(0, 2**32, (2, PARTNERS + 1, 2000), dtype=np.uint32)
        )
        assert all(each.passes for each in judged(words, WIDTH, one, other, ON))


@given(seed=st.integers(0, 2**32), blocks=st.integers(1, 3))
def test_half_bytes_are_counted_once_each(seed: int, blocks: int) -> None:
    words = np.random.default_rng(seed).integers(0, 2**32, (2, blocks * coordinator_view.BLOCK), dtype=np.uint32)
    counted = coordinator_view.blocks(CoordinatorView(words[:1], words[1]))
    first = [int(digit, 16) for word in words[0, : coordinator_view.BLOCK] for digit in f"{word:08x}"[::-1]]
    expected = np.array([np.bincount(first[place::8], minlength=16) for place in range(8)]).ravel()
    assert counted.shape == (2 * blocks, 128) and np.array_equal(counted[0], expected)


def test_where_no_row_is_zero_there_is_nothing_to_tell_apart() -> None:
    full = np.ones((3, 600), dtype=np.uint32)
    found = coordinator_view.zero_rows(full, 10, plain_view(full))
    assert (found.value, found.lower, found.upper, found.trials) == (0.0, 0.0, 0.0, 0)
    assert coordinator_view.correlation(full, plain_view(full)).trials == 0


def test_a_sum_too_short_to_judge_is_a_named_error_of_the_audit() -> None:
    few = np.zeros((3, 148), dtype=np.uint32)
    everything = np.ones((3, 4), dtype=bool)
    trial = Trial(members=everything[0], listed=everything[0], supports=everything, words=few)
    with pytest.raises(DataError, match="leaves a sum of 148 words of so few compounds") as caught:
        coordinator_view.attack(scenario(demo_pool(), trial))
    assert "audit.compounds" in caught.value.hint


def test_inputs_of_two_shapes_or_too_short_ones_are_refused() -> None:
    with pytest.raises(ValueError, match="not of one shape"):
        coordinator_findings(updates(), updates()[:, :-1], WIDTH)
    with pytest.raises(ValueError, match="shorter than"):
        coordinator_findings(updates()[:, :300], updates()[:, :300], WIDTH)
