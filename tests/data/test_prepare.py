import csv
import gzip
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from fedapp.chemistry import rejection
from fedapp.chemistry.fold import PUBLIC_KEY, key_digest
from fedapp.chemistry.structure import Structure, describe
from fedapp.data.csr import csr_positions
from fedapp.data.dataset import build_dataset
from fedapp.data.prepare import input_digest, prepare
from fedapp.errors import DataError, OutputError
from fedapp.storage.json_file import SEAL, read_json, write_json
from fedapp.storage.output import MANIFEST
from tests.data.tables import CHEMISTRY, TASKS, good_tables, rejected, write_tables

ROOT = Path(__file__).resolve().parents[2]
FILES = ["activities.parquet", "assays.parquet", "compounds.parquet", "rejected.csv", "structures.parquet", "summary.json"]


def contents(prepared: Path) -> dict[str, object]:
    """What a prepared folder says, free of file names and lines."""
    tables = {
        name: pl.read_parquet(prepared / f"{name}.parquet", glob=False).rows()
        for name in ("activities", "assays", "compounds", "structures")
    }
    arrays = {name: np.load(prepared / f"{name}.npy").tolist() for name in ("x_indptr", "x_indices")}
    return tables | arrays | {"rejected": [(identifier, reason) for _, _, identifier, reason in rejected(prepared)]}


def test_a_prepared_folder_holds_what_chemistry_says_of_each_structure(tmp_path: Path) -> None:
    prepare(good_tables(tmp_path / "tables"), tmp_path / "out", CHEMISTRY)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted([*FILES, MANIFEST, "x_indptr.npy", "x_indices.npy"])
    structures = pl.read_parquet(tmp_path / "out" / "structures.parquet")
    assert structures.schema == {"row": pl.Int32, "smiles": pl.String, "fold": pl.UInt8, "series": pl.UInt64}
    indptr, indices = (np.load(tmp_path / "out" / f"x_{name}.npy") for name in ("indptr", "indices"))
    assert (indptr.dtype, indices.dtype) == (np.int64, np.int32)
    for row, smiles, fold, series in structures.rows():
        expected = describe(smiles, CHEMISTRY, PUBLIC_KEY)
        assert isinstance(expected, Structure)
        assert (fold, series) == (expected.fold, expected.series)
        assert indices[csr_positions(indptr, np.array([row]))[1]].tolist() == expected.bits.tolist()


def test_ids_of_one_structure_share_a_row(tmp_path: Path) -> None:
    tables = write_tables(
        tmp_path / "tables",
        ["001,CC(=O)O", "1,CC(=O)[O-].[Na+]", "B,CCO"],
        [f"x,{compound},6,=,p" for compound in ("001", "1", "B")],
    )
    summary = prepare(tables, tmp_path / "out", CHEMISTRY)
    assert pl.read_parquet(tmp_path / "out" / "compounds.parquet").rows() == [("001", 0), ("1", 0), ("B", 1)]
    assert summary["structures"] == 2


def test_the_summary_counts_parents_chosen_against_size_and_mixtures_and_names_the_folds(tmp_path: Path) -> None:
    hippurate, ibuprofen, pseudoephedrine = "C1N2CN3CN1CN(C2)C3.O=C(O)CNC(=O)c1ccccc1", "CC(C)Cc1ccc(cc1)C(C)C(=O)O", "CNC(C)C(O)c1ccccc1"
    structures = [hippurate, f"{ibuprofen}.{pseudoephedrine}", f"{ibuprofen}.[Na+]", "CCO CCN", "CC |$R$|", "CS(=O)" * 90]
    compounds = [f'c{number},"{smiles}"' for number, smiles in enumerate(structures)]
    tables = write_tables(tmp_path / "tables", compounds, [f"x,c{number},6,=,p" for number in range(len(compounds))])
    summary = prepare(tables, tmp_path / "out", CHEMISTRY)
    assert (summary["parents_against_size"], summary["mixtures"], summary["structures"]) == (1, 1, 2)
    assert summary["fold_key_digest"] == key_digest(PUBLIC_KEY)
    why = {identifier: reason for file, _, identifier, reason in rejected(tmp_path / "out") if file == "compounds.csv"}
    assert why == {"c3": rejection.FURTHER_TEXT, "c4": rejection.EXTENDED, "c5": rejection.TOO_LARGE.format(100)}


def test_one_key_saved_by_different_editors_gives_the_same_folds(tmp_path: Path) -> None:
    tables, folds = good_tables(tmp_path / "tables"), []
    for content in (b"c0ffee" * 8, b"\xef\xbb\xbf" + b"C0FFEE" * 8 + b"\r\n"):
        (tmp_path / "key").write_bytes(content)
        summary = prepare(tables, tmp_path / "out", replace(CHEMISTRY, fold_key_file=str(tmp_path / "key")))
        folds.append((summary["fold_key_digest"], pl.read_parquet(tmp_path / "out" / "structures.parquet")["fold"].to_list()))
    assert folds[0] == folds[1]


def test_gz_and_parquet_give_the_same_as_csv(tmp_path: Path) -> None:
    plain = write_tables(
        tmp_path / "csv",
        ["007,CC", "8,C1CC", "9,CO", "10,CN"],
        ["x,007,6.25,=,p", "x,8,100,<,nM", "x,9,NaN,=,p", "x,10,1,=,label", "x,007,6.25,=,p"],
        ["x,T1"],
    )
    zipped, columnar = tmp_path / "gz", tmp_path / "parquet"
    for folder in (zipped, columnar):
        folder.mkdir()
    for path in plain.iterdir():
        (zipped / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        pl.read_csv(path, infer_schema=False).write_parquet(columnar / f"{path.stem}.parquet")
    for folder in (plain, zipped, columnar):
        prepare(folder, tmp_path / "out" / folder.name, CHEMISTRY)
    expected = contents(tmp_path / "out" / "csv")
    assert contents(tmp_path / "out" / "gz") == expected
    assert contents(tmp_path / "out" / "parquet") == expected
    assert expected["rejected"] == [
        ("x/8", "compound was rejected"),
        ("x/9", "value is not a number"),
        ("x/007", "repeats an earlier row"),
        ("8", "SMILES cannot be parsed"),
    ]


@pytest.mark.parametrize("name", ["tables [1]", "a*", "what?", "{x,y}"])
def test_a_name_with_letters_that_shells_expand_is_a_name_like_any_other(name: str, tmp_path: Path) -> None:
    rows = pl.DataFrame({"smiles": ["CCO", "CCN", "c1ccccc1"], "label": [0, 1, 0]})
    plain, odd = tmp_path / "plain", tmp_path / name
    for folder in (plain, odd):
        folder.mkdir()
        rows.write_parquet(folder / "activities.parquet")
        prepare(folder, folder / "out", CHEMISTRY)
        build_dataset(folder / "out", folder / "dataset", "a", replace(TASKS, min_per_class=1))
    assert contents(odd / "out") == contents(plain / "out")


def test_the_summary_counts_rows_read_accepted_and_rejected_by_reason(tmp_path: Path) -> None:
    tables = write_tables(tmp_path / "tables", ["A,CC", "A,CC", "B,CO"], ["x,A,6,=,p", "x,A,6,?,p", "x,A,5,?,p", "x,B,NaN,=,p", "x"])
    summary = prepare(tables, tmp_path / "out", CHEMISTRY)
    compounds, activities = summary["tables"]["compounds"], summary["tables"]["activities"]
    counted = {"file": "compounds.csv", "read": 3, "accepted": 2, "rejected": {"repeats an earlier row": 1}}
    assert {key: compounds[key] for key in counted} == counted
    assert activities["read"] == 5
    assert activities["accepted"] == 1
    assert activities["rejected"] == {
        "unknown relation": 2,
        "value is not a number": 1,
        "row has more or fewer cells than the header": 1,
    }
    assert activities["examples"]["unknown relation"].startswith("line 3: ?; known are =, ")
    assert "assays" not in summary["tables"]
    assert json.loads((tmp_path / "out" / "summary.json").read_text()).items() >= summary.items()
    assert summary["chemistry"] == {"radius": 3, "bits": 2048, "max_heavy_atoms": 100, "folds": 5, "fold_key": "public"}


def test_every_row_read_is_accepted_or_in_rejected_csv(tmp_path: Path) -> None:
    tables = write_tables(
        tmp_path / "tables", ["A,CC", "B,C1CC", "C", "D,CO"], ["x,A,6,=,p", "x,B,6,=,p", "y,C,6,=,p", "x,A"], ["x,1", "z,1"]
    )
    summary = prepare(tables, tmp_path / "out", CHEMISTRY)
    with (tmp_path / "out" / "rejected.csv").open() as lines:
        counted = [row["file"] for row in csv.DictReader(lines)]
    for name, table in summary["tables"].items():
        assert table["read"] == table["accepted"] + counted.count(f"{name}.csv")


def test_columns_of_the_assays_table_are_kept_as_text_whatever_their_names(tmp_path: Path) -> None:
    columns = "assay_id,line,reason,row,target_id"
    tables = write_tables(tmp_path / "tables", ["A,CC"], ["x,A,6,=,p"], ["x,HeLa,because,3,007"], assay_columns=columns)
    prepare(tables, tmp_path / "out", CHEMISTRY)
    assays = pl.read_parquet(tmp_path / "out" / "assays.parquet")
    assert assays.columns == columns.split(",")
    assert assays.rows() == [("x", "HeLa", "because", "3", "007")]


def test_tables_without_a_usable_activity_are_an_error_that_gives_the_reasons(tmp_path: Path) -> None:
    tables = write_tables(tmp_path / "tables", ["A,CC"], ["x,A,5,=,%", "x,A,6,=,%"])
    with pytest.raises(DataError, match=r"activities\.csv: none of 2 rows is usable") as error:
        prepare(tables, tmp_path / "out", CHEMISTRY)
    assert "activities.csv: 2 rows: unknown unit (line 2: %; known are pM, nM, " in error.value.hint
    assert str(tmp_path / "out" / "rejected.csv") in error.value.hint
    assert rejected(tmp_path / "out") == [("activities.csv", line, "x/A", "unknown unit") for line in (2, 3)]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"rejected.csv", ".polyphony.json"}


def test_rejected_rows_lie_beside_an_earlier_result_that_stays(tmp_path: Path) -> None:
    prepare(good_tables(tmp_path / "good"), tmp_path / "out", CHEMISTRY)
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    with pytest.raises(DataError, match="none of 1 rows is usable") as error:
        prepare(write_tables(tmp_path / "bad", ["A,CC"], ["x,A,5,=,%"]), tmp_path / "out", CHEMISTRY)
    assert str(tmp_path / "out-rejected.csv") in error.value.hint
    assert "unknown unit" in (tmp_path / "out-rejected.csv").read_text()
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


def test_the_note_of_the_tables_travels_with_them(tmp_path: Path) -> None:
    tables = good_tables(tmp_path / "tables")
    (tables / "note.txt").write_text("computed labels\n")
    assert prepare(tables, tmp_path / "out", CHEMISTRY)["note"] == "computed labels"


def test_the_digest_changes_with_tables_settings_and_key_and_with_nothing_else(tmp_path: Path) -> None:
    tables = good_tables(tmp_path / "tables")
    (tmp_path / "key").write_bytes(b"a consortium's long and secret key")
    first = input_digest(tables, CHEMISTRY)
    assert prepare(tables, tmp_path / "out", CHEMISTRY)["digest"] == first == input_digest(tables, CHEMISTRY)
    others = [replace(CHEMISTRY, radius=2), replace(CHEMISTRY, fold_key_file=str(tmp_path / "key"))]
    digests = {first, *[input_digest(tables, other) for other in others]}
    (tables / "compounds.csv").write_text((tables / "compounds.csv").read_text() + "new,CCCC\n")
    assert len(digests | {input_digest(tables, CHEMISTRY)}) == 4


def test_progress_ends_at_all_structures(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    prepare(good_tables(tmp_path / "tables"), tmp_path / "out", CHEMISTRY, lambda done, total: seen.append((done, total)))
    assert seen[-1] == (12, 12)


def test_a_failure_on_the_way_leaves_the_old_folder_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = good_tables(tmp_path / "tables")
    prepare(tables, tmp_path / "out", CHEMISTRY)
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(OSError, match="No space left"):
        prepare(tables, tmp_path / "out", CHEMISTRY)
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "tables"]


def test_what_is_not_an_earlier_output_of_ours_is_refused_before_anything_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A person's notes, the tables themselves and what holds them, the current folder, and the fold key's."""
    tables, keys = good_tables(tmp_path / "work" / "tables"), tmp_path / "keys"
    keys.mkdir()
    (keys / "fold.key").write_text("correct horse battery staple")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "thesis.txt").write_text("mine")
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setattr("fedapp.data.prepare.read_inputs", lambda *_: pytest.fail("it was read"))
    keyed = replace(CHEMISTRY, fold_key_file=str(keys / "fold.key"))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for out in (tables, tables.parent, Path(), Path(".."), tmp_path / "notes", keys, tables / "compounds.csv"):
        with pytest.raises(OutputError):
            prepare(tables, out, keyed)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_folder_prepared_earlier_is_replaced_with_its_dataset_and_notes_beside_them_are_not(tmp_path: Path) -> None:
    """Also one from before outputs had a list, and one whose arrays were damaged."""
    tables, out = good_tables(tmp_path / "tables"), tmp_path / "out"

    def again() -> None:
        prepare(tables, out, CHEMISTRY)
        build_dataset(out, out / "dataset", "a", TASKS)

    again()
    again()
    (out / "x_indices.npy").write_bytes(b"")
    (out / "dataset" / "y_values.npy").write_bytes(b"\0")
    again()
    for folder, header in ((out, "summary.json"), (out / "dataset", "dataset.json")):
        (folder / MANIFEST).unlink()
        write_json(folder / header, {key: value for key, value in read_json(folder / header).items() if key != SEAL})
    again()
    for name in ("notes.txt", "dataset/notes.txt"):
        (out / name).write_text("mine")
        with pytest.raises(OutputError, match=name):
            prepare(tables, out, CHEMISTRY)
        (out / name).unlink()
    with (out / "rejected.csv").open("a") as rejected:
        rejected.write("my remark\n")
    with pytest.raises(OutputError, match=r"rejected\.csv"):
        prepare(tables, out, CHEMISTRY)


ENDLESS = """
import sys
from pathlib import Path
from fedapp.config import Chemistry
from fedapp.data.prepare import prepare
if __name__ == "__main__":
    say = lambda done, total: print(done, flush=True)
    prepare(Path(sys.argv[1]), Path(sys.argv[2]), Chemistry(3, 2048, 100, 5, None), say, workers=2)
"""


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGKILL])
def test_a_killed_prepare_leaves_no_half_folder(tmp_path: Path, ending: signal.Signals) -> None:
    write_tables(tmp_path / "tables", [f"{n},CCCCCN" for n in range(60_000)], [f"x,{n},6,=,p" for n in range(60_000)])
    script = tmp_path / "run.py"
    script.write_text(ENDLESS)
    command = [sys.executable, str(script), str(tmp_path / "tables"), str(tmp_path / "out")]
    child = subprocess.Popen(
        command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert child.stdout is not None
    assert int(child.stdout.readline()) < 60_000
    child.send_signal(ending)
    assert child.wait(30) != 0
    child.stdout.close()
    assert not (tmp_path / "out").exists()
