"""`polyphony compare`: what the federation gains, against each partner alone, pooled data, and simple models."""

import json

from fedapp.cli.arguments import Experiment, Json, Resume, open_or_create, tell_cost
from fedapp.cli.figures import arm_lines, gain_line, with_bounds
from fedapp.cli.progress import RunProgress
from fedapp.evaluation.arms import AUC_PR, BASES, COMBINED, LOCAL, PRINTED, score_name
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
    print("\n".join(arm_lines(result)))
    against = [(base, AUC_PR, result["gains"][base][COMBINED]["difference"]) for base in BASES]
    against += [(LOCAL, metric, gain) for metric, gain in result["value_gain"].items()]
    for base, metric, gain in against:
        if gain is not None:
            print(gain_line(base, metric, gain))
    if (merged := result["merged_gain_share"]) is not None:
        print(f"combined reaches {with_bounds(merged, '.0%')} of what a third party with all data would gain")
    if (effect := result["row_guard_effect"]) is not None:
        print(f"the row guard {'gains' if effect > 0 else 'costs'} {abs(effect):.4f} {PRINTED[AUC_PR]}")
    tell_cost(result)
