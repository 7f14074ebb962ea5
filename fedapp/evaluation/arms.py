"""The arms that are compared, and the metrics by which, of each kind of task: their names in files, figures and tables."""

from collections.abc import Collection

CLASSIFICATION, REGRESSION = KINDS = ("classification", "regression")
LOCAL, FEDERATED, UNGUARDED, POOLED = ARMS = ("local", "federated", "unguarded", "pooled")  # in the order of tables
DRAWN = (LOCAL, FEDERATED, POOLED)  # the unguarded arm is compared in figures and drawn in no chart
AUC_PR, AUC_ROC, BCE = CLASS_METRICS = ("auc_pr", "auc_roc", "bce")
R2, SPEARMAN, RMSE, CENSORED_RMSE = VALUE_METRICS = ("r2", "spearman", "rmse", "censored_rmse")
METRICS_OF = {CLASSIFICATION: CLASS_METRICS, REGRESSION: VALUE_METRICS}
METRICS = (*CLASS_METRICS, *VALUE_METRICS)
CHOOSING = {CLASSIFICATION: AUC_PR, REGRESSION: SPEARMAN}  # the metric of a kind by which a round is chosen
COUNTS = ("positives", "negatives", "exact", "censored")  # of a task's labels, beside its metrics
PRINTED = {AUC_PR: "AUC-PR", AUC_ROC: "AUC-ROC", BCE: "cross-entropy"}
PRINTED |= {R2: "R²", SPEARMAN: "Spearman", RMSE: "RMSE", CENSORED_RMSE: "censored RMSE"}


def score_name(kinds: Collection[str]) -> str:
    """What the score that chooses a round is called, where tasks are of these kinds."""
    names = [PRINTED[metric] for kind, metric in CHOOSING.items() if kind in kinds]
    return names[0] if len(names) == 1 else "score"


def column(arm: str, metric: str = AUC_PR) -> str:
    """A metric of an arm in a table of compared tasks."""
    return f"{arm}_{metric}"
