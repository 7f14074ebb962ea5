"""Utility against epsilon: one federation at several budgets of record-level privacy, without noise, and each partner alone.

run/privacy/<point>/      the partners' metrics of one point; removed once it is done
run/privacy/<point>.json  its result, from which a killed run goes on
run/privacy.json, .svg    all of them
"""

import shutil
from collections.abc import Mapping
from concurrent.futures import as_completed
from dataclasses import replace
from pathlib import Path
from types import NoneType
from typing import Any

import polars as pl

from fedapp.config import LEAST_NOISE, NO_NOISE, RECORD_DP, Config, Origin, check
from fedapp.data.dataset import Dataset
from fedapp.errors import ConfigError, RunError
from fedapp.evaluation.counting import enough
from fedapp.evaluation.selection import judged_metrics, read_metrics, selected_rounds
from fedapp.model.noisy_training import plan
from fedapp.privacy.calibration import noise_multiplier
from fedapp.privacy.noisy_support import support_event
from fedapp.report.privacy_plot import draw
from fedapp.run_folder import RunFolder
from fedapp.storage.json_file import ValueType, read_sealed, write_json, write_sealed
from fedapp.wording import plural
from simulation.arms import train_alone
from simulation.experiment import Display, recorded
from simulation.federation import federate
from simulation.preparation import prepare_partners
from simulation.workers import processes

LOCAL, NO_BUDGET = "local", "none"
POINT: dict[str, ValueType] = {"noise_multiplier": (int, float, NoneType), "auc_pr": (int, float), "tasks": int}


def privacy_curve(run: RunFolder, display: Display) -> dict[str, Any]:
    """Run or resume all points of a run folder, a process on each processor, and draw them.

    Returns:
        points: {epsilon (None without noise), noise_multiplier, auc_pr}; local, the partners' own mean AUC-PR; delta, rounds,
        training_compounds of each partner, run, seconds, plot.
    Raises:
        PolyphonyError: Whatever the user can put right.
    """
    with recorded(run), processes() as workers:
        config, datasets = run.config(), prepare_partners(run, display.stage, display.advance_preparation)
        names = {LOCAL: None, NO_BUDGET: None} | {f"{epsilon:g}": epsilon for epsilon in config.audit.epsilons}
        folder, where = run.path / "privacy", {name: dataset.directory for name, dataset in datasets.items()}
        missing = [name for name in names if not (folder / f"{name}.json").is_file()]
        jobs = [workers.submit(point, name, config_of(names[name], config, datasets), where, folder / name) for name in missing]
        display.stage(f"training {plural(len(jobs), 'federation')}")
        for done, each in enumerate(as_completed(jobs), 1):
            each.result()
            display.stage(f"training {plural(len(jobs), 'federation')}: {done} done")
    results = {name: read_sealed(folder / f"{name}.json", POINT, "remove it: this point is then trained anew") for name in names}
    points = [{"epsilon": names[name]} | results[name] for name in names if name != LOCAL]
    curve = {"name": config.name, "points": points, "local": results[LOCAL]["auc_pr"], "delta": config.privacy.delta}
    write_json(run.path / "privacy.json", curve)
    draw(curve, run.path / "privacy.svg")
    scale = {
        "rounds": config.federation.rounds,
        "training_compounds": [len(dataset.rows_in(config.training_folds())) for dataset in datasets.values()],
    }
    return curve | scale | {"run": str(run.path), "seconds": run.status()["seconds"], "plot": str(run.path / "privacy.svg")}


def config_of(epsilon: float | None, config: Config, datasets: Mapping[str, Dataset]) -> Config:
    """The experiment at this budget, with the least noise with which every partner can pay for all rounds; without noise for None.

    Raises:
        ConfigError: The budget is too small for these partners, or so large that the noise it takes protects nobody.
    """
    if epsilon is None:
        return replace(config, privacy=replace(config.privacy, profile=NO_NOISE))
    rows = support_event(epsilon, config.privacy.delta) if config.privacy.row_guard > 1 else None
    noise = 0.0
    for partner, dataset in datasets.items():
        steps = plan(len(dataset.rows_in(config.training_folds())), config.training)
        count = config.federation.rounds * steps.count
        try:
            needed = noise_multiplier(epsilon, config.privacy.delta, steps.sample_rate, count, [] if rows is None else [rows])
        except ValueError as error:
            raise ConfigError(f"{partner}: {error}", "leave this epsilon out of audit.epsilons") from error
        noise = max(noise, needed)
    noise = max(noise, LEAST_NOISE)
    private = replace(config, privacy=replace(config.privacy, profile=RECORD_DP, epsilon=epsilon, noise_multiplier=noise))
    check(private, Origin(Path(config.name), {}))
    return private


def point(name: str, config: Config, where: Mapping[str, Path], folder: Path) -> None:
    """Train one federation, or each partner alone, and keep its mean AUC-PR beside `folder`; in a process of its own."""
    shutil.rmtree(folder, ignore_errors=True)
    datasets = {partner: Dataset.open(path) for partner, path in where.items()}
    if name == LOCAL:
        for partner, dataset in datasets.items():
            for _ in train_alone(LOCAL, folder / partner, dataset, config):
                pass
    else:
        federate(datasets, config, folder)
    noise = None if config.privacy.profile == NO_NOISE else config.privacy.noise_multiplier
    write_sealed(folder.with_name(f"{folder.name}.json"), {"noise_multiplier": noise, **judged(list(datasets), config, folder)})
    shutil.rmtree(folder)


def judged(partners: list[str], config: Config, folder: Path) -> dict[str, Any]:
    """Mean test AUC-PR over the tasks that count, each partner at its selected round: auc_pr, tasks.

    Raises:
        RunError: No task counts.
    """
    least = config.evaluation.min_per_class
    tables = (read_metrics(folder / partner).with_columns(pl.lit(partner).alias("partner")) for partner in partners)
    metrics = pl.concat(tables)
    counted = judged_metrics(metrics, selected_rounds(metrics, least)).filter(enough(least), pl.col("auc_pr").is_not_null())
    if counted.is_empty():
        raise RunError(
            f"no task has {least} actives and as many inactives in the test fold", "lower evaluation.min_per_class or use more data"
        )
    return {"auc_pr": float(counted["auc_pr"].to_numpy().mean()), "tasks": len(counted)}
