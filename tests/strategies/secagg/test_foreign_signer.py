"""Where a private key is: a signer that gives its key to nobody is enough for the protocol."""

import numpy as np
import pytest

from strategies.secagg.identity import Identity
from tests.strategies.secagg import parties
from tests.strategies.secagg.parties import Parties, roster_of


class Device:
    """All that hardware would offer of an identity."""

    def __init__(self, identity: Identity) -> None:
        self.public, self.sign = identity.public, identity.sign


def test_the_protocol_asks_nothing_of_an_identity_but_its_public_keys_and_signatures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parties, "IDENTITIES", [Device(each) for each in parties.identities(3)])
    held = Parties(roster_of(3))
    for site in held.sites.values():
        site.trunk = b"t" * 32
    assert held.set_up() == (1, 2, 3)
    inputs = {index: np.arange(4, dtype=np.int64) * index for index in held.sites}
    assert {index: total[-4:].tolist() for index, total in held.round(1, inputs).items()} == {index: [0, 6, 12, 18] for index in (1, 2, 3)}
