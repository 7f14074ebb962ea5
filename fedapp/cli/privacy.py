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
        told = privacy_curve(run, progress)
    if as_json:
        print(json.dumps(provenance.joined_to(told)))
        return
    for each in told["points"]:
        label = "no noise" if each["epsilon"] is None else f"epsilon {each['epsilon']:g}"
        noise = "" if each["epsilon"] is None else f"   noise multiplier {each['noise_multiplier']:.2f}"
        print(f"{label:<13}{each['auc_pr']:.4f}{noise}")
    print(f"{'alone':<13}{told['local']:.4f}   each partner, no noise")
    print(f"cost         {told['seconds']:.0f} s")
    print(f"plot         {told['plot']}")
