"""Gives every simulated partner its keys and dataset, and all one catalogue: prepares the tables once, and deals out what was measured."""

import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
import polars as pl

from fedapp.config import CATALOGUE, ENDPOINTS, Config
from fedapp.consortium.membership import make_consortium
from fedapp.data.catalogue import GROUPS, Catalogue, Endpoint, catalogue_of, other_unit, read_catalogue, units_of, write_catalogue
from fedapp.data.dataset import LOSSES, Dataset, build_dataset
from fedapp.data.demo import demo_dataset
from fedapp.data.integrity import SUMMARY, read_summary
from fedapp.data.losses import label_warnings, table_warnings, taken_columns
from fedapp.data.notation import LABEL_UNIT
from fedapp.data.prepare import REJECTED, input_digest, prepare
from fedapp.data.task_kinds import KIND, completed
from fedapp.errors import BusyError, ConfigError, DataError
from fedapp.evaluation.arms import REGRESSION
from fedapp.partner_folder import PartnerFolder
from fedapp.run_folder import RunFolder
from fedapp.storage.damage import DamagedFileError
from simulation.dealing import deal_endpoints
from simulation.partition import partition_assays

POLL = 1.0  # seconds between looks at what another run prepares
NAMED = 5  # faults in a message
Progress = Callable[[int, int], None]


def prepare_partners(run: RunFolder, stage: Callable[[str], None], progress: Progress) -> dict[str, Dataset]:
    """Make datasets, catalogue and keys that are not there yet, and open all datasets.

    Args:
        run: Its configuration names the tables.
        stage: Told in words what is being done.
        progress: Called with (structures done, all structures).
    Raises:
        DataError: Tables missing or unusable, or a partner without a task.
        ConfigError: An unusable catalogue, or a group that is called as one of its endpoints and measured in another unit.
    """
    config = run.config()
    put_catalogue(run, stage=stage)  # one that is unusable is named before datasets are made
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
    put_catalogue(run, datasets.values(), stage)
    check_units(datasets, catalogue_of(run.config()))
    make_consortium(run, config)  # partners' policies name the trunk's layout, shared heads too
    notes = dict.fromkeys(dataset.note for dataset in datasets.values() if dataset.note)
    run.update(note="\n".join(notes), data_digest={name: dataset.digest for name, dataset in datasets.items()})
    return datasets


def put_catalogue(run: RunFolder, datasets: Iterable[Dataset] = (), stage: Callable[[str], None] = lambda _: None) -> None:
    """Write the run's catalogue, unless it has none or an earlier process wrote it.

    Args:
        datasets: Of all partners, whose groups make the catalogue where the experiment says so; none if they are not there yet.
        stage: Told which groups are no endpoint, since partners measure them in different units.
    Raises:
        ConfigError: The file that the experiment names is unusable.
        DataError: A group has a name that no endpoint can have.
    """
    source, path, every = run.given_config().tasks.catalogue, run.path / CATALOGUE, list(datasets)
    if source is None or path.is_file():
        return
    if source != GROUPS:
        write_catalogue(path, read_catalogue(Path(source)))
    elif every:
        try:
            learned = run.given_config().training_folds()
            tasks = {each.name: each.learned_from(learned).tasks for each in every}
            for warning in unlike_units(tasks):
                stage(f"warning: {warning}")
            catalogue = catalogue_of_groups(tasks)
        except ValueError as error:
            raise DataError(f"the groups of tasks make no catalogue: {error}", "name assays otherwise, or tasks.catalogue=null") from error
        write_catalogue(path, catalogue)


def check_units(datasets: Mapping[str, Dataset], catalogue: Catalogue) -> None:
    """Refuse groups that would be an endpoint by their name, and are measured in another unit.

    Raises:
        ConfigError: There are such; partners, groups and units are named.
    """
    measured = units_of_groups({name: dataset.tasks for name, dataset in datasets.items()})
    faults = [
        f"{name}: {fault}"
        for group in sorted(measured.keys() & catalogue.by_id.keys())
        for name, units in measured[group].items()
        if (fault := other_unit(group, units, catalogue.by_id[group]))
    ]
    if faults:
        more = f"; and {len(faults) - NAMED:,} more" if len(faults) > NAMED else ""
        raise ConfigError(
            f"{'; '.join(faults[:NAMED])}{more}",
            "here a group of tasks is the endpoint that is called as it: call either otherwise, or give both one unit",
        )


def units_of_groups(tasks: Mapping[str, pl.DataFrame]) -> dict[str, dict[str, set[str]]]:
    """Group to partner to the units in which it measures the group: p-values and 0/1 labels may be in one."""
    units: dict[str, dict[str, set[str]]] = {}
    for partner, own in tasks.items():
        for group, unit in zip(own["group"], units_of(own), strict=True):
            units.setdefault(group, {}).setdefault(partner, set()).add(unit)
    return units


def common_unit(held: Mapping[str, set[str]]) -> str | None:
    """The unit that all partners who measure a group have, values before 0/1 labels; None where there is none."""
    return min(set.intersection(*held.values()), key=lambda unit: (unit == LABEL_UNIT, unit), default=None)


def unlike_units(tasks: Mapping[str, pl.DataFrame]) -> list[str]:
    """Of each group that is no endpoint, since no unit is common to all who measure it, who measures it in which."""
    sentences = []
    for group, held in sorted(units_of_groups(tasks).items()):
        if common_unit(held) is None:
            told = ", ".join(f"{partner} in {' and '.join(sorted(units))}" for partner, units in held.items())
            sentences.append(f"{group} is no common endpoint, since it is measured by {told}")
    return sentences


def catalogue_of_groups(tasks: Mapping[str, pl.DataFrame]) -> Catalogue:
    """Every group that all who measure it have in one unit as an endpoint, at every threshold that somebody has in that unit.

    Args:
        tasks: Of each partner; values are normalised by the mean of their centres and of their scales.
    Raises:
        ValueError: A name that no endpoint can have, or no group is left.
    """
    units = {group: unit for group, held in units_of_groups(tasks).items() if (unit := common_unit(held)) is not None}
    if not units:
        raise ValueError("none is measured in one unit by all who have it")
    columns = ("group", "threshold", KIND, "centre", "scale")
    every = pl.concat(completed(own).select(*columns, pl.Series("unit", units_of(own))) for own in tasks.values())
    common = pl.DataFrame(list(units.items()), schema={"group": pl.String, "unit": pl.String}, orient="row")
    valued = pl.col(KIND) == REGRESSION
    groups = (
        every.join(common, on=["group", "unit"], how="semi")
        .group_by("group", "unit")
        .agg(
            pl.col("threshold").drop_nulls().unique().sort(),
            valued.any().alias("value"),
            *(pl.col(name).filter(valued).cast(pl.Float64).mean() for name in ("centre", "scale")),
        )
    )
    return Catalogue(
        tuple(
            Endpoint(
                id=row["group"],
                measures=row["group"],
                unit=row["unit"],
                thresholds=tuple(float(str(np.float32(threshold))) for threshold in row["threshold"]),  # 6.7 and not 6.699999809
                value=row["value"],
                centre=row["centre"],
                scale=row["scale"],
            )
            for row in groups.iter_rows(named=True)
        )
    )


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
