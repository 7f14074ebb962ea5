"""What a partner's status tells of others that were proven to misbehave."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from fedapp.site.status.attention import misbehaved
from fedapp.site.status.proven import proven_guilty
from fedapp.storage.damage import DamagedFileError
from strategies.secagg import proofs, transcript, verification, wire
from strategies.secagg.messages import SignedAdvertisement
from strategies.secagg.phases import Step
from strategies.secagg.transcript import Entry, Fact
from tests.strategies.secagg.parties import identities
from tests.strategies.secagg.stages import before


def proof(usable: bool) -> bytes:
    """That partner 3 advertised a key that cannot be used; or one that proves nothing, since its key can be."""
    at = before(Step.ADVERTISE_KEYS)
    parameters = at.parties.coordinator.parameters
    body = wire.decode(SignedAdvertisement, at.deliver(3, at.requests[3])).body
    body = body if usable else replace(body, kem=b"\xff" * len(body.kem))
    signature = identities(4)[2].sign(verification.advertisement_message(parameters, body))
    return proofs.encode(proofs.UnusableKey(parameters, SignedAdvertisement(body, signature)))


def written(path: Path, *facts: Fact) -> None:
    """A transcript of partner 1 with a line for each fact, and one without any before them."""
    roster, last, lines = before(Step.ADVERTISE_KEYS).parties.roster, None, list[str]()
    for number, seen in enumerate([(), *((fact,) for fact in facts)]):
        entry, line = transcript.append(
            last,
            identity=identities(4)[0],
            roster_digest=roster.digest(),
            session=b"s" * 32,
            number=number,
            phase=Step.COLLECT.value,
            facts=seen,
            received=hashlib.sha256(b"").digest(),
            sent=b"",
            refused="",
        )
        assert isinstance(entry, Entry)
        last = entry
        lines.append(line + "\n")
    path.write_text("".join(lines))


def test_a_proof_in_the_transcript_is_told_once_with_what_was_done_and_one_that_proves_nothing_is_not(tmp_path: Path) -> None:
    roster, path = before(Step.ADVERTISE_KEYS).parties.roster, tmp_path / "transcript.jsonl"
    assert proven_guilty(path, roster) == {}
    named = Fact("proof against partner 3", proof(usable=False))
    written(path, named, named, Fact("proof against partner 3", proof(usable=True)), Fact("proof against partner 2", b"junk"))
    guilty = proven_guilty(path, roster)
    assert guilty == {"partner-3": ["it signed a key that nothing can be encrypted for"]}
    (concern,) = misbehaved(guilty)
    assert concern.about == "partner-3 misbehaved"
    assert "polyphony transcript verify" in concern.hint


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "transcript.jsonl"
    path.write_text('{"facts": {"proof against partner 3": "00"}}\n')
    with pytest.raises(DamagedFileError, match=r"transcript\.jsonl is damaged: not an entry of a transcript"):
        proven_guilty(path, before(Step.ADVERTISE_KEYS).parties.roster)
