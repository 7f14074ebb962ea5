"""Decoding around wrong shares: the secret is found while enough right ones are there; who is named was wrong, or more others were."""

import itertools
from collections.abc import Callable, Mapping
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategies.secagg import decoding
from strategies.secagg.decoding import combined, decode, decode_all
from strategies.secagg.errors import NotEnoughSharesError, WrongSharesError
from strategies.secagg.roster import default_threshold
from strategies.secagg.shamir import PRIME
from tests.helpers.sweeps import examples

SMALL = 9  # shares of which every subset is tried by the oracle
RANDOMS = st.integers(0, 2**64).map(Random)

Polynomial = list[int]  # coefficients, the secret first


def value(polynomial: Polynomial, at: int) -> int:
    """A polynomial's value, power by power."""
    return sum(coefficient * pow(at, power, PRIME) for power, coefficient in enumerate(polynomial)) % PRIME


def drawn(random: Random, threshold: int) -> Polynomial:
    return [random.randrange(PRIME) for _ in range(threshold)]


def dealt(polynomial: Polynomial, points: list[int]) -> dict[int, int]:
    return {point: value(polynomial, point) for point in points}


def interpolated(shares: Mapping[int, int], at: int) -> int:
    """Lagrange's formula, as it is in books."""
    total = 0
    for point, share in shares.items():
        for other in shares:
            if other != point:
                share = share * (at - other) * pow(point - other, -1, PRIME) % PRIME
        total += share
    return total % PRIME


def readings(shares: Mapping[int, int], threshold: int, right: Callable[[int], bool]) -> dict[tuple[int, ...], int]:
    """Every polynomial that meets `threshold` shares and is accepted: the points that it misses, and its secret. By trying all subsets."""
    found = {}
    for subset in itertools.combinations(shares, threshold):
        known = {point: shares[point] for point in subset}
        if right(interpolated(known, 0)):
            missed = tuple(sorted(point for point, share in shares.items() if interpolated(known, point) != share % PRIME))
            found[missed] = interpolated(known, 0)
    return found


def offset(zeros: list[int]) -> Polynomial:
    """x times the product of all x - zero: what may be added to a polynomial without changing its secret or its shares at `zeros`."""
    product = [0, 1]
    for zero in zeros:
        product = [(low - zero * high) % PRIME for low, high in zip([0, *product], [*product, 0], strict=True)]
    return product


@st.composite
def spoiled(draw: st.DrawFn) -> tuple[int, int, dict[int, int]]:
    """A threshold, a secret, and shares of which any number is wrong: at random, all on another polynomial, or off by a code word."""
    points = sorted(draw(st.sets(st.integers(1, 60), min_size=2, max_size=SMALL)))
    threshold = draw(st.integers(1, len(points)))
    random = draw(st.randoms(use_true_random=False))  # which may draw the same twice
    truth, lie = drawn(random, threshold), drawn(random, threshold)
    shares = dealt(truth, points)
    liars = draw(st.lists(st.sampled_from(points), unique=True, max_size=len(points)))
    kind = draw(st.sampled_from(["garbage", "another polynomial", "off by a code word"]))
    shift = offset(random.sample(points, max(threshold - 2, 0)))
    for liar in liars:
        if kind == "garbage":
            shares[liar] = random.randrange(PRIME)
        elif kind == "another polynomial":
            shares[liar] = value(lie, liar)
        else:
            shares[liar] = (shares[liar] + value(shift, liar)) % PRIME
    return threshold, truth[0], shares


@examples(300)
@given(spoiled())
def test_the_secret_is_found_whenever_threshold_shares_are_right_and_the_fewest_holders_are_named(case: tuple) -> None:
    threshold, secret, shares = case
    possible = readings(shares, threshold, secret.__eq__)
    if not possible:
        with pytest.raises(WrongSharesError) as caught:
            decode(shares, threshold, secret.__eq__)
        assert (caught.value.answers, caught.value.least) == (len(shares), len(shares) - threshold + 1)
        return
    decoded = decode(shares, threshold, secret.__eq__)
    assert decoded.secret == possible[decoded.wrong] == secret
    assert len(decoded.wrong) == min(map(len, possible))
    assert all(missed == decoded.wrong or len(missed) >= decoded.otherwise for missed in possible)


@examples(100)
@given(spoiled())
def test_what_is_accepted_decides_and_not_what_most_shares_say(case: tuple) -> None:
    threshold, secret, shares = case
    seen: list[int] = []
    with pytest.raises(WrongSharesError):
        decode(shares, threshold, lambda candidate: bool(seen.append(candidate)))
    assert set(seen) == set(readings(shares, threshold, lambda _: True).values())
    assert secret in seen or not readings(shares, threshold, secret.__eq__)


@pytest.mark.parametrize("count", [10, 21, 50, 200])
@given(RANDOMS)
@examples(5, deadline=None)
def test_half_of_the_shares_beyond_the_threshold_may_be_wrong_in_a_consortium_of_any_size(count: int, random: Random) -> None:
    threshold, points = default_threshold(count), list(range(1, count + 1))
    truth, lie = drawn(random, threshold), drawn(random, threshold)
    shares = dealt(truth, points)
    most = (count - threshold) // 2
    for number, wrong in ((most, lie), (random.randint(1, most), None), (0, None)):
        liars = sorted(random.sample(points, number))
        held = shares | {liar: value(wrong, liar) if wrong else random.randrange(PRIME) for liar in liars}
        decoded = decode(held, threshold, truth[0].__eq__)
        assert (decoded.secret, decoded.wrong) == (truth[0], tuple(liars))
        assert decoded.otherwise == count - threshold + 2 - number


@pytest.mark.parametrize("count", [10, 12, 14])
@given(RANDOMS)
@examples(3, deadline=None)
def test_with_threshold_right_shares_and_no_more_a_small_consortium_reads_the_secret(count: int, random: Random) -> None:
    threshold, points = default_threshold(count), list(range(1, count + 1))
    truth, lie = drawn(random, threshold), drawn(random, threshold)
    liars = sorted(random.sample(points, count - threshold))
    for wrong in (lie, drawn(random, threshold + 1)):
        held = dealt(truth, points) | {liar: value(wrong, liar) for liar in liars}
        decoded = decode(held, threshold, truth[0].__eq__)
        assert (decoded.secret, decoded.wrong) == (truth[0], tuple(liars))


def test_every_subset_is_tried_up_to_23_partners_with_the_default_threshold() -> None:
    def complete(count: int) -> bool:
        surplus = count - default_threshold(count)
        return [*decoding._numbers_of_guesses(count, surplus)][-1] == surplus

    assert [complete(count) for count in range(3, 25)] == [True] * 21 + [False]


@pytest.mark.parametrize("limit", [0, decoding.MOST_STEPS])
def test_an_error_says_how_many_must_be_wrong(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "MOST_STEPS", limit)
    random, secret = Random(3), 5
    shares = {point: random.randrange(PRIME) for point in range(1, 11)}
    with pytest.raises(WrongSharesError, match=f"at least {4 if limit else 2} of 10 shares are wrong") as caught:
        decode(shares, 7, secret.__eq__)
    assert caught.value.least == (4 if limit else 2)


def test_a_dealer_that_committed_to_something_else_is_found_without_a_search(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "_candidates", None)
    with pytest.raises(WrongSharesError, match="at least 4 of 10 .* not what the dealer committed to"):
        decode(dealt([1] * 7, list(range(1, 11))), 7, (2).__eq__)


def test_fewer_shares_than_the_threshold_are_no_case_for_decoding() -> None:
    with pytest.raises(NotEnoughSharesError, match="2 shares, and 3 are needed"):
        decode({1: 5, 2: 6}, 3, (5).__eq__)


def test_without_a_share_to_spare_a_wrong_one_cannot_be_told() -> None:
    shares = dealt([7, 1, 2], [1, 2, 3])
    assert decode(shares, 3, (7).__eq__).wrong == ()
    with pytest.raises(WrongSharesError) as caught:
        decode(shares | {2: 0}, 3, (7).__eq__)
    assert caught.value.least == 1


def test_a_share_counts_modulo_the_prime() -> None:
    shares = dealt([7, 1, 2], [1, 2, 3, 4, 5])
    assert decode({point: share + PRIME for point, share in shares.items()}, 3, (7).__eq__).wrong == ()


def test_three_of_ten_can_make_two_honest_ones_look_wrong_and_the_secret_is_right_all_the_same() -> None:
    truth = drawn(Random(1), 7)
    shares, framed = dealt(truth, list(range(1, 11))), (3, 8)
    shift = offset([2, 4, 5, 6, 7])  # without knowing anybody else's share
    for liar in (1, 9, 10):
        shares[liar] = (shares[liar] + value(shift, liar)) % PRIME
    decoded = decode(shares, 7, truth[0].__eq__)
    assert (decoded.secret, decoded.wrong, decoded.otherwise) == (truth[0], framed, 3)


@examples(50)
@given(st.integers(1, 6), st.integers(0, 3), st.integers(1, 5), RANDOMS)
def test_a_sum_of_code_words_shows_whoever_is_wrong_in_any(threshold: int, surplus: int, words: int, random: Random) -> None:
    points = list(range(1, threshold + surplus + 1))
    polynomials = [drawn(random, threshold) for _ in range(words)]
    weights = [random.getrandbits(128) for _ in polynomials]
    answers = {point: [value(polynomial, point) for polynomial in polynomials] for point in points}
    total = [sum(weight * term for weight, term in zip(weights, terms, strict=True)) % PRIME for terms in zip(*polynomials, strict=True)]
    assert combined(answers, weights) == dealt(total, points)
    liar, place = random.choice(points), random.randrange(words)
    answers[liar][place] ^= 1
    assert [point for point, share in combined(answers, weights).items() if share != value(total, point)] == [liar]


@st.composite
def many_words(draw: st.DrawFn) -> tuple[int, list[int], dict[int, list[int]], dict[int, tuple[int, ...]]]:
    """A threshold, secrets, the shares of all, and who is wrong where: as many holders as a search finds."""
    random, count = draw(RANDOMS), draw(st.integers(3, 10))
    threshold, words = default_threshold(count), draw(st.integers(1, 6))
    polynomials = [drawn(random, threshold) for _ in range(words)]
    answers = {point: [value(polynomial, point) for polynomial in polynomials] for point in range(1, count + 1)}
    places = st.lists(st.integers(0, words - 1), unique=True, min_size=1).map(sorted)
    wrong = draw(st.dictionaries(st.integers(1, count), places, max_size=count - threshold))
    for holder, at in wrong.items():
        for place in at:
            answers[holder][place] = random.randrange(PRIME)
    return threshold, [polynomial[0] for polynomial in polynomials], answers, {holder: tuple(at) for holder, at in wrong.items()}


@examples(200)
@given(many_words(), RANDOMS)
def test_all_words_are_read_and_every_wrong_share_is_named(case: tuple, random: Random) -> None:
    threshold, secrets, answers, wrong = case
    weights = [random.getrandbits(128) for _ in secrets]
    opened = decode_all(answers, threshold, lambda place, secret: secrets[place] == secret, weights)
    assert opened.secrets == tuple(secrets)
    assert opened.wrong == wrong


def test_a_round_without_wrong_shares_decodes_nothing_word_by_word(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Mapping[int, int]] = []
    monkeypatch.setattr(decoding, "decode", lambda shares, *rest: calls.append(shares) or decode(shares, *rest))
    polynomials = [[place, 1, 1] for place in range(20)]
    answers = {point: [value(polynomial, point) for polynomial in polynomials] for point in range(1, 5)}
    opened = decode_all(answers, 3, lambda place, secret: place == secret, range(1, 21))
    assert (opened.secrets, opened.wrong) == (tuple(range(20)), {})
    assert calls == [combined(answers, range(1, 21))]


def test_words_are_read_though_different_holders_are_wrong_in_each() -> None:
    """Three of four are needed, and each word lacks another one: the sum of the words is wrong everywhere."""
    polynomials = [[place, 1, 1] for place in range(4)]
    answers = {point: [value(polynomial, point) for polynomial in polynomials] for point in range(1, 5)}
    for place in range(4):
        answers[place + 1][place] += 1
    opened = decode_all(answers, 3, lambda place, secret: place == secret, (1, 2, 3, 4))
    assert opened.secrets == (0, 1, 2, 3)
    assert opened.wrong
    assert all(places == (holder - 1,) for holder, places in opened.wrong.items())


def test_a_word_that_nobody_can_read_is_an_error() -> None:
    answers = {point: [value([5, 1, 1], point), point**5] for point in range(1, 5)}
    with pytest.raises(WrongSharesError):
        decode_all(answers, 3, lambda place, secret: place == 0 and secret == 5, (1, 2))


def test_holders_that_are_wrong_in_different_words_are_all_named() -> None:
    """Holder 8 is not asked while the first seven are right, and is when holder 1 was found out."""
    polynomials = [[place, *[1] * 6] for place in range(3)]
    answers = {point: [value(polynomial, point) for polynomial in polynomials] for point in range(1, 11)}
    answers[8][0] += 1
    answers[1][1] += 1
    answers[8][2] += PRIME
    opened = decode_all(answers, 7, lambda place, secret: place == secret, (1, 2, 3))
    assert (opened.secrets, opened.wrong) == ((0, 1, 2), {1: (1,), 8: (0,)})


def test_words_are_read_though_the_sum_of_the_others_cannot_be() -> None:
    polynomials = [[place, *[1] * 6] for place in range(2)]
    answers = {point: [value(polynomial, point) for polynomial in polynomials] for point in range(1, 11)}
    for holder, place in ((8, 0), (9, 0), (10, 0), (1, 1)):
        answers[holder][place] += 1
    opened = decode_all(answers, 7, lambda place, secret: place == secret, (1, 2))
    assert (opened.secrets, opened.wrong) == ((0, 1), {1: (1,)})


def test_who_was_wrong_in_one_word_does_not_hold_up_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Mapping[int, int]] = []
    monkeypatch.setattr(decoding, "decode", lambda shares, *rest: calls.append(shares) or decode(shares, *rest))
    answers = {point: [value([place, 1, 1], point) for place in range(20)] for point in range(1, 6)}
    answers[2] = [0] * 20
    opened = decode_all(answers, 3, lambda place, secret: place == secret, range(1, 21))
    assert opened.wrong == {2: tuple(range(20))}
    assert len(calls) == 2, "for the first word, and for the sum of all"


def test_more_wrong_shares_than_half_of_the_syndromes_are_not_located_by_chance() -> None:
    syndromes = [0, PRIME - 2, PRIME - 6]  # the shortest recurrence of which has the roots 1 and 2
    assert [point for point in range(9) if decoding._evaluate(decoding._shortest_recurrence(syndromes), point) == 0] == [1, 2]
    assert decoding._locate(range(1, 9), syndromes) == []


def test_a_share_that_was_left_out_is_not_located_again() -> None:
    """Shares can be made such that the others, without the one at 2, have the syndromes of a wrong one at 2."""
    syndromes = [1]
    for power in (1, 2):
        syndromes.append(2 * (syndromes[-1] - 5 * 2**power) % PRIME)
    left = decoding._without([0, *syndromes], 2)
    assert decoding._locate([1, 2, 3, 4], left[1:]) == [2]
    assert all(len(set(wrong)) == len(wrong) for _, wrong in decoding._candidates((1, 2, 3, 4), [0, *syndromes], 1))


@given(st.lists(st.integers(0, PRIME - 1), min_size=1, max_size=8, unique=True), RANDOMS)
def test_the_shortest_recurrence_of_a_sum_of_powers_has_their_bases_for_roots(bases: list[int], random: Random) -> None:
    factors = [random.randrange(1, PRIME) for _ in bases]
    sequence = [sum(a * pow(base, k, PRIME) for a, base in zip(factors, bases, strict=True)) % PRIME for k in range(1, 2 * len(bases) + 1)]
    recurrence = decoding._shortest_recurrence(sequence)
    known = [base for base in bases if base]  # the powers of 0 are all 0
    assert len(recurrence) == len(known) + 1
    assert all(decoding._evaluate(recurrence, base) == 0 for base in known)
