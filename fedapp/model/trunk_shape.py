"""Shapes of the trunk's arrays, as an experiment's configuration determines them; without torch, for those who only carry trunks."""

from itertools import pairwise

from fedapp.config import Config
from fedapp.data.catalogue import catalogue_of
from strategies.secagg.messages import SLOTS


def layer_shapes(config: Config) -> tuple[tuple[int, ...], ...]:
    """Shapes of the arrays of the trunk's layers: the first one's weight and bias, then those of each further one."""
    hidden = list(config.model.hidden)
    first: list[tuple[int, ...]] = [(config.chemistry.bits, hidden[0]), (hidden[0],)]
    for before, after in pairwise(hidden):
        first += [(after, before), (after,)]
    return tuple(first)


def slot_count(config: Config) -> int:
    """Shared heads, one for each slot of the catalogue of common endpoints; 0 without a catalogue.

    Raises:
        ConfigError: The catalogue cannot be read.
    """
    return len(catalogue_of(config).slots)


def trunk_shapes(config: Config) -> tuple[tuple[int, ...], ...]:
    """Shapes of all arrays that partners share: those of the layers, then, with a catalogue, the shared heads, a slot a row, bias last.

    Raises:
        ConfigError: As `slot_count`.
    """
    slots = slot_count(config)
    return layer_shapes(config) + (((slots, config.model.hidden[-1] + 1),) if slots else ())


def layout(config: Config) -> str:
    """Shapes as text, such as "32768x400,400", or "32768x400,400,slots:258x401" with shared heads."""
    layers = layer_shapes(config)
    texts = ["x".join(map(str, shape)) for shape in trunk_shapes(config)]
    return ",".join(texts[: len(layers)] + [SLOTS + text for text in texts[len(layers) :]])
