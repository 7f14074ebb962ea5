"""The page: figures, charts and sentences put into the template."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, TemplateNotFound

from fedapp import wording
from fedapp.errors import RunError
from fedapp.evaluation.arms import CLASSIFICATION, LABELS, PRINTED, column, score_name
from fedapp.evaluation.combination import IN_WORDS
from fedapp.report import conclusions, headline
from fedapp.report.arm_pictures import arm_pictures, in_words, lone_pictures
from fedapp.report.disclosure import disclosure
from fedapp.report.gain_pictures import gain_pictures
from fedapp.report.kind_summary import KindSummary, as_float
from fedapp.report.learning_pictures import learning_pictures
from fedapp.report.report_files import write_report_files
from fedapp.report.round_figures import RoundFigures, left_out, phases, rounds_of, total_bytes
from fedapp.report.saved_run import SavedRun, read_run
from fedapp.report.summary import Summary, summarise
from fedapp.report.task_extremes import extremes
from fedapp.wording import plural

TEMPLATES = Path(__file__).parent
TEMPLATE = "report.html.j2"
UNCOUNTED_LISTED = 500
FILTERS = ("count", "score", "signed", "percent", "size", "duration", "moment", "plural")


def write_report(run_dir: Path, problems: list[str] | None = None) -> Path:
    """Write `run_dir`/report.html, one self-contained page, and tasks.csv from what the run saved; the same files give the same page.

    Args:
        run_dir: Folder of a run of kind "simulate" or "compare", finished or not.
        problems: Is told of files that were left out, as the page tells it.
    Returns:
        The page's path.
    Raises:
        RunError: No such folder, no folder that a run wrote, or an installation without the page's template.
        OutputError: A person's file has one of these names.
    """
    run = read_run(Path(run_dir))
    summary = summarise(run)
    if problems is not None:
        problems += told(run, summary)
    return write_summary(run, summary)


def write_summary(run: SavedRun, summary: Summary) -> Path:
    """As `write_report`, of a run that was read and summarised."""
    return write_report_files(run.directory, render(run, summary), summary)


def render(run: SavedRun, summary: Summary) -> str:
    """The page as HTML."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {name: getattr(wording, name) for name in FILTERS}
    environment.filters |= {
        "spread": conclusions.spread,
        "learned": conclusions.learned,
        "judged_labels": conclusions.judged_labels,
        "unit": in_words,
    }
    try:
        template = environment.get_template(TEMPLATE)
        return template.render(contents(run, summary))
    except TemplateNotFound as error:
        raise RunError(f"the report's template {error.name} is not installed", "install polyphony from its wheel or a clone") from error


def contents(run: SavedRun, summary: Summary) -> dict[str, Any]:
    """Every name that the template uses."""
    rounds = rounds_of(run)
    evaluated = sum(1 for record in rounds if record.score is not None)
    return {
        "run": run,
        "summary": summary,
        "note": note(run),
        "disclosure": disclosure(run),
        "verdict": headline.verdict(run, summary, evaluated),
        "unfinished": conclusions.unfinished(run, evaluated),
        "failures": conclusions.failures(run),
        "problems": told(run, summary),
        "kinds": [of_kind(kind, summary, run) for kind in summary.shown],
        "learning": learning_pictures(run, summary),
        "uncounted": uncounted(summary),
        "uncounted_listed": summary.uncounted.head(UNCOUNTED_LISTED).to_dicts(),
        "rounds": rounds,
        "rounds_shown": thinned(rounds),
        "traffic": total_bytes(rounds),
        "exchanges": conclusions.exchanges(phases(run.journal)),
        "left_out": conclusions.left_out(left_out(run.journal)),
        "clipped": conclusions.clipped(run.sums),
        "settings": settings(run.config),
        "versions": run.facts.get("versions") if isinstance(run.facts.get("versions"), Mapping) else {},
        "caveats": conclusions.caveats(run, summary, evaluated),
        "arm_labels": LABELS,
        "printed": PRINTED,
        "choices": IN_WORDS,
        "score_name": score_name(run.setting("tasks.kinds", [CLASSIFICATION])),
    }


def of_kind(kind: KindSummary, summary: Summary, run: SavedRun) -> dict[str, Any]:
    """What the template needs of one kind of task, beside its figures."""
    best, worst = extremes(kind)
    classes = kind.kind == CLASSIFICATION
    arm = kind.main or next(iter(kind.scores))
    main = kind.tasks[column(arm, kind.metric)]
    return {
        "of": kind,
        "classes": classes,
        "title": "Active or inactive" if classes else "Predicted values",
        "score": PRINTED[kind.metric],
        "main": arm,
        "predicts": headline.what_predicts(kind, run.heads),
        "held_against": headline.held_against(kind),
        "guard_effect": conclusions.guard_effect(kind.guard_effect, PRINTED[kind.metric]),
        "pictures": arm_pictures(kind) if summary.compares else lone_pictures(kind),
        "where": gain_pictures(kind),
        "best": best,
        "worst": worst,
        "guessing": as_float(kind.tasks["prevalence"].mean()) if classes else None,
        "above_guessing": as_float((main > kind.tasks["prevalence"]).mean()) if classes else None,
    }


def note(run: SavedRun) -> str | None:
    """What the data themselves want said of them, such as that labels are computed."""
    for header in (run.facts, *run.datasets.values()):
        if header.get("note"):
            return str(header["note"])
    return None


def told(run: SavedRun, summary: Summary) -> list[str]:
    """What is wrong with the run's files."""
    inconsistency = inconsistent(run, summary)
    return [*([inconsistency] if inconsistency else []), *run.problems]


def inconsistent(run: SavedRun, summary: Summary) -> str | None:
    """Say so if comparison.json and comparison.parquet do not count the same tasks."""
    counted = None if run.comparison is None else run.comparison.counted
    if counted is None or counted == summary.counted:
        return None
    return (
        f"comparison.json counts {plural(counted, 'task')}, comparison.parquet holds {summary.counted:,} that count; the means are those "
        "of the former."
    )


def uncounted(summary: Summary) -> list[tuple[str, int]]:
    """Reason to number of tasks that do not count, most frequent first."""
    reasons = summary.uncounted.group_by("reason").len().sort("len", "reason", descending=[True, False])
    return [(str(reason), int(number)) for reason, number in reasons.iter_rows()]


def thinned(rounds: list[RoundFigures], most: int = 60) -> list[RoundFigures]:
    """At most about `most` rounds, evenly spaced, the first and the last among them."""
    step = -(-len(rounds) // most) if rounds else 1
    return [record for place, record in enumerate(rounds) if place % step == 0 or place == len(rounds) - 1]


def settings(config: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Dotted key and value of every setting."""
    rows: list[tuple[str, str]] = []
    for key, value in config.items():
        if isinstance(value, Mapping):
            rows += settings(value, f"{prefix}{key}.")
        elif isinstance(value, list):
            rows.append((f"{prefix}{key}", ", ".join(map(str, value)) or "none"))
        else:
            rows.append((f"{prefix}{key}", "none" if value is None else str(value)))
    return rows
