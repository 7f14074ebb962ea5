"""Identities and rosters on disk: what is refused, and in which words."""

import base64
import itertools
import shutil
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from flwr.supercore.primitives.asymmetric import public_key_to_bytes, uses_nist_ec_curve
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from fedapp.consortium import identity_files
from fedapp.consortium.identity_files import load_identity, new_identity, renew_node_key
from fedapp.consortium.names import alike, fault_of, nearest_name
from fedapp.consortium.node_key import new_node_key
from fedapp.consortium.public_file import PublicFile, load_public
from fedapp.consortium.roster_file import (
    Draft,
    add_partner,
    load_draft,
    load_roster,
    new_consortium,
    remove_partner,
    replace_partner,
    write_roster,
)
from fedapp.errors import ConfigError
from strategies.secagg.identity import KEY_BYTES, PublicIdentity
from strategies.secagg.roster import Member, Roster
from tests.helpers.sweeps import examples


def public(number: int) -> PublicIdentity:
    return PublicIdentity(bytes([number]) * KEY_BYTES)


def handed_out(number: int, node: str | None = None) -> PublicFile:
    return PublicFile(public(number), node)


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
    assert names(folder) == ["identity.key", "identity.pub", "node.key", "node.pub"]
    assert (mode(folder), mode(folder / "identity.key"), mode(folder / "node.key")) == (0o700, 0o600, 0o600)
    loaded = load_identity(folder)
    assert loaded.public == identity.public == load_public(folder / "identity.pub").identity
    identity.public.verify(loaded.sign(b"message"), b"message", 1)


def test_the_public_file_tells_the_fingerprint_and_nothing_secret(tmp_path: Path) -> None:
    identity = new_identity(tmp_path / "alpha")
    comment, line, node = (tmp_path / "alpha" / "identity.pub").read_text().splitlines()
    assert comment == f"# fingerprint: {identity.public.fingerprint()}"
    assert line == f"polyphony-v1 {base64.b64encode(identity.public.keys).decode()}"
    assert f"{node}\n" == (tmp_path / "alpha" / "node.pub").read_text()


def test_an_identity_is_never_overwritten(tmp_path: Path) -> None:
    new_identity(tmp_path / "alpha")
    before = [path.read_bytes() for path in sorted((tmp_path / "alpha").iterdir())]
    with pytest.raises(ConfigError, match="identity.key exists and is never overwritten") as caught:
        new_identity(tmp_path / "alpha")
    assert "another folder" in caught.value.hint
    assert [path.read_bytes() for path in sorted((tmp_path / "alpha").iterdir())] == before


def test_what_was_left_by_a_kill_before_the_key_was_written_is_begun_anew(tmp_path: Path) -> None:
    new_identity(tmp_path / "alpha")
    (tmp_path / "alpha" / "identity.key").unlink()
    identity = new_identity(tmp_path / "alpha")
    assert load_public(tmp_path / "alpha" / "identity.pub").identity == identity.public == load_identity(tmp_path / "alpha").public


def test_killed_before_any_file_of_an_identity_was_written_it_is_begun_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, left = identity_files.write_text, 0

    def dying(path: Path, text: str) -> None:
        nonlocal left
        if not left:
            raise KeyboardInterrupt
        left -= 1
        write(path, text)

    for written in range(4):
        left = written
        monkeypatch.setattr(identity_files, "write_text", dying)
        with pytest.raises(KeyboardInterrupt):
            new_identity(tmp_path / str(written))
        assert len(names(tmp_path / str(written))) == written
        monkeypatch.setattr(identity_files, "write_text", write)
        identity = new_identity(tmp_path / str(written))
        assert load_identity(tmp_path / str(written)).public == identity.public


@pytest.mark.parametrize("name", ["node.key", "node.pub", "identity.pub"])
@pytest.mark.parametrize("contents", ["a person's own\n", "another's"])
def test_keys_of_a_persons_or_of_another_identity_are_never_overwritten(name: str, contents: str, tmp_path: Path) -> None:
    folder, other = tmp_path / "keys", tmp_path / "other"
    folder.mkdir(mode=0o700)
    new_identity(other)
    if name != "identity.pub":
        new_identity(tmp_path / "third")
        shutil.copy(tmp_path / "third" / "identity.pub", folder)
    elif contents == "another's":
        contents = "ssh-ed25519 AAAA a person's own\n"
    (folder / name).write_text((other / name).read_text() if contents == "another's" else contents)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(ConfigError, match=f"{folder}.* holds other keys") as caught:
        new_identity(folder)
    assert caught.value.hint == "name a new folder"
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


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
NODE, OTHER_NODE = new_node_key()[1], new_node_key()[1]


OPENSSH = (serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
ED25519_NODE = ed25519.Ed25519PrivateKey.generate().public_key().public_bytes(*OPENSSH).decode()
P256_NODE = ec.generate_private_key(ec.SECP256R1()).public_key().public_bytes(*OPENSSH).decode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# fingerprint: none\n",
        KEY,
        f"polyphony-v2 {KEY}",
        f"polyphony-v1 {KEY} more",
        f"polyphony-v1 {KEY}\npolyphony-v1 {KEY}\n",
        f"{NODE}\npolyphony-v1 {KEY}\n",
        f"polyphony-v1 {KEY}\n{NODE}\n{NODE}\n",
        f"polyphony-v1 {KEY}\n{NODE[:-8]}\n",
        f"polyphony-v1 {KEY}\n{ED25519_NODE}\n",
        f"polyphony-v1 {KEY}\n{P256_NODE}\n",
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
    assert load_public(tmp_path / "identity.pub") == handed_out(1)


@pytest.mark.parametrize("comment", ["", " alpha", " alpha of the north"])
def test_a_node_key_is_the_same_with_and_without_a_comment(comment: str, tmp_path: Path) -> None:
    (tmp_path / "identity.pub").write_text(f"polyphony-v1 {KEY}\n{NODE}{comment}\n")
    assert load_public(tmp_path / "identity.pub") == handed_out(1, NODE)


def test_flower_takes_the_node_key(tmp_path: Path) -> None:
    """Its SuperNode reads the private key in OpenSSH's form, and its SuperLink knows the public one by its bytes."""
    new_identity(tmp_path)
    private = serialization.load_ssh_private_key((tmp_path / "node.key").read_bytes(), password=None)
    key = serialization.load_ssh_public_key((load_public(tmp_path / "identity.pub").node or "").encode())
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert uses_nist_ec_curve(key)
    assert public_key_to_bytes(private.public_key()) == public_key_to_bytes(key)


def test_a_new_node_key_leaves_the_identity_as_it_is(tmp_path: Path) -> None:
    identity, key = new_identity(tmp_path).public, (tmp_path / "identity.key").read_bytes()
    before = load_public(tmp_path / "identity.pub")
    assert renew_node_key(tmp_path) == identity
    after = load_public(tmp_path / "identity.pub")
    assert (tmp_path / "identity.key").read_bytes() == key
    assert after.identity == before.identity
    assert after.node not in (None, before.node)
    assert (tmp_path / "node.pub").read_text() == f"{after.node}\n"
    assert mode(tmp_path / "node.key") == 0o600


def test_an_identity_without_a_node_key_gets_one(tmp_path: Path) -> None:
    new_identity(tmp_path)
    for name in ("node.key", "node.pub"):
        (tmp_path / name).unlink()
    renew_node_key(tmp_path)
    assert load_public(tmp_path / "identity.pub").node


def test_a_public_file_whose_key_was_replaced_under_its_fingerprint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "identity.pub"
    path.write_text(f"# fingerprint: {public(2).fingerprint()}\npolyphony-v1 {KEY}\n")
    with pytest.raises(ConfigError, match="its fingerprint is not that of its key"):
        load_public(path)


# The roster


def test_a_consortium_is_put_together_partner_by_partner(file: Path) -> None:
    for member in members(5):
        assert load_draft(file).members == members(member.index - 1)
        assert add_partner(file, member.name, PublicFile(member.identity)) == member
    assert load_roster(file) == Roster("five voices", 4, 4, members(5))


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_draft_of_fewer_than_three_is_a_file_but_no_roster(count: int, file: Path) -> None:
    for member in members(count):
        add_partner(file, member.name, PublicFile(member.identity))
    assert len(load_draft(file).members) == count
    with pytest.raises(ConfigError, match=f"consortium.yaml: a consortium has at least 3 partners, not {count}"):
        load_roster(file)


@pytest.mark.parametrize(("count", "threshold", "minimum"), [(3, 3, 3), (4, 3, 3), (5, 4, 4), (6, 5, 5), (10, 7, 7)])
def test_threshold_and_minimum_follow_the_number_of_partners(count: int, threshold: int, minimum: int) -> None:
    roster = Draft("x", members=members(count)).roster()
    assert (roster.threshold, roster.minimum) == (threshold, minimum)


def test_a_minimum_that_is_left_open_is_at_least_three() -> None:
    assert Draft("x", threshold=2, members=members(3)).roster().minimum == 3
    assert Draft("x", threshold=4, members=members(5)).roster().minimum == 4


def test_threshold_and_minimum_may_be_chosen(tmp_path: Path) -> None:
    new_consortium(tmp_path / "c.yaml", Draft("chosen", threshold=3, minimum=5))
    for member in members(5):
        add_partner(tmp_path / "c.yaml", member.name, PublicFile(member.identity))
    roster = load_roster(tmp_path / "c.yaml")
    assert (roster.threshold, roster.minimum) == (3, 5)


NAMES = st.one_of(
    st.from_regex(r"\A[A-Za-z0-9]([A-Za-z0-9_ .&-]{0,62}[A-Za-z0-9_.&-])?\Z"),
    st.from_regex(r"\A[α-ω]{1,64}\Z"),
    st.from_regex(r"\A[а-я]{1,64}\Z"),
).filter(lambda name: not fault_of(name))
UNLIKE = st.lists(NAMES, min_size=6, max_size=6).filter(lambda names: not any(itertools.starmap(alike, itertools.combinations(names, 2))))


@examples(25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_roster_survives_its_file_whatever_its_names(tmp_path: Path, data: st.DataObject) -> None:
    count = data.draw(st.integers(3, 6))
    chosen = data.draw(UNLIKE)[:count]
    keys = data.draw(st.lists(st.integers(0, 255), min_size=count, max_size=count, unique=True))
    roster = Roster(
        data.draw(NAMES),
        data.draw(st.integers(count // 2 + 1, count)),
        data.draw(st.integers(3, count)),
        tuple(Member(index, name, public(key)) for index, (name, key) in enumerate(zip(chosen, keys, strict=True), start=1)),
    )
    write_roster(tmp_path / "consortium.yaml", roster)
    assert load_roster(tmp_path / "consortium.yaml") == roster
    assert load_roster(tmp_path / "consortium.yaml").digest() == roster.digest()


def test_a_name_stays_text_even_if_it_looks_like_a_number_or_a_word_of_yaml(file: Path) -> None:
    for number, name in enumerate(("1", "007", "1e3", "0x1F", "1_000", "null", "yes", "NaN", "2001-01-01", "1.5", "b - c", "R&D")):
        add_partner(file, name, handed_out(number))
        assert load_draft(file).members[-1].name == name


def test_a_file_that_is_there_is_not_begun_anew(file: Path) -> None:
    add_partner(file, "alpha", handed_out(1))
    with pytest.raises(ConfigError, match="consortium.yaml exists"):
        new_consortium(file, Draft("other"))
    assert load_draft(file).members[0].name == "alpha"


@pytest.mark.parametrize("name", ["", " ", "-x", "a ", "a\n", "a\nb", "a/b", "../x", "${oc.env:HOME}", "a" * 65, "\x1b[2J", "a,b"])
def test_a_name_that_could_mislead_is_refused(name: str, file: Path, tmp_path: Path) -> None:
    before = file.read_text()
    with pytest.raises(ConfigError, match="is no name") as caught:
        add_partner(file, name, handed_out(1))
    assert "begins with a letter or digit" in caught.value.hint
    assert file.read_text() == before
    with pytest.raises(ConfigError, match="is no name"):
        new_consortium(tmp_path / "other.yaml", Draft(name))
    assert not (tmp_path / "other.yaml").exists()


@given(st.text(max_size=100))
def test_any_text_has_a_nearest_name_and_a_name_is_its_own(text: str) -> None:
    """A run's folder may be called anything, and its partners' roster bears its name."""
    name = nearest_name(text)
    assert not fault_of(name)
    assert nearest_name(name) == name
    assert name == text or fault_of(text)


def test_a_name_or_key_is_added_once(file: Path) -> None:
    add_partner(file, "alpha", handed_out(1))
    before = file.read_text()
    with pytest.raises(ConfigError, match="consortium.yaml: alpha: partner 1 has the same name"):
        add_partner(file, "alpha", handed_out(2))
    with pytest.raises(ConfigError, match="consortium.yaml: beta: alpha has the same key"):
        add_partner(file, "beta", handed_out(1))
    assert file.read_text() == before


# Node keys, and partners that change


def nodes(count: int) -> list[str]:
    return [new_node_key()[1] for _ in range(count)]


def test_node_keys_are_kept_beside_the_roster_and_do_not_change_it(file: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare.yaml"
    new_consortium(bare, Draft("five voices"))
    keys = nodes(4)
    for member, node in zip(members(5), [*keys, None], strict=True):
        add_partner(file, member.name, PublicFile(member.identity, node))
        add_partner(bare, member.name, PublicFile(member.identity))
    assert load_draft(file).nodes == {f"partner-{index}": node for index, node in enumerate(keys, 1)}
    assert load_draft(bare).nodes == {}
    assert load_roster(file).digest() == load_roster(bare).digest()


def test_a_node_key_is_one_partners_alone(file: Path) -> None:
    add_partner(file, "alpha", handed_out(1, NODE))
    with pytest.raises(ConfigError, match="beta: alpha has the same node key"):
        add_partner(file, "beta", handed_out(2, NODE))
    add_partner(file, "beta", handed_out(2))
    add_partner(file, "gamma", handed_out(3))


@pytest.fixture
def five(file: Path) -> Path:
    for member, node in zip(members(5), nodes(5), strict=True):
        add_partner(file, member.name, PublicFile(member.identity, node))
    return file


def test_a_partner_that_changes_its_keys_keeps_its_place(five: Path) -> None:
    before = load_draft(five)
    assert replace_partner(five, "partner-3", handed_out(33, OTHER_NODE)) == Member(3, "partner-3", public(33))
    after = load_draft(five)
    assert after.members == tuple(Member(3, "partner-3", public(33)) if member.index == 3 else member for member in before.members)
    assert after.nodes == {**before.nodes, "partner-3": OTHER_NODE}


def test_another_node_key_alone_leaves_the_roster_as_it_is(five: Path) -> None:
    digest = load_roster(five).digest()
    replace_partner(five, "partner-3", handed_out(3, OTHER_NODE))
    assert load_roster(five).digest() == digest
    assert load_draft(five).nodes["partner-3"] == OTHER_NODE


def test_a_new_key_without_a_node_key_does_not_keep_the_old_one(five: Path) -> None:
    replace_partner(five, "partner-3", handed_out(33))
    assert "partner-3" not in load_draft(five).nodes


def test_a_partner_cannot_take_anothers_keys(five: Path) -> None:
    before = five.read_text()
    with pytest.raises(ConfigError, match="partner-3: partner-4 has the same key"):
        replace_partner(five, "partner-3", handed_out(4))
    with pytest.raises(ConfigError, match="partner-3: partner-4 has the same node key"):
        replace_partner(five, "partner-3", handed_out(33, load_draft(five).nodes["partner-4"]))
    assert five.read_text() == before


def test_those_behind_a_partner_that_leaves_move_up(five: Path) -> None:
    before = load_draft(five).nodes
    assert remove_partner(five, "partner-2") == Member(2, "partner-2", public(2))
    left = load_draft(five)
    assert [(member.index, member.name) for member in left.members] == [
        (1, "partner-1"),
        (2, "partner-3"),
        (3, "partner-4"),
        (4, "partner-5"),
    ]
    assert [member.identity for member in left.members] == [public(1), public(3), public(4), public(5)]
    assert left.nodes == {name: node for name, node in before.items() if name != "partner-2"}


def test_who_is_not_there_cannot_leave_or_change(five: Path) -> None:
    for change in (lambda: remove_partner(five, "nobody"), lambda: replace_partner(five, "nobody", handed_out(9))):
        with pytest.raises(ConfigError, match="consortium.yaml: there is no partner 'nobody'") as caught:
            change()
        assert "consortium show" in caught.value.hint


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
        (listing(entry(1).replace("}", ", node: 3}")), "partner 1: node is 3, not text"),
        (listing(entry(1).replace("}", ", node: ssh-rsa AAAA}")), r"partner 1 \(p1\) has an unusable node key"),
        (listing(entry(1).replace("}", ", node: ''}")), r"partner 1 \(p1\) has an unusable node key"),
        (listing(entry(1), entry(3)), r"partner 2 \(p3\) has index 3"),
        (listing(entry(1), entry(2, "a/b")), "partner 2: 'a/b' is no name"),
        (listing(entry(1), entry(2, key="abcd")), r"partner 2 \(p2\) has an unusable key: .*1984 bytes, not 3"),
        (listing(entry(1), entry(2, key="'!!'")), r"partner 2 \(p2\) has an unusable key"),
        (listing(entry(1), entry(2), entry(3, "p1")), r"partner 3 \(p1\): partner 1 has the same name"),
        (listing(entry(1), entry(2), entry(3, "P1")), r"partner 3 \(P1\): 'P1' is read as partner 1, 'p1'"),
        (listing(entry(1), entry(2), entry(3, "\u04401")), r"'\\u04401' is read as partner 1, 'p1'"),
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
        add_partner(file, member.name, PublicFile(member.identity))
    spelled_out = tmp_path / "other.yaml"
    write_roster(spelled_out, load_roster(file))
    assert spelled_out.read_text() != file.read_text()
    assert load_roster(spelled_out).digest() == load_roster(file).digest()
