"""The page: figures, charts and sentences put into the template."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
from jinja2 import Environment, FileSystemLoader, StrictUndefined, TemplateNotFound

from fedapp import wording
from fedapp.errors import RunError
from fedapp.evaluation.arms import ARMS, CLASSIFICATION, LABELS, PRINTED, VALUE_METRICS, score_name
from fedapp.report import conclusions
from fedapp.report.disclosure import disclosure
from fedapp.report.pictures import pictures
from fedapp.report.report_files import write_report_files
from fedapp.report.round_figures import RoundFigures, left_out, phases, rounds_of, total_bytes
from fedapp.report.saved_run import SavedRun, read_run
from fedapp.report.summary import Summary, as_float, summarise
from fedapp.wording import plural

TEMPLATES = Path(__file__).parent
TEMPLATE = "report.html.j2"
EXTREMES = 10
UNCOUNTED_LISTED = 500
FILTERS = ("count", "score", "signed", "percent", "size", "duration", "moment", "plural")


def write_report(run_dir: Path) -> Path:
    """Write `run_dir`/report.html, one self-contained page, and tasks.csv from what the run saved; the same files give the same page.

    Args:
        run_dir: Folder of a run of kind "simulate" or "compare", finished or not.
    Returns:
        The page's path.
    Raises:
        RunError: No such folder, no folder that a run wrote, or an installation without the page's template.
        OutputError: A person's file has one of these names.
    """
    run = read_run(Path(run_dir))
    summary = summarise(run)
    return write_report_files(Path(run_dir), render(run, summary), summary)


def render(run: SavedRun, summary: Summary) -> str:
    """The page as HTML."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {name: getattr(wording, name) for name in FILTERS}
    environment.filters |= {"spread": conclusions.spread, "threshold": conclusions.threshold}
    try:
        template = environment.get_template(TEMPLATE)
        return template.render(contents(run, summary))
    except TemplateNotFound as error:
        raise RunError(f"the report's template {error.name} is not installed", "install polyphony from its wheel or a clone") from error


def contents(run: SavedRun, summary: Summary) -> dict[str, Any]:
    """Every name that the template uses."""
    rounds = rounds_of(run)
    evaluated = sum(1 for record in rounds if record.score is not None)
    best, worst = extremes(summary)
    return {
        "run": run,
        "summary": summary,
        "note": note(run),
        "guessing": as_float(summary.judged["prevalence"].mean()),
        "above_guessing": as_float((summary.judged["federated_auc_pr"] > summary.judged["prevalence"]).mean()),
        "disclosure": disclosure(run),
        "guard_effect": conclusions.guard_effect(summary.guard_effect),
        "verdict": conclusions.verdict(run, summary, evaluated),
        "unfinished": conclusions.unfinished(run, evaluated),
        "failures": conclusions.failures(run),
        "inconsistent": inconsistent(run, summary),
        "pictures": pictures(run, summary),
        "best": best,
        "worst": worst,
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
        "score_name": score_name(run.setting("tasks.kinds", [CLASSIFICATION])),
        "value_metrics": {PRINTED[metric]: metric for metric in VALUE_METRICS},
        "arm_names": [arm for arm in ARMS if arm in summary.arms],
    }


def note(run: SavedRun) -> str | None:
    """What the data themselves want said of them, such as that labels are computed."""
    for header in (run.facts, *run.datasets.values()):
        if header.get("note"):
            return str(header["note"])
    return None


def inconsistent(run: SavedRun, summary: Summary) -> str | None:
    """Say so if comparison.json and comparison.parquet do not count the same tasks."""
    tasks = (run.comparison or {}).get("tasks")
    if tasks is None or int(tasks) == len(summary.judged) + len(summary.valued):
        return None
    judged = f"{len(summary.judged) + len(summary.valued):,}"
    counted = plural(int(tasks), "task")
    return f"comparison.json counts {counted}, comparison.parquet holds {judged} that count; the means are those of the former."


def extremes(summary: Summary) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The tasks that gained most and least; without a comparison, those furthest above guessing and least so."""
    column = "gain" if summary.compares else "lift"
    lifted = summary.judged.with_columns((pl.col("federated_auc_pr") - pl.col("prevalence")).alias("lift"))
    if lifted.is_empty():
        return [], []
    size = min(EXTREMES, max(1, len(lifted) // 2))
    ordered = lifted.sort(column, "partner", "task", descending=[True, False, False])
    return ordered.head(size).to_dicts(), ordered.reverse().head(size).to_dicts()


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
