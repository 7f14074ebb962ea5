"""`polyphony audit`: attacks on federations of our own, and whether they stay within the limits."""

import json
from typing import Any

import typer

from fedapp.cli.arguments import Experiment, Json, Resume, open_or_create
from fedapp.cli.progress import RunProgress


def audit(words: Experiment = None, resume: Resume = None, as_json: Json = False) -> None:
    """Attack federations of this experiment, with its defences and without them, and write a report; ends with 1 if a gate fails."""
    from simulation.audit.run import audit as run_audit  # imports torch: seconds that --help need not wait

    run = open_or_create(words, resume, "audit")
    with RunProgress(run.config().federation.rounds, run.partners(), as_json) as progress:
        result = run_audit(run, progress)
    if as_json:
        print(json.dumps(result))
    else:
        tell(result)
    if not all(gate["pass"] for gate in result["gates"].values()):
        raise typer.Exit(1)


def tell(result: dict[str, Any]) -> None:
    """One line a gate, then where the page lies."""
    for name, gate in result["gates"].items():
        figures = f"{gate['value']:9.4f}  up to {gate['upper']:.4f}  gate {gate['gate']:.4f}  chance {gate['chance']:.4f}"
        print(f"{'ok  ' if gate['pass'] else 'FAIL'}  {name:<26} {figures}  {gate['adversary']}")
    print(f"cost    {result['seconds']:.0f} s")
    print(f"report  {result['report']}")
