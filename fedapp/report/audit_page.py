"""The page of a leakage audit: what was attacked, what was found, and whether every gate holds, for readers who train no models."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, TemplateNotFound

from fedapp import wording
from fedapp.errors import RunError
from fedapp.report.audit_charts import interval_picture, read_curve, roc_pictures
from fedapp.report.audit_figures import CONTROL, JUDGED, OFF, ON, WORDS, Figure, read_figure
from fedapp.report.pictures import Picture
from fedapp.report.run_page import settings
from fedapp.report.structures import galleries
from fedapp.report.verdict import Verdict, worst
from fedapp.storage.files import write_text
from fedapp.storage.json_file import read_json

TEMPLATES = Path(__file__).parent
TEMPLATE = "audit.html.j2"
AGAIN = "start the audit again"
SCALE = ("partners", "pool", "members", "rounds", "row_guard", "trials.on", "trials.off", "listed_rows.on", "listed_rows.off")
UNGATED_DRAWN = 2
CLASSES = {Verdict.PASS: "holds", Verdict.TOO_FEW: "unsure", Verdict.FAIL: "fails"}  # of the banner


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
    def evidence(self) -> str:
        """Whether the attack finds a leak where there is one."""
        if self.probe is None:
            return "not tried"
        return f"{'yes' if self.probe.leaks else 'no'}: {self.probe.shown} with {WORDS[self.probe.defences]}"

    @property
    def doubt(self) -> str:
        """Why a gate that holds proves nothing; empty if it does prove something."""
        return doubt(self.figure, self.probe) if self.verdict is Verdict.PASS else ""


@dataclass(frozen=True)
class Attack:
    """All about one attack: who carries it out, its figures, the charts of the most telling of them, doubts, and limits."""

    title: str
    adversaries: tuple[str, ...]
    figures: tuple[Figure, ...]
    pictures: tuple[Picture, ...]
    doubts: tuple[str, ...]
    notes: tuple[str, ...]


def write_audit_report(run_dir: Path) -> Path:
    """Write `run_dir`/audit.html, one self-contained page, from audit.json alone; the same file gives the same page.

    Returns:
        The page's path.
    Raises:
        RunError: audit.json is missing or damaged, or the installation lacks the page's template.
    """
    source, path = Path(run_dir) / "audit.json", Path(run_dir) / "audit.html"
    facts = read_audit(source)
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update({name: getattr(wording, name) for name in ("count", "percent", "plural", "was_or_were")})
    try:
        content = contents(facts, Path(run_dir).resolve().name)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RunError(f"{source} is damaged ({type(error).__name__}: {error})", AGAIN) from error
    try:
        write_text(path, environment.get_template(TEMPLATE).render(content))
    except TemplateNotFound as error:
        raise RunError(f"the report's template {error.name} is not installed", "install polyphony from its wheel or a clone") from error
    return path


def read_audit(path: Path) -> Mapping[str, Any]:
    """audit.json as saved.

    Raises:
        RunError: It is not there, cannot be read, or tells of no audit.
    """
    if not path.is_file():
        raise RunError(f"no audit in {path.parent}: it has no {path.name}", "give the folder that audit printed, such as runs/NAME")
    facts = read_json(path, AGAIN)
    if not isinstance(facts, dict) or not isinstance(facts.get("findings"), list) or not isinstance(facts.get("gates"), dict):
        raise RunError(f"{path} does not describe an audit: it needs findings and gates", AGAIN)
    return facts


def contents(facts: Mapping[str, Any], folder: str) -> dict[str, Any]:
    """Every name that the template uses.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: A part of the file is missing or of the wrong kind.
    """
    figures = [read_figure(row) for row in facts["findings"]]
    gates = gates_of(figures)
    doubted = contradictions(gates, figures, facts["gates"])
    drawn = galleries(facts.get("recovered") or [])
    attacks = dict.fromkeys(figure.attack for figure in figures)
    return {
        "name": str(facts.get("name") or facts.get("run") or folder),
        "note": str(facts.get("note") or ""),
        "verdict": verdict(gates, doubted),
        "started": wording.moment(facts.get("started")),
        "took": wording.duration(None if facts.get("seconds") is None else float(facts["seconds"])),
        "numbers": {key: whole(facts, *key.split(".")) for key in SCALE},
        "gates": gates,
        "contradictions": doubted,
        "overall": "unsure" if doubted or not gates else CLASSES[worst(gate.verdict for gate in gates)],
        "undecided": [figure.undecided for figure in figures if figure.undecided],
        "doubts": [gate.doubt for gate in gates if gate.doubt],
        "attacks": [attack_of(place, title, figures) for place, title in enumerate(attacks)],
        "curves": roc_pictures([read_curve(row) for row in facts.get("curves") or []]),
        "galleries": drawn,
        "withheld": [
            title for title in dict.fromkeys(gallery.attack for gallery in drawn) if (title, ON) not in {gallery.key for gallery in drawn}
        ],
        "advice": [str(text) for text in facts.get("advice") or []],
        "settings": settings(facts.get("configuration") or {}),
        "facts": [(key, str(facts[key])) for key in ("run", "seed") if key in facts],
        "versions": {str(key): str(value) for key, value in (facts.get("versions") or {}).items()},
        "defences": WORDS,
    }


def whole(facts: Mapping[str, Any], *keys: str) -> int | None:
    """A whole number of the file by its keys; None if it is not told."""
    part: Any = facts
    for key in keys:
        part = part.get(key) if part is not None else None
    return None if part is None else int(part)


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
    return sorted(name.replace("_", " ") for name in contradicted)


def verdict(gates: Sequence[Gate], doubted: Sequence[str]) -> str:
    """The page in one sentence or two."""
    if doubted:
        return "No verdict: the audit's file contradicts itself."
    if not gates:
        return "No verdict: this audit held nothing against a limit."
    number = wording.plural(len(gates), "gate")
    failing, unknown = (of_verdict(gates, outcome) for outcome in (Verdict.FAIL, Verdict.TOO_FEW))
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


def of_verdict(gates: Sequence[Gate], wanted: Verdict) -> list[str]:
    """The titles of gates with this verdict."""
    return [f"“{gate.title}”" for gate in gates if gate.verdict is wanted]


def listed(names: Sequence[str]) -> str:
    """a; a and b; a, b and c."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else ""


def attack_of(place: int, title: str, figures: Sequence[Figure]) -> Attack:
    """One attack's section. Where none of its figures has a limit, the first two that differ in kind are drawn."""
    ours = sorted((figure for figure in figures if figure.attack == title), key=lambda figure: [*WORDS].index(figure.defences))
    groups = grouped(ours)
    drawn = [group for group in groups if any(figure.gated for figure in group)] or groups[:UNGATED_DRAWN]
    gated = {figure.name: figure for figure in ours if figure.gated and figure.verdict is Verdict.PASS}
    probes = {
        name: best([figure for figure in ours if figure.name == name]) or best([figure for figure in figures if figure.name == name])
        for name in gated
    }
    return Attack(
        title=title[:1].upper() + title[1:],
        adversaries=tuple(dict.fromkeys(figure.adversary for figure in ours)),
        figures=tuple(figure for group in groups for figure in group),
        pictures=tuple(interval_picture(f"attack-{place}-{index}", group) for index, group in enumerate(drawn)),
        doubts=tuple(filter(None, (doubt(figure, probes[name]) for name, figure in gated.items()))),
        notes=notes(ours),
    )


def grouped(figures: Sequence[Figure]) -> list[list[Figure]]:
    """Figures that measure the same; a control, which says in its own words what it measures, goes with its namesake."""
    groups: dict[tuple[str, str, str], list[Figure]] = {}
    for figure in figures:
        key = (figure.name, figure.adversary, figure.what)
        namesake = next((known for known in groups if known[:2] == key[:2]), key)
        groups.setdefault(namesake if figure.defences == CONTROL else key, []).append(figure)
    return list(groups.values())


def notes(figures: Sequence[Figure]) -> tuple[str, ...]:
    """Each note once, with the figures that it is about unless it is about all of them."""
    about: dict[str, list[str]] = {}
    for figure in figures:
        if figure.note:
            about.setdefault(figure.note, []).append(f"{figure.title} with {WORDS[figure.defences]}")
    return tuple(note if len(names) == len(figures) else f"{', '.join(dict.fromkeys(names))}: {note}" for note, names in about.items())
