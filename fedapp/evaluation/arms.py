"""The arms that are compared, and the metrics by which, of each kind of task: their names in files, figures and tables."""

from collections.abc import Collection

CLASSIFICATION, REGRESSION = KINDS = ("classification", "regression")
LOCAL, LOCAL_TWICE, FEDERATED, COMBINED = "local", "local_twice", "federated", "combined"
UNGUARDED, POOLED, MERGED, FOREST, CONSTANT = "unguarded", "pooled", "merged", "forest", "constant"
ARMS = (LOCAL, LOCAL_TWICE, FEDERATED, COMBINED, UNGUARDED, POOLED, MERGED, FOREST, CONSTANT)  # in the order of tables
BASES = (LOCAL, LOCAL_TWICE, POOLED, MERGED)  # those that every other arm is held against
LABELS = {
    LOCAL: "Local only",
    LOCAL_TWICE: "Two local models",
    FEDERATED: "Federated",
    COMBINED: "Combined",
    UNGUARDED: "Without row guard",
    POOLED: "Pooled",
    MERGED: "Pooled and merged",
    FOREST: "Random forests",
    CONSTANT: "A constant",
}
AUC_PR, AUC_ROC, BCE = CLASS_METRICS = ("auc_pr", "auc_roc", "bce")
R2, SPEARMAN, RMSE, CENSORED_RMSE = VALUE_METRICS = ("r2", "spearman", "rmse", "censored_rmse")
METRICS_OF = {CLASSIFICATION: CLASS_METRICS, REGRESSION: VALUE_METRICS}
METRICS = (*CLASS_METRICS, *VALUE_METRICS)
CHOOSING = {CLASSIFICATION: AUC_PR, REGRESSION: SPEARMAN}  # the metric of a kind by which a round is chosen
CALIBRATION_ERROR = "calibration_error"  # over the labels of all tasks, and of no task alone
EPSILONS = (0.05, 0.1)  # error rates of conformal sets
CONFORMAL = tuple(f"{figure}_{round(100 * epsilon):02d}" for epsilon in EPSILONS for figure in ("efficiency", "coverage"))
COUNTS = ("positives", "negatives", "exact", "censored")  # of a task's labels, beside its metrics
PRINTED = {AUC_PR: "AUC-PR", AUC_ROC: "AUC-ROC", BCE: "cross-entropy", CALIBRATION_ERROR: "calibration error"}
PRINTED |= {R2: "R²", SPEARMAN: "Spearman", RMSE: "RMSE", CENSORED_RMSE: "censored RMSE"}


def score_name(kinds: Collection[str]) -> str:
    """What the score that chooses a round is called, where tasks are of these kinds: with both it is the mean of two."""
    names = [PRINTED[metric] for kind, metric in CHOOSING.items() if kind in kinds]
    return names[0] if len(names) == 1 else f"mean of {' and '.join(names)}"


def mean_name(score: str) -> str:
    """The mean over tasks of a score with a name of `score_name`, as part of a sentence."""
    return score if score.startswith("mean of ") else f"mean {score}"


def column(arm: str, metric: str = AUC_PR) -> str:
    """A metric of an arm in a table of compared tasks."""
    return f"{arm}_{metric}"
