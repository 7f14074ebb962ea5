"""Handing a trunk to members who lack it: encrypted under the group key, so that the coordinator carries what it cannot read.

PROTOCOL.md, section 3; what a handed-over trunk does not prove is in section 9.
"""

import hashlib

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from strategies.secagg import keys
from strategies.secagg.errors import HandoverError
from strategies.secagg.identity import Identity
from strategies.secagg.messages import Handover
from strategies.secagg.phases import Step
from strategies.secagg.roster import Roster
from strategies.secagg.session import Entropy, Session

NONCE_BYTES = 12


def seal(identity: Identity, roster: Roster, session: Session, trunk: bytes, plain: bytes, entropy: Entropy) -> tuple[Handover, bytes]:
    """Encrypt a trunk for the members of the session.

    Args:
        trunk: Its digest.
        plain: The trunk.
    Returns:
        The signed message, and the ciphertext that travels beside it: nonce, then AES-256-GCM.
    """
    nonce = entropy(NONCE_BYTES)
    key = keys.handover_key(session.group, session.index, trunk)
    ciphertext = nonce + AESGCM(key).encrypt(nonce, plain, session.id)
    digest = hashlib.sha256(ciphertext).digest()
    return Handover(session.index, trunk, digest, identity.sign(_signed(roster, session, session.index, trunk, digest))), ciphertext


def open_sealed(roster: Roster, session: Session, offered: Handover, ciphertext: bytes) -> bytes:
    """The trunk.

    Raises:
        UnknownPartnerError: The holder is nobody.
        SignatureError: It did not sign this.
        HandoverError: The ciphertext is another one, or does not open.
    """
    member = roster.member(offered.holder)
    member.identity.verify(offered.signature, _signed(roster, session, offered.holder, offered.trunk, offered.ciphertext), offered.holder)
    if hashlib.sha256(ciphertext).digest() != offered.ciphertext:
        raise HandoverError(offered.holder, "the encrypted trunk is not the one that it signed")
    key = keys.handover_key(session.group, offered.holder, offered.trunk)
    try:
        return AESGCM(key).decrypt(ciphertext[:NONCE_BYTES], ciphertext[NONCE_BYTES:], session.id)
    except (InvalidTag, ValueError):
        raise HandoverError(offered.holder, "the encrypted trunk does not open") from None


def _signed(roster: Roster, session: Session, holder: int, trunk: bytes, ciphertext: bytes) -> bytes:
    return keys.tag(Step.HANDOVER, roster.digest(), session.id, 0) + holder.to_bytes(4, "big") + trunk + ciphertext
