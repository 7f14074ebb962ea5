"""The page of a leakage audit: what was attacked, what was found, and whether every gate holds, for readers who train no models."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, TemplateNotFound

from fedapp import wording
from fedapp.errors import RunError
from fedapp.report.audit_charts import interval_picture, read_curve, roc_pictures
from fedapp.report.audit_comparison import compare, shown_settings
from fedapp.report.audit_figures import CONTROL, ON, RESULTS, WORDS, Figure, read_figure
from fedapp.report.audit_gates import best, contradictions, doubt, gates_of, outcome, verdict
from fedapp.report.audit_words import OTHER_SUBJECT, SUBJECTS, subject
from fedapp.report.pictures import Picture
from fedapp.report.structures import galleries
from fedapp.report.verdict import SEVERITY, Verdict, worst
from fedapp.storage.files import write_text
from fedapp.storage.json_file import read_json

TEMPLATES = Path(__file__).parent
TEMPLATE = "audit.html.j2"
AGAIN = "start the audit again"
SCALE = ("partners", "pool", "members", "rounds", "row_guard", "trials.on", "trials.off", "listed_rows.on", "listed_rows.off")
UNGATED_DRAWN = 2


@dataclass(frozen=True)
class Attack:
    """All about one attack: who carries it out, its figures, the charts of the most telling of them, doubts, and limits.

    Attributes:
        anchor: Where it stands on the page.
        question: What it asks, in words.
        result: What it says of its gates together; empty where it has none.
    """

    anchor: str
    title: str
    question: str
    subject: str
    result: str
    adversaries: tuple[str, ...]
    figures: tuple[Figure, ...]
    pictures: tuple[Picture, ...]
    doubts: tuple[str, ...]
    notes: tuple[str, ...]


def write_audit_report(run_dir: Path) -> Path:
    """Write `run_dir`/audit.html, one self-contained page, from audit.json and, to tell what became worse, those in folders beside it.

    The same file beside the same others gives the same page. No other file is needed: what cannot be read beside it is named there.

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
    environment.filters.update({name: getattr(wording, name) for name in ("capital", "count", "percent", "plural", "was_or_were")})
    try:
        content = contents(facts, Path(run_dir).resolve())
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


def contents(facts: Mapping[str, Any], run_dir: Path) -> dict[str, Any]:
    """Every name that the template uses.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: A part of the file is missing or of the wrong kind.
    """
    figures = [read_figure(row) for row in facts["findings"]]
    gates = gates_of(figures)
    doubted = contradictions(gates, figures, facts["gates"])
    drawn = galleries(facts.get("recovered") or [])
    headings = (*SUBJECTS, OTHER_SUBJECT)
    titles = dict.fromkeys(figure.attack for figure in figures)
    attacks = [attack_of(place, title, figures) for place, title in enumerate(titles)]
    return {
        "name": str(facts.get("name") or facts.get("run") or run_dir.name),
        "note": str(facts.get("note") or ""),
        "verdict": verdict(gates, doubted),
        "started": wording.moment(facts.get("started")),
        "took": wording.duration(None if facts.get("seconds") is None else float(facts["seconds"])),
        "numbers": {key: whole(facts, *key.split(".")) for key in SCALE},
        "gates": sorted(gates, key=lambda gate: (-SEVERITY[gate.verdict], headings.index(subject(gate.figure.name)))),
        "contradictions": doubted,
        "overall": outcome(gates, doubted),
        "since": compare(run_dir, facts, figures),
        "undecided": [figure.undecided for figure in figures if figure.undecided],
        "doubts": [gate.doubt for gate in gates if gate.doubt],
        "subjects": [(heading, under) for heading in headings if (under := [attack for attack in attacks if attack.subject == heading])],
        "anchors": {attack.figures[0].attack: attack.anchor for attack in attacks},
        "curves": roc_pictures([read_curve(row) for row in facts.get("curves") or []]),
        "galleries": drawn,
        "withheld": [
            title for title in dict.fromkeys(gallery.attack for gallery in drawn) if (title, ON) not in {gallery.key for gallery in drawn}
        ],
        "advice": [str(text) for text in facts.get("advice") or []],
        "settings": shown_settings(facts),
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
    gates = [figure.verdict for figure in ours if figure.gated]
    leading = next((figure for figure in ours if figure.gated), ours[0])
    return Attack(
        anchor=f"attack-{place + 1}",
        title=wording.capital(title),
        question=leading.title,
        subject=subject(leading.name),
        result=RESULTS[worst(gates)] if gates else "",
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
    """Each note once, with the figures or the settings that it is about unless it is about all figures."""
    about: dict[str, list[Figure]] = {}
    for figure in figures:
        if figure.note:
            about.setdefault(figure.note, []).append(figure)
    return tuple(f"{whose(noted, figures)}{note}" for note, noted in about.items())


def whose(noted: Sequence[Figure], figures: Sequence[Figure]) -> str:
    """What stands before a note of some of an attack's figures; nothing before that of all."""
    if len(noted) == len(figures):
        return ""
    settings = {figure.defences for figure in noted}
    if len(noted) == sum(figure.defences in settings for figure in figures):
        return f"With {' and '.join(WORDS[each] for each in WORDS if each in settings)}: "
    return f"{', '.join(dict.fromkeys(f'{figure.title} with {WORDS[figure.defences]}' for figure in noted))}: "
