"""Somebody who keeps everything that travels, and to whom keys are handed later, as if an assumption had fallen.

Decapsulation and HPKE are written out here (RFC 9180; draft-connolly-cfrg-xwing-kem), since no library opens a ciphertext with half a key.
Everything else follows PROTOCOL.md: whatever mask can be computed from what is known is taken off, and what remains is named.
"""

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import mlkem, x25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from strategies.secagg import keys, shamir, shares, wire
from strategies.secagg.consistency_messages import ConsistencyRequest, UnmaskReply
from strategies.secagg.keystream import add_streams
from strategies.secagg.messages import (
    CollectRequest,
    Handover,
    MaskedInput,
    ShareKeysReply,
    SignedAdvertisement,
    cohort_digest,
)
from strategies.secagg.phases import Step
from strategies.secagg.state import dump
from strategies.secagg.verification import session_id
from tests.strategies.secagg.parties import Parties

Lattice = mlkem.MLKEM768PrivateKey
Classical = x25519.X25519PrivateKey
KEM_CIPHERTEXT, POINT = 1088, 32
XWING_LABEL = bytes.fromhex("5c2e2f2f5e5c")
SUITE = b"HPKE" + (0x647A).to_bytes(2, "big") + (1).to_bytes(2, "big") + (2).to_bytes(2, "big")  # X-Wing, HKDF-SHA256, AES-256-GCM


@dataclass
class Recording:
    """Every message of a session, and the vectors beside them.

    Attributes:
        parties: Who talk; they are listened to from now on.
        lost: Round and partner whose masked input never arrives, although it was sent.
        advertisements, contributions: Of set-up, by partner.
        inputs, lists, answers: Of each round: masked inputs with their words, the list of survivors, revealed shares.
        handover: A trunk that travelled, with its ciphertext.
        files: Not what travels: each partner's `protocol.state` after each of its replies.
    """

    parties: Parties
    lost: tuple[int, int] = (-1, -1)
    advertisements: dict[int, SignedAdvertisement] = field(default_factory=dict)
    contributions: dict[int, ShareKeysReply] = field(default_factory=dict)
    inputs: dict[int, dict[int, tuple[MaskedInput, np.ndarray]]] = field(default_factory=dict)
    lists: dict[int, ConsistencyRequest] = field(default_factory=dict)
    answers: dict[int, dict[int, UnmaskReply]] = field(default_factory=dict)
    handover: tuple[Handover, bytes] | None = None
    files: dict[tuple[Step, int, int], bytes] = field(default_factory=dict)
    number: int = -1

    def __post_init__(self) -> None:
        self.parties.down, self.parties.up = self.down, self.up

    def down(self, step: Step, index: int, request: bytes) -> bytes:
        """A request passes."""
        if step is Step.COLLECT:
            self.number = wire.decode(CollectRequest, request).number
        elif step is Step.CONSISTENCY:
            self.lists[self.number] = wire.decode(ConsistencyRequest, request)
        return request

    def up(self, step: Step, index: int, reply: bytes) -> bytes | None:
        """A reply passes."""
        site = self.parties.sites[index]
        self.files[step, self.number, index] = dump(site.participant.state)
        match step:
            case Step.ADVERTISE_KEYS:
                self.advertisements[index] = wire.decode(SignedAdvertisement, reply)
            case Step.SHARE_KEYS:
                self.contributions[index] = wire.decode(ShareKeysReply, reply)
            case Step.COLLECT:
                self.inputs.setdefault(self.number, {})[index] = wire.decode_tagged((MaskedInput,), reply), site.words.copy()
            case Step.UNMASK:
                self.answers.setdefault(self.number, {})[index] = wire.decode(UnmaskReply, reply)
            case Step.HANDOVER:
                assert isinstance(site.words, bytes)
                self.handover = wire.decode(Handover, reply), site.words
        return None if (step, self.number, index) == (Step.COLLECT, *self.lost) else reply

    @property
    def session(self) -> bytes:
        """The session's id, which is no secret."""
        return session_id(self.parties.coordinator.parameters, tuple(self.advertisements.values()))

    def box(self, sender: int, recipient: int) -> bytes:
        """What one partner sealed for another in set-up."""
        sent = self.contributions[sender]
        return sent.ciphertexts[sent.contributions.recipients.index(recipient)]

    def boxes(self) -> list[tuple[int, int]]:
        """Sender and recipient of all of them."""
        return [(sender, recipient) for sender in self.contributions for recipient in self.contributions if sender != recipient]


@dataclass
class Eavesdropper:
    """A recording, and the secrets that somebody has of it.

    Attributes:
        seen: The recording.
        pairs: Keys of pairs of partners, the lower index first.
        group: The group key; empty if it is not known.
    """

    seen: Recording
    pairs: dict[tuple[int, int], bytes] = field(default_factory=dict)
    group: bytes = b""

    def learn(self, opened: Mapping[tuple[int, int], bytes]) -> "Eavesdropper":
        """Derive what keys there are in opened contributions, by sender and recipient."""
        session, parts = self.seen.session, {sender: plain[32:] for (sender, _), plain in opened.items()}
        for low, high in opened:
            if low < high and (high, low) in opened:
                self.pairs[low, high] = keys.pair_key(opened[low, high][:32], opened[high, low][:32], session, low, high)
        if set(parts) == set(self.seen.contributions):
            self.group = keys.group_key(parts, session)
        return self

    def pair(self, one: int, other: int) -> bytes | None:
        """Their key, if it is known."""
        return self.pairs.get((min(one, other), max(one, other)))

    # Seeds of a round

    def shared_seed(self, number: int, dealer: int, about: int) -> bytes | None:
        """What a dealer shared among the cohort, from the shares that are known: revealed, derived or opened with keys of pairs."""
        held, threshold = self._revealed(number, dealer, about), self.seen.parties.roster.threshold
        cohort = tuple(sorted(self.seen.inputs[number]))
        place = shares.secrets_of(dealer, cohort).index(about)
        for holder in set(cohort) - {dealer}:
            pair = self.pair(dealer, holder)
            if pair is not None:
                held[holder] = self._dealt(number, dealer, holder, pair, cohort)[place]
        return shamir.to_bytes(shamir.reconstruct(held, threshold)) if len(held) >= threshold else None

    def _revealed(self, number: int, dealer: int, about: int) -> dict[int, int]:
        agreed = self.seen.lists[number]
        names = [(one, other) for one in agreed.survivors for other in (one, *agreed.dropped)]
        if (dealer, about) not in names:
            return {}
        start = 32 * names.index((dealer, about))
        return {holder: int.from_bytes(reply.shares[start : start + 32], "big") for holder, reply in self.seen.answers[number].items()}

    def _dealt(self, number: int, dealer: int, holder: int, pair: bytes, cohort: tuple[int, ...]) -> list[int]:
        threshold, digest = self.seen.parties.roster.threshold, cohort_digest(cohort)
        if holder in shares.derived_by(dealer, cohort, threshold):
            return keys.fixed_shares(pair, number, dealer, holder, digest, len(cohort))
        bundle = self.seen.inputs[number][dealer][0].bundle[shares.sent_to(dealer, cohort, threshold).index(holder)]
        key = keys.share_key(pair, number, dealer, holder, digest)
        opened = shares.open_sealed(bundle, key, self.seen.session, len(cohort), dealer)
        return [int.from_bytes(share, "big") for share in opened]

    def mask_seed(self, number: int, index: int, other: int) -> bytes | None:
        """The seed of a partner's mask with another one, or of its own mask."""
        pair = self.pair(index, other)
        if other != index and pair is not None:
            header = self.seen.inputs[number][index][0].header.body
            return keys.pairwise_seed(pair, number, header.cohort, header.trunk)
        found = self.shared_seed(number, index, other)
        return found if found is not None or other == index else self.shared_seed(number, other, index)

    # What is read

    def update(self, number: int, index: int) -> tuple[np.ndarray, list[str]]:
        """A partner's vector of a round without every mask that is known, and the names of the others."""
        words = self.seen.inputs[number][index][1].copy()
        missing = self._strip(words, number, index, self.seen.inputs[number])
        return words, missing + self._strip_group(words, number, [index])

    def metric(self, number: int, index: int) -> tuple[np.ndarray, list[str]]:
        """The same of the words that it shows in the sum."""
        words = np.frombuffer(self.seen.inputs[number][index][0].public, dtype="<u4").copy()
        return words, self._strip(words, number, index, self.seen.inputs[number], public=True)

    def sum(self, number: int) -> tuple[np.ndarray, list[str]]:
        """The same of the survivors' sum, in which their masks with each other cancel."""
        agreed = self.seen.lists[number]
        words = np.add.reduce([self.seen.inputs[number][index][1] for index in agreed.survivors], dtype="<u4")
        missing = [name for index in agreed.survivors for name in self._strip(words, number, index, (index, *agreed.dropped))]
        return words, missing + self._strip_group(words, number, agreed.survivors)

    def metrics(self, number: int) -> np.ndarray:
        """The sum of the words that the coordinator may know, which takes no key."""
        agreed = self.seen.lists[number]
        words = np.add.reduce([np.frombuffer(self.seen.inputs[number][i][0].public, dtype="<u4") for i in agreed.survivors], dtype="<u4")
        for index in agreed.survivors:
            assert self._strip(words, number, index, (index, *agreed.dropped), public=True) == []
        return words

    def trunk(self) -> bytes | None:
        """The trunk that was handed over."""
        assert self.seen.handover is not None
        offered, ciphertext = self.seen.handover
        key = keys.handover_key(self.group, offered.holder, offered.trunk)
        try:
            return AESGCM(key).decrypt(ciphertext[:12], ciphertext[12:], self.seen.session)
        except InvalidTag:
            return None

    def _strip(self, words: np.ndarray, number: int, index: int, others: Iterable[int], public: bool = False) -> list[str]:
        missing = []
        for other in others:
            seed = self.mask_seed(number, index, other)
            if seed is None:
                missing.append("self" if other == index else f"pair {min(index, other)}-{max(index, other)}")
            else:
                seed = keys.public_seed(seed) if public else seed
                add_streams(words, *(([], [seed]) if other >= index else ([seed], [])))
        return missing

    def _strip_group(self, words: np.ndarray, number: int, partners: Iterable[int]) -> list[str]:
        if not self.group:
            return ["group"]
        members = sorted(self.seen.contributions)
        for index in partners:
            before = members[: members.index(index)][-1:]
            add_streams(words, [keys.group_seed(self.group, number, each) for each in before], [keys.group_seed(self.group, number, index)])
        return []


# Opening what was sealed in set-up


def open_box(seen: Recording, sender: int, recipient: int, lattice: bytes, classical: bytes) -> bytes | None:
    """The content of a box, given both shared secrets of its hybrid key; None if it does not open with them."""
    box, kem = seen.box(sender, recipient), seen.advertisements[recipient].body.kem
    point = box[KEM_CIPHERTEXT : KEM_CIPHERTEXT + POINT]
    secret = hashlib.sha3_256(lattice + classical + point + kem[-POINT:] + XWING_LABEL).digest()
    info = seen.session + sender.to_bytes(4, "big") + recipient.to_bytes(4, "big")
    context = b"\x00" + _extract(b"", b"psk_id_hash", b"") + _extract(b"", b"info_hash", info)
    schedule = _extract(secret, b"secret", b"")
    key, nonce = _expand(schedule, b"key", context, 32), _expand(schedule, b"base_nonce", context, 12)
    try:
        return AESGCM(key).decrypt(nonce, box[KEM_CIPHERTEXT + POINT :], b"")
    except InvalidTag:
        return None


def lattice_secret(seen: Recording, sender: int, recipient: int, private: Lattice) -> bytes:
    """ML-KEM-768's half of a box's key."""
    return private.decapsulate(seen.box(sender, recipient)[:KEM_CIPHERTEXT])


def classical_secret(seen: Recording, sender: int, recipient: int, private: Classical) -> bytes:
    """X25519's half."""
    point = seen.box(sender, recipient)[KEM_CIPHERTEXT : KEM_CIPHERTEXT + POINT]
    return private.exchange(x25519.X25519PublicKey.from_public_bytes(point))


def _extract(salt: bytes, label: bytes, content: bytes) -> bytes:
    return hmac.new(salt or bytes(32), b"HPKE-v1" + SUITE + label + content, "sha256").digest()


def _expand(key: bytes, label: bytes, context: bytes, length: int) -> bytes:
    return hmac.new(key, length.to_bytes(2, "big") + b"HPKE-v1" + SUITE + label + context + b"\x01", "sha256").digest()[:length]
