"""What partners hold against each other: what their roster means, and whether their transcripts tell the same story."""

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fedapp.errors import ConfigError, DataError, explained
from fedapp.storage.damage import DamagedFileError
from fedapp.storage.json_lines import whole_lines
from strategies.secagg import transcript
from strategies.secagg.errors import MalformedMessageError, UnknownPartnerError
from strategies.secagg.identity import PublicIdentity
from strategies.secagg.roster import Roster
from strategies.secagg.transcript import BrokenTranscriptError
from strategies.secagg.transcript_comparison import Difference, common, compare, shorter
from strategies.secagg.transcript_findings import Proven, Trunk, check_proofs, findings

ADVISED_PARTNERS = 5


def meaning(roster: Roster, ours: PublicIdentity | None = None) -> dict[str, Any]:
    """What a roster promises, as one JSON object.

    Args:
        own: Finds us in the roster.
    Raises:
        ConfigError: We are not in it.
    """
    facts: dict[str, Any] = {
        "consortium": roster.consortium,
        "partners": len(roster.members),
        "threshold": roster.threshold,
        "minimum": roster.minimum,
        "drop_outs": len(roster.members) - roster.least(),
        "colluders": colluders(roster),
        "digest": spoken(roster.digest()),
        "warnings": warnings(roster),
    }
    if ours is None:
        return facts
    try:
        index = roster.index_of(ours)
    except UnknownPartnerError as error:
        raise ConfigError(str(error), "send our identity.pub to whoever keeps the roster, or name the roster that has us") from error
    return facts | {"index": index, "name": roster.member(index).name}


def colluders(roster: Roster) -> int:
    """Partners that may collude with the coordinator and still learn no more than the sum of the others: the most c with 2t > n + c.

    At most n - 2: n - 1 of them find the last one's update by subtraction, whatever the threshold.
    """
    return min(2 * roster.threshold - len(roster.members) - 1, len(roster.members) - 2)


def warnings(roster: Roster) -> list[str]:
    """What is allowed, but not advised."""
    count, sentences = len(roster.members), []
    if count < ADVISED_PARTNERS:
        sentences.append(f"{count} partners: {ADVISED_PARTNERS} or more are advised, since a sum of few tells more of each")
    if roster.least() == count:
        sentences.append(f"every round needs all {count} partners: one that drops out ends it")
    if colluders(roster) == 0:
        sentences.append(f"with threshold {roster.threshold}, one partner that colludes with the coordinator may learn single updates")
    return sentences


def spoken(digest: bytes) -> str:
    """Hex digits in groups of 8, to be read out."""
    return digest.hex(" ", 4)


def compare_transcripts(paths: Iterable[Path], roster: Roster) -> dict[str, Any]:
    """Compare partners' transcripts, as one JSON object.

    `difference` is None if there is none, `shorter` names whose ends before others', and `proofs` has what any of them proves.

    Raises:
        DataError: Fewer than two partners, one partner twice, nothing in common, or a file that is no transcript of a partner.
        DamagedFileError: A transcript was altered.
        OSError: No such file.
    """
    transcripts: dict[int, tuple[transcript.Entry, ...]] = {}
    for path in paths:
        partner, entries = load_transcript(path, roster)
        if partner in transcripts:
            raise DataError(f"{path}: a second transcript of partner {partner}", "give one file a partner")
        transcripts[partner] = entries
    if len(transcripts) < 2:
        raise DataError("one transcript alone tells nothing", "give the transcripts of two partners or more")
    difference, shared = compare(transcripts), common(transcripts)
    if difference is None and not shared.entries:
        raise DataError("the transcripts have no exchange in common: nothing was compared", "give transcripts of the same sessions")
    result = {"partners": sorted(transcripts), "sessions": shared.sessions, "rounds": shared.rounds, "entries": shared.entries}
    ends = [asdict(end) | {"name": roster.member(end.partner).name} for end in shorter(transcripts)]
    proofs = {proof: None for partner, entries in transcripts.items() for proof in findings(partner, entries, roster).proofs}
    told = {"difference": difference and _describe(difference, roster), "shorter": ends}
    return result | told | {"proofs": [_proof(proof, roster) for proof in proofs]}


def verify_transcripts(paths: Iterable[Path], roster: Roster) -> dict[str, Any]:
    """What each transcript proves and tells by itself, as one JSON object; a file that is broken or missing is told with its reason.

    Proofs are whole: anybody can check the bytes in `proof` again by the roster alone.
    """
    told: list[dict[str, Any]] = []
    broken: list[dict[str, str]] = []
    for path in paths:
        try:
            partner, entries = load_transcript(path, roster)
        except (DamagedFileError, DataError, OSError) as error:
            broken.append({"file": str(path), "reason": _reason(path, error)})
        else:
            told.append({"file": str(path)} | _tell(partner, entries, roster))
    return {"transcripts": told, "broken": broken}


def load_transcript(path: Path, roster: Roster) -> tuple[int, tuple[transcript.Entry, ...]]:
    """Whose transcript a file holds, and its entries, verified; a last line that was cut off when its writer was killed is left out.

    Raises:
        DataError: No entries, or not of a partner of this roster.
        DamagedFileError: A later line was altered, or holds a proof that proves nothing; or what follows the last line is no beginning of
            one.
        OSError: No such file.
    """
    try:
        path.stat()  # one that is missing is no empty one
        lines = whole_lines(path)
        member = transcript.owner(lines[0], roster) if lines else None
    except MalformedMessageError as error:
        raise DataError(f"{path}: no transcript, or its first line was altered", "give partners' transcripts as they wrote them") from error
    if not lines:
        raise DataError(f"{path}: no entries")
    if member is None:
        raise DataError(
            f"{path}: no partner of {roster.consortium} signed its first line",
            "it was altered, or written under another roster: --roster names the one that was in force; a site keeps earlier ones as "
            "`consortium-*.yaml`, with the digits in the name of the transcript",
        )
    try:
        entries = transcript.read(lines, member, roster.digest())
        check_proofs(member, entries, roster)
    except BrokenTranscriptError as error:
        raise DamagedFileError(f"{path}: {error}", f"ask {member.name} for the file as it was written there") from error
    return member.index, entries


def _describe(difference: Difference, roster: Roster) -> dict[str, Any]:
    return {
        "session": difference.session.hex(),
        "round": difference.round,
        "phase": difference.phase,
        "fact": difference.fact,
        "seen": [
            {"partner": view.partner, "name": roster.member(view.partner).name, "value": view.short(), "refused": view.refused}
            for view in difference.seen
        ],
        "parties": list(difference.parties),
        "verdict": difference.verdict,
    }


def _reason(path: Path, error: Exception) -> str:
    """What is wrong with a file, and what to do about it."""
    known = explained(error)
    reason = str(known or error)
    named = reason if reason.startswith(str(path)) else f"{path}: {reason}"
    return f"{named} ({known.hint})" if known is not None and known.hint else named


def _tell(partner: int, entries: tuple[transcript.Entry, ...], roster: Roster) -> dict[str, Any]:
    found = findings(partner, entries, roster)
    places = {(entry.session, entry.round) for entry in entries if entry.phase not in transcript.SET_UP}
    trunks = {
        name: [_trunk(trunk, roster) for trunk in getattr(found, name)]
        for name in ("trained_from", "came_to", "taken_over", "handed_over", "gone_back_to")
    }
    refused = [
        {"error": each.error, "times": each.times, "over": {_named(index, roster): times for index, times in each.over.items()}}
        for each in found.refused
    ]
    return {
        "partner": partner,
        "name": roster.member(partner).name,
        "entries": len(entries),
        "sessions": len({session for session, _ in places}),
        "rounds": len(places),
        "proofs": [_proof(proof, roster) for proof in found.proofs],
        "trunks": trunks,
        "refused": refused,
    }


def _proof(proof: Proven, roster: Roster) -> dict[str, Any]:
    named = {"partner": proof.partner, "name": roster.member(proof.partner).name}
    place = {"session": proof.session.hex(), "round": proof.round}
    return named | {"kind": proof.kind, "what": proof.what} | place | {"proof": proof.proof.hex()}


def _trunk(trunk: Trunk, roster: Roster) -> dict[str, Any]:
    told = {"trunk": trunk.name.hex(), "session": trunk.session.hex(), "round": trunk.round}
    return told | ({"partner": trunk.partner, "name": _named(trunk.partner, roster)} if trunk.partner else {})


def _named(index: int, roster: Roster) -> str:
    """The name of a partner that somebody else wrote down, which may be nobody's."""
    try:
        return roster.member(index).name
    except UnknownPartnerError:
        return f"partner {index}, who is not in the roster"
