"""Handing a trunk to members who lack it: encrypted under the group key, so that the coordinator carries what it cannot read.

PROTOCOL.md, section 3. Whoever takes it over holds its content against the name that a quorum holds.
"""

import hashlib

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from strategies.secagg import keys
from strategies.secagg.errors import HandoverError
from strategies.secagg.identity import Identity
from strategies.secagg.messages import Handover, SignedHeader
from strategies.secagg.roster import Roster
from strategies.secagg.session import Entropy, Session
from strategies.secagg.verification import handover_message, verify_handover, verify_header

NONCE_BYTES = 12


def seal(identity: Identity, roster: Roster, session: Session, trunk: bytes, plain: bytes, entropy: Entropy) -> tuple[Handover, bytes]:
    """Encrypt a trunk for the members of the session.

    Args:
        trunk: Its name.
        plain: The trunk.
    Returns:
        The signed message, and the ciphertext that travels beside it: nonce, then AES-256-GCM.
    """
    nonce = entropy(NONCE_BYTES)
    key = keys.handover_key(session.group, session.index, trunk)
    ciphertext = nonce + AESGCM(key).encrypt(nonce, plain, session.id)
    digest = hashlib.sha256(ciphertext).digest()
    return Handover(
        session.index, trunk, digest, identity.sign(handover_message(roster, session.id, session.index, trunk, digest))
    ), ciphertext


def open_sealed(roster: Roster, session: Session, offered: Handover, ciphertext: bytes) -> bytes:
    """The trunk.

    Raises:
        UnknownPartnerError, SignatureError: As `verify_handover`.
        HandoverError: As `verify_handover`, or it does not open.
    """
    verify_handover(roster, session.id, offered, ciphertext)
    key = keys.handover_key(session.group, offered.holder, offered.trunk)
    try:
        return AESGCM(key).decrypt(ciphertext[:NONCE_BYTES], ciphertext[NONCE_BYTES:], session.id)
    except (InvalidTag, ValueError):
        raise HandoverError(offered.holder, "the encrypted trunk does not open") from None


def check_beginning(session: Session, offered: Handover, name: bytes) -> None:
    """See that a handed-over trunk is the one that the session goes on from, which a quorum of the advertisements names.

    Args:
        name: Of the trunk, worked out from its content.
    Raises:
        HandoverError: It is another one.
    """
    if name != session.trunk:
        raise HandoverError(offered.holder, "its trunk is not the one that the session goes on from")


def check_trained_from(
    roster: Roster, session: Session, offered: Handover, name: bytes, rows: bytes, number: int, headers: tuple[SignedHeader, ...]
) -> None:
    """See that a handed-over trunk is the one that a round trained from, as a quorum of the members signed in its headers.

    So one partner at least that does not misbehave holds just this trunk, and just this row list.

    Args:
        name: Of the trunk, worked out from its content.
        rows: Digest of its row list.
        number: Of the round.
        headers: Of survivors of that round.
    Raises:
        HandoverError: Too few did.
        SignatureError, UnknownPartnerError: A header that its partner did not sign.
    """
    basis = keys.basis(session.group, name, rows)
    signers: set[int] = set()
    for header in headers:
        verify_header(roster, session.id, number, header)
        if header.body.trunk == basis and header.body.index in session.members:
            signers.add(header.body.index)
    if len(signers) < roster.quorum():
        raise HandoverError(
            offered.holder,
            f"its trunk is not the one that the others trained from: {len(signers)} partners name it, and {roster.quorum()} are needed",
        )
