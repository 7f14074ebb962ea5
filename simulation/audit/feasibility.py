"""What can be known of an audit before anything is trained: whether the row guard leaves enough to attack.

Under record-level privacy a partner's rows are chosen with noise, once it trains; there an audit finds out later.
"""

from pathlib import Path

import numpy as np

from fedapp.config import RECORD_DP, Config
from fedapp.model.update_codec import update_codec
from simulation.audit.attacks import canaries, coordinator_view
from simulation.audit.federations import half_of, held_bits, listed_columns
from simulation.audit.own_rows import cut_to
from simulation.audit.pool import Pool
from simulation.federation import guard


def check_row_guard(pool: Pool, config: Config, trials: int, folder: Path) -> None:
    """Count what the row guard leaves of each trial with the defences on, and of the federation with canaries.

    Args:
        folder: Scratch.
    Raises:
        DataError: It leaves no row of one of them, none for canaries, or of the target a sum too short to be judged.
    """
    if config.privacy.profile == RECORD_DP:
        return
    wanted = held_bits(pool)
    columns = [listed_columns(guard(half_of(pool, config, number)[1], config, folder), config, wanted) for number in range(trials)]
    canaries.bits_to_draw(pool, guard(pool.datasets, config, folder))
    target, *_ = columns
    form = update_codec(cut_to(config, target), np.ones(len(target), dtype=np.bool_), config.data.partners)
    coordinator_view.check_length(form.words, config.privacy.row_guard)
