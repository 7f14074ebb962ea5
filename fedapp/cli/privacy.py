"""`polyphony privacy`: what record-level privacy costs an experiment in quality."""

import json

from fedapp.cli.arguments import Experiment, Json, Resume, open_or_create
from fedapp.cli.progress import RunProgress
from simulation.results.provenance import Provenance


def privacy(experiment: Experiment = None, resume: Resume = None, as_json: Json = False) -> None:
    """Train federations at each epsilon of `audit.epsilons`, one without noise and each partner alone; print and plot their quality."""
    from simulation.privacy_curve import privacy_curve  # imports torch: seconds that --help need not wait

    provenance = Provenance.begin()
    run = open_or_create(experiment, resume, "privacy")
    with RunProgress(run.config().federation.rounds, run.partners(), as_json) as progress:
        result = privacy_curve(run, progress)
    if as_json:
        print(json.dumps(provenance.joined_to(result)))
        return
    for point in result["points"]:
        label = "no noise" if point["epsilon"] is None else f"epsilon {point['epsilon']:g}"
        noise = "" if point["epsilon"] is None else f"   noise multiplier {point['noise_multiplier']:.2f}"
        print(f"{label:<13}{point['auc_pr']:.4f}{noise}")
    print(f"{'alone':<13}{result['local']:.4f}   each partner, no noise")
    print(f"cost         {result['seconds']:.0f} s")
    print(f"plot         {result['plot']}")
