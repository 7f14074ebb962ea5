"""Rows of rare bits: trained and kept at home, added to the shared trunk, and never sent."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fedapp.config import Config, load_config
from fedapp.data.dataset import Dataset
from fedapp.model.checkpoint import load_tensors
from fedapp.model.network import Trunk, trunk_arrays
from fedapp.model.private_rows import DIFFERENCE, ROWS, PrivateRows
from fedapp.model.saved_model import read_model
from fedapp.partner.client import Partner
from tests.model.synthetic import dataset

Arrays = list[np.ndarray]
BITS, WIDTH = 256, 16
SENT = np.random.default_rng(0).random(BITS) < 0.5


@pytest.fixture
def config() -> Config:
    sizes = (f"chemistry.bits={BITS}", f"model.hidden=[{WIDTH}]")
    return load_config(overrides=(*sizes, "training.batch_size=32", "training.learning_rate=0.01"))


@pytest.fixture
def initial() -> Arrays:
    return trunk_arrays(Trunk(BITS, [WIDTH], 1))


def data() -> Dataset:
    """Compounds; among the first 16 bits each is held by one training compound alone, or by two."""
    made = dataset("alpha")
    rows, dense = made.rows_in((2, 3, 4)), np.zeros((len(made.folds), BITS), dtype=bool)
    dense[np.repeat(np.arange(len(dense)), np.diff(made.x_indptr)), made.x_indices] = True
    dense[:, :16] = False
    for bit in range(16):
        dense[rows[: 1 + bit % 2], bit] = True
    indptr, indices = np.concatenate([[0], np.cumsum(dense.sum(axis=1))]), np.nonzero(dense)[1].astype(np.int32)
    return replace(made, x_indptr=indptr, x_indices=indices)


def partner(directory: Path, config: Config, sent: np.ndarray | None = SENT) -> Partner:
    """A partner as a fresh process makes it."""
    return Partner(directory, data(), config, sent=sent)


def holders(at: Partner, data: Dataset) -> np.ndarray:
    """How many of its training compounds hold each bit: [bits]."""
    return np.bincount(data.fingerprints(at.training_rows())[1], minlength=BITS)


def kept(directory: Path, number: int) -> np.ndarray:
    """Differences from the shared trunk after the training of a round, 0 for rows that are not private: [bits, width]."""
    tensors, _ = load_tensors(directory / "state" / f"round-{number:04d}.safetensors")
    whole = np.zeros((BITS, WIDTH), dtype=np.float32)
    whole[tensors[ROWS].numpy()] = tensors[DIFFERENCE].numpy()
    return whole


def test_a_row_that_may_not_leave_comes_back_as_it_came_in_and_is_trained_at_home(tmp_path: Path, config: Config, initial: Arrays) -> None:
    at, arrays = partner(tmp_path, config), initial
    counts = holders(at, data())
    for number in (1, 2, 3):
        before, (arrays, _, _) = arrays, at.fit(arrays, {"round": number})
        assert np.array_equal(arrays[0][~SENT], before[0][~SENT])
        assert (arrays[0][SENT & (counts > 0)] != before[0][SENT & (counts > 0)]).any(axis=1).all()
    moved = kept(tmp_path, 3).any(axis=1)
    assert np.array_equal(moved, (counts >= 2) & ~SENT)
    assert moved.sum() > 50


def test_compounds_do_without_a_bit_that_is_theirs_alone_and_may_not_leave(tmp_path: Path, config: Config) -> None:
    at = partner(tmp_path, config)
    alone = (holders(at, data()) == 1) & ~SENT
    assert alone.sum() > 2
    assert not holders(at, at.dataset)[alone].any()
    assert np.array_equal(holders(at, at.dataset)[~alone], holders(at, data())[~alone])


def test_a_private_row_keeps_an_eighth_of_what_training_gives_it(tmp_path: Path, config: Config, initial: Arrays) -> None:
    """The first training is that of a partner that sends all the same rows, which shows what it gives."""
    at = partner(tmp_path / "guarded", config)
    at.fit(initial, {"round": 1})
    everything, _, _ = partner(tmp_path / "open", config, at.sent | at.private).fit(initial, {"round": 1})
    change = (everything[0] - initial[0])[at.private]
    np.testing.assert_allclose(kept(tmp_path / "guarded", 1)[at.private], change / 8, rtol=1e-4, atol=1e-7)


def test_a_private_row_is_the_shared_one_and_the_difference_in_training_and_in_the_model(
    tmp_path: Path, config: Config, initial: Arrays
) -> None:
    at = partner(tmp_path, config)
    arrays, _, _ = at.fit(initial, {"round": 1})
    shifted = [arrays[0] + np.float32(0.25), *arrays[1:]]
    at.evaluate(shifted, {"round": 1})
    model = read_model(tmp_path).members[0]
    np.testing.assert_array_equal(model.trunk.weight.detach().numpy(), shifted[0] + kept(tmp_path, 1))


def test_a_partner_whose_rows_all_leave_keeps_none(tmp_path: Path, config: Config, initial: Arrays) -> None:
    partner(tmp_path, config, None).fit(initial, {"round": 1})
    assert load_tensors(tmp_path / "state" / "round-0001.safetensors")[0][DIFFERENCE].shape == (0, WIDTH)


def test_a_row_that_may_leave_from_now_on_is_the_shared_one_again(tmp_path: Path, config: Config, initial: Arrays) -> None:
    arrays, _, _ = partner(tmp_path, config).fit(initial, {"round": 1})
    more = SENT | (np.arange(BITS) < BITS // 2)
    partner(tmp_path, config, more).evaluate(arrays, {"round": 1})
    model = read_model(tmp_path).members[0]
    expected = arrays[0] + np.where(more[:, None], np.float32(0), kept(tmp_path, 1))
    np.testing.assert_array_equal(model.trunk.weight.detach().numpy(), expected)


def test_a_row_that_may_not_leave_any_more_starts_from_the_shared_one(tmp_path: Path, config: Config, initial: Arrays) -> None:
    at = partner(tmp_path, config, None)
    at.fit(initial, {"round": 1})
    trunk = Trunk(BITS, [WIDTH])
    rows = torch.from_numpy(np.flatnonzero(holders(at, data())))
    state, _ = load_tensors(tmp_path / "state" / "round-0001.safetensors")
    assert not PrivateRows.resumed(rows, trunk, state).difference.any()


def test_what_was_private_before_stays_with_its_row_whatever_other_rows_come_and_go() -> None:
    trunk = Trunk(BITS, [WIDTH])
    rows = torch.tensor([3, 7, 20, 200])
    before = PrivateRows(rows, torch.arange(4.0)[:, None] + torch.ones(WIDTH))
    after = PrivateRows.resumed(torch.tensor([0, 7, 30, 200, 255]), trunk, before.tensors())
    assert after.difference[:, 0].tolist() == [0, 2, 0, 4, 0]


def test_a_repeated_round_gives_the_same_private_rows(tmp_path: Path, config: Config, initial: Arrays) -> None:
    arrays, _, _ = partner(tmp_path, config).fit(initial, {"round": 1})
    first, _, _ = partner(tmp_path, config).fit(arrays, {"round": 2})
    rows = kept(tmp_path, 2)
    again, _, _ = partner(tmp_path, config).fit(arrays, {"round": 2})
    assert np.array_equal(kept(tmp_path, 2), rows)
    assert all(np.array_equal(one, other) for one, other in zip(first, again, strict=True))


def test_with_noise_there_are_no_private_rows_and_compounds_do_without_those_bits(tmp_path: Path, config: Config, initial: Arrays) -> None:
    noisy = replace(config, privacy=replace(config.privacy, profile="reconstruction_noise", noise_multiplier=0.1))
    at = partner(tmp_path, noisy)
    assert not holders(at, at.dataset)[~SENT].any()
    at.fit(initial, {"round": 1})
    assert not kept(tmp_path, 1).any()
