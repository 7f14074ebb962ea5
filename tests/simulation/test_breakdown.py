"""What counts, and in which part of a breakdown, against plain loops over made-up labels."""

from bisect import bisect_left
from statistics import fmean

import numpy as np
import polars as pl
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import average_precision_score

from fedapp.data.task_kinds import CLASSES, VALUES
from simulation.comparison import Compared, by_similarity, by_task, with_holders

PARTNERS, TESTED, CALIBRATING, PER_CLASS = ("a", "b", "c"), 30, 10, 3
OF_CLASSES, AUXILIARY, OF_VALUES = range(3)  # the tasks of a partner
ARMS = ("local", "federated")
KINDS = {CLASSES.name: "auc_pr", VALUES.name: "spearman"}
SEEDS = range(12)


def made_up(name: str, draw: np.random.Generator) -> Compared:
    """A partner of 30 compounds in the test fold, with similarities of which many are equal, and ten in the validation fold."""
    rows, tasks = (places.ravel() for places in np.meshgrid(range(TESTED + CALIBRATING), range(3)))
    kept = draw.random(len(rows)) < 0.7
    rows, tasks = rows[kept], tasks[kept]
    is_value = tasks == OF_VALUES
    labels = pl.DataFrame(
        {
            "partner": [name] * len(rows),
            "fold": np.where(rows < TESTED, "test", "validation"),
            "row": rows.astype(np.int32),
            "task": tasks.astype(np.int32),
            "value": np.where(is_value, draw.normal(6, 1, len(rows)), draw.random(len(rows)) < 0.5).astype(np.float32),
            "censor": np.where(is_value & (draw.random(len(rows)) < 0.2), 1, 0).astype(np.int8),
            **{arm: draw.normal(size=len(rows)).astype(np.float32) for arm in ARMS},
        }
    )
    similarity = np.full(TESTED + CALIBRATING, np.nan)
    similarity[:TESTED] = draw.integers(1, 9, TESTED) / 10
    facts = {"task": np.arange(3, dtype=np.int32), "group": ["g", "h", "i"], "auxiliary": [False, True, False]}
    known = pl.DataFrame({"partner": [name] * 3, **facts, "kind": ["classification", "classification", "regression"]})
    kinds = {CLASSES: np.array([True, True, False]), VALUES: np.array([False, False, True])}
    return Compared(known, labels, kinds, similarity, {}, {})


def quarter_of(value: float, values: list[float]) -> int:
    """0 to 3: how many quartiles of the values, between two of them on a straight line, the value lies above."""
    ordered = sorted(values)
    edges = []
    for share in (0.25, 0.5, 0.75):
        below, rest = divmod(share * (len(ordered) - 1), 1)
        upper = ordered[min(int(below) + 1, len(ordered) - 1)]
        edges.append(ordered[int(below)] + rest * (upper - ordered[int(below)]))
    return bisect_left(edges, value)


def scores_in(compared: Compared, rows: list[int], arm: str) -> list[tuple[float | None, float | None]]:
    """AUC-PR and Spearman of one arm on a partner's tasks that count on these compounds of the test fold; None where a task has none."""
    scores: list[tuple[float | None, float | None]] = []
    for task in (OF_CLASSES, OF_VALUES):
        own = [label for label in compared.labels.iter_rows(named=True) if label["row"] in rows and label["task"] == task]
        exact = [label for label in own if label["censor"] == 0]
        actives = sum(label["value"] for label in own)
        if task == OF_CLASSES and min(actives, len(own) - actives) >= PER_CLASS:
            scores.append((average_precision_score([label["value"] for label in own], [label[arm] for label in own]), None))
        if task == OF_VALUES and len(exact) >= 2 * PER_CLASS:
            scores.append((None, spearmanr([label["value"] for label in exact], [label[arm] for label in exact]).statistic))
    return scores


def mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


@pytest.mark.parametrize("seed", SEEDS)
def test_similarity_has_quarters_of_each_partners_test_compounds_and_a_task_counts_where_its_labels_there_are_enough(seed: int) -> None:
    draw = np.random.default_rng(seed)
    compared = {name: made_up(name, draw) for name in PARTNERS}
    tables = {kind: by_similarity(kind, compared, PER_CLASS) for kind in KINDS}
    for number in range(4):
        expected: dict[str, list[tuple[float | None, float | None]]] = {arm: [] for arm in ARMS}
        there = []
        for each in compared.values():
            similar = each.similarity[:TESTED].tolist()
            rows = [row for row, value in enumerate(similar) if quarter_of(value, similar) == number]
            there += [similar[row] for row in rows]
            for arm in ARMS:
                expected[arm] += scores_in(each, rows, arm)
        for place, (kind, metric) in enumerate(KINDS.items()):
            scores = {arm: [each[place] for each in expected[arm] if each[place] is not None] for arm in ARMS}
            for arm in ARMS:
                (part,) = tables[kind].filter(pl.col("part") == number, pl.col("arm") == arm).to_dicts()
                assert (part["by"], part["least"], part["most"]) == ("similarity", min(there), max(there))
                assert part["tasks"] == len(scores[arm])
                assert part[metric] == pytest.approx(mean(scores[arm]), abs=1e-6)
            gains = [more - less for more, less in zip(*(scores[arm] for arm in reversed(ARMS)), strict=True)]
            assert part["gain_value"] == pytest.approx(mean(gains), abs=1e-6)


def tasks_of(draw: np.random.Generator) -> pl.DataFrame:
    """Up to 40 tasks, of up to nine partners of which some are of one size."""
    number = int(draw.integers(1, 40))
    partners = draw.integers(1, 10, number)
    sizes = draw.integers(1, 4, 10) * 100
    return pl.DataFrame(
        {
            "partner": [f"partner-{partner}" for partner in partners],
            "task": np.arange(number, dtype=np.int32),
            "group": [f"target-{target}" for target in draw.integers(0, 12, number)],
            "labels": draw.integers(50, 60, number),
            "partner_size": sizes[partners],
            **{f"{arm}_{metric}": draw.random(number) for arm in ARMS for metric in ("auc_pr", "auc_roc", "bce")},
        }
    )


NO_LABELS = pl.DataFrame(
    schema={"partner": pl.String, "fold": pl.String, "task": pl.Int32, "value": pl.Float32} | dict.fromkeys(ARMS, pl.Float32)
)


@pytest.mark.parametrize("seed", SEEDS)
def test_holders_are_the_partners_that_have_a_task_of_the_same_group(seed: int) -> None:
    tasks = tasks_of(np.random.default_rng(seed))
    homes: dict[str, set[str]] = {}
    for task in tasks.iter_rows(named=True):
        homes.setdefault(task["group"], set()).add(task["partner"])
    assert with_holders(tasks)["holders"].to_list() == [len(homes[group]) for group in tasks["group"]]


@pytest.mark.parametrize("seed", SEEDS)
def test_partners_are_in_quarters_by_size_tasks_by_labels_and_four_or_more_holders_are_one_part(seed: int) -> None:
    tasks = with_holders(tasks_of(np.random.default_rng(seed)))
    every = tasks.to_dicts()
    order = sorted({(task["partner_size"], task["partner"]) for task in every})
    labels = [task["labels"] for task in every]
    places = {
        "partner_size": [order.index((task["partner_size"], task["partner"])) * 4 // len(order) for task in every],
        "labels": [quarter_of(task["labels"], labels) for task in every],
        "holders": [min(task["holders"], 4) for task in every],
    }
    for by, table in zip(places, by_task(CLASSES.name, tasks, NO_LABELS), strict=True):
        parts = [[task for task, at in zip(every, places[by], strict=True) if at == place] for place in sorted(set(places[by]))]
        shown = table.filter(pl.col("arm") == "federated").to_dicts()
        assert [part["part"] for part in shown] == list(range(len(parts)))
        for part, own in zip(shown, parts, strict=True):
            values = [task[by] for task in own]
            assert (part["by"], part["least"], part["most"], part["tasks"]) == (by, min(values), max(values), len(own))
            assert part["auc_pr"] == pytest.approx(fmean(task["federated_auc_pr"] for task in own))
            assert part["gain_value"] == pytest.approx(fmean(task["federated_auc_pr"] - task["local_auc_pr"] for task in own))
