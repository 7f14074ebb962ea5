"""Signatures that somebody in this process checked already, for parties whose time is not taken: all of them check the same ones."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

from strategies.secagg.identity import PublicIdentity


class SignatureMemory:
    """What was found right."""

    def __init__(self) -> None:
        self.known: set[tuple[bytes, bytes, bytes]] = set()
        self.verify = PublicIdentity.verify

    @contextmanager
    def used(self) -> Iterator[None]:
        """Inside, a signature that was checked before, inside as well, is not checked again."""

        def remembering(identity: PublicIdentity, signature: bytes, message: bytes, partner: int) -> None:
            named = identity.keys, signature, hashlib.sha256(message).digest()
            if named not in self.known:
                self.verify(identity, signature, message, partner)
                self.known.add(named)

        setattr(PublicIdentity, "verify", remembering)  # noqa: B010 - an assignment, to mypy, replaces a method
        try:
            yield
        finally:
            setattr(PublicIdentity, "verify", self.verify)  # noqa: B010
