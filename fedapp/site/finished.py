"""Whether a run is finished at every partner, by what the coordinator has written down itself: then nobody need be asked for anything.

A session tells where partners stand, but it costs each of them one of those that its policy allows, and adds a row list up. The
coordinator knows without one that nothing is left to do: its rounds ended well under these very terms, and in their last exchange every
partner of the roster took the last sum in. What a partner lost since, it does not know.
"""

import hashlib
from pathlib import Path

from fedapp.consortium.roster_file import load_roster
from fedapp.run_folder import read_outcome
from fedapp.site.folder import Site
from fedapp.storage.damage import DamagedFileError
from strategies.coordinator.journal import Exchange, read_journal
from strategies.secagg.phases import Step

TERMS = "terms"  # in an outcome: under which proposal the rounds ended


def terms_digest(site: Site) -> str:
    """Names what the coordinator proposes: experiment, roster, rounds, version."""
    return hashlib.sha256(site.proposal.read_bytes()).hexdigest()


def nothing_left(site: Site) -> bool:
    """Whether all rounds of the present proposal are done, and every partner is known to have had the last trunk then.

    Raises:
        DamagedFileError: The journal is damaged.
        ConfigError: Roster or configuration are unusable.
    """
    try:
        outcome = read_outcome(outcome_file(site))
    except DamagedFileError:
        return False  # partners know, and the next run writes it anew
    if outcome.get("state") != "finished" or outcome.get(TERMS) != terms_digest(site):
        return False
    exchanges = read_journal(site.coordinator / "journal.jsonl")
    return bool(exchanges) and _by_all(exchanges[-1], site.config().federation.rounds, len(load_roster(site.roster).members))


def outcome_file(site: Site) -> Path:
    """How the coordinator's rounds ended."""
    return site.coordinator / "outcome.json"


def _by_all(last: Exchange, rounds: int, partners: int) -> bool:
    """A partner that answered without the trunk is asked once more, by itself, so that the last exchange is of fewer than all."""
    return last.phase == Step.FINISH and last.round == rounds and last.asked == last.replied == partners and not last.left_out
