"""A partner whose keys lie under a passphrase: it serves with that from a file, says what is missing without, and `doctor` tells."""

from pathlib import Path

import pytest

from fedapp.consortium import passphrase
from fedapp.consortium.identity_files import change_passphrase, load_identity
from fedapp.errors import ConfigError
from fedapp.partner.place import site_place
from fedapp.site.doctor import checks
from fedapp.site.folder import Site
from fedapp.site.run import serve as serving

SECRET = b"seven dice and a half"


@pytest.fixture
def encrypted(partner: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    for variable in (passphrase.VARIABLE, passphrase.CREDENTIALS):
        monkeypatch.delenv(variable, raising=False)
    assert "in the clear" in checks.passphrase(partner).told
    change_passphrase(partner.keys, SECRET)
    return partner


@pytest.fixture
def words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "words"
    path.write_bytes(SECRET)
    path.chmod(0o600)
    monkeypatch.setenv(passphrase.VARIABLE, str(path))
    return path


def test_a_site_is_not_served_without_the_passphrase_of_its_keys_and_the_error_says_where_it_is_looked_for(encrypted: Site) -> None:
    with pytest.raises(ConfigError, match=r"identity\.key is encrypted, and there is no passphrase") as caught:
        serving.serve(encrypted)
    assert passphrase.VARIABLE in caught.value.hint
    assert not (encrypted.log / "supernode.out").exists(), "nothing was started that could only fail"


def test_a_site_is_not_served_with_another_passphrase(encrypted: Site, words: Path) -> None:
    words.write_bytes(b"another that opens nothing")
    with pytest.raises(ConfigError, match=f"identity.key does not open with the passphrase in {words}"):
        serving.serve(encrypted)


def test_with_the_passphrase_in_a_file_it_is_served_and_answers_as_itself(
    encrypted: Site, words: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[list[str]] = []
    monkeypatch.setattr(serving, "run_for_ever", lambda site, services: started.extend(each.command for each in services))
    serving.serve(encrypted)
    assert any("supernode" in command for command in started)
    assert not any(SECRET.decode() in word for command in started for word in command)
    assert site_place(encrypted).membership().identity.public == load_identity(encrypted.keys).public


def test_doctor_says_that_keys_lie_encrypted_and_fails_where_they_do_not_open(encrypted: Site, words: Path) -> None:
    told = checks.passphrase(encrypted).told
    assert told.startswith("identity.key and node.key encrypted")
    assert passphrase.VARIABLE in told and "not checked here" in told and "has the passphrase" not in told
    assert checks.identity(encrypted).state is checks.CheckState.OK
    assert checks.node_key(encrypted).state is checks.CheckState.OK
    words.write_bytes(b"another that opens nothing")
    for check in (checks.identity, checks.node_key):
        with pytest.raises(ConfigError, match=r"\.key does not open"):
            check(encrypted)
