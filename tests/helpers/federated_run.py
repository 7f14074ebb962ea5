"""A run of small partners whose federated arm is done, under plain aggregation."""

from pathlib import Path

from fedapp.data.dataset import Dataset
from fedapp.run_folder import RunFolder
from tests.helpers.federation import federate
from tests.helpers.small_run import small_run

ROUNDS = 3
NAMES = ("partner-1", "partner-2", "partner-3")
FEW = ("evaluation.min_per_class=3", f"federation.rounds={ROUNDS}")


def federated_run(path: Path, *overrides: str) -> RunFolder:
    """Make a run folder and train its federated arm over the in-memory network."""
    run = small_run(path, *FEW, "aggregation=plain", *overrides)
    federate(run)
    return run


def open_datasets(run: Path) -> dict[str, Dataset]:
    """The partners' datasets of a run folder."""
    return {name: Dataset.open(run / "partners" / name / "dataset") for name in NAMES}
