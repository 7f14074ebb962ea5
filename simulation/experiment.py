"""The two experiments: `simulate` trains the federation, `compare` also trains the arms that it is compared with."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from statistics import median
from typing import Any, Protocol

from fedapp.data.dataset import Dataset
from fedapp.errors import PolyphonyError, RunError, RunInterruptedError, explained
from fedapp.evaluation.arms import AUC_PR, COMBINED, FEDERATED, FOREST, LOCAL, MERGED, POOLED, R2, SPEARMAN
from fedapp.evaluation.intervals import Interval
from fedapp.report.disclosure import warnings
from fedapp.report.kind_summary import KindSummary
from fedapp.report.saved_run import SavedRun, read_run
from fedapp.report.summary import Summary, summarise
from fedapp.run_folder import RunFolder, now
from fedapp.runtime.locks import locked
from fedapp.storage.damage import DamagedFileError
from fedapp.storage.leftovers import sweep
from simulation.common_endpoints import common_endpoints
from simulation.events import Follower
from simulation.launch import run_flower
from simulation.preparation import prepare_partners
from strategies.coordinator.journal import read_journal, round_seconds
from strategies.update.self_audit import SUM


class Display(Protocol):
    """Whatever shows how a run gets on."""

    def stage(self, text: str) -> None: ...

    def tell(self, text: str) -> None: ...

    def advance_preparation(self, done: int, total: int) -> None: ...

    def event(self, arm: str, partner: str | None, number: int, loss: float | None = None, score: float | None = None) -> None: ...


def simulate(run: RunFolder, display: Display) -> dict[str, Any]:
    """Run or resume the federation of a run folder, and write its report.

    Returns:
        run, rounds, auc_pr, spearman and r2 (of the federated model: means over the tasks that count, test fold, each partner's selected
        round; null where no task has it), the same and more of each arm that partners have at home, gain and value_gain as `compare` has
        them, seconds, report, warnings (what of confidential compounds this run did not protect).
    Raises:
        PolyphonyError: Whatever the user can put right; the run folder then says `failed` and can be resumed.
    """
    with recorded(run):
        federated_arm(run, display)
    from fedapp.report.run_page import write_summary  # imports matplotlib: a second that Flower, which is started first, need not wait

    saved = read_run(run.path)
    summary = summarise(saved)
    figures = {metric: summary.mean(FEDERATED, metric) for metric in (AUC_PR, SPEARMAN, R2)}
    return headline(run) | figures | at_home(summary) | {"report": str(write_summary(saved, summary)), "warnings": warnings(saved)}


def at_home(summary: Summary) -> dict[str, Any]:
    """Means of each arm that partners have at home without a comparison, and what their combined model gains over their own."""
    arms = {
        arm: {metric: mean for kind in summary.shown for metric, mean in kind.arms.get(arm, {}).items() if mean is not None}
        for arm in (LOCAL, FEDERATED, COMBINED)
    }
    classes, values = summary.classes, summary.values
    gains = {
        "gain": gain_of(classes, classes.gain),
        "value_gain": {SPEARMAN: gain_of(values, values.gain), R2: gain_of(values, values.r2_gain)},
    }
    return {arm: means for arm, means in arms.items() if means} | gains


def gain_of(kind: KindSummary, gain: Interval | None) -> dict[str, float | None] | None:
    """A gain as results have it; None unless it is that of the combined model."""
    return asdict(gain) if gain is not None and kind.main == COMBINED else None


def compare(run: RunFolder, display: Display) -> dict[str, Any]:
    """Run or resume all arms of a run folder, and write its report.

    Returns:
        The summary of `compare_arms`, with seed, bits (rows of the first layer), what `seen_in_sums` says, run, rounds, seconds, report,
        warnings.
    Raises:
        PolyphonyError: As `simulate`.
    """
    from fedapp.report.run_page import write_summary  # these import torch and matplotlib, which `simulate` starts without
    from simulation.arms import has_unguarded, train_arms, unguarded_arm
    from simulation.baselines import forest_arm
    from simulation.comparison import compare_arms

    if run.config().evaluation.test_fold is None:
        raise RunError("evaluation.test_fold is null, and arms are compared on a test fold", "give it a number, such as 0")
    with recorded(run):
        config = run.config()
        datasets = federated_arm(run, display)
        for arm in (train_arms, *([unguarded_arm] if has_unguarded(config) else [])):
            for event in arm(run.path, datasets, config):
                display.event(event.arm, None if event.arm in (POOLED, MERGED) else event.partner, event.round, event.loss, event.score)
        for name in forest_arm(run.path, datasets, config):
            display.stage(f"{FOREST} of {name} fitted")
        display.stage("comparing")
        summary = compare_arms(run.path, config)
    saved = read_run(run.path)
    report = write_summary(saved, summarise(saved))
    return (
        summary
        | {"seed": config.seed, "bits": config.chemistry.bits}
        | seen_in_sums(saved)
        | headline(run)
        | {"report": str(report), "warnings": warnings(saved)}
    )


def seen_in_sums(run: SavedRun) -> dict[str, Any]:
    """What partners saw when they attacked the sums that came home; under plain aggregation they attack none.

    Returns:
        rows_in_sum, of the first layer, in the largest sum, None without any; named_in_sums: partner to how many of its training compounds
        the worst sum named, identified, and of how many, compounds.
    """
    sums = {partner: [audited for audited in audits if audited.vector == SUM] for partner, audits in run.audits.items()}
    worst = {partner: max(audits, key=lambda audited: audited.identified) for partner, audits in sums.items() if audits}
    return {
        "rows_in_sum": max((audited.rows for audits in sums.values() for audited in audits), default=None),
        "named_in_sums": {
            partner: {"identified": audited.identified, "compounds": audited.compounds} for partner, audited in worst.items()
        },
    }


def federated_arm(run: RunFolder, display: Display) -> dict[str, Dataset]:
    """The partners' datasets, and Flower's part, each unless an earlier process finished it.

    Raises:
        PolyphonyError: Tables are unusable, or the rounds failed.
    """
    follower, datasets = Follower(run), dict[str, Dataset]()

    def follow() -> None:
        for event in follower.events():
            display.event(event.arm, event.partner, event.round, event.loss, event.score)

    def prepare() -> None:
        datasets.update(prepare_partners(run, display.stage, display.advance_preparation))
        tell_endpoints(run, datasets, display)

    if run.federated():
        prepare()
    elif run.given_config().data.tables == "demo":  # whose tables cannot be unusable, and take as long as Flower takes to start
        display.stage("starting Flower")
        run.update(peak_memory=run_flower(run, follow, prepare))
    else:
        prepare()
        display.stage("starting Flower")
        run.update(peak_memory=run_flower(run, follow))
    follow()
    return datasets


def tell_endpoints(run: RunFolder, datasets: Mapping[str, Dataset], display: Display) -> None:
    """Say which endpoints of the catalogue, if there is one, the partners have in common, and note it for the report."""
    config = run.config()
    if config.tasks.catalogue is None:
        return
    common = common_endpoints(datasets, config)
    for line in common.lines(config.privacy.endpoint_labels):
        display.tell(line)
    run.update(common_endpoints=common.facts())


@contextmanager
def recorded(run: RunFolder) -> Iterator[None]:
    """Hold a run, and keep its state and time in `run.json`, whatever happens inside; time adds up over resumed processes.

    Raises:
        BusyError: Another process is at it.
    """
    with locked(run.path, f"polyphony {run.status()['kind']}"):
        yield from _recorded(run)


def _recorded(run: RunFolder) -> Iterator[None]:
    sweep(run.path)
    before, started = float(run.status()["seconds"]), time.monotonic()
    run.update(state="running", error="", hint="")
    try:
        yield
    except Exception as error:
        known = explained(error) or PolyphonyError(f"{type(error).__name__}: {error}")
        note_end(run, "failed", before, started, str(known), known.hint)
        if isinstance(error, PolyphonyError) or explained(error) is None:
            raise
        raise RunError(str(known), f"{known.hint or 'put that right'}; go on with --resume {run.path}") from error
    except KeyboardInterrupt:
        note_end(run, "interrupted", before, started, "interrupted", f"go on with --resume {run.path}")
        raise RunInterruptedError("interrupted", f"go on with --resume {run.path}") from None
    note_end(run, "finished", before, started, "", "")


def note_end(run: RunFolder, state: str, before: float, started: float, error: str, hint: str) -> None:
    """Record how a run ended; on a full disk the error itself matters more than its record."""
    try:
        run.update(state=state, seconds=round(before + time.monotonic() - started, 1), ended=now(), error=error, hint=hint)
    except OSError:
        if state == "finished":
            raise


def headline(run: RunFolder) -> dict[str, Any]:
    """What every result says of the run itself: seconds are the whole run's, `round_seconds` the median of the federated rounds."""
    status = run.status()
    journal = run.coordinator / "journal.jsonl"
    rounds = round_seconds(read_journal(journal))
    if not rounds:
        raise DamagedFileError(f"{journal} tells of no round, and the run is behind", "restore it from a backup; the report needs none")
    return {
        "run": str(run.path),
        "rounds": status["rounds"],
        "seconds": status["seconds"],
        "round_seconds": round(median(rounds), 1),
        "peak_memory_bytes": status["peak_memory"],
    }
