"""What the coordinator sees: the same noise whatever the inputs are, in every number that passes through its hands.

Seeds are fixed, so that a probability below 1e-4 is a finding and no accident.
"""

import gc
import types
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
from scipy import stats

from strategies.secagg import keys
from strategies.secagg.collection import Collection
from strategies.secagg.keystream import add_streams
from strategies.secagg.masking import group_masks, signed_view
from strategies.secagg.phases import Step
from tests.strategies.secagg.parties import Parties, roster_of

COUNT, LENGTH, LEAST_P = 5, 20_000, 1e-4
SURVIVORS, DROPPED = (1, 2, 3, 4), 5
LARGEST = (2**31 - 1) // COUNT
INPUTS = {"zeros": np.zeros(LENGTH, dtype=np.int64), "large": np.full(LENGTH, LARGEST)}


@dataclass
class View:
    """Everything of one round that the coordinator holds at any time.

    Attributes:
        parties: After the round.
        vectors: Masked vectors, the one of the partner that is then declared dropped too.
        shown: Masked public words.
        bundles, shares, seeds: Encrypted shares, revealed ones, and what they reconstruct: to add, and to subtract.
        blinded: The sum.
    """

    parties: Parties
    collection: Collection
    vectors: dict[int, np.ndarray]
    shown: dict[int, bytes]
    bundles: bytes
    shares: bytes
    seeds: tuple[list[bytes], list[bytes]]
    blinded: np.ndarray

    def parts(self) -> dict[str, bytes]:
        """All of it as bytes."""
        return {
            "vectors": b"".join(vector.tobytes() for vector in self.vectors.values()),
            "public words": b"".join(self.shown.values()),
            "encrypted shares": self.bundles,
            "shares": self.shares,
            "seeds": b"".join(self.seeds[0] + self.seeds[1]),
            "sum": self.blinded.tobytes(),
        }


@cache
def view(inputs: str, seed: int) -> View:
    """A session and a round in which one partner's input arrives too late."""
    parties = Parties(roster_of(COUNT), seed=seed)
    parties.set_up()
    parties.up = lambda step, index, message: None if (step, index) == (Step.COLLECT, DROPPED) else message
    everybody = dict.fromkeys(range(1, COUNT + 1), INPUTS[inputs])
    collection = parties.collect(0, everybody, dict.fromkeys(everybody, np.arange(300) if inputs == "large" else np.zeros(300)))
    vectors = {index: site.words.copy() for index, site in parties.sites.items()}
    parties.agree(collection)
    for index in SURVIVORS:
        reply = parties.exchange(Step.UNMASK, index, collection.unmask_request(index))
        assert reply is not None
        collection.add_answer(index, reply)
    shares, seeds = b"".join(answer.shares for answer in collection.answers.values()), collection._masks()
    blinded, _ = collection.unmask()
    shown = {index: held.public for index, held in collection.inputs.items()}
    bundles = b"".join(b"".join(held.bundle) for held in collection.inputs.values())
    return View(parties, collection, vectors, shown, bundles, shares, seeds, blinded)


def frequencies(content: bytes) -> np.ndarray:
    """How often each byte occurs; half bytes where there are few."""
    held = np.frombuffer(content, dtype=np.uint8)
    return np.bincount(held, minlength=256) if len(held) >= 256 * 10 else np.bincount(np.append(held >> 4, held & 15), minlength=16)


def looks_uniform(content: bytes, looks: int = 1) -> bool:
    """Whether its bytes, and those at each place of its words, are as frequent as chance makes them in one of so many looks."""
    return all(
        stats.chisquare(frequencies(place)).pvalue > LEAST_P / looks for place in (content, *(content[start::4] for start in range(4)))
    )


# Uniform, and alike


@pytest.mark.parametrize("inputs", INPUTS)
def test_every_part_of_the_view_looks_uniform(inputs: str) -> None:
    for name, content in view(inputs, 1).parts().items():
        assert looks_uniform(content), name


def test_the_test_of_uniformity_notices_what_is_not() -> None:
    masked = view("zeros", 1).blinded.copy()
    masked[: LENGTH // 10] = INPUTS["large"][: LENGTH // 10]
    assert not looks_uniform(masked.tobytes())
    assert not looks_uniform((view("zeros", 1).blinded & np.uint32(0xFFFFFFFE)).tobytes())


@pytest.mark.parametrize("seeds", [(1, 2), (3, 3)], ids=["independent randomness", "the same randomness"])
def test_the_views_of_two_very_different_inputs_cannot_be_told_apart(seeds: tuple[int, int]) -> None:
    one, other = view("zeros", seeds[0]).parts(), view("large", seeds[1]).parts()
    for name in one:
        assert len(one[name]) == len(other[name]), name
        if one[name] != other[name]:  # with the same randomness, what does not depend on the inputs is equal
            assert stats.chi2_contingency([frequencies(one[name]), frequencies(other[name])]).pvalue > LEAST_P, name


@pytest.mark.parametrize("inputs", INPUTS)
def test_words_that_follow_each_other_or_belong_to_two_partners_are_unrelated(inputs: str) -> None:
    held = view(inputs, 1)
    pairs = [(vector[:-1], vector[1:]) for vector in held.vectors.values()]
    pairs += [(held.vectors[index], held.vectors[index + 1]) for index in range(1, COUNT)]
    for one, other in pairs:
        assert stats.pearsonr(one.astype(float), other.astype(float)).pvalue > LEAST_P


def test_two_rounds_with_the_same_input_share_no_words() -> None:
    held = view("zeros", 4)
    parties = held.parties
    parties.up = lambda step, index, message: message
    parties.collect(1, dict.fromkeys(range(1, COUNT + 1), INPUTS["zeros"]))
    for index, site in parties.sites.items():
        first, second = held.vectors[index], site.words
        assert len(first) == len(second) > LENGTH
        assert not np.any(first == second)
        assert len(np.intersect1d(first, second)) <= 2  # 0.1 expected


# What cannot be taken off


def residues(held: View, words: np.ndarray) -> Iterator[np.ndarray]:
    """Words from which each seed that the coordinator has was taken off, either way, and all of them."""
    plus, minus = held.seeds
    every = plus + minus
    for chosen in [*([seed] for seed in every + list(map(keys.public_seed, every))), plus, minus, every]:
        for added, taken in ((chosen, []), ([], chosen)):
            residue = words.copy()
            add_streams(residue, added, taken)
            yield residue
    residue = words.copy()
    add_streams(residue, minus, plus)
    yield residue


@pytest.mark.parametrize("inputs", INPUTS)
def test_no_seed_that_the_coordinator_holds_uncovers_the_sum(inputs: str) -> None:
    held = view(inputs, 1)
    total = (len(SURVIVORS) * INPUTS[inputs]).astype("<u4")
    for residue in [held.blinded, *residues(held, held.blinded)]:
        assert not np.any(residue[:LENGTH] == total)
        assert looks_uniform(residue.tobytes(), looks=1000)


@pytest.mark.parametrize("index", range(1, COUNT + 1))
def test_no_seed_that_the_coordinator_holds_uncovers_a_partners_input(index: int) -> None:
    held = view("zeros", 1)
    for residue in residues(held, held.vectors[index]):
        assert np.count_nonzero(residue == 0) <= 1
        assert looks_uniform(residue.tobytes(), looks=1000)


def test_the_seeds_are_the_survivors_self_masks_and_their_masks_with_the_dropped_one() -> None:
    held = view("zeros", 1)
    states = {index: held.parties.partner(index).state for index in range(1, COUNT + 1)}
    assert all(state.round is not None for state in states.values())
    seeds = set(held.seeds[0] + held.seeds[1])
    assert len(seeds) == 2 * len(SURVIVORS)
    assert {state.round.self_seed for index, state in states.items() if index != DROPPED and state.round} <= seeds
    assert states[DROPPED].round is not None
    assert states[DROPPED].round.self_seed not in seeds


def test_only_the_group_masks_hide_the_sum() -> None:
    held = view("large", 1)
    words = held.blinded.copy()
    hidden, cancelled = group_masks(held.parties.partner(1).session, 0, SURVIVORS)
    add_streams(words, cancelled, hidden)
    assert np.all(signed_view(words)[:LENGTH] == len(SURVIVORS) * LARGEST)


# What does not stay in memory


def reachable(*roots: object) -> Iterator[bytes]:
    """The content of every byte string and array that objects lead to."""
    seen: set[int] = set()
    waiting = list(roots)
    while waiting:
        held = waiting.pop()
        if id(held) in seen or isinstance(held, type | types.ModuleType | types.FunctionType | types.CodeType):
            continue
        seen.add(id(held))
        if isinstance(held, bytes | bytearray):
            yield bytes(held)
        elif isinstance(held, np.ndarray):
            yield held.tobytes()
            waiting.append(held.base)
        elif isinstance(held, int) and held >> 64:
            yield held.to_bytes(64, "big")
        waiting.extend(gc.get_referents(held))


def secrets(held: View) -> list[bytes]:
    """Keys, seeds and plain numbers of the partners."""
    found = [(len(SURVIVORS) * INPUTS["large"]).astype("<u4").tobytes()[:64], INPUTS["large"].astype("<u4").tobytes()[:64]]
    for index in range(1, COUNT + 1):
        state = held.parties.partner(index).state
        assert state.session is not None
        assert state.round is not None
        found += [state.session.group, *(pair for pair in state.session.pairs if pair), state.round.self_seed, state.round.own_secret]
        found.append(keys.group_seed(state.session.group, 0, index))
    return found + held.seeds[0] + held.seeds[1]


def test_nothing_secret_is_left_in_the_coordinators_memory_after_a_round() -> None:
    held = view("large", 1)
    contents = list(reachable(held.parties.coordinator, held.collection))
    assert sum(map(len, contents)) > 100_000
    for secret in secrets(held):
        assert len(secret) >= 32
        assert not any(secret in content for content in contents)


def test_the_search_finds_what_is_there() -> None:
    held = view("large", 1)
    hidden = types.SimpleNamespace(deep=[{"k": (secrets(held)[2],)}])
    assert any(secrets(held)[2] in content for content in reachable(held.collection, hidden))
    number = int.from_bytes(held.seeds[0][0], "big")
    assert any(held.seeds[0][0] in content for content in reachable([number]))
