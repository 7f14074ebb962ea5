"""What the coordinator sees of one round of secure aggregation, held against chance.

Real parties of the protocol run in this process, every message through its bytes, and the coordinator keeps all that passes through its
hands. Each figure has a level of 1e-4, divided among all looks behind it (Bonferroni): masks that are perfect fail an audit once in
some thousands of runs, and a flaw in masks is never so faint. Under plain aggregation the same figures are those of a coordinator that
reads everything.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from simulation.audit.findings import OFF, ON, Finding
from strategies.secagg.collection import Collection
from strategies.secagg.coordinator import Coordinator
from strategies.secagg.identity import Identity
from strategies.secagg.masking import signed_view, tag_words
from strategies.secagg.messages import NO_TRUNK, LastRound, SessionParameters
from strategies.secagg.participant import Participant
from strategies.secagg.policy import Policy
from strategies.secagg.roster import LEAST_PARTNERS, Member, Roster, default_threshold

LEVEL = 1e-4
BLOCK = 256  # words that the distinguisher judges at once
FEWEST_WORDS = 2 * BLOCK  # one to learn from, and one to judge
TRUNK = sha256(b"audit").digest()

Words = NDArray[np.uint32]
Entropy = Callable[[int], bytes]


@dataclass
class CoordinatorView:
    """All that the coordinator held.

    Attributes:
        vectors: Each partner's words, [partners, words]; masked under secure aggregation.
        total: Their sum, [words]: still under group masks there.
        messages: Every message and vector with its size in bytes, in order.
    """

    vectors: Words
    total: Words
    messages: list[tuple[str, int]] = field(default_factory=list)


def plain_view(words: Words) -> CoordinatorView:
    """Under plain aggregation: the words themselves."""
    return CoordinatorView(words, words.sum(axis=0, dtype=np.uint32), [("words", own.nbytes) for own in words])


def secure_view(words: Words, entropy: Entropy = os.urandom) -> CoordinatorView:
    """Run a session and one round of secure aggregation over these words.

    Args:
        words: uint32 [partners, words], 3 partners or more, whose sum, read as signed, does not wrap.
        entropy: Of partners' secrets; the operating system's generator outside tests.
    Raises:
        RuntimeError: Partners did not decode the sum of the words.
    """
    coordinator, partners = session(len(words), entropy)
    view = CoordinatorView(np.empty_like(words), np.empty_like(words[0]))

    def carried(step: str, request: bytes, reply: bytes) -> bytes:
        view.messages += [(f"{step} request", len(request)), (f"{step} reply", len(reply))]
        return reply

    request = coordinator.advertise_request()
    for partner in partners.values():
        coordinator.add_advertisement(carried("advertise", request, partner.advertise(request, 0, NO_TRUNK)))
    request = coordinator.share_keys_request()
    for index, partner in partners.items():
        coordinator.add_contributions(index, carried("share keys", request, partner.share_keys(request)))
    collection = Collection(coordinator, 0, coordinator.members())
    for index, partner in partners.items():
        request = coordinator.collect_request(index, 0, coordinator.members(), False, 0, None, None)
        partner.collect(request)
        masked = np.append(words[index - 1], np.zeros(tag_words(partner.session), dtype=np.uint32))
        reply = carried("collect", request, partner.mask(request, TRUNK, masked, np.empty(0, dtype=np.uint32)))
        view.messages.append(("words", masked.nbytes))
        view.vectors[index - 1] = masked[: words.shape[1]]
        collection.add_input(index, reply, masked)
    request = collection.consistency_request()
    for index, partner in partners.items():
        collection.add_signature(index, carried("consistency", request, partner.confirm(request)))
    for index, partner in partners.items():
        request = collection.unmask_request(index)
        collection.add_answer(index, carried("unmask", request, partner.unmask(request)))
    blinded, _ = collection.unmask()
    view.total[:] = blinded[: words.shape[1]]
    decoded, _ = partners[1].finish(LastRound(0, collection.survivors, False), blinded.copy(), TRUNK)
    if not np.array_equal(decoded, signed_view(words.sum(axis=0, dtype=np.uint32))):
        raise RuntimeError("the round under audit did not give the sum of the words")
    return view


def session(count: int, entropy: Entropy) -> tuple[Coordinator, dict[int, Participant]]:
    """A coordinator and new partners, before their first message."""
    identities = [Identity.generate() for _ in range(count)]
    members = tuple(Member(index, f"partner-{index}", each.public) for index, each in enumerate(identities, 1))
    roster = Roster("audit", default_threshold(count), LEAST_PARTNERS, members)
    digest = roster.digest()
    policy = Policy(digest, TRUNK, "audit", (32,), 0, 1, (), LEAST_PARTNERS)
    parameters = SessionParameters(digest, TRUNK, "audit", 32, 0, 1, (), entropy(32))
    partners = {index: Participant(each, roster, policy, entropy) for index, each in enumerate(identities, 1)}
    return Coordinator(roster, parameters), partners


# Figures


def coordinator_findings(words: Words, other: Words, width: int, entropy: Entropy = os.urandom) -> list[Finding]:
    """Everything about one round, under secure aggregation and, for comparison, in the clear.

    Args:
        words: Quantised updates, uint32 [partners, words], of which rows of `width` words may be zero.
        other: A very different input of the same shape, such as zeros.
        width: Words of a row of the first layer.
    Raises:
        ValueError: The two differ in shape, or are shorter than two blocks of 256 words.
    """
    if words.shape != other.shape or words.shape[1] < FEWEST_WORDS:
        raise ValueError(f"inputs of {words.shape} and {other.shape}: not of one shape, or shorter than {FEWEST_WORDS} words")
    secure = judged(words, width, secure_view(words, entropy), secure_view(other, entropy), ON)
    return secure + judged(words, width, plain_view(words), plain_view(other), OFF)


def judged(words: Words, width: int, view: CoordinatorView, other: CoordinatorView, defences: str) -> list[Finding]:
    """The figures of one pair of views; `words` are the truth about the first of them."""
    found = [
        (
            "zero rows",
            "How far the best word statistic tells zero rows from others (area under the curve, less one half).",
            zero_rows(words, width, view),
        ),
        ("two inputs", "How often a distinguisher says which of two inputs is behind 256 words, less one half.", two_inputs(view, other)),
        (
            "uniform bytes",
            "How far the bytes seen are from all being equally frequent (chi-square a word, beyond chance).",
            uniform_bytes(view),
        ),
        ("correlation", "Largest correlation of the words seen with the true ones.", correlation(words, view)),
        ("sizes", "How many messages of the round differ in size between two inputs.", sizes(view, other)),
    ]
    note = f"Level {LEVEL}, divided among all looks behind the figure."
    return [
        Finding(
            name="coordinator_view",
            attack=attack,
            adversary="coordinator",
            defences=defences,
            what=what,
            value=figure.value,
            lower=figure.lower,
            upper=figure.upper,
            chance=0.0,
            gate=0.0,
            judged="lower",
            trials=figure.trials,
            note=note,
        )
        for attack, what, figure in found
    ]


@dataclass(frozen=True)
class ViewFigure:
    """A distance from chance, its interval, and what it is counted over."""

    value: float
    lower: float
    upper: float
    trials: int


def zero_rows(words: Words, width: int, view: CoordinatorView) -> ViewFigure:
    """Mann-Whitney's AUC of zero rows against others, for each of five statistics of a row; the largest distance from one half.

    Nothing to tell apart where all rows are zero, or none.
    """
    rows = words.shape[1] // width
    zero = np.asarray(~words[:, : rows * width].reshape(-1, width).any(axis=1))
    seen = view.vectors[:, : rows * width].reshape(-1, width)
    inside, outside = int(zero.sum()), int((~zero).sum())
    if not inside or not outside:
        return ViewFigure(0.0, 0.0, 0.0, 0)
    size = np.abs(signed_view(seen).astype(np.float64))
    statistics = [size.mean(axis=1), size.max(axis=1), size.min(axis=1), np.bitwise_count(seen).mean(axis=1), seen.std(axis=1)]
    areas = [stats.mannwhitneyu(each[zero], each[~zero]).statistic / (inside * outside) for each in statistics]
    away = max(abs(float(area) - 0.5) for area in areas)
    spread = np.sqrt((inside + outside + 1) / (12 * inside * outside))
    return around(away, spread * stats.norm.isf(LEVEL / len(areas) / 2), len(zero))


def two_inputs(view: CoordinatorView, other: CoordinatorView) -> ViewFigure:
    """Accuracy, less one half, of a linear classifier on the bytes of blocks: learned on every second block, judged on the others."""
    features = np.concatenate([blocks(view), blocks(other)])
    labels = np.repeat([1.0, -1.0], len(features) // 2)
    learned = np.arange(len(features)) % 2 == 0
    features = (features - features[learned].mean(axis=0)) / (features[learned].std(axis=0) + 1e-9)
    gram = features[learned].T @ features[learned] + len(features) * np.eye(features.shape[1])  # ridge, so that few blocks do
    weights = np.linalg.solve(gram, features[learned].T @ labels[learned])
    right = int((np.sign(features[~learned] @ weights) == labels[~learned]).sum())
    trials = int((~learned).sum())
    limits = stats.binomtest(right, trials).proportion_ci(1 - LEVEL)
    return ViewFigure(right / trials - 0.5, float(limits.low) - 0.5, float(limits.high) - 0.5, trials)


def blocks(view: CoordinatorView) -> NDArray[np.float64]:
    """Of each block of words, how often each half byte occurs at each of a word's eight places: [blocks, 8 * 16]."""
    vectors = np.vstack([view.vectors, view.total])
    count = vectors.shape[1] // BLOCK
    words = vectors[:, : count * BLOCK].reshape(-1, BLOCK)
    number = 16 * np.arange(len(words), dtype=np.uint32)[:, None]
    places = [np.bincount(((words >> place & 15) + number).ravel(), minlength=16 * len(words)) for place in range(0, 32, 4)]
    return np.hstack([place.reshape(-1, 16) for place in places]).astype(np.float64)


def uniform_bytes(view: CoordinatorView) -> ViewFigure:
    """Chi-square of the bytes at each place of the words of each partner and of the sum; the largest, less what chance gives it."""
    vectors = np.vstack([view.vectors, view.total])
    places = [np.ascontiguousarray(vector).view(np.uint8)[start::4] for vector in vectors for start in range(4)]
    largest = max(float(stats.chisquare(np.bincount(place, minlength=256)).statistic) for place in places)
    count, degrees, share = vectors.shape[1], 255, LEVEL / len(places)
    low, high = stats.chi2.ppf(share, degrees), stats.chi2.isf(share, degrees)
    return ViewFigure((largest - degrees) / count, float(largest - high) / count, float(largest - low) / count, len(places) * count)


def correlation(words: Words, view: CoordinatorView) -> ViewFigure:
    """Largest correlation, by partner, of the words that are seen with the true ones."""
    pairs = [(true, seen) for true, seen in zip(words, view.vectors, strict=True) if np.ptp(true)]
    if not pairs:
        return ViewFigure(0.0, 0.0, 0.0, 0)
    found = max(abs(float(np.corrcoef(signed_view(true), signed_view(seen))[0, 1])) for true, seen in pairs)
    return around(found, stats.norm.isf(LEVEL / len(pairs) / 2) / np.sqrt(words.shape[1]), len(pairs) * words.shape[1])


def sizes(view: CoordinatorView, other: CoordinatorView) -> ViewFigure:
    """Messages of one view that have another name or size in the other."""
    longest = max(len(view.messages), len(other.messages))
    differ = float(longest - sum(one == two for one, two in zip(view.messages, other.messages, strict=False)))
    return ViewFigure(differ, differ, differ, longest)


def around(value: float, margin: float, trials: int) -> ViewFigure:
    """A figure within its margin."""
    return ViewFigure(value, float(value - margin), float(value + margin), trials)
