"""The key with which a partner's machine connects to the coordinator: P-384 in OpenSSH's form, as Flower wants it.

It opens a connection and nothing else: what a partner says is believed by its identity alone, so this key may be changed at any time.
"""

from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fedapp.storage.damage import reading

NODE_FORMAT = "ecdsa-sha2-nistp384"


def new_node_key() -> tuple[bytes, str]:
    """A new key: the private file's contents, and the public key as text."""
    key = ec.generate_private_key(ec.SECP384R1())
    form, none = serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, form, none), _text(key.public_key())


def public_half(private: bytes) -> str:
    """The public key, as text, of a private file's contents.

    Raises:
        ValueError: No P-384 key in OpenSSH's form.
    """
    try:
        key = serialization.load_ssh_private_key(private, None)
    except (UnsupportedAlgorithm, TypeError) as error:  # the latter for one with a passphrase
        raise ValueError(str(error)) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP384R1):
        raise ValueError(f"not a key {NODE_FORMAT}")
    return _text(key.public_key())


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
        DamagedFileError: It is missing, or holds no P-384 key in OpenSSH's form.
    """
    with reading(path, "bring it back from a backup, or make a new one with `polyphony identity node`, and send the new identity.pub"):
        key = serialization.load_ssh_private_key(path.read_bytes(), None)
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP384R1):
            raise ValueError(f"not a key {NODE_FORMAT}")
        if ec.derive_private_key(key.private_numbers().private_value, key.curve).public_key() != key.public_key():
            raise ValueError("its private half does not fit its public one")
        return key


def _text(key: ec.EllipticCurvePublicKey) -> str:
    return key.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()
