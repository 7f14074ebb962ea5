"""Vectors that involve chance, recorded once of real parties: proofs and what proves nothing, transcripts, and a whole session."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from strategies.secagg import keys, proofs, wire
from strategies.secagg.consistency_messages import UnmaskReply
from strategies.secagg.messages import NO_TRUNK, LastRound, SignedAdvertisement
from strategies.secagg.phases import Step
from strategies.secagg.proofs import UnequalContribution, UnusableKey, WrongSecret
from strategies.secagg.transcript import Entry, Fact, append, read
from tests.strategies.secagg.misbehaving import NO_CURVE_POINT, NO_LATTICE_POINT, advertising, answering, contributing, sealing, unusable
from tests.strategies.secagg.parties import CONTENT, Parties, roster_of
from tests.strategies.secagg.refused_vectors import error_of
from tests.strategies.secagg.stuffed_proofs import by_hand, signed
from tests.strategies.secagg.vector_cases import Case, plain

COUNT, LIAR, OTHER, GONE = 4, 3, 1, 4


# Proofs


def proof_cases() -> Iterator[Case]:
    """The roster first; then proofs, `accused` is null where they prove nothing; then such as have something else in them."""
    roster = roster_of(COUNT)
    yield plain({"roster": wire.encode(roster), "digest": roster.digest()})
    made: dict[str, proofs.Proof] = {**unusable_keys(), **unequal_contributions(), **wrong_secrets()}
    for base in (made["another group contribution than it committed to"], made["another seed than it committed to"]):
        made |= {why: signed(proof, roster) for why, proof in by_hand(base, roster)}
    for why, proof in made.items():
        data = proofs.encode(proof)
        yield plain({"proof": type(proof).__name__, "why": why, "bytes": data, "accused": proofs.proven(roster, data)})


def unusable_keys() -> dict[str, proofs.Proof]:
    made: dict[str, proofs.Proof] = {}
    parties = Parties(roster_of(COUNT))
    parameters, partner = parties.coordinator.parameters, parties.partner(LIAR)
    honest = parties.sites[LIAR].answer(Step.ADVERTISE_KEYS, parties.coordinator.advertise_request())
    body = wire.decode(SignedAdvertisement, honest).body
    for kind in (NO_LATTICE_POINT, NO_CURVE_POINT):
        signed = wire.decode(SignedAdvertisement, advertising(partner, parameters, honest, kem=unusable(body.kem, kind)))
        made[f"a key that is {kind}"] = UnusableKey(parameters, signed)
    made["a key that can be used"] = UnusableKey(parameters, wire.decode(SignedAdvertisement, honest))
    made["another session's parameters than were signed"] = UnusableKey(replace(parameters, nonce=b"x" * 32), signed)
    made["in another partner's name"] = UnusableKey(parameters, replace(signed, body=replace(signed.body, index=OTHER)))
    return made


def unequal_contributions() -> dict[str, proofs.Proof]:
    proof = unequal()
    honest = unequal(None)
    first, *others = proof.advertisements
    renamed = replace(first, body=replace(first.body, nonce=b"x" * 32))
    return {
        "another group contribution than it committed to": proof,
        "an honest one": honest,
        "not the secret of the recipient's key": replace(proof, secret=proof.secret[::-1]),
        "another recipient": replace(proof, recipient=2),
        "another session's advertisements": replace(proof, advertisements=(renamed, *others)),
        "a ciphertext that an honest sender did not sign": replace(honest, delivered=replace(honest.delivered, ciphertext=b"x" * 1200)),
        "another ciphertext than was signed": replace(proof, delivered=replace(proof.delivered, ciphertext=honest.delivered.ciphertext)),
    }


def unequal(other: bytes | None = b"x" * 32) -> UnequalContribution:
    """Partner 3 encrypts another group contribution for partner 1 than it commits to; or the same one, with None."""
    parties = Parties(roster_of(COUNT))
    request = parties.coordinator.advertise_request()
    for site in parties.sites.values():
        parties.coordinator.add_advertisement(site.answer(Step.ADVERTISE_KEYS, request))
    request = parties.coordinator.share_keys_request()
    for index, site in parties.sites.items():
        reply = site.answer(Step.SHARE_KEYS, request)
        if index == LIAR and other is not None:
            session, advertised = parties.coordinator.session, parties.coordinator.advertisements.values()
            reply = contributing(site.participant, reply, sealing(session, LIAR, advertised, other), {OTHER})
        parties.coordinator.add_contributions(index, reply)
    shared = parties.partner(OTHER).state.shared
    assert shared is not None
    ordered = tuple(parties.coordinator.advertisements[index] for index in sorted(parties.coordinator.advertisements))
    delivered = parties.coordinator._contribution(parties.coordinator.contributions[LIAR], OTHER)
    return UnequalContribution(parties.coordinator.parameters, ordered, delivered, OTHER, shared.secret)


def wrong_secrets() -> dict[str, proofs.Proof]:
    """Partner 4 dropped out, so that each survivor reveals two seeds of its own."""
    parties = Parties(roster_of(COUNT))
    parties.set_up()
    parties.up = lambda step, index, reply: None if (step, index) == (Step.COLLECT, GONE) else reply
    collection = parties.collect(0, {index: np.arange(4) for index in parties.sites})
    parties.agree(collection)
    session, partner = parties.coordinator.session, parties.partner(LIAR)

    def said(index: int) -> bytes:
        return parties.sites[index].answer(Step.UNMASK, collection.unmask_request(index))

    def lied(**changes: object) -> UnmaskReply:
        return wire.decode(UnmaskReply, answering(partner, said(LIAR), **changes))

    def proof(index: int, answer: UnmaskReply) -> WrongSecret:
        return WrongSecret(session, 0, collection.cohort, collection.inputs[index].header, collection.inputs[index].commitments, answer)

    wrong, honest = proof(LIAR, lied(own=b"x" * 64)), proof(LIAR, wire.decode(UnmaskReply, said(LIAR)))
    other, made_up = proof(OTHER, wire.decode(UnmaskReply, said(OTHER))), bytes(32 * COUNT)
    body = replace(honest.header.body, secrets=hashlib.sha256(made_up).digest())
    return {
        "another seed than it committed to": wrong,
        "no seed of its own": replace(wrong, answer=lied(own=b"")),
        "a seed about somebody who was not asked": replace(wrong, answer=lied(dropped=(9,))),
        "an honest answer": honest,
        "commitments that it did not sign": replace(honest, commitments=made_up),
        "commitments under a header that it did not sign": replace(honest, header=replace(honest.header, body=body), commitments=made_up),
        "an answer that it did not sign": replace(honest, answer=replace(honest.answer, own=b"x" * 64)),
        "another round than was signed": replace(wrong, number=1),
        "another session than was signed": replace(wrong, session=b"x" * 32),
        "another cohort than was signed": replace(honest, cohort=(1, 4, 2, 3)),
        "another partner's header": replace(honest, header=other.header, commitments=other.commitments),
        "an answer in another partner's name": replace(wrong, answer=replace(wrong.answer, index=OTHER)),
    }


# A session


def session_cases() -> Iterator[Case]:
    """Every message of a session with one round, and of who is behind; then what follows from it."""
    parties, log = Parties(roster_of(4)), list[Case]()
    for index, site in parties.sites.items():
        site.values, site.shown = np.array([index, -index, 2**28, 0]), np.array([10 * index])
    listen(parties, log)
    parties.set_up()
    collection = parties.collect(
        0, {index: site.values for index, site in parties.sites.items()}, {i: s.shown for i, s in parties.sites.items()}
    )
    parties.agree(collection)
    blinded, public = parties.reveal(collection)
    last = LastRound(0, collection.survivors, False)
    request = parties.coordinator.finish_request(1, 1, last)
    parties.exchange(Step.FINISH, 1, request, blinded)
    yield plain({"roster": wire.encode(parties.roster), "parameters": parties.coordinator.parameters})
    yield from log
    yield from outcome(parties, blinded, public, collection.survivors)


def listen(parties: Parties, log: list[Case]) -> None:
    """Write down what passes; the masked input of partner 4 gets lost."""

    def down(step: Step, index: int, request: bytes) -> bytes:
        if request.hex() not in [each.get("request") for each in log]:  # what everybody is asked alike once
            log.append(plain({"step": step.value, "partner": index, "request": request}))
        return request

    def up(step: Step, index: int, reply: bytes) -> bytes | None:
        words = parties.sites[index].words if step is Step.COLLECT else np.zeros(0, dtype="<u4")
        arrives = (step, index) != (Step.COLLECT, 4)
        log.append(plain({"step": step.value, "partner": index, "reply": reply, "words": words.tobytes(), "arrives": arrives}))
        return reply if arrives else None

    parties.down, parties.up = down, up


def outcome(parties: Parties, blinded: np.ndarray, public: np.ndarray, survivors: tuple[int, ...]) -> Iterator[Case]:
    site = parties.sites[1]
    session = site.participant.session
    first = keys.trunk_name(site.participant.trunk_blind(None), 0, CONTENT, NO_TRUNK)
    yield plain(
        {
            "session": parties.coordinator.session,
            "group_key": session.group,
            "pair_keys_of_1": session.pairs,
            "contributions": session.contributions,
            "survivors": survivors,
            "masked_sum": blinded.tobytes(),
            "public_sum": public.tolist(),
            "decoded": site.decoded.tolist(),
            "first_trunk": first,
            "basis": site.participant.basis(first, b""),
        }
    )


# Transcripts


def transcript_cases() -> Iterator[Case]:
    """Whole ones and broken ones, each with the error of reading it."""
    roster = roster_of(COUNT)
    yield plain({"roster": wire.encode(roster)})
    member, lines = roster.members[0], list[str]()
    entry: Entry | None = None
    proof = proofs.encode(unusable_keys()[f"a key that is {NO_CURVE_POINT}"])
    for place, (phase, facts, refused) in enumerate(
        [
            (Step.ADVERTISE_KEYS, (Fact("parameters", b"p" * 32),), ""),
            (Step.SHARE_KEYS, (Fact("advertisements", b"a" * 32),), ""),
            (Step.COLLECT, (Fact("cohort", b"c" * 32), Fact(f"proof against partner {LIAR}", proof)), ""),
            (Step.CONSISTENCY, (Fact("survivors", b"s" * 32),), "TrunkMismatchError"),
        ]
    ):
        received, sent = bytes([place]) * 32, b"" if refused else b"r" * 32
        entry, line = append(
            entry, Parties(roster).partner(1).identity, roster.digest(), b"s" * 32, 0, phase.value, facts, received, sent, refused
        )
        lines.append(line)
    for why, held in {
        "whole": lines,
        "cut off at its end": lines[:2],
        "a line taken out": [lines[0], *lines[2:]],
        "two lines exchanged": [lines[0], lines[2], lines[1], lines[3]],
        "an altered digest": [lines[0].replace("00" * 32, "01" * 32, 1), *lines[1:]],
        "another spelling of the same": [lines[0].replace(", ", ",", 1), *lines[1:]],
        "another error": [*lines[:3], lines[3].replace("TrunkMismatchError", "")],
        "no signature": [*lines[:3], lines[3].partition(', "signature"')[0] + "}"],
    }.items():
        yield plain({"why": why, "partner": member.index, "lines": held, "error": error_of(read, held, member, roster.digest())})


def files() -> dict[str, Callable[[], Iterator[Case]]]:
    """File name to what records it."""
    return {"proofs.json": proof_cases, "session.json": session_cases, "transcripts.json": transcript_cases}
