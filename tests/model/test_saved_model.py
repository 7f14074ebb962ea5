"""A model's file: all that predicts is in it, it is read back as it was, and damage is named."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from safetensors.torch import save_file

from fedapp.config import load_config
from fedapp.data.normalisation import with_common_units
from fedapp.errors import RunError
from fedapp.evaluation import arms
from fedapp.model.checkpoint import load_tensors, save_tensors
from fedapp.model.evaluation import evaluate, head_outputs
from fedapp.model.members import Member
from fedapp.model.network import Heads, Trunk
from fedapp.model.saved_model import TASK_FACTS, TASK_FIGURES, model_header, read_model, read_packed, save_model
from fedapp.storage.json_file import read_json, read_sealed
from tests.helpers.sweeps import examples
from tests.model.synthetic import dataset, with_values

CONFIG = load_config(overrides=("chemistry.bits=256", "model.hidden=[8]", "evaluation.min_per_class=3"))
DATA = dataset(compounds=200)
TRUNK, HEADS = Trunk(256, [8], 1), Heads(8, 6, 1, "alpha")
METRICS = evaluate(TRUNK, HEADS, DATA, {"validation": 1, "test": 0}, 4)


BOTH = [Member("federated", 4, TRUNK, HEADS), Member("local", 3, Trunk(256, [8], 2), Heads(8, 6, 2, "alpha"))]
ONES = np.ones(6, np.float32)


def saved(folder: Path, choice: str = "federated") -> Path:
    save_model(folder, BOTH[: 1 + (choice != "federated")], {"classification": choice}, model_header(DATA, CONFIG, 4, METRICS))
    return folder / "model.safetensors"


def logits(member: Member) -> np.ndarray:
    return head_outputs([(member.trunk, member.heads, ONES)], DATA.x_indptr, DATA.x_indices)


def test_a_model_comes_back_with_its_tasks_and_its_chemistry(tmp_path: Path) -> None:
    saved(tmp_path)
    (tmp_path / "model.json").unlink()
    model = read_model(tmp_path)
    assert model.tasks == [(f"target{task}", 5.5, None) for task in range(6)]
    assert vars(model.chemistry) == vars(CONFIG.chemistry)
    expected = head_outputs([(TRUNK, HEADS, ONES)], DATA.x_indptr, DATA.x_indices)
    np.testing.assert_array_equal(model.predict(DATA.x_indptr, DATA.x_indices), torch.sigmoid(torch.from_numpy(expected)))


def test_a_model_of_two_members_predicts_the_mean_of_their_logits(tmp_path: Path) -> None:
    saved(tmp_path, "mean")
    expected = 1 / (1 + np.exp(-(logits(BOTH[0]) + logits(BOTH[1])) / 2))
    np.testing.assert_allclose(read_model(tmp_path).predict(DATA.x_indptr, DATA.x_indices), expected, rtol=1e-4)
    assert {member["name"]: member["round"] for member in read_json(tmp_path / "model.json")["members"]} == {"federated": 4, "local": 3}


def test_a_member_that_predicts_nothing_is_kept_and_has_no_say(tmp_path: Path) -> None:
    saved(tmp_path, "local")
    model = read_model(tmp_path)
    expected = 1 / (1 + np.exp(-logits(BOTH[1])))
    np.testing.assert_allclose(model.predict(DATA.x_indptr, DATA.x_indices), expected, rtol=1e-4)
    assert [member.name for member in model.members] == ["federated", "local"]
    assert [member.name for member in model.used()] == ["local"]


def test_each_kind_of_task_is_predicted_by_the_members_chosen_for_it(tmp_path: Path) -> None:
    header = model_header(DATA, CONFIG, 4, METRICS)
    for task in header["tasks"][3:]:
        task["kind"] = "regression"
    save_model(tmp_path, BOTH, {"classification": "mean", "regression": "local"}, header)
    predicted = read_model(tmp_path).predict(DATA.x_indptr, DATA.x_indices)
    probabilities = 1 / (1 + np.exp(-(logits(BOTH[0]) + logits(BOTH[1])) / 2))
    np.testing.assert_allclose(predicted, np.where(np.arange(6) < 3, probabilities, logits(BOTH[1])), rtol=1e-4)


def test_a_model_whose_chosen_member_is_not_there_is_an_error(tmp_path: Path) -> None:
    save_model(tmp_path, BOTH[:1], {"classification": "mean"}, model_header(DATA, CONFIG, 4, METRICS))
    with pytest.raises(RunError, match="no mean model for all of its tasks"):
        read_model(tmp_path)


def test_without_a_test_fold_the_header_has_figures_of_the_validation_fold_alone(tmp_path: Path) -> None:
    config = load_config(overrides=("chemistry.bits=256", "model.hidden=[8]", "evaluation.min_per_class=3", "evaluation.test_fold=null"))
    header = model_header(DATA, config, 4, evaluate(TRUNK, HEADS, DATA, config.held_out_folds(), 4))
    assert list(header["figures"]) == ["validation"]
    assert {task["auc_pr"] for task in header["tasks"]} == {None}


def test_the_header_for_people_is_that_of_the_file(tmp_path: Path) -> None:
    path = saved(tmp_path)
    assert read_sealed(tmp_path / "model.json", {}) == load_tensors(path)[1]


def test_the_header_tells_scores_of_tasks_that_count_and_no_count_of_compounds(tmp_path: Path) -> None:
    header = model_header(DATA, CONFIG, 4, METRICS)
    test = METRICS.filter(pl.col("fold") == "test").sort("task")
    for task, row in zip(header["tasks"], test.iter_rows(named=True), strict=True):
        counts = min(row["positives"], row["negatives"]) >= 3
        assert task["auc_pr"] == (round(row["auc_pr"], 3) if counts else None)
        assert set(task) == {*TASK_FACTS, *TASK_FIGURES}
    assert set(header["figures"]["test"]) == {"tasks", "guessing", *arms.METRICS}


def test_a_threshold_is_told_in_the_digits_that_it_was_given_in(tmp_path: Path) -> None:
    data = dataset()
    table = data.tasks.with_columns(pl.Series("threshold", [6.7, 5.0, 1e-3, None, 5.5, 9.25], dtype=pl.Float32))
    header = model_header(type(data)(**vars(data) | {"tasks": table}), CONFIG, 1, METRICS)
    assert [task["threshold"] for task in header["tasks"]] == [6.7, 5.0, 0.001, None, 5.5, 9.25]


@examples(60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_anywhere_is_an_error(tmp_path: Path, place: float, bit: int) -> None:
    path = saved(tmp_path)
    whole = path.read_bytes()
    at = int(place * len(whole))
    path.write_bytes(whole[:at] + bytes([whole[at] ^ (1 << bit)]) + whole[at + 1 :])
    with pytest.raises(RunError, match=r"model\.safetensors"):
        read_model(tmp_path)


@examples(30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.floats(0, 1, exclude_max=True))
def test_a_file_cut_short_is_an_error(tmp_path: Path, share: float) -> None:
    path = saved(tmp_path)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(RunError, match=r"model\.safetensors"):
        read_model(tmp_path)


def test_a_file_of_another_program_is_an_error(tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(2)}, tmp_path / "model.safetensors")
    with pytest.raises(RunError, match="not a model file of this program"):
        read_model(tmp_path)


@pytest.mark.parametrize("change", [{"chemistry": {"radius": 2}}, {"hidden": []}, {"hidden": [9]}, {"tasks": [{}]}, {"bits": "many"}])
def test_a_header_that_does_not_fit_is_an_error(tmp_path: Path, change: dict[str, object]) -> None:
    path = saved(tmp_path)
    tensors, header = load_tensors(path)
    save_tensors(path, tensors, header | change)
    with pytest.raises(RunError, match="no model that this version reads"):
        read_model(tmp_path)


def test_a_model_of_an_earlier_version_is_an_error_wherever_it_is_read(tmp_path: Path) -> None:
    path = saved(tmp_path, "mean")
    tensors, header = load_tensors(path)
    save_tensors(path, tensors, header | {"members": [{"name": each.name, "round": each.round} for each in BOTH]})
    for read in (read_model, lambda folder: read_packed(folder, "federated")):
        with pytest.raises(RunError, match="no model that this version reads: 'shared_heads'"):
            read(tmp_path)


def test_which_heads_predict_common_endpoints_comes_back_and_goes_into_another_file(tmp_path: Path) -> None:
    common = {"classification": "alone"}
    save_model(
        tmp_path / "one", [replace(BOTH[0], shared_heads=common)], {"classification": "federated"}, model_header(DATA, CONFIG, 4, METRICS)
    )
    packed = read_packed(tmp_path / "one", "federated")
    save_model(tmp_path / "two", [packed, BOTH[1]], {"classification": "mean"}, model_header(DATA, CONFIG, 4, METRICS))
    one, two = read_model(tmp_path / "one"), read_model(tmp_path / "two")
    assert one.shared_heads == two.shared_heads == common
    assert [member.shared_heads for member in two.members] == [common, {}]
    assert one.chosen() == "the federated model (common endpoints by shared heads alone)"
    assert two.chosen() == "the mean of the federated model (common endpoints by shared heads alone) and the partner's own"


def test_the_header_says_of_which_tasks_the_centre_and_scale_are_the_catalogues(tmp_path: Path) -> None:
    data = with_values(DATA, first=3)
    common = replace(data, tasks=with_common_units(data.tasks, {"target1": (5.0, 1.0), "target4": (5.0, 1.5)}))
    told = {task["group"]: task for task in model_header(common, CONFIG, 4, METRICS)["tasks"]}
    assert [group for group, task in told.items() if task["common_units"]] == ["target4"], "target1 is of classes"
    assert (told["target4"]["centre"], told["target4"]["scale"]) == (5.0, 1.5)
    assert not any(task["common_units"] for task in model_header(data, CONFIG, 4, METRICS)["tasks"])


def test_a_model_of_both_kinds_predicts_probabilities_and_values_in_their_unit(tmp_path: Path) -> None:
    data = with_values(DATA, centre=6.0, scale=2.0)
    header = model_header(data, CONFIG, 4, evaluate(TRUNK, HEADS, data, {"validation": 1, "test": 0}, 4))
    save_model(tmp_path, [Member(arms.FEDERATED, 4, TRUNK, HEADS)], dict.fromkeys(arms.KINDS, arms.FEDERATED), header)
    model, outputs = read_model(tmp_path), head_outputs([(TRUNK, HEADS, ONES)], DATA.x_indptr, DATA.x_indices)
    assert model.tasks == [*((f"target{task}", 5.5, None) for task in range(3)), *((f"target{task}", None, "p") for task in range(3, 6))]
    predicted = model.predict(DATA.x_indptr, DATA.x_indices)
    np.testing.assert_allclose(predicted[:, :3], 1 / (1 + np.exp(-outputs[:, :3])), rtol=1e-5)
    np.testing.assert_allclose(predicted[:, 3:], 6 + 2 * outputs[:, 3:], rtol=1e-5)
    assert np.array_equal(outputs, head_outputs([(TRUNK, HEADS, ONES)], DATA.x_indptr, DATA.x_indices)), (
        "outputs that were given stay as they are"
    )


def test_the_header_of_a_model_of_both_kinds_tells_the_figures_of_each(tmp_path: Path) -> None:
    data = with_values(DATA)
    header = model_header(data, CONFIG, 4, evaluate(TRUNK, HEADS, data, {"validation": 1, "test": 0}, 4))
    assert [task["auc_pr"] is not None for task in header["tasks"]] == [True] * 3 + [False] * 3
    assert [task["spearman"] is not None for task in header["tasks"]] == [False] * 3 + [True] * 3
    assert header["figures"]["test"]["tasks"] == 6
    assert None not in header["figures"]["test"].values()
