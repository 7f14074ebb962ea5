"""Wherever a site describes a model, it is the one that predicts, with its own figures: the federated one, the partner's own or both."""

from pathlib import Path

import pytest

from fedapp.cli.status import tell
from fedapp.evaluation.arms import CHOOSING
from fedapp.model.network import Trunk, trunk_arrays
from fedapp.model.saved_model import read_model
from fedapp.partner.client import Partner
from fedapp.site.folder import Site
from fedapp.site.status.page import render
from fedapp.site.status.report import write_site_report
from fedapp.site.status.sentences import headline
from fedapp.site.status.site_status import partner_status
from fedapp.storage.json_file import read_json, write_sealed
from strategies.secagg.phases import Step
from tests.helpers.small_run import small_config, write_dataset
from tests.report.html_page import Page
from tests.site.saved_site import Made, beat, fresh, hold_trunk, keep_model, rounds_at, sum_of, write_scores

PREDICTS = {
    "federated": "the federated model, round 18",
    "local": "the partner's own model, round 4",
    "mean": "the mean of the federated model and the partner's own, federated round 18 and local round 4",
}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """All rounds are done; the federated model's best has 0.32 on the test fold."""
    held = fresh(tmp_path / "site")
    rounds_at(held, Made(20))
    sum_of(held, 20)
    hold_trunk(held, 20)
    write_scores(held, 18, 0.34)
    write_scores(held, 20, 0.33)
    beat(held)
    return held


@pytest.mark.parametrize("choice", PREDICTS)
def test_status_page_and_report_name_what_predicts_with_its_own_figure(site: Site, choice: str, capsys: pytest.CaptureFixture[str]) -> None:
    keep_model(site, 18, test=0.417, own=4, classification=choice)
    told = f"What predicts: {PREDICTS[choice]}: mean AUC-PR 0.417 on the test fold."
    status = partner_status(site)
    assert status["predicts"]["choice"] == {"classification": choice}
    rounds = {member["name"]: member["round"] for member in status["predicts"]["members"]}
    assert rounds == {"federated": {"federated": 18}, "local": {"local": 4}, "mean": {"federated": 18, "local": 4}}[choice]
    tell(status)
    assert capsys.readouterr().out.count(told) == 1
    (site.path / "page.html").write_text(render(status, "nonce"))
    page = Page(site.path / "page.html")
    assert PREDICTS[choice].replace("the partner's", "our") + ": mean AUC-PR 0.417 on the test fold" in page.text
    assert f"20 of 20 rounds done. {told}" in Page(write_site_report(site)).text


def test_the_heading_of_a_site_that_is_done_names_what_predicts(site: Site) -> None:
    keep_model(site, 18, test=0.417, own=4, classification="local")
    status = partner_status(site) | {"phase": Step.FINISH}
    assert headline(status)[1].startswith("All rounds are done. What predicts: the partner's own model, round 4: mean AUC-PR 0.417")


def test_while_rounds_go_on_the_terminal_has_a_line_of_what_predicts(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    keep_model(site, 18, own=4, classification="local")
    beat(site, "answering", step="train", round="20")
    tell(partner_status(site))
    assert "\nWhat predicts: the partner's own model, round 4: " in capsys.readouterr().out


def test_where_kinds_of_tasks_differ_each_is_told_and_the_figure_is_of_both(site: Site) -> None:
    keep_model(site, 18, test=0.5, spearman=0.3, own=4, classification="federated", regression="local")
    header = read_json(site.state / "model.json")
    header["members"][0]["shared_heads"] = {"classification": "alone"}
    write_sealed(site.state / "model.json", header)
    text = Page(write_site_report(site)).text
    assert (
        "classification: the federated model (common endpoints by shared heads alone); regression: the partner's own model, "
        "federated round 18 and local round 4: mean of AUC-PR and Spearman 0.400 on the test fold."
    ) in text


def test_without_a_test_fold_the_figure_is_of_the_validation_fold_and_says_so(site: Site) -> None:
    keep_model(site, 18, test=None)
    assert "the federated model, round 18: mean AUC-PR 0.600 on the validation fold." in Page(write_site_report(site)).text


def test_a_header_that_says_something_else_predicts_nothing_and_the_rest_is_told(site: Site) -> None:
    for header in ({"round": 18}, {"choice": "mean", "members": [], "figures": {}}, {"choice": {"classification": "x"}, "members": []}):
        write_sealed(site.state / "model.json", header)
        assert partner_status(site)["predicts"] is None
        assert "What predicts" not in Page(write_site_report(site)).text


def test_rows_of_every_update_are_told_apart_from_those_that_our_compounds_train(site: Site) -> None:
    text = Page(write_site_report(site)).text
    assert "Rows in every update, as partners agreed 180 of 256" in text
    assert "Rows of these that we train 140; the other 40, which compounds of other partners support, go out as they came in" in text
    hold_trunk(site, 20, own=180)
    assert "go out as they came in" not in Page(write_site_report(site)).text


def test_what_a_partner_really_keeps_is_told_as_it_predicts(tmp_path: Path) -> None:
    site = fresh(tmp_path / "site")
    partner = Partner(site.state, write_dataset(tmp_path / "data", "Birch"), small_config("evaluation.min_per_class=3"))
    arrays = trunk_arrays(Trunk(256, [8], 1))
    for number in (1, 2):
        arrays, _, _ = partner.fit(arrays, {"round": number})
    told, saved = partner_status(site)["predicts"], read_model(site.state)
    assert (told["choice"], told["words"]) == (saved.choice, saved.chosen())
    assert [(each["name"], each["round"]) for each in told["members"]] == [(each.name, each.round) for each in saved.used()]
    test = saved.header["figures"]["test"]
    assert told["figures"]["test"] == {name: test[name] for name in CHOOSING.values()} and test["auc_pr"] is not None
