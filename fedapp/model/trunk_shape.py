"""Shapes of the trunk's arrays, as an experiment's configuration determines them; without torch, for those who only carry trunks."""

from itertools import pairwise

from fedapp.config import Config
from fedapp.data.catalogue import catalogue_of


def layer_shapes(config: Config) -> tuple[tuple[int, ...], ...]:
    """Shapes of the arrays of the trunk's layers: the first one's weight (bits, width) and bias, then those of each further one."""
    hidden = list(config.model.hidden)
    first: list[tuple[int, ...]] = [(config.chemistry.bits, hidden[0]), (hidden[0],)]
    for before, after in pairwise(hidden):
        first += [(after, before), (after,)]
    return tuple(first)


def trunk_shapes(config: Config) -> tuple[tuple[int, ...], ...]:
    """Shapes of all arrays that partners share: the layers', then, with a catalogue, (slots, features + 1), weight and bias of each head.

    Raises:
        ConfigError: As `fedapp.data.catalogue.catalogue_of`.
    """
    slots = len(catalogue_of(config).slots)
    return layer_shapes(config) + (((slots, config.model.hidden[-1] + 1),) if slots else ())


def layout(config: Config) -> str:
    """Shapes as text, such as "32768x400,400"."""
    return ",".join("x".join(map(str, shape)) for shape in trunk_shapes(config))
