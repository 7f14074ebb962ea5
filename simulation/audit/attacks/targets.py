"""Whether others work on a target, from trunks and ten labelled compounds of it that nobody trains on.

None of it is gated. A trunk that helps a newcomer with a target that others measure has learned of that target: to be told so is what a
partner takes part for. Targets with a shared head need no attack: how many partners measure them all partners know.
"""

import numpy as np

from simulation.audit.attacks.in_play import Asked, Way, findings
from simulation.audit.findings import AuditOutcome
from simulation.audit.fresh_signals import CHANGE, EMBEDDING, EMBEDDINGS
from simulation.audit.scenario import Scenario

WHAT = "Chance that a target that somebody trains on is told from one that nobody does, by ten compounds that nobody trains on (AUC)."
WAYS = (
    Way("target from the last trunk", "outsider", (EMBEDDING, CHANGE), shadows=False),
    Way("target from the trunks of all rounds", "partner", (EMBEDDINGS, CHANGE), shadows=False),
    Way("target with shadow trunks", "partner", (EMBEDDING, CHANGE, EMBEDDINGS), shadows=True),
)


def attack(scenario: Scenario) -> AuditOutcome:
    """Without and with other federations as shadows; whoever has the last trunk is taken to know the first one, too."""
    consortia, asked = scenario.consortia, None
    if consortia:
        asked = Asked(np.stack([each.targets for each in consortia]), [each.of_targets for each in consortia])
    return AuditOutcome(findings=tuple(findings("target_in_play", "targets", WHAT, WAYS, asked, scenario)))
