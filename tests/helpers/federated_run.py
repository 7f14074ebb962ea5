"""A run of small partners whose federated arm is done, under plain aggregation."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from fedapp.data.dataset import Dataset
from fedapp.run_folder import RunFolder
from simulation import baselines
from tests.helpers.federation import federate
from tests.helpers.small_run import small_run

TEMPLATES = TemporaryDirectory(prefix="polyphony-federated-run-")
ROUNDS = 3
NAMES = ("partner-1", "partner-2", "partner-3")
FEW = ("evaluation.min_per_class=3", f"federation.rounds={ROUNDS}")


def federated_run(path: Path, *overrides: str) -> RunFolder:
    """Make a run folder and train its federated arm over the in-memory network."""
    run = RunFolder.open(Path(shutil.copytree(template(overrides), path)).resolve())
    run.update(run=path.name)
    return run


@cache
def template(overrides: tuple[str, ...]) -> Path:
    """Such a run, to be copied."""
    run = small_run(Path(TEMPLATES.name) / str(template.cache_info().misses), *FEW, "aggregation=plain", *overrides)
    federate(run)
    return run.path


@contextmanager
def few_trees() -> Iterator[None]:
    """Forests of twenty trees: whoever looks at a comparison need not wait for good ones."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(baselines, "TREES", 20)
        yield


def open_datasets(run: Path) -> dict[str, Dataset]:
    """The partners' datasets of a run folder."""
    return {name: Dataset.open(run / "partners" / name / "dataset") for name in NAMES}
