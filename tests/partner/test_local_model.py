"""The model that a partner trains beside the federated one, and which of the two predicts."""

from pathlib import Path

import numpy as np
import pytest
import torch

from fedapp.config import Config, load_config
from fedapp.data.dataset import Dataset
from fedapp.evaluation.combination import combine
from fedapp.evaluation.scores import read_scores
from fedapp.evaluation.selection import best_round, read_metrics
from fedapp.model.checkpoint import load_tensors
from fedapp.model.network import Trunk, trunk_arrays
from fedapp.model.saved_model import read_model
from fedapp.partner.client import Partner
from fedapp.partner_folder import PartnerFolder
from fedapp.storage.json_file import read_json, read_sealed
from tests.model.synthetic import dataset
from tests.partner.test_client import OVERRIDES, Arrays, equal, files

GUARDED = np.arange(256) % 2 > 0


@pytest.fixture
def config() -> Config:
    return load_config(overrides=(*OVERRIDES, "federation.rounds=5"))


@pytest.fixture
def initial() -> Arrays:
    return trunk_arrays(Trunk(256, [16], 1))


def partner(directory: Path, config: Config, data: Dataset | None = None, **asked: bool) -> Partner:
    return Partner(directory, dataset() if data is None else data, config, sent=GUARDED, **asked)


def trained(directory: Path, config: Config, arrays: Arrays, last: int) -> Arrays:
    """As in a federation whose other partners move the trunk a little."""
    for number in range(1, last + 1):
        arrays = [array + np.float32(0.01) for array in partner(directory, config).fit(arrays, {"round": number})[0]]
    return arrays


def noise(seed: int) -> Arrays:
    """A trunk that is good for nothing."""
    return [np.random.default_rng(seed).normal(size=array.shape).astype(np.float32) for array in trunk_arrays(Trunk(256, [16], 1))]


def test_it_is_the_model_of_a_partner_that_is_alone_and_without_a_guard(tmp_path: Path, config: Config, initial: Arrays) -> None:
    partner(tmp_path / "federated", config).evaluate(trained(tmp_path / "federated", config, initial, 5), {"round": 5})
    arrays = initial
    for number in range(1, 6):
        arrays, _, _ = Partner(tmp_path / "alone", dataset(), config, local=False).fit(arrays, {"round": number})
    Partner(tmp_path / "alone", dataset(), config, local=False).evaluate(arrays, {"round": 5})
    beside, alone = read_metrics(tmp_path / "federated" / "local"), read_metrics(tmp_path / "alone")
    assert beside["round"].unique().sort().to_list() == [1, 2, 3, 4, 5]
    assert beside.equals(alone)


def test_rows_of_bits_that_no_training_compound_holds_are_zero_and_all_others_as_without_that_cut(tmp_path: Path) -> None:
    config = load_config(overrides=("chemistry.bits=2048", *OVERRIDES[1:], "training.weight_decay=0"))
    data = dataset(compounds=60, bits=2048)
    held = np.bincount(data.fingerprints(data.rows_in(config.training_folds()))[1], minlength=2048) > 0
    assert 0 < held.sum() < 1024
    arrays = [trunk_arrays(Trunk(2048, [16], config.seed))] * 2
    for number in (1, 2, 3):
        arrays[0], _, _ = Partner(tmp_path / "federated", data, config).fit(arrays[0], {"round": number})
        arrays[1], _, _ = Partner(tmp_path / "alone", data, config, local=False).fit(arrays[1], {"round": number})
    Partner(tmp_path / "federated", data, config).evaluate(arrays[0], {"round": 3})
    state = load_tensors(tmp_path / "federated" / "local" / "state" / "round-0003.safetensors")[0]
    np.testing.assert_array_equal(state["trunk.weight"].numpy(), arrays[1][0][held])
    (member,) = read_model(tmp_path / "federated" / "local").members
    assert not member.trunk.weight[torch.from_numpy(~held)].any()
    assert member.trunk.weight[torch.from_numpy(held)].any(dim=1).all()


def test_nothing_of_it_is_in_what_leaves(tmp_path: Path, config: Config, initial: Arrays) -> None:
    arrays = initial
    for number in (1, 2, 3):
        beside, _, _ = partner(tmp_path / "beside", config).fit(arrays, {"round": number})
        assert equal(beside, partner(tmp_path / "without", config, local=False).fit(arrays, {"round": number})[0])
        arrays = beside
    assert not (tmp_path / "without" / "local").exists()


def test_a_partner_that_is_not_judged_has_none(tmp_path: Path, config: Config, initial: Arrays) -> None:
    partner(tmp_path, config, judged=False).fit(initial, {"round": 1})
    assert not PartnerFolder(tmp_path).local.exists()


def test_a_round_that_is_attempted_again_trains_it_once(tmp_path: Path, config: Config, initial: Arrays) -> None:
    arrays = trained(tmp_path, config, initial, 2)
    first, _, _ = partner(tmp_path, config).fit(arrays, {"round": 3})
    state = PartnerFolder(PartnerFolder(tmp_path).local).state_of(3)
    held, written = files(tmp_path / "local"), state.stat().st_mtime_ns
    again, _, _ = partner(tmp_path, config).fit(arrays, {"round": 3, "attempt": 1})
    assert not equal(first, again)
    assert files(tmp_path / "local") == held
    assert state.stat().st_mtime_ns == written


def test_what_predicts_is_what_the_validation_fold_chose_of_both_best_rounds(tmp_path: Path, config: Config, initial: Arrays) -> None:
    partner(tmp_path, config).evaluate(trained(tmp_path, config, initial, 5), {"round": 5})
    data, folder, minimum = dataset(), PartnerFolder(tmp_path), config.evaluation.min_per_class
    own = PartnerFolder(folder.local)
    expected = combine(read_scores(folder.scores), read_scores(own.scores), data.kinds, minimum)
    facts = read_sealed(folder.choice, {})
    assert facts["choice"] == expected.choice
    assert facts["rounds"] == {name: best_round(read_metrics(each.path), minimum) for name, each in (("federated", folder), ("local", own))}
    assert facts["validation"]["classification"].keys() == {"federated", "mean", "local"}
    predicted = read_model(tmp_path).predict(data.x_indptr, data.x_indices)
    rows, tasks, outputs = (expected.scores[name].to_numpy() for name in ("row", "task", "output"))
    np.testing.assert_allclose(predicted[rows, tasks], 1 / (1 + np.exp(-outputs)), rtol=1e-4, atol=1e-6)


def test_a_federated_model_that_is_good_for_nothing_leaves_the_prediction_to_the_partners_own(tmp_path: Path, config: Config) -> None:
    data = dataset(compounds=2000)
    for number in range(1, 6):
        partner(tmp_path, config, data).fit(noise(number), {"round": number})
    partner(tmp_path, config, data).evaluate(noise(6), {"round": 5})
    saved = read_model(tmp_path)
    assert saved.choice == {"classification": "local"}
    alone = read_model(tmp_path / "local").predict(data.x_indptr, data.x_indices)
    np.testing.assert_array_equal(saved.predict(data.x_indptr, data.x_indices), alone)
    assert read_json(tmp_path / "model.json")["figures"] == read_json(tmp_path / "local" / "model.json")["figures"]


def test_a_better_round_of_its_own_is_taken_in_where_the_federated_model_has_none(tmp_path: Path, config: Config, initial: Arrays) -> None:
    data = dataset(compounds=2000)
    home = partner(tmp_path, config, data)
    home.fit(home.fit(initial, {"round": 1})[0], {"round": 2})
    federated = read_json(tmp_path / "model.json")["round"]
    for number in (3, 4, 5):
        partner(tmp_path, config, data).fit(noise(number), {"round": number})
    facts = read_sealed(PartnerFolder(tmp_path).choice, {})
    assert facts["rounds"]["federated"] == federated == 1
    assert facts["rounds"]["local"] > 1
    members = {member.name: member.round for member in read_model(tmp_path).members}
    assert members == facts["rounds"]


def test_a_model_that_somebody_took_away_stops_no_round(tmp_path: Path, config: Config, initial: Arrays) -> None:
    arrays = trained(tmp_path, config, initial, 2)
    PartnerFolder(tmp_path).model.unlink()
    arrays, _, _ = partner(tmp_path, config).fit(noise(1), {"round": 3})
    partner(tmp_path, config).fit(arrays, {"round": 4})


def test_without_a_test_fold_all_but_the_validation_fold_is_trained_on_and_a_round_is_chosen(tmp_path: Path, initial: Arrays) -> None:
    config = load_config(overrides=(*OVERRIDES, "evaluation.test_fold=null"))
    home, data = partner(tmp_path, config), dataset()
    assert home.training_rows().tolist() == np.flatnonzero(data.folds != 1).tolist()
    home.evaluate(home.fit(initial, {"round": 1})[0], {"round": 1})
    assert read_metrics(tmp_path)["fold"].unique().to_list() == ["validation"]
    assert read_json(tmp_path / "model.json")["figures"].keys() == {"validation"}
