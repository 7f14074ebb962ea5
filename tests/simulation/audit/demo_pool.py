"""Real structures for tests of the audit: the demo's partners, and a pool of few compounds."""

from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import numpy as np

from fedapp.config import Config, load_config
from fedapp.data.dataset import Dataset
from fedapp.data.demo import demo_dataset
from simulation.audit.federations import Trial
from simulation.audit.findings import ON
from simulation.audit.pool import Pool, draw_pool
from simulation.audit.scenario import Scenario

OF = 9  # partners among whom the demo's structures are divided; three of them are enough here, and small
FEW = ("data.partners=3", "federation.rounds=3", "model.hidden=[16]", "audit.compounds=120", "training.batch_size=16")


@cache
def demo_config(*overrides: str) -> Config:
    return load_config(None, (*FEW, *overrides))


@cache
def demo_datasets() -> dict[str, Dataset]:
    """Three partners of the demo, made once."""
    config, folder = demo_config(), Path(mkdtemp(prefix="polyphony-demo-"))
    return {f"partner-{number}": demo_dataset(folder / f"{number}", number, OF, config.chemistry, config.tasks) for number in (1, 2, 3)}


@cache
def demo_pool() -> Pool:
    """120 compounds of each."""
    return draw_pool(demo_datasets(), demo_config())


def scenario(pool: Pool, *trials: Trial, defences: str = ON, config: Config | None = None) -> Scenario:
    """Attacks on these trials, the target first."""
    return Scenario(pool, trials, defences, config or demo_config(), np.random.default_rng(0))
