"""What a status tells, from files alone, while others write them."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import typer
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics

from fedapp.cli import status as command
from fedapp.consortium.policy_file import read_policy, write_policy
from fedapp.partner_folder import PartnerFolder
from fedapp.privacy.accounting import NoiseEvent, epsilon
from fedapp.privacy.budget import Budget, BudgetError
from fedapp.runtime.locks import locked
from fedapp.site.doctor import protection
from fedapp.site.doctor.checks import CheckState
from fedapp.site.floor import DEFAULT, as_strict_as, terms_of, write_floor
from fedapp.site.folder import COORDINATOR, Site
from fedapp.site.request_log import Request, note_request
from fedapp.site.run.federate import Waiting
from fedapp.site.status import page, prometheus
from fedapp.site.status.sentences import headline
from fedapp.site.status.site_status import coordinator_status, partner_status
from fedapp.storage.json_file import write_sealed
from strategies.coordinator.journal import Awaited, Exchange, Journal
from strategies.secagg.phases import Step
from strategies.update.limits import LeakLimits
from strategies.update.self_audit import OWN, ROW_LIST, SUM
from strategies.update.shared_trunk import SharedTrunk
from tests.helpers.sweeps import examples
from tests.site import saved_site
from tests.site.saved_site import Made
from tests.site.status import exposition


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A partner that was just unpacked."""
    return saved_site.fresh(tmp_path / "site")


@pytest.fixture
def coordinator(tmp_path: Path) -> Site:
    return saved_site.fresh(tmp_path / "coordinator", COORDINATOR)


# A partner


def test_a_partner_that_was_just_unpacked_has_nothing_to_tell_and_says_so(site: Site) -> None:
    told = partner_status(site)
    assert (told["round"], told["rounds"], told["phase"], told["healthy"]) == (0, 20, "down", False)
    assert told["learning"] == told["sent"] == told["requests"] == told["problems"] == []
    assert told["ledger"]["bytes_out"] == told["ledger"]["rounds_sent"] == 0
    assert told["ledger"]["rows_listed"] is None
    assert headline(told) == ("idle", "The SuperNode has not been started here yet.")


def test_learning_curves_are_means_over_the_tasks_that_count(site: Site) -> None:
    saved_site.write_loss(site, 1, 0.69)
    saved_site.write_loss(site, 2, 0.61)
    saved_site.write_scores(site, 1, 0.4)
    first, second = partner_status(site)["learning"]
    assert (first["validation"], first["test"], first["loss"]) == (pytest.approx(0.4), pytest.approx(0.38), 0.69)
    assert (second["validation"], second["test"], second["loss"]) == (None, None, 0.61)


def test_what_was_sent_is_added_up_by_round_with_attempts_rows_and_clipped_values(site: Site) -> None:
    saved_site.hold_trunk(site, 1)
    for out in (700, 900):  # the round was abandoned once, and tried again
        note_request(site.state, saved_site.answered(Step.COLLECT, "1", out, 5.0, 60))
    note_request(site.state, saved_site.answered(Step.UNMASK, "1", 50, 0.5, 50))
    note_request(site.state, saved_site.answered(Step.COLLECT, "2", 900, 5.0, 40))
    saved_site.sum_of(site, 1, partners=3, clipped=7)
    told = partner_status(site)
    first, second = told["sent"]
    assert (first["bytes_out"], first["attempts"], first["partners"], first["clipped"]) == (1650, 2, 3, 7)
    assert (first["rows"], first["coordinates"]) == (saved_site.LISTED, saved_site.COORDINATES)
    assert (second["round"], second["partners"], second["rows"]) == (2, None, None)
    ledger = told["ledger"]
    assert (ledger["rounds_sent"], ledger["bytes_out"], ledger["row_guard"]) == (2, 2550, 20)
    assert (ledger["rows_listed"], ledger["rows"], ledger["rows_own"], ledger["fewest_partners"]) == (saved_site.LISTED, 256, 140, 3)


def test_a_round_whose_trunk_was_handed_over_to_a_newcomer_is_none_that_it_gave_to(site: Site) -> None:
    """The line of the sum before it came along with the trunk."""
    for number, partners in ((3, 3), (4, 4)):
        saved_site.sum_of(site, number, partners=partners)
    note_request(site.state, saved_site.answered(Step.COLLECT, "4", 900, 5.0, 60))
    saved_site.hold_trunk(site, 4)
    told = partner_status(site)
    assert ([each["round"] for each in told["sent"]], told["ledger"]["fewest_partners"], told["ledger"]["sums"]) == ([4], 4, 1)
    assert told["round"] == 4


def test_what_the_self_audit_found_is_told_by_round_at_its_worst(site: Site) -> None:
    for number, vector, attempt, named in ((1, OWN, 0, 4), (1, OWN, 1, 2), (1, SUM, 0, 1), (2, OWN, 0, 0)):
        saved_site.audit_of(site, number, vector, attempt, named)
    for number in (1, 2, 3):
        note_request(site.state, saved_site.answered(Step.COLLECT, str(number), 900, 5.0, 60))
    told = partner_status(site)
    assert [(each["named"], each["named_by_sum"]) for each in told["sent"]] == [(4, 1), (0, None), (None, None)]
    assert (told["ledger"]["named"], told["ledger"]["named_by_sum"], told["ledger"]["compounds"]) == (4, 1, 16_212)


NOISY = "name: joint\nchemistry: {bits: 256}\nmodel: {hidden: [8]}\nprivacy: {profile: record_dp, epsilon: 6.0, delta: 1.0e-6}\n"
ROUND = NoiseEvent(4.0, 0.1, 20)


def test_what_record_level_privacy_cost_is_told_with_what_is_left_of_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site = saved_site.fresh(tmp_path / "site", config=NOISY)
    budget = Budget(PartnerFolder(site.state).budget, 6.0, 1e-6)
    unspent = partner_status(site)["privacy_spent"]
    assert unspent == {"budget": 6.0, "delta": 1e-6, "spent": 0.0, "left": 6.0, "rounds_left": None}
    for what, event in (("row list", NoiseEvent(8.0)), ("round 1", ROUND)):
        paid = budget.spend(what, event)
    told = partner_status(site)
    spent = told["privacy_spent"]
    assert spent["spent"] == paid == epsilon([NoiseEvent(8.0), ROUND], 1e-6)
    assert spent["spent"] + spent["left"] == pytest.approx(6.0)
    samples = {name: family.samples["", ()] for name, family in exposition.read(prometheus.exposition(told)).items() if "privacy" in name}
    assert samples == {
        "polyphony_privacy_epsilon_spent": pytest.approx(paid),
        "polyphony_privacy_epsilon_budget": 6,
        "polyphony_privacy_delta": 1e-6,
        "polyphony_privacy_rounds_left": spent["rounds_left"],
    }
    command.status(site.path)
    assert f"epsilon {paid:.3g} of 6 at delta 1e-06; enough for {spent['rounds_left']} more rounds" in capsys.readouterr().out


def test_the_rounds_that_are_left_can_be_paid_and_not_one_more(tmp_path: Path) -> None:
    site = saved_site.fresh(tmp_path / "site", config=NOISY)
    budget = Budget(PartnerFolder(site.state).budget, 6.0, 1e-6)
    budget.spend("round 1", ROUND)
    left = partner_status(site)["privacy_spent"]["rounds_left"]
    budget.spend("the rest", replace(ROUND, steps=ROUND.steps * left))
    assert partner_status(site)["privacy_spent"]["rounds_left"] == 0
    with pytest.raises(BudgetError):
        budget.spend("round 2", ROUND)


def test_a_damaged_account_is_a_problem_and_never_shown_as_nothing_spent(tmp_path: Path) -> None:
    site = saved_site.fresh(tmp_path / "site", config=NOISY)
    PartnerFolder(site.state).budget.write_text('{"paid": [')
    told = partner_status(site)
    assert told["privacy_spent"] is None
    (problem,) = told["problems"]
    assert PartnerFolder(site.state).budget.name in problem


def test_without_record_level_privacy_no_account_is_shown(site: Site) -> None:
    told = partner_status(site)
    assert told["privacy_spent"] is None
    assert "privacy" not in prometheus.exposition(told)


def test_a_refused_request_is_told_with_its_reason_and_counts_as_nothing_sent(site: Site) -> None:
    note_request(site.state, Request(saved_site.ago(5), 7, Step.COLLECT.value, "1", 100, 0, 0.1, "PolicyError: row guard 3"))
    told = partner_status(site)
    assert told["requests"][0]["refused"] == "PolicyError: row guard 3"
    assert (told["ledger"]["refused"], told["ledger"]["rounds_sent"], told["sent"][0]["attempts"]) == (1, 0, 0)


def test_the_newest_fifty_requests_are_told_newest_first(site: Site) -> None:
    for number in range(60):
        note_request(site.state, saved_site.answered(Step.UNMASK, str(number), 10, 0.1, 60 - number))
    assert [each["round"] for each in partner_status(site)["requests"]] == [str(number) for number in range(59, 9, -1)]


@pytest.mark.parametrize(
    ("state", "age", "up", "mood"),
    [("waiting", 5, True, "good"), ("answering", 45, True, "busy"), ("waiting", 62, False, "bad"), ("stopped", 5, False, "bad")],
)
def test_a_supernode_is_up_while_it_gave_a_sign_of_life_within_a_minute(site: Site, state: str, age: float, up: bool, mood: str) -> None:
    saved_site.beat(site, state, age)
    told = partner_status(site)
    assert (told["healthy"], told["health"]["up"]) == (up, up)
    assert headline(told)[0] == mood
    assert told["phase"] == ("down" if not up else state)


def test_before_anything_was_answered_no_step_is_told_and_no_trunk_is_held(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    saved_site.beat(site, "waiting", 5)
    refused = Request(time=saved_site.ago(5), run=1, step=Step.SHARE_KEYS, round="0", bytes_in=1, bytes_out=0, seconds=0.1, refused="x")
    note_request(site.state, refused)
    command.status(site.path)
    out = capsys.readouterr().out
    assert "waiting for the coordinator.\n" in out and "This partner last" not in out
    assert "holds no trunk of a finished round yet\n" in out


def test_how_many_partners_were_proven_guilty_is_a_metric_that_names_nobody(site: Site) -> None:
    told = partner_status(site)
    assert "polyphony_partners_proven_guilty 0.0\n" in prometheus.exposition(told)
    text = prometheus.exposition(told | {"proven": {"Elm": ["it advertised a key that cannot be used"]}})
    assert "polyphony_partners_proven_guilty 1.0\n" in text and "Elm" not in text


@pytest.mark.parametrize("name", ["state/shared.safetensors", "state/repetition.json", "policy.yaml", "consortium.yaml"])
def test_a_partner_is_not_healthy_while_a_file_is_unusable_that_every_request_needs(
    site: Site, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    saved_site.beat(site, "waiting", 5)
    saved_site.hold_trunk(site, 2)
    assert partner_status(site)["healthy"]
    (site.path / name).write_bytes((site.path / name).read_bytes()[:-20])
    told = partner_status(site)
    (problem,) = (each for each in told["problems"] if name in each)
    assert told["healthy"] is False and told["hints"][problem]
    command.tell(told)
    assert f"unusable: {problem}\nhint: {told['hints'][problem]}\n" in capsys.readouterr().out
    page.render(told, "nonce")


def test_why_the_connection_failed_is_told_by_the_command_too(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    saved_site.beat(site, "stopped", error="the coordinator does not take our node")
    command.status(site.path)
    assert "connection: the coordinator does not take our node\n" in capsys.readouterr().out


def test_the_last_failure_is_told_with_its_hint(site: Site) -> None:
    write_sealed(site.state / "error.json", {"error": "no dataset", "hint": "accept one"})
    failure = partner_status(site)["health"]["failure"]
    assert (failure["error"], failure["hint"]) == ("no dataset", "accept one")


def test_an_unusable_file_is_a_problem_that_is_named_and_the_rest_is_told(site: Site) -> None:
    site.roster.unlink()
    site.policy.write_text("roster: [")
    (site.path / "config.yaml").write_text("speed: 9\n")
    saved_site.rounds_at(site, Made(2))
    told = partner_status(site)
    for name, problem in zip(("config.yaml", "policy.yaml", "consortium.yaml"), told["problems"], strict=True):
        assert name in problem
    assert [each["round"] for each in told["sent"] if each["bytes_out"]] == [0, 1, 2]


@examples(40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_status_can_be_told_whatever_was_cut_off_or_overwritten(tmp_path: Path, data: st.DataObject) -> None:
    whole = tmp_path / "whole"
    if not whole.is_dir():
        held = saved_site.fresh(whole)
        saved_site.rounds_at(held, Made(3))
        saved_site.beat(held)
        write_sealed(held.state / "error.json", {"error": "one"})
    shutil.rmtree(tmp_path / "cut", ignore_errors=True)
    cut = Site.open(Path(shutil.copytree(whole, tmp_path / "cut")))
    files = sorted(path.relative_to(cut.path) for path in cut.path.rglob("*") if path.is_file() and path.name != "site.yaml")
    for file in data.draw(st.lists(st.sampled_from(files), min_size=1, max_size=4)):
        content = (cut.path / file).read_bytes()
        left = content[: data.draw(st.integers(0, len(content)))] + data.draw(
            st.sampled_from([b"", b"\x00\xff{", b"null\n", b'{"round": "x"}\n'])
        )
        (cut.path / file).write_bytes(left)
    told = partner_status(cut)
    json.dumps(told, allow_nan=False)
    exposition.read(prometheus.exposition(told))
    headline(told)


def test_a_line_that_is_being_written_is_not_there_yet_and_a_damaged_one_is_left_out(site: Site) -> None:
    good = saved_site.as_lines([saved_site.answered(Step.UNMASK, str(number), 10, 0.1, 9) for number in (1, 2)])
    first, second = good.splitlines()
    PartnerFolder(site.state).requests.write_text(f"{first}\n{second[:40]}{first}\n{second}\n{first[:50]}")
    assert [each["round"] for each in partner_status(site)["requests"]] == ["2", "1"]


# What needs attention


def named_at(path: Path, guard: int, own: int = 0, by_sum: int = 0) -> Site:
    """A site in the middle of a run whose self-audit named compounds."""
    held = saved_site.fresh(path, config=saved_site.CONFIG + f"privacy: {{row_guard: {guard}}}\n")
    write_floor(held.floor, as_strict_as(terms_of(held)))
    saved_site.rounds_at(held, Made(3))
    saved_site.beat(held)
    saved_site.audit_of(held, 2, OWN, named=own)
    saved_site.audit_of(held, 2, SUM, named=by_sum)
    return held


def test_where_nothing_is_named_under_the_terms_that_ship_there_is_no_warning(tmp_path: Path) -> None:
    held = saved_site.fresh(tmp_path / "site", config=saved_site.CONFIG)
    saved_site.rounds_at(held, Made(3))
    saved_site.beat(held)
    told = partner_status(held)
    assert told["warnings"] == [] and headline(told)[0] == "good"
    assert protection.self_audit(held).state is CheckState.OK


def test_compounds_that_a_sum_names_are_a_warning_with_what_to_do_in_every_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = named_at(tmp_path / "site", guard=3, by_sum=21)
    told = partner_status(site)
    (first, *_), sentence = told["warnings"], "named 21 of 16,212 own training compounds from a sum that came home"
    assert sentence in first["told"]
    assert "privacy.row_guard=20 (here it is 3)" in first["hint"]
    mood, state = headline(told)
    assert mood == "warn" and "attention" in state
    command.status(site.path)
    printed = capsys.readouterr().out
    assert f"WARNING: A sum names compounds of ours. The self-audit {sentence}" in printed
    assert "privacy.row_guard=20" in printed
    families = exposition.read(prometheus.exposition(told))
    assert families["polyphony_warnings"].samples["", ()] == len(told["warnings"]) >= 1
    assert families["polyphony_self_audit_named"].samples["", (("vector", "sum"),)] == 21
    found = protection.self_audit(site)
    assert found.state is CheckState.WARN and sentence in found.told and "privacy.row_guard=20" in found.hint


@pytest.mark.parametrize(
    ("vector", "found", "about", "sentence"),
    [
        (SUM, {"auc": 0.71, "trained": 1000, "others": 900}, "A sum tells who was trained on", "against 900 that we did not, in round 2"),
        (OWN, {"auc": 0.71, "trained": 1000, "others": 900}, "An update of ours tells who was trained on", "in 71\xa0% of pairs"),
        (ROW_LIST, {"bare": 12, "bare_of_others": 7}, "Rows of single partners are seen bare", "We support 12 listed rows that one other"),
        (ROW_LIST, {"bare_of_others": 7}, "Rows of single partners are seen bare", "Of 7 we see one other partner's in the same way"),
    ],
)
def test_whatever_else_the_self_audit_finds_is_a_warning_in_every_place(
    site: Site, capsys: pytest.CaptureFixture[str], vector: str, found: dict[str, float], about: str, sentence: str
) -> None:
    saved_site.audit_of(site, 2, vector, **found)
    told = partner_status(site)
    (warning,) = (held for held in told["warnings"] if held["about"] == about)
    assert sentence in warning["told"] and warning["hint"]
    command.status(site.path)
    assert f"WARNING: {about}." in capsys.readouterr().out
    doctors = protection.self_audit(site)
    assert doctors.state is CheckState.WARN and sentence in doctors.told and warning["hint"] in doctors.hint
    families = exposition.read(prometheus.exposition(told))
    assert families["polyphony_warnings"].samples["", ()] == len(told["warnings"])
    if vector == ROW_LIST:
        assert families["polyphony_rows_bare"].samples["", (("whose", "others"),)] == 7
    else:
        assert families["polyphony_self_audit_told_apart"].samples["", (("vector", vector),)] == 0.71


def test_little_more_than_chance_is_a_figure_and_no_warning(site: Site) -> None:
    saved_site.audit_of(site, 2, SUM, auc=0.58, trained=1000, others=900)
    saved_site.audit_of(site, 1, ROW_LIST)
    told = partner_status(site)
    assert (told["ledger"]["told_apart"], told["ledger"]["told_apart_by_sum"], told["ledger"]["rows_bare"]) == (None, 0.58, 0)
    assert protection.self_audit(site).state is CheckState.OK


@pytest.mark.parametrize(("allowed", "left"), [(0.001, "Such an update stays at home."), (1.0, "It left under masks")])
def test_compounds_that_an_own_update_names_are_a_warning_that_says_whether_it_left(tmp_path: Path, allowed: float, left: str) -> None:
    site = named_at(tmp_path / "site", guard=20, own=40)
    write_policy(site.policy, read_policy(site.policy), limits=LeakLimits(most_identified=allowed, least_compounds=8))
    write_floor(site.floor, replace(DEFAULT, most_identified=allowed))
    first = partner_status(site)["warnings"][0]
    assert first["about"] == "An update of ours names compounds"
    assert "40 of 16,212" in first["told"] and left in first["told"]
    assert "larger privacy.row_guard" in first["hint"], "the guard is the one that ships already"


def test_a_warning_never_hides_that_a_site_is_down(tmp_path: Path) -> None:
    site = named_at(tmp_path / "site", guard=3, by_sum=1)
    saved_site.beat(site, age=400)
    assert headline(partner_status(site))[0] == "bad"


@pytest.mark.parametrize(
    ("config", "about"),
    [
        ("privacy: {row_guard: 0}\n", "Little row guard"),
        ("privacy: {row_guard: 0, profile: reconstruction_noise}\n", "Little row guard"),
        ("privacy: {profile: record_dp, epsilon: 60}\n", "Little noise"),
    ],
)
def test_terms_below_those_that_ship_are_a_warning_though_the_own_floor_allows_them(tmp_path: Path, config: str, about: str) -> None:
    site = saved_site.fresh(tmp_path / "site", config=saved_site.CONFIG + config)
    write_floor(site.floor, as_strict_as(terms_of(site)))
    told = partner_status(site)
    assert about in [held["about"] for held in told["warnings"]]
    assert "Every request is refused" not in [held["about"] for held in told["warnings"]]
    assert headline(told)[0] == "warn"


def test_a_policy_below_the_own_floor_and_a_lost_floor_are_told_as_the_refusal_that_they_are(site: Site) -> None:
    write_policy(site.policy, replace(read_policy(site.policy), row_guard=2))
    assert any("lie below" in held["told"] for held in partner_status(site)["warnings"])
    site.floor.unlink()
    refused = next(held for held in partner_status(site)["warnings"] if held["about"] == "Every request is refused")
    assert "floor.yaml" in refused["told"] and "kit install" in refused["hint"]


def test_a_row_list_without_a_row_is_a_warning_and_not_a_dash(site: Site) -> None:
    saved_site.hold_trunk(site, 3)
    path = site.state / "shared.safetensors"
    held = SharedTrunk.read(path)
    replace(held, rows=np.zeros_like(held.rows)).write(path)
    told = partner_status(site)
    assert told["ledger"]["rows_listed"] == 0
    assert "None of its 256 rows passes the row guard at as many partners as a row needs" in told["warnings"][-1]["told"]


def test_a_last_failure_takes_the_green_light_away(site: Site) -> None:
    saved_site.beat(site)
    write_sealed(site.state / "error.json", {"error": "the update of round 3 names 30 of 100 compounds", "hint": "a larger guard"})
    assert headline(partner_status(site))[0] == "warn"


# The coordinator


def test_a_coordinator_without_a_run_says_so(coordinator: Site) -> None:
    told = coordinator_status(coordinator)
    assert (told["state"], told["round"], told["rounds"], told["healthy"]) == ("not started", 0, 20, True)
    assert headline(told) == ("idle", "No run has been started yet.")


def test_a_run_whose_process_is_gone_is_interrupted(coordinator: Site) -> None:
    """A kill writes no outcome: what tells is that nobody holds the coordinator's folder."""
    saved_site.journal_of(coordinator, [*saved_site.set_up(), *saved_site.one_round(1)])
    with locked(coordinator.coordinator, "polyphony federate"):
        assert headline(coordinator_status(coordinator)) == ("busy", "Running: round 1 of 20 is done.")
    told = coordinator_status(coordinator)
    assert (told["state"], told["healthy"]) == ("interrupted", False)
    assert headline(told) == ("bad", "The run was interrupted after round 1 of 20: `polyphony federate` goes on.")


def test_rounds_are_done_when_enough_partners_answered_the_unmasking(coordinator: Site) -> None:
    short = [Exchange(3, Step.COLLECT.value, 4, 3, 10, 10, 5.0), Exchange(3, Step.UNMASK.value, 3, 2, 10, 10, 1.0, {}, ["no reply"])]
    saved_site.journal_of(
        coordinator, [*saved_site.set_up(), *saved_site.one_round(1), *saved_site.one_round(2, lost=("no reply",)), *short]
    )
    with locked(coordinator.coordinator, "polyphony federate"):
        told = coordinator_status(coordinator)
    assert (told["state"], told["round"], told["attempt"]) == ("running", 2, 1)
    assert [(each["round"], each["done"], each["asked"], each["replied"]) for each in told["made"]] == [
        (1, True, 4, 4),
        (2, True, 4, 3),
        (3, False, 4, 3),
    ]
    assert told["made"][0]["seconds"] == pytest.approx(66.7)


def test_drop_outs_are_told_by_phase_and_reason_with_their_rounds(coordinator: Site) -> None:
    lost = ("no reply", "it could not answer")
    saved_site.journal_of(coordinator, [*saved_site.one_round(1, 5, lost), *saved_site.one_round(2, 5, lost[:1])])
    told = coordinator_status(coordinator)["drop_outs"]
    assert [(each["reason"], each["phase"], each["replies"], each["rounds"]) for each in told] == [
        ("no reply", "MaskedInputCollection", 2, [1, 2]),
        ("it could not answer", "MaskedInputCollection", 1, [1]),
    ]


def test_phases_have_the_median_of_their_seconds_and_set_up_is_apart(coordinator: Site) -> None:
    rounds = [each for number, seconds in ((1, 10.0), (2, 90.0), (3, 20.0)) for each in saved_site.one_round(number, seconds=seconds)]
    saved_site.journal_of(coordinator, saved_site.set_up() + rounds)
    taken = {(each["part"], each["phase"]): each for each in coordinator_status(coordinator)["phases"]}
    assert taken["round", "MaskedInputCollection"]["seconds"] == 20.0
    assert taken["set-up", "MaskedInputCollection"]["seconds"] == 1.9
    assert taken["round", "Unmasking"]["exchanges"] == 3


def test_how_a_run_ended_is_told_with_the_error(coordinator: Site) -> None:
    saved_site.journal_of(coordinator, saved_site.one_round(1))
    write_sealed(coordinator.coordinator / "outcome.json", {"state": "failed", "error": "2 partners advertised, and 3 are needed"})
    told = coordinator_status(coordinator)
    assert (told["state"], told["healthy"], told["error"]) == ("failed", False, "2 partners advertised, and 3 are needed")
    write_sealed(coordinator.coordinator / "outcome.json", {"state": "finished", "error": ""})
    assert headline(coordinator_status(coordinator)) == ("good", "The run is finished: 1 round.")


def test_whose_reply_is_awaited_is_told_until_the_run_is_over(coordinator: Site, capsys: pytest.CaptureFixture[str]) -> None:
    saved_site.journal_of(coordinator, saved_site.one_round(1))
    Journal(coordinator.coordinator / "journal.jsonl").wait(Awaited(2, Step.COLLECT.value, ["Birch", "Elm"]))
    told = coordinator_status(coordinator)["awaited"]
    assert (told["names"], told["phase"], told["round"]) == (["Birch", "Elm"], "MaskedInputCollection", 2)
    command.status(coordinator.path)
    assert "waiting for Birch, Elm: MaskedInputCollection, since " in capsys.readouterr().out
    write_sealed(coordinator.coordinator / "outcome.json", {"state": "failed", "error": "killed"})
    assert coordinator_status(coordinator)["awaited"] is None


def test_who_keeps_the_others_waiting_is_told_once_each_time_that_it_lasts(tmp_path: Path) -> None:
    told: list[Awaited] = []
    journal = Journal(tmp_path / "journal.jsonl")
    waiting = Waiting(tmp_path / "awaited.json", told.append, patience=0)
    both, one = (Awaited(2, "Unmasking", names) for names in (["Birch", "Elm"], ["Elm"]))
    for awaited in (both, both, one, one, Awaited(2, "Unmasking", []), one):
        journal.wait(awaited)
        for _ in range(3):
            waiting.look()
    assert told == [both, one, one]
    (tmp_path / "awaited.json").write_text('{"round": 2')
    waiting.look()
    assert told == [both, one, one], "half a file says nothing"


def test_the_coordinators_status_has_no_word_of_models_rows_or_data(coordinator: Site) -> None:
    saved_site.journal_of(coordinator, saved_site.set_up() + saved_site.one_round(1))
    told = json.dumps(coordinator_status(coordinator))
    words = ("loss", "auc", "row", "clip", "task", "compound", "seed", "learning", "score", "validation", "choice", "own")
    assert not [word for word in words if f'"{word}' in told]


def test_scores_have_the_name_of_what_they_are_wherever_they_are_told(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """Of values it is Spearman, with classes too the mean of both: by what the partner's own tasks are, not by what others have."""
    for classes, name in ((None, "Spearman"), (0.8, "mean of AUC-PR and Spearman")):
        saved_site.rounds_at(site, Made(2))
        for number in (1, 2):
            saved_site.write_values(site.state, number, 0.4, classes)
        saved_site.keep_model(site, 1, test=classes, spearman=0.4)
        told = partner_status(site)
        assert told["score"] == name
        assert told["learning"][0]["validation"] == pytest.approx(0.4 if classes is None else 0.6)
        samples = exposition.read(prometheus.exposition(told))
        assert samples["polyphony_validation_spearman"].samples["", ()] == pytest.approx(0.4)
        assert ("polyphony_validation_auc_pr" in samples) == (classes is not None)
        command.status(site.path)
        printed = capsys.readouterr().out
        assert f"validation {name}" in printed
        live = page.render(told, "nonce")
        assert f"Validation {name}" in live
        assert ("AUC-PR" in live) == (classes is not None)


def test_before_any_round_scores_are_called_as_the_experiments_tasks_want_it(tmp_path: Path) -> None:
    config = f"{saved_site.CONFIG}tasks: {{kinds: [regression]}}\n"
    assert partner_status(saved_site.fresh(tmp_path / "site", config=config))["score"] == "Spearman"


def test_the_own_models_curve_stands_beside_the_federated_one(site: Site) -> None:
    saved_site.write_scores(site, 1, 0.5)
    saved_site.write_values(site.state / "local", 1, 0.3)
    (first,) = partner_status(site)["learning"]
    assert (first["validation"], first["own"]) == (pytest.approx(0.5), pytest.approx(0.3))
    assert "our own model, validation" in page.render(partner_status(site), "nonce")


# Prometheus


def test_a_partners_metrics_are_its_statuss_numbers_in_prometheus_own_format(site: Site) -> None:
    saved_site.rounds_at(site, Made(4))
    saved_site.beat(site)
    told = partner_status(site)
    families = exposition.read(prometheus.exposition(told))
    assert all(name.startswith("polyphony_") and family.help for name, family in families.items())
    expected = {
        "polyphony_round": 3,
        "polyphony_rounds_total": 3,
        "polyphony_rounds_planned": 20,
        "polyphony_supernode_up": 1,
        "polyphony_refused_requests_total": 0,
        "polyphony_clipped_coordinates": 3,
        "polyphony_training_compounds": 16_212,
        "polyphony_upload_bytes_total": told["ledger"]["bytes_out"],
    }
    assert {name: families[name].samples["", ()] for name in expected} == expected
    assert families["polyphony_self_audit_named"].samples == {("", (("vector", held),)): 0 for held in (OWN, SUM)}
    answers = families["polyphony_answer_seconds"].samples
    assert answers["_count", (("phase", "Unmasking"),)] == 5


def test_only_counters_are_called_total(site: Site, coordinator: Site) -> None:
    saved_site.rounds_at(site, Made(2))
    saved_site.journal_of(coordinator, saved_site.one_round(1))
    for told in (partner_status(site), coordinator_status(coordinator)):
        for name, family in exposition.read(prometheus.exposition(told)).items():
            assert name.endswith("_total") == (family.kind == "counter"), name


def test_the_coordinators_metrics_have_the_seconds_of_each_phase(coordinator: Site) -> None:
    saved_site.journal_of(coordinator, saved_site.set_up() + saved_site.one_round(1, seconds=12.5))
    samples = exposition.read(prometheus.exposition(coordinator_status(coordinator)))["polyphony_exchange_seconds"].samples
    assert samples["", (("part", "round"), ("phase", "MaskedInputCollection"), ("quantile", "0.5"))] == 12.5


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30), st.floats())
def test_any_label_and_any_number_comes_back_as_it_was(label: str, value: float) -> None:
    phase = {"part": "round", "phase": label, "seconds": value, "total_seconds": 1.5, "exchanges": 3}
    none: dict[str, object] = {"round": 0, "rounds": None, "state": "running", "made": [], "drop_outs": []}
    families = exposition.read(prometheus.exposition({"role": "coordinator", "phases": [phase], **none}))
    labels = (("part", "round"), ("phase", label))
    samples = families["polyphony_exchange_seconds"].samples
    read = samples.pop(("", (*labels, ("quantile", "0.5"))))
    assert read == value or (read != read and value != value)
    assert samples == {("_sum", labels): 1.5, ("_count", labels): 3}
    assert "polyphony_rounds_planned" not in families  # what has no value yet


def test_who_asks_for_the_newer_format_gets_the_same_numbers_in_it(site: Site) -> None:
    saved_site.rounds_at(site, Made(3))
    told = partner_status(site)
    asked = "application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
    content, content_type = prometheus.exposition_for(asked, told)
    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    newer = [sample for family in openmetrics(content.decode()) for sample in family.samples]
    plain, plain_type = prometheus.exposition_for("*/*", told)
    assert plain_type.startswith("text/plain; version=0.0.4")
    assert plain.decode() == prometheus.exposition(told)
    families = exposition.read(plain.decode())
    older = {(name + suffix, labels): value for name in families for (suffix, labels), value in families[name].samples.items()}
    assert {(sample.name, tuple(sorted(sample.labels.items()))): sample.value for sample in newer} == older


# The command


def test_the_command_prints_one_json_object_or_metrics_or_text(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    saved_site.rounds_at(site, Made(3))
    saved_site.beat(site)
    command.status(site.path, as_json=True)
    assert json.loads(capsys.readouterr().out)["round"] == 2
    command.status(site.path, prometheus=True)
    assert exposition.read(capsys.readouterr().out)["polyphony_round"].samples["", ()] == 2
    command.status(site.path)
    out = capsys.readouterr().out
    assert "holds the trunk of round 2 of 20" in out
    assert "180 of 256 rows, row guard 20" in out


def test_the_commands_text_at_the_coordinator_names_drop_outs(coordinator: Site, capsys: pytest.CaptureFixture[str]) -> None:
    saved_site.journal_of(coordinator, saved_site.set_up() + saved_site.one_round(1, lost=("no reply",)))
    command.status(coordinator.path)
    out = capsys.readouterr().out
    assert "left out in MaskedInputCollection: no reply (rounds 1)" in out
    assert "1      done" in out


def test_a_folder_that_is_no_site_is_an_error_with_a_hint(tmp_path: Path) -> None:
    from fedapp.errors import ConfigError

    with pytest.raises(ConfigError, match="is no site"):
        command.status(tmp_path)
    with pytest.raises((ConfigError, typer.Exit), match="two formats"):
        command.status(tmp_path, as_json=True, prometheus=True)
