"""What the coordinator sees of one round of secure aggregation, held against chance.

Real parties of the protocol run in this process, every message through its bytes, and the coordinator keeps all that passes through its
hands. Each figure has a level of 1e-4, divided among all looks behind it (Bonferroni): masks that are perfect fail an audit once in
some thousands of runs, and a flaw in masks is never so faint. Under plain aggregation the same figures are those of a coordinator that
reads everything.
"""

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from math import nan

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from fedapp.errors import DataError
from simulation.audit.findings import OFF, ON, AuditOutcome, Finding
from simulation.audit.scenario import Scenario
from simulation.audit.statistics import Estimate
from strategies.secagg.masking import signed_view
from strategies.secagg.rehearsal import Rehearsal, Transmission, throw_away_parties

LEVEL = 1e-4
BLOCK = 256  # words that the distinguisher judges at once
FEWEST_WORDS = 2 * BLOCK  # one to learn from, and one to judge
MOST_ROWS = 256  # of the first layer, that the coordinator's view is judged on
HEADS = " of shared heads"
LENGTH = "How many shared heads there are it knows, from the length of the vectors; not which endpoints, nor whose."

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
    return CoordinatorView(words, words.sum(axis=0, dtype=np.uint32), [("words", update.nbytes) for update in words])


def secure_view(words: Words, entropy: Entropy = os.urandom) -> CoordinatorView:
    """Run a session and one round of secure aggregation over these words.

    Args:
        words: uint32 [partners, words], 3 partners or more, whose sum, read as signed, does not wrap.
        entropy: Of partners' secrets; the operating system's generator outside tests.
    Raises:
        RuntimeError: Partners did not decode the sum of the words.
    """
    coordinator, partners = throw_away_parties(len(words), entropy)
    view = CoordinatorView(np.empty_like(words), np.empty_like(words[0]))

    def seen(sent: Transmission) -> bool:
        view.messages.append((f"{sent.step} {'reply' if sent.upward else 'request'}", len(sent.body)))
        if sent.words.size:
            view.messages.append(("words", sent.words.nbytes))
            view.vectors[sent.partner - 1] = sent.words[: words.shape[1]]
        return True

    def write(index: int, private: Words) -> None:
        private[:] = words[index - 1]

    rehearsal = Rehearsal(coordinator, partners, words.shape[1], carry=seen)
    rehearsal.set_up()
    collection = rehearsal.collect(write)
    rehearsal.agree(collection)
    masked_sum = rehearsal.reveal(collection)
    view.total[:] = masked_sum[: words.shape[1]]
    if not np.array_equal(rehearsal.decode(1, collection, masked_sum), signed_view(words.sum(axis=0, dtype=np.uint32))):
        raise RuntimeError("the round under audit did not give the sum of the words")
    return view


def attack(scenario: Scenario) -> AuditOutcome:
    """The coordinator's view of the target's last round, of rows and of shared heads, under secure aggregation and in the clear.

    Raises:
        DataError: The sum is so short that nothing could be told of it.
    """
    words, form, width = scenario.target.words, scenario.target.form, scenario.config.model.hidden[0]
    assert words is not None
    check_length(words.shape[1], scenario.config.privacy.row_guard)
    assert form is not None
    rows = np.ascontiguousarray(words[:, : MOST_ROWS * width])
    findings = coordinator_findings(rows, np.zeros_like(rows), width)
    heads = np.ascontiguousarray(words[:, form.dense : form.before_counters])
    if heads.shape[1] >= FEWEST_WORDS:
        findings += coordinator_findings(heads, np.zeros_like(heads), form.slot_width + 1, of=HEADS)
    elif scenario.target.slots.size:
        findings.append(not_judged(heads.shape[1]))
    return AuditOutcome(findings=tuple(findings))


def not_judged(words: int) -> Finding:
    """Where there is a catalogue, and the words of shared heads are too few for any figure."""
    return Finding(
        name="coordinator_view",
        attack=f"all of them{HEADS}",
        adversary="coordinator",
        defences=ON,
        what="What the coordinator sees of the words of shared heads.",
        chance=0.0,
        note=f"Not judged: the sum has {words} words of shared heads, and {FEWEST_WORDS} or more are needed. They are masked as rows are.",
        **asdict(Estimate(nan, 0.0, 1.0, 0)),
    )


def check_length(words: int, row_guard: int) -> None:
    """Refuse a sum of fewer than `FEWEST_WORDS` words.

    Raises:
        DataError: It is shorter.
    """
    if words < FEWEST_WORDS:
        raise DataError(
            f"privacy.row_guard of {row_guard} leaves a sum of {words} words of so few compounds, and the coordinator's view is judged on "
            f"{FEWEST_WORDS} or more",
            "raise audit.compounds, or use more data",
        )


# Figures


def coordinator_findings(words: Words, other: Words, width: int, entropy: Entropy = os.urandom, of: str = "") -> list[Finding]:
    """Everything about one round, under secure aggregation and, for comparison, in the clear.

    Args:
        words: Quantised updates, uint32 [partners, words], of which rows of `width` words may be zero.
        other: A very different input of the same shape, such as zeros.
        width: Words of a row of the first layer, or of a shared head, its presence included.
        of: Of which words, behind each attack's name.
    Raises:
        ValueError: The two differ in shape, or are shorter than two blocks of 256 words.
    """
    if words.shape != other.shape or words.shape[1] < FEWEST_WORDS:
        raise ValueError(f"inputs of {words.shape} and {other.shape}: not of one shape, or shorter than {FEWEST_WORDS} words")
    findings = judged(words, width, secure_view(words, entropy), secure_view(other, entropy), ON)
    findings += judged(words, width, plain_view(words), plain_view(other), OFF)
    return [replace(each, attack=each.attack + of, note=f"{each.note} {LENGTH}" if of else each.note) for each in findings]


def judged(words: Words, width: int, view: CoordinatorView, other: CoordinatorView, defences: str) -> list[Finding]:
    """The figures of one pair of views, each a distance from chance; `words` are the truth about the first of them."""
    estimates = [
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
    return [
        Finding(
            name="coordinator_view",
            attack=attack,
            adversary="coordinator",
            defences=defences,
            what=what,
            chance=0.0,
            gate=0.0,
            judged="lower",
            note=f"Level {LEVEL}, divided among all looks behind the figure.",
            **asdict(estimate),
        )
        for attack, what, estimate in estimates
    ]


def zero_rows(words: Words, width: int, view: CoordinatorView) -> Estimate:
    """Mann-Whitney's AUC of zero rows against others, for each of five statistics of a row; the largest distance from one half.

    Nothing to tell apart where all rows are zero, or none.
    """
    rows = words.shape[1] // width
    zero = np.asarray(~words[:, : rows * width].reshape(-1, width).any(axis=1))
    seen = view.vectors[:, : rows * width].reshape(-1, width)
    inside, outside = int(zero.sum()), int((~zero).sum())
    if not inside or not outside:
        return Estimate(0.0, 0.0, 0.0, 0)
    size = np.abs(signed_view(seen).astype(np.float64))
    statistics = [size.mean(axis=1), size.max(axis=1), size.min(axis=1), np.bitwise_count(seen).mean(axis=1), seen.std(axis=1)]
    areas = [stats.mannwhitneyu(values[zero], values[~zero]).statistic / (inside * outside) for values in statistics]
    away = max(abs(float(area) - 0.5) for area in areas)
    spread = np.sqrt((inside + outside + 1) / (12 * inside * outside))
    return around(away, spread * stats.norm.isf(LEVEL / len(areas) / 2), len(zero))


def two_inputs(view: CoordinatorView, other: CoordinatorView) -> Estimate:
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
    return Estimate(right / trials - 0.5, float(limits.low) - 0.5, float(limits.high) - 0.5, trials)


def blocks(view: CoordinatorView) -> NDArray[np.float64]:
    """Of each block of words, how often each half byte occurs at each of a word's eight places: [blocks, 8 * 16]."""
    vectors = np.vstack([view.vectors, view.total])
    count = vectors.shape[1] // BLOCK
    words = vectors[:, : count * BLOCK].reshape(-1, BLOCK)
    number = 16 * np.arange(len(words), dtype=np.uint32)[:, None]
    places = [np.bincount(((words >> place & 15) + number).ravel(), minlength=16 * len(words)) for place in range(0, 32, 4)]
    return np.hstack([place.reshape(-1, 16) for place in places]).astype(np.float64)


def uniform_bytes(view: CoordinatorView) -> Estimate:
    """Chi-square of the bytes at each place of the words of each partner and of the sum; the largest, less what chance gives it."""
    vectors = np.vstack([view.vectors, view.total])
    places = [np.ascontiguousarray(vector).view(np.uint8)[start::4] for vector in vectors for start in range(4)]
    largest = max(float(stats.chisquare(np.bincount(place, minlength=256)).statistic) for place in places)
    count, degrees, share = vectors.shape[1], 255, LEVEL / len(places)
    low, high = stats.chi2.ppf(share, degrees), stats.chi2.isf(share, degrees)
    return Estimate((largest - degrees) / count, float(largest - high) / count, float(largest - low) / count, len(places) * count)


def correlation(words: Words, view: CoordinatorView) -> Estimate:
    """Largest correlation, by partner, of the words that are seen with the true ones."""
    pairs = [(true, seen) for true, seen in zip(words, view.vectors, strict=True) if np.ptp(true)]
    if not pairs:
        return Estimate(0.0, 0.0, 0.0, 0)
    largest = max(abs(float(np.corrcoef(signed_view(true), signed_view(seen))[0, 1])) for true, seen in pairs)
    return around(largest, stats.norm.isf(LEVEL / len(pairs) / 2) / np.sqrt(words.shape[1]), len(pairs) * words.shape[1])


def sizes(view: CoordinatorView, other: CoordinatorView) -> Estimate:
    """Messages of one view that have another name or size in the other."""
    longest = max(len(view.messages), len(other.messages))
    differ = float(longest - sum(one == two for one, two in zip(view.messages, other.messages, strict=False)))
    return Estimate(differ, differ, differ, longest)


def around(value: float, margin: float, trials: int) -> Estimate:
    """A figure within its margin."""
    return Estimate(value, float(value - margin), float(value + margin), trials)
