"""Shapes of the trunk's arrays, as an experiment's configuration determines them; without torch, for those who only carry trunks."""

from itertools import pairwise

from fedapp.config import Config


def trunk_shapes(config: Config) -> tuple[tuple[int, ...], ...]:
    """Shapes of the trunk's arrays: the first layer's weight and bias, then those of each further one."""
    hidden = list(config.model.hidden)
    first: list[tuple[int, ...]] = [(config.chemistry.bits, hidden[0]), (hidden[0],)]
    for before, after in pairwise(hidden):
        first += [(after, before), (after,)]
    return tuple(first)


def layout(config: Config) -> str:
    """Shapes as text, such as "32768x400,400"."""
    return ",".join("x".join(map(str, shape)) for shape in trunk_shapes(config))
