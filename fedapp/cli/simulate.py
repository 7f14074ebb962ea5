"""`polyphony simulate`: all partners on this machine, from tables to report."""

import json

from fedapp.cli.arguments import Experiment, Json, Resume, open_or_create, tell_cost
from fedapp.cli.progress import RunProgress
from fedapp.evaluation.arms import AUC_PR, PRINTED, R2, SPEARMAN, score_name


def simulate(experiment: Experiment = None, resume: Resume = None, as_json: Json = False) -> None:
    """Train one trunk with all partners of an experiment in Flower's simulation, and write a report."""
    from simulation.experiment import simulate as run_simulation  # imports torch: seconds that --help need not wait

    run = open_or_create(experiment, resume, "simulate")
    with RunProgress(run.config().federation.rounds, run.partners(), as_json, metric=score_name(run.config().tasks.kinds)) as progress:
        result = run_simulation(run, progress)
    if as_json:
        print(json.dumps(result))
        return
    print(quality(result["auc_pr"], result["spearman"], result["r2"]))
    tell_cost(result)


def quality(auc_pr: float | None, spearman: float | None = None, r2: float | None = None) -> str:
    """How well it predicts, in words; None where there was nothing to judge it on."""
    means = {AUC_PR: auc_pr, SPEARMAN: spearman, R2: r2}
    known = [f"{PRINTED[metric]} {mean:.3f}" for metric, mean in means.items() if mean is not None]
    if not known:
        return "federated  no score: no task has evaluation.min_per_class compounds of each class in the test fold, or twice as many values"
    return f"federated  {'  '.join(known)} (mean over tasks, test fold, each partner's selected round)"
