"""Identities and rosters on disk: what is refused, and in which words."""

import base64
import stat
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedapp.consortium import (
    Draft,
    add_partner,
    load_draft,
    load_identity,
    load_public,
    load_roster,
    new_consortium,
    new_identity,
    write_roster,
)
from fedapp.errors import ConfigError
from strategies.secagg.identity import KEY_BYTES, PublicIdentity
from strategies.secagg.roster import Member, Roster


def public(number: int) -> PublicIdentity:
    return PublicIdentity(bytes([number]) * KEY_BYTES)


def members(count: int) -> tuple[Member, ...]:
    return tuple(Member(index, f"partner-{index}", public(index)) for index in range(1, count + 1))


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "consortium.yaml"
    new_consortium(path, Draft("five voices"))
    return path


# Identities


def test_a_new_identity_is_secret_and_can_be_loaded(tmp_path: Path) -> None:
    identity = new_identity(tmp_path / "keys" / "alpha")
    folder = tmp_path / "keys" / "alpha"
    assert names(folder) == ["identity.key", "identity.pub"]
    assert (mode(folder), mode(folder / "identity.key")) == (0o700, 0o600)
    loaded = load_identity(folder)
    assert loaded.public == identity.public == load_public(folder / "identity.pub")
    identity.public.verify(loaded.sign(b"message"), b"message", 1)


def test_the_public_file_tells_the_fingerprint_and_nothing_secret(tmp_path: Path) -> None:
    identity = new_identity(tmp_path / "alpha")
    comment, line = (tmp_path / "alpha" / "identity.pub").read_text().splitlines()
    assert comment == f"# fingerprint: {identity.public.fingerprint()}"
    assert line == f"polyphony-v1 {base64.b64encode(identity.public.keys).decode()}"


def test_an_identity_is_never_overwritten(tmp_path: Path) -> None:
    new_identity(tmp_path / "alpha")
    before = [(tmp_path / "alpha" / name).read_bytes() for name in ("identity.key", "identity.pub")]
    with pytest.raises(ConfigError, match="identity.key exists and is never overwritten") as caught:
        new_identity(tmp_path / "alpha")
    assert "another folder" in caught.value.hint
    assert [(tmp_path / "alpha" / name).read_bytes() for name in ("identity.key", "identity.pub")] == before


def test_what_was_left_by_a_kill_before_the_key_was_written_is_begun_anew(tmp_path: Path) -> None:
    new_identity(tmp_path / "alpha")
    (tmp_path / "alpha" / "identity.key").unlink()
    identity = new_identity(tmp_path / "alpha")
    assert load_public(tmp_path / "alpha" / "identity.pub") == identity.public == load_identity(tmp_path / "alpha").public


def test_no_identity_goes_into_a_folder_that_others_may_read(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir(mode=0o755)
    with pytest.raises(ConfigError, match="open to other users") as caught:
        new_identity(tmp_path / "open")
    assert f"chmod 700 {tmp_path / 'open'}" in caught.value.hint
    assert names(tmp_path / "open") == []


@pytest.mark.parametrize("bits", [0o640, 0o604, 0o620, 0o602, 0o610, 0o666])
def test_a_key_that_others_may_read_or_write_is_refused(bits: int, tmp_path: Path) -> None:
    new_identity(tmp_path / "alpha")
    (tmp_path / "alpha" / "identity.key").chmod(bits)
    with pytest.raises(ConfigError, match="identity.key is open to other users") as caught:
        load_identity(tmp_path / "alpha")
    assert f"chmod 600 {tmp_path / 'alpha' / 'identity.key'}" in caught.value.hint


def test_a_key_that_only_its_owner_may_read_is_accepted(tmp_path: Path) -> None:
    new_identity(tmp_path / "alpha")
    (tmp_path / "alpha" / "identity.key").chmod(0o400)
    load_identity(tmp_path / "alpha")


def test_a_missing_key_is_named_with_the_verb_that_makes_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no .*identity.key") as caught:
        load_identity(tmp_path / "alpha")
    assert "polyphony identity new" in caught.value.hint


@pytest.mark.parametrize("kept", [0, 50, 240])
def test_a_damaged_key_is_refused_without_being_quoted(kept: int, tmp_path: Path) -> None:
    new_identity(tmp_path / "alpha")
    key = tmp_path / "alpha" / "identity.key"
    text = key.read_text()
    key.write_text(text[:kept])
    with pytest.raises(ConfigError, match="identity.key is damaged") as caught:
        load_identity(tmp_path / "alpha")
    assert not any(line in f"{caught.value} {caught.value.hint}" for line in text.splitlines())


def test_a_missing_public_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no public identity .*identity.pub"):
        load_public(tmp_path / "identity.pub")


KEY = base64.b64encode(public(1).keys).decode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# fingerprint: none\n",
        KEY,
        f"polyphony-v2 {KEY}",
        f"polyphony-v1 {KEY} more",
        f"polyphony-v1 {KEY}\npolyphony-v1 {KEY}\n",
        f"polyphony-v1 {KEY[:-4]}",
        f"polyphony-v1 {KEY[:-1]}!",
        "polyphony-v1 \u00e4",
        b"\xff\xfe",
    ],
)
def test_a_public_file_in_another_format_is_refused(text: str | bytes, tmp_path: Path) -> None:
    path = tmp_path / "identity.pub"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError, match="identity.pub: no public identity") as caught:
        load_public(path)
    assert "polyphony identity new" in caught.value.hint


@pytest.mark.parametrize("text", [f"polyphony-v1 {KEY}", f"\r\n# by mail\r\npolyphony-v1 {KEY}\r\n\r\n"])
def test_a_public_file_may_have_lost_its_comment_or_gained_another(text: str, tmp_path: Path) -> None:
    (tmp_path / "identity.pub").write_bytes(text.encode())
    assert load_public(tmp_path / "identity.pub") == public(1)


def test_a_public_file_whose_key_was_replaced_under_its_fingerprint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "identity.pub"
    path.write_text(f"# fingerprint: {public(2).fingerprint()}\npolyphony-v1 {KEY}\n")
    with pytest.raises(ConfigError, match="its fingerprint is not that of its key"):
        load_public(path)


# The roster


def test_a_consortium_is_put_together_partner_by_partner(file: Path) -> None:
    for member in members(5):
        assert load_draft(file).members == members(member.index - 1)
        assert add_partner(file, member.name, member.identity) == member
    assert load_roster(file) == Roster("five voices", 4, 4, members(5))


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_draft_of_fewer_than_three_is_a_file_but_no_roster(count: int, file: Path) -> None:
    for member in members(count):
        add_partner(file, member.name, member.identity)
    assert len(load_draft(file).members) == count
    with pytest.raises(ConfigError, match=f"consortium.yaml: a consortium has at least 3 partners, not {count}"):
        load_roster(file)


@pytest.mark.parametrize(("count", "threshold", "minimum"), [(3, 3, 3), (4, 3, 3), (5, 4, 4), (6, 5, 5), (10, 7, 7)])
def test_threshold_and_minimum_follow_the_number_of_partners(count: int, threshold: int, minimum: int) -> None:
    held = Draft("x", members=members(count)).roster()
    assert (held.threshold, held.minimum) == (threshold, minimum)


def test_a_minimum_that_is_left_open_is_at_least_three() -> None:
    assert Draft("x", threshold=2, members=members(3)).roster().minimum == 3
    assert Draft("x", threshold=4, members=members(5)).roster().minimum == 4


def test_threshold_and_minimum_may_be_chosen(tmp_path: Path) -> None:
    new_consortium(tmp_path / "c.yaml", Draft("chosen", threshold=3, minimum=5))
    for member in members(5):
        add_partner(tmp_path / "c.yaml", member.name, member.identity)
    held = load_roster(tmp_path / "c.yaml")
    assert (held.threshold, held.minimum) == (3, 5)


NAMES = st.from_regex(r"\A\w([\w .&-]{0,62}[\w.&-])?\Z")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
@given(st.data())
def test_a_roster_survives_its_file_whatever_its_names(tmp_path: Path, data: st.DataObject) -> None:
    count = data.draw(st.integers(3, 6))
    chosen = data.draw(st.lists(NAMES, min_size=count, max_size=count, unique=True))
    keys = data.draw(st.lists(st.integers(0, 255), min_size=count, max_size=count, unique=True))
    held = Roster(
        data.draw(NAMES),
        data.draw(st.integers(count // 2 + 1, count)),
        data.draw(st.integers(3, count)),
        tuple(Member(index, name, public(key)) for index, (name, key) in enumerate(zip(chosen, keys, strict=True), start=1)),
    )
    write_roster(tmp_path / "consortium.yaml", held)
    assert load_roster(tmp_path / "consortium.yaml") == held
    assert load_roster(tmp_path / "consortium.yaml").digest() == held.digest()


def test_a_name_stays_text_even_if_it_looks_like_a_number_or_a_word_of_yaml(file: Path) -> None:
    for number, name in enumerate(("1", "007", "1e3", "0x1F", "1_000", "null", "yes", "NaN", "2001-01-01", "1.5", "b - c", "R&D")):
        add_partner(file, name, public(number))
        assert load_draft(file).members[-1].name == name


def test_a_file_that_is_there_is_not_begun_anew(file: Path) -> None:
    add_partner(file, "alpha", public(1))
    with pytest.raises(ConfigError, match="consortium.yaml exists"):
        new_consortium(file, Draft("other"))
    assert load_draft(file).members[0].name == "alpha"


@pytest.mark.parametrize("name", ["", " ", "-x", "a ", "a\n", "a\nb", "a/b", "../x", "${oc.env:HOME}", "a" * 65, "\x1b[2J", "a,b"])
def test_a_name_that_could_mislead_is_refused(name: str, file: Path, tmp_path: Path) -> None:
    before = file.read_text()
    with pytest.raises(ConfigError, match="is no name") as caught:
        add_partner(file, name, public(1))
    assert "begins with a letter or digit" in caught.value.hint
    assert file.read_text() == before
    with pytest.raises(ConfigError, match="is no name"):
        new_consortium(tmp_path / "other.yaml", Draft(name))
    assert not (tmp_path / "other.yaml").exists()


def test_a_name_or_key_is_added_once(file: Path) -> None:
    add_partner(file, "alpha", public(1))
    before = file.read_text()
    with pytest.raises(ConfigError, match="consortium.yaml: alpha: partner 1 has the same name"):
        add_partner(file, "alpha", public(2))
    with pytest.raises(ConfigError, match="consortium.yaml: beta: alpha has the same key"):
        add_partner(file, "beta", public(1))
    assert file.read_text() == before


def test_a_missing_file_is_named_with_the_verb_that_begins_one(tmp_path: Path) -> None:
    for read in (load_draft, load_roster):
        with pytest.raises(ConfigError, match="no consortium file .*c.yaml") as caught:
            read(tmp_path / "c.yaml")
        assert "polyphony consortium new" in caught.value.hint


def entry(index: int, name: str | None = None, key: str | None = None) -> str:
    return f"- {{index: {index}, name: {name or f'p{index}'}, key: {key or base64.b64encode(public(index).keys).decode()}}}\n"


def listing(*entries: str, head: str = "") -> str:
    return f"consortium: five\n{head}partners:\n{''.join(entries)}"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "consortium is None, not text"),
        ("just words", "no key 'just words'"),
        ("- a list", "is no entry"),
        ("consortium: [", "line [12], column"),
        ("consortium: five\nspeed: 9", "no key 'speed'"),
        ("threshold: 4", "consortium is None, not text"),
        ("consortium: five\nthreshold: many", "threshold is 'many', not a number"),
        ("consortium: five\nthreshold: true", "threshold is True, not a number"),
        ("consortium: five\npartners: 3", "partners is 3, not a list"),
        ("consortium: five", "partners is None, not a list"),
        ("consortium: ''", "partners is None"),
        ("consortium: ''\npartners: []", "'' is no name"),
        ("consortium: ${oc.env:HOME}\npartners: []", "is no name"),
        ("consortium: ${", "consortium.yaml: "),
        (listing("- {index: 1, name: p1}\n"), "partner 1: key is None, not text"),
        (listing(entry(1), "- {index: 2, key: abcd}\n"), "partner 2: name is None, not text"),
        (listing(entry(1), entry(2, "3")), "partner 2: name is 3, not text"),
        (listing(entry(1), "- p2\n"), "partner 2: 'p2' is no entry"),
        (listing(entry(1), "- [2]\n"), "partner 2: .* is no entry"),
        (listing(entry(1), "-\n"), "partner 2: None is no entry"),
        (listing("- {index: one, name: p1, key: abcd}\n"), "partner 1: index is 'one', not a number"),
        (listing(entry(1), "- {index: 2, name: p2, key: abcd, colour: red}\n"), "partner 2: there is no key 'colour'"),
        (listing(entry(1), entry(3)), r"partner 2 \(p3\) has index 3"),
        (listing(entry(1), entry(2, "a/b")), "partner 2: 'a/b' is no name"),
        (listing(entry(1), entry(2, key="abcd")), r"partner 2 \(p2\) has an unusable key: .*1984 bytes, not 3"),
        (listing(entry(1), entry(2, key="'!!'")), r"partner 2 \(p2\) has an unusable key"),
        (listing(entry(1), entry(2), entry(3, "p1")), r"partner 3 \(p1\): partner 1 has the same name"),
        (listing(entry(1), entry(2), entry(3, key=KEY)), r"partner 3 \(p3\): p1 has the same key"),
        (listing(entry(1), entry(2), entry(3), head="threshold: 1\n"), "threshold is more than half of 3 .* not 1"),
        (listing(entry(1), entry(2), entry(3), head="threshold: 4\n"), "threshold .* not 4"),
        (listing(entry(1), entry(2), entry(3), head="minimum: 2\n"), "minimum is 3 to 3 partners, not 2"),
        (listing(entry(1), entry(2), entry(3), head="consortium: again\n"), "consortium.yaml: "),
    ],
)
def test_an_unusable_file_is_refused_by_file_and_entry(text: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "consortium.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=reason) as caught:
        load_roster(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "consortium.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="consortium.yaml: "):
        load_roster(tmp_path / "consortium.yaml")


def test_the_digest_is_about_the_contents_not_the_way_they_are_written(file: Path, tmp_path: Path) -> None:
    for member in members(5):
        add_partner(file, member.name, member.identity)
    spelled_out = tmp_path / "other.yaml"
    write_roster(spelled_out, load_roster(file))
    assert spelled_out.read_text() != file.read_text()
    assert load_roster(spelled_out).digest() == load_roster(file).digest()
