"""The trunk before the first round: from the experiment's seed, or from a secret that the partners have in common."""

from math import prod

import numpy as np

from fedapp.config import Config
from fedapp.model.trunk_shape import layer_shapes, trunk_shapes
from strategies.secagg.keystream import keystream


def first_trunk(config: Config, key: bytes) -> list[np.ndarray]:
    """Arrays of the form of `trunk_shapes`, float32, equal at all partners; shared heads are zero, so that nobody begins ahead of others.

    Args:
        key: 32 bytes from the partners' group key; a simulation that shall repeat uses its seed instead.
    """
    layers = layer_shapes(config)
    shared_heads = [np.zeros(shape, dtype=np.float32) for shape in trunk_shapes(config)[len(layers) :]]
    if config.federation.initial_trunk == "group_key":
        return drawn_trunk(layers, key) + shared_heads
    from fedapp.model.network import Trunk, trunk_arrays  # imports torch, which a drawn trunk does without

    return trunk_arrays(Trunk(config.chemistry.bits, list(config.model.hidden), config.seed)) + shared_heads


def drawn_trunk(shapes: tuple[tuple[int, ...], ...], key: bytes) -> list[np.ndarray]:
    """Uniform within ±1/sqrt(inputs) of each layer, from the keystream of `key`: 24 bits a value."""
    stream = np.frombuffer(keystream(key, 4 * sum(map(prod, shapes))), dtype="<u4")
    arrays, first = [], 0
    for number, shape in enumerate(shapes):
        weight = shapes[number - number % 2]  # a bias is as wide as its layer's weight
        inputs = weight[0] if number < 2 else weight[1]
        drawn = (stream[first : first + prod(shape)] >> 8).astype(np.float32) * np.float32(2.0**-23) - np.float32(1.0)
        arrays.append((drawn * np.float32(inputs**-0.5)).reshape(shape))
        first += prod(shape)
    return arrays
