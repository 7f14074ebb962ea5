"""`polyphony audit`: attacks on federations of our own, and whether they stay within the limits."""

import json
from typing import Any

import typer

from fedapp.cli.arguments import Experiment, Json, Resume, open_or_create
from fedapp.cli.progress import RunProgress
from fedapp.report.verdict import Verdict
from simulation.results.provenance import Provenance

EXITS = {Verdict.PASS: 0, Verdict.FAIL: 3, Verdict.TOO_FEW: 4}  # 1 is an error that was named, 2 wrong usage
MARKS = {Verdict.PASS: "ok", Verdict.FAIL: "FAIL", Verdict.TOO_FEW: "too few to tell"}


def audit(experiment: Experiment = None, resume: Resume = None, as_json: Json = False) -> None:
    """Attack federations of this experiment, with its defences and without them, and write a report.

    Exit status: 0 if every gate holds, 3 if one fails, 4 if none fails and of one there were too few to tell; 1 if the audit could not be
    made.
    """
    from simulation.audit.run import audit as run_audit  # imports torch: seconds that --help need not wait

    provenance = Provenance.begin()
    run = open_or_create(experiment, resume, "audit")
    with RunProgress(run.config().federation.rounds, run.partners(), as_json) as progress:
        result = run_audit(run, progress)
    if as_json:
        print(json.dumps(provenance.joined_to(result)))
    else:
        tell(result)
    raise typer.Exit(EXITS[result["verdict"]])


def tell(result: dict[str, Any]) -> None:
    """One line a gate, then where the page lies."""
    for name, gate in result["gates"].items():
        value, upper, chance = ("–" if gate[key] is None else f"{gate[key]:.4f}" for key in ("value", "upper", "chance"))
        figures = f"{value:>9}  up to {upper}  gate {gate['gate']:.4f}  chance {chance}"
        print(f"{MARKS[gate['verdict']]:<15}  {name:<26} {figures}  {gate['adversary']}")
    print(f"verdict {MARKS[result['verdict']]}")
    print(f"cost    {result['seconds']:.0f} s")
    print(f"report  {result['report']}")
