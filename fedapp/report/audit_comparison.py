"""An audit beside the last one of the same consortium: which figures became worse, and what was set otherwise.

The last audit is the newest that started earlier, of the same name and as many partners, in another folder beside this one.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from fedapp import wording
from fedapp.errors import PolyphonyError
from fedapp.report.audit_figures import ON, Figure, read_figure
from fedapp.report.audit_gates import Gate, gates_of, listed
from fedapp.report.run_page import settings
from fedapp.report.verdict import Verdict
from fedapp.storage.json_file import read_json

SAME = ("name", "partners")  # of two audits of one consortium
DAMAGE = (KeyError, TypeError, ValueError, AttributeError)  # what reading a damaged audit raises
NOWHERE = wording.DASH
WORSE, LESS_KNOWN, BETTER = WAYS = ("worse", "less is known", "better")


@dataclass(frozen=True)
class Change:
    """A figure, with the defences on, that is not what it was."""

    before: Figure
    now: Figure

    @property
    def judged_otherwise(self) -> bool:
        """Whether both have a gate, and its verdict is another."""
        return self.before.gated and self.now.gated and self.before.verdict != self.now.verdict

    @property
    def chance(self) -> float:
        """By how much guessing finds more than it did, which no figure is to be blamed for; 0 where either is unknown."""
        more = self.now.chance - self.before.chance
        return more if math.isfinite(more) else 0.0

    @property
    def lies_above(self) -> bool:
        """Whether the interval lies beyond the earlier one, by more than guessing alone brings about."""
        return self.now.lower > self.before.upper + max(self.chance, 0.0)

    @property
    def lies_below(self) -> bool:
        """The same the other way."""
        return self.now.upper < self.before.lower + min(self.chance, 0.0)

    @property
    def way(self) -> str:
        """In which way it changed; where too few were audited this time, it tells neither more nor less than before."""
        if self.lies_above or (self.judged_otherwise and self.now.verdict is Verdict.FAIL):
            return WORSE
        return LESS_KNOWN if self.judged_otherwise and self.now.verdict is Verdict.TOO_FEW else BETTER

    @property
    def worse(self) -> bool:
        """Whether it tells more than before, or its gate fails now."""
        return self.way == WORSE

    @property
    def changed(self) -> bool:
        """Whether it changed at all: the intervals no longer overlap, whatever guessing finds, or the gate's verdict is another."""
        return self.judged_otherwise or self.lies_above or self.lies_below


@dataclass(frozen=True)
class Comparison:
    """This audit beside the last one.

    Attributes:
        folder: The last one's, its name alone; empty if there is none.
        started: When that began.
        changes: What is no longer what it was, the worse first.
        shared: How many figures both audits have.
        new: How many only this one has.
        failing: Titles of gates that fail and that the last one did not have.
        otherwise: Settings that differ: key, value then, value now.
        unreadable: Folders beside this one whose audits could not be read.
    """

    folder: str
    started: str
    changes: tuple[Change, ...]
    shared: int
    new: int
    failing: tuple[str, ...]
    otherwise: tuple[tuple[str, str, str], ...]
    unreadable: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """What became worse, in one line."""
        if not self.folder:
            return "No earlier audit of this consortium lies beside this one."
        since = f"Since the audit of {self.started}"
        if not self.shared:
            return f"{since}: nothing can be compared, for no figure is in both."
        worse = [change.now.title for change in self.changes if change.worse]
        unknown = sum(change.way == LESS_KNOWN for change in self.changes)
        less = f" Of {wording.plural(unknown, 'figure')} less is known than then." if unknown else ""
        if self.failing:
            less += f" Not asked then, and beyond {'its limit' if len(self.failing) == 1 else 'their limits'} now: {listed(self.failing)}."
        if not worse:
            return f"{since}: nothing became worse.{less}"
        named = listed([f"“{each}”" for each in dict.fromkeys(worse)])
        return f"{since}: {wording.plural(len(worse), 'figure')} became worse: {named}.{less}"


def compare(run_dir: Path, facts: Mapping[str, Any], figures: Sequence[Figure]) -> Comparison:
    """An audit in its folder beside the last one of the same consortium; those that cannot be read are named and passed over."""
    others, unreadable = audits_beside(run_dir, facts)
    here, set_now = by_measure(figures), told(facts)
    for folder, other in others:
        try:
            before = [read_figure(row) for row in other["findings"]]
            otherwise = tuple(differing(told(other), set_now))
        except DAMAGE:
            unreadable.append(folder)
            continue
        there = by_measure(before)
        shared = len(here.keys() & there.keys())
        changes = tuple(sorted(changes_of(there, here), key=lambda change: WAYS.index(change.way)))
        started = wording.moment(other["started"])
        known = {gate.figure.name for gate in gates_of(before)}
        failing = tuple(f"“{gate.title}”" for gate in gates_of(figures) if gate.verdict is Verdict.FAIL and gate.figure.name not in known)
        return Comparison(folder, started, changes, shared, len(here) - shared, failing, otherwise, tuple(unreadable))
    return Comparison("", "", (), 0, 0, (), (), tuple(unreadable))


def audits_beside(run_dir: Path, facts: Mapping[str, Any]) -> tuple[list[tuple[str, Mapping[str, Any]]], list[str]]:
    """Earlier audits of the same consortium, the newest first, and the folders whose audits cannot be read."""
    found: list[tuple[datetime, str, Mapping[str, Any]]] = []
    unreadable: list[str] = []
    here, began = Path(run_dir).resolve(), moment(facts.get("started"))
    for path in sorted(here.parent.glob("*/audit.json")) if began else []:
        if path.parent.resolve() == here:
            continue
        try:
            other = read_json(path)
        except (PolyphonyError, OSError):
            unreadable.append(wording.shown(path.parent.name))
            continue
        if not isinstance(other, dict) or any(other.get(key) is None or other.get(key) != facts.get(key) for key in SAME):
            continue
        started = moment(other.get("started"))
        if started and began and started < began:
            found.append((started, wording.shown(path.parent.name), other))
    found.sort(key=lambda audit: audit[:2], reverse=True)
    return [audit[1:] for audit in found], unreadable


def moment(text: Any) -> datetime | None:
    """A time as saved; None if it is none."""
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        return None


def by_measure(figures: Sequence[Figure]) -> dict[tuple[str, ...], Figure]:
    """Figures with the defences on by what they measure: those are what a consortium gives away, the others only show that attacks work."""
    return {(each.name, each.attack, each.adversary, each.what): each for each in figures if each.defences == ON}


def changes_of(before: Mapping[tuple[str, ...], Figure], now: Mapping[tuple[str, ...], Figure]) -> Iterator[Change]:
    """Figures whose intervals no longer overlap or whose gate's verdict is another, and gates that stand otherwise by other figures."""
    alone = [change for key in now if key in before and (change := Change(before[key], now[key])).changed]
    yield from alone
    told_of = {change.now.name for change in alone}
    earlier: dict[str, Gate] = {gate.figure.name: gate for gate in gates_of(list(before.values()))}
    for gate in gates_of(list(now.values())):
        last = earlier.get(gate.figure.name)
        if last and last.verdict != gate.verdict and gate.figure.name not in told_of:
            yield Change(last.figure, gate.figure)


def told(facts: Mapping[str, Any]) -> dict[str, str]:
    """Settings and versions by key, as they may be shown."""
    versions = facts.get("versions") or {}
    return dict(shown_settings(facts)) | {f"version of {key}": str(value) for key, value in versions.items()}


def shown_settings(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Key and value of each setting; of an absolute path its last part, for where a file lies is nobody else's business."""
    return [(key, last_part(value)) for key, value in settings(facts.get("configuration") or {})]


def last_part(value: str) -> str:
    """The last part of an absolute path; any other text as it is."""
    absolute = PurePosixPath(value).is_absolute() or PureWindowsPath(value).is_absolute()
    return PureWindowsPath(value).name or value if absolute else value


def differing(before: Mapping[str, str], now: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Keys whose values are not the same, with both; a dash where there is none."""
    for key in sorted(before.keys() | now.keys()):
        then, today = before.get(key, NOWHERE), now.get(key, NOWHERE)
        if then != today:
            yield key, then, today
