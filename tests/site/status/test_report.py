"""A site's report: what its page and its table say, from its own files alone."""

import csv
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from fedapp.data.task_kinds import completed
from fedapp.evaluation.scores import write_scores as write_scores_of_labels
from fedapp.partner_folder import PartnerFolder
from fedapp.prediction.predict import column_names
from fedapp.report.saved_files import TASKS
from fedapp.runtime.locks import locked
from fedapp.site.folder import COORDINATOR, Site
from fedapp.site.status.report import write_site_report
from fedapp.storage.digests import file_digests
from fedapp.storage.json_file import read_json, write_sealed
from tests.report.html_page import Page
from tests.site.saved_site import (
    Made,
    audit_of,
    beat,
    fresh,
    hold_trunk,
    journal_of,
    keep_model,
    one_round,
    rounds_at,
    set_up,
    sum_of,
    write_scores,
)

GROUPS = ('EGFR, "wild type"', "<script>alert(1)</script>", "smiles")


def dataset_at(site: Site, note: str = "") -> Site:
    """A dataset's header and its three tasks, of which the last is too small to count."""
    folder = site.path / "dataset"
    folder.mkdir()
    columns = {"task": [0, 1, 2], "group": GROUPS, "threshold": [6.7, None, 5.0], "positives": [100, 90, 9], "negatives": [200, 210, 300]}
    table = completed(pl.DataFrame(columns, schema={name: TASKS[name] for name in columns}))
    table.select(pl.col(name).cast(kind) for name, kind in TASKS.items()).write_parquet(folder / "tasks.parquet")
    files = file_digests(folder, ["tasks.parquet"])
    write_sealed(folder / "dataset.json", {"name": site.settings.name, "note": note, "digest": "d" * 64, "files": files})
    return site.changed(dataset="dataset")


def trained(path: Path, rounds: int = 20, note: str = "") -> Site:
    site = dataset_at(fresh(path), note)
    rounds_at(site, Made(rounds))
    sum_of(site, rounds)
    hold_trunk(site, rounds)
    write_scores(site, rounds, 0.75)
    keep_model(site, rounds, test=0.73)
    return site


def table(site: Site) -> list[dict[str, str]]:
    with (site.path / "tasks.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_page_tells_how_it_went_what_was_sent_and_how_good_tasks_are(tmp_path: Path) -> None:
    site = trained(tmp_path / "site")
    found = Page(write_site_report(site))
    assert "20 of 20 rounds done. What predicts: the federated model, round 20: mean AUC-PR 0.730 on the test fold." in found.text
    for heading in ("Learning", "Tasks", "What was sent", "Requests", "Roster and policy"):
        assert heading in found.text
    assert "2 tasks of 3 count:" in found.text
    assert "fewer than 5 actives in the test fold 1" in found.text
    assert found.source.count('<svg class="chart"') == 2
    sent = found.source[found.source.index('id="sent-scroll"') : found.source.index('id="requests"')]
    assert len(re.findall(r"<tr[^>]*><th scope=\"row\">\d+</th>", sent)) == 20


def test_the_page_stands_alone_and_runs_nothing(tmp_path: Path) -> None:
    found = Page(write_site_report(trained(tmp_path / "site")))
    assert not {"script", "iframe", "button"} & {name for name, _ in found.elements}
    assert "alert(1)" in found.text
    for name, attributes in found.elements:
        assert "src" not in attributes
        assert name not in ("link", "a") or attributes["href"].startswith(("data:", "#"))
    (policy,) = (held["content"] for name, held in found.elements if held.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'")


def test_the_page_does_not_call_a_finished_site_that_is_switched_off_broken(tmp_path: Path) -> None:
    site = trained(tmp_path / "site")
    beat(site, age=86_400)
    found = Page(write_site_report(site))
    assert "no sign of life" not in found.text
    assert "is not running" not in found.text


def test_the_note_on_the_data_is_on_the_page(tmp_path: Path) -> None:
    assert "Mind the labels. They are computed." in Page(write_site_report(trained(tmp_path / "site", note="They are computed."))).text


def test_the_table_has_every_task_under_its_column_in_predictions_with_its_scores(tmp_path: Path) -> None:
    site = trained(tmp_path / "site")
    write_site_report(site)
    rows = table(site)
    assert [row["column"] for row in rows] == column_names([(GROUPS[0], 6.7), (GROUPS[1], None), (GROUPS[2], 5.0)])
    assert [row["group"] for row in rows] == list(GROUPS)
    assert [row["threshold"] for row in rows] == ["6.7", "", "5.0"]
    assert [row["labels"] for row in rows] == ["300", "300", "309"]
    assert [(row["test_actives"], row["test_inactives"]) for row in rows] == [("40", "60"), ("40", "60"), ("2", "60")]
    assert [float(row["federated_auc_pr"]) for row in rows] == pytest.approx([0.68, 0.78, 0.0])
    assert [row["left_out"] for row in rows] == ["", "", "fewer than 5 actives in the test fold"]
    assert {row["partner"] for row in rows} == {site.settings.name}


def test_the_round_that_counts_is_the_best_on_the_validation_fold(tmp_path: Path) -> None:
    site = trained(tmp_path / "site", rounds=6)
    write_scores(site, 3, 0.9)
    (site.state / "model.json").unlink()
    assert (
        "6 of 20 rounds done. Round 3 of the federated model is kept: mean AUC-PR 0.880 on the test fold."
        in Page(write_site_report(site)).text
    )
    assert [float(row["federated_auc_pr"]) for row in table(site)] == pytest.approx([0.83, 0.93, 0.0])


def test_before_the_first_round_there_is_a_page_that_says_so(tmp_path: Path) -> None:
    site = dataset_at(fresh(tmp_path / "site"))
    text = Page(write_site_report(site)).text
    assert "0 of 20 rounds done; no round has been evaluated yet." in text
    assert "No task counts yet." in text
    assert [row["left_out"] for row in table(site)] == ["not evaluated yet"] * 3


def test_before_any_data_was_accepted_there_is_a_page_too(tmp_path: Path) -> None:
    site = fresh(tmp_path / "site")
    assert "no round has been evaluated yet" in Page(write_site_report(site)).text
    assert table(site) == []


def test_a_damaged_file_is_named_and_the_rest_is_told(tmp_path: Path) -> None:
    site = trained(tmp_path / "site")
    (site.dataset / "tasks.parquet").write_bytes(b"PAR1 no more")
    (site.state / "metrics" / "round-0002.parquet").write_bytes(b"")
    text = Page(write_site_report(site)).text
    assert "tasks.parquet" in text
    assert "round-0002.parquet" in text
    assert "the federated model, round 20" in text
    assert [row["group"] for row in table(site)] == ["task 0", "task 1", "task 2"]


def test_which_round_counts_does_not_hang_on_one_small_file(tmp_path: Path) -> None:
    site = trained(tmp_path / "site")
    (site.state / "model.json").write_text("")
    assert "Round 20 of the federated model is kept" in Page(write_site_report(site)).text


def scored(site: Site, better: float) -> None:
    """What two models say of their labels: the federated one is nearer to the truth by `better`, in either fold."""
    random = np.random.default_rng(3)
    labels = [(fold, row, task) for fold in ("validation", "test") for task in (0, 1) for row in range(60)]
    base = pl.DataFrame(labels, schema=["fold", "row", "task"], orient="row").with_columns((pl.col("row") % 2).alias("value"), censor=0)
    noise = pl.Series(random.normal(0, 1, len(base)))
    for folder, skill in ((PartnerFolder(site.state), 0.5 + better), (PartnerFolder(PartnerFolder(site.state).local), 0.5)):
        folder.path.mkdir(exist_ok=True)
        scores = base.with_columns((skill * (2 * pl.col("value") - 1) + noise).alias("output"))
        write_scores_of_labels(folder.scores, scores)


@pytest.mark.parametrize(("better", "chosen"), [(1.0, "the federated model (predicts)"), (-0.5, "our own model (predicts)")])
def test_the_report_tells_what_the_federation_gains_on_the_partners_own_folds(tmp_path: Path, better: float, chosen: str) -> None:
    site = trained(tmp_path / "site")
    scored(site, better)
    text = Page(write_site_report(site)).text
    assert "What training together gains us" in text
    assert "Mean AUC-PR over 2 tasks of ours." in text
    assert chosen in text
    rows = table(site)
    means = {arm: sum(float(row[f"{arm}_auc_pr"]) for row in rows[:2]) / 2 for arm in ("local", "federated", "combined")}
    assert means["combined"] == means["federated" if better > 0 else "local"]
    gain = means["federated"] - means["local"]
    assert f"{abs(gain):.3f}" in text
    assert (gain > 0) == (better > 0)


def test_scores_that_are_damaged_are_named_and_the_rest_is_told(tmp_path: Path) -> None:
    site = trained(tmp_path / "site")
    scored(site, 1.0)
    PartnerFolder(site.state).scores.write_bytes(b"PAR1 no more")
    text = Page(write_site_report(site)).text
    assert "scores.parquet was altered" in text
    assert "What training together gains us" not in text
    assert "2 tasks of 3 count" in text


def test_the_coordinators_report_has_no_gain_of_anybody(tmp_path: Path) -> None:
    site = fresh(tmp_path / "site", COORDINATOR)
    journal_of(site, [*set_up(), *one_round(1)])
    text = Page(write_site_report(site)).text
    for word in ("gains us", "AUC", "Spearman", "our own model", "predicts"):
        assert word not in text


def moods(page: Page) -> list[str]:
    """Of the dot before the headline."""
    return [classes[1] for _, attributes in page.elements if (classes := attributes.get("class", "").split())[:1] == ["dot"]]


def test_rounds_that_named_compounds_are_in_the_report(tmp_path: Path) -> None:
    site = trained(tmp_path / "site")
    assert moods(Page(write_site_report(site))) == ["good"]
    audit_of(site, 20, "own", named=37)
    page = Page(write_site_report(site))
    assert "37 of 16,212" in page.text
    assert "1 thing needs attention" in page.text
    assert moods(page) == ["warn"]


def test_the_coordinators_report_has_its_rounds_and_no_tasks(tmp_path: Path) -> None:
    site = fresh(tmp_path / "site", COORDINATOR)
    journal_of(site, [*set_up(), *one_round(1), *one_round(2)])
    with locked(site.coordinator, "polyphony federate"):
        text = Page(write_site_report(site)).text
    assert "Running: round 2 of 20 is done." in text
    assert not (site.path / "tasks.csv").exists()


@pytest.mark.parametrize(("rounds", "told"), [(2, "All 11, newest first"), (20, "The last 50, newest first; 15 before them are not shown")])
def test_no_row_of_requests_is_out_of_sight_in_a_report_but_those_that_it_counts(tmp_path: Path, rounds: int, told: str) -> None:
    page = Page(write_site_report(trained(tmp_path / "site", rounds)))
    assert told in page.text
    boxes = {held["id"]: held["class"] for _, held in page.elements if held.get("id", "").endswith("-scroll")}
    assert (boxes["requests-scroll"], boxes["sent-scroll"]) == ("scroll", "scroll")


def test_no_row_of_exchanges_is_out_of_sight_in_the_coordinators_report_but_those_that_it_counts(tmp_path: Path) -> None:
    site = fresh(tmp_path / "site", COORDINATOR)
    journal_of(site, [exchange for number in range(1, 21) for exchange in one_round(number)])
    page = Page(write_site_report(site))
    assert "The last 50, newest first; 10 before them are not shown" in page.text
    assert [held["class"] for _, held in page.elements if held.get("id") == "exchanges-scroll"] == ["scroll"]


def test_the_files_are_for_the_owner_alone_and_writing_them_changes_nothing_else(tmp_path: Path) -> None:
    site = trained(tmp_path / "site")

    def others() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in site.path.rglob("*") if path.is_file() and path.parent != site.path}

    before = others()
    write_site_report(site)
    write_site_report(site)
    assert others() == before
    for name in ("report.html", "tasks.csv"):
        assert (site.path / name).stat().st_mode & 0o777 == 0o600
    assert read_json(site.state / "model.json")["round"] == 20
