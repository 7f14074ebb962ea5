"""The audit: federations on halves of a pool, defences on and off, every attack on them, and the verdict.

run/audit/<kind>-<number>.safetensors   what is kept of each trial, from which a killed audit goes on
run/audit.json                          gates, findings, curves and recovered structures
run/audit.html                          the report
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from fedapp.config import Config, flatten
from fedapp.files import atomic_path, write_json
from fedapp.report.audit import write_audit_report
from fedapp.run_folder import RunFolder
from fedapp.seeds import derived_seed
from simulation.audit.advice import advice
from simulation.audit.attacks import Evidence, Outcome, attack
from simulation.audit.canary_run import canary_epsilon
from simulation.audit.findings import OFF, ON, Finding
from simulation.audit.pool import Pool, draw_pool
from simulation.audit.signals import signals
from simulation.audit.trial import Trial, run_trial
from simulation.experiment import Display, recorded
from simulation.preparation import prepare_partners

MEMBERS = "members"
SCRATCH = Path("/dev/shm")  # noqa: S108 (a folder of our own is made in it)


def audit(run: RunFolder, display: Display) -> dict[str, Any]:
    """Run or resume the audit of a run folder, and write its report.

    Returns:
        gates: name to {adversary, value, upper, gate, chance, pass}, with defences on; run, seconds, report.
    Raises:
        PolyphonyError: Whatever the user can put right; the run folder then says `failed` and can be resumed.
    """
    with recorded(run):
        config, datasets = run.config(), prepare_partners(run, display.stage, display.advance_preparation)
        display.stage("choosing compounds")
        pool = draw_pool(datasets, config)
        kinds = {ON: (config, config.audit.trials), OFF: (undefended(config), config.audit.undefended_trials)}
        trials = {kind: trials_of(run, pool, own, kind, count, display) for kind, (own, count) in kinds.items()}
        display.stage("attacking")
        outcome = attack(Evidence(pool, config, trials), np.random.default_rng(derived_seed(config.seed, "audit attacks")), display.stage)
        display.stage("attacking: canaries")
        with scratch() as folder:
            outcome.findings.append(canary_epsilon(pool, config, ON, folder))
    write_json(run.path / "audit.json", told(run, config, pool, trials, outcome))
    report = write_audit_report(run.path)
    return {"gates": gates(outcome.findings), "run": str(run.path), "seconds": run.status()["seconds"], "report": str(report)}


def undefended(config: Config) -> Config:
    """The same experiment with every defence off."""
    return replace(config, privacy=replace(config.privacy, row_guard=0, profile="none"))


def trials_of(run: RunFolder, pool: Pool, config: Config, kind: str, count: int, display: Display) -> list[Trial]:
    """The target and its shadows; shadows that an earlier process finished are read, and the target, whose trunks are too large to
    keep, is trained anew."""
    paths = [run.path / "audit" / f"{kind}-{number:03d}.safetensors" for number in range(count)]
    display.stage(f"defences {kind}: federation 1 of {count}")
    with scratch() as folder:
        target = run_trial(pool, config, 0, folder, signals, keep=True)
    write_trial(paths[0], target)
    missing = [number for number in range(1, count) if not paths[number].is_file()]
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn"), initializer=torch.set_num_threads, initargs=(1,)) as workers:
        try:
            working = [workers.submit(shadow, pool, config, number, paths[number]) for number in missing]
            for left, each in zip(range(len(missing), 0, -1), as_completed(working), strict=True):
                display.stage(f"defences {kind}: federation {count - left + 1} of {count}")
                each.result()
        except BaseException:
            workers.shutdown(cancel_futures=True)
            raise
    return [target, *map(read_trial, paths[1:])]


def shadow(pool: Pool, config: Config, number: int, path: Path) -> None:
    """Train one federation of others, in a process of its own, and keep what membership is guessed from."""
    with scratch() as folder:
        write_trial(path, run_trial(pool, config, number, folder, signals))


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder for partners' states, in memory where there is such a place: they are written hundreds of times."""
    folder = Path(tempfile.mkdtemp(prefix="polyphony-audit-", dir=SCRATCH if os.access(SCRATCH, os.W_OK) else None))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_trial(path: Path, trial: Trial) -> None:
    """Keep what membership is guessed from."""
    path.parent.mkdir(exist_ok=True)
    held: dict[str, NDArray[Any]] = {"listed": trial.listed, "supports": trial.supports, MEMBERS: trial.members}
    with atomic_path(path) as temporary:
        save_file(held | {f"signal.{name}": values for name, values in trial.signals.items()}, temporary)


def read_trial(path: Path) -> Trial:
    """What `write_trial` kept."""
    held = load_file(path)
    found = {name.removeprefix("signal."): values for name, values in held.items() if name.startswith("signal.")}
    return Trial(held[MEMBERS], held["listed"], held["supports"], [], None, None, found)


def gates(findings: list[Finding]) -> dict[str, dict[str, Any]]:
    """Every figure that has a gate, with defences on, by name; of several with one name the worst."""
    judged: dict[str, Finding] = {}
    for each in findings:
        worse = each.name not in judged or getattr(each, each.judged) > getattr(judged[each.name], each.judged)
        if each.gate is not None and each.defences == ON and worse:
            judged[each.name] = each
    keys = ("adversary", "value", "upper", "gate", "chance", "pass")
    return {name: {key: each.told()[key] for key in keys} for name, each in judged.items()}


def told(run: RunFolder, config: Config, pool: Pool, trials: dict[str, list[Trial]], outcome: Outcome) -> dict[str, Any]:
    """Everything that the report shows."""
    status = run.status()
    return {
        "run": run.name,
        "name": config.name,
        "seed": config.seed,
        "started": status["started"],
        "seconds": status["seconds"],
        "note": status["note"],
        "partners": config.data.partners,
        "pool": len(pool.owners),
        "members": int(trials[ON][0].members.sum()),
        "rounds": config.federation.rounds,
        "trials": {kind: len(held) for kind, held in trials.items()},
        "row_guard": config.privacy.row_guard,
        "listed_rows": {kind: int(held[0].listed.sum()) for kind, held in trials.items()},
        "configuration": flatten(config),
        "versions": status["versions"],
        "gates": gates(outcome.findings),
        "findings": [each.told() for each in outcome.findings],
        "curves": [asdict(each) for each in outcome.curves],
        "recovered": [asdict(each) for each in outcome.recovered],
        "advice": advice(outcome.findings, config),
    }
