"""A partner's site that took part and has lost its state: it is refused by name wherever it is met, until a person says otherwise."""

import json
import re
import shutil
from pathlib import Path

import pytest

from fedapp.consortium.identity_files import new_identity
from fedapp.partner_folder import PartnerFolder
from fedapp.site.accept import check_state
from fedapp.site.doctor import checks
from fedapp.site.doctor.examine import made
from fedapp.site.folder import Site
from fedapp.site.run.serve import serve
from fedapp.site.status.site_status import partner_status
from fedapp.site.took_part import check_not_lost, take_part
from fedapp.storage.damage import DamagedFileError
from fedapp.storage.json_file import read_sealed
from strategies.partner.repetition import read_repetition, write_repetition
from strategies.secagg.repetition import Repetition
from tests.site import saved_site


@pytest.fixture
def fresh(tmp_path: Path) -> Site:
    """A partner's site with keys, as no request has reached it."""
    site = saved_site.fresh(tmp_path / "site")
    new_identity(site.keys)
    return site


@pytest.fixture
def lost(fresh: Site) -> Site:
    """The same, that joined five sessions and then lost its state."""
    check_state(fresh)
    take_part(fresh)
    write_repetition(PartnerFolder(fresh.state), Repetition(sessions=5))
    shutil.move(fresh.state, fresh.path.parent / "elsewhere")
    return fresh


def put_back(site: Site) -> None:
    shutil.copytree(site.path.parent / "elsewhere", site.state, dirs_exist_ok=True)


def test_a_site_that_was_looked_at_and_asked_nothing_may_lose_its_state(fresh: Site) -> None:
    check_state(fresh)
    shutil.rmtree(fresh.state)
    check_state(fresh)
    assert not fresh.took_part.exists()


def test_what_was_repeated_is_there_before_the_mark_that_says_so(fresh: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedapp.site.took_part.write_sealed", lambda *_: pytest.fail("killed"))
    with pytest.raises(pytest.fail.Exception):
        take_part(fresh)
    check_not_lost(fresh)
    monkeypatch.undo()
    take_part(fresh)
    check_not_lost(fresh)
    assert read_repetition(PartnerFolder(fresh.state)) == Repetition()


def test_taking_part_again_changes_nothing_that_was_written(fresh: Site) -> None:
    write_repetition(PartnerFolder(fresh.state), Repetition(sessions=3))
    take_part(fresh)
    before = fresh.took_part.read_bytes()
    take_part(fresh)
    assert (read_repetition(PartnerFolder(fresh.state)).sessions, fresh.took_part.read_bytes()) == (3, before)


def test_a_lost_state_stops_requests_service_and_checks_and_is_named_with_what_to_do(lost: Site) -> None:
    for refused in (check_state, check_not_lost, serve):
        with pytest.raises(DamagedFileError, match=re.escape(str(lost.state))) as caught:
            refused(lost)
        assert "bring no older copy back" in caught.value.hint and str(PartnerFolder(lost.state).repetition) in caught.value.hint
    found = made(checks.state, lost)
    assert (found.state, found.told) == (checks.CheckState.FAIL, str(caught.value))
    told = partner_status(lost)
    assert found.told in told["problems"] and "bring no older copy back" in told["hints"][found.told]
    assert not PartnerFolder(lost.state).owner.exists(), "nobody's yet"


def test_what_a_refusal_leaves_makes_no_state_of_an_empty_folder(lost: Site) -> None:
    state = PartnerFolder(lost.state)
    for path in (state.requests, state.error, state.owner, state.model_header, state.transcript(bytes(32))):
        path.write_text("")
    with pytest.raises(DamagedFileError, match="is lost or empty"):
        check_not_lost(lost)


def test_a_state_that_was_moved_goes_on_when_it_is_back(lost: Site) -> None:
    put_back(lost)
    check_state(lost)
    assert read_repetition(PartnerFolder(lost.state)).sessions == 5


def test_a_site_moves_with_its_state(lost: Site) -> None:
    put_back(lost)
    moved = Site.open(Path(shutil.move(lost.path, lost.path.parent / "moved")))
    check_state(moved)
    shutil.rmtree(moved.state)
    with pytest.raises(DamagedFileError, match="moved/state is lost"):
        check_state(moved)


def test_a_person_begins_anew_with_a_line_that_counts_from_nothing_and_repeats_no_attempt(lost: Site) -> None:
    with pytest.raises(DamagedFileError) as caught:
        check_state(lost)
    line = re.search(r"write (\{.*\}) into", caught.value.hint)
    assert line is not None
    PartnerFolder(lost.state).repetition.write_text(line[1])
    check_state(lost)
    counted = read_repetition(PartnerFolder(lost.state))
    assert (counted.sessions, counted.first_attempt > 0) == (0, True)


def test_a_mark_that_is_damaged_is_named_and_can_be_written_by_hand(lost: Site) -> None:
    put_back(lost)
    lost.took_part.write_text("nonsense")
    with pytest.raises(DamagedFileError, match=r"took-part\.json") as caught:
        check_state(lost)
    line = re.search(r"write (\{.*\}) into", caught.value.hint)
    assert line is not None and json.loads(line[1])["name"] == lost.settings.name
    lost.took_part.write_text(line[1])
    check_state(lost)
    assert read_sealed(lost.took_part, {"name": str})["name"] == lost.settings.name
