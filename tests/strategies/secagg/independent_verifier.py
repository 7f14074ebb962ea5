"""A second implementation of what a reviewer of the protocol checks, written from PROTOCOL.md, section 11, and from nothing of the package.

    python independent_verifier.py ROSTER TRANSCRIPT...     what partners' transcripts prove, and of whom
    python independent_verifier.py --vectors FOLDER         whether the published vectors are as this file computes them

It needs Python and `cryptography` (for ML-KEM, ML-DSA and HPKE). ROSTER is a consortium file: YAML as `polyphony consortium new` writes it,
or JSON of the same form. Exit status 0: everything holds; 1: something does not; 2: usage.

To be read from top to bottom: bytes, hashes and keys, signatures, what is shared and summed, proofs, transcripts, the roster. That is all
that judges a transcript; below it the same functions are held against the vectors.
"""

import base64
import hashlib
import hmac
import json
import re
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519, mldsa, mlkem, x25519
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, MLKEM768X25519PrivateKey, MLKEM768X25519PublicKey, Suite
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

D = b"polyphony/v2/"
PRIME = 2**256 - 189  # of shares
TAG_PRIME, TAG_BITS, COLUMNS = 2**61 - 1, 61, 2048
PHASES = ("AdvertiseKeys", "ShareKeys", "MaskedInputCollection", "ConsistencyCheck", "Unmasking", "Finish", "Handover")
ZEROS = bytes(32)
SUITE = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
Message = dict[str, Any]


class RefusedError(Exception):
    """Bytes that are no message, a signature that is none, a chain that is broken: whatever is not as PROTOCOL.md says."""


# Bytes: a message is its fields, one after the other


FIELDS = {
    name: [tuple(field.split()) for field in text.split(", ")]
    for name, text in {
        "PublicIdentity": "keys bytes",
        "Member": "index int, name str, identity PublicIdentity",
        "Roster": "consortium str, threshold int, minimum int, members Member…",
        "SessionParameters": "protocol int, roster bytes, configuration bytes, layout str, word_bits int, row_guard int, "
        "least_supporters int, rounds int, metrics str…, nonce bytes",
        "Advertisement": "index int, kem bytes, nonce bytes, version int, trunk bytes, before bytes",
        "SignedAdvertisement": "body Advertisement, signature bytes",
        "ShareKeysRequest": "advertisements SignedAdvertisement…",
        "KeyContributions": "sender int, recipients int…, group bytes, digests bytes, signature bytes",
        "ShareKeysReply": "contributions KeyContributions, ciphertexts bytes…",
        "DeliveredContribution": "contributions KeyContributions, ciphertext bytes",
        "LastRound": "number int, survivors int…, rows bool",
        "Handover": "holder int, trunk bytes, ciphertext bytes, signature bytes",
        "CollectRequest": "session bytes, number int, cohort int…, rows bool, version int, contributions DeliveredContribution…, "
        "last LastRound?, handover Handover?, headers SignedHeader…, proofs bytes…",
        "Header": "index int, cohort bytes, trunk bytes, contributions bytes, confirmation bytes, secrets bytes, words int, input bytes, "
        "bundle bytes",
        "SignedHeader": "body Header, signature bytes",
        "MaskedInput": "header SignedHeader, commitments bytes, bundle bytes…, public bytes",
        "Holding": "index int, version int",
        "Complaint": "index int, accused int, secret bytes",
        "ConsistencyRequest": "session bytes, number int, survivors int…, dropped int…, headers SignedHeader…",
        "SurvivorsSignature": "index int, survivors bytes, signature bytes",
        "SealedShares": "dealer int, ciphertext bytes",
        "UnmaskRequest": "session bytes, number int, signatures SurvivorsSignature…, shares SealedShares…",
        "UnmaskReply": "index int, dropped int…, own bytes, shares bytes, unopened int…, signature bytes",
        "FinishRequest": "session bytes, version int, contributions DeliveredContribution…, last LastRound?, handover Handover?, "
        "headers SignedHeader…, proofs bytes…",
        "HandoverRequest": "session bytes, version int, contributions DeliveredContribution…",
        "Fact": "name str, value bytes",
        "Entry": "number int, previous bytes, session bytes, round int, phase str, facts Fact…, received bytes, sent bytes, refused str",
        "UnusableKey": "parameters SessionParameters, advertisement SignedAdvertisement",
        "UnequalContribution": "parameters SessionParameters, advertisements SignedAdvertisement…, delivered DeliveredContribution, "
        "recipient int, secret bytes",
        "WrongSecret": "session bytes, number int, cohort int…, header SignedHeader, commitments bytes, answer UnmaskReply",
    }.items()
}
REPLIES, PROOFS = ("MaskedInput", "Holding", "Complaint"), ("UnusableKey", "UnequalContribution", "WrongSecret")
LENGTHS = {
    "PublicIdentity": {"keys": 1984},
    "SessionParameters": {"roster": 32, "configuration": 32, "nonce": 32},
    "Advertisement": {"kem": 1216, "nonce": 32, "trunk": 32, "before": 32},
    "KeyContributions": {"group": 32},
    "DeliveredContribution": {"ciphertext": 1200},
    "Header": dict.fromkeys(("cohort", "trunk", "contributions", "confirmation", "secrets", "input", "bundle"), 32),
    "Entry": {"previous": 32, "session": 32, "received": 32},
    "WrongSecret": {"session": 32},
}


def number(value: int) -> bytes:
    """4 bytes, unsigned, big-endian."""
    if not 0 <= value < 2**32:
        raise RefusedError(f"{value} is no number of 4 bytes")
    return value.to_bytes(4, "big")


def numbers(values: list[int]) -> bytes:
    """A list of indices without its length."""
    return b"".join(map(number, values))


def encode(kind: str, value: Any) -> bytes:
    """The bytes of a value of a kind: of a message, or of a field."""
    if kind.endswith("…"):
        return number(len(value)) + b"".join(encode(kind[:-1], each) for each in value)
    if kind.endswith("?"):
        return b"\0" if value is None else b"\1" + encode(kind[:-1], value)
    if kind == "int":
        return number(value)
    if kind == "bool":
        return b"\1" if value else b"\0"
    if kind == "float":
        return struct.pack(">d", value)
    if kind in ("bytes", "str"):
        content: bytes = value.encode() if kind == "str" else value
        return number(len(content)) + content
    return b"".join(encode(held, value[name]) for name, held in FIELDS[kind])


def decode(kind: str, data: bytes) -> Any:
    """The value of a kind whose only encoding these bytes are."""
    value, left = take(kind, data)
    if left:
        raise RefusedError(f"{kind}: {len(left)} bytes too many")
    return value


def decode_tagged(kinds: tuple[str, ...], data: bytes) -> tuple[str, Any]:
    """Kind and value of bytes whose first one says which of the kinds follows."""
    if not data or not 1 <= data[0] <= len(kinds):
        raise RefusedError("a tag that is none")
    return kinds[data[0] - 1], decode(kinds[data[0] - 1], data[1:])


def take(kind: str, data: bytes) -> tuple[Any, bytes]:
    """A value from the beginning of bytes, and the rest."""
    if kind.endswith("…"):
        count, data = take("int", data)
        items = []
        for _ in range(count):
            item, data = take(kind[:-1], data)
            items.append(item)
        return items, data
    if kind.endswith("?"):
        there, data = take("bool", data)
        return take(kind[:-1], data) if there else (None, data)
    if kind not in FIELDS:
        return take_plain(kind, data)
    message: Message = {}
    for name, held in FIELDS[kind]:
        message[name], data = take(held, data)
    check(kind, message)
    return message, data


def take_plain(kind: str, data: bytes) -> tuple[Any, bytes]:
    """A value that is no message."""
    if kind in ("bytes", "str"):
        size, data = take_plain("int", data)
        content, data = cut(data, size)
        try:
            return (content.decode() if kind == "str" else content), data
        except UnicodeDecodeError:
            raise RefusedError("text that is not UTF-8") from None
    content, data = cut(data, {"int": 4, "bool": 1, "float": 8}[kind])
    if kind == "float":
        return struct.unpack(">d", content)[0], data
    held = int.from_bytes(content, "big")
    if kind == "bool" and held > 1:
        raise RefusedError(f"a flag of {held}")
    return (bool(held) if kind == "bool" else held), data


def cut(data: bytes, size: int) -> tuple[bytes, bytes]:
    if len(data) < size:
        raise RefusedError("truncated")
    return data[:size], data[size:]


def check(kind: str, message: Message) -> None:
    """What a message of the right form must fulfil besides."""
    for name, length in LENGTHS.get(kind, {}).items():
        if len(message[name]) != length:
            raise RefusedError(f"{name} of {len(message[name])} bytes")
    if kind == "Advertisement" and (message["version"] == 0) != (message["trunk"] == ZEROS):
        raise RefusedError("a trunk without a name, or a name without a trunk")
    if kind == "KeyContributions" and len(message["digests"]) != 32 * len(message["recipients"]):
        raise RefusedError("not one digest for each recipient")
    if kind == "ShareKeysReply" and any(len(ciphertext) != 1200 for ciphertext in message["ciphertexts"]):
        raise RefusedError("a contribution that has not 1200 bytes")
    if kind in CHECKS:
        CHECKS[kind](message)
    if kind == "Entry":
        names = [fact["name"] for fact in message["facts"]]
        if len(message["sent"]) not in (0, 32) or message["phase"] not in PHASES or len(set(names)) != len(names):
            raise RefusedError("an entry that cannot be")
        if not all(text.isprintable() for text in (*names, message["refused"])):
            raise RefusedError("a name with control characters")


def check_parameters(parameters: Message) -> None:
    names = [len(name.encode()) for name in parameters["metrics"]]
    if len(parameters["layout"].encode()) > 4096 or len(names) > 16 or max(names, default=0) > 64:
        raise RefusedError("parameters with more than they have room for")


def check_roster(roster: Message) -> None:
    members, count = roster["members"], len(roster["members"])
    if count < 3 or [member["index"] for member in members] != list(range(1, count + 1)):
        raise RefusedError("partners are three or more, numbered from 1 on")
    if len({member["name"] for member in members}) < count or len({member["identity"]["keys"] for member in members}) < count:
        raise RefusedError("two partners have one name, or one key")
    if not count / 2 < roster["threshold"] <= count or not 3 <= roster["minimum"] <= count:
        raise RefusedError("a threshold, or a minimum, that cannot be")


CHECKS = {"SessionParameters": check_parameters, "Roster": check_roster}


# Hashes and keys


def sha(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def derive(secret: bytes, salt: bytes, label: str, *parts: bytes | int, length: int = 32) -> bytes:
    info = D + label.encode() + b"\0"
    for part in parts:
        content = number(part) if isinstance(part, int) else part
        info += number(len(content)) + content
    return HKDF(algorithm=hashes.SHA512(), length=length, salt=salt, info=info).derive(secret)


def authenticated(key: bytes, label: str, *parts: bytes) -> bytes:
    return hmac.digest(key, D + label.encode() + b"\0" + b"".join(parts), "sha256")


def stream(key: bytes, count: int) -> bytes:
    """AES-256-CTR from counter 0."""
    return Cipher(algorithms.AES256(key), modes.CTR(bytes(16))).encryptor().update(bytes(count))


def element(wide: bytes) -> bytes:
    """48 uniform bytes as an element of the field of shares, in 32."""
    return (int.from_bytes(wide, "big") % PRIME).to_bytes(32, "big")


def tag(phase: str, roster: bytes, session: bytes, round_: int) -> bytes:
    return D + phase.encode() + b"\0" + roster + session + number(round_)


def pair_key(low: bytes, high: bytes, session: bytes, first: int, second: int) -> bytes:
    return derive(low + high, session, "pair", first, second)


def group_key(parts: dict[int, bytes], session: bytes) -> bytes:
    members = sorted(parts)
    return derive(b"".join(parts[each] for each in members), session, "group", numbers(members))


def pairwise_seed(pair: bytes, round_: int, cohort: bytes, basis_: bytes) -> bytes:
    return element(derive(pair, b"", "pairwise mask", round_, cohort, basis_, length=48))


def group_seed(group: bytes, round_: int, partner: int) -> bytes:
    return derive(group, b"", "group mask", round_, partner)


def share_key(pair: bytes, round_: int, dealer: int, holder: int, cohort: bytes) -> bytes:
    return derive(pair, b"", "share", round_, dealer, holder, cohort)


def fixed_shares(secret: bytes, round_: int, dealer: int, holder: int, cohort: bytes, count: int) -> list[bytes]:
    drawn = stream(derive(secret, b"", "fixed share", round_, dealer, holder, cohort), 48 * count)
    return [element(drawn[48 * place : 48 * place + 48]) for place in range(count)]


def confirmation(group: bytes, session: bytes, round_: int, partner: int) -> bytes:
    return authenticated(group, "key confirmation", session, number(round_), number(partner))


def basis(group: bytes, name: bytes, rows: bytes) -> bytes:
    return authenticated(group, "basis", name, rows)


def trunk_blind(group: bytes, round_: int | None) -> bytes:
    return derive(group, b"", "first trunk") if round_ is None else derive(group, b"", "trunk", round_)


def trunk_name(blind: bytes, version: int, content: bytes, before: bytes) -> bytes:
    return sha(D, b"trunk name\0", blind, number(version), content, before)


def trunk_content(range_: float, found: str, arrays: dict[str, Message]) -> bytes:
    parts = [f'{{"found": {found}, "range": {json.dumps(range_)}}}'.encode()]
    for name in sorted(arrays):
        shape = ", ".join(map(str, arrays[name]["shape"])) + ("," if len(arrays[name]["shape"]) == 1 else "")
        parts += [f"\n{name} {arrays[name]['type']} ({shape})\n".encode(), bytes.fromhex(arrays[name]["bytes"])]
    return sha(*parts)


def secret_commitment(session: bytes, round_: int, dealer: int, about: int, seed: bytes) -> bytes:
    return sha(D, b"secret\0", session, number(round_), number(dealer), number(about), seed)


def group_commitment(session: bytes, partner: int, contribution: bytes) -> bytes:
    return sha(D, b"group contribution\0", session, number(partner), contribution)


def check_key(group: bytes, round_: int, basis_: bytes) -> bytes:
    return derive(group, b"", "aggregate check", round_, basis_)


def slot_order(group: bytes, round_: int, slots: int) -> list[int]:
    drawn = stream(derive(group, b"", "slot order", round_), 8 * slots)
    return sorted(range(slots), key=lambda slot: (int.from_bytes(drawn[8 * slot : 8 * slot + 8], "little"), slot))


def public_seed(seed: bytes) -> bytes:
    return derive(seed, b"", "public words")


def roster_digest(roster: Message) -> bytes:
    return sha(D, b"roster", encode("Roster", roster))


def parameters_digest(parameters: Message) -> bytes:
    return sha(D, b"parameters", encode("SessionParameters", parameters))


def session_id(parameters: Message, advertisements: list[Message]) -> bytes:
    bodies = sorted((signed["body"] for signed in advertisements), key=lambda body: body["index"])
    return sha(D, b"session", parameters_digest(parameters), *(encode("Advertisement", body) for body in bodies))


def cohort_digest(cohort: list[int]) -> bytes:
    return sha(D, b"cohort", numbers(cohort))


def survivors_digest(request: Message) -> bytes:
    headers = b"".join(encode("Header", header["body"]) for header in request["headers"])
    parts = (numbers(request["survivors"]), numbers(request["dropped"]), headers)
    return sha(D, b"survivors", *(len(part).to_bytes(8, "big") + part for part in parts))


def listed_body(listed: Message) -> bytes:
    return number(listed["sender"]) + numbers(listed["recipients"]) + listed["group"] + listed["digests"]


def contributions_digest(lists: list[Message]) -> bytes:
    return sha(D, b"contributions", *(sha(listed_body(each)) for each in sorted(lists, key=lambda each: each["sender"])))


def bundle_digest(bundle: list[bytes]) -> bytes:
    return sha(*(number(len(sealed)) + sealed for sealed in bundle))


# Signatures: Ed25519 and ML-DSA-65, both


def verify(roster: Message, index: int, signature: bytes, message: bytes) -> None:
    if not 1 <= index <= len(roster["members"]):
        raise RefusedError(f"nobody is partner {index}")
    keys = roster["members"][index - 1]["identity"]["keys"]
    if len(signature) != 64 + 3309:
        raise RefusedError("a signature of another length")
    try:
        ed25519.Ed25519PublicKey.from_public_bytes(keys[:32]).verify(signature[:64], message)
        mldsa.MLDSA65PublicKey.from_public_bytes(keys[32:]).verify(signature[64:], message)
    except (InvalidSignature, ValueError):
        raise RefusedError(f"no signature of partner {index}") from None


def signed_message(phase: str, roster: bytes, session: bytes, round_: int, value: Any) -> bytes:
    """What is signed in a phase; `value` is the message, or the digest of the survivors."""
    bodies: dict[str, Callable[[], bytes]] = {
        "AdvertiseKeys": lambda: encode("Advertisement", value),
        "ShareKeys": lambda: listed_body(value),
        "MaskedInputCollection": lambda: encode("Header", value),
        "ConsistencyCheck": lambda: value,
        "Unmasking": lambda: encode("UnmaskReply", value | {"signature": b""}),
    }
    return tag(phase, roster, session, round_) + bodies[phase]()


def verify_advertisement(roster: Message, parameters: Message, signed: Message) -> None:
    message = signed_message("AdvertiseKeys", parameters["roster"], parameters_digest(parameters), 0, signed["body"])
    verify(roster, signed["body"]["index"], signed["signature"], message)


# Contributions, shares, tag


def public_key(kem: bytes) -> MLKEM768X25519PublicKey:
    lattice = mlkem.MLKEM768PublicKey.from_public_bytes(kem[:1184])
    return MLKEM768X25519PublicKey(lattice, x25519.X25519PublicKey.from_public_bytes(kem[1184:]))


def usable(kem: bytes) -> bool:
    try:
        SUITE.encrypt(b"", public_key(kem))
    except ValueError:
        return False
    return True


def private_keys(secret: bytes) -> tuple[mlkem.MLKEM768PrivateKey, x25519.X25519PrivateKey]:
    return mlkem.MLKEM768PrivateKey.from_seed_bytes(secret[:64]), x25519.X25519PrivateKey.from_private_bytes(secret[64:])


def advertised(secret: bytes) -> bytes:
    lattice, classical = private_keys(secret)
    return lattice.public_key().public_bytes_raw() + classical.public_key().public_bytes_raw()


def opened(secret: bytes, session: bytes, recipient: int, listed: Message, ciphertext: bytes) -> tuple[bytes, bytes] | None:
    """r and g in a contribution; None if it is not what its sender committed to."""
    info = session + number(listed["sender"]) + number(recipient)
    try:
        plain = SUITE.decrypt(ciphertext, MLKEM768X25519PrivateKey(*private_keys(secret)), info=info)
    except (InvalidTag, ValueError):
        return None
    if len(plain) != 64 or group_commitment(session, listed["sender"], plain[32:]) != listed["group"]:
        return None
    return plain[:32], plain[32:]


def secrets_of(dealer: int, cohort: list[int]) -> list[int]:
    return [dealer, *(each for each in cohort if each != dealer)]


def ring(dealer: int, cohort: list[int]) -> list[int]:
    start = cohort.index(dealer)
    return cohort[start:] + cohort[:start]


def interpolate(points: dict[int, int], at: int) -> int:
    """The value of the polynomial of least degree through these points."""
    total = 0
    for x, y in points.items():
        above = below = 1
        for other in points:
            if other != x:
                above, below = above * (at - other) % PRIME, below * (x - other) % PRIME
        total += y * above * pow(below, -1, PRIME)
    return total % PRIME


def own_secrets(session: bytes, round_: int, cohort: list[int], commitments: bytes, answer: Message) -> dict[int, bytes] | None:
    """The seeds that a survivor revealed of its own; None if they are not those that it committed to."""
    names, asked = secrets_of(answer["index"], cohort), [answer["index"], *answer["dropped"]]
    if len(answer["own"]) != 32 * len(asked):
        return None
    seeds = {about: answer["own"][32 * place : 32 * place + 32] for place, about in enumerate(asked)}
    for about, seed in seeds.items():
        place = 32 * names.index(about)
        if secret_commitment(session, round_, answer["index"], about, seed) != commitments[place : place + 32]:
            return None
    return seeds


def tag_of(values: list[int], key: bytes) -> int:
    rows = -(-len(values) // COLUMNS)
    drawn = struct.unpack(f"<{COLUMNS + rows}Q", stream(key, 8 * (COLUMNS + rows)))
    beta, alpha = [each & TAG_PRIME for each in drawn[:COLUMNS]], [each & TAG_PRIME for each in drawn[COLUMNS:]]
    return sum(alpha[place // COLUMNS] * beta[place % COLUMNS] * value for place, value in enumerate(values)) % TAG_PRIME


def limb_bits(word_bits: int, partners: int) -> int:
    return word_bits - max(partners - 1, 1).bit_length()


def split(value: int, bits: int, word_bits: int, partners: int) -> list[int]:
    width = limb_bits(word_bits, partners)
    return [value >> width * place & (1 << width) - 1 for place in range(-(-bits // width))]


def join(words: list[int], word_bits: int, partners: int) -> int:
    return sum(word << limb_bits(word_bits, partners) * place for place, word in enumerate(words))


def add_streams(words: list[int], word_bits: int, plus: list[bytes], minus: list[bytes]) -> list[int]:
    size = word_bits // 8
    for sign, keys in ((1, plus), (-1, minus)):
        for key in keys:
            drawn = stream(key, size * len(words))
            words = [
                (word + sign * int.from_bytes(drawn[size * place : size * place + size], "little")) % 2**word_bits
                for place, word in enumerate(words)
            ]
    return words


def signed(words: list[int], word_bits: int) -> list[int]:
    return [word - (word >> word_bits - 1 << word_bits) for word in words]


def agreed_trunk(quorum: int, held: list[tuple[int, bytes, bytes]]) -> tuple[int, bytes, list[int]]:
    """Where a session goes on, from what partners 1, 2, ... say that they have."""
    holders: dict[tuple[int, bytes], list[int]] = {}
    for index, (version, newest, before) in enumerate(held, 1):
        for trunk in ((version, newest), (version - 1, before)):
            if trunk[1] != ZEROS:
                holders.setdefault(trunk, []).append(index)
    eligible = [(version, len(found), name) for (version, name), found in holders.items() if len(found) >= quorum]
    version, _, name = max(eligible, default=(0, 0, ZEROS))
    return version, name, holders.get((version, name), [])


# Proofs


def proven(roster: Message, data: bytes) -> tuple[int, str] | None:
    """Whom bytes prove to have misbehaved, and by what; None if they prove nothing."""
    partners = len(roster["members"])
    if len(data) > 12000 + 4800 * partners + 8 * partners**2:
        return None
    try:
        kind, proof = decode_tagged(PROOFS, data)
        accused = {"UnusableKey": unusable_key, "UnequalContribution": unequal_contribution, "WrongSecret": wrong_secret}[kind](
            roster, proof
        )
    except RefusedError:
        return None
    return None if accused is None else (accused, kind)


def unusable_key(roster: Message, proof: Message) -> int | None:
    signed_one = proof["advertisement"]
    verify_advertisement(roster, proof["parameters"], signed_one)
    if proof["parameters"]["roster"] != roster_digest(roster):
        return None
    return None if usable(signed_one["body"]["kem"]) else int(signed_one["body"]["index"])


def unequal_contribution(roster: Message, proof: Message) -> int | None:
    session, digest = session_id(proof["parameters"], proof["advertisements"]), roster_digest(roster)
    kems = {each["body"]["index"]: each["body"]["kem"] for each in proof["advertisements"]}
    listed, ciphertext = proof["delivered"]["contributions"], proof["delivered"]["ciphertext"]
    if proof["parameters"]["roster"] != digest or [each["body"]["index"] for each in proof["advertisements"]] != sorted(kems):
        return None
    if listed["sender"] not in kems or listed["recipients"] != sorted(kems.keys() - {listed["sender"]}):
        return None
    for each in proof["advertisements"]:
        verify_advertisement(roster, proof["parameters"], each)
    verify(roster, listed["sender"], listed["signature"], signed_message("ShareKeys", digest, session, 0, listed))
    if proof["recipient"] not in listed["recipients"]:
        return None
    place = 32 * listed["recipients"].index(proof["recipient"])
    if listed["digests"][place : place + 32] != sha(ciphertext):
        return None
    if len(proof["secret"]) != 96 or advertised(proof["secret"]) != kems[proof["recipient"]]:
        return None
    return None if opened(proof["secret"], session, proof["recipient"], listed, ciphertext) else int(listed["sender"])


def wrong_secret(roster: Message, proof: Message) -> int | None:
    digest, header, answer, cohort = roster_digest(roster), proof["header"], proof["answer"], proof["cohort"]
    dropped = set(answer["dropped"])
    survivors = [each for each in cohort if each not in dropped]
    if not some_of(cohort, list(range(1, len(roster["members"]) + 1))) or not some_of(answer["dropped"], cohort):
        return None
    if answer["index"] not in survivors or not some_of(answer["unopened"], survivors):
        return None
    if len(answer["shares"]) != 32 * len(survivors) * (1 + len(answer["dropped"])) or len(answer["own"]) > 32 * len(cohort):
        return None
    for phase, value, index, signature in (
        ("MaskedInputCollection", header["body"], header["body"]["index"], header["signature"]),
        ("Unmasking", answer, answer["index"], answer["signature"]),
    ):
        verify(roster, index, signature, signed_message(phase, digest, proof["session"], proof["number"], value))
    body, index = header["body"], answer["index"]
    if body["index"] != index or body["cohort"] != cohort_digest(cohort):
        return None
    if len(proof["commitments"]) != 32 * len(cohort) or body["secrets"] != sha(proof["commitments"]):
        return None
    return None if own_secrets(proof["session"], proof["number"], cohort, proof["commitments"], answer) else int(index)


def some_of(indices: list[int], among: list[int]) -> bool:
    """Whether they are some of these, ascending, none twice."""
    return indices == sorted(set(indices) & set(among))


# Transcripts


def read_line(line: str) -> tuple[Message, bytes]:
    """Entry and signature of a line, which must be exactly as it is written."""
    try:
        columns = json.loads(line)
        signature = base64.b64decode(columns.pop("signature"), validate=True)
        entry = {name: columns[name] for name, _ in FIELDS["Entry"]}
        facts = [{"name": name, "value": bytes.fromhex(value)} for name, value in entry["facts"].items()]
        entry |= {"facts": facts} | {name: bytes.fromhex(entry[name]) for name in ("previous", "session", "received", "sent")}
        entry = decode("Entry", encode("Entry", entry))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise RefusedError("no entry of a transcript") from None
    plain = {name: value.hex() if isinstance(value, bytes) else value for name, value in entry.items()}
    plain |= {"facts": {fact["name"]: fact["value"].hex() for fact in entry["facts"]}}
    if json.dumps(plain | {"signature": base64.b64encode(signature).decode()}) != line:
        raise RefusedError("not written as an entry is")
    return entry, signature


def whole_lines(path: Path) -> list[str]:
    """A transcript's lines; what follows the last end of a line can only be the beginning of one, which a kill cut off."""
    *lines, rest = path.read_bytes().decode(errors="replace").split("\n")  # "\r" ends no line
    try:
        whole = isinstance(json.loads(rest[:-1]), dict)
    except (ValueError, RecursionError):
        return lines
    if whole:
        raise RefusedError(f"the last line has no end, but {rest[-1:]!r}")
    return lines


def read_transcript(roster: Message, lines: list[str], writer: int) -> list[Message]:
    """The entries of a partner's transcript: each signed, and following the one before; and each proof in it proving what it is called."""
    entries: list[Message] = []
    for place, line in enumerate(lines, 1):
        try:
            entry, signature = read_line(line)
            verify(roster, writer, signature, D + b"transcript" + roster_digest(roster) + encode("Entry", entry))
            previous = sha(encode("Entry", entries[-1])) if entries else ZEROS
            if (entry["number"], entry["previous"]) != (place, previous):
                raise RefusedError("does not follow the line before")
        except RefusedError as error:
            raise RefusedError(f"line {place}: {error}") from None
        entries.append(entry)
    return entries


def proofs_in(roster: Message, entries: list[Message]) -> list[tuple[int, str]]:
    """Whom the proofs in a transcript accuse, and by what kind, each once."""
    found: dict[bytes, tuple[int, str]] = {}
    for entry in entries:
        for fact in entry["facts"]:
            name = re.fullmatch(r"proof against partner ([1-9][0-9]{0,4})", fact["name"])
            proof = proven(roster, fact["value"]) if name else None
            if name and (proof is None or proof[0] != int(name[1])):
                raise RefusedError(f"line {entry['number']}: {fact['name']}: it proves nothing")
            if proof:
                found[fact["value"]] = proof
    return list(found.values())


def writer_of(roster: Message, line: str) -> int:
    """The partner that signed a line."""
    entry, signature = read_line(line)
    for member in roster["members"]:
        try:
            verify(roster, member["index"], signature, D + b"transcript" + roster_digest(roster) + encode("Entry", entry))
        except RefusedError:
            continue
        return int(member["index"])
    raise RefusedError("line 1: no partner of this roster signed it")


def load_roster(path: Path) -> Message:
    """The roster of a consortium file: JSON, or the one form of YAML in which it is written."""
    text = path.read_text(encoding="utf-8")
    held = json.loads(text) if text.lstrip().startswith("{") else read_yaml(text)
    count = len(held["partners"])
    threshold = 2 * count // 3 + 1 if held["threshold"] is None else held["threshold"]
    minimum = max(3, threshold) if held["minimum"] is None else held["minimum"]
    members = [
        {"index": each["index"], "name": each["name"], "identity": {"keys": base64.b64decode(each["key"], validate=True)}}
        for each in held["partners"]
    ]
    roster = {"consortium": held["consortium"], "threshold": threshold, "minimum": minimum, "members": members}
    return dict(decode("Roster", encode("Roster", roster)))


def read_yaml(text: str) -> Message:
    """Lines of `name: value`, and below `partners:` lists of such; every other form is refused."""
    held: Message = {}
    for line in text.splitlines():
        found = re.fullmatch(r"(- |  )?(\w+):(?: (.*))?", line)
        if line.startswith("#") or not line.strip():
            continue
        if found is None:
            raise RefusedError(f"this file reads no such line, give the roster as JSON: {line[:60]!r}")
        indent, name, value = found.groups()
        if indent == "- ":
            held["partners"].append({})
        (held["partners"][-1] if indent else held)[name] = [] if name == "partners" and not indent else scalar(value or "")
    return held


def scalar(text: str) -> Any:
    """A number, nothing, or text, which may be in quotes."""
    if text == "null" or not text:
        return None
    if text[0] == "'":
        return text[1:-1].replace("''", "'")
    if text[0] == '"':
        return json.loads(text)
    return int(text) if re.fullmatch(r"[0-9]+", text) else text


# Vectors


def plain_message(kind: str, value: Any) -> Any:
    """A message of the vectors' JSON, where bytes are hex."""
    if kind.endswith("…"):
        return [plain_message(kind[:-1], each) for each in value]
    if kind.endswith("?"):
        return None if value is None else plain_message(kind[:-1], value)
    if kind == "bytes":
        return bytes.fromhex(value)
    return value if kind in ("int", "bool", "float", "str") else {name: plain_message(held, value[name]) for name, held in FIELDS[kind]}


def key_vector(name: str, arguments: list[Any]) -> Any:
    held = [bytes.fromhex(each) if isinstance(each, str) and re.fullmatch("([0-9a-f]{2})+", each) else each for each in arguments]
    functions: dict[str, Callable[..., Any]] = {
        "tag": tag,
        "derive": lambda secret, salt, label, *rest: derive(secret, salt, label, *rest[:-1], length=rest[-1]),
        "pair_key": pair_key,
        "group_key": lambda parts, session: group_key({int(index): bytes.fromhex(part) for index, part in parts.items()}, session),
        "pairwise_seed": pairwise_seed,
        "group_seed": group_seed,
        "share_key": share_key,
        "fixed_shares": fixed_shares,
        "confirmation": confirmation,
        "trunk_blind": trunk_blind,
        "trunk_name": trunk_name,
        "basis": basis,
        "secret_commitment": secret_commitment,
        "group_commitment": group_commitment,
        "check_key": check_key,
        "slot_key": lambda group, round_: derive(group, b"", "slot order", round_),
        "initial_seed": lambda group: derive(group, b"", "initial trunk"),
        "handover_key": lambda group, holder, name: derive(group, b"", "handover", holder, name),
        "public_seed": public_seed,
        "keystream": stream,
    }
    result = functions[name](*held)
    return [each.hex() for each in result] if isinstance(result, list) else result.hex()


def digest_vector(name: str, arguments: list[Any]) -> str:
    first = arguments[0]
    made: dict[str, Callable[[], bytes]] = {
        "Roster.digest": lambda: roster_digest(plain_message("Roster", first)),
        "SessionParameters.digest": lambda: parameters_digest(plain_message("SessionParameters", first)),
        "session_id": lambda: session_id(plain_message("SessionParameters", first), plain_message("SignedAdvertisement…", arguments[1])),
        "cohort_digest": lambda: cohort_digest(first),
        "survivors_digest": lambda: survivors_digest(plain_message("ConsistencyRequest", first)),
        "contributions_digest": lambda: contributions_digest(plain_message("KeyContributions…", first)),
        "input_digest": lambda: sha(struct.pack(f"<{len(first)}I", *first), bytes.fromhex(arguments[1])),
        "bundle_digest": lambda: bundle_digest([bytes.fromhex(each) for each in first]),
    }
    return made[name]().hex()


def stream_vector(case: Message) -> bool:
    if "function" in case:
        return bool(key_vector(case["function"], case["arguments"]) == case["result"])
    plus, minus = ([bytes.fromhex(key) for key in case[name]] for name in ("plus", "minus"))
    return add_streams(case["words"], case["word_bits"], plus, minus) == case["result"]


def check_vector(case: Message) -> bool:
    if "arguments" in case:
        return split(*case["arguments"]) == case["result"]
    return tag_of(case["values"] * case["times"], bytes.fromhex(case["key"])) == case["tag"]


def share_vector(case: Message) -> bool:
    def integers(held: dict[str, str]) -> dict[int, int]:
        return {int(point): int(share, 16) for point, share in held.items()}

    if case.get("function") == "deal":
        known = {0: int(case["secret"], 16)} | integers(case["fixed"])
        return all(interpolate(known, point) == share for point, share in integers(case["result"]).items())
    if case.get("function") == "seal":
        shares, key, context = case["arguments"]
        sealed = AESGCM(bytes.fromhex(key)).encrypt(bytes(12), bytes.fromhex("".join(shares)), bytes.fromhex(context))
        return bool(sealed.hex() == case["result"])
    if case.get("function") == "shares.deal":
        for place, name in enumerate(secrets_of(case["dealer"], case["cohort"])):
            fixed = integers({holder: shares[place] for holder, shares in case["fixed"].items()})
            sent = integers({holder: shares[place] for holder, shares in case["result"].items()})
            known = {0: int(case["seeds"][str(name)], 16)} | fixed
            if any(interpolate(known, point) != share for point, share in sent.items()):
                return False
        return sorted(map(int, case["fixed"])) == sorted(ring(case["dealer"], case["cohort"])[: case["threshold"] - 1])
    order = ring(case["dealer"], case["cohort"])
    deriving, receiving = order[: case["threshold"] - 1], sorted(order[case["threshold"] - 1 :])
    told = [order, deriving, receiving, secrets_of(case["dealer"], case["cohort"])]
    return told == [case[name] for name in ("ring", "derived_by", "sent_to", "secrets_of")]


def decoding_vector(case: Message) -> bool:
    """The shares that are not wrong lie on one polynomial with the secret, and no fewer could be called wrong."""
    if "error" in case:
        return len(case["shares"]) < case["threshold"]
    right = {int(point): int(share, 16) for point, share in case["shares"].items() if int(point) not in case["wrong"]}
    known = dict(sorted(right.items())[: case["threshold"] - 1]) | {0: int(case["secret"], 16)}
    return all(interpolate(known, point) == share for point, share in right.items())


def refusal_vector(case: Message) -> bool:
    def hexed(name: str) -> bytes:
        return bytes.fromhex(case[name])

    def own() -> bool:
        answer = plain_message("UnmaskReply", case["answer"])
        return own_secrets(hexed("session"), case["number"], case["cohort"], hexed("commitments"), answer) is not None

    def sealed() -> bool:
        try:
            return len(AESGCM(hexed("key")).decrypt(bytes(12), hexed("ciphertext"), hexed("context"))) == 32 * case["count"]
        except (InvalidTag, ValueError):
            return False

    def contribution() -> bool:
        listed = plain_message("KeyContributions", case["contributions"])
        return opened(hexed("secret"), hexed("session"), case["recipient"], listed, hexed("ciphertext")) is not None

    accepted: dict[str, Callable[[], bool]] = {
        "check_protocol": lambda: hexed("bytes")[:4] == number(2),
        "usable": lambda: usable(hexed("kem")),
        "opened": contribution,
        "open_sealed": sealed,
        "own_secrets": own,
        "aggregate_check.verify": lambda: tag_of(case["values"], hexed("key")) == case["claimed"] % TAG_PRIME,
    }
    return accepted[case["function"]]() == (not case["error"])


def message_vector(case: Message) -> bool:
    if case["message"] not in FIELDS:  # a partner's own state, which never travels
        return True
    value, data = plain_message(case["message"], case["fields"]), bytes.fromhex(case["bytes"])
    return bool(encode(case["message"], value) == data and decode(case["message"], data) == value)


def malformed_vector(case: Message) -> bool:
    try:
        decode(case["message"], bytes.fromhex(case["bytes"]))
    except RefusedError:
        return True
    return False


def trunk_vector(case: Message) -> bool:
    content = trunk_content(case["range"], case["found"], case["arrays"])
    named = trunk_name(bytes.fromhex(case["blind"]), case["version"], content, bytes.fromhex(case["before"])).hex() == case["name"]
    return bool(content.hex() == case["content"] and (named and bool(case["blind"])) == (not case["error"]))


def signed_vector(case: Message) -> bool:
    *place, value = case["arguments"]
    kinds = {"ShareKeys": "KeyContributions", "MaskedInputCollection": "Header", "ConsistencyCheck": "bytes", "Unmasking": "UnmaskReply"}
    if case["phase"] == "AdvertiseKeys":
        parameters = plain_message("SessionParameters", place[0])
        message = signed_message(
            "AdvertiseKeys", parameters["roster"], parameters_digest(parameters), 0, plain_message("Advertisement", value)
        )
    else:
        held = plain_message(kinds[case["phase"]], value)
        message = signed_message(case["phase"], bytes.fromhex(case["roster"]), bytes.fromhex(place[0]), place[1], held)
    return bool(message.hex() == case["message"])


def agreed_vector(case: Message) -> bool:
    held = [(version, bytes.fromhex(newest), bytes.fromhex(before)) for version, newest, before in case["advertised"]]
    version, name, holders = agreed_trunk(case["quorum"], held)
    return [version, name.hex(), holders] == [case["version"], case["name"], case["holders"]]


def transcript_vector(roster: Message, case: Message) -> bool:
    try:
        proofs_in(roster, read_transcript(roster, case["lines"], case["partner"]))
    except RefusedError:
        return bool(case["error"])
    return not case["error"]


def proof_vector(roster: Message, case: Message) -> bool:
    found = proven(roster, bytes.fromhex(case["bytes"]))
    return bool((found and found[0]) == case["accused"] and (found is None or found[1] == case["proof"]))


class Recorded:
    """A session of one round from its messages, its group key, and the pair keys of partner 1, as `session.json` has them."""

    def __init__(self, roster: Message, log: list[Message], outcome: Message) -> None:
        self.roster, self.log, self.outcome, self.digest = roster, log, outcome, roster_digest(roster)
        self.told = {(each["step"], each["partner"]): each for each in log if "reply" in each}
        self.parameters = self.asked("AdvertiseKeys", "SessionParameters")
        self.advertisements = self.asked("ShareKeys", "ShareKeysRequest")["advertisements"]
        self.members = [each["body"]["index"] for each in self.advertisements]
        self.session, self.bits = session_id(self.parameters, self.advertisements), self.parameters["word_bits"]
        self.group, self.pairs = bytes.fromhex(outcome["group_key"]), [bytes.fromhex(each) for each in outcome["pair_keys_of_1"]]
        request, self.agreed = self.asked("MaskedInputCollection", "CollectRequest"), self.asked("ConsistencyCheck", "ConsistencyRequest")
        self.round, self.cohort, self.survivors = request["number"], request["cohort"], self.agreed["survivors"]
        self.answers = {index: self.reply("Unmasking", index, "UnmaskReply") for index in self.survivors}
        self.inputs = {index: self.reply("MaskedInputCollection", index, "MaskedInput") for index in self.survivors}
        self.seeds = {index: self.own_seeds(index) for index in self.survivors}
        self.first = trunk_name(trunk_blind(self.group, None), 0, sha(b"the first trunk"), ZEROS)
        self.basis = basis(self.group, self.first, b"")

    def reply(self, step: str, partner: int, kind: str) -> Message:
        data = bytes.fromhex(self.told[step, partner]["reply"])
        return dict(decode_tagged(REPLIES, data)[1] if step == "MaskedInputCollection" else decode(kind, data))

    def asked(self, step: str, kind: str, partner: int = 1) -> Message:
        (request,) = (each["request"] for each in self.log if (each["step"], each["partner"]) == (step, partner) and "request" in each)
        return dict(decode(kind, bytes.fromhex(request)))

    def own_seeds(self, index: int) -> dict[int, bytes]:
        seeds = own_secrets(self.session, self.round, self.cohort, self.inputs[index]["commitments"], self.answers[index])
        if seeds is None:
            raise RefusedError(f"partner {index} revealed other seeds than it committed to")
        return seeds

    def signed(self, phase: str, index: int, signature: bytes, value: Any) -> None:
        round_ = 0 if phase == "ShareKeys" else self.round
        verify(self.roster, index, signature, signed_message(phase, self.digest, self.session, round_, value))

    def set_up(self) -> bool:
        """Advertisements and lists of contributions are signed; session id and what was shown are as written."""
        for each in self.advertisements:
            verify_advertisement(self.roster, self.parameters, each)
        shown = self.advertisements == [self.reply("AdvertiseKeys", member, "SignedAdvertisement") for member in self.members]
        sent = [self.reply("ShareKeys", member, "ShareKeysReply") for member in self.members]
        lists = [each["contributions"] for each in sent]
        for listed in lists:
            self.signed("ShareKeys", listed["sender"], listed["signature"], listed)
        whole = all(each["contributions"]["digests"] == b"".join(map(sha, each["ciphertexts"])) for each in sent)
        named = [self.session.hex(), contributions_digest(lists).hex(), self.first.hex(), self.basis.hex()]
        return shown and whole and named == [self.outcome[name] for name in ("session", "contributions", "first_trunk", "basis")]

    def headers(self) -> bool:
        """What survivors signed in the round is what they sent."""
        shown, agree = bytes.fromhex(self.outcome["contributions"]), True
        for index, masked in self.inputs.items():
            header, answer, confirmed = masked["header"], self.answers[index], self.reply("ConsistencyCheck", index, "SurvivorsSignature")
            self.signed("MaskedInputCollection", index, header["signature"], header["body"])
            self.signed("ConsistencyCheck", index, confirmed["signature"], confirmed["survivors"])
            self.signed("Unmasking", index, answer["signature"], answer)
            words = bytes.fromhex(self.told["MaskedInputCollection", index]["words"])
            agree &= confirmed["survivors"] == survivors_digest(self.agreed) and header["body"] == {
                "index": index,
                "cohort": cohort_digest(self.cohort),
                "trunk": self.basis,
                "contributions": shown,
                "confirmation": confirmation(self.group, self.session, self.round, index),
                "secrets": sha(masked["commitments"]),
                "words": len(words) * 8 // self.bits,
                "input": sha(words, masked["public"]),
                "bundle": bundle_digest(masked["bundle"]),
            }
        shown_headers = self.agreed["headers"] == [masked["header"] for masked in self.inputs.values()]
        return agree and shown_headers and self.survivors == self.outcome["survivors"]

    def unmasked(self, sent: Callable[[int], bytes], keyed: Callable[[bytes], bytes]) -> list[int]:
        """The sum of survivors' words, less self masks and pairwise masks with those who dropped out."""
        size, taken = self.bits // 8, []
        for index, seeds in self.seeds.items():
            words = [int.from_bytes(sent(index)[place : place + size], "little") for place in range(0, len(sent(index)), size)]
            added, subtracted = [[keyed(seed) for about, seed in seeds.items() if (about >= index) == sign] for sign in (True, False)]
            taken.append(add_streams(words, self.bits, subtracted, added))
        return [sum(column) % 2**self.bits for column in zip(*taken, strict=True)]

    def sums(self) -> bool:
        """The masked sum and the public one; then the plain one, whose tag fits."""
        masked = self.unmasked(lambda index: bytes.fromhex(self.told["MaskedInputCollection", index]["words"]), lambda seed: seed)
        public = self.unmasked(lambda index: self.inputs[index]["public"], public_seed)
        own = [group_seed(self.group, self.round, index) for index in self.survivors]
        places = [self.members.index(index) for index in self.survivors]
        before = [group_seed(self.group, self.round, self.members[place - 1]) for place in places if place]
        plain = add_streams(masked, self.bits, before, own)
        limbs = len(split(0, TAG_BITS, self.bits, len(self.members)))
        values, claimed = signed(plain[:-limbs], self.bits), join(plain[-limbs:], self.bits, len(self.members))
        hexed = b"".join(word.to_bytes(self.bits // 8, "little") for word in masked).hex()
        fits = tag_of(values, check_key(self.group, self.round, self.basis)) == claimed % TAG_PRIME
        return fits and [hexed, public, values] == [self.outcome[name] for name in ("masked_sum", "public_sum", "decoded")]

    def shares(self) -> bool:
        """Everybody's shares lie on polynomials through the seeds; those of partner 1 are derived, or were sent to it."""
        dropped, cohort = self.agreed["dropped"], cohort_digest(self.cohort)
        sealed = {each["dealer"]: each["ciphertext"] for each in self.asked("Unmasking", "UnmaskRequest")["shares"]}
        words = [(dealer, about) for dealer in self.survivors for about in (dealer, *dropped)]
        held = {index: [answer["shares"][32 * place :][:32] for place in range(len(words))] for index, answer in self.answers.items()}
        for place, (dealer, about) in enumerate(words):
            points = {index: int.from_bytes(shares[place], "big") for index, shares in held.items()}
            names, pair = secrets_of(dealer, self.cohort), self.pairs[self.members.index(dealer)]
            if interpolate(points, 0) != int.from_bytes(self.seeds[dealer][about], "big"):
                return False
            if dealer == 1:  # under a secret of its own
                continue
            if 1 in ring(dealer, self.cohort)[: self.roster["threshold"] - 1]:
                dealt = fixed_shares(pair, self.round, dealer, 1, cohort, len(names))
            else:
                plain = AESGCM(share_key(pair, self.round, dealer, 1, cohort)).decrypt(bytes(12), sealed[dealer], self.session)
                dealt = [plain[start : start + 32] for start in range(0, len(plain), 32)]
            if dealt[names.index(about)] != held[1][place]:
                return False
        pairwise = {about: pairwise_seed(self.pairs[self.members.index(about)], self.round, cohort, self.basis) for about in dropped}
        return all(self.seeds[1][about] == seed for about, seed in pairwise.items())


def session_vector(roster: Message, log: list[Message], outcome: Message) -> bool:
    recorded = Recorded(roster, log, outcome)
    return recorded.set_up() and recorded.headers() and recorded.sums() and recorded.shares()


VECTORS: dict[str, Callable[[Message], bool]] = {
    "keys": lambda case: bool(key_vector(case["function"], case["arguments"]) == case["result"]),
    "streams": stream_vector,
    "orders": lambda case: slot_order(bytes.fromhex(case["arguments"][0]), *case["arguments"][1:]) == case["result"],
    "check": check_vector,
    "shares": share_vector,
    "decoding": decoding_vector,
    "messages": message_vector,
    "replies": lambda case: decode_tagged(REPLIES, bytes.fromhex(case["bytes"]))[0] == case["message"],
    "malformed": malformed_vector,
    "digests": lambda case: digest_vector(case["function"], case["arguments"]) == case["result"],
    "signed": signed_vector,
    "agreed": agreed_vector,
    "trunks": trunk_vector,
    "refused": refusal_vector,
}
RECORDED: dict[str, Callable[[Message, Message], bool]] = {"proofs": proof_vector, "transcripts": transcript_vector}


def vectors(folder: Path) -> dict[str, list[int]]:
    """File to the places, from 1, of cases that are not as this file computes them."""
    wrong: dict[str, list[int]] = {}
    for path in sorted(folder.glob("*.json")):
        cases, name = json.loads(path.read_text(encoding="utf-8")), path.stem
        if name in VECTORS:
            wrong[path.name] = [place for place, case in enumerate(cases, 1) if not VECTORS[name](case)]
            continue
        first, *others = cases
        roster = decode("Roster", bytes.fromhex(first["roster"]))
        if name in RECORDED:
            wrong[path.name] = [place for place, case in enumerate(others, 2) if not RECORDED[name](roster, case)]
        elif name == "session":
            wrong[path.name] = [] if session_vector(roster, others[:-1], others[-1]) else [len(cases)]
        else:
            raise RefusedError(f"{path.name}: vectors that this file does not know")
    return wrong


# The command


def tell_vectors(folder: Path) -> bool:
    wrong = vectors(folder)
    for name, places in wrong.items():
        print(f"{name:<18} {'as computed here' if not places else f'differs in case {places}'}")
    return bool(wrong) and not any(wrong.values())


def tell_transcript(roster: Message, path: Path) -> bool:
    """Print what a transcript proves, or why it is broken."""
    try:
        lines = whole_lines(path)
        if not lines:
            raise RefusedError("no entries")
        writer = writer_of(roster, lines[0])
        entries = read_transcript(roster, lines, writer)
        proofs = proofs_in(roster, entries)
    except (RefusedError, OSError) as error:
        print(f"{path}: broken: {error}")
        return False
    names = {member["index"]: member["name"] for member in roster["members"]}
    print(f"{path}: of partner {writer}, {names[writer]}: {len(entries)} entries, signed and in order")
    for accused, kind in proofs:
        print(f"{path}: proves that partner {accused}, {names[accused]}, misbehaved: {kind}")
    return True


def main(words: list[str]) -> int:
    if len(words) < 2 or any(word.startswith("-") for word in words[words[0] == "--vectors" :]):  # it has no other options
        print(__doc__, file=sys.stderr)
        return 2
    try:
        if words[0] == "--vectors":
            return 0 if tell_vectors(Path(words[1])) else 1
        roster = load_roster(Path(words[0]))
    except (RefusedError, OSError, ValueError, LookupError, TypeError) as error:
        print(f"{words[0]}: {error}", file=sys.stderr)
        return 1
    print(f"{words[0]}: {roster['consortium']}, {len(roster['members'])} partners, digest {roster_digest(roster).hex()}")
    told = [tell_transcript(roster, Path(word)) for word in words[1:]]  # each, also after a broken one
    return 0 if all(told) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
