"""A partner that computes on a GPU: as exact from one try to the next as on the processor, and free to move between the two.

Nothing here runs where there is none.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fedapp.config import RECONSTRUCTION_NOISE, RECORD_DP, Config, load_config
from fedapp.model.network import Trunk, trunk_arrays
from fedapp.model.training import choose_device
from fedapp.partner.client import Partner
from tests.model.synthetic import dataset

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU on this machine")

CPU, GPU = torch.device("cpu"), torch.device("cuda")
SENT = np.arange(512) % 4 > 0


@pytest.fixture
def config() -> Config:
    return load_config(overrides=("chemistry.bits=512", "model.hidden=[32,16]", "model.dropout=0.0", "federation.rounds=4"))


def partner(directory: Path, config: Config, device: torch.device) -> Partner:
    return Partner(directory, dataset(bits=512), config, device, SENT)


def test_the_gpu_is_chosen() -> None:
    assert choose_device().type == "cuda"


@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_a_repeated_request_gives_the_same_bits(tmp_path: Path, config: Config, dropout: float) -> None:
    config = replace(config, model=replace(config.model, dropout=dropout))
    arrays = trunk_arrays(Trunk(512, [32, 16], 1))
    for number in (1, 2):
        tried = [partner(tmp_path, config, GPU).fit(arrays, {"round": number})[0] for _ in range(2)]
        assert all(one.tobytes() == other.tobytes() for one, other in zip(*tried, strict=True))
        arrays = tried[0]


def test_it_learns_what_the_processor_learns(tmp_path: Path, config: Config) -> None:
    """Without dropout, whose random numbers differ. Adam's first steps go by a gradient's sign: single weights may part, not the median."""
    first = trunk_arrays(Trunk(512, [32, 16], 1))
    trained = [partner(tmp_path / device.type, config, device).fit(first, {"round": 1})[0] for device in (CPU, GPU)]
    for on_cpu, on_gpu, before in zip(*trained, first, strict=True):
        assert np.median(np.abs(on_cpu - on_gpu)) < 0.01 * np.median(np.abs(on_cpu - before))


def test_a_run_goes_on_when_the_gpu_is_gone_and_when_it_is_back(tmp_path: Path, config: Config) -> None:
    arrays = trunk_arrays(Trunk(512, [32, 16], 1))
    for number, device in enumerate((GPU, CPU, GPU), 1):
        arrays, _, _ = partner(tmp_path, config, device).fit(arrays, {"round": number})
    assert partner(tmp_path, config, CPU).evaluate(arrays, {"round": 3})[0] == 0.0
    assert (tmp_path / "metrics" / "round-0003.parquet").is_file()


@pytest.mark.parametrize("profile", [RECORD_DP, RECONSTRUCTION_NOISE])
def test_training_with_noise_runs_there_too(tmp_path: Path, config: Config, profile: str) -> None:
    config = replace(config, privacy=replace(config.privacy, profile=profile, noise_multiplier=1.0, epsilon=1e6, delta=1e-4))
    trained, _, _ = partner(tmp_path, config, GPU).fit(trunk_arrays(Trunk(512, [32, 16], 1)), {"round": 1})
    assert all(np.isfinite(array).all() for array in trained)
