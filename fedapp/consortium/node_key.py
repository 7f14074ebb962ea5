"""The key with which a partner's machine connects to the coordinator: P-384 in OpenSSH's form, as Flower wants it; with a passphrase, in
PKCS #8, which our own SuperNode reads and Flower's does not.

It opens a connection and nothing else: what a partner says is believed by its identity alone, so this key may be changed at any time.
"""

import base64
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fedapp.consortium.passphrase import ENCRYPTED, passphrase_of, wrong_passphrase
from fedapp.storage.damage import DamagedFileError, reading

NODE_FORMAT = "ecdsa-sha2-nistp384"
COPIES = 2  # of the public half in a file of OpenSSH's form


def new_node_key(passphrase: bytes | None = None) -> tuple[bytes, str]:
    """A new key: the private file's contents, and the public key as text."""
    key = ec.generate_private_key(ec.SECP384R1())
    return private_text(key, passphrase), _text(key.public_key())


def private_text(key: ec.EllipticCurvePrivateKey, passphrase: bytes | None = None) -> bytes:
    """A private file's contents."""
    if passphrase is None:
        return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption())
    sealed = serialization.BestAvailableEncryption(passphrase)
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, sealed)


def public_half(private: bytes, passphrase: bytes | None = None) -> str:
    """The public key, as text, of a private file's contents.

    Raises:
        ValueError: No P-384 key in a form of `new_node_key`, or not under this passphrase.
    """
    return _text(_opened(private, passphrase).public_key())


def read_node_key(text: str) -> str:
    """A public key as `new_node_key` writes it, without a comment.

    Raises:
        ValueError: No P-384 key in OpenSSH's form.
    """
    try:
        key = serialization.load_ssh_public_key(" ".join(text.split()[:2]).encode())
    except UnsupportedAlgorithm as error:
        raise ValueError(str(error)) from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP384R1):
        raise ValueError(f"not a key {NODE_FORMAT}")
    return _text(key)


def read_private_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """The private key in a file of `new_node_key`'s contents.

    Raises:
        DamagedFileError: It is missing, or holds no P-384 key in a form of `new_node_key`.
        ConfigError: It is encrypted, and the passphrase is missing or another.
    """
    return open_private_key(path, passphrase_of(path))


def open_private_key(path: Path, passphrase: bytes | None) -> ec.EllipticCurvePrivateKey:
    """The private key in a file, under a passphrase or, with None, unencrypted; raises as `read_private_key`."""
    try:
        with reading(path, "bring it back from a backup, or make a new one with `polyphony identity node`, and send the new identity.pub"):
            return _opened(path.read_bytes(), passphrase)
    except DamagedFileError as error:
        if passphrase is None:
            raise
        raise wrong_passphrase(path) from error


def _opened(private: bytes, passphrase: bytes | None) -> ec.EllipticCurvePrivateKey:
    try:
        load = serialization.load_pem_private_key if ENCRYPTED in private else serialization.load_ssh_private_key
        key = load(private, passphrase)
    except (UnsupportedAlgorithm, TypeError) as error:  # the latter for one with a passphrase, or without
        raise ValueError(str(error)) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP384R1):
        raise ValueError(f"not a key {NODE_FORMAT}")
    if ENCRYPTED not in private:
        _check_halves(private, key)
    return key


def _check_halves(private: bytes, key: ec.EllipticCurvePrivateKey) -> None:
    """OpenSSH's form has the public half twice, in the clear and beside the private one, from which alone it is worked out on reading."""
    point = key.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    if base64.b64decode(b"".join(private.split(b"-----")[2].split())).count(point) != COPIES:
        raise ValueError("its private half does not fit its public one")


def _text(key: ec.EllipticCurvePublicKey) -> str:
    return key.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()
