"""A run folder whose partners have small datasets with learnable labels, made in milliseconds."""

import shutil
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl

from fedapp.config import Config, load_config
from fedapp.consortium.membership import make_consortium
from fedapp.data.dataset import Dataset, save
from fedapp.evaluation.arms import CLASSIFICATION, REGRESSION
from fedapp.run_folder import RunFolder
from simulation.preparation import put_catalogue
from tests.model import synthetic

BITS = 256
TEMPLATES = TemporaryDirectory(prefix="polyphony-small-run-")
SMALL = ("chemistry.bits=256", "model.hidden=[8]", "federation.server_learning_rate=1", "federation.connect_timeout=1")


def write_dataset(
    out: Path, name: str, compounds: int = 200, tasks: int = 4, kinds: Sequence[str] = (CLASSIFICATION,), bits: int = BITS
) -> Dataset:
    """Write a synthetic dataset to a folder, with tasks of these kinds; its names must never leave the partner."""
    held = synthetic.dataset(name, compounds=compounds, bits=bits, tasks=tasks)
    if REGRESSION in kinds:
        held = synthetic.with_values(held, first=tasks // 2 if CLASSIFICATION in kinds else 0)
    structures = pl.DataFrame({"smiles": [f"C{name}{row}" for row in range(compounds)], "fold": held.folds})
    table = held.tasks.with_columns(pl.format("SECRET-{}-{}", pl.lit(name), "group").alias("group"))
    header = {"name": name, "bits": bits, "folds": 5, "note": "", "dropped": {}}
    return save(out, header, structures, (held.x_indptr, held.x_indices), labels=label_table(held), tasks=table)


def label_table(dataset: Dataset) -> pl.DataFrame:
    """row, task, value, censor, as `save` takes them."""
    labels = dataset.labels
    columns = {"task": labels.tasks, "value": labels.values, "censor": labels.censors}
    return pl.DataFrame({"row": labels.owners} | {name: np.array(column) for name, column in columns.items()})


@cache
def small_config(*overrides: str) -> Config:
    return load_config(None, (*SMALL, "data.partners=3", "federation.rounds=3", *overrides))


def small_run(path: Path, *overrides: str) -> RunFolder:
    """A new run folder with every partner's dataset in place; partner-1 has the most compounds."""
    run = RunFolder.open(Path(shutil.copytree(template(overrides), path)).resolve())
    run.update(run=path.name)
    return run


@cache
def template(overrides: tuple[str, ...]) -> Path:
    """Such a run, to be copied: its configuration, keys and datasets take most of the time of many a test."""
    return new_run(Path(TEMPLATES.name) / str(template.cache_info().misses), *overrides).path


def new_run(path: Path, *overrides: str) -> RunFolder:
    """The same as `small_run`, made and not copied: for tests of how a run is made."""
    config = small_config(*overrides)
    run = RunFolder.create(path, config, "simulate")
    kinds = config.tasks.kinds
    datasets = [
        write_dataset(run.partner(name) / "dataset", name, compounds=200 - 20 * index, tasks=4 + index, kinds=kinds)
        for index, name in enumerate(run.partners())
    ]
    put_catalogue(run, datasets)
    make_consortium(run, run.config())
    return run


def rewrite_fingerprints(dataset: Dataset, indptr: np.ndarray, indices: np.ndarray) -> None:
    """Give a dataset other fingerprints, as if it had been made with them."""
    structures = pl.DataFrame({"smiles": dataset.smiles(), "fold": np.array(dataset.folds)})
    header = {key: dataset.header[key] for key in ("name", "bits", "folds", "note", "dropped")}
    save(dataset.directory, header, structures, (indptr, indices), labels=label_table(dataset), tasks=dataset.tasks)
