"""The arms that are compared, and the metrics by which: their names in files, figures and tables."""

LOCAL, FEDERATED, UNGUARDED, POOLED = ARMS = ("local", "federated", "unguarded", "pooled")  # in the order of tables
DRAWN = (LOCAL, FEDERATED, POOLED)  # the unguarded arm is compared in figures and drawn in no chart
AUC_PR, AUC_ROC, BCE = CLASS_METRICS = ("auc_pr", "auc_roc", "bce")
R2, SPEARMAN, RMSE, CENSORED_RMSE = VALUE_METRICS = ("r2", "spearman", "rmse", "censored_rmse")
METRICS = (*CLASS_METRICS, *VALUE_METRICS)  # a task has those of its kind
COUNTS = ("positives", "negatives", "exact", "censored")  # of a task's labels, beside its metrics
PRINTED = {AUC_PR: "AUC-PR", AUC_ROC: "AUC-ROC", BCE: "cross-entropy"}
PRINTED |= {R2: "R²", SPEARMAN: "Spearman", RMSE: "RMSE", CENSORED_RMSE: "censored RMSE"}


def column(arm: str, metric: str = AUC_PR) -> str:
    """A metric of an arm in a table of compared tasks."""
    return f"{arm}_{metric}"
