"""How fast the metrics of many tasks are: all at once, as partners compute them, and task after task with scikit-learn."""

from collections.abc import Callable
from statistics import median
from time import process_time
from typing import Any

import numpy as np

from fedapp.errors import MachineError
from fedapp.evaluation.metrics import TaskMetrics, task_metrics

LABELS = 50  # of a task: about as many as those of ChEMBL in FS-Mol's extract have in one fold of five
ACTIVES = 0.4


def measure_metrics(tasks: int, repeats: int) -> dict[str, Any]:
    """Both ways on the same made-up predictions, in turns; processor time.

    Returns:
        tasks and labels; seconds and reference_seconds, medians; speedup, the median of the ratios of neighbours, and speedups, all of
        them, ascending; difference, the largest between two figures of both.
    Raises:
        MachineError: scikit-learn is not installed.
    """
    random = np.random.default_rng(1)
    of_task = random.permutation(np.repeat(np.arange(tasks), LABELS))  # labels lie compound after compound, not task after task
    labels, logits = (random.random(len(of_task)) < ACTIVES).astype(np.float32), random.normal(size=len(of_task)).astype(np.float32)
    inputs = (of_task, labels, logits, tasks)
    found = scores(task_metrics(*inputs)), scores(task_by_task(*inputs))  # before any time is taken: what is to be imported is
    pairs = [(seconds(task_metrics, inputs), seconds(task_by_task, inputs)) for _ in range(repeats)]
    ours, reference = (median(column) for column in zip(*pairs, strict=True))
    speedups = sorted(slow / fast for fast, slow in pairs)
    return {
        "tasks": tasks,
        "labels": len(logits),
        "seconds": round(ours, 5),
        "reference_seconds": round(reference, 3),
        "speedup": round(median(speedups), 1),
        "speedups": [round(speedup, 1) for speedup in speedups],
        "difference": float(np.nanmax(np.abs(found[0] - found[1]))),
    }


def scores(metrics: TaskMetrics) -> np.ndarray:
    """What both ways compute: float64 (3, tasks)."""
    return np.stack([metrics.auc_pr, metrics.auc_roc, metrics.bce])


def seconds(work: Callable[..., TaskMetrics], inputs: tuple[Any, ...]) -> float:
    """Processor time of one call."""
    begun = process_time()
    work(*inputs)
    return process_time() - begun


def task_by_task(tasks: np.ndarray, labels: np.ndarray, logits: np.ndarray, count: int) -> TaskMetrics:
    """As `fedapp.evaluation.metrics.task_metrics`, each task by itself.

    Raises:
        MachineError: scikit-learn is not installed.
    """
    try:
        from sklearn.metrics import average_precision_score, log_loss, roc_auc_score
    except ImportError as error:
        raise MachineError("the yardstick of metrics is scikit-learn, which is not installed", "pip install -e '.[dev]'") from error
    order = np.argsort(tasks, kind="stable")
    bounds = np.searchsorted(tasks[order], np.arange(count + 1))
    positives, negatives = np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.int64)
    auc_pr, auc_roc, bce = (np.full(count, np.nan) for _ in range(3))
    for task in range(count):
        own = order[bounds[task] : bounds[task + 1]]
        actual, predicted = labels[own], logits[own].astype(np.float64)
        positives[task] = actual.sum()
        negatives[task] = len(own) - positives[task]
        if len(own):
            bce[task] = log_loss(actual, 1.0 / (1.0 + np.exp(-predicted)), labels=[0, 1])
        if positives[task] and negatives[task]:
            auc_pr[task], auc_roc[task] = average_precision_score(actual, predicted), roc_auc_score(actual, predicted)
    return TaskMetrics(positives, negatives, auc_pr, auc_roc, bce)
