"""Proofs that a partner misbehaved: they hold by the roster alone, and none that anybody could make holds against an honest partner."""

from dataclasses import dataclass, fields, replace
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategies.secagg import proofs, verification, wire
from strategies.secagg.consistency_messages import UnmaskReply
from strategies.secagg.coordinator import Coordinator
from strategies.secagg.messages import DeliveredContribution, MaskedInput, SessionParameters, SignedAdvertisement
from strategies.secagg.phases import Step
from strategies.secagg.proofs import Proof, UnequalContribution, UnusableKey, WrongSecret, proven
from tests.helpers.sweeps import examples
from tests.strategies.secagg.misbehaving import answering, relisted
from tests.strategies.secagg.parties import Parties, identities, parameters_for, roster_of, unlimited
from tests.strategies.secagg.recorded_vectors import COUNT, LIAR, unequal_contributions, unusable_keys, wrong_secrets
from tests.strategies.secagg.stages import flipped

ROSTER = roster_of(COUNT)
HONEST = (1, 2, 4)


@cache
def made() -> dict[str, Proof]:
    """Proofs against the liar, and what looks like one."""
    return {**unusable_keys(), **unequal_contributions(), **wrong_secrets()}


HOLD = (
    "no lattice point",
    "no curve point",
    "another group contribution",
    "another seed than",
    "no seed of its own",
    "somebody who was not asked",
)


@pytest.mark.parametrize("kind", made())
def test_a_proof_holds_if_and_only_if_its_partner_misbehaved(kind: str) -> None:
    assert proven(ROSTER, proofs.encode(made()[kind])) == (LIAR if any(said in kind for said in HOLD) else None)


def test_one_of_each_kind_holds() -> None:
    assert {type(proof) for proof in made().values() if proven(ROSTER, proofs.encode(proof))} == set(proofs.PROOFS)


def test_a_proof_holds_at_anybody_who_has_the_roster_and_nowhere_else() -> None:
    others = roster_of(COUNT + 1)
    for proof in made().values():
        assert proven(others, proofs.encode(proof)) is None


def revealing(own: bytes) -> WrongSecret:
    """A proof against whoever said that this is what it had committed to."""
    wrong = made()["another seed than it committed to"]
    assert isinstance(wrong, WrongSecret)
    answer = replace(wrong.answer, own=own)
    message = verification.answer_message(ROSTER, wrong.session, wrong.number, answer)
    return replace(wrong, answer=replace(answer, signature=identities(COUNT)[LIAR - 1].sign(message)))


@pytest.mark.parametrize(("more", "accused"), [(0, LIAR), (1, None)])
def test_a_proof_has_no_more_bytes_than_a_transcript_has_room_for(more: int, accused: int | None) -> None:
    """Whoever reveals what is no seed makes it as long as it likes."""
    short = len(proofs.encode(revealing(b"x")))
    data = proofs.encode(revealing(b"x" * (proofs.MOST_BYTES - short + 1 + more)))
    assert len(data) == proofs.MOST_BYTES + more
    assert proven(ROSTER, data) == accused


def test_what_is_no_proof_proves_nothing() -> None:
    for data in (b"", b"\x00", b"\x04", b"\x01", b"\xff" * 100, *(proofs.encode(proof)[:-1] for proof in made().values())):
        assert proven(ROSTER, data) is None


@pytest.mark.parametrize("recipient", [0, 3, 5])
def test_a_recipient_that_did_not_advertise_or_did_twice(recipient: int) -> None:
    proof = made()["another group contribution than it committed to"]
    assert isinstance(proof, UnequalContribution)
    without = tuple(each for each in proof.advertisements if each.body.index != recipient)
    assert proven(ROSTER, proofs.encode(replace(proof, recipient=recipient, advertisements=without))) is None
    assert proven(ROSTER, proofs.encode(replace(proof, advertisements=(*proof.advertisements, proof.advertisements[0])))) is None


def test_an_advertisement_that_its_recipient_did_not_sign() -> None:
    """Else whoever makes the proof would choose the key that the ciphertext is to be opened with."""
    proof = made()["another group contribution than it committed to"]
    assert isinstance(proof, UnequalContribution)
    first, *others = proof.advertisements
    assert proven(ROSTER, proofs.encode(replace(proof, advertisements=(replace(first, signature=others[0].signature), *others)))) is None


# Whatever is put together


@dataclass(frozen=True)
class Pool:
    """All that two sessions brought forth, and more that the liar signs."""

    parameters: tuple[SessionParameters, ...]
    advertisements: tuple[SignedAdvertisement, ...]
    sessions: tuple[bytes, ...]
    secrets: tuple[bytes, ...]
    delivered: tuple[DeliveredContribution, ...]
    masked: tuple[MaskedInput, ...]
    answers: tuple[UnmaskReply, ...]
    whole: tuple[tuple[SignedAdvertisement, ...], ...]


@cache
def pool() -> Pool:
    """Everybody's keys of the sessions are known, too: they make no honest partner guilty."""
    parties = Parties(ROSTER)
    unlimited(parties)
    found: dict[str, list[Any]] = {each.name: [] for each in fields(Pool)}
    for count in (1, 2):
        parties.coordinator = Coordinator(ROSTER, parameters_for(ROSTER, nonce=bytes([count]) * 32))
        record_session(parties, found)
    return Pool(**{name: tuple(held) for name, held in found.items()})


def record_session(parties: Parties, found: dict[str, list[Any]]) -> None:
    coordinator = parties.coordinator

    def up(step: Step, index: int, reply: bytes) -> bytes:
        shared = parties.partner(index).state.shared
        if shared is not None:
            found["secrets"].append(shared.secret)
        return reply

    parties.up = up
    parties.set_up()
    found["parameters"].append(coordinator.parameters)
    found["sessions"].append(coordinator.session)
    found["advertisements"] += coordinator.advertisements.values()
    found["whole"].append(tuple(coordinator.advertisements.values()))
    for sender, sent in coordinator.contributions.items():
        found["delivered"] += [coordinator._contribution(sent, other) for other in sent.contributions.recipients]
        if sender == LIAR:
            other = relisted(parties.partner(LIAR), coordinator.session, replace(sent.contributions, group=b"x" * 32))
            found["delivered"] += [DeliveredContribution(other, each) for each in sent.ciphertexts]
    for number in (0, 1):
        collection = parties.collect(number, {index: site.values for index, site in parties.sites.items()})
        parties.agree(collection)
        found["masked"] += collection.inputs.values()
        for index in parties.sites:
            reply = parties.sites[index].answer(Step.UNMASK, collection.unmask_request(index))
            found["answers"].append(wire.decode(UnmaskReply, reply))
            if index == LIAR:
                found["answers"].append(
                    wire.decode(UnmaskReply, answering(parties.partner(index), reply, own=b"y" * len(found["answers"][-1].own)))
                )


@st.composite
def put_together(draw: st.DrawFn) -> Proof:
    """A proof of pieces that somebody signed once, sometime."""
    held, kind = pool(), draw(st.sampled_from(proofs.PROOFS))

    def one(of: tuple[Any, ...]) -> Any:
        return draw(st.sampled_from(of))

    if kind is UnusableKey:
        return UnusableKey(one(held.parameters), one(held.advertisements))
    if kind is UnequalContribution:
        mixed = tuple(draw(st.lists(st.sampled_from(held.advertisements), max_size=4)))
        return UnequalContribution(
            one(held.parameters), one((*held.whole, mixed)), one(held.delivered), one((1, 2, 3, 4)), one((*held.secrets, bytes(96)))
        )
    masked = one(held.masked)
    commitments = one((masked.commitments, one(held.masked).commitments, bytes(128)))
    cohort = one(((1, 2, 3, 4), (1, 4, 2, 3), (1, 2, 3), (1, 3)))
    return WrongSecret(one(held.sessions), one((0, 1)), cohort, masked.header, commitments, one(held.answers))


@examples(400, few=60)
@given(put_together())
def test_no_proof_of_whatever_pieces_holds_against_an_honest_partner(proof: Proof) -> None:
    assert proven(ROSTER, proofs.encode(proof)) in (None, LIAR)


@examples(300, few=40)
@given(st.sampled_from(sorted(made())), st.data())
def test_no_altered_proof_holds_against_an_honest_partner(kind: str, data: st.DataObject) -> None:
    changed = proofs.encode(made()[kind])
    for _ in range(data.draw(st.integers(1, 3))):
        changed = flipped(changed, data.draw(st.integers(0, len(changed) - 1)), data.draw(st.integers(0, 7)))
    assert proven(ROSTER, changed) in (None, LIAR)


@pytest.mark.parametrize("victim", HONEST)
@pytest.mark.parametrize("kind", made())
def test_no_proof_in_an_honest_partners_name(kind: str, victim: int) -> None:
    """Every index of the liar in it is exchanged for the victim's."""
    assert proven(ROSTER, proofs.encode(renamed(made()[kind], victim))) is None


def renamed(value: Any, victim: int) -> Any:
    if isinstance(value, tuple):
        return tuple(renamed(each, victim) for each in value)
    if hasattr(value, "__dataclass_fields__"):
        names = {"index", "sender"}
        parts = {each.name: getattr(value, each.name) for each in fields(value)}
        return replace(
            value, **{n: victim if n in names and held == LIAR else renamed(held, victim) for n, held in parts.items() if n != "group"}
        )
    return value
