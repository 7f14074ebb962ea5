"""What a run folder holds, read as far as it got; nothing is trained or evaluated here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from fedapp.errors import RunError
from fedapp.evaluation.arms import CLASSIFICATION, COUNTS, DRAWN, FEDERATED, LOCAL, POOLED, column
from fedapp.evaluation.selection import METRICS_SCHEMA
from fedapp.partner_folder import PartnerFolder
from fedapp.storage.damage import RESTORE, DamagedFileError, reading
from fedapp.storage.json_file import read_json, read_object
from fedapp.storage.live_files import records
from strategies.coordinator.journal import Exchange
from strategies.update.round_sum import RoundSum
from strategies.update.self_audit import Audited

FINISHED = "finished"
KINDS = ("simulate", "compare")
LOSSES: dict[str, Any] = {"round": pl.Int32, "loss": pl.Float64, "seconds": pl.Float64, "compounds": pl.Int64, "steps": pl.Int64}
COMPARED = ("partner", "task", "group", "threshold", "positives", "negatives", "riptop")
TEST_FOLD = "evaluation.test_fold"  # null where no fold was kept for judging
# What the report tells depends on these.
NEEDED = (
    *("aggregation", "privacy.row_guard", "federation.metrics_shown", "federation.initial_trunk"),
    *(TEST_FOLD, "evaluation.validation_fold", "evaluation.min_per_class"),
)
FACTS: dict[str, Any] = {"group": pl.String, "threshold": pl.Float64, "kind": pl.String, "unit": pl.String, "auxiliary": pl.Boolean}
TASKS: dict[str, Any] = {"task": pl.Int32} | FACTS | dict.fromkeys(COUNTS, pl.Int64)


@dataclass(frozen=True)
class Arm:
    """One way of training.

    metrics: partner, then the columns of METRICS_SCHEMA: one row per partner, round, fold and task.
    losses: partner, then the columns of LOSSES: one row per partner and round.
    """

    metrics: pl.DataFrame
    losses: pl.DataFrame


@dataclass(frozen=True)
class SavedRun:
    """A run folder in memory; what is absent is empty, and `problems` says so in words.

    journal: the coordinator's exchanges.
    sums: what partners noted of each round's sum, by round; empty where the coordinator did the sums.
    audits: partner to what its self-audit found in each vector.
    outcome: what the coordinator says of the federated rounds, None while they run.
    errors: partner to the reason of its failure, and "" to that of the run as a whole.
    """

    directory: Path
    facts: Mapping[str, Any]
    config: Mapping[str, Any]
    partners: tuple[str, ...]
    datasets: Mapping[str, Mapping[str, Any]]
    tasks: pl.DataFrame
    arms: Mapping[str, Arm]
    comparison: Mapping[str, Any] | None
    compared: pl.DataFrame | None
    journal: tuple[Exchange, ...]
    sums: tuple[RoundSum, ...] = ()
    audits: Mapping[str, tuple[Audited, ...]] = field(default_factory=dict)
    outcome: str | None = None
    errors: Mapping[str, str] = field(default_factory=dict)
    problems: tuple[str, ...] = field(default=())

    @property
    def name(self) -> str:
        """What the run is called, by its own file or its folder."""
        return str(self.facts.get("run") or self.directory.name)

    @property
    def tested(self) -> bool:
        """Whether a fold was kept for judging."""
        return self.setting(TEST_FOLD) is not None

    @property
    def minimum(self) -> int:
        """How many of each class a task needs in a fold to count there."""
        return int(self.setting("evaluation.min_per_class"))

    @property
    def finished(self) -> bool:
        """Whether the run reached its end: it says so itself, or all that its end leaves is there."""
        whole = self.facts.get("kind") == "simulate" or self.comparison is not None
        return self.facts.get("state") == FINISHED or (self.outcome == FINISHED and whole)

    @property
    def state(self) -> str:
        """How far it came, as it says itself; a run with all that an end leaves is finished."""
        return FINISHED if self.finished else str(self.facts.get("state") or "unknown")

    @property
    def compared_partners(self) -> Mapping[str, Mapping[str, Any]]:
        """Partner to its figures in comparison.json."""
        partners = (self.comparison or {}).get("partners")
        if not isinstance(partners, Mapping):
            return {}
        return {str(name): facts for name, facts in partners.items() if isinstance(facts, Mapping)}

    def setting(self, key: str, default: Any = None) -> Any:
        """A value of config.yaml by its dotted key."""
        return setting(self.config, key, default)


def read_run(directory: Path) -> SavedRun:
    """Read a run folder, finished or not.

    Raises:
        RunError: No such folder, no folder that a run wrote, or one whose run.json or config.yaml is damaged.
    """
    facts = read_facts(directory)
    problems: list[str] = []
    partners = partner_names(directory, facts)
    datasets = {name: read_optional(partner_folder(directory, name).dataset / "dataset.json", problems) or {} for name in partners}
    comparison = read_optional(directory / "comparison.json", problems)
    compared = read_compared(directory / "comparison.parquet", problems)
    return SavedRun(
        directory=directory,
        facts=facts,
        config=read_config(directory / "config.yaml"),
        partners=partners,
        datasets=datasets,
        tasks=read_tasks(directory, partners, problems),
        arms=read_arms(directory, partners, problems),
        comparison=comparison if compared is not None else None,
        compared=compared if comparison is not None else None,
        journal=tuple(records(directory / "coordinator" / "journal.jsonl", Exchange, problems)),
        sums=read_sums(directory, partners, problems),
        audits={name: tuple(records(partner_folder(directory, name).audits, Audited, problems)) for name in partners},
        outcome=(read_optional(directory / "coordinator" / "outcome.json", problems) or {}).get("state"),
        errors=read_errors(directory, partners, problems),
        problems=tuple(problems),
    )


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
    facts = read_json(path, "bring it back from a backup, or start the run anew")
    if not isinstance(facts, dict) or facts.get("kind") not in KINDS:
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
        return read_object(path, {})
    except (DamagedFileError, OSError):
        problems.append(f"{path.name} in {path.parent.name} is unreadable and was left out.")
        return None


def read_compared(path: Path, problems: list[str]) -> pl.DataFrame | None:
    """comparison.parquet, if it is there with the columns that the report needs."""
    table = read_table(path, None, problems)
    if table is not None and (absent := sorted({*COMPARED, *map(column, DRAWN)} - set(table.columns))):
        problems.append(f"comparison.parquet lacks {', '.join(absent)}, so the comparison is not shown.")
        return None
    return table


def read_errors(directory: Path, partners: tuple[str, ...], problems: list[str]) -> dict[str, str]:
    """What partners and the coordinator left to say why they failed."""
    places = {"": directory / "coordinator" / "outcome.json"} | {name: partner_folder(directory, name).error for name in partners}
    reasons = {name: (read_optional(path, problems) or {}).get("error") for name, path in places.items()}
    return {name: str(reason) for name, reason in reasons.items() if reason}


def read_table(path: Path, schema: Mapping[str, Any] | None, problems: list[str]) -> pl.DataFrame | None:
    """A Parquet table with the columns of `schema`, absent ones null and NaN as null; None if absent or damaged."""
    if not path.is_file():
        return None
    try:
        with reading(path):
            table = pl.read_parquet(path, glob=False)
            wanted = dict(table.schema) if schema is None else schema
            columns = [(pl.col(name) if name in table.columns else pl.lit(None)).cast(kind).alias(name) for name, kind in wanted.items()]
            return table.select(columns).with_columns(pl.selectors.float().fill_nan(None))
    except (DamagedFileError, OSError):
        problems.append(f"{path.name} in {path.parent.parent.name}/{path.parent.name} is unreadable and was left out.")
        return None


def read_tasks(directory: Path, partners: tuple[str, ...], problems: list[str]) -> pl.DataFrame:
    """All partners' tasks: partner, then the columns of TASKS."""
    tables = []
    for name in partners:
        table = read_table(partner_folder(directory, name).dataset / "tasks.parquet", TASKS, problems)
        if table is not None:
            tables.append(table.select(pl.lit(name).alias("partner"), pl.all()))
    every = pl.concat(tables) if tables else pl.DataFrame(schema={"partner": pl.String} | TASKS)
    return every.with_columns(pl.col("kind").fill_null(CLASSIFICATION), pl.col("auxiliary").fill_null(False))


def read_arms(directory: Path, partners: tuple[str, ...], problems: list[str]) -> dict[str, Arm]:
    """Those arms of which any round is saved."""
    places = {
        LOCAL: {name: partner_folder(directory, name).local for name in partners},
        FEDERATED: {name: partner_folder(directory, name).path for name in partners},
        POOLED: {POOLED: directory / POOLED},
    }
    arms = {}
    for arm, folders in places.items():
        metrics = [read_metrics(folder, name, problems) for name, folder in folders.items()]
        losses = [read_losses(folder, name, problems) for name, folder in folders.items()]
        saved = Arm(pl.concat(metrics), pl.concat(losses)) if folders else None
        if saved is not None and (len(saved.metrics) or len(saved.losses)):
            arms[arm] = saved
    return arms


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
        for noted in records(partner_folder(directory, name).sums, RoundSum, problems):
            rounds.setdefault(noted.round, noted)
    return tuple(rounds[number] for number in sorted(rounds))
