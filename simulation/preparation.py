"""Gives every simulated partner its own keys and dataset: prepares the tables once, and splits their assays."""

import time
from collections.abc import Callable
from pathlib import Path

from fedapp.config import Config
from fedapp.data.dataset import Dataset, build_dataset
from fedapp.data.demo import demo_dataset
from fedapp.data.prepare import SUMMARY, input_digest, prepare
from fedapp.errors import BusyError, DataError
from fedapp.files import read_json
from fedapp.membership import found
from fedapp.run_folder import RunFolder
from simulation.partition import partition_assays

POLL = 1.0  # seconds between looks at what another run prepares
Progress = Callable[[int, int], None]


def prepare_partners(run: RunFolder, stage: Callable[[str], None], progress: Progress) -> dict[str, Dataset]:
    """Make keys and datasets that are not there yet, and open all datasets.

    Args:
        run: Its configuration names the tables.
        stage: Told in words what is being done.
        progress: Called with (structures done, all structures).
    Raises:
        DataError: Tables missing or unusable, or a partner without a task.
    """
    config = run.config()
    found(run, config)
    if config.data.tables == "demo":
        stage("making the demo's datasets")
        for index, name in enumerate(run.partners(), start=1):
            if not (run.partner(name) / "dataset").is_dir():
                demo_dataset(run.partner(name) / "dataset", index, config.data.partners, config.chemistry, config.tasks)
    else:
        split_tables(run, config, stage, progress)
    datasets = {name: Dataset.open(run.partner(name) / "dataset") for name in run.partners()}
    run.update(note=next(iter(datasets.values())).note, data_digest={name: dataset.digest for name, dataset in datasets.items()})
    return datasets


def split_tables(run: RunFolder, config: Config, stage: Callable[[str], None], progress: Progress) -> None:
    """Build each partner's dataset from its share of the tables' assays."""
    missing = [name for name in run.partners() if not (run.partner(name) / "dataset").is_dir()]
    if not missing:
        return
    prepared = prepared_tables(Path(config.data.tables), config, stage, progress)
    stage("building the partners' datasets")
    shares = partition_assays(prepared, config.data.partners, config.seed)
    for name in missing:
        build_dataset(prepared, run.partner(name) / "dataset", name, config.tasks, shares[name])


def prepared_tables(tables: Path, config: Config, stage: Callable[[str], None], progress: Progress) -> Path:
    """The prepared folder of these tables, kept beside the runs and made again only when tables or settings changed.

    Raises:
        DataError: There is no folder `tables`, or its tables are unusable.
    """
    if not tables.is_dir():
        raise DataError(f"no folder {tables}", "point data.tables, or $POLYPHONY_DATA, at a folder with compounds.* and activities.*")
    stage(f"reading {tables}")
    digest = input_digest(tables, config.chemistry)
    prepared = Path(config.runs).resolve() / "prepared" / f"{tables.name}-{digest[:12]}"
    while not (prepared / SUMMARY).is_file() or read_json(prepared / SUMMARY)["digest"] != digest:
        try:
            stage(f"preparing {tables}")
            prepare(tables, prepared, config.chemistry, progress)
            break
        except BusyError:
            stage(f"waiting for another run that prepares {tables}")
            time.sleep(POLL)
    return prepared
