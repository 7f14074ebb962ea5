"""The verbs around keys, rosters and transcripts: a consortium comes together on the command line alone."""

import json
import stat
import sys
from pathlib import Path

import pytest

from fedapp.cli.main import app
from fedapp.consortium.identity_files import load_identity
from fedapp.consortium.roster_file import load_draft, load_roster
from strategies.secagg import proofs
from strategies.secagg.messages import Advertisement, SignedAdvertisement
from strategies.secagg.proofs import UnusableKey
from strategies.secagg.transcript import Entry, Fact, append
from strategies.secagg.verification import advertisement_message
from tests.cli.test_cli import polyphony
from tests.strategies.secagg.parties import parameters_for

NAMES = ("alpha", "beta", "gamma", "delta", "epsilon")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def consortium(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Path:
    """`consortium.yaml` of five partners, whose identities lie in folders of their names."""
    assert polyphony(monkeypatch, "consortium", "new", "consortium.yaml", "--name", "five voices") == 0
    for name in NAMES:
        assert polyphony(monkeypatch, "identity", "new", name) == 0
        assert polyphony(monkeypatch, "consortium", "add", "consortium.yaml", name, f"{name}/identity.pub") == 0
    capsys.readouterr()
    return Path("consortium.yaml")


def write_transcript(roster_file: Path, name: str, survivors: str, rounds: int = 2) -> str:
    roster, identity = load_roster(roster_file), load_identity(Path(name))
    last: Entry | None = None
    lines = []
    for number in range(rounds):
        facts = (Fact("survivors", survivors.encode() if number else b"all"),)
        last, line = append(
            last, identity, roster.digest(), b"s" * 32, number, "ConsistencyCheck", facts, b"r" * 32, name.encode().ljust(32), ""
        )
        lines.append(line + "\n")
    Path(f"{name}.jsonl").write_text("".join(lines))
    return f"{name}.jsonl"


def test_a_new_identity_tells_its_public_file_and_fingerprint(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert polyphony(monkeypatch, "identity", "new", "keys/alpha") == 0
    out, err = capsys.readouterr()
    assert out == f"public       keys/alpha/identity.pub\nfingerprint  {load_identity(Path('keys/alpha')).public.fingerprint()}\n"
    assert err == ""
    assert stat.S_IMODE(Path("keys/alpha/identity.key").stat().st_mode) == 0o600


def test_a_second_identity_in_one_folder_is_an_error_with_a_hint(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    polyphony(monkeypatch, "identity", "new", "alpha")
    capsys.readouterr()
    assert polyphony(monkeypatch, "identity", "new", "alpha") == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err == (
        "error: alpha/identity.key exists and is never overwritten\n"
        "hint: a new identity goes into another folder, and into the roster anew\n"
    )


def test_adding_a_partner_tells_the_fingerprint_to_compare(
    consortium: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    polyphony(monkeypatch, "identity", "new", "zeta")
    capsys.readouterr()
    assert polyphony(monkeypatch, "consortium", "add", str(consortium), "zeta", "zeta/identity.pub") == 0
    out, err = capsys.readouterr()
    assert out == f"partner 6  zeta  {load_identity(Path('zeta')).public.fingerprint()}\n"
    assert "telephone" in err


def test_a_partner_that_is_in_it_already_is_refused(
    consortium: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert polyphony(monkeypatch, "consortium", "add", str(consortium), "zeta", "beta/identity.pub") == 1
    assert "error: consortium.yaml: zeta: beta has the same key" in capsys.readouterr().err


def test_a_draft_is_shown_and_said_to_be_no_roster_yet(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    polyphony(monkeypatch, "consortium", "new", "c.yaml", "--name", "draft", "--threshold", "4", "--minimum", "5")
    capsys.readouterr()
    assert polyphony(monkeypatch, "consortium", "show", "c.yaml") == 0
    out, err = capsys.readouterr()
    assert [line.split(maxsplit=1) for line in out.splitlines()] == [
        ["consortium", "draft"],
        ["threshold", "4"],
        ["minimum", "5"],
        ["digest", "-"],
    ]
    assert "not a roster yet: a consortium has at least 3 partners, not 0" in err


def test_show_lists_every_partner_with_its_fingerprint(
    consortium: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert polyphony(monkeypatch, "consortium", "show", str(consortium)) == 0
    lines = capsys.readouterr().out.splitlines()
    for index, name in enumerate(NAMES, start=1):
        assert lines[3 + index].split(maxsplit=2) == [str(index), name, f"{load_identity(Path(name)).public.fingerprint()}  node key"]
    assert polyphony(monkeypatch, "consortium", "show", str(consortium), "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["digest"].replace(" ", "") == load_roster(consortium).digest().hex()
    assert [(partner["name"], partner["node_key"]) for partner in summary["partners"]] == [(name, True) for name in NAMES]
    assert (summary["threshold"], summary["minimum"]) == (4, 4)


def test_a_public_file_without_a_node_key_is_taken_and_shown_as_such(
    consortium: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    polyphony(monkeypatch, "identity", "new", "zeta")
    public = Path("zeta/identity.pub")
    public.write_text("".join(public.read_text().splitlines(keepends=True)[:2]))
    assert polyphony(monkeypatch, "consortium", "add", str(consortium), "zeta", str(public)) == 0
    capsys.readouterr()
    polyphony(monkeypatch, "consortium", "show", str(consortium))
    assert capsys.readouterr().out.splitlines()[-1].endswith("  no node key")


def test_a_new_node_key_goes_into_the_consortium_file_and_leaves_the_digest(
    consortium: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    digest, node = load_roster(consortium).digest(), load_draft(consortium).nodes["beta"]
    assert polyphony(monkeypatch, "identity", "node", "beta") == 0
    assert polyphony(monkeypatch, "consortium", "replace", str(consortium), "beta", "beta/identity.pub") == 0
    assert load_identity(Path("beta")).public.fingerprint() in capsys.readouterr().out
    assert load_roster(consortium).digest() == digest
    assert load_draft(consortium).nodes["beta"] != node


def test_a_partner_that_leaves_is_told_with_its_fingerprint(
    consortium: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert polyphony(monkeypatch, "consortium", "remove", str(consortium), "beta") == 0
    assert capsys.readouterr().out == f"removed  beta  {load_identity(Path('beta')).public.fingerprint()}\n"
    assert [member.name for member in load_roster(consortium).members] == ["alpha", "gamma", "delta", "epsilon"]
    assert polyphony(monkeypatch, "consortium", "remove", str(consortium), "beta") == 1
    assert "there is no partner 'beta'" in capsys.readouterr().err


def test_check_tells_who_we_are_what_is_tolerated_and_the_digest(
    consortium: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert polyphony(monkeypatch, "consortium", "check", str(consortium), "--identity", "gamma") == 0
    out, err = capsys.readouterr()
    digest = load_roster(consortium).digest().hex(" ", 4)
    assert out.splitlines() == [
        "consortium  five voices, 5 partners",
        "we are      partner 3, gamma",
        "threshold   4 of 5, minimum 4",
        "drop-outs   1 tolerated in a round",
        "colluding   2 tolerated: with the coordinator, they learn no more than the sum of the others",
        f"digest      {digest}",
    ]
    assert "warning" not in err
    assert "telephone" in err


def test_check_is_one_json_object_for_a_machine(
    consortium: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert polyphony(monkeypatch, "consortium", "check", str(consortium), "--json", "--identity", "beta") == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["partners"], summary["index"], summary["drop_outs"], summary["colluders"], summary["warnings"]) == (5, 2, 1, 2, [])


def test_check_warns_of_a_small_consortium(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    polyphony(monkeypatch, "consortium", "new", "c.yaml", "--name", "three")
    for name in NAMES[:3]:
        polyphony(monkeypatch, "identity", "new", name)
        polyphony(monkeypatch, "consortium", "add", "c.yaml", name, f"{name}/identity.pub")
    capsys.readouterr()
    assert polyphony(monkeypatch, "consortium", "check", "c.yaml") == 0
    err = capsys.readouterr().err
    assert "warning: 3 partners: 5 or more are advised" in err
    assert "warning: every round needs all 3 partners" in err


def test_check_fails_on_what_is_no_roster_or_not_ours(
    consortium: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    polyphony(monkeypatch, "consortium", "new", "empty.yaml", "--name", "empty")
    polyphony(monkeypatch, "identity", "new", "stranger")
    capsys.readouterr()
    assert polyphony(monkeypatch, "consortium", "check", "empty.yaml") == 1
    assert "error: empty.yaml: a consortium has at least 3 partners" in capsys.readouterr().err
    assert polyphony(monkeypatch, "consortium", "check", str(consortium), "--identity", "stranger") == 1
    assert "is not in the roster of five voices" in capsys.readouterr().err


def test_transcripts_that_agree_exit_with_0(consortium: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    files = [write_transcript(consortium, name, "all") for name in NAMES]
    assert polyphony(monkeypatch, "transcript", "compare", *files, "--roster", str(consortium)) == 0
    out, err = capsys.readouterr()
    assert out == "5 transcripts agree: 1 session, 2 rounds, 10 entries compared\n"
    assert err == ""
    assert polyphony(monkeypatch, "transcript", "compare", *files, "--roster", str(consortium), "--json") == 0
    assert json.loads(capsys.readouterr().out)["difference"] is None


def test_transcripts_that_differ_exit_with_1_and_name_round_and_party(
    consortium: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [write_transcript(consortium, name, "but one" if name == "delta" else "all") for name in NAMES]
    assert polyphony(monkeypatch, "transcript", "compare", *files, "--roster", str(consortium)) == 1
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0] == "the transcripts differ: survivors, in ConsistencyCheck of round 1"
    assert lines[1] == f"session    {(b's' * 32).hex()}"
    assert [line.split()[1:] for line in lines[2:7]] == [
        [str(index), (b"but one" if name == "delta" else b"all").hex(), name] for index, name in enumerate(NAMES, start=1)
    ]
    assert lines[7].startswith("verdict    partner 4 differs from the majority")
    assert err == ""
    assert polyphony(monkeypatch, "transcript", "compare", *files, "--roster", str(consortium), "--json") == 1
    assert json.loads(capsys.readouterr().out)["difference"]["parties"] == [4]


def test_a_transcript_that_is_shorter_is_said_to_be(
    consortium: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [write_transcript(consortium, name, "all", rounds=1 if name == "beta" else 2) for name in NAMES]
    assert polyphony(monkeypatch, "transcript", "compare", *files, "--roster", str(consortium)) == 0
    agree, short = capsys.readouterr().out.splitlines()
    assert agree.startswith("5 transcripts agree")
    assert short.startswith("shorter    beta has 1 entry, the last of ConsistencyCheck in round 0: ")


def test_a_broken_transcript_is_an_error_that_names_file_partner_and_line(
    consortium: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [write_transcript(consortium, name, "all") for name in NAMES[:2]]
    path = Path(files[1])
    path.write_text(path.read_text().replace('"round": 1', '"round": 7'))
    assert polyphony(monkeypatch, "transcript", "compare", *files, "--roster", str(consortium)) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"error: {path}: partner 2: line 2 of its transcript: altered")


def write_findings(roster_file: Path) -> str:
    """What gamma kept: a proof that beta signed a key that nothing can be encrypted for, and what else one transcript can hold."""
    roster, beta = load_roster(roster_file), load_identity(Path("beta"))
    parameters = parameters_for(roster)
    body = Advertisement(2, b"\xff" * 1216, bytes(32), 0, bytes(32), bytes(32))
    proof = proofs.encode(UnusableKey(parameters, SignedAdvertisement(body, beta.sign(advertisement_message(parameters, body)))))
    lines: list[tuple[str, dict[str, bytes], str]] = [
        ("MaskedInputCollection", {"proof against partner 2": proof, "handed over 1": b"a" * 32, "trunk": b"b" * 32}, ""),
        ("MaskedInputCollection", {"came to": b"c" * 32, "trunk": b"d" * 32}, ""),
        ("MaskedInputCollection", {"gone back to": bytes(32), "refused over 5": b""}, "SignatureError"),
        ("Handover", {"handed over 3": b"c" * 32}, ""),
        ("MaskedInputCollection", {"gone back to": bytes(32), "refused over 5": b""}, "SignatureError"),
        ("Finish", {"gone back to": b"e" * 32}, ""),
    ]
    last: Entry | None = None
    written = []
    for number, (phase, facts, refused) in enumerate(lines, 1):
        held = tuple(Fact(name, value) for name, value in facts.items())
        sent = b"" if refused else b"t" * 32
        last, line = append(last, load_identity(Path("gamma")), roster.digest(), b"s" * 32, number, phase, held, b"r" * 32, sent, refused)
        written.append(line + "\n")
    Path("gamma.jsonl").write_text("".join(written))
    return "gamma.jsonl"


def test_what_a_transcript_proves_is_told_and_exits_with_0(
    consortium: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [write_transcript(consortium, "alpha", "all"), write_findings(consortium)]
    assert polyphony(monkeypatch, "transcript", "verify", *files, "--roster", str(consortium)) == 0
    out, err = capsys.readouterr()
    session = (b"s" * 8).hex()
    assert err == ""
    assert out.splitlines() == [
        "alpha, partner 1: 2 entries, whole and signed, of 2 protocol rounds in 1 session  alpha.jsonl",
        "proves     nothing of anybody",
        "gamma, partner 3: 6 entries, whole and signed, of 6 protocol rounds in 1 session  gamma.jsonl",
        f"trained    from 2 trunks (trunk and row list); the last {(b'd' * 8).hex()}, in round 2 of session {session}",
        f"came to    1 trunk by a sum; the last {(b'c' * 8).hex()}, in round 2 of session {session}",
        f"took over  {(b'a' * 8).hex()}, in round 1 of session {session} from alpha",
        f"handed     over {(b'c' * 8).hex()}, in round 4 of session {session}",
        f"went back  to {(b'e' * 8).hex()}, in round 6 of session {session}",
        "refused    SignatureError 2 times, over epsilon 2 times",
        "proves     beta, partner 2: it signed a key that nothing can be encrypted for (UnusableKey), "
        f"in round 0 of session {(b'n' * 8).hex()}",
    ]


def test_proofs_are_whole_in_json(consortium: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert polyphony(monkeypatch, "transcript", "verify", write_findings(consortium), "--roster", str(consortium), "--json") == 0
    (told,) = json.loads(capsys.readouterr().out)["transcripts"]
    (proof,) = told["proofs"]
    assert proofs.proven(load_roster(consortium), bytes.fromhex(proof["proof"])) == proof["partner"] == 2


def test_a_broken_transcript_exits_with_1_and_the_others_are_told(
    consortium: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [write_transcript(consortium, name, "all") for name in NAMES[:2]]
    Path(files[0]).write_text(Path(files[0]).read_text().replace('"round": 1', '"round": 7'))
    assert polyphony(monkeypatch, "transcript", "verify", *files, "nowhere.jsonl", "--roster", str(consortium)) == 1
    beta, nothing, *broken = capsys.readouterr().out.splitlines()
    assert beta.startswith("beta, partner 2: 2 entries")
    assert nothing == "proves     nothing of anybody"
    assert [line.split(":")[0] for line in broken] == ["broken     alpha.jsonl", "broken     nowhere.jsonl"]
    assert "partner 1: line 2 of its transcript: altered" in broken[0]


def test_a_transcript_under_another_roster_is_refused_and_where_a_site_keeps_earlier_ones_is_said(
    consortium: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path, before = write_transcript(consortium, "alpha", "all"), Path("consortium-earlier.yaml")
    before.write_bytes(consortium.read_bytes())
    assert polyphony(monkeypatch, "consortium", "remove", str(consortium), "beta") == 0
    capsys.readouterr()
    assert polyphony(monkeypatch, "transcript", "verify", path, "--roster", str(consortium)) == 1
    assert "written under another roster: --roster names the one that was in force; a site keeps earlier ones as `consortium-*.yaml`" in (
        capsys.readouterr().out
    )
    assert polyphony(monkeypatch, "transcript", "verify", path, "--roster", str(before)) == 0


def test_a_comparison_tells_what_its_transcripts_prove(
    consortium: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [write_transcript(consortium, "alpha", "all"), write_transcript(consortium, "beta", "all"), write_findings(consortium)]
    assert polyphony(monkeypatch, "transcript", "compare", *files, "--roster", str(consortium)) == 0
    assert "proves     beta, partner 2: it signed a key" in capsys.readouterr().out.splitlines()[-1]


def test_a_missing_transcript_is_named(consortium: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert polyphony(monkeypatch, "transcript", "compare", "nowhere.jsonl", "--roster", str(consortium)) == 1
    assert "error: nowhere.jsonl: No such file" in capsys.readouterr().err


@pytest.mark.parametrize("group", ["identity", "consortium", "transcript"])
def test_every_group_and_verb_explains_itself(group: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    (registered,) = (registration.typer_instance for registration in app.registered_groups if registration.name == group)
    assert registered is not None
    for command in registered.registered_commands:
        assert polyphony(monkeypatch, group, str(command.name), "--help") == 0
        assert command.callback is not None
        assert " ".join((command.callback.__doc__ or "?").split())[:40] in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    "words", [("identity", "new"), ("consortium", "new", "c.yaml"), ("transcript", "compare", "a"), ("transcript", "verify")]
)
def test_wrong_usage_exits_with_2(words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert polyphony(monkeypatch, *words) == 2
    assert "Missing" in capsys.readouterr().err


def test_help_does_not_wait_for_cryptography() -> None:
    import subprocess

    code = "import sys; import fedapp.cli.main; sys.exit('cryptography' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
