"""The independent verifier against the package: it imports nothing of it, and each accepts what the other accepts."""

import ast
import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedapp.consortium.identity_files import new_identity
from fedapp.consortium.promises import verify_transcripts
from fedapp.consortium.public_file import load_public
from fedapp.consortium.roster_file import Draft, add_partner, load_roster, new_consortium
from strategies.secagg import messages, proofs, transcript, wire
from strategies.secagg.errors import SecAggError
from strategies.secagg.roster import Roster
from strategies.secagg.transcript_findings import check_proofs
from tests.conftest import ROOT
from tests.helpers import sweeps
from tests.strategies.coordinator import test_misbehaving_partners as misbehaving
from tests.strategies.secagg import independent_verifier as verifier
from tests.strategies.secagg import test_proofs as proving
from tests.strategies.secagg.make_vectors import FOLDER
from tests.strategies.secagg.parties import roster_of
from tests.strategies.secagg.stuffed_proofs import signed
from tests.strategies.secagg.vector_cases import examples
from tests.strategies.toy import Toy

FILE = Path(verifier.__file__)


def cases(name: str) -> list[dict[str, Any]]:
    held: list[dict[str, Any]] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return held


PROOFS, TRANSCRIPTS = cases("proofs"), cases("transcripts")


def rosters(first: dict[str, Any]) -> tuple[Roster, dict[str, Any]]:
    """The roster of a recorded file, as either has it."""
    data = bytes.fromhex(first["roster"])
    return wire.decode(Roster, data), verifier.decode("Roster", data)


ACCUSERS, WRITERS = rosters(PROOFS[0]), rosters(TRANSCRIPTS[0])


def imported() -> Iterator[str]:
    for node in ast.walk(ast.parse(FILE.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        if isinstance(node, ast.ImportFrom):
            assert node.module is not None
            assert not node.level
            yield node.module


def test_it_imports_nothing_but_cryptography_and_what_comes_with_python() -> None:
    rooms = {module.partition(".")[0] for module in imported()}
    assert rooms - {"cryptography"} <= sys.stdlib_module_names
    assert not {"importlib", "runpy"} & rooms


# Vectors


def test_every_published_vector_is_as_it_computes_them() -> None:
    found = verifier.vectors(FOLDER)
    assert set(found) == {path.name for path in FOLDER.glob("*.json")}
    assert not any(found.values())


def altered(value: Any) -> Any:
    """Something else of the same kind."""
    if isinstance(value, bool) or value is None:
        return 2 if value is None else not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, str):
        return "ff" if value in ("", "ff") else value[:-1] + ("0" if value[-1] != "0" else "1")
    if isinstance(value, dict):
        last = list(value)[-1]
        return value | {last: altered(value[last])}
    return [*value[:-1], altered(value[-1])] if value else [1]


ANSWERS = {"agreed": "name", "decoding": "secret", "messages": "bytes", "replies": "message", "signed": "message", "trunks": "content"}


@pytest.mark.parametrize("name", sorted(set(verifier.VECTORS) - {"malformed", "refused"}))
def test_a_vector_that_says_something_else_is_noticed(name: str) -> None:
    """Else it could find anything right."""
    known = [case for case in cases(name) if case.get("message") != "State" and not (name == "decoding" and "error" in case)]
    for case in known:
        field = ANSWERS.get(name) or next(each for each in ("result", "tag", "sent_to") if each in case)
        if case[field]:  # no order of no slots is another one
            assert not right(name, case | {field: altered(case[field])}), case


def right(name: str, case: dict[str, Any]) -> bool:
    try:
        return verifier.VECTORS[name](case)
    except (verifier.RefusedError, ValueError):
        return False


def test_bytes_that_are_a_message_are_not_found_malformed() -> None:
    for case in cases("messages"):
        assert case["message"] == "State" or not verifier.VECTORS["malformed"](case)


@pytest.mark.parametrize("name", ["refused", "trunks"])
def test_what_is_to_be_refused_is_not_found_acceptable(name: str) -> None:
    for case in cases(name):
        assert not verifier.VECTORS[name](case | {"error": "" if case["error"] else "SomeError"})


def test_a_recorded_session_with_one_bit_altered_anywhere_is_noticed() -> None:
    roster, *log, outcome = cases("session")
    theirs = verifier.decode("Roster", bytes.fromhex(roster["roster"]))
    assert verifier.session_vector(theirs, log, outcome)
    for name in outcome:
        assert not accepted(theirs, log, outcome | {name: altered(outcome[name])}), name
    for place, each in enumerate(log):
        if "reply" not in each or not each["arrives"] or each["step"] == "Finish":
            continue
        changed_log = [*log[:place], each | {"reply": altered(each["reply"])}, *log[place + 1 :]]
        assert not accepted(theirs, changed_log, outcome), each["step"]


def accepted(roster: dict[str, Any], log: list[dict[str, Any]], outcome: dict[str, Any]) -> bool:
    try:
        return verifier.session_vector(roster, log, outcome)
    except (verifier.RefusedError, verifier.InvalidTag, ValueError):
        return False


# Messages


def read_by_us(kind: type, data: bytes) -> bool:
    try:
        wire.decode(kind, data)
    except SecAggError:
        return False
    return True


def read_by_it(kind: str, data: bytes) -> bool:
    try:
        verifier.decode(kind, data)
    except verifier.RefusedError:
        return False
    return True


@given(st.data())
@sweeps.examples(300)
def test_a_message_with_any_byte_changed_is_read_by_both_or_refused_by_both(data: st.DataObject) -> None:
    example = data.draw(st.sampled_from([each for each in examples() if type(each).__name__ in verifier.FIELDS]))
    sent = bytearray(wire.encode(example))
    for _ in range(data.draw(st.integers(0, 2))):
        sent[data.draw(st.integers(0, len(sent) - 1))] = data.draw(st.integers(0, 255))
    kind = type(example)
    assert read_by_us(kind, bytes(sent)) == read_by_it(kind.__name__, bytes(sent))
    if read_by_us(kind, bytes(sent)):
        assert verifier.encode(kind.__name__, verifier.decode(kind.__name__, bytes(sent))) == bytes(sent)


def test_it_knows_every_message() -> None:
    travelling = {type(example).__name__ for example in examples()} - {"State"}
    assert travelling < set(verifier.FIELDS)
    assert {kind.__name__ for kind in messages.COLLECT_REPLIES} == set(verifier.REPLIES)
    assert tuple(kind.__name__ for kind in proofs.PROOFS) == verifier.PROOFS


# Proofs and transcripts


@given(st.data())
@sweeps.examples(150)
def test_a_proof_with_any_byte_changed_proves_to_both_the_same(data: st.DataObject) -> None:
    proof = bytearray(bytes.fromhex(data.draw(st.sampled_from(PROOFS[1:]))["bytes"]))
    for _ in range(data.draw(st.integers(0, 1))):
        proof[data.draw(st.integers(0, len(proof) - 1))] ^= data.draw(st.integers(1, 255))
    ours, theirs = ACCUSERS
    found = verifier.proven(theirs, bytes(proof))
    assert proofs.proven(ours, bytes(proof)) == (found and found[0])


def test_a_proof_with_anything_else_in_it_proves_nothing_to_it_either() -> None:
    theirs = verifier.decode("Roster", wire.encode(proving.ROSTER))
    for what, proof in proving.stuffed_ones().items():
        assert verifier.proven(theirs, proofs.encode(proof)) is None, what
    for base in proving.BASES:
        assert verifier.proven(theirs, proofs.encode(signed(proving.made()[base], proving.ROSTER))) is not None


@pytest.mark.parametrize("count", [3, 50])
def test_the_largest_proofs_have_room_in_it_and_no_longer_ones(count: int) -> None:
    roster = roster_of(count)
    theirs = verifier.decode("Roster", wire.encode(roster))
    for proof in (proving.largest_unequal(roster), proving.largest_wrong(roster)):
        assert verifier.proven(theirs, proofs.encode(proof)) == (1, type(proof).__name__)
    with patch.object(verifier, "decode_tagged", side_effect=verifier.RefusedError) as read:
        for length in (proofs.most_bytes(count), proofs.most_bytes(count) + 1):
            verifier.proven(theirs, bytes(length))
    assert len(read.call_args.args[1]) == proofs.most_bytes(count)
    read.assert_called_once()


@given(st.data())
@sweeps.examples(150)
def test_a_transcript_with_any_character_changed_is_whole_for_both_or_broken_for_both(data: st.DataObject) -> None:
    lines = list(data.draw(st.sampled_from(TRANSCRIPTS[1:]))["lines"])
    if data.draw(st.booleans()):
        place = data.draw(st.integers(0, len(lines) - 1))
        cut = data.draw(st.integers(0, len(lines[place]) - 1))
        lines[place] = lines[place][:cut] + data.draw(st.sampled_from('0a"{}, :\\ é')) + lines[place][cut + 1 :]
    assert whole_for_us(lines) == whole_for_it(lines)


def whole_for_us(lines: list[str]) -> bool:
    roster = WRITERS[0]
    try:
        check_proofs(roster.member(1), transcript.read(lines, roster.member(1), roster.digest()), roster)
    except SecAggError:
        return False
    return True


def whole_for_it(lines: list[str]) -> bool:
    try:
        verifier.proofs_in(WRITERS[1], verifier.read_transcript(WRITERS[1], lines, 1))
    except verifier.RefusedError:
        return False
    return True


def test_what_a_run_with_a_misbehaving_partner_left_proves_the_same_to_it(tmp_path: Path) -> None:
    toy = Toy(tmp_path)
    misbehaving.contributing(toy, lambda pair, group: pair + b"x" * 32)
    toy.federate()
    theirs = verifier.decode("Roster", wire.encode(toy.roster))
    assert verifier.roster_digest(theirs) == toy.roster.digest()
    for partner in misbehaving.HONEST:
        (path,) = toy.home(partner).glob("transcript-*.jsonl")
        lines = path.read_text(encoding="utf-8").splitlines()
        assert verifier.writer_of(theirs, lines[0]) == partner
        entries = verifier.read_transcript(theirs, lines, partner)
        assert len(entries) == len(toy.entries(partner))
        assert verifier.proofs_in(theirs, entries) == [(misbehaving.LIAR, "UnequalContribution")]


# The command


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """As a reviewer runs it: without this tree on its path."""
    command = [sys.executable, "-I", str(FILE), *map(str, words)]
    return subprocess.run(command, cwd=ROOT.parent, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(scope="module")
def consortium(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A consortium file as the command writes it, with names that YAML has to quote."""
    folder = tmp_path_factory.mktemp("consortium")
    new_consortium(folder / "c.yaml", Draft("Été & co."))
    for name in ("alpha", "yes", "2026", "лямбда"):
        new_identity(folder / name)
        add_partner(folder / "c.yaml", name, load_public(folder / name / "identity.pub"))
    return folder / "c.yaml"


def test_a_consortium_file_is_the_same_roster_for_both(consortium: Path) -> None:
    roster = load_roster(consortium)
    assert verifier.roster_digest(verifier.load_roster(consortium)) == roster.digest()
    held = verifier.read_yaml(consortium.read_text(encoding="utf-8"))
    (consortium.parent / "c.json").write_text(json.dumps(held), encoding="utf-8")
    assert verifier.roster_digest(verifier.load_roster(consortium.parent / "c.json")) == roster.digest()


@pytest.mark.parametrize(
    "text", ["consortium: x\n", "- 1\n", "consortium: [a]\n? b\n", "{", "consortium: x\nthreshold: null\nminimum: null\npartners: []\n"]
)
def test_what_is_no_consortium_file_is_said_to_be_none(text: str, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(text)
    assert verifier.main([str(tmp_path / "c.yaml"), "a"]) == 1


def consortium_file(folder: Path) -> Path:
    """The writers' roster, as a file."""
    theirs = WRITERS[1]
    keys = [base64.b64encode(each["identity"]["keys"]).decode() for each in theirs["members"]]
    partners = [{"index": each["index"], "name": each["name"], "key": key} for each, key in zip(theirs["members"], keys, strict=True)]
    held = {name: theirs[name] for name in ("consortium", "threshold", "minimum")} | {"partners": partners}
    (folder / "roster.json").write_text(json.dumps(held))
    return folder / "roster.json"


def test_it_tells_what_transcripts_prove_and_which_are_broken(tmp_path: Path) -> None:
    ours, roster = WRITERS[0], consortium_file(tmp_path)
    whole, broken = tmp_path / "whole.jsonl", tmp_path / "broken.jsonl"
    whole.write_text("\n".join(TRANSCRIPTS[1]["lines"]) + "\nand a line that was cut o")
    broken.write_text("\n".join(TRANSCRIPTS[3]["lines"]) + "\n")
    done = run(roster, whole)
    assert done.returncode == 0, done.stderr
    assert f"digest {ours.digest().hex()}" in done.stdout
    assert done.stdout.splitlines()[1:] == [
        f"{whole}: of partner 1, partner-1: 4 entries, signed and in order",
        f"{whole}: proves that partner 3, partner-3, misbehaved: UnusableKey",
    ]
    done = run(roster, broken, whole)
    assert done.returncode == 1
    assert done.stdout.splitlines()[1] == f"{broken}: broken: line 2: does not follow the line before"
    assert len(done.stdout.splitlines()) == 4, "the other one is told all the same"


WHOLE = "".join(f"{line}\n" for line in TRANSCRIPTS[1]["lines"]).encode()
ENDS = {
    "as it was written": (WHOLE, True),
    "a last line that was cut off": (WHOLE + WHOLE[:40], True),
    "a kill before the last end": (WHOLE[:-1], True),
    "another last end": (WHOLE[:-1] + b"x", False),
    "a carriage return for the last end": (WHOLE[:-1] + b"\r", False),
    "carriage returns beside every end": (WHOLE.replace(b"\n", b"\r\n"), False),
    "carriage returns for every end": (WHOLE.replace(b"\n", b"\r"), False),
    "a whole line with another end behind it": (WHOLE + b"{}x", False),
    "bytes that are no text behind it": (WHOLE + b"\xff\xfe", True),
    "bytes that are no text within it": (WHOLE.replace(b"number", b"numb\xff", 1), False),
    "nothing": (b"", False),
}


@pytest.mark.parametrize("how", ENDS)
def test_ends_of_lines_are_for_it_what_they_are_for_transcript_verify(tmp_path: Path, how: str) -> None:
    content, right = ENDS[how]
    path = tmp_path / "transcript.jsonl"
    path.write_bytes(content)
    assert (not verify_transcripts([path], WRITERS[0])["broken"]) == right
    assert verifier.tell_transcript(WRITERS[1], path) == right


@pytest.mark.parametrize(
    "words", [["--roster", "c.yaml"], ["--roster", "c.yaml", "a"], ["c.yaml", "-v", "a"], ["--vectors", "--help"], ["-h"]]
)
def test_an_option_that_it_does_not_have_is_answered_with_its_usage(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert verifier.main(words) == 2
    assert capsys.readouterr().err.startswith(str(verifier.__doc__))


def test_as_a_program_it_finds_the_vectors_right(tmp_path: Path) -> None:
    done = run("--vectors", FOLDER)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("as computed here") == len(list(FOLDER.glob("*.json")))
    assert run("--vectors", tmp_path).returncode == 1, "nothing is not everything"
    assert run().returncode == 2
