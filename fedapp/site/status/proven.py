"""Who was proven to misbehave, by what this partner was shown and keeps in its transcript."""

from pathlib import Path

from fedapp.storage.damage import reading
from strategies.secagg import transcript
from strategies.secagg.proofs import decode, proven
from strategies.secagg.roster import Roster
from strategies.secagg.transcript_findings import PROOF, what_was_done

MARK = '"proof against partner '  # in a line that keeps one; the others need not be parsed


def proven_guilty(path: Path, roster: Roster) -> dict[str, list[str]]:
    """Partner to what it did, each thing once; of what proves nothing nothing is told.

    Args:
        path: The transcript, which may not exist yet.
    Raises:
        DamagedFileError: A line is no entry.
    """
    found: dict[str, dict[str, None]] = {}
    if not path.is_file():
        return {}
    with reading(path, "polyphony transcript verify tells which line, and what is wrong with it"), path.open(encoding="utf-8") as lines:
        for line in lines:
            entry = transcript.parse(line) if MARK in line else None
            for fact in entry.facts if entry else ():
                if PROOF.fullmatch(fact.name) and (accused := proven(roster, fact.value)) is not None:
                    found.setdefault(roster.member(accused).name, {})[what_was_done(decode(fact.value))] = None
    return {name: list(done) for name, done in found.items()}
