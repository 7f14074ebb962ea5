"""A site's report: the page of its status, to keep, with a table of its tasks. It is the party's own business, as the page is."""

from pathlib import Path
from typing import Any

import polars as pl

from fedapp.errors import ConfigError
from fedapp.evaluation.arms import CLASSIFICATION, COMBINED, FEDERATED, LOCAL, PRINTED, column
from fedapp.evaluation.combination import IN_WORDS, MEAN
from fedapp.report.kind_summary import KindSummary
from fedapp.report.report_files import names_of, write_report_files
from fedapp.report.run_page import uncounted
from fedapp.report.saved_partner import read_partner
from fedapp.report.saved_run import SavedRun
from fedapp.report.summary import Summary, summarise
from fedapp.site.folder import Site
from fedapp.site.status.page import html
from fedapp.site.status.sentences import report_headline
from fedapp.site.status.site_status import site_status

LISTED = 300  # tasks in the page; tasks.csv has all


def write_site_report(site: Site, problems: list[str] | None = None) -> Path:
    """Write `report.html`, one self-contained page, into a site's folder, at a partner with `tasks.csv` beside it; the page's path.

    Args:
        problems: Is told of files that are unusable, as the page tells it.
    Raises:
        OutputError: A person's file has one of these names.
    """
    status, more, summary = site_status(site), {}, None
    if site.partner:
        run = read_partner(site.settings.name, site.state, _dataset(site), site.path / "config.yaml")
        summary = summarise(run)
        status["selected"] = summary.selected.get("federated", {}).get(run.partners[0])  # by the rule that chose what is kept
        status["problems"] = [*status["problems"], *run.problems]
        more = {"note": _note(run), "tasks": _tasks(summary), "gains": _gains(run, summary)}
    if problems is not None:
        problems += status["problems"]
    mood, sentence = report_headline(status)
    every = max((len(value) for value in status.values() if isinstance(value, list)), default=1)
    page = html(status, mood=mood, sentence=sentence, live=False, shown=every, **more)
    return write_report_files(site.path, page, summary)


def _dataset(site: Site) -> Path | None:
    """Where the partner's dataset lies, None before one was accepted."""
    try:
        return site.dataset
    except ConfigError:
        return None


def _note(run: SavedRun) -> str:
    """What the data want said of them."""
    return " ".join(str(header["note"]) for header in run.datasets.values() if header.get("note"))


def _gains(run: SavedRun, summary: Summary) -> list[dict[str, Any]]:
    """Of each kind of task: what the models of this partner reach on its own folds, and what was chosen to predict."""
    comparison = run.comparison
    if comparison is None or not summary.compares:
        return []
    name = run.partners[0]
    kinds = []
    for kind in summary.shown:
        choice = comparison.choices[name].get(kind.kind, FEDERATED)
        validated = comparison.validation[name].get(kind.kind, {})
        rows = [
            {"model": IN_WORDS[each], "chosen": each == choice, "validation": validated.get(each), **_tested(kind, each, choice)}
            for each in (LOCAL, FEDERATED, MEAN)
        ]
        kinds.append({"score": PRINTED[kind.metric], "tasks": len(kind.tasks), "choice": IN_WORDS[choice], "rows": rows})
    return kinds


def _tested(kind: KindSummary, model: str, choice: str) -> dict[str, Any]:
    """A model's mean score on the test fold, and how far that is above the partner's own; the mean of both is only known if it predicts."""
    arm = COMBINED if model == choice else model
    return {"test": kind.scores.get(arm), "gain": kind.gains.get(arm)} if model != LOCAL else {"test": kind.scores.get(LOCAL), "gain": None}


def _tasks(summary: Summary) -> dict[str, Any]:
    """How many tasks there are and count, rows of those that do by kind, and for how many what is amiss."""
    named = summary.tasks.with_columns(names_of(summary.tasks)).select("task", "column")
    kinds = []
    for kind in summary.shown:
        main = column(kind.main or FEDERATED, kind.metric)
        above = pl.col(main) - (pl.col("prevalence") if kind.kind == CLASSIFICATION else 0.0)
        ordered = (
            kind.tasks.with_columns(pl.col("task").cast(named.schema["task"])).sort(above, "task", descending=[True, False]).head(LISTED)
        )
        rows = ordered.join(named, on="task", how="left", maintain_order="left").to_dicts()
        arms = [arm for arm in (LOCAL, FEDERATED, COMBINED) if arm in kind.scores]
        kinds.append(
            {"classes": kind.kind == CLASSIFICATION, "metric": kind.metric, "score": PRINTED[kind.metric], "main": kind.main, "arms": arms}
            | {"counted": len(kind.tasks), "rows": rows}
        )
    return {"all": len(summary.tasks), "counted": summary.counted, "kinds": kinds, "left_out": uncounted(summary)}
