"""A partner whose tasks are common endpoints: what of its shared heads leaves, and when it has a part in one."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from polars.testing import assert_frame_equal

from fedapp.config import Config, load_config
from fedapp.data.catalogue import Catalogue, Declaration, Endpoint, catalogue_of, slots_of, write_catalogue
from fedapp.data.dataset import Dataset
from fedapp.errors import ConfigError, RunError
from fedapp.evaluation.selection import read_round, validation_curve
from fedapp.model.checkpoint import load_header, load_tensors, save_tensors
from fedapp.model.evaluation import evaluate
from fedapp.model.first_trunk import first_trunk
from fedapp.model.network import Heads, Trunk, set_trunk_arrays
from fedapp.model.saved_model import read_model
from fedapp.model.trunk_shape import trunk_shapes
from fedapp.partner.client import Partner
from fedapp.partner.update_rules import supported_rows
from tests.model.synthetic import dataset
from tests.partner.test_client import OVERRIDES, Arrays, equal, files

IDS = ("another", "target1", "target2", "target3")  # the first is measured by others alone
SENT = np.append(np.ones(256, np.bool_), [True, True, False, True])


@pytest.fixture
def config(tmp_path: Path) -> Config:
    write_catalogue(tmp_path / "catalogue.yaml", Catalogue(tuple(Endpoint(each, each, "p", (5.5,)) for each in IDS)))
    return load_config(overrides=(*OVERRIDES, f"tasks.catalogue={tmp_path / 'catalogue.yaml'}"))


def slots(data: Dataset, config: Config) -> np.ndarray:
    return slots_of(data.tasks, catalogue_of(config), {each: Declaration(each) for each in IDS[1:]})


def partner(directory: Path, config: Config, sent: np.ndarray | None = SENT) -> Partner:
    data = dataset()
    return Partner(directory, data, config, sent=sent, slots=slots(data, config), local=False)


def initial(config: Config) -> Arrays:
    *layers, heads = first_trunk(config, b"")
    return [*layers, heads + np.random.default_rng(1).normal(size=heads.shape).astype(np.float32)]


def test_the_first_shared_heads_are_zero_and_the_last_of_the_trunks_arrays(config: Config) -> None:
    arrays = first_trunk(config, b"k" * 32)
    assert [array.shape for array in arrays] == list(trunk_shapes(config)) == [(256, 16), (16,), (4, 17)]
    assert not arrays[-1].any()
    assert arrays[0].any()


def test_only_shared_heads_that_it_measures_and_that_may_leave_come_back_changed(tmp_path: Path, config: Config) -> None:
    arrays = initial(config)
    reply, _, _ = partner(tmp_path / "p", config).fit(arrays, {"round": 1})
    assert [array.shape for array in reply] == list(trunk_shapes(config))
    assert (reply[-1][[1, 3]] != arrays[-1][[1, 3]]).all()
    assert reply[-1][[0, 2]].tobytes() == arrays[-1][[0, 2]].tobytes()


def test_a_repeated_round_with_shared_heads_gives_the_same_bytes(tmp_path: Path, config: Config) -> None:
    arrays, _, _ = partner(tmp_path / "p", config).fit(initial(config), {"round": 1})
    reply, _, _ = partner(tmp_path / "p", config).fit(arrays, {"round": 2})
    held = files(tmp_path / "p")
    assert equal(reply, partner(tmp_path / "p", config).fit(arrays, {"round": 2})[0])
    assert files(tmp_path / "p") == held


def test_shared_heads_come_in_anew_each_round_and_their_moments_stay(tmp_path: Path, config: Config) -> None:
    arrays, _, _ = partner(tmp_path / "p", config).fit(initial(config), {"round": 1})
    others = [*arrays[:-1], arrays[-1] + np.float32(0.5)]
    reply, _, _ = partner(tmp_path / "p", config).fit(others, {"round": 2})
    assert np.abs(reply[-1][[1, 3]] - others[-1][[1, 3]]).max() < 0.3
    state, _ = load_tensors(tmp_path / "p" / "state" / "round-0002.safetensors")
    assert state["adam.heads.weight.mean"].shape == (8, 16)
    assert state["adam.heads.weight.mean"][6:].abs().sum() > 0


def test_a_session_in_which_other_shared_heads_may_leave_goes_on_from_the_state_of_the_last(tmp_path: Path, config: Config) -> None:
    arrays, _, _ = partner(tmp_path / "p", config).fit(initial(config), {"round": 1})
    for number, leaving in enumerate(([True, True, True, False], [False] * 4, [True] * 4), 2):
        reply, _, _ = partner(tmp_path / "p", config, np.append(SENT[:256], leaving)).fit(arrays, {"round": number})
        changed = [False, *leaving[1:]]
        assert (reply[-1] != arrays[-1]).any(axis=1).tolist() == changed
        arrays = reply


@pytest.mark.parametrize("spoilt", ["private", "shared"])
def test_the_validation_fold_says_whether_a_shared_head_predicts_alone(tmp_path: Path, config: Config, spoilt: str) -> None:
    arrays = initial(config)
    for number in range(1, 6):
        arrays, _, _ = partner(tmp_path / "p", config).fit(arrays, {"round": number})
    path, random = tmp_path / "p" / "state" / "round-0005.safetensors", np.random.default_rng(0)
    state, header = load_tensors(path)
    if spoilt == "private":
        state["heads.weight"][:6] += torch.from_numpy(random.normal(scale=2, size=(6, 16)).astype(np.float32))
        save_tensors(path, state, header)
    else:
        arrays[-1] += random.normal(scale=2, size=arrays[-1].shape).astype(np.float32)
    for each in (tmp_path / "p" / "metrics").iterdir():
        each.unlink()  # so that this round is the best one, and is kept
    asked = partner(tmp_path / "p", config)
    asked.evaluate(arrays, {"round": 5})

    trunk, heads = Trunk(256, [16]), Heads(16, 6, shared=2)
    heads.load_state_dict({"weight": state["heads.weight"], "bias": state["heads.bias"]})
    set_trunk_arrays(trunk, arrays[:-1])
    asked.shared.fill(heads, arrays[-1])
    folds, found = config.held_out_folds(), read_round(tmp_path / "p" / "metrics" / "round-0005.parquet")
    both, alone = (evaluate(trunk, asked.shared.predicting(heads, each), asked.dataset, folds, 5) for each in (None, np.ones(6, np.bool_)))
    means = [validation_curve(each, config.evaluation.min_per_class)[5] for each in (both, alone)]
    assert (means[1] > means[0]) == (spoilt == "private")
    assert_frame_equal(found, (alone if spoilt == "private" else both).select(found.columns), check_row_order=False)
    (told,) = load_header(tmp_path / "p" / "model.safetensors")["members"]
    assert told["shared_heads"] == {"classification": "alone" if spoilt == "private" else "both"}


def test_what_predicts_common_endpoints_is_told_only_of_heads_that_are_in_play(tmp_path: Path, config: Config) -> None:
    for name, leaving in (("p", [True] * 4), ("q", [False] * 4)):
        asked = partner(tmp_path / name, config, np.append(SENT[:256], leaving))
        asked.evaluate(asked.fit(initial(config), {"round": 1})[0], {"round": 1})
        (member,) = read_model(tmp_path / name).members
        assert (set(member.shared_heads) == {"classification"}) == any(leaving)
        assert ("common endpoints by" in read_model(tmp_path / name).chosen()) == any(leaving)


def test_a_partner_that_declares_nothing_trains_as_without_a_catalogue(tmp_path: Path, config: Config) -> None:
    alone = replace(config, tasks=replace(config.tasks, catalogue=None))
    arrays = initial(config)
    with_slots, _, _ = Partner(tmp_path / "a", dataset(), config, local=False).fit(arrays, {"round": 1})
    without, _, _ = Partner(tmp_path / "b", dataset(), alone, local=False).fit(arrays[:-1], {"round": 1})
    assert equal(with_slots[:-1], without)
    assert with_slots[-1].tobytes() == arrays[-1].tobytes()


def test_a_trunk_with_other_shared_heads_than_the_catalogues_is_refused(tmp_path: Path, config: Config) -> None:
    arrays = initial(config)
    for wrong in (arrays[:-1], [*arrays[:-1], arrays[-1][1:]], [*arrays, arrays[-1]], [*arrays[:-1], arrays[-1] * np.float32("nan")]):
        with pytest.raises(RunError, match="shapes|not finite"):
            partner(tmp_path / "p", config).fit(wrong, {"round": 1})
    assert partner(tmp_path / "p", config).last_round() == 0


def test_an_endpoint_needs_compounds_enough_together_over_its_tasks_and_both_classes(tmp_path: Path, config: Config) -> None:
    data = dataset()
    training = data.labels.of(data.rows_in(config.training_folds()))
    of_tasks = np.bincount(training.tasks, minlength=6)
    one_class = replace(data.labels, values=np.where(data.labels.tasks == 3, 1, data.labels.values).astype(np.float32))
    shared = slots(data, config)
    shared[4] = 2  # two tasks are one endpoint
    both = len(set(training.owners[np.isin(training.tasks, [2, 4])]))
    assert both < of_tasks[2] + of_tasks[4]
    for least in (1, of_tasks[1], of_tasks[1] + 1, both, both + 1):
        asked = replace(config, privacy=replace(config.privacy, endpoint_labels=int(least), row_guard=5))
        supported = supported_rows(tmp_path, replace(data, labels=one_class), asked, shared)
        assert len(supported) == 256 + 4
        assert supported[256:].tolist() == [False, of_tasks[1] >= least, both >= least, False]
        assert not supported_rows(tmp_path, data, asked)[256:].any()


def test_labels_outside_the_training_folds_support_nothing(tmp_path: Path, config: Config) -> None:
    data = dataset()
    none = replace(data, folds=np.ones_like(data.folds))
    assert not supported_rows(tmp_path, none, config, slots(data, config))[256:].any()


def test_noise_and_a_catalogue_are_refused_together(tmp_path: Path, config: Config) -> None:
    for profile in ("record_dp", "reconstruction_noise"):
        with pytest.raises(ConfigError, match=f"privacy.profile is {profile}, and the shared heads"):
            load_config(overrides=(f"tasks.catalogue={config.tasks.catalogue}", f"privacy.profile={profile}"))
