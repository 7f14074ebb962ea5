"""What `polyphony doctor` finds: a site that works passes every check, and each thing that is wrong fails the check of its name."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import typer

from fedapp.cli import doctor as command
from fedapp.consortium.certificates import new_certificates
from fedapp.consortium.identity_files import load_identity, new_identity
from fedapp.consortium.policy_file import read_policy_file, write_policy_file
from fedapp.consortium.promises import verify_transcripts
from fedapp.consortium.public_file import load_public
from fedapp.consortium.roster_file import load_roster, replace_partner
from fedapp.data.dataset import Dataset
from fedapp.errors import ConfigError
from fedapp.partner_folder import PartnerFolder
from fedapp.site.doctor import checks, network, protection
from fedapp.site.doctor.examine import Examined, examine, made
from fedapp.site.folder import Site
from fedapp.site.kit.install import install
from fedapp.site.run.serve import refused_for
from fedapp.storage.sealed_array import write_flags
from strategies.partner.repetition import write_repetition
from strategies.secagg.phases import Step
from strategies.secagg.repetition import Repetition
from strategies.secagg.state import State, dump
from strategies.secagg.transcript import append
from strategies.update.self_audit import OWN
from tests.helpers.sealed import by_hand
from tests.site.kits import Founded, put_keys
from tests.site.run.answering import answering
from tests.site.saved_site import audit_of, hold_trunk, write_loss

Break = Callable[[Site], object]


def lines(site: Site) -> dict[str, Examined]:
    return {line.check: line for line in examine(site)}


def failing(site: Site) -> dict[str, Examined]:
    return {name: line for name, line in lines(site).items() if line.state is checks.CheckState.FAIL}


# A site that works


def test_a_partner_that_followed_the_guide_passes_every_check_while_the_coordinator_is_served(partner: Site, coordinator: Site) -> None:
    with answering(coordinator):
        found = lines(partner)
    assert {line.check: line.told for line in found.values() if line.state is checks.CheckState.FAIL} == {}
    assert "masked sum" in found and "exact among 4 throw-away partners" in found["masked sum"].told
    assert "as the coordinator's" in found["clock"].told


def test_a_coordinator_that_followed_the_guide_passes_every_check_before_and_while_it_is_served(coordinator: Site) -> None:
    assert failing(coordinator) == {}
    with answering(coordinator):
        assert network.port(coordinator).told.startswith("our own gate listens")


def test_what_does_not_fail_and_needs_no_attention_has_no_hint(partner: Site) -> None:
    for line in lines(partner).values():
        assert bool(line.hint) == (line.state is not checks.CheckState.OK), line


# What is wrong at a partner


def swap_keys(site: Site) -> None:
    shutil.rmtree(site.keys)
    new_identity(site.keys)


def change_policy(**fields: object) -> Break:
    return lambda site: write_policy_file(site.policy, replace(read_policy_file(site.policy), **fields))  # type: ignore[arg-type]


def flip_a_label(site: Site) -> None:
    path = site.dataset / "y_values.npy"
    labels = np.load(path)
    labels[0] = 1 - labels[0]
    np.save(path, labels)


BROKEN_AT_A_PARTNER: list[tuple[str, Break, str]] = [
    ("files", lambda site: (site.keys / "identity.key").chmod(0o640), "chmod"),
    ("files", lambda site: (site.path / "state").chmod(0o755), "chmod"),
    ("roster", lambda site: site.roster.write_text("consortium: [\n"), "ask another partner"),
    ("roster", lambda site: site.roster.unlink(), "polyphony consortium"),
    ("identity", swap_keys, "send our identity.pub"),
    ("identity", lambda site: site.changed(name="gamma"), "put our own keys in place"),
    ("node key", lambda site: (site.keys / "node.key").unlink(), "polyphony identity node"),
    ("node key", lambda site: (site.keys / "node.key").write_text("no key"), "polyphony identity node"),
    ("node key", lambda site: (site.keys / "node.pub").write_text("ecdsa-sha2-nistp384 AAAA"), "polyphony identity node"),
    ("policy", change_policy(row_guard=99), "kit"),
    ("policy", change_policy(rounds=1), "kit"),
    ("policy", change_policy(roster="00" * 32), "kit"),
    ("policy", lambda site: (site.path / "config.yaml").write_text("speed: 9\n"), "kit install"),
    ("floor", change_policy(row_guard=0), "floor.yaml"),
    ("policy", lambda site: site.policy.unlink(), "and then `polyphony accept` again, with the endpoints"),
    ("floor", lambda site: site.floor.unlink(), "--new-floor"),
    ("floor", lambda site: site.floor.write_text(""), "backup"),
    ("application", change_policy(applications=["ab" * 32]), "kit"),
    ("authority", lambda site: site.authority.unlink(), "certificates"),
    ("authority", lambda site: site.authority.write_text("no certificate"), "PEM|BEGIN"),
    ("dataset", lambda site: site.changed(dataset=None), "polyphony accept"),
    ("dataset", change_policy(data="ab" * 32), "polyphony accept"),
    ("dataset", flip_a_label, "backup"),
    ("dataset", change_policy(least_compounds=10_000), "a larger dataset"),
]


@pytest.mark.parametrize(("check", "damage", "hint"), BROKEN_AT_A_PARTNER, ids=lambda value: value if isinstance(value, str) else "")
def test_whatever_is_wrong_at_a_partner_fails_the_check_of_that_name_with_what_to_do(
    partner: Site, check: str, damage: Break, hint: str
) -> None:
    damage(partner)
    found = failing(Site.open(partner.path))
    assert check in found
    assert any(word in found[check].hint for word in hint.split("|")), found[check]


def test_the_state_of_another_identity_fails(partner: Site) -> None:
    assert checks.state(partner).state is checks.CheckState.OK  # from now on it is this identity's
    swap_keys(partner)
    assert "state" in failing(partner)


def flip_a_bit_of(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("shared.safetensors", "another partner then hands its trunk over"),
        ("shared-before.safetensors", "needed only where too few partners finished"),
        ("repetition.json", "count all of it anew"),
        ("protocol.state", "from the next session on"),
    ],
)
def test_a_flipped_bit_in_what_every_request_needs_fails_with_the_files_name_and_what_to_do(partner: Site, name: str, hint: str) -> None:
    assert checks.state(partner).state is checks.CheckState.OK
    files = PartnerFolder(partner.state)
    hold_trunk(partner, 3)
    shutil.copy(files.shared_trunk, files.trunk_before)
    write_repetition(files, Repetition())
    files.protocol.write_bytes(dump(State()))
    assert checks.state(partner).state is checks.CheckState.OK
    flip_a_bit_of(partner.state / name)
    found = failing(partner)["state"]
    assert str(partner.state / name) in found.told and hint in found.hint


def test_what_was_repeated_that_is_lost_fails_and_a_lost_trunk_is_a_warning(partner: Site) -> None:
    files = PartnerFolder(partner.state)
    checks.state(partner)
    hold_trunk(partner, 3)
    files.repetition.unlink(missing_ok=True)
    found = made(checks.state, partner)
    assert (found.state, found.told) == (checks.CheckState.FAIL, f"{files.repetition} is missing")
    write_repetition(files, Repetition())
    for path in (files.requests, files.audits):
        path.touch()
    write_flags(files.rows, np.ones(4, dtype=bool))
    write_loss(partner, 1, 0.5)
    files.shared_trunk.unlink()
    found = made(checks.state, partner)
    assert found.state is checks.CheckState.WARN and f"{files.shared_trunk} is missing" in found.told


def write_transcript(site: Site, roster_file: Path, requests: int = 3) -> Path:
    """What this partner would have written under a roster."""
    roster, last, lines = load_roster(roster_file), None, list[str]()
    for number in range(requests):
        last, line = append(
            last, load_identity(site.keys), roster.digest(), b"s" * 32, number, Step.COLLECT.value, (), bytes(32), bytes(32), ""
        )
        lines.append(line + "\n")
    path = PartnerFolder(site.state).transcript(roster.digest())
    path.write_text("".join(lines))
    return path


@pytest.fixture
def earlier(partner: Site, consortium: Path) -> Path:
    """The transcript of a partner under the roster that a new kit replaced."""
    path = write_transcript(partner, partner.roster)
    founded = Founded(consortium)
    founded.join("epsilon")
    install(founded.kits("with epsilon") / partner.settings.name, partner.path)
    write_transcript(partner, partner.roster, 2)
    return path


def test_a_transcript_under_an_earlier_roster_is_verified_with_the_one_that_was_kept(partner: Site, earlier: Path) -> None:
    digits = earlier.stem.removeprefix("transcript-")
    told = f"2 entries under this roster, whole and signed; 3 entries under roster {digits}, whole and signed"
    assert checks.transcript(partner) == checks.ok(told)
    found = verify_transcripts([earlier], load_roster(partner.path / f"consortium-{digits}.yaml"))
    assert [each["entries"] for each in found["transcripts"]] == [3]
    earlier.write_text("")
    assert checks.transcript(partner).state is checks.CheckState.OK


def test_a_transcript_from_before_our_own_keys_were_replaced_is_verified_by_those_of_its_time(partner: Site, consortium: Path) -> None:
    write_transcript(partner, partner.roster)
    founded, name = Founded(consortium), partner.settings.name
    shutil.rmtree(founded.keys(name))
    new_identity(founded.keys(name))
    replace_partner(founded.roster, name, load_public(founded.keys(name) / "identity.pub"))
    put_keys(founded.keys(name), partner.path)
    install(founded.kits("new keys") / name, partner.path)
    write_transcript(partner, partner.roster, 2)
    assert "3 entries under roster " in checks.transcript(partner).told


@pytest.mark.parametrize("number", [1, 2, 3])
def test_an_altered_line_under_an_earlier_roster_fails_with_file_and_line(partner: Site, earlier: Path, number: int) -> None:
    lines = earlier.read_text().splitlines(keepends=True)
    lines[number - 1] = lines[number - 1].replace('"round": ', '"round": 1')
    earlier.write_text("".join(lines))
    found = checks.transcript(partner)
    assert found.state is checks.CheckState.FAIL
    assert found.told.startswith(f"{earlier}: partner 1: line {number} of its transcript: altered")
    assert "move it away" in found.hint and "another one begins" not in found.hint


def test_a_damaged_transcript_is_told_beside_another_one_and_before_a_lost_roster(partner: Site, earlier: Path) -> None:
    present = PartnerFolder(partner.state).transcript(load_roster(partner.roster).digest())
    for path in (earlier, present):
        path.write_text(path.read_text().replace('"round": 1', '"round": 7'))
    found = checks.transcript(partner)
    assert str(earlier) in found.told and str(present) in found.told
    (kept,) = partner.path.glob("consortium-*.yaml")
    kept.unlink()
    found = checks.transcript(partner)
    assert found.state is checks.CheckState.FAIL and str(earlier) not in found.told


@pytest.mark.parametrize(
    ("lose", "told"),
    [
        (Path.unlink, "there is no "),
        (lambda kept: kept.write_text("consortium: ["), "consortium-"),
        (lambda kept: shutil.copy(kept.parent / "consortium.yaml", kept), "is the roster of digest "),
    ],
)
def test_a_transcript_whose_roster_is_not_there_is_a_warning(
    partner: Site, earlier: Path, lose: Callable[[Path], object], told: str
) -> None:
    (kept,) = partner.path.glob("consortium-*.yaml")
    lose(kept)
    found = checks.transcript(partner)
    assert found.state is checks.CheckState.WARN
    assert found.told.startswith(f"{earlier} cannot be verified without its roster: ") and told in found.told
    assert f"put the `consortium.yaml` of that time there as {kept.name}" in found.hint


def test_a_transcript_under_a_roster_without_us_is_a_warning(partner: Site, earlier: Path) -> None:
    found = checks.transcript(replace(partner, settings=replace(partner.settings, name="omega")))
    assert found.state is checks.CheckState.WARN and "its roster has no omega" in found.told


def test_no_check_tells_a_secret(partner: Site) -> None:
    pem = (partner.keys / "identity.key").read_text()
    (partner.keys / "identity.key").write_text(pem[: len(pem) // 2])
    told = " ".join(line.told + line.hint for line in lines(partner).values())
    assert not [line for line in pem.splitlines() if len(line) > 20 and line in told]


def test_a_guard_that_no_row_of_ours_passes_is_a_warning_and_rows_that_do_are_counted(partner: Site) -> None:
    held = Dataset.open(partner.dataset)
    counts = np.bincount(np.concatenate([held.x_indices[held.x_indptr[row] : held.x_indptr[row + 1]] for row in training_rows(partner)]))
    found = protection.rows(partner)
    assert counts.max() < 20 and found.state is checks.CheckState.WARN and "no bit is held by 20 or more" in found.told
    path = partner.path / "config.yaml"
    path.write_text(by_hand(path.read_text().replace("row_guard: 20", "row_guard: 5")))
    assert (counts >= 5).sum() > 0
    assert protection.rows(partner) == checks.ok(f"{(counts >= 5).sum()} of 256 are of bits that 5 or more of our training compounds hold")


def test_a_damaged_line_of_the_self_audit_is_a_warning_and_no_round_less(partner: Site) -> None:
    for number in (1, 2):
        audit_of(partner, number, OWN)
    assert protection.self_audit(partner) == checks.ok("names none of 16,212 training compounds, in updates and sums of 2 rounds")
    path = PartnerFolder(partner.state).audits
    path.write_text(path.read_text().replace('"identified": 0', '"identified": 7', 1))
    found = protection.self_audit(partner)
    assert found.state is checks.CheckState.WARN
    assert "line 1 of self_audit.jsonl" in found.told


def training_rows(site: Site) -> np.ndarray:
    return Dataset.open(site.dataset).rows_in(site.config().training_folds())


# What is wrong at the coordinator


def of_another_authority(site: Site) -> None:
    """A certificate that no partner's `ca.crt` vouches for."""
    shutil.rmtree(site.tls)
    new_certificates(site.tls, ["127.0.0.1"])


BROKEN_AT_THE_COORDINATOR: list[tuple[str, Break]] = [
    ("certificate", lambda site: (site.tls / "server.crt").unlink()),
    ("certificate", lambda site: (site.tls / "server.key").write_text("no key")),
    ("certificate", lambda site: of_another_authority(site)),
    ("files", lambda site: (site.tls / "server.key").chmod(0o644)),
    ("node keys", lambda site: site.roster.write_text("".join(line for line in site.roster.open() if "node:" not in line))),
    ("proposal", lambda site: write_policy_file(site.proposal, replace(read_policy_file(site.proposal), layout="1x1,1"))),
    ("proposal", lambda site: write_policy_file(site.proposal, replace(read_policy_file(site.proposal), configuration="ab" * 32))),
    ("application", lambda site: write_policy_file(site.proposal, replace(read_policy_file(site.proposal), applications=[]))),
]


@pytest.mark.parametrize(("check", "damage"), BROKEN_AT_THE_COORDINATOR)
def test_whatever_is_wrong_at_the_coordinator_fails_the_check_of_that_name(coordinator: Site, check: str, damage: Break) -> None:
    damage(coordinator)
    found = failing(coordinator)
    assert check in found
    assert found[check].hint


# The checks themselves


def test_a_check_that_cannot_be_made_has_failed_and_the_others_are_made(partner: Site) -> None:
    def broken(site: Site) -> checks.CheckFinding:
        raise ZeroDivisionError("by zero")

    found = made(broken, partner)
    assert (found.state, found.told) == (checks.CheckState.FAIL, "ZeroDivisionError: by zero")


@pytest.mark.parametrize(
    ("package", "installed", "fits"),
    [
        ("flwr", "1.41.3", True),
        ("flwr", "1.42.0", False),
        ("flwr", "1.40.9", False),
        ("flwr", "1.9", False),
        ("torch", "2.13.0+cpu", True),
        ("torch", "2.13.1", False),
        ("cryptography", "50", True),
    ],
)
def test_a_version_is_held_against_the_bounds_of_its_requirement(
    partner: Site, package: str, installed: str, fits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "version", lambda name: installed if name == package else version(name))
    finding = checks.versions(partner)
    assert finding.state is (checks.CheckState.OK if fits else checks.CheckState.FAIL)
    assert (f"{package} is not what this version was made for" in finding.told) is not fits


def test_too_little_space_fails_and_little_is_mentioned() -> None:
    found = [checks._enough("disk", free, 100).state for free in (99, 100, 299, 300)]
    assert found == ["FAIL", "warn", "warn", "ok"]


# The command


def test_the_command_prints_a_line_a_check_and_what_to_do_and_exits_with_1(partner: Site, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended:
        command.doctor(partner.path)
    out, err = capsys.readouterr()
    assert ended.value.exit_code == 1
    assert "FAIL  connection   nobody listens" in out
    assert "→ ask whether `polyphony serve` runs at the coordinator" in out
    assert "1 of 22 checks failed: connection" in err


def test_a_site_that_says_it_has_the_other_role_is_told_so(partner: Site, coordinator: Site) -> None:
    for site, other, foreign in ((partner, "coordinator", "policy.yaml"), (coordinator, "partner", "session.yaml")):
        site.changed(role=other)
        with pytest.raises(ConfigError, match=f"role is {other}, and .* has {foreign}") as caught:
            Site.open(site.path)
        assert caught.value.hint == "correct the role there"


def test_a_site_under_anothers_name_is_told_to_correct_that_first(partner: Site) -> None:
    partner.changed(name="gamma")
    assert failing(Site.open(partner.path))["identity"].hint.startswith("if we are alpha, correct the name there; else ")


def test_a_digest_that_is_none_is_named_with_its_key(partner: Site) -> None:
    write_policy_file(partner.policy, replace(read_policy_file(partner.policy), roster="abc"))
    with pytest.raises(ConfigError, match="policy.yaml: roster is 'abc', no SHA-256"):
        read_policy_file(partner.policy)


def test_a_configuration_that_cannot_be_read_is_told_alike_by_every_check(partner: Site) -> None:
    config = partner.path / "config.yaml"
    config.write_text(config.read_text().replace("rounds:", "rounds :"))
    found = failing(partner)
    assert {(found[name].told, found[name].hint) for name in ("policy", "floor")} == {(found["floor"].told, found["floor"].hint)}
    assert found["floor"].hint.startswith("bring it back from a backup; at a site `polyphony kit install` writes it anew")


def test_keys_that_are_in_place_before_their_kit_are_told_without_the_name_of_a_class(partner: Site) -> None:
    swap_keys(partner)
    transcript = failing(partner)["transcript"]
    assert "Error" not in transcript.told and "report it" not in transcript.hint


def test_what_would_refuse_every_request_is_said_when_a_site_is_served(partner: Site) -> None:
    assert refused_for(partner) == []
    partner.floor.unlink()
    (error,) = refused_for(partner)
    assert "floor.yaml" in str(error)
    change_policy(row_guard=99)(partner)
    assert any("row guard" in str(each) or "row_guard" in str(each) for each in refused_for(partner))
    (partner.path / "config.yaml").unlink()
    assert len({str(each) for each in refused_for(partner)}) == len(refused_for(partner)), "each is said once"


def test_a_proposal_that_partners_would_refuse_is_said_when_the_coordinator_is_served(coordinator: Site) -> None:
    assert refused_for(coordinator) == []
    write_policy_file(coordinator.proposal, replace(read_policy_file(coordinator.proposal), roster="ab" * 32))
    (error,) = refused_for(coordinator)
    assert "consortium.yaml is not the roster" in str(error)


def test_the_command_prints_what_fails_several_checks_once(partner: Site, capsys: pytest.CaptureFixture[str]) -> None:
    config = partner.path / "config.yaml"
    config.write_text(config.read_text().replace("rounds:", "rounds :"))
    with pytest.raises(typer.Exit):
        command.doctor(partner.path)
    out = capsys.readouterr().out
    (first,) = [line for line in out.splitlines() if line.startswith("FAIL") and "config.yaml" in line]
    others = [line for line in out.splitlines() if line.startswith("FAIL") and line.endswith(f"as {first.split()[1]}, above")]
    assert len(others) > 2
    assert out.count("→") < 4


def test_the_command_prints_one_json_object_and_exits_with_0_if_all_is_well(coordinator: Site, capsys: pytest.CaptureFixture[str]) -> None:
    command.doctor(coordinator.path, as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert told["ok"] is True
    assert {line["check"] for line in told["checks"]} >= {"certificate", "node keys", "port", "masked sum"}
