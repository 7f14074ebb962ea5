"""All attacks, in the order in which the report tells of them."""

from collections.abc import Callable, Sequence

import numpy as np

from fedapp.config import Config
from fedapp.seeds import derived_seed
from simulation.audit.attacks import (
    attribution,
    canaries,
    coordinator_view,
    decoding,
    inversion,
    isolation,
    membership,
    properties,
    repeated_rounds,
    rows,
    series,
    shared_heads,
    sizes,
    substructures,
    targets,
)
from simulation.audit.consortia import run_consortia
from simulation.audit.federations import Trial, undefended
from simulation.audit.findings import CONTROL, ON, AuditOutcome
from simulation.audit.pool import Pool
from simulation.audit.scenario import Scenario

Attack = Callable[[Scenario], AuditOutcome]

ATTACKS: tuple[tuple[str, Attack], ...] = (
    ("rows", rows.attack),
    ("decoding", decoding.attack),
    ("inversion", inversion.attack),
    ("membership", membership.attack),
    ("shared heads", shared_heads.attack),
    ("attribution", attribution.attack),
    ("properties", properties.attack),
    ("substructures", substructures.attack),
    ("isolation", isolation.attack),
    ("targets", targets.attack),
    ("series", series.attack),
    ("sizes", sizes.attack),
    ("repeated rounds", repeated_rounds.attack),
)
ONCE: tuple[Attack, ...] = (decoding.control, inversion.control, coordinator_view.attack)  # not for each kind of trials


def attack(pool: Pool, config: Config, defences: str, trials: Sequence[Trial], stage: Callable[[str], None]) -> AuditOutcome:
    """Every attack on the trials of one kind, the target first.

    Args:
        defences: ON or OFF.
        stage: Told which attack goes on.
    """
    stage(f"training federations that leave out targets and series, defences {defences}")
    consortia = run_consortia(pool, config if defences == ON else undefended(config), defences)
    scenario = Scenario(pool, trials, defences, config, seeded(config, "audit attacks", defences), consortia)
    outcome = AuditOutcome()
    for name, attack_with in ATTACKS:
        stage(f"attacking, defences {defences}: {name}")
        outcome += attack_with(scenario)
    return outcome


def attack_once(pool: Pool, config: Config, target: Trial) -> AuditOutcome:
    """Attacks that cannot work at this size, where they are known to; and the coordinator's view of the target."""
    scenario = Scenario(pool, [target], CONTROL, config, seeded(config, "audit controls"))
    return sum((attack_with(scenario) for attack_with in ONCE), AuditOutcome())


def attack_with_canaries(pool: Pool, config: Config) -> AuditOutcome:
    """What canaries say of epsilon, in a federation that trains on them."""
    return canaries.attack(Scenario(pool, [], ON, config, seeded(config, "canaries")))


def seeded(config: Config, *purpose: str) -> np.random.Generator:
    """What attacks draw from."""
    return np.random.default_rng(derived_seed(config.seed, *purpose))
