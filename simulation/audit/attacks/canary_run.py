"""A federation whose first partner trains on canaries, and what their discovery says of epsilon."""

from pathlib import Path

import numpy as np

from fedapp.config import RECORD_DP, Config
from fedapp.seeds import derived_seed
from simulation.audit.attacks.canaries import audit, canaries, canary_scores, finding, with_canaries
from simulation.audit.federations import federate, held_bits, set_up, whole
from simulation.audit.findings import Finding
from simulation.audit.pool import Pool
from simulation.federation import guard

CANARIES, BITS, LABELS = 400, 40, 8


def canary_epsilon(pool: Pool, config: Config, kind: str, folder: Path) -> Finding:
    """Train on all compounds of the pool and on about half of 400 canaries, and guess which; with record-level privacy the bound is
    held against the stated epsilon.

    Args:
        folder: Scratch, for the partners' states.
    """
    generator = np.random.default_rng(derived_seed(config.seed, "canaries"))
    first, *_ = pool.datasets
    rows = guard(pool.datasets, config, folder / "rows")
    made = canaries(rows.listed & rows.supports[0] & held_bits(pool), len(pool.datasets[first].tasks), CANARIES, BITS, LABELS, generator)
    included = generator.random(CANARIES) < 0.5
    datasets = pool.datasets | {first: with_canaries(pool.datasets[first], made, included, config.training_folds()[0])}
    setting = set_up(datasets, config, folder, held_bits(pool))
    _, trunks, _ = federate(setting)
    scores = canary_scores(made, [whole(arrays, setting.columns, pool.bits) for arrays in trunks])
    stated = config.privacy.epsilon if config.privacy.profile == RECORD_DP else None
    return finding(audit(scores, included, config.privacy.delta), kind, stated)
