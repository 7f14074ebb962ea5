"""What secure aggregation costs in a whole federated round: the same experiment twice under each aggregation, in turns."""

import shutil
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from fedapp.config import Config
from fedapp.errors import RunError
from fedapp.run_folder import RunFolder, new_run_path
from simulation.experiment import Display
from simulation.launch import run_flower
from simulation.preparation import prepare_partners
from strategies.journal import read_journal, round_seconds

ORDER = ("plain", "secure", "secure", "plain")  # a machine that slows down or speeds up hits both alike
WARM_UP = 1  # rounds in which processes still import and allocate


def measure_round(config: Config, rounds: int, display: Display) -> dict[str, Any]:
    """Median seconds of a round under each aggregation; the runs are removed again.

    Args:
        config: The experiment; its number of rounds is replaced.
        rounds: Of each run, 2 or more; the first is not counted.
    Returns:
        plain_s, secure_s, ratio, rounds (counted under each aggregation), partners.
    Raises:
        RunError: Fewer than 2 rounds, or a run failed.
    """
    if rounds <= WARM_UP:
        raise RunError(f"{rounds} rounds leave nothing to measure", "the first round is not counted: give 2 or more")
    seconds: dict[str, list[float]] = {"plain": [], "secure": []}
    for turn, aggregation in enumerate(ORDER, 1):
        display.stage(f"run {turn} of {len(ORDER)}: {aggregation}")
        chosen = replace(config, aggregation=aggregation, federation=replace(config.federation, rounds=rounds))
        seconds[aggregation] += timed_rounds(chosen, turn, display)[WARM_UP:]
    plain, secure = median(seconds["plain"]), median(seconds["secure"])
    return {
        "plain_s": round(plain, 3),
        "secure_s": round(secure, 3),
        "ratio": round(secure / plain, 3),
        "rounds": len(seconds["secure"]),
        "partners": config.data.partners,
    }


def timed_rounds(config: Config, turn: int, display: Display) -> list[float]:
    """Seconds of each round of one run."""
    path = new_run_path(config)
    run = RunFolder.create(path.with_name(f"{path.name}-benchmark-{turn}"), config, "simulate")
    try:
        prepare_partners(run, display.stage, display.advance_preparation)
        run_flower(run, lambda: None)
        return round_seconds(read_journal(run.coordinator / "journal.jsonl"))
    finally:
        shutil.rmtree(Path(run.path), ignore_errors=True)
