from collections.abc import Callable
from pathlib import Path

import pytest

from fedapp.errors import RunError
from fedapp.report.saved_files import known_runs
from fedapp.report.saved_run import read_run
from tests.helpers.sealed import seal

Make = Callable[..., Path]


def test_a_journal_line_that_is_being_written_is_not_there_yet_and_damaged_ones_are_named(synthetic: Make) -> None:
    run = synthetic(rounds=4, done=3)
    journal = run / "coordinator" / "journal.jsonl"
    with journal.open("a") as file:
        file.write('{"round": 4, "pha')
    saved = read_run(run)
    assert [exchange.round for exchange in saved.journal] == [1, 2, 3]
    assert saved.problems == ()
    lines = journal.read_text().splitlines()
    journal.write_text("\n".join([lines[0], "what", lines[1], '{"round": 3}', lines[2], ""]))
    saved = read_run(run)
    assert [exchange.round for exchange in saved.journal] == [1, 2, 3]
    assert saved.problems == ("line 2 and 1 more of journal.jsonl in coordinator are unreadable and were left out.",)


def test_a_round_that_one_partner_did_not_note_is_read_from_another(synthetic: Make) -> None:
    run = synthetic(kind="simulate", secure=True, rounds=4, missing={"Alder": 2})
    (run / "partners" / "Cedar" / "sums.jsonl").write_text('{"round": 9}\n')
    saved = read_run(run)
    assert [audit.round for audit in saved.sums] == [1, 2, 3, 4]
    assert saved.problems == ("line 1 of sums.jsonl in Cedar is unreadable and was left out.",)


def test_a_damaged_metrics_file_is_left_out_and_named(synthetic: Make) -> None:
    run = synthetic(rounds=3)
    (run / "partners" / "Alder" / "metrics" / "round-0002.parquet").write_bytes(b"PAR1 no more")
    saved = read_run(run)
    metrics = saved.arms["federated"].metrics
    assert set(metrics.filter(metrics["partner"] == "Alder")["round"]) == {1, 3}
    assert saved.problems == ("round-0002.parquet in Alder/metrics is unreadable and was left out.",)


def test_arms_without_a_saved_round_are_absent(synthetic: Make) -> None:
    assert set(read_run(synthetic(kind="simulate")).arms) == {"federated"}
    assert set(read_run(synthetic("both", kind="compare")).arms) == {"local", "federated", "pooled"}


def test_a_partner_name_that_leads_out_of_the_folder_is_not_followed(synthetic: Make) -> None:
    run = synthetic(kind="simulate", done=0)
    seal(run / "run.json", '{"kind": "simulate", "partners": ["Alder", "../../secret", ""]}')
    assert read_run(run).partners == ("Alder",)


@pytest.mark.parametrize("damage", [None, b"", b"name: joint\n", b"name: [unclosed", b"\xff\xfe\x00", b"just words"])
def test_a_run_whose_configuration_is_lost_is_an_error_and_never_told_with_the_defaults(synthetic: Make, damage: bytes | None) -> None:
    path = synthetic(kind="simulate") / "config.yaml"
    path.unlink()
    if damage is not None:
        path.write_bytes(damage)
    with pytest.raises(RunError, match=r"config\.yaml") as caught:
        read_run(path.parent)
    assert caught.value.hint == "restore it from a backup"


def test_the_hint_names_no_more_than_three_runs(synthetic: Make, tmp_path: Path) -> None:
    for number in range(5):
        synthetic(f"run-{number}", kind="simulate", done=0)
    assert known_runs(tmp_path).count("run-") == 3
