"""A finished run is known to be finished without a session: partners are asked for nothing, unless one of them may lack something."""

from dataclasses import replace
from pathlib import Path

import pytest

from fedapp.cli import serve as command
from fedapp.consortium.policy_file import read_policy_file, write_policy_file
from fedapp.errors import RunError
from fedapp.server_app import conclude
from fedapp.site.finished import TERMS, nothing_left, terms_digest
from fedapp.site.folder import COORDINATOR, Site
from fedapp.site.run import federate as federate_module
from fedapp.storage.json_file import write_sealed
from strategies.coordinator.journal import Exchange
from strategies.secagg.phases import Step
from tests.site import saved_site

ROUNDS = 20
TAKEN = Exchange(ROUNDS, Step.FINISH.value, 4, 4, 10, 10, 1.0)


def finished(site: Site, *last: Exchange) -> Site:
    """All rounds are done, and these were the last exchanges."""
    saved_site.journal_of(site, [*saved_site.set_up(), *saved_site.one_round(ROUNDS), *last])
    write_sealed(site.coordinator / "outcome.json", {"state": "finished", "error": "", TERMS: terms_digest(site)})
    return site


@pytest.fixture
def coordinator(tmp_path: Path) -> Site:
    return saved_site.fresh(tmp_path / "coordinator", COORDINATOR)


def test_a_run_that_everybody_finished_asks_partners_for_nothing_and_says_so(
    coordinator: Site, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def reached(site: Site) -> dict[str, str]:
        raise AssertionError("nothing is to be asked of anybody")

    monkeypatch.setattr(federate_module, "reached", reached)
    command.federate(finished(coordinator, TAKEN).path)
    out, err = capsys.readouterr()
    assert err == ""
    assert "all partners had the last trunk when it ended: none was asked for anything" in out and "finished   20 rounds" in out
    assert f"a partner that lost its trunk since: polyphony federate {coordinator.path} --again" in out
    assert nothing_left(coordinator), "and a third time"


def test_where_partners_are_asked_that_is_said_before_anybody_is_reached(
    coordinator: Site, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def reached(site: Site) -> dict[str, str]:
        assert capsys.readouterr().err == "waiting for partners\n"
        raise RunError("the SuperLink does not answer")

    monkeypatch.setattr(federate_module, "reached", reached)
    with pytest.raises(RunError):
        command.federate(coordinator.path)


@pytest.mark.parametrize(
    "last",
    [
        (),
        (replace(TAKEN, replied=3, left_out=["Elm: no reply"]),),
        (replace(TAKEN, asked=3, replied=3),),
        (TAKEN, replace(TAKEN, asked=1, replied=1)),
        (replace(TAKEN, round=ROUNDS - 1),),
    ],
    ids=["no last exchange", "one is silent", "one is away", "one lacked the trunk", "a round too few"],
)
def test_where_a_partner_may_lack_the_last_trunk_a_session_is_begun(coordinator: Site, last: tuple[Exchange, ...]) -> None:
    assert not nothing_left(finished(coordinator, *last))


def test_more_rounds_or_other_partners_go_on(coordinator: Site) -> None:
    finished(coordinator, TAKEN)
    held = read_policy_file(coordinator.proposal)
    for change in ({"rounds": 2 * ROUNDS}, {"roster": "ab" * 32}, {"applications": ["b" * 64]}):
        write_policy_file(coordinator.proposal, replace(held, **change))  # type: ignore[arg-type]
        assert not nothing_left(coordinator)
    write_policy_file(coordinator.proposal, held)


@pytest.mark.parametrize("outcome", [None, {"state": "failed", "error": "x"}, {"state": "finished", "error": ""}])
def test_a_run_that_failed_goes_on_or_whose_terms_nobody_knows_begins_a_session(coordinator: Site, outcome: dict[str, str] | None) -> None:
    path = finished(coordinator, TAKEN).coordinator / "outcome.json"
    path.unlink()
    if outcome:
        write_sealed(path, outcome)
    assert not nothing_left(coordinator)
    path.write_text("damaged")
    assert not nothing_left(coordinator)


def test_what_ends_a_run_too_early_is_told_with_whom_to_ask(coordinator: Site) -> None:
    exchanges = [replace(TAKEN, left_out=["Birch: it could not answer"]), replace(TAKEN, left_out=["Elm: no reply"])]
    hint = federate_module.what_to_do(coordinator, exchanges)
    assert "left out were Birch (it could not answer), Elm (no reply): ask them what `polyphony status` says there" in hint
    assert f"{coordinator.log}/run.log" in hint and f"polyphony federate {coordinator.path}" in hint
    assert "left out" not in federate_module.what_to_do(coordinator, [])


def test_rounds_that_end_well_are_written_down_with_their_terms(coordinator: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedapp.server_app.federate", lambda grid, side: None)
    conclude(None, coordinator.coordinator, lambda: None, {TERMS: terms_digest(coordinator)})  # type: ignore[arg-type,return-value]
    saved_site.journal_of(coordinator, [TAKEN])
    assert nothing_left(coordinator)
