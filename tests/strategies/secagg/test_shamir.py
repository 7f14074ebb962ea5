"""Secret sharing: any `threshold` shares give the secret, and fewer say nothing about it."""

import itertools
from collections.abc import Iterable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategies.secagg import shamir
from strategies.secagg.errors import NotEnoughSharesError
from strategies.secagg.shamir import PRIME

ELEMENTS = st.integers(0, PRIME - 1) | st.sampled_from([0, 1, PRIME - 1])
POINTS = st.integers(1, 60)


def polynomial(coefficients: list[int], at: int) -> int:
    """Horner's rule, coefficients from the highest power down."""
    value = 0
    for coefficient in coefficients:
        value = (value * at + coefficient) % PRIME
    return value


def deal(secret: int, fixed: dict[int, int], points: Iterable[int]) -> dict[int, int]:
    """Of one secret."""
    dealt = shamir.deal([secret], {point: [share] for point, share in fixed.items()}, tuple(points))
    return {point: share for point, (share,) in dealt.items()}


def probably_prime(candidate: int) -> bool:
    """Fermat's test to several bases; Carmichael numbers are too rare to matter here."""
    return all(pow(base, candidate - 1, candidate) == 1 for base in (2, 3, 5, 7, 11))


@st.composite
def dealt(draw: st.DrawFn) -> tuple[int, int, dict[int, int], dict[int, int]]:
    """A threshold, a secret, the shares that were fixed and those that were dealt."""
    points = draw(st.lists(POINTS, min_size=1, max_size=9, unique=True))
    threshold = draw(st.integers(1, len(points)))
    fixed = {point: draw(ELEMENTS) for point in points[: threshold - 1]}
    secret = draw(ELEMENTS)
    return threshold, secret, fixed, deal(secret, fixed, points[threshold - 1 :])


def test_the_modulus_is_the_largest_prime_of_32_bytes() -> None:
    assert [candidate for candidate in range(PRIME, 2**256) if candidate % 2 and probably_prime(candidate)] == [PRIME]


@given(dealt(), st.randoms(use_true_random=False))
def test_any_threshold_shares_give_the_secret_whether_fixed_or_dealt(case: tuple, random) -> None:
    threshold, secret, fixed, others = case
    held = fixed | others
    for _ in range(5):
        some = random.sample(sorted(held), threshold)
        assert shamir.reconstruct({point: held[point] for point in some}, threshold) == secret


def test_every_subset_of_a_small_group_does() -> None:
    fixed = {1: 11, 4: 44}
    held = fixed | deal(PRIME - 5, fixed, (2, 3, 5))
    for count in (3, 4, 5):
        for some in itertools.combinations(held, count):
            assert shamir.reconstruct({point: held[point] for point in some}, 3) == PRIME - 5


@given(st.lists(ELEMENTS, min_size=1, max_size=7), st.lists(POINTS, min_size=7, max_size=9, unique=True))
def test_shares_are_values_of_the_one_polynomial_through_the_secret_and_the_fixed_shares(
    coefficients: list[int], points: list[int]
) -> None:
    fixed = {point: polynomial(coefficients, point) for point in points[: len(coefficients) - 1]}
    others = points[len(coefficients) - 1 :]
    assert deal(coefficients[-1], fixed, others) == {point: polynomial(coefficients, point) for point in others}


@given(dealt(), ELEMENTS, st.randoms(use_true_random=False))
def test_with_one_share_less_every_other_secret_is_as_possible(case: tuple, other: int, random) -> None:
    threshold, _, fixed, others = case
    held = fixed | others
    some = {point: held[point] for point in random.sample(sorted(held), threshold - 1)}
    missing = deal(other, some, set(held) - set(some))
    for point, share in missing.items():
        assert shamir.reconstruct(some | {point: share}, threshold) == other


@given(dealt(), st.integers(1, PRIME - 1))
def test_each_share_depends_on_the_secret_and_on_every_fixed_share(case: tuple, shift: int) -> None:
    _, secret, fixed, others = case
    assert all(others[point] != share for point, share in deal((secret + shift) % PRIME, fixed, others).items())
    for moved in fixed:
        again = deal(secret, fixed | {moved: (fixed[moved] + shift) % PRIME}, others)
        assert all(others[point] != share for point, share in again.items())


@given(st.lists(ELEMENTS, min_size=1, max_size=5), st.lists(POINTS, min_size=2, max_size=9, unique=True), st.data())
def test_many_secrets_are_dealt_at_once_as_each_would_be_alone(secrets: list[int], points: list[int], data: st.DataObject) -> None:
    count = data.draw(st.integers(0, len(points) - 1))
    fixed = {point: data.draw(st.lists(ELEMENTS, min_size=len(secrets), max_size=len(secrets))) for point in points[:count]}
    dealt = shamir.deal(secrets, fixed, points[count:])
    assert list(dealt) == points[count:]
    for place, secret in enumerate(secrets):
        alone = deal(secret, {point: shares[place] for point, shares in fixed.items()}, points[count:])
        assert {point: shares[place] for point, shares in dealt.items()} == alone


@pytest.mark.parametrize("count", [50, 200])
def test_a_large_consortium_deals_values_of_the_one_polynomial(count: int) -> None:
    random, threshold = Random(count), 2 * count // 3 + 1
    polynomials = [[random.randrange(PRIME) for _ in range(threshold)] for _ in range(3)]
    points = random.sample(range(1, count + 1), count)
    fixed = {point: [polynomial(each, point) for each in polynomials] for point in points[: threshold - 1]}
    dealt = shamir.deal([each[-1] for each in polynomials], fixed, points[threshold - 1 :])
    assert dealt == {point: [polynomial(each, point) for each in polynomials] for point in points[threshold - 1 :]}


def test_fewer_shares_than_the_threshold_are_refused() -> None:
    with pytest.raises(NotEnoughSharesError, match="2 shares, and 3 are needed"):
        shamir.reconstruct({1: 5, 2: 6}, 3)


def test_shares_beyond_the_threshold_are_not_needed_and_change_nothing() -> None:
    fixed = {1: 3, 2: 9}
    held = fixed | deal(7, fixed, (3, 4))
    assert shamir.reconstruct(held, 3) == shamir.reconstruct({point: held[point] for point in (1, 2, 3)}, 3) == 7


def test_a_wrong_share_gives_a_wrong_secret() -> None:
    held = {1: 3} | deal(7, {1: 3}, (2,))
    assert shamir.reconstruct(held | {2: (held[2] + 1) % PRIME}, 2) != 7


@given(st.lists(st.integers(0, 60), min_size=1, max_size=9, unique=True), st.integers(0, 60))
def test_lagranges_coefficients_reproduce_every_power_up_to_their_degree(points: list[int], at: int) -> None:
    weights = shamir.coefficients(tuple(points), at)
    for power in range(len(points)):
        assert shamir.combine(weights, [pow(point, power, PRIME) for point in points]) == pow(at, power, PRIME)


def test_a_combination_needs_a_value_for_each_weight() -> None:
    with pytest.raises(ValueError):
        shamir.combine((1, 2), [3])


@given(ELEMENTS)
def test_an_element_is_32_bytes_big_endian(element: int) -> None:
    assert len(shamir.to_bytes(element)) == shamir.SHARE_BYTES == 32
    assert shamir.field_element(shamir.to_bytes(element)) == element


@given(st.binary(min_size=48, max_size=48))
def test_48_bytes_are_reduced_to_an_element(seed: bytes) -> None:
    assert shamir.field_element(seed) == int.from_bytes(seed, "big") % PRIME
