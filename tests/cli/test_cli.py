"""The command line: results on stdout, everything else on stderr, and errors that say what to do."""

import json
import sys
from pathlib import Path

import polars as pl
import pytest

from fedapp.cli.arguments import read_experiment
from fedapp.cli.main import fail, main
from fedapp.config import load_config
from fedapp.report.disclosure import ADVISED_GUARD
from fedapp.run_folder import RunFolder
from fedapp.storage.json_file import read_json

RDKIT_FRIENDLY = ["C" * length + ending for length in range(1, 41) for ending in ("O", "N", "F", "Cl", "c1ccccc1", "C(=O)O")]


def polyphony(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """Run the command in this process; its exit status."""
    monkeypatch.setattr(sys, "argv", ["polyphony", *words])
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def write_tables(folder: Path, compounds: int = 240) -> Path:
    folder.mkdir()
    ids = [f"{number:03d}" for number in range(compounds)]
    pl.DataFrame({"compound_id": ids, "smiles": RDKIT_FRIENDLY[:compounds]}).write_csv(folder / "compounds.csv")
    rows = [(assay, compound, str((number * 7) % 5 // 3)) for assay in ("a", "b", "c", "d") for number, compound in enumerate(ids)]
    pl.DataFrame(rows, schema=["assay_id", "compound_id", "value"], orient="row").write_csv(folder / "activities.csv")
    return folder


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_an_unknown_key_is_an_error_with_a_hint(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert polyphony(monkeypatch, "simulate", "federation.speed=9") == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "error: " in err
    assert "speed" in err
    assert "hint: conf/default.yaml" in err
    assert not Path("runs").exists()


def test_what_an_error_quotes_moves_no_cursor_and_makes_no_line_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        fail("c.csv: a\x1b[2K\nhint: all is well", "do \u202ethis")
    assert capsys.readouterr().err == "error: c.csv: a\\x1b[2K\\nhint: all is well\nhint: do \\u202ethis\n"


@pytest.mark.parametrize("verb", ["simulate", "compare"])
def test_a_missing_data_folder_is_named(verb: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert polyphony(monkeypatch, verb, "data.tables=nowhere", "data.partners=3") == 1
    err = capsys.readouterr().err
    assert "error: no folder nowhere" in err
    assert "hint: " in err


def test_an_empty_table_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    tables = write_tables(tmp_path / "tables")
    (tables / "activities.csv").write_text("assay_id,compound_id,value\n")
    assert polyphony(monkeypatch, "simulate", f"data.tables={tables}", "data.partners=3") == 1
    err = capsys.readouterr().err
    assert "activities.csv" in err
    assert "no usable rows" in err


def test_no_task_passing_the_quorum_says_what_to_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tables = write_tables(tmp_path / "tables")
    assert polyphony(monkeypatch, "simulate", f"data.tables={tables}", "data.partners=3", "tasks.min_per_class=10000") == 1
    assert "min_per_class" in capsys.readouterr().err


def test_one_partner_is_no_federation(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert polyphony(monkeypatch, "simulate", "data.partners=1") == 1
    assert "data.partners is 1, not within 2" in capsys.readouterr().err


def test_prepare_counts_what_it_leaves_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    tables = write_tables(tmp_path / "tables")
    with (tables / "compounds.csv").open("a") as file:
        file.write("bad,notasmiles\n")
    assert polyphony(monkeypatch, "prepare", str(tables), "--out", "prepared", "tasks.min_per_class=5") == 0
    out = capsys.readouterr().out
    assert "compounds.csv: 240 of 241 rows accepted" in out
    assert "compounds.csv,242,bad," in Path("prepared/rejected.csv").read_text()
    assert read_json(Path("prepared/dataset/dataset.json"))["tasks"] == 4


def test_prepare_prints_one_json_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    tables = write_tables(tmp_path / "tables")
    assert polyphony(monkeypatch, "prepare", str(tables), "--out", "prepared", "--json", "tasks.min_per_class=5") == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["tasks"], result["compounds"]) == (4, 240)
    assert {name: table["accepted"] for name, table in result["tables"].items()} == {"compounds": 240, "activities": 960}
    assert result["tables"]["activities"]["columns"] == {name: name for name in ("assay_id", "compound_id", "value")}
    assert result["digest"] == read_json(Path("prepared/dataset/dataset.json"))["digest"]
    assert result["input_digest"] == read_json(Path("prepared/summary.json"))["digest"]
    assert result["warnings"] == []


def test_prepare_says_which_column_it_took_for_what_and_what_holds_where_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "Smiles;Standard Relation;IC50 (nM);remark\n" + "".join(
        f"{smiles};=;{10 ** (n % 6)};\n" for n, smiles in enumerate(RDKIT_FRIENDLY)
    )
    (tmp_path / "mine.csv").write_text(text)
    assert polyphony(monkeypatch, "prepare", "mine.csv", "--out", "prepared", "tasks.min_per_class=5") == 0
    out = capsys.readouterr().out
    assert "mine.csv: read Smiles as smiles, IC50 (nM) as value, Standard Relation as relation; " in out
    assert "all values are nM, as IC50 (nM) says; cells are separated by semicolons; no compound_id: a compound is its SMILES; " in out
    assert "no assay_id: every row belongs to one assay, named after the file; not read: remark\n" in out


def test_prepare_warns_of_every_large_loss_and_says_where_the_labels_left_out_are_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tables = write_tables(tmp_path / "tables")
    with (tables / "activities.csv").open("a") as file:
        file.write("".join(f"a,{number:03d},7\n" for number in range(150)))
        file.write("".join(f"rare,{number:03d},1\n" for number in range(200)))
    assert polyphony(monkeypatch, "prepare", str(tables), "--out", "prepared", "tasks.min_per_class=5") == 0
    out, err = capsys.readouterr()
    assert "150  value without unit is not 0 or 1 (line 962: 7; for others a column unit says pM, " in out
    assert "warning: activities.csv: 150 of 1,310 rows (11%) are left out: 150 value without unit is not 0 or 1" in err
    assert "warning: 200 of 1,160 labels (17%) are of tasks with fewer actives or inactives than tasks.min_per_class" in err
    assert "200  labels are of tasks with fewer" in out
    assert "rare,,below quorum,200,200,0" in Path("prepared/dataset/dropped.csv").read_text()


def test_prepare_explains_the_tables_before_it_finds_that_no_task_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert polyphony(monkeypatch, "prepare", str(write_tables(tmp_path / "tables")), "--out", "prepared", "tasks.min_per_class=999") == 1
    out, err = capsys.readouterr()
    assert "activities.csv: 960 of 960 rows accepted" in out
    assert "none of 4 tasks has 999 actives" in err


@pytest.mark.parametrize("words", [("report", "nowhere"), ("simulate", "--resume", "nowhere")])
def test_a_folder_that_is_no_run_is_refused(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert polyphony(monkeypatch, *words) == 1
    assert "nowhere" in capsys.readouterr().err


def test_a_run_whose_configuration_was_altered_is_neither_resumed_nor_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = RunFolder.create(tmp_path / "run", load_config(None, ("federation.rounds=2",)), "simulate")
    (run.path / "config.yaml").write_text((run.path / "config.yaml").read_text().replace("rounds: 2", "rounds: 3"))
    for words in (("simulate", "--resume", "run"), ("report", "run")):
        assert polyphony(monkeypatch, *words) == 1
        told = capsys.readouterr().err
        assert "config.yaml was altered since it was written" in told
        assert "a run keeps its configuration" in told


def test_a_model_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    Path("some.csv").write_text("smiles\nCCO\n")
    assert polyphony(monkeypatch, "predict", "--model", "nowhere", "--smiles", "some.csv", "--out", "out.csv") == 1
    assert "no model in nowhere" in capsys.readouterr().err


def test_wrong_usage_exits_with_2(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert polyphony(monkeypatch, "predict") == 2
    assert "--model" in capsys.readouterr().err


def test_a_full_disk_is_named_and_nothing_half_written_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import errno
    import os

    tables = write_tables(tmp_path / "tables")

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    assert polyphony(monkeypatch, "prepare", str(tables), "--out", "prepared", "tasks.min_per_class=5") == 1
    err = capsys.readouterr().err
    assert "No space left on device" in err
    assert "hint: free some space" in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tables"]


def everything(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("out", [".", "..", "tables", "papers", "tables/../papers", "link"])
def test_prepare_refuses_a_folder_of_a_persons_before_anything_is_done(
    out: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    work = tmp_path / "work"
    (work / "papers").mkdir(parents=True)
    (work / "papers" / "thesis.txt").write_text("keep")
    write_tables(work / "tables")
    (work / "link").symlink_to(work / "papers")
    monkeypatch.chdir(work)
    before = everything(tmp_path)
    assert polyphony(monkeypatch, "prepare", "tables", "--out", out, "tasks.min_per_class=5") == 1
    printed = capsys.readouterr()
    assert (printed.out, printed.err.count("error: "), printed.err.count("hint: ")) == ("", 1, 1)
    assert everything(tmp_path) == before


def test_prepare_replaces_its_earlier_output_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_tables(tmp_path / "tables")
    words = ("prepare", "tables", "--out", "prepared", "tasks.min_per_class=5", "chemistry.bits=256")
    assert polyphony(monkeypatch, *words) == 0
    assert "replace" not in capsys.readouterr().err
    before = everything(tmp_path / "prepared")
    assert polyphony(monkeypatch, *words) == 0
    assert "to replace the earlier prepared" in capsys.readouterr().err
    assert everything(tmp_path / "prepared") == before


def test_tables_of_ones_own_never_get_the_demos_row_guard_unasked() -> None:
    assert read_experiment(None).privacy.row_guard < read_experiment(["data.tables=[a,b,c]"]).privacy.row_guard == ADVISED_GUARD
    assert read_experiment(["data.tables=mine"]).name == "default"
    assert read_experiment(["data.tables=demo"]).name == read_experiment(["conf/demo.yaml", "data.tables=mine"]).name == "demo"
