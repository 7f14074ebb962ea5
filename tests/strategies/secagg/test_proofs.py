"""Proofs that a partner misbehaved: they hold by the roster alone, and none that anybody could make holds against an honest partner."""

import hashlib
from dataclasses import dataclass, fields, replace
from functools import cache
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategies.secagg import contributions, keys, proofs, wire
from strategies.secagg.consistency_messages import UnmaskReply
from strategies.secagg.coordinator import Coordinator
from strategies.secagg.messages import (
    LONGEST_LAYOUT,
    LONGEST_METRIC,
    MOST_METRICS,
    NO_TRUNK,
    Advertisement,
    DeliveredContribution,
    Header,
    KeyContributions,
    MaskedInput,
    SessionParameters,
    SignedAdvertisement,
    SignedHeader,
    cohort_digest,
)
from strategies.secagg.phases import Step
from strategies.secagg.proofs import Proof, UnequalContribution, UnusableKey, WrongSecret, proven
from strategies.secagg.roster import Roster
from tests.helpers.sweeps import examples
from tests.strategies.secagg.misbehaving import answering, relisted
from tests.strategies.secagg.parties import Parties, parameters_for, roster_of, unlimited
from tests.strategies.secagg.recorded_vectors import COUNT, LIAR, unequal_contributions, unusable_keys, wrong_secrets
from tests.strategies.secagg.stages import flipped
from tests.strategies.secagg.stuffed_proofs import signed, stuffed

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


# Room for nothing else


BASES = ("a key that is no curve point", "another group contribution than it committed to", "another seed than it committed to")


@cache
def stuffed_ones() -> dict[str, Proof]:
    """Of each kind, by what is stuffed where."""
    return {f"{base}; {what}": proof for base in BASES for what, proof in stuffed(made()[base], ROSTER).items()}


@pytest.mark.parametrize("base", BASES)
def test_a_proof_that_is_signed_again_holds(base: str) -> None:
    """So it is not for its signatures that a stuffed one does not."""
    assert proven(ROSTER, proofs.encode(signed(made()[base], ROSTER))) == LIAR


@pytest.mark.parametrize("what", stuffed_ones())
def test_a_proof_with_anything_else_in_it_proves_nothing(what: str) -> None:
    data = proofs.encode(stuffed_ones()[what])
    assert len(data) <= proofs.most_bytes(COUNT) or "too much" in what, "small enough for what is in it to be looked at"
    assert proven(ROSTER, data) is None


def test_every_field_with_a_length_is_stuffed() -> None:
    """Those of the proofs, and of all messages in them."""
    stuffed_fields = {what.partition("; ")[2].partition(":")[0].split()[-1] for what in stuffed_ones() if ":" in what}
    assert stuffed_fields - {str(place) for place in range(COUNT)} == {
        *("roster", "configuration", "layout", "metrics", "nonce", "kem", "trunk", "before", "signature", "advertisements", "secret"),
        *("recipients", "group", "digests", "ciphertext", "session", "cohort", "contributions", "confirmation", "secrets", "input"),
        *("bundle", "commitments", "dropped", "own", "shares", "unopened"),
    }


def test_more_than_any_proof_has_is_not_even_read() -> None:
    """As a proof of its own would be that has 8 MiB."""
    first, *others = unequal_one().advertisements
    long = replace(unequal_one(), advertisements=(replace(first, signature=bytes(1 << 23)), *others))
    assert proven(ROSTER, proofs.encode(long)) is None
    with patch.object(proofs, "decode", side_effect=ValueError) as read:
        for length in (proofs.most_bytes(COUNT), proofs.most_bytes(COUNT) + 1):
            assert proven(ROSTER, bytes(length)) is None
    read.assert_called_once_with(bytes(proofs.most_bytes(COUNT)))


def test_seeds_of_its_own_may_be_any_that_the_cohort_has_room_for() -> None:
    """A liar reveals what it likes, and an honest coordinator takes as much of it."""
    wrong = made()["another seed than it committed to"]
    assert isinstance(wrong, WrongSecret)
    longest = replace(wrong, answer=replace(wrong.answer, own=b"x" * 32 * COUNT))
    assert proven(ROSTER, proofs.encode(signed(longest, ROSTER))) == LIAR


@pytest.mark.parametrize("count", [3, 4, 50, 200])
def test_the_largest_proof_that_an_honest_coordinator_makes_has_room(count: int) -> None:
    """At any number of partners, with parameters as long as can be."""
    roster = roster_of(count)
    for proof in (largest_unequal(roster), largest_wrong(roster)):
        assert proven(roster, proofs.encode(proof)) == 1
    most = max(len(proofs.encode(proof)) for proof in (largest_unequal(roster), largest_wrong(roster)))
    assert most <= proofs.most_bytes(count) <= 1.5 * most, "and not for much else"


@cache
def largest_unequal(roster: Roster) -> UnequalContribution:
    """All of them advertised: here one key, which opens nothing of what partner 1 sent."""
    parameters = parameters_for(roster, layout="x" * LONGEST_LAYOUT, metrics=("m" * LONGEST_METRIC,) * MOST_METRICS)
    secret, others = b"s" * 96, tuple(roster.indices())[1:]
    kem = contributions.advertised(secret)
    bodies = [Advertisement(index, kem, b"n" * 32, 0, NO_TRUNK, NO_TRUNK) for index in roster.indices()]
    listed = KeyContributions(1, others, b"g" * 32, hashlib.sha256(bytes(1200)).digest() * len(others), b"")
    advertisements = tuple(SignedAdvertisement(body, b"") for body in bodies)
    return signed(UnequalContribution(parameters, advertisements, DeliveredContribution(listed, bytes(1200)), others[-1], secret), roster)


@cache
def largest_wrong(roster: Roster) -> WrongSecret:
    """The second half of all dropped out, and none of the others' shares open."""
    cohort = tuple(roster.indices())
    survivors, dropped = cohort[: len(cohort) // 2 + 1], cohort[len(cohort) // 2 + 1 :]
    commitments = b"c" * 32 * len(cohort)
    body = Header(1, cohort_digest(cohort), *(b"d" * 32,) * 3, hashlib.sha256(commitments).digest(), 1, b"i" * 32, b"b" * 32)
    shares = bytes(32 * len(survivors) * (1 + len(dropped)))
    answer = UnmaskReply(1, dropped, b"x" * 32 * len(cohort), shares, survivors, b"")
    return signed(WrongSecret(b"s" * 32, 0, cohort, SignedHeader(body, b""), commitments, answer), roster)


def test_what_is_no_proof_proves_nothing() -> None:
    for data in (b"", b"\x00", b"\x04", b"\x01", b"\xff" * 100, *(proofs.encode(proof)[:-1] for proof in made().values())):
        assert proven(ROSTER, data) is None


def unequal_one() -> UnequalContribution:
    proof = made()["another group contribution than it committed to"]
    assert isinstance(proof, UnequalContribution)
    return proof


@pytest.mark.parametrize("recipient", [0, 3, 5])
def test_a_recipient_that_did_not_advertise_or_did_twice(recipient: int) -> None:
    proof = unequal_one()
    without = tuple(each for each in proof.advertisements if each.body.index != recipient)
    assert proven(ROSTER, proofs.encode(replace(proof, recipient=recipient, advertisements=without))) is None
    assert proven(ROSTER, proofs.encode(replace(proof, advertisements=(*proof.advertisements, proof.advertisements[0])))) is None


def test_an_advertisement_that_its_recipient_did_not_sign() -> None:
    """Else whoever makes the proof would choose the key that the ciphertext is to be opened with."""
    proof = unequal_one()
    first, *others = proof.advertisements
    assert proven(ROSTER, proofs.encode(replace(proof, advertisements=(replace(first, signature=others[0].signature), *others)))) is None


def test_another_cohort_than_an_honest_partner_signed() -> None:
    """As large, so that its commitments are about others."""
    roster, cohort, seeds = roster_of(5), (1, 2, 3, 4), {about: bytes([about]) * 32 for about in (3, 1, 2, 4)}
    commitments = b"".join(keys.secret_commitment(b"s" * 32, 0, 3, about, seed) for about, seed in seeds.items())
    body = Header(3, cohort_digest(cohort), *(b"d" * 32,) * 3, hashlib.sha256(commitments).digest(), 1, b"i" * 32, b"b" * 32)
    answer = UnmaskReply(3, (4,), seeds[3] + seeds[4], bytes(32 * 3 * 2), (), b"")
    honest = signed(WrongSecret(b"s" * 32, 0, cohort, SignedHeader(body, b""), commitments, answer), roster)
    for named in (cohort, (1, 3, 4, 5)):
        assert proven(roster, proofs.encode(replace(honest, cohort=named))) is None


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
