"""From tables to the datasets of simulated partners."""

from pathlib import Path

import pytest

from fedapp.config import load_config
from fedapp.errors import DataError
from fedapp.run_folder import RunFolder
from simulation.preparation import prepare_partners
from tests.data.tables import write_tables

WORDS = ("chemistry.bits=2048", "tasks.min_per_class=1")


def assay(folder: Path, name: str, ending: str, note: str = "") -> Path:
    """Tables with one assay of a partner's own compounds."""
    compounds = [f"{number},{'C' * number}{ending}" for number in range(1, 9)]
    write_tables(folder, compounds, [f"{name},{number},{4 + number % 2 * 4},=,p" for number in range(1, 9)])
    if note:
        (folder / "note.txt").write_text(note)
    return folder


def prepared(tmp_path: Path, *overrides: str) -> RunFolder:
    config = load_config(None, (*WORDS, f"runs={tmp_path}", *overrides))
    return RunFolder.create(tmp_path / "run", config, "simulate")


def test_partners_are_taken_as_they_are_one_folder_each(tmp_path: Path) -> None:
    folders = [assay(tmp_path / name, f"assay of {name}", ending) for name, ending in (("alpha", "O"), ("beta", "N"), ("gamma", "F"))]
    run = prepared(tmp_path, f"data.tables=[{','.join(map(str, folders))}]")
    told: list[str] = []
    datasets = prepare_partners(run, told.append, lambda *_: None)
    assert list(datasets) == ["partner-1", "partner-2", "partner-3"]
    assert [set(each.tasks["group"]) for each in datasets.values()] == [{f"assay of {name}"} for name in ("alpha", "beta", "gamma")]
    assert [each.smiles()[0][-1] for each in datasets.values()] == ["O", "N", "F"]
    assert f"building the dataset of partner-2 from {folders[1]}" in told


def test_a_resumed_preparation_makes_what_is_missing_from_the_same_folder(tmp_path: Path) -> None:
    folders = [assay(tmp_path / name, name, ending) for name, ending in (("alpha", "O"), ("beta", "N"), ("gamma", "F"))]
    run = prepared(tmp_path, f"data.tables=[{','.join(map(str, folders))}]")
    before = prepare_partners(run, lambda _: None, lambda *_: None)
    for path in (run.partner("partner-2") / "dataset").iterdir():
        path.unlink()
    (run.partner("partner-2") / "dataset").rmdir()
    after = prepare_partners(run, lambda _: None, lambda *_: None)
    assert {name: each.digest for name, each in after.items()} == {name: each.digest for name, each in before.items()}


def test_what_each_partners_note_says_of_its_data_travels_with_the_run(tmp_path: Path) -> None:
    notes = {"alpha": "measured twice", "beta": "", "gamma": "from the literature"}
    folders = [assay(tmp_path / name, name, "O", note) for name, note in notes.items()]
    run = prepared(tmp_path, f"data.tables=[{','.join(map(str, folders))}]")
    prepare_partners(run, lambda _: None, lambda *_: None)
    assert run.status()["note"] == "measured twice\nfrom the literature"


def test_a_folder_of_a_list_that_is_not_there_is_named(tmp_path: Path) -> None:
    folders = [assay(tmp_path / "alpha", "a", "O"), tmp_path / "nowhere", assay(tmp_path / "gamma", "c", "F")]
    run = prepared(tmp_path, f"data.tables=[{','.join(map(str, folders))}]")
    with pytest.raises(DataError, match="nowhere"):
        prepare_partners(run, lambda _: None, lambda *_: None)


def test_what_is_read_and_what_is_lost_is_told_as_prepare_tells_it(tmp_path: Path) -> None:
    folders = [assay(tmp_path / name, name, ending) for name, ending in (("alpha", "O"), ("beta", "N"), ("gamma", "F"))]
    with (folders[1] / "activities.csv").open("a") as file:
        file.write("beta,1,80,=,%\nbeta,2,90,=,%\n")
    run = prepared(tmp_path, f"data.tables=[{','.join(map(str, folders))}]")
    told: list[str] = []
    prepare_partners(run, told.append, lambda *_: None)
    assert told.count("activities.csv: read assay_id, compound_id, relation, unit, value") == 3
    (loss,) = [line for line in told if line.startswith("warning: activities.csv: 2 of 10 rows (20%) are left out")]
    assert loss.endswith("rejected.csv")


def test_a_partners_tables_may_be_one_file(tmp_path: Path) -> None:
    files = []
    for name, ending in (("alpha", "O"), ("beta", "N"), ("gamma", "F")):
        files.append(tmp_path / f"{name}.csv")
        rows = [f"{'C' * number}{ending},{4 + number % 2 * 4}" for number in range(1, 9)]
        files[-1].write_text("\n".join(["smiles,pIC50", *rows]))
    run = prepared(tmp_path, f"data.tables=[{','.join(map(str, files))}]")
    datasets = prepare_partners(run, lambda _: None, lambda *_: None)
    assert [set(each.tasks["group"]) for each in datasets.values()] == [{"alpha"}, {"beta"}, {"gamma"}]
