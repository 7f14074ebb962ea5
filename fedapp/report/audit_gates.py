"""The gates of an audit: of several figures under one limit the worst, what that proves, and the verdict on all of them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fedapp import wording
from fedapp.report.audit_figures import JUDGED, OFF, ON, WORDS, Figure
from fedapp.report.audit_words import title
from fedapp.report.verdict import Verdict, worst

NAMED = 3  # gates in a sentence; the lines below it have them all
CLASSES = {Verdict.PASS: "holds", Verdict.TOO_FEW: "unsure", Verdict.FAIL: "fails"}  # of the banner
NO_VERDICT = "none"


@dataclass(frozen=True)
class Gate:
    """All figures under one limit, by name, and a figure of the same name where the defences cannot stop the attack.

    Attributes:
        figure: The worst of those under the limit, whose verdict is that of all.
        probe: One that finds a leak with the defences off or in a control, if any does; None if that was not tried.
    """

    figure: Figure
    probe: Figure | None

    @property
    def title(self) -> str:
        """What the gate limits, as a heading."""
        return self.figure.title

    @property
    def verdict(self) -> Verdict:
        """Whether it holds, fails, or cannot be judged."""
        return self.figure.verdict

    @property
    def limit(self) -> str:
        """Which end of the figure it limits, and to what."""
        return f"{JUDGED[self.figure.judged]} at most {self.figure.limit}"

    @property
    def found(self) -> str:
        """What the attack found, in a few words."""
        figure = self.figure
        if not math.isfinite(figure.value):
            return "no figure"
        if figure.judged == "lower":
            return f"{figure.shown} beyond guessing" if figure.leaks else "nothing beyond guessing"
        if figure.judged == "upper":
            return f"none of {figure.trials:,}" if figure.value == 0 else f"{figure.shown} of {figure.trials:,}"
        return f"{figure.shown} found, {figure.guessing} by guessing"

    @property
    def bound(self) -> str:
        """The limit, in a few words."""
        return "no excess allowed" if self.figure.judged == "lower" and self.figure.gate == 0 else f"limit{wording.NBSP}{self.figure.limit}"

    @property
    def remedy(self) -> str:
        """What would tell, of a gate of which nothing can be told."""
        few = math.isfinite(self.figure.value) and self.figure.gate is not None and self.figure.finest > self.figure.gate
        return f"more compounds {'' if few else 'or trainings '}would tell"

    @property
    def css(self) -> str:
        """The class of its colour."""
        return CLASSES[self.verdict]

    @property
    def evidence(self) -> str:
        """Whether the attack finds a leak where there is one."""
        if self.probe is None:
            return "not tried"
        return f"{'yes' if self.probe.leaks else 'no'}: {self.probe.shown} with {WORDS[self.probe.defences]}"

    @property
    def doubt(self) -> str:
        """Why a gate that holds proves nothing; empty if it does prove something."""
        return doubt(self.figure, self.probe) if self.verdict is Verdict.PASS else ""


def gates_of(figures: Sequence[Figure]) -> list[Gate]:
    """Gates by name, in the order of the file."""
    gates = []
    for name in dict.fromkeys(figure.name for figure in figures if figure.gated):
        gated = [figure for figure in figures if figure.gated and figure.name == name]
        gates.append(Gate(max(gated, key=lambda figure: figure.severity), best([figure for figure in figures if figure.name == name])))
    return gates


def best(figures: Sequence[Figure]) -> Figure | None:
    """What shows that an attack can find a leak: a figure without defences or of a control that does, if there is one."""
    free = [figure for figure in figures if figure.defences != ON]
    return max(free, key=lambda figure: (figure.leaks, figure.defences == OFF), default=None)


def doubt(figure: Figure, probe: Figure | None) -> str:
    """Why a figure proves nothing; empty if it does prove something."""
    if probe is None:
        return f"“{figure.title}” was tried with the defences on only. Whether this attack can find a leak at all is not shown."
    if probe.leaks:
        return ""
    interval = f"{probe.shown}, 95{wording.NBSP}% interval {probe.interval}, guessing {probe.guessing}"
    return f"“{figure.title}” shows no leak with {WORDS[probe.defences]} either ({interval})."


def contradictions(gates: Sequence[Gate], figures: Sequence[Figure], saved: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Gates of which the file's summary and its findings tell different things, or its findings and their own figures."""
    computed = {gate.figure.name: gate for gate in gates}
    contradicted = {name for name in {*computed, *saved} if name not in computed or name not in saved}
    for name in computed.keys() & saved.keys():
        told_values = {figure.value for figure in figures if figure.gated and figure.name == name}
        one, other = computed[name], saved[name]
        same = one.verdict == other["verdict"] and one.figure.gate == other["gate"]
        if not same or (math.isfinite(one.figure.value) and other["value"] not in told_values):
            contradicted.add(name)
    contradicted |= {figure.name for figure in figures if figure.gated and figure.told_verdict != figure.verdict}
    return sorted(title(name) for name in contradicted)


def verdict(gates: Sequence[Gate], doubted: Sequence[str]) -> str:
    """The page in one sentence or two."""
    if doubted:
        return "No verdict: the audit's file contradicts itself."
    if not gates:
        return "No verdict: this audit held nothing against a limit."
    number = wording.plural(len(gates), "gate")
    failing, unknown = (of_verdict(gates, wanted) for wanted in (Verdict.FAIL, Verdict.TOO_FEW))
    too_few = f"Too few compounds or trainings to tell of {listed(unknown)}"
    if failing:
        fails = f"{len(failing)} of {number} {'fails' if len(failing) == 1 else 'fail'}" if len(gates) > 1 else "The only gate fails"
        return f"{fails}: {listed(failing)}." + (f" {too_few}." if unknown else "")
    if unknown:
        return f"{too_few}{'; the other gates hold' if len(unknown) < len(gates) else ''}."
    unproven = sum(bool(gate.doubt) for gate in gates)
    whole = "The only gate holds" if len(gates) == 1 else f"All {number} hold"
    if unproven:
        many = "it proves nothing" if len(gates) == 1 else f"{unproven} of them prove{'s' if unproven == 1 else ''} nothing"
        return f"{whole}, but {many}: no leak was shown there without the defences either."
    return f"{whole}: with the defences on, no attack learned more than its limit allows."


def outcome(gates: Sequence[Gate], doubted: Sequence[str]) -> str:
    """The banner's class: how all gates together stand."""
    return NO_VERDICT if doubted or not gates else CLASSES[worst(gate.verdict for gate in gates)]


def of_verdict(gates: Sequence[Gate], wanted: Verdict) -> list[str]:
    """The titles of gates with this verdict."""
    return [f"“{gate.title}”" for gate in gates if gate.verdict is wanted]


def listed(names: Sequence[str]) -> str:
    """a; a and b; a, b and c; a, b and 4 more."""
    if len(names) > NAMED + 1:
        return f"{', '.join(names[:NAMED])} and {len(names) - NAMED} more"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else ""
