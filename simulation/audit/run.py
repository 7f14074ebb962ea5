"""The audit: federations on halves of a pool, defences on and off, every attack on them, and the verdict.

run/audit/<kind>-<number>.safetensors   what is kept of each trial, from which a killed audit goes on
run/audit.json                          gates, findings, curves and recovered structures
run/audit.html                          the report
"""

from collections.abc import Callable, Mapping
from concurrent.futures import Executor, as_completed
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save_file

from fedapp.config import Config, flatten
from fedapp.report.audit_page import write_audit_report
from fedapp.report.verdict import Verdict, worst
from fedapp.run_folder import RunFolder
from fedapp.storage.damage import reading
from fedapp.storage.digests import checksum
from fedapp.storage.files import atomic_path
from fedapp.storage.json_file import write_json
from fedapp.storage.scratch import in_memory, scratch
from simulation.audit.advice import advice
from simulation.audit.all_attacks import AuditOutcome, attack, controls
from simulation.audit.attacks.canary_run import canary_epsilon
from simulation.audit.federations import Trial, run_trial
from simulation.audit.findings import OFF, ON, Finding
from simulation.audit.pool import Pool, draw_pool
from simulation.audit.signals import signals
from simulation.experiment import Display, recorded
from simulation.preparation import prepare_partners
from simulation.workers import processes

MEMBERS, CHECKSUM = "members", "checksum"
SCRATCH = "polyphony-audit"  # name of the folders for partners' states
# What of `audit.json` is printed, too: figures, and the scale at which they were found; never a structure that was recovered.
PRINTED = ("gates", "partners", "pool", "members", "rounds", "trials", "row_guard", "listed_rows")
FIGURES = ("name", "attack", "adversary", "defences", "value", "lower", "upper", "chance", "gate", "judged", "trials", "verdict")


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
        kinds = {ON: (config, config.audit.trials), OFF: (undefended(config), config.audit.undefended_trials)}
        canary = workers.submit(canaries_found, pool, config)
        trials = run_trials(run, pool, kinds, workers, display.stage)
        without = workers.submit(attack, pool, config, OFF, trials[OFF], silent)
        outcomes = [attack(pool, config, ON, trials[ON], display.stage)]
        display.stage("attacking, defences off")
        outcomes.append(without.result())
        outcome = joined(outcomes, [*controls(pool, config, trials[ON][0]), canary.result()])
    facts = told(run, config, pool, trials, outcome)
    write_json(run.path / "audit.json", facts)
    report = write_audit_report(run.path)
    verdict = worst(Verdict(gate["verdict"]) for gate in facts["gates"].values())
    figures = {key: facts[key] for key in PRINTED} | {"findings": [{key: finding[key] for key in FIGURES} for finding in facts["findings"]]}
    return {"verdict": verdict, **figures, "run": str(run.path), "seconds": facts["seconds"], "report": str(report)}


def undefended(config: Config) -> Config:
    """The same experiment with every defence off."""
    return replace(config, privacy=replace(config.privacy, row_guard=0, profile="none"))


def run_trials(
    run: RunFolder, pool: Pool, kinds: Mapping[str, tuple[Config, int]], workers: Executor, stage: Callable[[str], None]
) -> dict[str, list[Trial]]:
    """The target and its shadows of each kind; shadows that an earlier process finished are read, and the targets, whose trunks are too
    large to keep, are trained anew.

    Args:
        kinds: Kind to its configuration and how many trials it has.
        workers: Where shadows are trained, while the targets are here.
    """
    paths = {
        kind: [run.path / "audit" / f"{kind}-{number:03d}.safetensors" for number in range(count)] for kind, (_, count) in kinds.items()
    }
    missing = [(kind, number) for kind, held in reversed(paths.items()) for number in range(1, len(held)) if not held[number].is_file()]
    working = [workers.submit(shadow, pool, kinds[kind][0], number, paths[kind][number]) for kind, number in missing]
    targets = {}
    for kind, (config, _) in kinds.items():
        stage(f"training {len(missing) + len(kinds)} federations")
        with scratch(SCRATCH, in_memory()) as states:
            targets[kind] = run_trial(pool, config, 0, states, signals, keep=True)
        write_trial(paths[kind][0], targets[kind])
    for done, each in enumerate(as_completed(working), len(kinds) + 1):
        each.result()
        stage(f"training {len(missing) + len(kinds)} federations: {done} done")
    return {kind: [targets[kind], *map(read_trial, held[1:])] for kind, held in paths.items()}


def shadow(pool: Pool, config: Config, number: int, path: Path) -> None:
    """Train one federation of others, in a process of its own, and keep what membership is guessed from."""
    with scratch(SCRATCH, in_memory()) as folder:
        write_trial(path, run_trial(pool, config, number, folder, signals))


def canaries_found(pool: Pool, config: Config) -> Finding:
    """What canaries say of epsilon."""
    with scratch(SCRATCH, in_memory()) as folder:
        return canary_epsilon(pool, config, ON, folder)


def silent(_: str) -> None:
    """Who attacks in another process tells nobody how far it is."""


def joined(outcomes: list[AuditOutcome], found: list[Finding]) -> AuditOutcome:
    """All outcomes as one, and further findings."""
    return AuditOutcome(
        [each for outcome in outcomes for each in outcome.findings] + found,
        [each for outcome in outcomes for each in outcome.curves],
        [each for outcome in outcomes for each in outcome.recovered],
    )


def write_trial(path: Path, trial: Trial) -> None:
    """Keep what membership is guessed from."""
    path.parent.mkdir(exist_ok=True)
    held: dict[str, NDArray[Any]] = {"listed": trial.listed, "supports": trial.supports, MEMBERS: trial.members}
    held |= {f"signal.{name}": values for name, values in trial.signals.items()}
    with atomic_path(path, own_folder=True) as temporary:
        save_file(held, temporary, metadata={CHECKSUM: checksum("", {name: np.ascontiguousarray(each) for name, each in held.items()})})


def read_trial(path: Path) -> Trial:
    """What `write_trial` kept.

    Raises:
        DamagedFileError: The file is damaged.
    """
    with reading(path, "remove it: this federation is then trained anew"), safe_open(path, framework="np") as opened:
        held = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 (not a mapping)
        if (opened.metadata() or {}).get(CHECKSUM) not in (None, checksum("", held)):
            raise ValueError("it is not what its own checksum says")
        missing = {MEMBERS, "listed", "supports"} - held.keys()
        if missing:
            raise ValueError(f"it lacks {', '.join(sorted(missing))}")
    found = {name.removeprefix("signal."): values for name, values in held.items() if name.startswith("signal.")}
    return Trial(held[MEMBERS], held["listed"], held["supports"], [], None, None, found)


def gates(findings: list[Finding]) -> dict[str, dict[str, Any]]:
    """Every figure that has a gate, with defences on, by name; of several with one name the worst."""
    judged: dict[str, Finding] = {}
    for each in findings:
        if each.gate is not None and each.defences == ON:
            judged[each.name] = max(judged.get(each.name, each), each, key=Finding.severity)
    keys = ("adversary", "value", "upper", "gate", "chance", "verdict", "pass")
    return {name: {key: each.told()[key] for key in keys} for name, each in judged.items()}


def told(run: RunFolder, config: Config, pool: Pool, trials: dict[str, list[Trial]], outcome: AuditOutcome) -> dict[str, Any]:
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
