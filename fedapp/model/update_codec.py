"""How an update of an experiment becomes words: one copy for partners, the coordinator of plain rounds and what repeats them."""

import numpy as np

from fedapp.config import Config
from fedapp.model.trunk_shape import trunk_shapes
from strategies.update.shared_trunk import UpdateCodec


def update_codec(config: Config, rows: np.ndarray, partners: int) -> UpdateCodec:
    """The codec over these rows of the first layer: int64, ascending.

    Args:
        partners: Most partners in a sum; a real federation has as many as its roster, whatever `data.partners` says.
    """
    return UpdateCodec(trunk_shapes(config), rows, config.privacy.word_bits, partners, config.federation.largest_weight)
