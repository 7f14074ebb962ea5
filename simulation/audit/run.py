"""The audit: federations on halves of a pool, defences on and off, every attack on them, and the verdict.

run/audit/<kind>-<number>.safetensors   what is kept of each trial, from which a killed audit goes on
run/audit.json                          gates, findings, curves and recovered structures
run/audit.html                          the report
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import Executor, as_completed
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save_file

from fedapp.config import Config, flatten
from fedapp.data.dataset import Dataset
from fedapp.report.audit_page import write_audit_report
from fedapp.report.verdict import Verdict, worst
from fedapp.run_folder import RunFolder
from fedapp.storage.damage import reading
from fedapp.storage.digests import checksum
from fedapp.storage.files import atomic_path
from fedapp.storage.json_file import write_json
from simulation.audit.advice import advice
from simulation.audit.all_attacks import attack, attack_once, attack_with_canaries
from simulation.audit.feasibility import check_row_guard
from simulation.audit.federations import Trial, run_trial, states, undefended
from simulation.audit.findings import OFF, ON, AuditOutcome, Finding
from simulation.audit.pool import Pool, draw_pool
from simulation.audit.shared_signals import shared_signals
from simulation.audit.signals import Named, Rounds, SuspectModel, signals
from simulation.experiment import Display, recorded
from simulation.preparation import prepare_partners
from simulation.workers import processes

KEPT, CHECKSUM = ("members", "listed", "supports", "slots", "holders"), "checksum"
# What of `audit.json` is printed, too: figures, and the scale at which they were found; never a structure that was recovered.
PRINTED = ("gates", "partners", "pool", "members", "rounds", "trials", "row_guard", "listed_rows", "shared_heads")
FIGURES = ("name", "attack", "adversary", "defences", "value", "lower", "upper", "chance", "gate", "judged", "trials", "verdict", "note")


def audit(run: RunFolder, display: Display) -> dict[str, Any]:
    """Run or resume the audit of a run folder, and write its report.

    Returns:
        verdict (of all gates together); gates: name to {adversary, value, upper, gate, chance, verdict, pass}, with defences on; the rest
        of `PRINTED`; findings, the `FIGURES` of each; run, seconds, report.
    Raises:
        PolyphonyError: Whatever the user can put right; the run folder then says `failed` and can be resumed.
    """
    with recorded(run), processes() as workers:
        config, datasets = run.config(), prepare_partners(run, display.stage, display.advance_preparation)
        display.stage("choosing compounds")
        pool = draw_pool(datasets, config)
        kinds = {
            ON: TrialKind(config, config.audit.trials, None),
            OFF: TrialKind(undefended(config), config.audit.undefended_trials, 1),
        }
        with states() as folder:
            check_row_guard(pool, config, config.audit.trials, folder)
        canary = workers.submit(attack_with_canaries, pool, config)
        trials = run_trials(run, pool, kinds, workers, display.stage)
        without = workers.submit(attack, pool, config, OFF, trials[OFF], silent)
        outcome = attack(pool, config, ON, trials[ON], display.stage)
        display.stage("attacking, defences off")
        outcome += without.result()
        outcome += attack_once(pool, config, trials[ON][0])
        outcome += canary.result()
    everything = facts(run, config, pool, trials, outcome)
    write_json(run.path / "audit.json", everything)
    report = write_audit_report(run.path)
    verdict = worst(Verdict(gate["verdict"]) for gate in everything["gates"].values())
    figures = {key: everything[key] for key in PRINTED}
    figures["findings"] = [{key: finding[key] for key in FIGURES} for finding in everything["findings"]]
    return {"verdict": verdict, **figures, "run": str(run.path), "seconds": everything["seconds"], "report": str(report)}


class TrialKind(NamedTuple):
    """With which configuration federations are trained, how many, and how many partners a shared head takes, as in `federations.set_up`."""

    config: Config
    trials: int
    holders: int | None


def run_trials(
    run: RunFolder, pool: Pool, kinds: Mapping[str, TrialKind], workers: Executor, stage: Callable[[str], None]
) -> dict[str, list[Trial]]:
    """The target and its shadows of each kind; shadows that an earlier process finished are read, and the targets, whose trunks are too
    large to keep, are trained anew.

    Args:
        kinds: ON and OFF to how their trials are trained.
        workers: Where shadows are trained, while the targets are here.
    """
    paths = {kind: [run.path / "audit" / f"{kind}-{number:03d}.safetensors" for number in range(how.trials)] for kind, how in kinds.items()}
    shadows = [(kind, number) for kind, files in reversed(paths.items()) for number in range(1, len(files))]
    missing = [(kind, number) for kind, number in shadows if not paths[kind][number].is_file()]
    working = [workers.submit(shadow, pool, kinds[kind], number, paths[kind][number]) for kind, number in missing]
    targets = {}
    for kind, how in kinds.items():
        stage(f"training {len(missing) + len(kinds)} federations")
        with states() as folder:
            targets[kind] = run_trial(pool, how.config, 0, folder, all_signals, holders=how.holders, keep=True)
        write_trial(paths[kind][0], targets[kind])
    for done, training in enumerate(as_completed(working), len(kinds) + 1):
        training.result()
        stage(f"training {len(missing) + len(kinds)} federations: {done} done")
    return {kind: [targets[kind], *(read_trial(path, targets[kind].signals) for path in files[1:])] for kind, files in paths.items()}


def shadow(pool: Pool, how: TrialKind, number: int, path: Path) -> None:
    """Train one federation of others, in a process of its own, and keep what membership is guessed from."""
    with states() as folder:
        write_trial(path, run_trial(pool, how.config, number, folder, all_signals, holders=how.holders))


def all_signals(datasets: list[Dataset], models: list[SuspectModel], rounds: Rounds) -> Named:
    """What membership is guessed from: models, trunks and shared heads."""
    return signals(datasets, models, rounds) | shared_signals(datasets, models, rounds)


def silent(_: str) -> None:
    """Who attacks in another process tells nobody how far it is."""


def write_trial(path: Path, trial: Trial) -> None:
    """Keep what membership is guessed from."""
    path.parent.mkdir(exist_ok=True)
    arrays: dict[str, NDArray[Any]] = {name: getattr(trial, name) for name in KEPT}
    arrays |= {f"signal.{name}": values for name, values in trial.signals.items()}
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}  # of others safetensors saves other values
    sum_of_all = checksum("", arrays)
    with atomic_path(path, own_folder=True) as temporary:
        save_file(arrays, temporary, metadata={CHECKSUM: sum_of_all})


def read_trial(path: Path, signals: Collection[str] = ()) -> Trial:
    """What `write_trial` kept.

    Args:
        signals: That it must have: an earlier version kept fewer.
    Raises:
        DamagedFileError: The file is damaged, or lacks one.
    """
    with reading(path, "remove it: this federation is then trained anew"), safe_open(path, framework="np") as opened:
        arrays = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 (not a mapping)
        if (opened.metadata() or {}).get(CHECKSUM) not in (None, checksum("", arrays)):
            raise ValueError("it is not what its own checksum says")
        missing = {*KEPT, *(f"signal.{name}" for name in signals)} - arrays.keys()
        if missing:
            raise ValueError(f"it lacks {', '.join(sorted(missing))}")
    return Trial(
        **{name: arrays[name] for name in KEPT},
        signals={name.removeprefix("signal."): values for name, values in arrays.items() if name.startswith("signal.")},
    )


def gates(findings: Iterable[Finding]) -> dict[str, dict[str, Any]]:
    """Every figure that has a gate, with defences on, by name; of several with one name the worst."""
    judged: dict[str, Finding] = {}
    for finding in findings:
        if finding.gate is not None and finding.defences == ON:
            judged[finding.name] = max(judged.get(finding.name, finding), finding, key=Finding.severity)
    keys = ("adversary", "value", "upper", "gate", "chance", "verdict", "pass")
    return {name: {key: finding.as_json()[key] for key in keys} for name, finding in judged.items()}


def facts(run: RunFolder, config: Config, pool: Pool, trials: dict[str, list[Trial]], outcome: AuditOutcome) -> dict[str, Any]:
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
        "trials": {kind: len(trained) for kind, trained in trials.items()},
        "row_guard": config.privacy.row_guard,
        "listed_rows": {kind: int(trained[0].listed.sum()) for kind, trained in trials.items()},
        "shared_heads": {kind: int(trained[0].slots.sum()) for kind, trained in trials.items()},
        "configuration": flatten(config),
        "versions": status["versions"],
        "gates": gates(outcome.findings),
        "findings": [finding.as_json() for finding in outcome.findings],
        "curves": [asdict(curve) for curve in outcome.curves],
        "recovered": [asdict(structure) for structure in outcome.recovered],
        "advice": advice(outcome.findings, config),
    }
