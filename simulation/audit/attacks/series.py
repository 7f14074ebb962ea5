"""Whether others train on a chemical series, from the row list, the last trunk and a few analogues that nobody trains on.

None of it is gated: the row list names by design what enough partners have in common, and a series of many compounds is in it.
"""

import numpy as np

from simulation.audit.attacks.in_play import Asked, Way, findings
from simulation.audit.findings import AuditOutcome
from simulation.audit.fresh_signals import LIST
from simulation.audit.scenario import Scenario
from simulation.audit.signals import TRUNK

WHAT = "Chance that a series that somebody trains on is told from one that nobody does, by three analogues that nobody trains on (AUC)."
WAYS = (
    Way("series from the row list", "partner", (LIST,), shadows=False),
    Way("series from the last trunk", "outsider", TRUNK, shadows=False),
    Way("series from the last trunk, with shadow trunks", "outsider", TRUNK, shadows=True),
    Way("series from row list and last trunk, with shadows", "partner", (*TRUNK, LIST), shadows=True),
)


def attack(scenario: Scenario) -> AuditOutcome:
    """From the row list, where there is one, and from trunks, without and with other federations as shadows."""
    consortia, asked = scenario.consortia, None
    if consortia:
        asked = Asked(np.stack([each.series for each in consortia]), [each.of_series for each in consortia])
    return AuditOutcome(findings=tuple(findings("series_in_play", "series", WHAT, WAYS, asked, scenario)))
