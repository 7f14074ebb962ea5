"""Reading shared secrets although some shares are wrong, and saying whose.

Shares on a polynomial of degree < threshold are a generalised Reed-Solomon code word, and the secret is its value at 0. All that is needed
of m shares y_i at points x_i are their m - threshold + 1 *moments*, with l_i Lagrange's coefficients at 0 over all points:

    T_k = Σ_i l_i · y_i · x_i^k,  k = 0 to m - threshold

- T_0 is the secret if every share is right. T_1, T_2, ... are the word's syndromes: 0, all of them, if and only if the shares lie on one
  polynomial.
- Without the share at w, the moments of the others are T_k - T_{k+1} / w, one fewer.
- With wrong shares at W, T_k for k > 0 is a sum of multiples of w^k over W. The shortest recurrence that such a sequence obeys has the
  roots W, as long as there are at most half as many of them as syndromes.

A hash says which secret is right, so that decoding need not stop there: more wrong shares are found by guessing some of them.

Sources: I. S. Reed, G. Solomon, "Polynomial codes over certain finite fields", 1960; R. J. McEliece, D. V. Sarwate, "On sharing secrets
and Reed-Solomon codes", CACM 24(9), 1981; J. L. Massey, "Shift-register synthesis and BCH decoding", IEEE Trans. Inf. Theory 15(1), 1969.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import comb

from strategies.secagg import shamir
from strategies.secagg.errors import NotEnoughSharesError, WrongSharesError
from strategies.secagg.shamir import PRIME

MOST_STEPS = 2**20  # multiplications that one number of guesses may take: a second or two


@dataclass(frozen=True)
class Decoded:
    """A secret, and the holders whose share is not on its polynomial.

    Attributes:
        secret: Below `shamir.PRIME`.
        wrong: Points of the shares that are off the polynomial, ascending.
        otherwise: Any other polynomial with this secret is missed by at least so many shares. So these were wrong, or at least so many
            shares were: holders that work together can make honest ones look wrong, and the secret is right all the same.
    """

    secret: int
    wrong: tuple[int, ...]
    otherwise: int


@dataclass(frozen=True)
class Opened:
    """The secrets of many code words.

    Attributes:
        secrets: In the order of the words.
        wrong: Holder to the places of the words in which its share is wrong, ascending. Complete while `threshold` holders are right in
            every word; else it has what stood in the way of reading.
    """

    secrets: tuple[int, ...]
    wrong: dict[int, tuple[int, ...]]


def decode(shares: Mapping[int, int], threshold: int, right: Callable[[int], bool]) -> Decoded:
    """The secret that `right` accepts whose polynomial of degree < threshold misses the fewest shares.

    It is found if at most half of the shares beyond `threshold` are wrong; or whatever their number, if `threshold` right ones are left, as
    long as `MOST_STEPS` allow to try all subsets (up to 23 shares with a threshold of two thirds), and in between as far as they allow.

    Args:
        shares: Evaluation point, from 1, to share, which counts modulo `shamir.PRIME`.
        right: Whether a secret is the right one, such as a comparison with its hash.
    Raises:
        NotEnoughSharesError: Fewer than `threshold` shares.
        WrongSharesError: No secret was found; its `least` says how many shares must be wrong, if the dealer dealt what `right` knows.
    """
    if len(shares) < threshold:
        raise NotEnoughSharesError(f"{len(shares)} shares, and {threshold} are needed")
    points = tuple(sorted(shares))
    surplus = len(points) - threshold
    moments = _moments(points, [shares[point] for point in points], surplus)
    if not any(moments[1:]):
        if right(moments[0]):
            return Decoded(moments[0], (), surplus + 2)
        raise WrongSharesError(len(points), surplus + 1)  # a polynomial other than the one of all shares meets fewer than threshold
    found = 0
    for guesses in _numbers_of_guesses(len(points), surplus):
        for secret, wrong in _candidates(points, moments, guesses):
            if right(secret):  # with fewer wrong ones it would have been found before
                return Decoded(secret, wrong, surplus + 2 - len(wrong))
        found = (surplus + guesses) // 2
    raise WrongSharesError(len(points), found + 1)


def decode_all(answers: Mapping[int, Sequence[int]], threshold: int, right: Callable[[int, int], bool], weights: Sequence[int]) -> Opened:
    """The secrets of many code words whose shares the same holders have.

    As long as the first `threshold` holders are right, a word costs one sum of products; who else is wrong is asked of all words at once.

    Args:
        answers: Holder to its share of every word.
        right: Whether the word at a place has this secret.
        weights: As in `combined`; one for each word.
    Raises:
        NotEnoughSharesError, WrongSharesError: As `decode`, for the first word that cannot be read.
    """
    secrets: list[int] = []
    wrong: defaultdict[int, list[int]] = defaultdict(list)
    trusted = sorted(answers)  # those that were wrong before come last
    for place in range(len(weights)):
        secret = shamir.reconstruct({holder: answers[holder][place] for holder in trusted[:threshold]}, threshold)
        if not right(place, secret):
            decoded = decode({holder: shares[place] for holder, shares in answers.items()}, threshold, partial(right, place))
            secret = decoded.secret
            for holder in decoded.wrong:
                wrong[holder].append(place)
            trusted.sort(key=lambda holder: (holder in wrong, holder))
        secrets.append(secret)
    return Opened(tuple(secrets), _wrong_places(answers, threshold, secrets, weights, wrong))


def _wrong_places(
    answers: Mapping[int, Sequence[int]], threshold: int, secrets: Sequence[int], weights: Sequence[int], found: Mapping[int, Sequence[int]]
) -> dict[int, tuple[int, ...]]:
    """Where else holders are wrong than at the places that were found while reading."""
    others = {holder: shares for holder, shares in answers.items() if holder not in found}
    try:
        total = decode(combined(others, weights), threshold, shamir.combine(weights, secrets).__eq__)
    except (NotEnoughSharesError, WrongSharesError):  # each word had enough right shares, but not of the same holders
        return {holder: tuple(places) for holder, places in found.items()}
    right = tuple(holder for holder in sorted(others) if holder not in total.wrong)[:threshold]
    known = list(zip(*(answers[holder] for holder in right), strict=True))
    wrong = {}
    for holder in sorted({*found, *total.wrong}):
        at = shamir.coefficients(right, holder)
        wrong[holder] = tuple(place for place, share in enumerate(answers[holder]) if (shamir.combine(at, known[place]) - share) % PRIME)
    return {holder: places for holder, places in wrong.items() if places}


def combined(answers: Mapping[int, Sequence[int]], weights: Sequence[int]) -> dict[int, int]:
    """One code word out of many: a holder with any wrong share is wrong in it, too, but with probability 2^-128.

    Args:
        answers: Holder to its share of every word.
        weights: 128 random bits for each word, drawn once all answers are there.
    Returns:
        Holder to its share of the sum of weight times word, whose secret is the sum of weight times secret.
    """
    return {holder: shamir.combine(weights, shares) for holder, shares in answers.items()}


def _moments(points: tuple[int, ...], values: Sequence[int], surplus: int) -> list[int]:
    terms = [weight * value % PRIME for weight, value in zip(shamir.coefficients(points, 0), values, strict=True)]
    moments = [sum(terms) % PRIME]
    for _ in range(surplus):
        terms = [term * point % PRIME for term, point in zip(terms, points, strict=True)]
        moments.append(sum(terms) % PRIME)
    return moments


def _numbers_of_guesses(count: int, surplus: int) -> Iterator[int]:
    """How many shares to leave out before the rest is decoded, as far as `MOST_STEPS` go.

    Each number but the first finds one wrong share more than the number before: leaving out one costs a syndrome, so that only every
    second number helps.
    """
    for guesses in sorted({0, *range(surplus % 2, surplus + 1, 2)}):
        most = (surplus - guesses) // 2  # wrong ones that are found beside those that are guessed
        if guesses and comb(count, guesses) * (1 + most * (count + 4 * most)) > MOST_STEPS:
            return
        yield guesses


def _candidates(points: tuple[int, ...], moments: Sequence[int], guesses: int) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Secret and wrong points of every polynomial that is found when so many shares are left out."""
    for left_out, left in _left_out(points, moments, guesses):
        if len(left) == 1:
            yield left[0], left_out
            continue
        located = _locate(points, left[1:])
        for point in located:
            left = _without(left, point)
        if not any(left[1:]) and not set(left_out).intersection(located):
            yield left[0], (*left_out, *located)


def _left_out(points: tuple[int, ...], moments: Sequence[int], count: int) -> Iterator[tuple[tuple[int, ...], Sequence[int]]]:
    """Every choice of `count` points, with the moments of the others."""
    if not count:
        yield (), moments
        return
    for place in range(len(points) - count + 1):
        without = _without(moments, points[place])
        if count == 1:
            yield (points[place],), without
        else:
            for others, left in _left_out(points[place + 1 :], without, count - 1):
                yield (points[place], *others), left


def _without(moments: Sequence[int], point: int) -> list[int]:
    inverse = shamir.inverse(point)
    return [(moment - following * inverse) % PRIME for moment, following in zip(moments, moments[1:], strict=False)]


def _locate(points: Sequence[int], syndromes: Sequence[int]) -> list[int]:
    """The wrong points, if they are at most half as many as syndromes; else any points or none, which the caller's moments show."""
    recurrence = _shortest_recurrence(syndromes)
    if 2 * (len(recurrence) - 1) > len(syndromes):
        return []
    return [point for point in points if _evaluate(recurrence, point) == 0]


def _evaluate(coefficients: Sequence[int], at: int) -> int:
    """A polynomial by Horner's rule, from its highest power down."""
    value = 0
    for coefficient in coefficients:
        value = (value * at + coefficient) % PRIME
    return value


def _shortest_recurrence(sequence: Sequence[int]) -> list[int]:
    """c_0, c_1, ... of the shortest recurrence Σ_i c_i · s_{n-i} = 0 of a sequence, up to a factor: Massey's, without inverses."""
    current, before, length, shift, scale = [1], [1], 0, 1, 1
    for place in range(len(sequence)):
        past = reversed(sequence[: place + 1])
        discrepancy = sum(coefficient * value for coefficient, value in zip(current, past, strict=False)) % PRIME
        if not discrepancy:
            shift += 1
            continue
        changed = [scale * coefficient for coefficient in current] + [0] * (shift + len(before) - len(current))
        for power, coefficient in enumerate(before, shift):
            changed[power] -= discrepancy * coefficient
        if 2 * length <= place:
            length, before, scale, shift = place + 1 - length, current, discrepancy, 1
        else:
            shift += 1
        current = [coefficient % PRIME for coefficient in changed]
    return current
