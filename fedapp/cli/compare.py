"""`polyphony compare`: what the federation gains, against each partner alone, pooled data, and simple models."""

import json

from fedapp.cli.arguments import Experiment, Json, Resume, open_or_create, tell_cost
from fedapp.cli.progress import RunProgress
from fedapp.evaluation.arms import ARMS, AUC_PR, AUC_ROC, PRINTED, R2, SPEARMAN, score_name
from fedapp.wording import plural
from simulation.results.provenance import Provenance


def compare(experiment: Experiment = None, resume: Resume = None, as_json: Json = False) -> None:
    """Train the same partners alone, federated and with all data in one place, all else alike, and write a report."""
    from simulation.experiment import compare as run_comparison  # imports torch: seconds that --help need not wait

    provenance = Provenance.begin()
    run = open_or_create(experiment, resume, "compare")
    with RunProgress(run.config().federation.rounds, run.partners(), as_json, metric=score_name(run.config().tasks.kinds)) as progress:
        result = run_comparison(run, progress)
    if as_json:
        print(json.dumps(provenance.joined_to(result)))
        return
    scale = f"{plural(result['tasks'], 'task')}, {plural(result['rounds'], 'round')}"
    print(f"{scale}; means over tasks, test fold, selected on the validation fold")
    for arm in ARMS:
        if arm in result:
            known = [metric for metric in (AUC_PR, AUC_ROC, SPEARMAN, R2) if result[arm].get(metric) is not None]
            print(f"{arm:<11} " + "  ".join(f"{PRINTED[metric]} {result[arm][metric]:.4f}" for metric in known))
    for metric, gain in {AUC_PR: result["gain"], **result["value_gain"]}.items():
        if gain is not None:
            bounds = f" ({gain['low']:+.4f} to {gain['high']:+.4f})" if gain["low"] is not None else ""
            print(f"combined over local: {gain['value']:+.4f}{bounds} {PRINTED[metric]}, with the 95 % interval over tasks")
    share, effect = result["pooled_gain_share"], result["row_guard_effect"]
    print(f"the federation reaches {share:.0%} of the pooled gain" if share is not None else "pooling gained nothing here")
    if effect is not None:
        print(f"the row guard {'gains' if effect > 0 else 'costs'} {abs(effect):.4f} {PRINTED[AUC_PR]}")
    tell_cost(result)
