"""The consortium's own certificate authority, for a coordinator that brings no certificate along.

DIR/ca.key       the authority's; only whoever renews the coordinator's certificate needs it; encrypted, if a passphrase is given
DIR/ca.crt       what every partner takes the coordinator's certificate for
DIR/server.key   the coordinator's, in the clear: Flower's SuperLink takes no other
DIR/server.crt
"""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fedapp.consortium.passphrase import passphrase_of, wrong_passphrase
from fedapp.errors import ConfigError
from fedapp.runtime.locks import alone_in
from fedapp.storage.files import PRIVATE_DIRECTORY, write_text
from fedapp.wording import plural

AUTHORITY_KEY, AUTHORITY = "ca.key", "ca.crt"
SERVER_KEY, SERVER = "server.key", "server.crt"
AUTHORITY_DAYS, SERVER_DAYS = 3650, 365
CLOCKS_APART = timedelta(hours=1)  # certificates are valid that much earlier: not everybody's clock is right
LOCAL = ("localhost", "127.0.0.1", "::1")
DNS_NAME = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9-]{1,63}(?<!-))*")


@dataclass(frozen=True)
class CertificateFacts:
    """What people want to know of a certificate.

    Attributes:
        hosts: Names and addresses that it is for, as text; none for an authority.
        authority: Whether it may sign others.
        begins, ends: UTC.
    """

    hosts: tuple[str, ...]
    authority: bool
    begins: datetime
    ends: datetime

    def days_left(self) -> int:
        """Whole days until it expires; negative when it did."""
        return (self.ends - datetime.now(UTC)).days

    def covers(self, host: str) -> bool:
        """Whether it is for this name or address; a wildcard stands for the first label."""
        return host in self.hosts or f"*.{host.partition('.')[2]}" in self.hosts

    def early(self) -> bool:
        """Whether it is not valid yet."""
        return datetime.now(UTC) < self.begins


def new_certificates(
    directory: Path, hosts: Sequence[str] = (), days: int = SERVER_DAYS, passphrase: bytes | None = None
) -> CertificateFacts:
    """Make an authority, unless the folder has one, and a new certificate for the coordinator.

    Args:
        directory: Folder for the four files.
        hosts: Names and addresses at which partners reach the coordinator; empty means those of the certificate that is renewed.
        days: Validity of the coordinator's certificate; the authority's is ten years.
        passphrase: What a new authority's key is encrypted under; None leaves it in the clear.
    Raises:
        ConfigError: No host, one that is no name or address, an authority that is unusable or ends too soon, or a passphrase for one
            that is there already.
    """
    if not hosts and not (directory / SERVER).is_file():
        raise ConfigError("no host", "say with --host at which name or address partners reach the coordinator")
    named = [_general_name(host) for host in dict.fromkeys((*(hosts or certificate_facts(directory / SERVER).hosts), *LOCAL))]
    directory.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
    with alone_in(directory):
        _renew(directory, named, days, passphrase)
    return certificate_facts(directory / SERVER)


def _renew(directory: Path, named: list[x509.GeneralName], days: int, passphrase: bytes | None) -> None:
    """The four files, of one authority and one key."""
    if not (directory / AUTHORITY_KEY).exists():
        for name, owner in ((AUTHORITY, "its"), (SERVER, "its authority's"), (SERVER_KEY, "an authority's")):
            if (directory / name).exists():
                raise ConfigError(f"{directory} has {name}, but not {owner} key", f"bring {AUTHORITY_KEY} back, or name a new folder")
        authority, key = _new_authority(directory, passphrase)
    elif passphrase is not None:
        raise ConfigError(f"{directory / AUTHORITY_KEY} is there already", f"encrypt it: polyphony certificates passphrase {directory}")
    else:
        authority, key = _open_authority(directory)
    _check_renewed(directory, authority)
    ends = datetime.now(UTC) + timedelta(days=days)
    if ends > authority.not_valid_after_utc:
        raise ConfigError(
            f"{directory / AUTHORITY} is valid until {authority.not_valid_after_utc:%Y-%m-%d}, less than {plural(days, 'day')}",
            "ask for fewer days, or make a new authority in a new folder and give its ca.crt to every partner",
        )
    server_key = ec.generate_private_key(ec.SECP384R1())
    certificate = _server(server_key.public_key(), authority, named, ends).sign(key, hashes.SHA384())
    write_text(directory / SERVER, _pem(certificate))  # first: by it a later call knows that the key is ours
    write_text(directory / SERVER_KEY, _private(server_key))


def _check_renewed(directory: Path, authority: x509.Certificate) -> None:
    """Refuse to take the place of a certificate or key that this authority did not make.

    Raises:
        ConfigError: It did not, or there is a key without a certificate.
    """
    if not (directory / SERVER).exists() and not (directory / SERVER_KEY).exists():
        return
    try:
        _load(directory / SERVER).verify_directly_issued_by(authority)
    except (ConfigError, ValueError, TypeError, InvalidSignature) as error:
        raise ConfigError(
            f"{directory / SERVER_KEY} is of no certificate of {directory / AUTHORITY}", "move it away, or name a new folder"
        ) from error


def change_authority_passphrase(directory: Path, passphrase: bytes | None) -> None:
    """Encrypt the authority's key under a passphrase, or under another; None leaves it in the clear.

    Raises:
        ConfigError: No usable authority, or its key does not open with the present passphrase.
    """
    with alone_in(directory):
        _, key = _open_authority(directory)
        write_text(directory / AUTHORITY_KEY, _private(key, passphrase))


def certificate_facts(path: Path) -> CertificateFacts:
    """What the first certificate in a PEM file says of itself; its signature is not checked.

    Raises:
        ConfigError: No such file, or no certificate in it.
    """
    certificate = _load(path)
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        hosts = tuple(str(name.value) for name in names)
    except x509.ExtensionNotFound:
        hosts = ()
    try:
        authority = bool(certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca)
    except x509.ExtensionNotFound:
        authority = False
    return CertificateFacts(hosts, authority, certificate.not_valid_before_utc, certificate.not_valid_after_utc)


def fingerprints(path: Path) -> list[bytes]:
    """SHA-256 of every certificate in a PEM file, as `openssl x509 -fingerprint -sha256` tells of the first.

    Raises:
        ConfigError: No such file, or no certificate in it.
    """
    _load(path)
    try:
        return [certificate.fingerprint(hashes.SHA256()) for certificate in x509.load_pem_x509_certificates(path.read_bytes())]
    except ValueError as error:
        raise ConfigError(f"{path} holds a certificate that cannot be read", "bring it back from the kit") from error


def certificate_files(path: Path) -> list[Path]:
    """The certificates in a folder of ours, or the file itself.

    Raises:
        ConfigError: There is none.
    """
    if not path.is_dir():
        return [path]
    files = [path / name for name in (AUTHORITY, SERVER) if (path / name).is_file()]
    if not files:
        raise ConfigError(f"{path} has no {AUTHORITY} and no {SERVER}", f"`polyphony certificates new {path} --host NAME` makes both")
    return files


def _new_authority(directory: Path, passphrase: bytes | None) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP384R1())
    name = _named("Polyphony consortium authority")
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    begun = _begun(name, name, key.public_key(), datetime.now(UTC) + timedelta(days=AUTHORITY_DAYS))
    certificate = (
        begun.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(identifier, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
        .sign(key, hashes.SHA384())
    )
    write_text(directory / AUTHORITY, _pem(certificate))
    write_text(directory / AUTHORITY_KEY, _private(key, passphrase))
    return certificate, key


def _server(
    key: ec.EllipticCurvePublicKey, authority: x509.Certificate, hosts: list[x509.GeneralName], ends: datetime
) -> x509.CertificateBuilder:
    issuer = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return (
        _begun(_named("Polyphony coordinator"), authority.subject, key, ends)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(hosts), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer), critical=False)
    )


def _begun(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, ends: datetime) -> x509.CertificateBuilder:
    begins = datetime.now(UTC) - CLOCKS_APART
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
    return builder.serial_number(x509.random_serial_number()).not_valid_before(begins).not_valid_after(ends)


def _usage(signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _named(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        if DNS_NAME.fullmatch(host) and len(host) < 254:
            return x509.DNSName(host)
    raise ConfigError(f"{host!r} is neither a host's name nor an address", "give it without a port, such as polyphony.example.org")


def _open_authority(directory: Path) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    certificate, path = _load(directory / AUTHORITY), directory / AUTHORITY_KEY
    passphrase = passphrase_of(path)
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), passphrase)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        if passphrase is not None:
            raise wrong_passphrase(path) from error
        raise ConfigError(f"{path} is no key", "bring it back from a backup, or make a new authority in a new folder") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        raise ConfigError(f"{path} is not the key of {directory / AUTHORITY}", "bring both back from one backup")
    return certificate, key


def _load(path: Path) -> x509.Certificate:
    if not path.is_file():
        raise ConfigError(f"no certificate {path}", "`polyphony certificates new DIR --host NAME` makes certificates")
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except ValueError as error:
        raise ConfigError(f"{path} holds no certificate in PEM form", "it begins with -----BEGIN CERTIFICATE-----") from error


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _private(key: ec.EllipticCurvePrivateKey, passphrase: bytes | None = None) -> str:
    sealed = serialization.NoEncryption() if passphrase is None else serialization.BestAvailableEncryption(passphrase)
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, sealed).decode()
