"""Vectors of what must be refused, with the error's name, of trunks by their content, and of decoding around wrong shares."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from strategies.secagg import aggregate_check, contributions, keys, participant, shamir, shares, wire
from strategies.secagg.consistency_messages import UnmaskReply
from strategies.secagg.decoding import decode
from strategies.secagg.errors import SecAggError
from strategies.secagg.messages import DeliveredContribution, KeyContributions
from strategies.secagg.proofs import own_secrets
from strategies.update.shared_trunk import SharedTrunk, content_digest
from strategies.update.velocity import Velocity
from tests.strategies.secagg.vector_cases import COHORT, ROSTER, SECRET, SESSION, TRUNK, Case, examples, pattern, plain

THRESHOLD = 4


def error_of(call: Any, *arguments: Any) -> str:
    """The name of the error with which a call ends; empty if it does not."""
    try:
        call(*arguments)
    except SecAggError as error:
        return type(error).__name__
    return ""


def decoding_cases() -> Iterator[Case]:
    """Shares of one secret: who of the holders is wrong, and the secret, or the error; `secret` is what a hash says is right."""
    secret = int.from_bytes(pattern(32, 7), "big")
    fixed = {point: shamir.field_element(pattern(48, point)) for point in range(1, THRESHOLD)}
    others = shamir.deal([secret], {point: [share] for point, share in fixed.items()}, range(THRESHOLD, 9))
    dealt = fixed | {point: share for point, (share,) in others.items()}
    for wrong in ((), (2,), (1, 8), (3, 5, 6), (1, 2, 3, 4), (1, 2, 3, 4, 5)):
        held = {point: (share + point * (point in wrong)) % shamir.PRIME for point, share in dealt.items()}
        yield decoding_case(held, secret)
    yield decoding_case({point: dealt[point] for point in (2, 5, 8)}, secret)


def decoding_case(held: dict[int, int], secret: int) -> Case:
    given = {"threshold": THRESHOLD, "shares": {point: shamir.to_bytes(share) for point, share in held.items()}}
    error = error_of(decode, held, THRESHOLD, secret.__eq__)
    if error:
        return plain({**given, "secret": shamir.to_bytes(secret), "error": error})
    found = decode(held, THRESHOLD, secret.__eq__)
    return plain({**given, "secret": shamir.to_bytes(found.secret), "wrong": found.wrong})


def trunk_cases() -> Iterator[Case]:
    """A trunk by its parts, its name, and its bytes as a handover brings them; then other bytes under the same name."""
    first = np.arange(8, dtype=np.float32).reshape(4, 2)
    first[1] = 0
    velocity = Velocity(np.array([True, False, True, True]), np.linspace(-1, 1, 8, dtype=np.float32))
    arrays, found = [first, np.array([0.5, -0.0], dtype=np.float32)], {"round": 3, "clipped": 2, "largest": 0.25}
    rows = np.array([True, False, True, True])
    bare = SharedTrunk(arrays, 3, bytes(32), 0.125, rows, SESSION, found, velocity, before=COHORT)
    named = bare.named(keys.trunk_blind(SECRET, 7))
    yield trunk_case(named, "as partners have it")
    yield trunk_case(SharedTrunk(arrays, 0, bytes(32), 0.5, rows, SESSION).named(keys.trunk_blind(SECRET, None)), "a first one")
    yield trunk_case(named.with_rows(~rows, SESSION), "another row list, of which the name says nothing")
    other = [first + np.float32(1), arrays[1]]
    changes: dict[str, dict[str, Any]] = {
        "other weights": {"arrays": other},
        "a zero with another sign": {"arrays": [first, np.array([0.5, 0.0], dtype=np.float32)]},
        "another version": {"version": 4},
        "another range": {"value_range": 0.25},
        "other findings": {"found": found | {"clipped": 3}},
        "another velocity": {"velocity": Velocity(velocity.rows, -velocity.values)},
        "another trunk before": {"before": TRUNK},
        "another blind": {"blind": keys.trunk_blind(SECRET, 8)},
        "no blind": {"blind": b""},
        "another name": {"name": TRUNK},
    }
    for why, changed in changes.items():
        yield trunk_case(replace(named, **changed), why)


def trunk_case(trunk: SharedTrunk, why: str) -> Case:
    """The content's digest, and the arrays in the order and form in which they are hashed."""
    data, compact = trunk.to_bytes(), trunk._compact()
    hashed = {
        name: {"type": compact[name].dtype.str, "shape": compact[name].shape, "bytes": compact[name].tobytes()}
        for name in sorted(set(compact) - {"rows"})
    }
    about = {"range": trunk.value_range, "found": json.dumps(trunk.found, sort_keys=True), "version": trunk.version}
    names = {"blind": trunk.blind, "before": trunk.before, "name": trunk.name, "rows": trunk.rows_digest}
    content = content_digest(compact, trunk.value_range, trunk.found)
    return plain(
        {"why": why, **about, **names, "arrays": hashed, "content": content, "bytes": data, "error": error_of(SharedTrunk.from_bytes, data)}
    )


def refused_cases() -> Iterator[Case]:
    yield from refused_set_up()
    yield from refused_seeds()
    values, key = np.arange(-4, 4, dtype="<i4"), SECRET
    tag = aggregate_check.tag(values, key)
    for claimed in (tag, tag + aggregate_check.PRIME, tag + 1):
        error = error_of(aggregate_check.verify, values, key, claimed)
        yield plain({"function": "aggregate_check.verify", "values": values.tolist(), "key": key, "claimed": claimed, "error": error})


def refused_set_up() -> Iterator[Case]:
    """A proposal, a key, and a contribution."""
    request = wire.encode(examples()[0])
    for why, data in {
        "of this version": request,
        "of version 1, which began with the length of the roster's digest": request[4:],
        "of a later version": (3).to_bytes(4, "big") + request[4:],
    }.items():
        yield plain({"function": "check_protocol", "why": why, "bytes": data, "error": error_of(participant.check_protocol, data)})
    secret = pattern(96, 5)
    kem, key = contributions.advertised(secret), contributions.private_key(secret)
    for why, advertised in {
        "honest": kem,
        "no lattice point": b"\xff" * 1184 + kem[1184:],
        "no curve point": kem[:1184] + bytes(32),
    }.items():
        error = "" if contributions.usable(advertised) else "UnusableKeyError"
        yield plain({"function": "usable", "why": why, "secret": secret, "kem": advertised, "error": error})
    for ciphertext in (pattern(1200, 1), pattern(1200, 3)):
        listed = KeyContributions(3, (2,), ROSTER, bytes(32), b"")
        error = error_of(contributions.opened, key, SESSION, 2, DeliveredContribution(listed, ciphertext))
        yield plain(
            {"function": "opened", "secret": secret, "session": SESSION, "recipient": 2, "contributions": listed, "ciphertext": ciphertext}
            | {"error": error}
        )


def refused_seeds() -> Iterator[Case]:
    """Sealed shares, and what a partner reveals of its own."""
    sealed = shares.seal([SECRET, TRUNK], COHORT, SESSION)
    for why, ciphertext, count in (
        ("honest", sealed, 2),
        ("one bit", sealed[:-1] + bytes([sealed[-1] ^ 1]), 2),
        ("cut off", sealed[:15], 2),
        ("another number", sealed, 3),
    ):
        error = error_of(shares.open_sealed, ciphertext, COHORT, SESSION, count, 3)
        yield plain(
            {
                "function": "open_sealed",
                "why": why,
                "ciphertext": ciphertext,
                "key": COHORT,
                "context": SESSION,
                "count": count,
                "error": error,
            }
        )
    seeds = {2: SECRET, 1: COHORT, 3: TRUNK}
    committed = b"".join(keys.secret_commitment(SESSION, 7, 2, about, seed) for about, seed in seeds.items())
    for why, dropped, own in (
        ("honest", (3,), SECRET + TRUNK),
        ("another seed", (3,), SECRET + COHORT),
        ("a seed too few", (3,), SECRET),
        ("nobody dropped out", (), SECRET),
    ):
        answer = UnmaskReply(2, dropped, own, b"", (), b"")
        error = error_of(own_secrets, SESSION, 7, (1, 2, 3), committed, answer)
        yield plain(
            {"function": "own_secrets", "why": why, "session": SESSION, "number": 7, "cohort": (1, 2, 3), "commitments": committed}
            | {"answer": answer, "error": error}
        )


def files() -> dict[str, Iterator[Case]]:
    """File name to its cases."""
    return {"decoding": decoding_cases(), "trunks": trunk_cases(), "refused": refused_cases()}
