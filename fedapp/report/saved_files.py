"""The files of a run folder one by one; of what is absent or damaged nothing is made up, and `problems` is told so in words."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import polars as pl
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from fedapp.data.integrity import HEADER
from fedapp.data.integrity import TASKS as TASK_TABLE
from fedapp.errors import RunError
from fedapp.evaluation.arms import CLASSIFICATION, COUNTS
from fedapp.evaluation.selection import METRICS_SCHEMA
from fedapp.partner_folder import PartnerFolder
from fedapp.storage import sealed_table
from fedapp.storage.damage import RESTORE, DamagedFileError, reading
from fedapp.storage.digests import check_files
from fedapp.storage.json_file import read_sealed
from fedapp.storage.live_files import records
from strategies.update.round_sum import RoundSum, sums_that_count

KINDS = ("simulate", "compare")
LOSSES: dict[str, Any] = {"round": pl.Int32, "loss": pl.Float64, "seconds": pl.Float64, "compounds": pl.Int64, "steps": pl.Int64}
TEST_FOLD = "evaluation.test_fold"  # null where no fold was kept for judging
# What the report tells depends on these.
NEEDED = (
    *("aggregation", "privacy.row_guard", "federation.metrics_shown", "federation.initial_trunk"),
    *(TEST_FOLD, "evaluation.validation_fold", "evaluation.min_per_class"),
)
FACTS: dict[str, Any] = {"group": pl.String, "threshold": pl.Float64, "kind": pl.String, "unit": pl.String, "auxiliary": pl.Boolean}
LEFT_OUT = "is unreadable and was left out."
TASKS: dict[str, Any] = {"task": pl.Int32} | FACTS | dict.fromkeys(COUNTS, pl.Int64)


def read_facts(directory: Path) -> Mapping[str, Any]:
    """run.json.

    Raises:
        RunError: It is not there, cannot be read, or tells of no run.
    """
    if not directory.is_dir():
        raise RunError(f"no run folder {directory}", known_runs(directory.parent))
    path = directory / "run.json"
    if not path.is_file():
        raise RunError(f"{directory} is not a run folder: it has no run.json", known_runs(directory))
    facts = read_sealed(path, {}, "bring it back from a backup, or start the run anew")
    if facts.get("kind") not in KINDS:
        raise RunError(f"{path} does not describe a run: its kind is none of {', '.join(KINDS)}", known_runs(directory.parent))
    return facts


def known_runs(folder: Path) -> str:
    """A hint that names the newest runs in a folder, if there are any."""
    saved = sorted(folder.glob("*/run.json"), key=lambda path: path.stat().st_mtime, reverse=True)
    if saved:
        return f"runs found there: {', '.join(str(path.parent) for path in saved[:3])}"
    return "give the folder that simulate or compare printed, such as runs/NAME"


def partner_names(directory: Path, facts: Mapping[str, Any]) -> tuple[str, ...]:
    """The partners that run.json names, or else those with a folder; only names that are one path component."""
    named = facts.get("partners")
    if not isinstance(named, list):
        named = sorted(path.name for path in (directory / "partners").glob("*") if path.is_dir())
    return tuple(name for name in map(str, named) if name and Path(name).name == name)


def place(path: Path) -> str:
    """Where a file lies, for a page that may be passed on: without what is above the run."""
    return f"{path.parent.parent.name}/{path.parent.name}"


def partner_folder(directory: Path, name: str) -> PartnerFolder:
    """A partner's folder in a run."""
    return PartnerFolder(directory / "partners" / name)


def read_config(path: Path) -> Mapping[str, Any]:
    """config.yaml as plain values; a default in place of one would tell something else than what the run did.

    Raises:
        RunError: It is missing, unreadable or emptied.
    """
    try:
        content = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    except (OSError, OmegaConfBaseException, YAMLError, ValueError) as error:
        raise RunError(f"{path} cannot be read: {' '.join(str(error).split()):.200}", RESTORE) from error
    config = {str(key): value for key, value in content.items()} if isinstance(content, dict) else {}
    absent = object()
    held = {key: setting(config, key, absent) for key in NEEDED}
    if missing := [key for key, value in held.items() if value is absent or (value is None and key != TEST_FOLD)]:
        raise RunError(f"{path} lacks {', '.join(missing)}", RESTORE)
    return config


def setting(config: Mapping[str, Any], key: str, default: Any = None) -> Any:
    """A value by its dotted key."""
    value: Any = config
    for part in key.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return default
        value = value[part]
    return value


def read_optional(path: Path, problems: list[str]) -> dict[str, Any] | None:
    """A JSON object, or None if the file is absent or damaged (the latter is a problem)."""
    if not path.is_file():
        return None
    try:
        return read_sealed(path, {})
    except (DamagedFileError, OSError):
        problems.append(f"{path.name} in {place(path)} {LEFT_OUT}")
        return None


def read_errors(directory: Path, partners: tuple[str, ...], problems: list[str]) -> dict[str, str]:
    """What partners and the coordinator left to say why they failed."""
    places = {"": directory / "coordinator" / "outcome.json"} | {name: partner_folder(directory, name).error for name in partners}
    reasons = {name: (read_optional(path, problems) or {}).get("error") for name, path in places.items()}
    return {name: str(reason) for name, reason in reasons.items() if reason}


def read_heads(folder: PartnerFolder, problems: list[str]) -> dict[str, str]:
    """Kind of task to what predicts a partner's common endpoints, by its model's header; empty without a model, or common endpoints."""
    members = (read_optional(folder.model_header, problems) or {}).get("members")
    told = [member.get("shared_heads") for member in members if isinstance(member, Mapping)] if isinstance(members, list) else []
    return {str(kind): str(heads) for each in told if isinstance(each, Mapping) for kind, heads in each.items()}


def read_table(
    path: Path, schema: Mapping[str, Any] | None, problems: list[str], read: Callable[[Path], pl.DataFrame] = sealed_table.read_table
) -> pl.DataFrame | None:
    """A Parquet table with the columns of `schema`, absent ones null and NaN as null; None if absent or damaged."""
    if not path.is_file():
        return None
    try:
        with reading(path):
            table = read(path)
            wanted = dict(table.schema) if schema is None else schema
            columns = [(pl.col(name) if name in table.columns else pl.lit(None)).cast(kind).alias(name) for name, kind in wanted.items()]
            return table.select(columns).with_columns(pl.selectors.float().fill_nan(None))
    except (DamagedFileError, OSError):
        problems.append(f"{path.name} in {place(path)} {LEFT_OUT}")
        return None


def read_dataset(partner: str, dataset: Path, problems: list[str]) -> tuple[dict[str, Any], pl.DataFrame]:
    """A dataset's header, and its tasks if they are those of which the header has the digest: partner, then the columns of TASKS."""
    header, tasks, table = read_optional(dataset / HEADER, problems), dataset / TASK_TABLE, None
    if header is not None:
        try:
            with reading(dataset / HEADER, RESTORE):
                check_files(dataset, {TASK_TABLE: header["files"][TASK_TABLE]}, RESTORE)
            table = read_table(tasks, TASKS, problems, pl.read_parquet)
        except (DamagedFileError, OSError):
            problems.append(f"{tasks.name} in {place(tasks)} {LEFT_OUT}")
    elif tasks.is_file():
        problems.append(f"{tasks.name} in {place(tasks)} was left out, since only {HEADER} says what it must be.")
    rows = (pl.DataFrame(schema=TASKS) if table is None else table).select(pl.lit(partner).alias("partner"), pl.all())
    return header or {}, rows.with_columns(pl.col("kind").fill_null(CLASSIFICATION), pl.col("auxiliary").fill_null(False))


def read_metrics(folder: Path, partner: str, problems: list[str]) -> pl.DataFrame:
    """Every saved round of one partner's metrics."""
    tables = [read_table(path, METRICS_SCHEMA, problems) for path in PartnerFolder(folder).metrics_by_round().values()]
    rows = pl.concat([pl.DataFrame(schema=METRICS_SCHEMA), *(table for table in tables if table is not None)])
    return rows.select(pl.lit(partner).alias("partner"), pl.all())


def read_losses(folder: Path, partner: str, problems: list[str]) -> pl.DataFrame:
    """Every saved round of one partner's training loss."""
    saved = [read_optional(path, problems) for path in PartnerFolder(folder).losses_by_round().values()]
    rows = [{name: row.get(name) for name in LOSSES} for row in saved if row is not None and row.get("round") is not None]
    return pl.DataFrame(rows, schema=LOSSES, strict=False).select(pl.lit(partner).alias("partner"), pl.all())


def read_sums(directory: Path, partners: tuple[str, ...], problems: list[str]) -> tuple[RoundSum, ...]:
    """What partners noted of each round's sum, by round; all note the same, but one that missed rounds lacks them."""
    rounds: dict[int, RoundSum] = {}
    for name in partners:
        for noted in sums_that_count(records(partner_folder(directory, name).sums, RoundSum, problems)):
            rounds.setdefault(noted.round, noted)
    return tuple(rounds[number] for number in sorted(rounds))
