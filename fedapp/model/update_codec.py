"""How an update of an experiment becomes words: one copy for partners, the coordinator of plain rounds and what repeats them."""

import numpy as np

from fedapp.config import Config
from fedapp.model.trunk_shape import trunk_shapes
from strategies.update.codec import UpdateCodec


def update_codec(config: Config, listed: np.ndarray, partners: int) -> UpdateCodec:
    """The codec where this may leave: bool [bits + slots of shared heads], empty before anybody agreed.

    Args:
        partners: Most partners in a sum; a real federation has as many as its roster, whatever `data.partners` says.
    """
    return UpdateCodec(trunk_shapes(config), listed, config.privacy.word_bits, partners, config.federation.largest_weight)
