"""What a run folder holds, read as far as it got; nothing is trained here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from fedapp.evaluation.arms import FEDERATED, LOCAL, POOLED
from fedapp.report.saved_comparison import SavedComparison, compared_at_home, read_comparison
from fedapp.report.saved_files import (
    TASKS,
    TEST_FOLD,
    partner_folder,
    partner_names,
    read_config,
    read_dataset,
    read_errors,
    read_facts,
    read_heads,
    read_losses,
    read_metrics,
    read_optional,
    read_sums,
    setting,
)
from fedapp.run_folder import CONFIG_FILE, FILES, KEPT
from fedapp.storage.digests import check_files
from fedapp.storage.live_files import records
from strategies.coordinator.journal import Exchange
from strategies.update.round_sum import RoundSum
from strategies.update.self_audit import Audited

FINISHED, COMPARE = "finished", "compare"


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

    comparison: of all arms where `polyphony compare` made it, else of those that partners have at home; None without either.
    journal: the coordinator's exchanges.
    sums: what partners noted of each round's sum, by round; empty where the coordinator did the sums.
    audits: partner to what its self-audit found in each vector.
    heads: partner to kind of task to what predicts its common endpoints (`fedapp.evaluation.combination`); kinds without are absent.
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
    comparison: SavedComparison | None
    journal: tuple[Exchange, ...]
    sums: tuple[RoundSum, ...] = ()
    audits: Mapping[str, tuple[Audited, ...]] = field(default_factory=dict)
    heads: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
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
    def compares(self) -> bool:
        """Whether it is a run of `polyphony compare`."""
        return self.facts.get("kind") == COMPARE

    @property
    def compared(self) -> bool:
        """Whether the arms of `polyphony compare` have been held against each other."""
        return self.comparison is not None and self.comparison.whole

    @property
    def finished(self) -> bool:
        """Whether the run reached its end: it says so itself, or all that its end leaves is there."""
        whole = not self.compares or self.compared
        return self.facts.get("state") == FINISHED or (self.outcome == FINISHED and whole)

    @property
    def state(self) -> str:
        """How far it came, as it says itself; a run with all that an end leaves is finished."""
        return FINISHED if self.finished else str(self.facts.get("state") or "unknown")

    def setting(self, key: str, default: Any = None) -> Any:
        """A value of config.yaml by its dotted key."""
        return setting(self.config, key, default)


def read_run(directory: Path) -> SavedRun:
    """Read a run folder, finished or not.

    Raises:
        RunError: No such folder, no folder that a run wrote, or one whose config.yaml is unusable.
        DamagedFileError: Its run.json or config.yaml is damaged.
    """
    facts = read_facts(directory)
    check_files(directory, facts.get(FILES, {}), KEPT)
    config = read_config(directory / CONFIG_FILE)
    problems: list[str] = []
    partners = partner_names(directory, facts)
    folders = {name: partner_folder(directory, name) for name in partners}
    datasets = {name: read_dataset(name, folder.dataset, problems) for name, folder in folders.items()}
    tasks = pl.concat([pl.DataFrame(schema={"partner": pl.String} | TASKS), *(rows for _, rows in datasets.values())])
    comparison = read_comparison(directory, problems)
    if comparison is None:
        comparison = compared_at_home(folders, tasks, int(setting(config, "evaluation.min_per_class")), problems)
    return SavedRun(
        directory=directory,
        facts=facts,
        config=config,
        partners=partners,
        datasets={name: header for name, (header, _) in datasets.items()},
        tasks=tasks,
        arms=read_arms(directory, partners, problems),
        comparison=comparison,
        journal=tuple(records(directory / "coordinator" / "journal.jsonl", Exchange, problems)),
        sums=read_sums(directory, partners, problems),
        audits={name: tuple(records(folder.audits, Audited, problems)) for name, folder in folders.items()},
        heads={name: read_heads(folder, problems) for name, folder in folders.items()},
        outcome=(read_optional(directory / "coordinator" / "outcome.json", problems) or {}).get("state"),
        errors=read_errors(directory, partners, problems),
        problems=tuple(problems),
    )


def read_arms(directory: Path, partners: tuple[str, ...], problems: list[str]) -> dict[str, Arm]:
    """Those arms of which any round is saved."""
    places = {
        LOCAL: {name: partner_folder(directory, name).local for name in partners},
        FEDERATED: {name: partner_folder(directory, name).path for name in partners},
        POOLED: {POOLED: directory / POOLED},
    }
    arms = {arm: read_arm(folders, problems) for arm, folders in places.items() if folders}
    return {arm: saved for arm, saved in arms.items() if len(saved.metrics) or len(saved.losses)}


def read_arm(folders: Mapping[str, Path], problems: list[str]) -> Arm:
    """The rounds of an arm, of each partner (or of all pooled data) in its folder."""
    metrics = [read_metrics(folder, name, problems) for name, folder in folders.items()]
    losses = [read_losses(folder, name, problems) for name, folder in folders.items()]
    return Arm(pl.concat(metrics), pl.concat(losses))
