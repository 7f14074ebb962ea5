"""Conformal prediction: sets of classes that hold the true one in all but a chosen share of cases, within each class."""

import numpy as np


def conformal_sets(
    tasks: np.ndarray, labels: np.ndarray, logits: np.ndarray, test_tasks: np.ndarray, test_logits: np.ndarray, epsilon: float
) -> np.ndarray:
    """Which classes cannot be ruled out, by class-conditional (Mondrian) inductive conformal prediction in each task: bool (m, 2).

    A class is strange by how little its logit speaks for it. Its p-value is (calibration labels of that class and task that are at least
    as strange, plus one) / (all of them, plus one); it stays while that is above epsilon. So a class of which a task has fewer than
    1 / epsilon - 1 calibration labels is never ruled out. Source: V. Vovk, Machine Learning 92 (2013) 349.

    Args:
        tasks, labels, logits: Of the calibration labels (n,).
        test_tasks, test_logits: Of what is predicted (m,).
        epsilon: Share of errors that is accepted.
    Returns:
        First column inactive, second active.
    """
    kept = [
        p_values(tasks[labels == side], -sign * logits[labels == side], test_tasks, -sign * test_logits) > epsilon
        for side, sign in ((0, -1), (1, 1))
    ]
    return np.stack(kept, axis=1)


def p_values(tasks: np.ndarray, strangeness: np.ndarray, test_tasks: np.ndarray, test_strangeness: np.ndarray) -> np.ndarray:
    """(number of calibration values of the same task that are at least as large, plus one) / (all of that task, plus one): float64 (m,)."""
    every_task, every_value = np.concatenate([tasks, test_tasks]), np.concatenate([strangeness, test_strangeness])
    calibrates = np.arange(len(every_task)) < len(tasks)
    order = np.lexsort((calibrates, every_value, every_task))  # of equals those that are predicted come first
    before = np.empty(len(order), dtype=np.int64)
    before[order] = np.cumsum(calibrates[order]) - calibrates[order]
    known = np.sort(tasks)
    first, last = (np.searchsorted(known, test_tasks, side=side) for side in ("left", "right"))
    return (last - before[len(tasks) :] + 1) / (last - first + 1)


def conformal_figures(sets: np.ndarray, labels: np.ndarray, tasks: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Efficiency and coverage of each task, float64 (count,), NaN for a task without a label.

    Efficiency is the share of predictions that leave exactly one class; coverage is the share of sets that hold the true class.

    Args:
        sets: As `conformal_sets` gives them (m, 2).
        labels, tasks: True class, 0 or 1, and task of each (m,).
    """
    single, right = sets.sum(axis=1) == 1, sets[np.arange(len(sets)), labels.astype(np.int64)]
    with np.errstate(invalid="ignore"):
        total = np.bincount(tasks, minlength=count)
        return tuple(np.bincount(tasks, weights=each, minlength=count) / total for each in (single, right))  # type: ignore[return-value]
