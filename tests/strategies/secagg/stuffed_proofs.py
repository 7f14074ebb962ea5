"""Proofs with something in them that no proof has room for, each signed by whomever it names, as partners sign that work together."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from hashlib import sha256
from typing import Any, TypeVar

from strategies.secagg import shamir, verification
from strategies.secagg.messages import (
    LONGEST_LAYOUT,
    LONGEST_METRIC,
    MOST_METRICS,
    DeliveredContribution,
    SessionParameters,
    SignedAdvertisement,
    cohort_digest,
)
from strategies.secagg.proofs import Proof, UnequalContribution, UnusableKey, WrongSecret
from strategies.secagg.roster import Roster
from tests.strategies.secagg.misbehaving import unchecked
from tests.strategies.secagg.parties import identities

NOBODY = 999
Place = tuple[str | int, ...]
P = TypeVar("P", bound=Proof)


# By what is stuffed


def stuffed(proof: Proof, roster: Roster) -> dict[str, Proof]:
    """By what is stuffed where; each proves nothing, and the proof itself, `signed` as these are, what it is to prove."""
    made = {f"{' '.join(map(str, place))}: {how}": lengthened(proof, place, more, roster) for place, how, more in lengthenings(proof)}
    for what, each in by_hand(proof, roster):
        made[what] = signed(each, roster)
    return made


def lengthenings(proof: Proof) -> Iterator[tuple[Place, str, Any]]:
    """Every place that has a length, and what is put behind what is there: as little as one, but where there is honest room for more."""
    room = {
        "layout": "x" * LONGEST_LAYOUT,
        "metrics": tuple(f"m{place}" for place in range(MOST_METRICS)),
        "own": bytes(shamir.SHARE_BYTES * len(proof.cohort)) if isinstance(proof, WrongSecret) else b"",
    }
    for place, held in places(proof):
        name = place[-1]
        if name in room:
            yield place, "too much", room[str(name)]
        elif isinstance(held, bytes):
            yield place, "a byte more", b"x"
        elif isinstance(held, str):
            yield place, "too long", "x" * LONGEST_METRIC
        elif held:
            yield place, "the last once more", held[-1:]
        else:
            yield place, "nobody", (NOBODY,)


def places(value: Any, way: Place = ()) -> Iterator[tuple[Place, Any]]:
    """All bytes, texts and lists in a message, with the way to each."""
    if isinstance(value, bytes | str | tuple):
        yield way, value
    if is_dataclass(value):
        for each in fields(value):
            yield from places(getattr(value, each.name), (*way, each.name))
    if isinstance(value, tuple):
        for place, item in enumerate(value):
            yield from places(item, (*way, place))


def lengthened(proof: Proof, place: Place, more: Any, roster: Roster) -> Proof:
    """More behind what is at a place: signed with it, or behind the signature that is there."""
    if place[-1] == "signature":
        return put(proof, place, more)
    return signed(put(proof, place, more), roster)


def put(value: Any, place: Place, more: Any) -> Any:
    """A message with more at a place, though it could not be made."""
    if not place:
        return value + more
    first, *rest = place
    if isinstance(value, tuple):
        assert isinstance(first, int)
        return (*value[:first], put(value[first], tuple(rest), more), *value[first + 1 :])
    held = {each.name: getattr(value, each.name) for each in fields(value)}
    return unchecked(type(value), **(held | {str(first): put(held[str(first)], tuple(rest), more)}))


# By what fits together otherwise


def by_hand(proof: Proof, roster: Roster) -> Iterator[tuple[str, Proof]]:
    """Stuffing all of whose parts have the lengths that follow from each other."""
    if isinstance(proof, UnusableKey):
        yield "another roster's parameters", replace(proof, parameters=replace(proof.parameters, roster=b"x" * 32))
    if isinstance(proof, UnequalContribution):
        yield from of_advertisements(proof)
        yield from of_recipients(proof)
    if isinstance(proof, WrongSecret):
        yield from of_cohorts(proof, roster)
        yield from of_answers(proof)


def of_advertisements(proof: UnequalContribution) -> Iterator[tuple[str, Proof]]:
    """One too many, or others than its sender and all its recipients."""
    held = proof.advertisements
    nobody = SignedAdvertisement(replace(held[0].body, index=NOBODY), b"x" * 100)
    yield "an advertisement of nobody with a long signature", replace(proof, advertisements=(*held, nobody))
    yield "an advertisement of nobody", recipients_as_advertised(replace(proof, advertisements=(*held, replace(nobody, signature=b""))))
    yield "advertisements that descend", replace(proof, advertisements=held[::-1])
    yield "an advertisement twice", recipients_as_advertised(replace(proof, advertisements=(*held, held[-1])))
    theirs = tuple(each for each in held if each.body.index != proof.accused)
    yield "a sender that did not advertise", replace(proof, advertisements=theirs)
    unused = tuple(each for each in held if each.body.index != proof.recipient)
    yield "a recipient that did not advertise", replace(proof, advertisements=unused)
    yield "another roster's parameters", replace(proof, parameters=replace(proof.parameters, roster=b"x" * 32))


def of_recipients(proof: UnequalContribution) -> Iterator[tuple[str, Proof]]:
    listed = proof.delivered.contributions.recipients
    yield "recipients that descend", listing(proof, listed[::-1])
    yield "a recipient that is nobody", listing(proof, (*listed, NOBODY))
    yield "a recipient twice", listing(proof, (*listed, listed[-1]))
    yield "the sender among the recipients", listing(proof, tuple(sorted((*listed, proof.accused))))
    yield "one recipient alone", listing(proof, (proof.recipient,))
    (kem,) = (each.body.kem for each in proof.advertisements if each.body.index == proof.recipient)
    own = tuple(replace(each, body=replace(each.body, kem=kem)) for each in proof.advertisements if each.body.index == proof.accused)
    yield "what its sender encrypted for itself", replace(listing(proof, (proof.accused,)), recipient=proof.accused, advertisements=own)


def recipients_as_advertised(proof: UnequalContribution) -> UnequalContribution:
    return listing(proof, tuple(each.body.index for each in proof.advertisements if each.body.index != proof.accused))


def listing(proof: UnequalContribution, recipients: tuple[int, ...]) -> UnequalContribution:
    """The same ciphertext in a list of other recipients."""
    digests = sha256(proof.delivered.ciphertext).digest() * len(recipients)
    listed = replace(proof.delivered.contributions, recipients=recipients, digests=digests)
    return replace(proof, delivered=DeliveredContribution(listed, proof.delivered.ciphertext))


def of_cohorts(proof: WrongSecret, roster: Roster) -> Iterator[tuple[str, Proof]]:
    """Others than partners of the roster, ascending, the accused among them."""
    for what, cohort in {
        "nobody in the cohort": (*proof.cohort, NOBODY),
        "number 0 in the cohort": (0, *proof.cohort),
        "one more than there are": (*proof.cohort, len(roster.members) + 1),
        "somebody in the cohort twice": (*proof.cohort, proof.cohort[-1]),
        "a cohort that descends": proof.cohort[::-1],
        "a cohort without the accused": tuple(index for index in proof.cohort if index != proof.accused),
    }.items():
        yield what, fitting(proof, cohort, proof.answer.dropped)
    for what, commitments in {"no commitments": b"", "a commitment too many": proof.commitments + bytes(32)}.items():
        yield what, committed(proof, commitments)


def of_answers(proof: WrongSecret) -> Iterator[tuple[str, Proof]]:
    """Others dropped, or other dealers that do not open, than can be; shares and seeds of other lengths than these call for."""
    dropped, survivors = proof.answer.dropped, tuple(index for index in proof.cohort if index not in proof.answer.dropped)
    for what, named in {
        "nobody dropped out": (*dropped, NOBODY),
        "somebody dropped out twice": (*dropped, *dropped),
        "the accused dropped out": tuple(sorted((*dropped, proof.accused))),
        "dropped ones that descend": (*dropped, survivors[0]),
    }.items():
        yield what, fitting(proof, proof.cohort, named)
    for what, unopened in {
        "nobody's shares do not open": (NOBODY,),
        "a dropped one's shares do not open": dropped,
        "shares that do not open twice": (survivors[0], survivors[0]),
        "unopened ones that descend": survivors[::-1],
    }.items():
        yield what, replace(proof, answer=replace(proof.answer, unopened=unopened))
    yield "no shares", replace(proof, answer=replace(proof.answer, shares=b""))
    longest = shamir.SHARE_BYTES * len(proof.cohort)
    yield "more seeds than the cohort has", replace(proof, answer=replace(proof.answer, own=b"x" * (longest + 1)))


def fitting(proof: WrongSecret, cohort: tuple[int, ...], dropped: tuple[int, ...]) -> WrongSecret:
    """The proof of another cohort or of others that dropped out, with commitments and shares of the lengths for that."""
    survivors = [index for index in cohort if index not in dropped]
    shares = b"s" * shamir.SHARE_BYTES * len(survivors) * (1 + len(dropped))
    made = committed(proof, b"c" * 32 * len(cohort))
    body = replace(made.header.body, cohort=cohort_digest(cohort))
    answer = replace(made.answer, dropped=dropped, shares=shares)
    return replace(made, cohort=cohort, header=replace(made.header, body=body), answer=answer)


def committed(proof: WrongSecret, commitments: bytes) -> WrongSecret:
    body = replace(proof.header.body, secrets=sha256(commitments).digest())
    return replace(proof, header=replace(proof.header, body=body), commitments=commitments)


# Signatures


def signed(proof: P, roster: Roster) -> P:
    """The proof signed by all whom it names, with the digests that follow."""
    if isinstance(proof, UnusableKey):
        return put_in(proof, advertisement=advertisement(proof.parameters, proof.advertisement))
    if isinstance(proof, UnequalContribution):
        advertisements = tuple(advertisement(proof.parameters, each) for each in proof.advertisements)
        session, listed = verification.session_id(proof.parameters, advertisements), proof.delivered.contributions
        signature = by(listed.sender, verification.contributions_message(roster, session, listed), listed.signature)
        delivered = put_in(proof.delivered, contributions=put_in(listed, signature=signature))
        return put_in(proof, advertisements=advertisements, delivered=delivered)
    body, answer = proof.header.body, proof.answer
    header_message = verification.header_message(roster, proof.session, proof.number, body)
    header = put_in(proof.header, signature=by(body.index, header_message, proof.header.signature))
    answer_message = verification.answer_message(roster, proof.session, proof.number, answer)
    return put_in(proof, header=header, answer=put_in(answer, signature=by(answer.index, answer_message, answer.signature)))


def advertisement(parameters: SessionParameters, held: SignedAdvertisement) -> SignedAdvertisement:
    return put_in(held, signature=by(held.body.index, verification.advertisement_message(parameters, held.body), held.signature))


def by(index: int, message: bytes, otherwise: bytes) -> bytes:
    """A partner's signature; of nobody, what is there."""
    return identities(index)[index - 1].sign(message) if index != NOBODY else otherwise


def put_in(value: Any, **changes: object) -> Any:
    """`replace` of what could not be made."""
    return unchecked(type(value), **({each.name: getattr(value, each.name) for each in fields(value)} | changes))
