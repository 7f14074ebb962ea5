"""`polyphony simulate`: all partners on this machine, from tables to report."""

import json
from collections.abc import Mapping
from typing import Any

from fedapp.cli.arguments import Experiment, Json, Resume, open_or_create, tell_cost
from fedapp.cli.figures import arm_lines, gain_line
from fedapp.cli.progress import RunProgress
from fedapp.evaluation.arms import AUC_PR, LOCAL, R2, SPEARMAN, score_name


def simulate(experiment: Experiment = None, resume: Resume = None, as_json: Json = False) -> None:
    """Train one trunk with all partners of an experiment in Flower's simulation, and write a report."""
    from simulation.experiment import simulate as run_simulation  # imports torch: seconds that --help need not wait

    run = open_or_create(experiment, resume, "simulate")
    with RunProgress(run.config().federation.rounds, run.partners(), as_json, metric=score_name(run.config().tasks.kinds)) as progress:
        result = run_simulation(run, progress)
    if as_json:
        print(json.dumps(result))
        return
    print("\n".join(quality(result)))
    tell_cost(result)


def quality(result: Mapping[str, Any]) -> list[str]:
    """How well each arm predicts, and what the combined model gains, in lines; that nothing could be judged, where it could not."""
    if all(result[metric] is None for metric in (AUC_PR, SPEARMAN, R2)):
        few = "no task has evaluation.min_per_class compounds of each class in the test fold, or twice as many values"
        return [f"federated  no score: {few}"]
    gains = {AUC_PR: result["gain"]} | result["value_gain"]
    return [
        "means over tasks, test fold, each partner's selected round",
        *arm_lines(result),
        *(gain_line(LOCAL, metric, gain) for metric, gain in gains.items() if gain is not None),
    ]
