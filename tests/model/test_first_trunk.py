"""The trunk before the first round: from the seed it is the network's own, from a secret it is as good and nobody's guess."""

import numpy as np
import pytest

from fedapp.config import load_config
from fedapp.model.first_trunk import drawn_trunk, first_trunk
from fedapp.model.network import Trunk, trunk_arrays
from fedapp.model.trunk_shape import trunk_shapes
from tests.helpers.federation import equal

KEY = b"k" * 32
SHAPES = ((4096, 64), (64,), (32, 64), (32,))


def test_from_the_seed_it_is_that_of_the_network_whatever_the_key() -> None:
    config = load_config(None, ("model.hidden=[8,4]", "chemistry.bits=256", "seed=3"))
    expected = trunk_arrays(Trunk(256, [8, 4], 3))
    for key in (KEY, b"", b"x" * 32):
        assert equal(first_trunk(config, key), expected)


def test_from_the_group_key_it_depends_on_the_key_and_not_on_the_seed() -> None:
    configs = [load_config(None, ("federation.initial_trunk=group_key", "chemistry.bits=256", f"seed={seed}")) for seed in (1, 2)]
    assert equal(first_trunk(configs[0], KEY), first_trunk(configs[1], KEY))
    assert not equal(first_trunk(configs[0], KEY), first_trunk(configs[0], b"x" * 32))


def test_both_have_the_form_of_the_networks_trunk() -> None:
    for overrides in ("federation.initial_trunk=seed",), ("federation.initial_trunk=group_key",):
        config = load_config(None, ("model.hidden=[8,4,2]", "chemistry.bits=256", *overrides))
        arrays = first_trunk(config, KEY)
        assert [array.shape for array in arrays] == list(trunk_shapes(config)) == [(256, 8), (8,), (4, 8), (4,), (2, 4), (2,)]
        assert all(array.dtype == np.float32 for array in arrays)


@pytest.mark.parametrize(("number", "inputs"), [(0, 4096), (1, 4096), (2, 64), (3, 64)])
def test_a_drawn_trunk_is_uniform_within_what_its_layer_needs(number: int, inputs: int) -> None:
    """Within ±1/sqrt(inputs), as PyTorch draws a linear layer: bounds, mean and variance."""
    array, bound = drawn_trunk(SHAPES, KEY)[number].astype(np.float64), inputs**-0.5
    assert -bound <= array.min()
    assert array.max() < bound
    spread = bound / np.sqrt(3 * array.size)  # standard deviation of the mean
    assert abs(array.mean()) < 5 * spread
    assert array.std() == pytest.approx(bound / np.sqrt(3), rel=5 / np.sqrt(array.size))


def test_no_part_of_a_drawn_trunk_is_drawn_twice() -> None:
    arrays = drawn_trunk(((64, 32), (32,), (32, 32), (32,)), KEY)
    scaled = np.concatenate([(array * np.sqrt(inputs)).ravel() for array, inputs in zip(arrays, (64, 64, 32, 32), strict=True)])
    assert len(np.unique(scaled.round(5))) > 0.98 * len(scaled)


def test_a_drawn_trunk_is_the_same_on_every_machine() -> None:
    """The first values, worked out once from AES-256-CTR of the key over zeros; a change here would part partners of two versions."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    stream = Cipher(algorithms.AES(KEY), modes.CTR(bytes(16))).encryptor().update(bytes(8))
    expected = [(int.from_bytes(stream[start : start + 4], "little") >> 8) / 2**23 - 1 for start in (0, 4)]
    assert drawn_trunk(((1, 2), (2,)), KEY)[0].tolist() == [[pytest.approx(value, abs=1e-7) for value in expected]]
