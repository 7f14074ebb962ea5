"""What people give as a model, and what they are told where there is none."""

from pathlib import Path

import pytest

from fedapp.errors import RunError
from fedapp.prediction.model_folder import model_folder
from fedapp.site.folder import COORDINATOR
from tests.site.saved_site import fresh


def kept(folder: Path) -> Path:
    """A folder with a model file."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.safetensors").write_bytes(b"")
    return folder


def test_a_folder_with_a_model_is_taken_as_it_is(tmp_path: Path) -> None:
    folder = kept(tmp_path / "runs" / "demo" / "partners" / "partner-1")
    assert model_folder(folder) == folder


def test_of_a_partners_site_its_state_is_taken_and_the_state_itself_too(tmp_path: Path) -> None:
    site = fresh(tmp_path / "site")
    state = kept(site.state)
    assert model_folder(tmp_path / "site") == tmp_path / "site" / "state"
    assert model_folder(state) == state


def test_a_site_before_its_first_evaluated_round_says_so(tmp_path: Path) -> None:
    fresh(tmp_path / "site")
    with pytest.raises(RunError, match="no model yet") as raised:
        model_folder(tmp_path / "site")
    assert "polyphony status" in raised.value.hint


def test_the_coordinator_has_no_model(tmp_path: Path) -> None:
    fresh(tmp_path / "site", COORDINATOR)
    with pytest.raises(RunError, match="coordinator's site, which has no model"):
        model_folder(tmp_path / "site")


def test_of_a_run_one_partner_must_be_chosen(tmp_path: Path) -> None:
    folder = kept(tmp_path / "run" / "partners" / "partner-1")
    with pytest.raises(RunError, match="every partner has its own model") as raised:
        model_folder(tmp_path / "run")
    assert str(folder) in raised.value.hint


@pytest.mark.parametrize("name", ["empty", "absent"])
def test_another_folder_has_no_model(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunError, match="no model in") as raised:
        model_folder(tmp_path / name)
    assert "RUN/partners/NAME" in raised.value.hint


def test_a_file_is_answered_with_its_folder(tmp_path: Path) -> None:
    folder = kept(tmp_path / "partner-1")
    with pytest.raises(RunError, match="is a file") as raised:
        model_folder(folder / "model.safetensors")
    assert raised.value.hint.endswith(str(folder))
