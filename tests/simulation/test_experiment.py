"""A run is one process's at a time, and its record says how that ended."""

from pathlib import Path

import pytest

from fedapp.consortium.membership import ROSTER
from fedapp.consortium.roster_file import load_roster
from fedapp.errors import BusyError, RunError
from fedapp.partner_folder import PartnerFolder
from fedapp.report.saved_run import read_run
from fedapp.runtime.locks import locked
from fedapp.storage.json_lines import read_records
from fedapp.storage.leftovers import UNFINISHED
from simulation.experiment import recorded, seen_in_sums
from strategies.update.self_audit import SUM, Audited
from tests.helpers.federation import all_held, federate
from tests.helpers.small_run import new_run, small_run


def test_a_second_process_on_a_run_ends_with_an_error_and_changes_nothing(tmp_path: Path) -> None:
    run = small_run(tmp_path / "run")
    with recorded(run):
        before = run.status()
        with pytest.raises(BusyError, match=f"{run.path} is in use by polyphony simulate"), recorded(run):
            pytest.fail("both are at it")
        assert run.status() == before
    assert run.status()["state"] == "finished"


def test_what_a_killed_process_left_unfinished_in_a_run_is_swept_when_it_goes_on(tmp_path: Path) -> None:
    run = small_run(tmp_path / "run")
    left = run.partner("partner-1") / f".demo.abcd1234{UNFINISHED}"
    (left / "tables").mkdir(parents=True)
    with recorded(run):
        assert not left.exists()


@pytest.mark.parametrize("error", [MemoryError("Unable to allocate 3 GiB"), OSError(28, "No space left on device", "/data/x")])
def test_what_the_machine_refuses_is_in_the_record_and_says_how_to_go_on(error: Exception, tmp_path: Path) -> None:
    run = small_run(tmp_path / "run")
    with pytest.raises(RunError, match=r"3 GiB|No space") as caught, recorded(run):
        raise error
    assert f"go on with --resume {run.path}" in caught.value.hint
    status = run.status()
    assert (status["state"], status["error"]) == ("failed", str(caught.value))


def test_a_fault_of_the_program_is_recorded_and_keeps_its_traceback(tmp_path: Path) -> None:
    run = small_run(tmp_path / "run")
    with pytest.raises(KeyError), recorded(run):
        raise KeyError("x")
    assert (run.status()["state"], run.status()["error"]) == ("failed", "KeyError: 'x'")
    with locked(run.path, "next"):
        pass


def test_a_run_folder_is_its_owners_alone_and_one_whose_name_is_no_unicode_is_refused_at_once(tmp_path: Path) -> None:
    assert new_run(tmp_path / "run").path.stat().st_mode & 0o777 == 0o700
    with pytest.raises(RunError, match="no UTF-8"):
        new_run(tmp_path / "caf\udce9")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize("name", ['run \N{GRINNING FACE} "a" =b\\c', "my experiment (2)", "n" * 200, "\N{GRINNING FACE}"])
def test_a_run_may_be_called_anything_and_its_partners_agree_on_a_roster(name: str, tmp_path: Path) -> None:
    run = new_run(tmp_path / name)
    assert load_roster(run.path / ROSTER).members[0].name == "partner-1"


def test_rows_in_the_sum_are_those_that_the_trunk_lists_and_of_each_partner_the_sum_that_named_most_counts(tmp_path: Path) -> None:
    run = small_run(tmp_path / "run", "federation.rounds=2", "privacy.row_guard=10")
    federate(run)
    listed = int(all_held(run)[0].rows.sum())
    lines = {name: read_records(PartnerFolder(run.partner(name)).audits, Audited) for name in run.partners()}
    seen = seen_in_sums(read_run(run.path))
    assert seen["rows_in_sum"] == listed
    for name, audits in lines.items():
        assert seen["named_in_sums"][name]["identified"] == max(audited.identified for audited in audits if audited.vector == SUM)
        assert seen["named_in_sums"][name]["compounds"] == audits[0].compounds
    assert 0 < listed < run.config().chemistry.bits
