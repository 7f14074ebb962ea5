"""An exported model: one folder that predicts anywhere, and tells no more than its card says."""

import csv
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from fedapp.errors import OutputError, RunError
from fedapp.model.network import Trunk, trunk_arrays
from fedapp.model.saved_model import read_model, save_model
from fedapp.partner.client import Partner
from fedapp.prediction.export import export_model
from fedapp.prediction.predict import predict_file
from fedapp.storage.json_file import SEAL, write_sealed
from tests.helpers.small_run import small_config, write_dataset


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, config = tmp_path_factory.mktemp("run") / "partners" / "alpha", small_config("evaluation.min_per_class=3")
    partner = Partner(folder, write_dataset(folder / "dataset", "alpha"), config)
    arrays = trunk_arrays(Trunk(256, [8], 1))
    for number in (1, 2):
        arrays, _, _ = partner.fit(arrays, {"round": number})
    return folder


def test_an_exported_folder_predicts_as_the_partners_own_after_it_was_moved_and_all_else_is_gone(model: Path, tmp_path: Path) -> None:
    partner = shutil.copytree(model, tmp_path / "partner")
    (tmp_path / "new.smi").write_text("CCO a\nc1ccccc1C(=O)O b\n")
    predict_file(partner, tmp_path / "new.smi", tmp_path / "own.csv")
    export_model(partner, tmp_path / "out")
    shutil.rmtree(partner)
    (tmp_path / "out").rename(tmp_path / "moved")
    predict_file(tmp_path / "moved", tmp_path / "new.smi", tmp_path / "moved.csv")
    assert (tmp_path / "own.csv").read_text() == (tmp_path / "moved.csv").read_text()


def test_a_folder_that_was_exported_can_be_exported_again_and_is_the_same(model: Path, tmp_path: Path) -> None:
    export_model(model, tmp_path / "one")
    export_model(tmp_path / "one", tmp_path / "two")
    assert {path.name: path.read_bytes() for path in (tmp_path / "one").iterdir()} == {
        path.name: path.read_bytes() for path in (tmp_path / "two").iterdir()
    }


def test_it_holds_the_model_its_tasks_a_card_and_their_list_for_its_owner_alone(model: Path, tmp_path: Path) -> None:
    export_model(model, tmp_path / "out")
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"model.safetensors", "model.json", "tasks.csv", "card.md", ".polyphony.json"}
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o700
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in (tmp_path / "out").iterdir())


def test_no_structure_and_no_count_of_compounds_or_labels_is_in_it(tmp_path: Path) -> None:
    """What is written besides weights is the same for a partner of other compounds, labels and counts, but for its digest and scores."""
    said = []
    for compounds in (150, 431):
        folder = tmp_path / str(compounds)
        partner = Partner(folder, write_dataset(folder / "dataset", "alpha", compounds=compounds), small_config())
        partner.evaluate(partner.fit(trunk_arrays(Trunk(256, [8], 1)), {"round": 1})[0], {"round": 1})
        export_model(folder, folder / "out")
        header = json.loads((folder / "out" / "model.json").read_text())
        header.pop("choice")
        header.pop("members")
        header.pop(SEAL)
        for figures in (header, header["figures"]["test"], header["figures"]["validation"], *header["tasks"]):
            for name in ("data", "auc_pr", "auc_roc", "bce", "guessing"):
                figures.pop(name, None)
        said.append(header)
        written = "".join(path.read_text() for path in (folder / "out").iterdir() if path.suffix != ".safetensors")
        text = re.sub("[0-9a-f]{64}", "DIGEST", written)  # any number may stand in one by chance
        assert "Calpha" not in text, "structures are called Calpha0, Calpha1, …"
        assert str(compounds) not in text
    tasks = [each["figures"].pop("test")["tasks"] + each["figures"].pop("validation")["tasks"] for each in said]
    assert all(number <= 8 for number in tasks)
    assert said[0] == said[1]


def test_the_tasks_are_listed_with_the_columns_that_predictions_have(model: Path, tmp_path: Path) -> None:
    export_model(model, tmp_path / "out")
    with (tmp_path / "out" / "tasks.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["column"] for row in rows] == [f"SECRET-alpha-target{task} >= 5.5" for task in range(4)]
    assert [(row["task"], row["threshold"]) for row in rows] == [(str(task), "5.5") for task in range(4)]
    assert all(0 < float(row["auc_pr"]) <= 1 for row in rows)


def test_the_card_says_where_it_comes_from_how_good_it_is_and_what_it_tells_of_the_data(model: Path, tmp_path: Path) -> None:
    saved = export_model(model, tmp_path / "out")
    card = (tmp_path / "out" / "card.md").read_text()
    for told in (
        saved.digest,
        saved.header["data"],
        f"{saved.header['figures']['test']['auc_pr']:.3f}",
        "round 1 of 3",
        f"- classification: {saved.chosen()}",
        "RDKit 20",
    ):
        assert told in card
    assert "test whether a compound was probably among those" in " ".join(card.split())
    assert "| local |" not in card, "nothing was compared"


def test_a_member_that_predicts_nothing_is_not_carried_away(model: Path, tmp_path: Path) -> None:
    partner = shutil.copytree(model, tmp_path / "partner")
    whole, own = read_model(model), read_model(model / "local")
    both = [*(member for member in whole.members if member.name == "federated"), *own.members]
    save_model(partner, both, {"classification": "local"}, whole.header)
    exported = export_model(partner, tmp_path / "out")
    assert [member.name for member in exported.members] == ["local"]
    assert exported.digest == read_model(tmp_path / "out").digest
    card = (tmp_path / "out" / "card.md").read_text()
    assert "- classification: the partner's own model" in card
    assert "work of all partners" not in " ".join(card.split())
    assert card.count("\n## ") == card.count("\n\n## "), "a heading right below a line is none"


def card_of(model: Path, folder: Path, choice: str, heads: str = "", **facts: object) -> str:
    """The card of this model, had the fold chosen so, with these facts in its header, in one line."""
    whole, own = read_model(model), read_model(model / "local")
    federated = replace(
        next(each for each in whole.members if each.name == "federated"), shared_heads={"classification": heads} if heads else {}
    )
    save_model(folder / "partner", [federated, *own.members], {"classification": choice}, whole.header | facts)
    export_model(folder / "partner", folder / "out")
    return " ".join((folder / "out" / "card.md").read_text().split())


@pytest.mark.parametrize("heads", ["", "both", "alone"])
@pytest.mark.parametrize("choice", ["federated", "mean", "local"])
def test_the_card_says_of_every_part_whose_it_is(model: Path, tmp_path: Path, choice: str, heads: str) -> None:
    card = card_of(model, tmp_path, choice, heads)
    federated, own = choice != "local", choice != "federated"
    assert ("The heads of the federated model are alpha's own." in card) == (federated and not heads)
    assert ("the shared one in it, half of each, or the shared one alone" in card) == bool(federated and heads)
    assert ("common endpoints by shared heads alone" in card) == (federated and heads == "alone")
    assert ("common endpoints by own and shared heads together" in card) == (federated and heads == "both")
    assert ("like the shared heads, in it is the work of all partners" in card) == bool(federated and heads)
    assert ("rows of its trunk that the row guard kept at home" in card) == federated
    assert ("its own altogether, trunk and heads" in card) == own


def test_with_noise_no_row_of_the_federated_trunk_is_called_the_partners_own(model: Path, tmp_path: Path) -> None:
    card = card_of(model, tmp_path, "federated", privacy={"row_guard": 20, "profile": "record_dp"})
    assert "row guard kept" not in card


@pytest.mark.parametrize(
    ("common", "told"),
    [
        ((False, False), "in the task's unit: those of alpha's own values."),
        ((True, False), "those of alpha's own values, and of common endpoints the ones of the consortium's catalogue."),
        ((True, True), "in the task's unit: those of the consortium's catalogue."),
        ((), ""),
    ],
)
def test_the_card_says_whose_centre_and_spread_values_have(model: Path, tmp_path: Path, common: tuple[bool, ...], told: str) -> None:
    tasks = [dict(each) for each in read_model(model).header["tasks"]]
    for task, each in zip(tasks, common, strict=False):
        task |= {"kind": "regression", "threshold": None, "unit": "p", "common_units": each}
    whole = read_model(model).header | {"tasks": tasks}
    kinds = {"classification": "federated"} | ({"regression": "federated"} if common else {})
    save_model(tmp_path / "partner", read_model(model).members, kinds, whole)
    export_model(tmp_path / "partner", tmp_path / "out")
    card = " ".join((tmp_path / "out" / "card.md").read_text().split())
    assert told in card
    assert ("a centre and a spread" in card) == bool(common)


def test_the_card_of_a_model_that_nothing_was_kept_to_judge_says_so(tmp_path: Path) -> None:
    partner = Partner(tmp_path / "p", write_dataset(tmp_path / "d", "alpha"), small_config("evaluation.test_fold=null"))
    partner.evaluate(partner.fit(trunk_arrays(Trunk(256, [8], 1)), {"round": 1})[0], {"round": 1})
    export_model(tmp_path / "p", tmp_path / "out")
    card = (tmp_path / "out" / "card.md").read_text()
    assert "No fold was kept for judging" in card
    assert "| test |" not in card


def test_the_note_on_the_data_stands_on_top_in_one_line(tmp_path: Path) -> None:
    partner = Partner(tmp_path / "p", write_dataset(tmp_path / "d", "alpha"), small_config())
    partner.dataset = type(partner.dataset)(**vars(partner.dataset) | {"note": "labels are\n# computed"})
    partner.evaluate(partner.fit(trunk_arrays(Trunk(256, [8], 1)), {"round": 1})[0], {"round": 1})
    export_model(tmp_path / "p", tmp_path / "out")
    assert "**Mind the labels.** labels are # computed\n" in (tmp_path / "out" / "card.md").read_text()


def test_where_arms_were_compared_the_card_has_their_scores(model: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(model, tmp_path / "run" / "partners" / "alpha")
    arms = {arm: {"auc_pr": score, "auc_roc": 0.7, "bce": None} for arm, score in (("local", 0.412), ("federated", 0.456))}
    write_sealed(tmp_path / "run" / "comparison.json", {"partners": {"alpha": arms | {"tasks": 3}}})
    export_model(folder, tmp_path / "out")
    card = (tmp_path / "out" / "card.md").read_text()
    assert "| local | 0.412 | 0.700 | – |\n| federated | 0.456 | 0.700 | – |" in card


def test_an_earlier_export_is_replaced_as_a_whole(model: Path, tmp_path: Path) -> None:
    export_model(model, tmp_path / "out")
    before = (tmp_path / "out" / "card.md").read_text()
    (tmp_path / "out" / "card.md").unlink()
    export_model(model, tmp_path / "out")
    assert (tmp_path / "out" / "card.md").read_text() == before


@pytest.mark.parametrize("there", ["folder", "file", "card", "model"])
def test_what_is_there_already_is_left_alone(model: Path, tmp_path: Path, there: str) -> None:
    out = tmp_path / "out"
    if there == "file":
        out.write_text("mine")
    elif there == "folder":
        out.mkdir()
        (out / "notes.txt").write_text("mine")
    elif there == "card":
        export_model(model, out)
        (out / "card.md").write_text("what I think of it")
    else:
        out = shutil.copytree(model, out)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(OutputError):
        export_model(out if there == "model" else model, out)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("arm", ["local/alpha", "unguarded/alpha", "pooled"])
def test_what_a_comparison_trained_otherwise_is_not_exported(model: Path, tmp_path: Path, arm: str) -> None:
    folder = shutil.copytree(model, tmp_path / "run" / arm)
    write_sealed(tmp_path / "run" / "run.json", {"kind": "compare"})
    with pytest.raises(RunError, match="for comparison only"):
        export_model(folder, tmp_path / "out")
