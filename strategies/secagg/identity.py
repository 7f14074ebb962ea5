"""A partner's long-term identity: Ed25519 and ML-DSA-65 together, so that a signature stands as long as either of them does."""

import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, mldsa

from strategies.secagg.errors import IdentityFileError, SignatureError

ED25519_KEY, MLDSA_KEY = 32, 1952  # bytes of the public keys (RFC 8032, FIPS 204)
ED25519_SIGNATURE, MLDSA_SIGNATURE = 64, 3309
KEY_BYTES = ED25519_KEY + MLDSA_KEY
SIGNATURE_BYTES = ED25519_SIGNATURE + MLDSA_SIGNATURE
PEM_BLOCK = re.compile(rb".*?-----END (?:ENCRYPTED )?PRIVATE KEY-----", re.DOTALL)


@dataclass(frozen=True)
class PublicIdentity:
    """The two public keys, one after the other: 32 + 1952 bytes.

    Raises:
        ValueError: Another length.
    """

    keys: bytes

    def __post_init__(self) -> None:
        if len(self.keys) != KEY_BYTES:
            raise ValueError(f"a public identity has {KEY_BYTES} bytes, not {len(self.keys)}")

    def fingerprint(self) -> str:
        """What people compare over the telephone: SHA-256 of the keys, 64 hex digits in groups of 8."""
        digest = hashlib.sha256(self.keys).hexdigest()
        return " ".join(digest[start : start + 8] for start in range(0, 64, 8))

    def verify(self, signature: bytes, message: bytes, partner: int) -> None:
        """Check both signatures.

        Args:
            partner: Index of the supposed signer, for the error.
        Raises:
            SignatureError: Wrong length, or either signature does not verify.
        """
        if len(signature) != SIGNATURE_BYTES:
            raise SignatureError(partner, f"a signature has {SIGNATURE_BYTES} bytes, not {len(signature)}")
        classical, lattice = _read(self.keys)
        try:
            classical.verify(signature[:ED25519_SIGNATURE], message)
            lattice.verify(signature[ED25519_SIGNATURE:], message)
        except InvalidSignature:
            raise SignatureError(partner, "its signature does not verify") from None


@lru_cache(maxsize=1024)
def _read(keys: bytes) -> tuple[ed25519.Ed25519PublicKey, mldsa.MLDSA65PublicKey]:
    """The two public keys; the partners' are needed for every message."""
    return ed25519.Ed25519PublicKey.from_public_bytes(keys[:ED25519_KEY]), mldsa.MLDSA65PublicKey.from_public_bytes(keys[ED25519_KEY:])


class Identity:
    """The private keys. They leave this object only through `to_pem`, and appear in no text that it makes.

    Args:
        classical: Ed25519 private key.
        lattice: ML-DSA-65 private key.
    """

    def __init__(self, classical: ed25519.Ed25519PrivateKey, lattice: mldsa.MLDSA65PrivateKey) -> None:
        self._classical, self._lattice = classical, lattice
        raw, form = serialization.Encoding.Raw, serialization.PublicFormat.Raw
        self.public = PublicIdentity(classical.public_key().public_bytes(raw, form) + lattice.public_key().public_bytes(raw, form))

    @classmethod
    def generate(cls) -> "Identity":
        """A new identity from the operating system's generator."""
        return cls(ed25519.Ed25519PrivateKey.generate(), mldsa.MLDSA65PrivateKey.generate())

    @classmethod
    def from_pem(cls, pem: bytes, passphrase: bytes | None = None) -> "Identity":
        """The identity of `to_pem`'s bytes.

        Args:
            passphrase: What both keys are encrypted under; None if neither is.
        Raises:
            IdentityFileError: Not two PEM blocks, an Ed25519 key and an ML-DSA-65 key in this order, or not under this passphrase.
        """
        try:
            classical, lattice = (serialization.load_pem_private_key(block, passphrase) for block in PEM_BLOCK.findall(pem))
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            how = "unencrypted" if passphrase is None else "encrypted"
            raise IdentityFileError(f"an identity is two {how} PEM private keys, Ed25519 and ML-DSA-65") from error
        if not isinstance(classical, ed25519.Ed25519PrivateKey) or not isinstance(lattice, mldsa.MLDSA65PrivateKey):
            raise IdentityFileError("an identity is an Ed25519 key followed by an ML-DSA-65 key")
        return cls(classical, lattice)

    def to_pem(self, passphrase: bytes | None = None) -> bytes:
        """Both private keys, PKCS #8 in PEM, each encrypted if there is a passphrase: the caller keeps them in a file of mode 0600."""
        pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        sealed = serialization.NoEncryption() if passphrase is None else serialization.BestAvailableEncryption(passphrase)
        return self._classical.private_bytes(pem, form, sealed) + self._lattice.private_bytes(pem, form, sealed)

    def sign(self, message: bytes) -> bytes:
        """Ed25519 signature followed by ML-DSA-65 signature, 3373 bytes. The latter is hedged: two calls differ."""
        return self._classical.sign(message) + self._lattice.sign(message)

    def __repr__(self) -> str:
        return f"Identity({self.public.fingerprint()})"
