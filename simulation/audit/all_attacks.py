"""All attacks on the trials of an audit, in the order in which the report tells of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from fedapp.config import Config
from fedapp.errors import DataError
from fedapp.seeds import derived_seed
from simulation.audit.attacks import attribution, coordinator_view, decoding, inversion, membership, properties, rows
from simulation.audit.federations import Trial
from simulation.audit.findings import OFF, ON, Curve, Finding, Recovered
from simulation.audit.pool import Pool
from strategies.update.leakage import twin_groups

ATTACKER = 0  # number of the partner that attacks where one has to be chosen: the first, which has most assays
LAST_ROUNDS = 5  # that are attacked with the defences off
GATED = 3  # figures of attribution that are judged, for the confidence of each
COORDINATOR_ROWS = 256  # of the first layer, that the coordinator's view is judged on


@dataclass(frozen=True)
class AuditOutcome:
    """What came out of the attacks on the trials of one kind."""

    findings: list[Finding] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)
    recovered: list[Recovered] = field(default_factory=list)


def attack(pool: Pool, config: Config, kind: str, trials: Sequence[Trial], stage: Callable[[str], None]) -> AuditOutcome:
    """Every attack on the trials of one kind, the target first.

    Args:
        kind: ON or OFF.
        stage: Told which attack goes on.
    """
    outcome, generator = AuditOutcome(), np.random.default_rng(derived_seed(config.seed, "audit attacks", kind))
    target, guard = trials[0], config.privacy.row_guard if kind == ON else 0
    stage(f"attacking, defences {kind}: rows")
    found, recovered = rows.findings(pool, target, kind, guard, generator)
    outcome.findings.extend(found)
    outcome.recovered.extend(recovered)
    stage(f"attacking, defences {kind}: decoding and inversion")
    outcome.findings.extend(decoding.findings(pool, target, kind))
    outcome.findings.extend(inversion.findings(pool, target, kind, generator))
    stage(f"attacking, defences {kind}: membership")
    found, curves = membership.findings(trials, pool, kind, generator)
    outcome.findings.extend(found)
    outcome.curves.extend(curves)
    stage(f"attacking, defences {kind}: attribution and properties")
    outcome.findings.extend(attributed(pool, target, kind, config, generator))
    outcome.findings.extend(inferred(pool, target, kind, generator))
    return outcome


def controls(pool: Pool, config: Config, target: Trial) -> list[Finding]:
    """Attacks that cannot work at this size, where they are known to; and the coordinator's view."""
    generator = np.random.default_rng(derived_seed(config.seed, "audit controls"))
    largest = max(pool.datasets.values(), key=lambda dataset: len(dataset.folds))
    found = decoding.control_findings(largest, generator) + inversion.control_findings(largest, generator)
    return found + coordinators(target, config)


def attributed(pool: Pool, target: Trial, kind: str, config: Config, generator: np.random.Generator) -> list[Finding]:
    """Whose compound it is: from the sums, from what is left of the last one without the attacker's own, and, as a control, in the
    clear. With the defences off the last rounds are enough to show that it works."""
    assert target.updates is not None
    case = attribution.Case.of(pool, target.members, (ATTACKER,), kind)
    share = config.federation.server_learning_rate / len(target.updates)
    trunks = target.trunks if kind == ON else target.trunks[-LAST_ROUNDS - 1 :]
    sums, last = list(attribution.steps(trunks)), target.updates[[ATTACKER]]
    groups = [twin_groups(after[0] - before[0], before[0]) for before, after in pairwise(trunks)]
    found = [
        attribution.from_sums(case, sums, generator, looks=GATED),
        attribution.from_sums(
            case, attribution.steps(target.trunks[-2:], [last], share), generator, "source inference without one's own", looks=GATED
        ),
        attribution.from_groups(case, sums, groups, generator, looks=GATED),
    ]
    if kind == OFF:
        clear = attribution.Case.of(pool, target.members, (), kind)
        found.append(attribution.from_updates(clear, target.updates, generator))
    return found


def inferred(pool: Pool, target: Trial, kind: str, generator: np.random.Generator) -> list[Finding]:
    """What the row list and the sums tell of the other partners as a whole."""
    partners = len(pool.datasets)
    sizes = np.array([inside.sum() for inside in pool.split(target.members)], dtype=np.float64)
    cohorts = [list(range(partners))] * (len(target.trunks) - 1)
    found = properties.quality_findings(properties.signals(target.trunks), cohorts, sizes, ATTACKER, kind, generator)
    return found + (properties.from_row_list(target.listed, target.supports, ATTACKER, kind) if kind == ON else [])


def coordinators(target: Trial, config: Config) -> list[Finding]:
    """The coordinator's view of the last round's words, under secure aggregation and in the clear.

    Raises:
        DataError: The sum is so short that nothing could be told of it.
    """
    assert target.words is not None
    width = config.model.hidden[0]
    if target.words.shape[1] < coordinator_view.FEWEST_WORDS:
        raise DataError(
            f"privacy.row_guard of {config.privacy.row_guard} leaves a sum of {target.words.shape[1]} words of so few compounds, and the "
            f"coordinator's view is judged on {coordinator_view.FEWEST_WORDS} or more",
            "raise audit.compounds, or use more data",
        )
    words = np.ascontiguousarray(target.words[:, : COORDINATOR_ROWS * width])
    return coordinator_view.coordinator_findings(words, np.zeros_like(words), width)
