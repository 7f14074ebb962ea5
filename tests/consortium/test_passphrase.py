"""Keys under a passphrase: what lies on disk, where the passphrase comes from, and what is said without it."""

import base64
import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.main import get_command

from fedapp.cli.main import app
from fedapp.consortium import identity_files, passphrase
from fedapp.consortium.certificates import change_authority_passphrase, new_certificates
from fedapp.consortium.identity_files import change_passphrase, check_unattended, load_identity, new_identity, renew_node_key
from fedapp.consortium.node_key import read_node_key, read_private_key
from fedapp.consortium.passphrase import LEAST, MOST, new_passphrase, passphrase_of, read_passphrase
from fedapp.errors import ConfigError, PolyphonyError
from strategies.secagg.identity import Identity
from tests.cli.test_cli import polyphony

SECRET, ANOTHER = b"seven dice and a half", b"a word that nobody says"
FLIPS = 20  # in each file
HEADER = b"-----BEGIN ENCRYPTED PRIVATE KEY-----"


@pytest.fixture(autouse=True)
def nobody_to_ask(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    for variable in (passphrase.VARIABLE, passphrase.CREDENTIALS):
        monkeypatch.delenv(variable, raising=False)
    passphrase._asked.cache_clear()
    yield
    passphrase._asked.cache_clear()


def file_with(path: Path, contents: bytes) -> Path:
    path.write_bytes(contents)
    path.chmod(0o600)
    return path


@pytest.fixture
def given_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that the environment names."""
    path = file_with(tmp_path / "passphrase", SECRET + b"\n")
    monkeypatch.setenv(passphrase.VARIABLE, str(path))
    return path


def typing(monkeypatch: pytest.MonkeyPatch, *words: str) -> list[str]:
    """A person at a terminal, who types these; the prompts that are shown."""
    prompts, left = [], list(words)

    def ask(prompt: str) -> str:
        prompts.append(prompt)
        if not left:
            raise EOFError
        return left.pop(0)

    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr(passphrase, "getpass", ask)
    return prompts


def private(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in ("identity.key", "node.key")}


# On disk


def test_keys_under_a_passphrase_lie_encrypted_and_are_the_same_keys(tmp_path: Path, given_file: Path) -> None:
    made = new_identity(tmp_path / "alpha", SECRET)
    held = private(tmp_path / "alpha")
    assert held["identity.key"].count(HEADER) == 2
    assert held["node.key"].count(HEADER) == 1
    assert not any(b"BEGIN PRIVATE KEY" in each or b"OPENSSH" in each for each in held.values())
    loaded = load_identity(tmp_path / "alpha")
    assert loaded.public == made.public
    made.public.verify(loaded.sign(b"message"), b"message", 1)
    key = read_private_key(tmp_path / "alpha" / "node.key")
    assert read_node_key((tmp_path / "alpha" / "node.pub").read_text()) == identity_files.public_half(held["node.key"], SECRET)
    assert key.curve.name == "secp384r1"


def test_nothing_of_a_private_key_can_be_read_from_an_encrypted_one(tmp_path: Path) -> None:
    identity = Identity.generate()
    sealed = b"".join(base64.b64decode(b"".join(block.splitlines()[1:])) for block in pem_blocks(identity.to_pem(SECRET)))
    for clear in pem_blocks(identity.to_pem()):
        seed = base64.b64decode(b"".join(clear.splitlines()[1:]))[-32:]
        assert seed not in sealed
    assert identity.to_pem(SECRET) != identity.to_pem(SECRET), "each file has a salt of its own"


def pem_blocks(pem: bytes) -> list[bytes]:
    return [block.strip() for block in pem.replace(b"ENCRYPTED ", b"").split(b"-----END PRIVATE KEY-----")[:-1]]


def test_openssl_reads_what_was_encrypted_with_the_passphrase_and_not_without(tmp_path: Path) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    new_certificates(tmp_path / "ca", ["host.example.org"], passphrase=SECRET)
    right, wrong = file_with(tmp_path / "right", SECRET), file_with(tmp_path / "wrong", ANOTHER)
    command = [openssl, "pkey", "-in", str(tmp_path / "ca" / "ca.key"), "-noout", "-passin"]
    assert subprocess.run([*command, f"file:{right}"], capture_output=True, check=False).returncode == 0
    assert subprocess.run([*command, f"file:{wrong}"], capture_output=True, check=False).returncode != 0


def test_without_a_passphrase_keys_are_as_they_were(tmp_path: Path) -> None:
    new_identity(tmp_path / "alpha")
    held = private(tmp_path / "alpha")
    assert held["identity.key"].count(b"-----BEGIN PRIVATE KEY-----") == 2
    assert held["node.key"].startswith(b"-----BEGIN OPENSSH PRIVATE KEY-----"), "the form that Flower's own SuperNode reads"
    check_unattended(tmp_path / "alpha")


def test_a_new_node_key_is_encrypted_as_the_identity_is(tmp_path: Path, given_file: Path) -> None:
    new_identity(tmp_path / "alpha", SECRET)
    renew_node_key(tmp_path / "alpha")
    assert HEADER in private(tmp_path / "alpha")["node.key"]
    read_private_key(tmp_path / "alpha" / "node.key")


def test_a_passphrase_is_given_changed_and_taken_away_and_the_keys_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "alpha"
    identity, node = new_identity(folder).public, (folder / "node.pub").read_text()
    for present, wanted in ((None, SECRET), (SECRET, ANOTHER), (ANOTHER, None)):
        if present is not None:
            monkeypatch.setenv(passphrase.VARIABLE, str(file_with(tmp_path / "present", present)))
        assert change_passphrase(folder, wanted).public == identity
        if wanted is not None:
            monkeypatch.setenv(passphrase.VARIABLE, str(file_with(tmp_path / "wanted", wanted)))
        assert [HEADER in each for each in private(folder).values()] == [wanted is not None] * 2
        assert load_identity(folder).public == identity
        assert read_node_key(node) == identity_files.public_half((folder / "node.key").read_bytes(), wanted)


@pytest.mark.parametrize("before", [None, SECRET])
@pytest.mark.parametrize("after", [None, ANOTHER])
def test_a_change_that_was_killed_between_the_two_keys_goes_on(
    before: bytes | None, after: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if before is not None:
        monkeypatch.setenv(passphrase.VARIABLE, str(file_with(tmp_path / "present", before)))
    identity, write = new_identity(tmp_path / "alpha", before).public, identity_files.write_text

    def dying(path: Path, text: str) -> None:
        if path.name == "identity.key":
            raise KeyboardInterrupt
        write(path, text)

    monkeypatch.setattr(identity_files, "write_text", dying)
    with pytest.raises(KeyboardInterrupt):
        change_passphrase(tmp_path / "alpha", after)
    monkeypatch.setattr(identity_files, "write_text", write)
    assert load_identity(tmp_path / "alpha").public == identity
    assert change_passphrase(tmp_path / "alpha", after).public == identity
    assert [HEADER in each for each in private(tmp_path / "alpha").values()] == [after is not None] * 2


def test_keys_that_do_not_open_are_left_as_they_are(tmp_path: Path, given_file: Path) -> None:
    new_identity(tmp_path / "alpha", ANOTHER)
    before = private(tmp_path / "alpha")
    with pytest.raises(ConfigError, match=r"identity\.key does not open with the passphrase in .*passphrase"):
        change_passphrase(tmp_path / "alpha", None)
    assert private(tmp_path / "alpha") == before


def test_an_authority_is_made_renewed_and_decrypted_under_its_passphrase(tmp_path: Path, given_file: Path) -> None:
    folder = tmp_path / "ca"
    new_certificates(folder, ["host.example.org"], passphrase=SECRET)
    assert HEADER in (folder / "ca.key").read_bytes()
    assert HEADER not in (folder / "server.key").read_bytes(), "Flower's SuperLink could not open it"
    authority = (folder / "ca.crt").read_bytes()
    new_certificates(folder)
    assert (folder / "ca.crt").read_bytes() == authority
    with pytest.raises(ConfigError, match=r"ca\.key is there already") as caught:
        new_certificates(folder, passphrase=ANOTHER)
    assert "polyphony certificates passphrase" in caught.value.hint
    change_authority_passphrase(folder, None)
    assert HEADER not in (folder / "ca.key").read_bytes()
    given_file.unlink()
    new_certificates(folder)


def test_of_a_flipped_bit_anywhere_in_an_encrypted_key_nothing_is_written_anew(tmp_path: Path, given_file: Path) -> None:
    """The form has no checksum: a bit may make another key of it, which opens."""
    new_identity(tmp_path / "alpha", SECRET)
    new_certificates(tmp_path / "alpha", ["host.example.org"], passphrase=SECRET)
    calls = {
        "identity.key": lambda: change_passphrase(tmp_path / "alpha", ANOTHER),
        "node.key": lambda: change_passphrase(tmp_path / "alpha", ANOTHER),
        "ca.key": lambda: change_authority_passphrase(tmp_path / "alpha", ANOTHER),
    }
    held = {path.name: path.read_bytes() for path in (tmp_path / "alpha").iterdir()}
    generator = random.Random(5)
    for name, change in calls.items():
        altered = bytearray(held[name])
        for place in generator.sample(range(len(altered)), FLIPS):
            altered[place] ^= 1 << generator.randrange(8)
            (tmp_path / "alpha" / name).write_bytes(altered)
            try:
                change()
            except PolyphonyError as error:
                assert f"alpha/{name}" in str(error)
                assert (tmp_path / "alpha" / name).read_bytes() == altered
            else:  # in a line's end, which base64 overlooks
                assert HEADER in (tmp_path / "alpha" / name).read_bytes()
            for file, contents in held.items():
                (tmp_path / "alpha" / file).write_bytes(contents)
            altered = bytearray(held[name])


# Where the passphrase comes from


def test_a_service_has_it_as_a_credential_of_systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    identity = new_identity(tmp_path / "alpha", SECRET).public
    (tmp_path / "credentials").mkdir()
    file_with(tmp_path / "credentials" / "polyphony-passphrase", SECRET).chmod(0o440)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "credentials"))
    check_unattended(tmp_path / "alpha")
    assert load_identity(tmp_path / "alpha").public == identity


def test_the_file_that_the_environment_names_comes_before_the_credential(
    tmp_path: Path, given_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new_identity(tmp_path / "alpha", SECRET)
    file_with(tmp_path / "polyphony-passphrase", ANOTHER)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    load_identity(tmp_path / "alpha")


def test_a_person_is_asked_once_for_both_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    new_identity(tmp_path / "alpha", SECRET)
    prompts = typing(monkeypatch, SECRET.decode())
    load_identity(tmp_path / "alpha")
    read_private_key(tmp_path / "alpha" / "node.key")
    load_identity(tmp_path / "alpha")
    assert len(prompts) == 1


def test_what_serves_asks_nobody_though_there_is_a_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its processes are others than the one in which a person would type."""
    new_identity(tmp_path / "alpha", SECRET)
    assert typing(monkeypatch) == []
    with pytest.raises(ConfigError, match=r"identity\.key is encrypted, and there is no passphrase") as caught:
        check_unattended(tmp_path / "alpha")
    assert "POLYPHONY_PASSPHRASE_FILE" in caught.value.hint
    assert "no terminal" in caught.value.hint


def test_without_a_file_and_a_terminal_the_key_and_the_variable_are_named(tmp_path: Path) -> None:
    new_identity(tmp_path / "alpha", SECRET)
    node = tmp_path / "alpha" / "node.key"
    for key, opened in (("identity.key", lambda: load_identity(tmp_path / "alpha")), ("node.key", lambda: read_private_key(node))):
        with pytest.raises(ConfigError, match=f"alpha/{key} is encrypted, and there is no passphrase") as caught:
            opened()
        assert "POLYPHONY_PASSPHRASE_FILE" in caught.value.hint
        assert "polyphony-passphrase" in caught.value.hint


@pytest.mark.parametrize("key", ["identity.key", "node.key", "ca.key"])
def test_a_wrong_passphrase_is_said_with_the_key_and_the_file_and_never_quoted(key: str, tmp_path: Path, given_file: Path) -> None:
    new_identity(tmp_path / "keys", ANOTHER)
    new_certificates(tmp_path / "ca", ["host.example.org"], passphrase=None)
    change_authority_passphrase(tmp_path / "ca", ANOTHER)
    opening = {
        "identity.key": lambda: load_identity(tmp_path / "keys"),
        "node.key": lambda: read_private_key(tmp_path / "keys" / "node.key"),
        "ca.key": lambda: new_certificates(tmp_path / "ca"),
    }
    with pytest.raises(ConfigError, match=f"{key} does not open with the passphrase in {given_file}") as caught:
        opening[key]()
    assert not any(word.decode() in f"{caught.value}{caught.value.hint}{caught.value.__cause__}" for word in (SECRET, ANOTHER))


def test_one_key_encrypted_and_the_other_not_is_no_identity(tmp_path: Path, given_file: Path) -> None:
    identity = Identity.generate()
    clear, sealed = identity.to_pem(), identity.to_pem(SECRET)
    first, second = sealed[: sealed.index(b"\n-----BEGIN", 9) + 1], clear[clear.index(b"\n-----BEGIN", 9) + 1 :]
    (tmp_path / "alpha").mkdir(mode=0o700)
    file_with(tmp_path / "alpha" / "identity.key", first + second)
    with pytest.raises(ConfigError, match=r"identity\.key does not open"):
        load_identity(tmp_path / "alpha")


# What is no passphrase


@pytest.mark.parametrize("contents", [b"", b"\n", b"\r\n", b"two\nlines", b"nul\0", bytes([97]) * (MOST + 1)])
def test_a_file_with_anything_but_one_line_is_refused_by_name(contents: bytes, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"words: a passphrase is one line of 1 to 1,023 bytes") as caught:
        read_passphrase(file_with(tmp_path / "words", contents))
    assert "urandom" in caught.value.hint


@given(st.binary(min_size=1, max_size=MOST).filter(lambda secret: not {b"\n"[0], 0} & set(secret) and not secret.endswith(b"\r")))
def test_whatever_is_on_the_line_is_the_passphrase_with_either_ending(tmp_path_factory: pytest.TempPathFactory, secret: bytes) -> None:
    folder = tmp_path_factory.mktemp("words")
    for ending in (b"", b"\n", b"\r\n"):
        assert read_passphrase(file_with(folder / "words", secret + ending)) == secret


def test_a_file_that_is_missing_or_that_all_may_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no passphrase file .*words"):
        read_passphrase(tmp_path / "words")
    file_with(tmp_path / "words", SECRET).chmod(0o604)
    with pytest.raises(ConfigError, match="words is open to all users") as caught:
        read_passphrase(tmp_path / "words")
    assert "another passphrase" in caught.value.hint


def test_a_new_passphrase_that_is_guessed_soon_is_refused_and_an_old_one_is_not(tmp_path: Path) -> None:
    short = file_with(tmp_path / "words", b"a" * (LEAST - 1))
    with pytest.raises(ConfigError, match=f"{LEAST - 1} bytes are too few"):
        new_passphrase(short)
    assert len(read_passphrase(short)) == LEAST - 1
    assert len(new_passphrase(file_with(tmp_path / "words", b"a" * LEAST))) == LEAST


@pytest.mark.parametrize(
    ("typed", "said"),
    [(("long enough to be one", "but typed otherwise"), "differ"), (("short",), "too few"), (("",), "one line"), ((), "was typed")],
)
def test_what_a_person_types_wrongly_changes_nothing(typed: tuple[str, ...], said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    typing(monkeypatch, *typed)
    with pytest.raises(ConfigError, match=said):
        new_passphrase()


def test_a_key_that_is_not_encrypted_asks_nobody_and_reads_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    new_identity(tmp_path / "alpha")
    monkeypatch.setenv(passphrase.VARIABLE, str(tmp_path / "nowhere"))
    assert passphrase_of(tmp_path / "alpha" / "identity.key") is None
    load_identity(tmp_path / "alpha")


# The verbs


def test_on_the_command_line_keys_are_made_encrypted_changed_and_decrypted(
    tmp_path: Path, given_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    keys, other = tmp_path / "keys", file_with(tmp_path / "other", ANOTHER)
    assert polyphony(monkeypatch, "identity", "new", str(keys), "--encrypt") == 0
    fingerprint = capsys.readouterr().out.splitlines()[1]
    assert polyphony(monkeypatch, "identity", "passphrase", str(keys), "--new", str(other)) == 0
    assert polyphony(monkeypatch, "identity", "node", str(keys)) == 1
    assert "does not open with the passphrase in" in capsys.readouterr().err
    monkeypatch.setenv(passphrase.VARIABLE, str(other))
    assert polyphony(monkeypatch, "identity", "passphrase", str(keys), "--remove") == 0
    assert capsys.readouterr().out.splitlines()[1] == fingerprint
    assert HEADER not in b"".join(private(keys).values())
    assert polyphony(monkeypatch, "identity", "passphrase", str(keys), "--remove", "--new", str(other)) == 1
    assert "leave out --new FILE, or --remove" in capsys.readouterr().err


def test_on_the_command_line_an_authority_is_made_encrypted_and_decrypted(
    tmp_path: Path, given_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "ca"
    assert polyphony(monkeypatch, "certificates", "new", str(folder), "--host", "host.example.org", "--encrypt") == 0
    assert HEADER in (folder / "ca.key").read_bytes()
    assert polyphony(monkeypatch, "certificates", "passphrase", str(folder), "--remove") == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(folder / "ca.key")
    assert HEADER not in (folder / "ca.key").read_bytes()


# What a person may type freely behind a verb: names, addresses and settings, which are nobody's secrets.
WORDS = {"experiment", "--with", "--endpoint", "--endpoints", "--name", "name", "--host", "--superlink"}


def parameters(command: Any, verb: str = "polyphony") -> Iterator[tuple[str, Any]]:
    """Every parameter of every verb."""
    for name, below in getattr(command, "commands", {}).items():
        yield from parameters(below, f"{verb} {name}")
    yield from ((verb, each) for each in command.params)


def test_no_verb_takes_a_passphrase_as_a_word_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Arguments are everybody's to read, in `ps` and in a shell's history, and so are variables, in `/proc` and in a unit's settings."""
    every = list(parameters(get_command(app)))
    free = {option for _, each in every if each.type.name == "text" for option in each.opts}
    assert free == WORDS, "whoever adds one says here that it takes no secret"
    about = [(verb, each) for verb, each in every if "passphrase" in f"{each.name} {getattr(each, 'help', None)}".lower()]
    assert {verb.removeprefix("polyphony ") for verb, _ in about} >= {"identity new", "identity passphrase", "certificates new"}
    assert {each.type.name for _, each in about} == {"boolean", "path"}
    assert not [verb for verb, each in every if each.envvar]

    assert polyphony(monkeypatch, "identity", "new", str(tmp_path / "keys"), "--encrypt", SECRET.decode()) == 2
    assert polyphony(monkeypatch, "identity", "new", str(tmp_path / "keys"), "--encrypt") == 1
    assert "no terminal to ask for a new passphrase" in capsys.readouterr().err
    assert not (tmp_path / "keys").exists()


@pytest.mark.parametrize("variable", ["POLYPHONY_PASSPHRASE", "PASSPHRASE"])
def test_a_passphrase_that_lies_in_a_variable_opens_and_encrypts_nothing(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    new_identity(tmp_path / "alpha", SECRET)
    monkeypatch.setenv(variable, SECRET.decode())
    with pytest.raises(ConfigError, match=r"identity\.key is encrypted, and there is no passphrase"):
        load_identity(tmp_path / "alpha")
    assert polyphony(monkeypatch, "identity", "new", str(tmp_path / "keys"), "--encrypt") == 1
    assert not (tmp_path / "keys").exists()
    assert SECRET.decode() not in "".join(capsys.readouterr())
