"""How a run gets on, told on stderr: a live table in a terminal, plain lines when piped or when the result is to be JSON.

Lines are lower case without a full stop; stdout is left to results.
"""

import math
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from fedapp.evaluation.arms import AUC_PR, POOLED, PRINTED
from fedapp.wording import plural, shown

SETTLING = 2.0  # seconds after an arm's first event that say nothing of its speed: a resumed run tells its old rounds at once
MEMORY = 7 * 24 * 3600.0  # seconds that the estimate of the time left looks back: a round may take hours
PREPARATION_LINES = 10
REFRESHES = 4.0  # a second
WARNING = "warning: "
VALIDATION = "validation"  # the fold of every score while a run goes on
WIDE, MIDDLE, NARROW = 96, 64, 44  # terminal columns


@dataclass
class ArmProgress:
    """What one arm has told so far; `""` stands for the only member of an arm without partners."""

    name: str
    members: int
    task: TaskID
    first: float
    losses: dict[int, dict[str, float]] = field(default_factory=dict)
    scores: dict[int, dict[str, float]] = field(default_factory=dict)
    reached: dict[str, int] = field(default_factory=dict)
    printed: set[int] = field(default_factory=set)
    current: int = 0


def arm_table(tasks: Sequence[Task], width: int, metric: str) -> Table:
    """One row an arm, its scores under the name of `metric`; a terminal of few columns (`width`) gets those that matter most."""

    def field_column(name: str) -> ProgressColumn:
        return TextColumn(f"{{task.fields[{name}]}}", markup=False)

    score = f"{VALIDATION} {metric}" if width >= MIDDLE else metric
    every: list[tuple[int, str, ProgressColumn]] = [
        (0, "arm", TextColumn("{task.description}", markup=False)),
        (0, "round", field_column("round")),
        (WIDE, "", BarColumn(bar_width=18)),
        (WIDE, "partners", field_column("partners")),
        (NARROW, "loss", field_column("loss")),
        (0, score, field_column("score")),
        (MIDDLE, "elapsed", TimeElapsedColumn()),
        (NARROW, "left", TimeRemainingColumn()),
    ]
    shown = [(header, column) for least, header, column in every if width >= least]
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    for header, _ in shown:
        table.add_column(header, no_wrap=header != score)  # "mean of AUC-PR and Spearman" goes on several lines
    for task in tasks:
        table.add_row(*(column(task) for _, column in shown))
    return table


class RunProgress:
    """Context manager that shows the stages, the preparation and the rounds of a run; may be told from several threads.

    Args:
        total_rounds: Rounds of each arm; 0 if nothing is trained.
        partners: Names of the partners.
        json: Plain lines, also in a terminal.
        console: Where to; None means stderr.
    """

    def __init__(
        self, total_rounds: int, partners: Sequence[str], json: bool = False, console: Console | None = None, metric: str = PRINTED[AUC_PR]
    ) -> None:
        self.total_rounds, self.partners, self.metric = total_rounds, len(partners), metric
        self.console = console or Console(stderr=True, highlight=False)
        self.live = self.console.is_terminal and not self.console.is_dumb_terminal and not json
        self.lock = threading.RLock()
        self.started = time.monotonic()
        self.arms: dict[str, ArmProgress] = {}
        self.rows = Progress(console=self.console, auto_refresh=False, speed_estimate_period=MEMORY)  # never started: it keeps time
        self.preparation = Progress(
            TextColumn("structures"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=self.console,
            auto_refresh=False,
        )
        self.preparing: TaskID | None = None
        self.prepared_tenths = 0
        self.spinner = Spinner("dots", "")
        self.display = Live(
            get_renderable=self._render, console=self.console, refresh_per_second=REFRESHES, redirect_stdout=False, vertical_overflow="crop"
        )

    def __enter__(self) -> "RunProgress":
        if self.live:
            self.display.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Restore the terminal, whatever happened; in plain lines, tell the rounds that not all partners finished."""
        if self.live:
            self.spinner.update(text="")
            self.display.stop()
            return
        for arm in self.arms.values():
            for number in sorted(set(arm.losses) - arm.printed):
                self._tell(arm, number)

    def stage(self, text: str) -> None:
        """Say what is being done now; a warning is no such thing, and stays."""
        if text.startswith(WARNING):
            self.tell(text)
            return
        with self.lock:
            self._end_preparation()
            self.spinner.update(text=Text(shown(text), overflow="ellipsis", no_wrap=True))
            if not self.live:
                self._line(text)

    def tell(self, text: str) -> None:
        """Say what is to stay on the screen."""
        with self.lock:
            self._line(text)

    def advance_preparation(self, done: int, total: int) -> None:
        """Structures prepared so far, of all."""
        with self.lock:
            if self.preparing is None:
                self.preparing, self.prepared_tenths = self.preparation.add_task("", total=total), 0
            self.preparation.update(self.preparing, completed=done, total=total)
            tenths = PREPARATION_LINES * done // max(total, 1)
            if tenths > self.prepared_tenths and not self.live:
                self._line(f"prepared {done:,} of {plural(total, 'structure')}")
            self.prepared_tenths = tenths

    def event(self, arm: str, partner: str | None, number: int, loss: float | None = None, score: float | None = None) -> None:
        """One partner trained a round (loss) or evaluated a round's trunk (score), in any order.

        Args:
            arm: local, federated, unguarded or pooled.
            partner: None where the arm has no partners (pooled).
            number: The round, from 1.
            loss: Mean training loss.
            score: Mean validation score.
        """
        with self.lock:
            self._end_preparation()
            shown = self.arms.get(arm) or self._new_arm(arm, 1 if partner is None or arm == POOLED else self.partners)
            member = partner or ""
            if score is not None and not math.isnan(score):
                shown.scores.setdefault(number, {})[member] = score
            if loss is not None:
                shown.losses.setdefault(number, {})[member] = loss
                shown.reached[member] = max(number, shown.reached.get(member, 0))
                shown.current = number
            self._update(shown)
            if not self.live:
                self._tell_news(shown, number, trained=loss is not None)

    def _new_arm(self, name: str, members: int) -> ArmProgress:
        self.spinner.update(text="")
        task = self.rows.add_task(name, total=self.total_rounds * members, round="", partners="", loss="", score="")
        self.arms[name] = ArmProgress(name, max(1, members), task, time.monotonic())
        return self.arms[name]

    def _update(self, arm: ArmProgress) -> None:
        """Bring an arm's row up to date; its progress is the rounds of all its members together."""
        number = arm.current or max(arm.scores, default=0)
        losses = arm.losses.get(number, {})
        score = latest_score(arm)
        fields: dict[str, Any] = {
            "round": f"{number}/{self.total_rounds}",
            "partners": f"{len(losses)}/{arm.members}" if arm.members > 1 else "–",
            "loss": f"{mean(losses):.3f}" if losses else "–",
            "score": f"{score[1]:.3f}" if score else "–",
        }
        completed, total = sum(arm.reached.values()), self.total_rounds * arm.members
        if time.monotonic() - arm.first < SETTLING:
            self.rows.reset(arm.task, total=total, completed=completed, **fields)
        else:
            self.rows.update(arm.task, completed=completed, **fields)

    def _tell_news(self, arm: ArmProgress, number: int, trained: bool) -> None:
        """The plain line, if any, that an event of round `number` gives rise to."""
        everyone = len(arm.losses.get(number, {})) >= arm.members
        if everyone and number not in arm.printed:
            self._tell(arm, number)
        elif trained and number == self.total_rounds and len(arm.reached) < arm.members:  # one partner after another: local training
            elapsed = clock(time.monotonic() - self.started)
            self._line(f"{arm.name} {len(arm.reached)} of {plural(arm.members, 'partner')}  {elapsed} elapsed{self._left(arm)}")
        elif not trained and number == self.total_rounds and len(arm.scores.get(number, {})) >= arm.members:
            self._line(f"{arm.name} evaluated  {VALIDATION} {self.metric} {mean(arm.scores[number]):.3f}")

    def _tell(self, arm: ArmProgress, number: int) -> None:
        """The plain line of a finished round."""
        arm.printed.add(number)
        losses, score = arm.losses[number], latest_score(arm, number)
        parts = [f"{arm.name} round {number}/{self.total_rounds}"]
        if len(losses) < arm.members:
            parts.append(f"{len(losses)} of {plural(arm.members, 'partner')}")
        parts.append(f"loss {mean(losses):.3f}")
        if score is not None:
            parts.append(f"{VALIDATION} {self.metric} {score[1]:.3f}{'' if score[0] == number else f' (round {score[0]})'}")
        parts.append(f"{clock(time.monotonic() - self.started)} elapsed")
        self._line("  ".join(parts) + self._left(arm))

    def _left(self, arm: ArmProgress) -> str:
        remaining = next(task for task in self.rows.tasks if task.id == arm.task).time_remaining
        return f"  {clock(remaining)} left" if remaining else ""

    def _line(self, text: str) -> None:
        self.console.print(Text(shown(text)), soft_wrap=True)

    def _end_preparation(self) -> None:
        if self.preparing is not None:
            self.preparation.remove_task(self.preparing)
            self.preparing = None

    def _render(self) -> RenderableType:
        parts: list[RenderableType] = []
        if self.spinner.text:
            parts.append(self.spinner)
        if self.preparing is not None:
            parts.append(self.preparation)
        if self.arms:
            parts.append(arm_table(self.rows.tasks, self.console.width, self.metric))
        return Group(*parts)


def mean(values: dict[str, float]) -> float:
    """The mean over members, of which there is one at least."""
    return sum(values.values()) / len(values)


def latest_score(arm: ArmProgress, until: int | None = None) -> tuple[int, float] | None:
    """The newest round (not after `until`) that as many members evaluated as any other round, and their mean score."""
    rounds = [number for number in arm.scores if until is None or number <= until]
    if not rounds:
        return None
    most = max(len(arm.scores[number]) for number in rounds)
    number = max(number for number in rounds if len(arm.scores[number]) == most)
    return number, mean(arm.scores[number])


def clock(seconds: float) -> str:
    """95 -> 1:35, 3700 -> 1:01:40."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
