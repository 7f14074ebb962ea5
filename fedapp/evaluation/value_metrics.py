"""Per-task metrics of predicted values, all tasks in one pass."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ValueMetrics:
    """One value per task; counts int64, metrics float64, NaN where undefined: there is nothing to judge on, all values or (for `spearman`)
    all predictions are the same, or a prediction is NaN.

    Attributes:
        exact, censored: Labels of each sort.
        r2: Share of the exact values' variance that is predicted; below 0 where their mean would have predicted better.
        spearman: Rank correlation over exact values.
        rmse: Root of the mean squared error over exact values, in the task's unit.
        censored_rmse: The same over all labels; a prediction on a censored label's side of its value is no error.
    """

    exact: np.ndarray
    censored: np.ndarray
    r2: np.ndarray
    spearman: np.ndarray
    rmse: np.ndarray
    censored_rmse: np.ndarray


def value_metrics(tasks: np.ndarray, values: np.ndarray, censors: np.ndarray, predicted: np.ndarray, count: int) -> ValueMetrics:
    """How near predicted values are to measured ones.

    Args:
        tasks: int (n,), task of each label, 0 to count-1, in any order.
        values: float (n,), in the unit of the task.
        censors: (n,); negative where the true value is below, positive where it is above, 0 where it is exact.
        predicted: float (n,), in the unit of the task.
        count: Number of tasks.
    """
    values, predicted, exact = values.astype(np.float64), predicted.astype(np.float64), censors == 0
    errors = predicted - values
    errors_of_all = np.where(errors * censors > 0, 0.0, errors)  # on its side
    own, y, error = tasks[exact], values[exact], errors[exact]
    size, all_labels = np.bincount(own, minlength=count), np.bincount(tasks, minlength=count)
    with np.errstate(divide="ignore", invalid="ignore"):  # tasks without labels, and predictions that are no numbers, have no figure
        squares = np.bincount(own, weights=error**2, minlength=count)
        spread = np.bincount(own, weights=centred(own, y, count) ** 2, minlength=count)
        r2 = 1 - squares / spread
        r2[constant(own, y, count)] = np.nan
        rmse = np.sqrt(squares / size)
        censored_rmse = np.sqrt(np.bincount(tasks, weights=errors_of_all**2, minlength=count) / all_labels)
        spearman = rank_correlation(own, y, predicted[exact], count)
    return ValueMetrics(size, all_labels - size, r2, spearman, rmse, censored_rmse)


def rank_correlation(tasks: np.ndarray, one: np.ndarray, other: np.ndarray, count: int) -> np.ndarray:
    """Pearson correlation of the ranks within each task, equal values sharing their mean rank: Spearman's; NaN where all are equal."""
    first, second = (centred(tasks, mean_ranks(tasks, column), count) for column in (one, other))
    products = np.bincount(tasks, weights=first * second, minlength=count)
    squares = [np.bincount(tasks, weights=ranks**2, minlength=count) for ranks in (first, second)]
    undefined = np.bincount(tasks, weights=np.isnan(one) | np.isnan(other), minlength=count) > 0
    return np.asarray(np.where(undefined, np.nan, products / np.sqrt(squares[0] * squares[1])))


def mean_ranks(tasks: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Rank of each value among all, task after task; equal values of a task share the mean of their ranks."""
    order = np.lexsort((values, tasks))
    tasks, sorted_values = tasks[order], values[order]
    new = np.ones(len(order), dtype=bool)
    new[1:] = (tasks[1:] != tasks[:-1]) | (sorted_values[1:] != sorted_values[:-1])
    starts = np.flatnonzero(new)
    ends = np.append(starts[1:], len(order))
    ranks = np.empty(len(order))
    ranks[order] = np.repeat((starts + ends - 1) / 2, ends - starts)
    return ranks


def centred(tasks: np.ndarray, values: np.ndarray, count: int) -> np.ndarray:
    """Each value minus the mean of its task."""
    sizes = np.maximum(np.bincount(tasks, minlength=count), 1)
    return np.asarray(values - (np.bincount(tasks, weights=values, minlength=count) / sizes)[tasks])


def constant(tasks: np.ndarray, values: np.ndarray, count: int) -> np.ndarray:
    """Tasks whose values are all the same, or that have none: bool (count,)."""
    lowest, highest = np.full(count, np.inf), np.full(count, -np.inf)
    np.minimum.at(lowest, tasks, values)
    np.maximum.at(highest, tasks, values)
    return np.asarray(lowest >= highest)
