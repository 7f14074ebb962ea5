"""The consortium's own certificates: whom OpenSSL's strict rules accept, what is renewed, and what is never overwritten."""

import ipaddress
import shutil
import ssl
import stat
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from fedapp.consortium.certificates import certificate_facts, certificate_files, new_certificates
from fedapp.errors import ConfigError
from tests.cli.test_cli import polyphony

HOST = "polyphony.example.org"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    new_certificates(tmp_path / "certificates", [HOST, "10.1.2.3"])
    return tmp_path / "certificates"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def handshake(server: Path, authority: Path, host: str) -> str:
    """A TLS handshake in memory, under the rules that Python 3.13 has by default; the version agreed on."""
    there, here = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context(cafile=authority)
    there.load_cert_chain(server / "server.crt", server / "server.key")
    here.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    server_side = there.wrap_bio(up, down, server_side=True)
    client_side = here.wrap_bio(down, up, server_hostname=host)
    for side in (client_side, server_side, client_side, server_side):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    return client_side.version() or ""


@pytest.mark.parametrize("host", [HOST, "10.1.2.3", "localhost", "127.0.0.1", "::1"])
def test_partners_reach_the_coordinator_by_every_name_it_was_made_for_and_locally(host: str, folder: Path) -> None:
    assert handshake(folder, folder / "ca.crt", host) == "TLSv1.3"


@pytest.mark.parametrize("host", ["other.example.org", "10.1.2.4", "example.org", "x.polyphony.example.org"])
def test_another_host_with_this_certificate_is_refused(host: str, folder: Path) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="match|not valid for"):
        handshake(folder, folder / "ca.crt", host)


def test_the_same_host_with_another_authoritys_certificate_is_refused(folder: Path, tmp_path: Path) -> None:
    new_certificates(tmp_path / "forged", [HOST])
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(tmp_path / "forged", folder / "ca.crt", HOST)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_openssl_accepts_them_by_its_strict_rules_for_a_server_and_for_nothing_else(folder: Path) -> None:
    def verify(purpose: str) -> int:
        command = ["openssl", "verify", "-x509_strict", "-purpose", purpose, "-CAfile", str(folder / "ca.crt"), str(folder / "server.crt")]
        return subprocess.run(command, capture_output=True, check=False).returncode

    assert verify("sslserver") == 0
    assert verify("sslclient") != 0


def test_the_coordinators_certificate_cannot_sign_others_and_the_authority_signs_no_authority(folder: Path) -> None:
    limits = {
        name: x509.load_pem_x509_certificate((folder / name).read_bytes()).extensions.get_extension_for_class(x509.BasicConstraints)
        for name in ("ca.crt", "server.crt")
    }
    assert all(limit.critical for limit in limits.values())
    assert limits["ca.crt"].value == x509.BasicConstraints(ca=True, path_length=0)
    assert limits["server.crt"].value == x509.BasicConstraints(ca=False, path_length=None)


def test_keys_and_their_folder_are_their_owners_alone(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == {"ca.key", "ca.crt", "server.key", "server.crt"}
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (folder, folder / "ca.key", folder / "server.key")]
    assert modes == [0o700, 0o600, 0o600]


def test_facts_are_what_the_certificate_says(folder: Path) -> None:
    facts = certificate_facts(folder / "server.crt")
    assert facts.hosts == (HOST, "10.1.2.3", "localhost", "127.0.0.1", "::1")
    assert not facts.authority
    assert facts.days_left() == 364
    assert facts.begins < datetime.now(UTC) - timedelta(minutes=59), "a clock that is behind by less than an hour accepts it"
    assert certificate_facts(folder / "ca.crt").authority
    assert not facts.early()


def test_renewal_leaves_the_authority_and_keeps_the_hosts_unless_told(folder: Path) -> None:
    before = contents(folder)
    facts = new_certificates(folder, days=30)
    after = contents(folder)
    assert {name for name in after if after[name] != before[name]} == {"server.key", "server.crt"}
    assert (facts.hosts[:2], facts.days_left()) == ((HOST, "10.1.2.3"), 29)
    assert handshake(folder, folder / "ca.crt", HOST)
    assert new_certificates(folder, ["elsewhere.example.org"]).hosts[0] == "elsewhere.example.org"


def test_an_authority_whose_key_is_elsewhere_is_not_replaced(folder: Path) -> None:
    (folder / "ca.key").unlink()
    before = contents(folder)
    with pytest.raises(ConfigError, match="has ca.crt, but not its key"):
        new_certificates(folder, [HOST])
    assert contents(folder) == before


@pytest.mark.parametrize("name", ["server.key", "server.crt"])
def test_a_key_or_certificate_of_a_persons_is_not_replaced(name: str, folder: Path, tmp_path: Path) -> None:
    """Neither in a folder without an authority, nor beside one that did not make it."""
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / name).write_text("a person's own")
    with pytest.raises(ConfigError, match=f"has {name}, but not an? .*key|its authority's key"):
        new_certificates(tmp_path / "web", ["polyphony.example.org"])
    assert [path.name for path in (tmp_path / "web").iterdir()] == [name]
    assert (tmp_path / "web" / name).read_text() == "a person's own"
    other = tmp_path / "other"
    new_certificates(other, ["polyphony.example.org"])
    for file in ("server.key", "server.crt"):
        (folder / file).unlink(missing_ok=True)
    shutil.copy(other / name, folder / name)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(ConfigError, match=r"server\.key is of no certificate of"):
        new_certificates(folder, ["polyphony.example.org"])
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_renewal_that_was_killed_between_certificate_and_key_is_done_again(folder: Path) -> None:
    (folder / "server.key").unlink()
    new_certificates(folder)
    key = serialization.load_pem_private_key((folder / "server.key").read_bytes(), None)
    assert key.public_key() == x509.load_pem_x509_certificate((folder / "server.crt").read_bytes()).public_key()


def test_a_key_that_is_not_the_authoritys_is_refused(folder: Path, tmp_path: Path) -> None:
    new_certificates(tmp_path / "other", [HOST])
    shutil.copy(tmp_path / "other" / "ca.key", folder / "ca.key")
    with pytest.raises(ConfigError, match=r"ca\.key is not the key of .*ca\.crt"):
        new_certificates(folder)
    (folder / "ca.key").write_text("nonsense")
    with pytest.raises(ConfigError, match=r"ca\.key is no key"):
        new_certificates(folder)


def test_no_certificate_outlives_the_authority(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"ca\.crt is valid until .* less than 3,651 days"):
        new_certificates(folder, days=3651)


@pytest.mark.parametrize("host", ["", "a b", "host:9092", "https://host", "-a.org", "a..b", "*.example.org", "a" * 64, "a.b/c", "ä.org"])
def test_what_is_no_host_is_refused_before_anything_is_written(host: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="neither a host's name nor an address"):
        new_certificates(tmp_path / "certificates", [host])
    assert not (tmp_path / "certificates").exists()


def test_the_first_certificate_needs_a_host(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no host") as caught:
        new_certificates(tmp_path / "certificates")
    assert "--host" in caught.value.hint


def test_what_is_no_certificate_is_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no certificate .*nowhere\.crt"):
        certificate_facts(tmp_path / "nowhere.crt")
    with pytest.raises(ConfigError, match=r"server\.key holds no certificate"):
        certificate_facts(folder / "server.key")
    with pytest.raises(ConfigError, match="has no ca.crt and no server.crt"):
        certificate_files(tmp_path)


# Certificates that were brought along: made here by other code than ours


def brought(path: Path, begins: datetime, ends: datetime, names: list[x509.GeneralName]) -> Path:
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "brought")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), begins, ends)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    path.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    return path


NOW = datetime.now(UTC).replace(microsecond=0)


def test_facts_of_a_certificate_that_was_brought_along(tmp_path: Path) -> None:
    names: list[x509.GeneralName] = [x509.DNSName("own.example.org"), x509.IPAddress(ipaddress.ip_address("::2"))]
    facts = certificate_facts(brought(tmp_path / "own.crt", NOW, NOW + timedelta(days=10, hours=1), names))
    assert (facts.hosts, facts.authority) == (("own.example.org", "::2"), False)
    assert (facts.begins, facts.ends, facts.days_left()) == (NOW, NOW + timedelta(days=10, hours=1), 10)
    assert certificate_facts(brought(tmp_path / "bare.crt", NOW, NOW + timedelta(days=1), [])).hosts == ()


def test_a_wildcard_stands_for_one_label(tmp_path: Path) -> None:
    facts = certificate_facts(brought(tmp_path / "own.crt", NOW, NOW + timedelta(days=1), [x509.DNSName("*.example.org")]))
    hosts = ("a.example.org", "example.org", "b.a.example.org", "a.example.com", "*.example.org")
    assert [facts.covers(host) for host in hosts] == [True, False, False, False, True]


# The verbs


def test_new_and_check_tell_hosts_and_expiry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    before = datetime.now(UTC)
    assert polyphony(monkeypatch, "certificates", "new", "c", "--host", HOST, "--days", "90") == 0
    first = capsys.readouterr().out
    authority, server = first.splitlines()
    assert authority.startswith("c/ca.crt  until ")
    assert authority.endswith(" days left  authority")
    assert any(f"until {now + timedelta(days=90):%Y-%m-%d}" in server for now in (before, datetime.now(UTC))), "midnight may come"
    assert server.endswith(f", 89 days left  {HOST}, localhost, 127.0.0.1, ::1")
    assert polyphony(monkeypatch, "certificates", "check", "c") == 0
    assert capsys.readouterr().out == first
    assert polyphony(monkeypatch, "certificates", "check", "c/server.crt") == 0
    assert capsys.readouterr().out == server + "\n"
    assert polyphony(monkeypatch, "certificates", "new", "c") == 0
    assert "c/ca.key was there and is kept: the coordinator's certificate and key alone are new" in capsys.readouterr().err


@pytest.mark.parametrize(("begins", "ends", "word"), [(-9, -1, "expired"), (1, 9, "not valid yet")])
def test_check_fails_on_a_certificate_that_is_not_valid_now(
    begins: int, ends: int, word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = brought(tmp_path / "own.crt", NOW + timedelta(days=begins), NOW + timedelta(days=ends), [x509.DNSName(HOST)])
    assert polyphony(monkeypatch, "certificates", "check", str(path)) == 1
    assert f", {word}  {HOST}" in capsys.readouterr().out
