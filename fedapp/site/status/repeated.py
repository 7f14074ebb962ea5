"""What a partner was made to repeat in its run, beside what it allows; at the limits it refuses, and a person decides."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from fedapp.consortium.policy_file import PolicyFile
from fedapp.partner_folder import PartnerFolder
from fedapp.site.status.ledger import HeldTrunk
from strategies.partner.repetition import read_repetition

LIMITS = ("survivor_lists", "sessions", "cohort_changes")


def repeated(folder: Path, policy: PolicyFile | None, trunk: HeldTrunk) -> dict[str, Any]:
    """As one JSON object: `sessions` and `cohort_changes` of the run, `round` (the one after the trunk that is held) with its signed
    `survivor_lists`, `repeated` (rounds that were trained or signed more than once: round, trainings, survivor_lists), and `allowed` (of
    each of `LIMITS`; None without a policy).

    Raises:
        DamagedFileError: The file that says so is lost or damaged.
    """
    counted, following = read_repetition(PartnerFolder(folder)), trunk.version + 1
    return {
        "sessions": counted.sessions,
        "cohort_changes": counted.cohort_changes,
        "round": following,
        "survivor_lists": counted.of_round(following).survivor_lists,
        "repeated": [
            {"round": number, **asdict(count)}
            for number, count in sorted(counted.rounds.items())
            if max(count.trainings, count.survivor_lists) > 1
        ],
        "allowed": {name: getattr(policy, name) if policy else None for name in LIMITS},
    }
