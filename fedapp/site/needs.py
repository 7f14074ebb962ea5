"""What a round takes of a machine: memory and disk, by the size of the experiment's trunk."""

from math import prod

from fedapp.config import Config
from fedapp.model.trunk_shape import trunk_shapes

WEIGHT = 4  # bytes
# Copies of the trunk that a partner's rounds need: on disk the trunk, its velocity and the kept model (each once more while it is
# replaced), Adam's moments of three rounds, and a message in each direction; in memory trunk, velocity, gradient, moments, update, masks
# and messages.
DISK_COPIES, MEMORY_COPIES = 16, 11
DISK_BASE, MEMORY_BASE = 500 << 20, 1500 << 20  # bytes for logs and records; for the libraries


def weights(config: Config) -> int:
    """Of the trunk."""
    return sum(prod(shape) for shape in trunk_shapes(config))


def partner_memory(config: Config) -> int:
    """Bytes that a partner's round needs."""
    return MEMORY_BASE + MEMORY_COPIES * WEIGHT * weights(config)


def coordinator_memory(config: Config, partners: int) -> int:
    """Bytes that a round needs at the coordinator: every partner's words may be there at once, at Flower and at the app that adds them."""
    return MEMORY_BASE + (2 * partners + 4) * WEIGHT * weights(config)
