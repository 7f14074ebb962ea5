"""What whoever records everything reads later, assumption by assumption; and that the attack works where it should."""

import hashlib
from collections.abc import Iterator
from itertools import combinations

import numpy as np
import pytest

from strategies.secagg import keys, wire
from strategies.secagg.errors import SecAggError, SignatureError
from strategies.secagg.identity import ED25519_SIGNATURE, Identity
from strategies.secagg.messages import ShareKeysReply, SignedAdvertisement
from strategies.secagg.phases import Step
from tests.strategies.secagg import parties as parties_module
from tests.strategies.secagg.eavesdropper import Classical, Eavesdropper, Lattice, Recording, classical_secret, lattice_secret, open_box
from tests.strategies.secagg.parties import Parties, identities, parameters_for, roster_of
from tests.strategies.secagg.recorded_session import (
    COUNT,
    EVERYTHING,
    LATE,
    LENGTH,
    PARTNERS,
    ROUNDS,
    THRESHOLD,
    TRUNK,
    file,
    loss,
    of,
    reads_metric,
    reads_nothing,
    reads_sums_and_trunk_alone,
    recorded,
    session_of,
    shared,
    sums,
    survivors,
    updates,
)

# The key exchange


Private = tuple[Lattice, Classical]


def private(secret: bytes) -> Private:
    """Keys of the exchange from their seeds."""
    return Lattice.from_seed_bytes(secret[:64]), Classical.from_private_bytes(secret[64:])


def computed(index: int) -> Private:
    """A partner's keys of the session, as whoever can break both kinds would compute them from the public ones."""
    held = file(Step.ADVERTISE_KEYS, index).advertised
    assert held is not None
    lattice, classical = private(held.secret)
    assert lattice.public_key().public_bytes_raw() + classical.public_key().public_bytes_raw() == recorded().advertisements[index].body.kem
    return lattice, classical


def opened(seen: Recording, sender: int, recipient: int, known: Private) -> bytes | None:
    """What these keys find in a box, if it is theirs."""
    lattice, classical = known
    return open_box(
        seen, sender, recipient, lattice_secret(seen, sender, recipient, lattice), classical_secret(seen, sender, recipient, classical)
    )


def opened_with_keys_of(*partners: int) -> dict[tuple[int, int], bytes]:
    """The boxes for these partners, when both kinds of their keys are known."""
    found = {(i, j): opened(recorded(), i, j, computed(j)) for i, j in recorded().boxes() if j in partners}
    return {place: content for place, content in found.items() if content is not None}


def guesses(sender: int, recipient: int, known: bytes) -> Iterator[bytes]:
    """What could stand in for the half of a key that is not known."""
    box, body = recorded().box(sender, recipient), recorded().advertisements[recipient].body
    yield from (bytes(32), known, box[:32], box[1088:1120], body.kem[:32], body.kem[-32:], body.nonce, recorded().session)
    yield lattice_secret(recorded(), sender, recipient, Lattice.generate())
    yield classical_secret(recorded(), sender, recipient, Classical.generate())


def test_when_both_key_exchanges_fall_every_update_is_read_and_so_the_attack_works() -> None:
    """The late vector too, which the double masks keep from a coordinator."""
    boxes = opened_with_keys_of(*PARTNERS)
    spy = Eavesdropper(recorded()).learn(boxes)
    assert updates(spy) == EVERYTHING
    assert sums(spy) == [*ROUNDS]
    assert spy.trunk() is not None
    assert spy.group == session_of(1).group
    assert spy.pairs == {(low, high): session_of(low).pair(high) for low, high in combinations(PARTNERS, 2)}


def test_what_is_opened_when_everything_falls_is_keys_updates_and_trunks_and_no_byte_besides() -> None:
    boxes = opened_with_keys_of(*PARTNERS)
    for (sender, recipient), content in boxes.items():
        assert content == shared(sender).sent[shared(sender).recipients.index(recipient)] + shared(sender).group
    spy = Eavesdropper(recorded()).learn(boxes)
    for number, index in EVERYTHING:
        words, _ = spy.update(number, index)
        tail = words[LENGTH:]
        assert len(tail) == 3  # the limbs of a tag of 61 bits, each far from a full word
        assert int(tail.max()) < 1 << 29
        held = file(Step.COLLECT, index, number).round
        assert held is not None
        assert [len(box) for box in recorded().inputs[number][index][0].bundle] == [32 * COUNT + 16] * (COUNT - THRESHOLD + 1)
        assert spy.shared_seed(number, index, index) == held.self_seed


@pytest.mark.parametrize("broken", ["X25519", "ML-KEM-768"])
def test_when_one_of_the_two_key_exchanges_falls_nothing_is_read(broken: str) -> None:
    for sender, recipient in recorded().boxes():
        lattice, classical = computed(recipient)
        if broken == "X25519":
            known = classical_secret(recorded(), sender, recipient, classical)
            found = [open_box(recorded(), sender, recipient, guess, known) for guess in guesses(sender, recipient, known)]
        else:
            known = lattice_secret(recorded(), sender, recipient, lattice)
            found = [open_box(recorded(), sender, recipient, known, guess) for guess in guesses(sender, recipient, known)]
        assert not any(found)
    assert reads_nothing(Eavesdropper(recorded()))


@pytest.mark.parametrize("count", range(1, COUNT))
def test_the_session_keys_of_one_partner_open_nothing_of_two_the_sums_and_of_more_than_the_threshold_updates(count: int) -> None:
    spy = Eavesdropper(recorded()).learn(opened_with_keys_of(*PARTNERS[:count]))
    if count == 1:
        assert reads_nothing(spy)
    elif count <= THRESHOLD:
        assert reads_sums_and_trunk_alone(spy)
    else:  # but for the late vector of the one whose keys are not known
        assert set(updates(spy)) == set(EVERYTHING) - {(1, LATE)}


# Ciphers and hashes


def test_when_aes_falls_every_update_is_read() -> None:
    """Whoever opens AES-256-GCM without its key has what set-up sealed, whatever the key exchange was."""
    plain = {(i, j): shared(i).sent[shared(i).recipients.index(j)] + shared(i).group for i, j in recorded().boxes()}
    assert updates(Eavesdropper(recorded()).learn(plain)) == EVERYTHING


def test_when_hmac_and_hkdf_can_be_inverted_the_sums_are_read_and_the_updates_of_those_who_once_dropped_out() -> None:
    """Key confirmations give the group key away, and the seeds revealed about a partner that dropped out its keys with the others."""
    spy = Eavesdropper(recorded())
    header = recorded().inputs[0][1][0].header.body
    group, number = session_of(1).group, 1
    assert keys.confirmation(group, recorded().session, 0, 1) == header.confirmation  # what is inverted
    late = recorded().inputs[number][LATE][0].header.body
    pairs = {(index, LATE): session_of(index).pair(LATE) for index in survivors(number)}
    for (index, _), pair in pairs.items():
        assert spy.shared_seed(number, index, LATE) == keys.pairwise_seed(pair, number, late.cohort, late.trunk)
    spy.group, spy.pairs = group, pairs
    assert sums(spy) == [*ROUNDS]
    assert updates(spy) == of(LATE)


# The way


def test_when_tls_falls_only_what_the_coordinator_knows_is_read() -> None:
    """Who takes part, sizes and times, and the sums of the metrics that policies show."""
    spy = Eavesdropper(recorded())
    assert reads_nothing(spy)
    for number in ROUNDS:
        assert spy.metrics(number).tolist() == np.add.reduce([loss(number, index) for index in survivors(number)]).tolist()
        assert not any(reads_metric(spy, number, index) for index in PARTNERS)


# Signatures


SIGNATURES = {"Ed25519": slice(0, ED25519_SIGNATURE), "ML-DSA-65": slice(ED25519_SIGNATURE, None)}


def forged_by(partner: int, broken: tuple[str, ...], message: bytes) -> bytes:
    """A signature in a partner's name, of which those halves alone are good that could be forged."""
    genuine = identities(partner)[-1].sign(message)
    return b"".join(genuine[place] if name in broken else bytes(len(genuine[place])) for name, place in SIGNATURES.items())


@pytest.mark.parametrize("broken", [("Ed25519",), ("ML-DSA-65",), ("Ed25519", "ML-DSA-65")], ids="+".join)
def test_nobody_gets_into_a_session_as_a_partner_before_both_signatures_have_fallen(broken: tuple[str, ...]) -> None:
    """Then somebody with keys of their own in partner 3's place is told everybody's contribution to the group key."""
    parties, impostors = Parties(roster_of(COUNT), seed=6), Parties(roster_of(COUNT), seed=7)
    coordinator = parties.coordinator
    for index, site in parties.sites.items():
        coordinator.add_advertisement(site.answer(Step.ADVERTISE_KEYS, coordinator.advertise_request()))
        assert index in coordinator.advertisements
    mine = wire.decode(SignedAdvertisement, impostors.sites[3].answer(Step.ADVERTISE_KEYS, coordinator.advertise_request()))
    tag = keys.tag(Step.ADVERTISE_KEYS, parties.roster.digest(), coordinator.parameters.digest(), 0)
    coordinator.advertisements[3] = SignedAdvertisement(mine.body, forged_by(3, broken, tag + wire.encode(mine.body)))
    request = coordinator.share_keys_request()
    if len(broken) == 1:
        with pytest.raises(SignatureError):
            parties.sites[1].answer(Step.SHARE_KEYS, request)
        return
    reply = wire.decode(ShareKeysReply, parties.sites[1].answer(Step.SHARE_KEYS, request))
    seen = Recording(impostors, advertisements=coordinator.advertisements, contributions={1: reply})
    held = impostors.partner(3).state.advertised
    assert held is not None
    content = opened(seen, 1, 3, private(held.secret))
    assert content is not None
    assert content[32:] == parties.partner(1).state.shared.group  # type: ignore[union-attr]


def test_the_identities_of_all_partners_open_nothing_that_was_recorded() -> None:
    """Whether they are stolen after the run or computed: not even as keys of an exchange, which an Ed25519 key can be turned into."""
    for sender, recipient in recorded().boxes():
        held = identities(recipient)[-1]
        seed, lattice = held._classical.private_bytes_raw(), held._lattice.private_bytes_raw()
        for classical in (seed, hashlib.sha512(seed).digest()[:32]):
            assert opened(recorded(), sender, recipient, private(lattice + lattice + classical)) is None
    assert reads_nothing(Eavesdropper(recorded()))


def test_no_key_of_a_session_comes_from_an_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same randomness gives other partners the same secrets."""
    secrets = []
    for _ in range(2):
        parties = Parties(roster_of(3), seed=8)
        parties.set_up()
        states = [parties.partner(index).state.shared for index in (1, 2, 3)]
        secrets.append([(held.secret, held.sent, held.group) for held in states if held is not None])
        monkeypatch.setattr(parties_module, "IDENTITIES", [Identity.generate() for _ in range(3)])
    assert len(secrets[0]) == 3
    assert secrets[0] == secrets[1]


# A partner's disk


def with_files(step: Step, number: int, *partners: int) -> Eavesdropper:
    """Who has the recording, and the `protocol.state` of some partners as it was after a step."""
    spy = Eavesdropper(recorded())
    for index in partners:
        held = file(step, index, number).session
        assert held is not None
        spy.group = held.group
        spy.pairs |= {(min(index, other), max(index, other)): held.pair(other) for other in held.members if other != index}
    return spy


def test_the_group_key_opens_the_sums_and_the_trunk_and_no_update() -> None:
    spy = Eavesdropper(recorded())
    spy.group = session_of(4).group
    assert reads_sums_and_trunk_alone(spy)


@pytest.mark.parametrize("thief_of", [1, LATE])
@pytest.mark.parametrize(
    ("step", "number"), [(Step.COLLECT, 0), (Step.UNMASK, 2), (Step.FINISH, 2)], ids=["first round", "last", "after it"]
)
def test_a_stolen_state_opens_that_partners_updates_and_every_sum_of_the_session_also_when_it_is_over(
    thief_of: int, step: Step, number: int
) -> None:
    """Of the whole session, before the theft and after: keys last as long as it does, and until the next one begins."""
    spy = with_files(step, number, thief_of)
    assert updates(spy) == of(thief_of)
    assert sums(spy) == [*ROUNDS]
    assert spy.trunk() is not None


@pytest.mark.parametrize("count", [2, THRESHOLD - 1, THRESHOLD])
def test_stolen_states_open_the_updates_of_their_owners_and_from_the_threshold_on_all(count: int) -> None:
    owners = PARTNERS[:count]
    assert updates(with_files(Step.UNMASK, 2, *owners)) == (EVERYTHING if count >= THRESHOLD else of(*owners))


def test_a_state_stolen_before_the_contributions_are_sent_opens_nothing() -> None:
    """It holds the keys with which the others' contributions are opened, and not the partner's own contribution."""
    assert reads_nothing(Eavesdropper(recorded()).learn(opened_with_keys_of(2)))


@pytest.mark.parametrize("end", ["the next session", "a refusal"])
def test_a_state_stolen_when_the_next_session_has_begun_or_after_a_refusal_opens_nothing(end: str) -> None:
    partner = recorded().parties.copy().partner(2)
    before = wire.encode(partner.state)
    secrets = [session_of(2).group, *(pair for pair in session_of(2).pairs if pair)]
    assert all(secret in before for secret in secrets)
    if end == "a refusal":
        partner.refuse(SecAggError())
    else:
        partner.advertise(wire.encode(parameters_for(partner.roster, nonce=b"2" * 32)), 6, TRUNK, TRUNK)
    assert not any(secret in wire.encode(partner.state) for secret in secrets)
