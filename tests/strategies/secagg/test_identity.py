"""Identities: a signature holds only as both of its halves, and a private key shows nowhere."""

import base64
import hashlib
import pickle

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, mldsa, x25519

from strategies.secagg.errors import IdentityFileError, SignatureError
from strategies.secagg.identity import ED25519_KEY, ED25519_SIGNATURE, KEY_BYTES, SIGNATURE_BYTES, Identity, PublicIdentity

# RFC 8032, section 7.1, test 1
RFC_SECRET = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
RFC_PUBLIC = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
RFC_SIGNATURE = bytes.fromhex(
    "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
)
MESSAGE = b"polyphony/v1/test and what it is about"


@pytest.fixture(scope="module")
def identity() -> Identity:
    return Identity.generate()


@pytest.fixture(scope="module")
def stranger() -> Identity:
    return Identity.generate()


def test_a_signature_is_that_of_ed25519_and_that_of_ml_dsa_65(identity: Identity) -> None:
    signature, keys = identity.sign(MESSAGE), identity.public.keys
    assert len(signature) == SIGNATURE_BYTES == 64 + 3309
    assert len(keys) == KEY_BYTES == 32 + 1952
    ed25519.Ed25519PublicKey.from_public_bytes(keys[:32]).verify(signature[:64], MESSAGE)
    mldsa.MLDSA65PublicKey.from_public_bytes(keys[32:]).verify(signature[64:], MESSAGE)


def test_single_keys_of_the_library_make_a_signature_that_verifies() -> None:
    classical, lattice = ed25519.Ed25519PrivateKey.generate(), mldsa.MLDSA65PrivateKey.generate()
    raw = serialization.Encoding.Raw, serialization.PublicFormat.Raw
    public = PublicIdentity(classical.public_key().public_bytes(*raw) + lattice.public_key().public_bytes(*raw))
    public.verify(classical.sign(MESSAGE) + lattice.sign(MESSAGE), MESSAGE, partner=1)


def test_the_first_half_is_the_published_one() -> None:
    identity = Identity(ed25519.Ed25519PrivateKey.from_private_bytes(RFC_SECRET), mldsa.MLDSA65PrivateKey.generate())
    assert identity.public.keys[:ED25519_KEY] == RFC_PUBLIC
    assert identity.sign(b"")[:ED25519_SIGNATURE] == RFC_SIGNATURE


def test_two_signatures_on_one_message_both_verify_though_they_differ(identity: Identity) -> None:
    one, other = identity.sign(MESSAGE), identity.sign(MESSAGE)
    assert one != other
    identity.public.verify(one, MESSAGE, 1)
    identity.public.verify(other, MESSAGE, 1)


@pytest.mark.parametrize("half", ["classical", "lattice"])
@pytest.mark.parametrize("source", ["another key", "another message"])
def test_a_signature_with_one_half_of_another_origin_is_refused(half: str, source: str, identity: Identity, stranger: Identity) -> None:
    own = identity.sign(MESSAGE)
    alien = stranger.sign(MESSAGE) if source == "another key" else identity.sign(MESSAGE + b"!")
    mixed = alien[:64] + own[64:] if half == "classical" else own[:64] + alien[64:]
    with pytest.raises(SignatureError) as caught:
        identity.public.verify(mixed, MESSAGE, partner=4)
    assert caught.value.partner == 4


@pytest.mark.parametrize("half", ["classical", "lattice"])
def test_a_key_with_one_half_of_another_partner_verifies_nothing(half: str, identity: Identity, stranger: Identity) -> None:
    own, alien = identity.public.keys, stranger.public.keys
    mixed = PublicIdentity(alien[:32] + own[32:] if half == "classical" else own[:32] + alien[32:])
    with pytest.raises(SignatureError):
        mixed.verify(identity.sign(MESSAGE), MESSAGE, 1)


def test_every_flipped_byte_of_a_signature_is_noticed(identity: Identity) -> None:
    signature = identity.sign(MESSAGE)
    for place in [*range(64), *range(64, SIGNATURE_BYTES, 97), SIGNATURE_BYTES - 1]:
        altered = bytearray(signature)
        altered[place] ^= 1
        with pytest.raises(SignatureError):
            identity.public.verify(bytes(altered), MESSAGE, 1)


@pytest.mark.parametrize("change", ["cut", "extended", "empty", "only classical", "only lattice", "swapped"])
def test_a_signature_of_another_form_is_refused(change: str, identity: Identity) -> None:
    own = identity.sign(MESSAGE)
    forms = {
        "cut": own[:-1],
        "extended": own + b"\0",
        "empty": b"",
        "only classical": own[:64],
        "only lattice": own[64:],
        "swapped": own[64:] + own[:64],
    }
    with pytest.raises(SignatureError, match="partner 2: "):
        identity.public.verify(forms[change], MESSAGE, 2)


@pytest.mark.parametrize("keys", [bytes(KEY_BYTES), b"\xff" * KEY_BYTES])
def test_keys_that_are_no_keys_verify_nothing(keys: bytes, identity: Identity) -> None:
    with pytest.raises(SignatureError):
        PublicIdentity(keys).verify(identity.sign(MESSAGE), MESSAGE, 1)


@pytest.mark.parametrize("length", [0, 32, KEY_BYTES - 1, KEY_BYTES + 1])
def test_a_public_identity_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match=f"{KEY_BYTES} bytes, not {length}"):
        PublicIdentity(bytes(length))


def test_the_fingerprint_is_the_sha256_of_both_keys_in_groups_of_eight(identity: Identity) -> None:
    groups = identity.public.fingerprint().split(" ")
    assert [len(group) for group in groups] == [8] * 8
    assert "".join(groups) == hashlib.sha256(identity.public.keys).hexdigest()


def test_an_identity_survives_its_file(identity: Identity) -> None:
    again = Identity.from_pem(identity.to_pem())
    assert again.public == identity.public
    assert again.to_pem() == identity.to_pem()
    identity.public.verify(again.sign(MESSAGE), MESSAGE, 1)


def pem_of(*keys: ed25519.Ed25519PrivateKey | mldsa.MLDSA65PrivateKey | x25519.X25519PrivateKey, password: bytes | None = None) -> bytes:
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return b"".join(key.private_bytes(*form, encryption) for key in keys)


CLASSICAL, LATTICE, OTHER = ed25519.Ed25519PrivateKey.generate(), mldsa.MLDSA65PrivateKey.generate(), x25519.X25519PrivateKey.generate()


@pytest.mark.parametrize(
    "pem",
    {
        "empty": b"",
        "nonsense": b"nonsense\n",
        "one key": pem_of(CLASSICAL),
        "three keys": pem_of(CLASSICAL, LATTICE, LATTICE),
        "wrong order": pem_of(LATTICE, CLASSICAL),
        "another kind": pem_of(CLASSICAL, OTHER),
        "encrypted": pem_of(CLASSICAL, LATTICE, password=b"secret"),
        "cut off": pem_of(CLASSICAL, LATTICE)[:-40],
        "damaged": pem_of(CLASSICAL, LATTICE).replace(b"MC4C", b"MC5C"),
    }.items(),
    ids=lambda item: item[0],
)
def test_a_file_that_is_not_the_two_keys_in_order_is_refused(pem: tuple[str, bytes]) -> None:
    with pytest.raises(IdentityFileError, match="an identity is"):
        Identity.from_pem(pem[1])


def test_a_private_key_shows_in_no_text_and_cannot_be_pickled(identity: Identity) -> None:
    secrets = [base64.b64decode(b"".join(block.splitlines()[1:])) for block in identity.to_pem().split(b"-----END PRIVATE KEY-----\n")[:-1]]
    texts = (repr(identity), str(identity), f"{identity}")
    for secret in secrets:
        assert len(secret) >= 32
        assert not any(secret[-32:].hex() in text or base64.b64encode(secret[-32:]).decode() in text for text in texts)
    assert identity.public.fingerprint() in repr(identity)
    with pytest.raises(TypeError):
        pickle.dumps(identity)


def test_an_error_about_a_key_file_does_not_quote_it(identity: Identity) -> None:
    lines = identity.to_pem().decode().splitlines()
    with pytest.raises(IdentityFileError) as caught:
        Identity.from_pem("\n".join(lines[:-1]).encode())
    assert not any(line in f"{caught.value}{caught.value.__cause__}" for line in lines)
