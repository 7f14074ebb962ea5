"""Gives every simulated partner its own keys and dataset: prepares the tables once, and deals out what was measured."""

import time
from collections.abc import Callable
from pathlib import Path

import polars as pl

from fedapp.config import ENDPOINTS, Config
from fedapp.consortium.membership import make_consortium
from fedapp.data.dataset import LOSSES, Dataset, build_dataset
from fedapp.data.demo import demo_dataset
from fedapp.data.integrity import SUMMARY, read_summary
from fedapp.data.losses import label_warnings, table_warnings, taken_columns
from fedapp.data.prepare import REJECTED, input_digest, prepare
from fedapp.errors import BusyError, DataError
from fedapp.partner_folder import PartnerFolder
from fedapp.run_folder import RunFolder
from fedapp.storage.damage import DamagedFileError
from simulation.dealing import deal_endpoints
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
    make_consortium(run, config)
    missing = [name for name in run.partners() if not PartnerFolder(run.partner(name)).dataset.is_dir()]
    if missing and config.data.tables == "demo":
        stage("making the demo's datasets")
        for name in missing:
            index = run.partners().index(name) + 1
            demo_dataset(PartnerFolder(run.partner(name)).dataset, index, config.data.partners, config.chemistry, config.tasks)
    elif missing and isinstance(config.data.tables, str):
        split_tables(run, config, missing, stage, progress)
    elif missing:
        take_tables(run, config, missing, stage, progress)
    datasets = {name: Dataset.open(PartnerFolder(run.partner(name)).dataset) for name in run.partners()}
    for name, dataset in datasets.items():
        check_fits(dataset, name, config)
    notes = dict.fromkeys(dataset.note for dataset in datasets.values() if dataset.note)
    run.update(note="\n".join(notes), data_digest={name: dataset.digest for name, dataset in datasets.items()})
    return datasets


def split_tables(run: RunFolder, config: Config, missing: list[str], stage: Callable[[str], None], progress: Progress) -> None:
    """Build each partner's dataset from its share of one folder of tables."""
    prepared = prepared_tables(Path(config.data.tables), config, stage, progress)
    stage("building the partners' datasets")
    if config.data.deal == ENDPOINTS:
        shares = deal_endpoints(prepared, config.data, config.tasks, config.seed)
    else:
        assays = partition_assays(prepared, config.data.partners, config.seed)
        shares = {name: pl.DataFrame({"assay_id": sorted(own)}) for name, own in assays.items()}
    for name in missing:
        tell_losses(build_dataset(prepared, PartnerFolder(run.partner(name)).dataset, name, config.tasks, shares[name]), stage)


def take_tables(run: RunFolder, config: Config, missing: list[str], stage: Callable[[str], None], progress: Progress) -> None:
    """Build each partner's dataset from the folder of tables that is its own, the first partner's from the first."""
    for name, tables in zip(run.partners(), map(Path, config.data.tables), strict=True):
        if name in missing:
            prepared = prepared_tables(tables, config, stage, progress)
            stage(f"building the dataset of {name} from {tables}")
            tell_losses(build_dataset(prepared, PartnerFolder(run.partner(name)).dataset, name, config.tasks), stage)


def prepared_tables(tables: Path, config: Config, stage: Callable[[str], None], progress: Progress) -> Path:
    """The prepared folder of these tables, kept beside the runs and made again only when tables or settings changed.

    Raises:
        DataError: There is no folder `tables`, or its tables are unusable.
    """
    if not tables.exists():
        raise DataError(
            f"no folder {tables}", "point data.tables, or $POLYPHONY_DATA, at a folder with compounds.* and activities.*, or at one file"
        )
    stage(f"reading {tables}")
    digest = input_digest(tables, config.chemistry)
    prepared = Path(config.runs).resolve() / "prepared" / f"{tables.name}-{digest[:12]}"
    while not is_prepared(prepared, digest, stage):
        try:
            stage(f"preparing {tables}")
            prepare(tables, prepared, config.chemistry, progress)
            break
        except BusyError:
            stage(f"waiting for another run that prepares {tables}")
            time.sleep(POLL)
    summary = read_summary(prepared)
    for table in summary["tables"].values():
        stage(f"{table['file']}: {taken_columns(table)}")
    for loss in table_warnings(summary):
        stage(f"warning: {loss}; they are listed in {prepared / REJECTED}")
    return prepared


def tell_losses(dataset: Dataset, stage: Callable[[str], None]) -> None:
    """Say which large part of a partner's values gives no label."""
    for loss in label_warnings(dataset.header):
        stage(f"warning: {dataset.name}: {loss}; see {dataset.directory / LOSSES}")


def is_prepared(prepared: Path, digest: str, stage: Callable[[str], None]) -> bool:
    """Whether a kept folder is of these tables and settings, and whole; one that was damaged is made again."""
    if not (prepared / SUMMARY).is_file():
        return False
    try:
        return bool(read_summary(prepared)["digest"] == digest)
    except DamagedFileError as damage:
        stage(str(damage))
        return False


def check_fits(dataset: Dataset, name: str, config: Config) -> None:
    """Refuse a dataset that is another partner's, or was made with other settings.

    Raises:
        DataError: It is; the message names the folder.
    """
    header, expected = dataset.header, {"name": name, "bits": config.chemistry.bits, "folds": config.chemistry.folds}
    for key, value in expected.items():
        if header[key] != value:
            raise DataError(f"{dataset.directory} has {key} {header[key]}, and the run has {value}", "restore both from one backup")
