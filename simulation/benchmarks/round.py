"""What secure aggregation costs in a whole federated round: the same experiment several times under each aggregation, in turns.

A round takes seconds, and a machine that is not ours alone may slow down by a third for minutes. So each secure run is compared with the
plain one beside it, and the median of these ratios is told.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from fedapp.config import Config
from fedapp.errors import RunError
from fedapp.run_folder import RunFolder, new_run_path
from simulation.benchmarks.fixed_cost import WARM_UP as COLD
from simulation.benchmarks.fixed_cost import fixed_cost
from simulation.experiment import Display
from simulation.launch import run_flower
from simulation.preparation import prepare_partners
from strategies.coordinator.journal import read_journal, round_seconds

ORDER = ("plain", "secure", "secure", "plain") * 2  # pairs of neighbours; either comes first as often
WARM_UP = 1  # rounds in which processes still import and allocate


def measure_round(config: Config, rounds: int, display: Display) -> dict[str, Any]:
    """Seconds of a round under each aggregation; the runs are removed again.

    Args:
        config: The experiment; its number of rounds is replaced.
        rounds: Of each run, 2 or more; the first is not counted.
    Returns:
        As `compared`, partners, and what `fixed_cost` says of one more secure run.
    Raises:
        RunError: Fewer than 2 rounds, or a run failed.
    """
    if rounds <= WARM_UP:
        raise RunError(f"{rounds} rounds leave nothing to measure", "the first round is not counted: give 2 or more")
    runs = []
    for turn, aggregation in enumerate(ORDER, 1):
        display.stage(f"run {turn} of {len(ORDER)}: {aggregation}")
        chosen = replace(config, aggregation=aggregation, federation=replace(config.federation, rounds=rounds))
        runs.append((aggregation, timed_rounds(chosen, turn, display)[WARM_UP:]))
    display.stage("a partner's fixed cost, in this process")
    secure = replace(config, aggregation="secure", federation=replace(config.federation, rounds=rounds + COLD))
    with benchmark_run(secure, len(ORDER) + 1, display) as run:
        return compared(runs) | {"partners": config.data.partners} | fixed_cost(run)


def compared(runs: list[tuple[str, list[float]]]) -> dict[str, Any]:
    """What runs in turns say about each other.

    Args:
        runs: Aggregation and seconds of each counted round, in order; the first two are a pair of neighbours, and so on.
    Returns:
        plain_s and secure_s, medians over all rounds; ratios, secure by plain for each pair, ascending; ratio, their median; rounds,
        counted under each aggregation.
    """
    by_aggregation = {
        name: [second for aggregation, seconds in runs if aggregation == name for second in seconds] for name in ("plain", "secure")
    }
    pairs = [dict(pair) for pair in zip(runs[::2], runs[1::2], strict=True)]
    ratios = sorted(median(pair["secure"]) / median(pair["plain"]) for pair in pairs)
    return {
        "plain_s": round(median(by_aggregation["plain"]), 3),
        "secure_s": round(median(by_aggregation["secure"]), 3),
        "ratio": round(median(ratios), 3),
        "ratios": [round(ratio, 3) for ratio in ratios],
        "rounds": len(by_aggregation["secure"]),
    }


def timed_rounds(config: Config, turn: int, display: Display) -> list[float]:
    """Seconds of each round of one run."""
    with benchmark_run(config, turn, display) as run:
        run_flower(run, lambda: None)
        return round_seconds(read_journal(run.coordinator / "journal.jsonl"))


@contextmanager
def benchmark_run(config: Config, turn: int, display: Display) -> Iterator[RunFolder]:
    """A new run whose partners lie ready; it is removed again."""
    path = new_run_path(config)
    run = RunFolder.create(path.with_name(f"{path.name}-benchmark-{turn}"), config, "simulate")
    try:
        prepare_partners(run, display.stage, display.advance_preparation)
        yield run
    finally:
        shutil.rmtree(Path(run.path), ignore_errors=True)
