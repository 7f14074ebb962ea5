"""`polyphony price`: what settings of privacy cost an experiment in quality."""

import json
from typing import Annotated

import typer

from fedapp.cli.arguments import Experiment, Json, Resume, open_or_create, read_experiment
from fedapp.cli.progress import RunProgress
from fedapp.errors import ConfigError
from simulation.results.provenance import Provenance

With = Annotated[
    list[str] | None,
    typer.Option("--with", metavar="'KEY=VALUE...'", help="settings of privacy that another federation has; can be repeated"),
]


def price(experiment: Experiment = None, changes: With = None, resume: Resume = None, as_json: Json = False) -> None:
    """Train an experiment's federation as it is, and with each of some settings; print what these cost in mean AUC-PR."""
    from simulation.price import begin, check_changes  # these import torch: seconds that --help need not wait
    from simulation.price import price as price_of

    provenance = Provenance.begin()
    given = [each.split() for each in changes or []]
    if resume is None:
        check_changes(read_experiment(experiment), given)
    elif given:
        raise ConfigError("a resumed run keeps its settings", "leave out --with, or start a new run")
    run = open_or_create(experiment, resume, "price")
    if resume is None:
        begin(run, given)
    with RunProgress(run.config().federation.rounds, run.partners(), as_json) as progress:
        result = price_of(run, progress)
    if as_json:
        print(json.dumps(provenance.joined_to(result)))
        return
    print(f"mean AUC-PR of {result['tasks']:,} tasks of the test fold; each partner alone {result['alone']['test']:.4f}")
    for each in result["federations"]:
        judged, settings = each["test"], " ".join(each["settings"]) or f"{result['name']} as it is"
        lost = judged["price"]
        bounds = "" if lost is None or lost["low"] is None else f" ({lost['low']:+.4f} to {lost['high']:+.4f})"
        beside = "" if lost is None else f"   {lost['value']:+.4f}{bounds}"
        print(f"{settings:<60} {each['rows']:>7,} rows   federated {judged['federated']:.4f}   combined {judged['combined']:.4f}{beside}")
    print(f"cost         {result['seconds']:.0f} s")
