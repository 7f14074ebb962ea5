"""Per-task metrics of binary predictions, all tasks in one pass."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class TaskMetrics:
    """One value per task; counts int64, metrics float64, NaN where undefined: a class is absent (for `bce`, all labels are), or a logit
    is NaN, which ranks nowhere."""

    positives: np.ndarray
    negatives: np.ndarray
    auc_pr: np.ndarray
    auc_roc: np.ndarray
    bce: np.ndarray


def task_metrics(tasks: np.ndarray, labels: np.ndarray, logits: np.ndarray, count: int) -> TaskMetrics:
    """Average precision, area under the ROC curve and mean binary cross-entropy of each task.

    Equal logits within a task form one threshold: precision and recall are taken after the whole tie, and the ROC curve crosses it
    in a straight line, as scikit-learn's `average_precision_score` and `roc_auc_score` do.

    Args:
        tasks: int (n,), task of each pair, 0 to count-1, in any order.
        labels: 0 or 1 (n,).
        logits: float (n,).
        count: Number of tasks.
    Raises:
        ValueError: Labels that are neither 0 nor 1.
    """
    if not np.isin(labels, (0, 1)).all():
        raise ValueError("labels are 0 or 1")
    labels = labels.astype(np.float64)
    logits = logits.astype(np.float64)
    total = np.bincount(tasks, minlength=count)
    positives = np.bincount(tasks, weights=labels, minlength=count)
    negatives = np.subtract(total, positives)
    group_task, group_positives, group_size = tie_groups(tasks, labels, logits)
    true_before, all_before = sums_before(group_positives, group_task), sums_before(group_size, group_task)
    precision = (true_before + group_positives) / (all_before + group_size)
    # A pair of a negative and a positive counts 1 when the positive ranks higher and 1/2 in a tie.
    wins = (group_size - group_positives) * (true_before + group_positives / 2)
    with np.errstate(divide="ignore", invalid="ignore"):  # tasks of one class, and logits that are no numbers, have no figure
        losses = np.bincount(tasks, weights=np.logaddexp(0.0, logits) - labels * logits, minlength=count)
        auc_pr = np.bincount(group_task, weights=group_positives * precision, minlength=count) / positives
        auc_roc = np.bincount(group_task, weights=wins, minlength=count) / (positives * negatives)
        bce = losses / total
    undefined = (positives == 0) | (negatives == 0) | (np.bincount(tasks, weights=np.isnan(logits), minlength=count) > 0)
    auc_pr[undefined] = auc_roc[undefined] = np.nan
    return TaskMetrics(positives.astype(np.int64), negatives.astype(np.int64), auc_pr, auc_roc, bce)


def tie_groups(tasks: np.ndarray, labels: np.ndarray, logits: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of equal task and logit, by task, then from the highest logit down: (task, positives, size) of each group."""
    order = np.lexsort((-logits, tasks))
    tasks, labels, logits = tasks[order], labels[order], logits[order]
    new = np.ones(len(tasks), dtype=bool)
    new[1:] = (tasks[1:] != tasks[:-1]) | (logits[1:] != logits[:-1])
    starts = np.flatnonzero(new)
    ends = np.append(starts[1:], len(tasks))
    cumulated = np.concatenate([[0.0], np.cumsum(labels)])
    return tasks[starts], cumulated[ends] - cumulated[starts], (ends - starts).astype(np.float64)


def sums_before(values: np.ndarray, tasks: np.ndarray) -> np.ndarray:
    """Sum of the earlier `values` of the same task; `tasks` is sorted."""
    cumulated = np.concatenate([[0.0], np.cumsum(values)[:-1]]) if len(values) else values
    first = np.searchsorted(tasks, tasks, side="left")
    return cumulated - cumulated[first]
