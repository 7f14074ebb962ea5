"""What an attack is given."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fedapp.config import Config
from simulation.audit.consortia import Consortium
from simulation.audit.federations import Trial
from simulation.audit.findings import ON
from simulation.audit.pool import Pool

ATTACKER = 0  # number of the partner that attacks where one has to be chosen: the first, which has most assays


@dataclass(frozen=True)
class Scenario:
    """Federations of one kind, and what their adversaries know beside what they see.

    Attributes:
        pool: Every compound that may have been trained on.
        trials: The target first, then its shadows; empty for an attack that trains a federation of its own.
        defences: ON or OFF: with which the trials were trained; CONTROL for an attack in a setting in which it is known to work.
        config: The experiment as it is configured, its defences on.
        generator: Every attack draws from it in turn: a figure depends on which attacks came before.
        consortia: Federations of their own for attacks on partners as a whole; empty where there are none.
    """

    pool: Pool
    trials: Sequence[Trial]
    defences: str
    config: Config
    generator: np.random.Generator
    consortia: Sequence[Consortium] = ()

    @property
    def target(self) -> Trial:
        """The trial under attack."""
        return self.trials[0]

    @property
    def row_guard(self) -> int:
        """Of the trials; 0 for none."""
        return self.config.privacy.row_guard if self.defences == ON else 0

    @property
    def least_supporters(self) -> int:
        """Of a row of the trials; 1 for one without a row guard."""
        return self.config.privacy.least_supporters if self.row_guard > 1 else 1
