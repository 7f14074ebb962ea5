"""`polyphony compare`: what the federation gains, against each partner alone, pooled data, and simple models."""

import json
from collections.abc import Mapping

from fedapp.cli.arguments import Experiment, Json, Resume, open_or_create, tell_cost
from fedapp.cli.progress import RunProgress
from fedapp.evaluation.arms import ARMS, AUC_PR, AUC_ROC, BASES, COMBINED, LOCAL, PRINTED, R2, SPEARMAN, score_name
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
    against = [(base, AUC_PR, result["gains"][base][COMBINED]["difference"]) for base in BASES]
    against += [(LOCAL, metric, gain) for metric, gain in result["value_gain"].items()]
    for base, metric, gain in against:
        if gain is not None:
            print(f"combined over {base}: {with_bounds(gain, '+.4f')} {PRINTED[metric]}, with the 95 % interval over tasks")
    if (merged := result["merged_gain_share"]) is not None:
        print(f"combined reaches {with_bounds(merged, '.0%')} of what a third party with all data would gain")
    share, effect = result["pooled_gain_share"], result["row_guard_effect"]
    print(f"the federation reaches {share:.0%} of the pooled gain" if share is not None else "pooling gained nothing here")
    if effect is not None:
        print(f"the row guard {'gains' if effect > 0 else 'costs'} {abs(effect):.4f} {PRINTED[AUC_PR]}")
    tell_cost(result)


def with_bounds(interval: Mapping[str, float | None], form: str) -> str:
    """A figure, and in brackets its interval if it has one."""
    value, low, high = (interval[key] for key in ("value", "low", "high"))
    return f"{value:{form}}" if low is None else f"{value:{form}} ({low:{form}} to {high:{form}})"
