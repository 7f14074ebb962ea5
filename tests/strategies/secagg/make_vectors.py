"""Writes `vectors/`: what every implementation of the protocol must compute, for all parts that involve no chance.

python -m tests.strategies.secagg.make_vectors
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from strategies.secagg import aggregate_check, consistency_messages, digits, keys, messages, shamir, shares, wire
from strategies.secagg.identity import KEY_BYTES, PublicIdentity
from strategies.secagg.keystream import DTYPES, add_streams, keystream
from strategies.secagg.roster import Member, Roster
from strategies.secagg.slot_order import slot_order
from strategies.secagg.state import State
from strategies.secagg.verification import session_id

FOLDER = Path(__file__).parent / "vectors"
Case = dict[str, Any]


def pattern(length: int, start: int) -> bytes:
    """Bytes that count upwards, so that every field differs."""
    return bytes((start + place) % 256 for place in range(length))


SECRET, SESSION, COHORT, TRUNK, ROSTER = (pattern(32, start) for start in (0, 32, 64, 96, 128))


def plain(value: Any) -> Any:
    """A value as JSON shows it: bytes in hex, messages by field."""
    if isinstance(value, bytes):
        return value.hex()
    if is_dataclass(value):
        return {each.name: plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, dict):
        return {str(name): plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return value


def case(function: Callable[..., Any], *arguments: Any, **named: Any) -> Case:
    """What a function makes of its arguments."""
    return plain({"function": function.__name__, "arguments": [*arguments, *named.values()], "result": function(*arguments, **named)})


def key_cases() -> Iterator[Case]:
    yield case(keys.tag, "Unmasking", ROSTER, SESSION, 258)
    parts, length = (7, b"part"), 48
    result = keys.derive(SECRET, SESSION, "label", parts, length)
    yield plain({"function": "derive", "arguments": [SECRET, SESSION, "label", *parts, length], "result": result})
    yield case(keys.pair_key, SECRET, TRUNK, SESSION, 2, 5)
    yield case(keys.group_key, {3: SECRET, 1: COHORT, 2: TRUNK}, SESSION)
    yield case(keys.pairwise_seed, SECRET, 7, COHORT, TRUNK)
    yield case(keys.group_seed, SECRET, 7, 3)
    yield case(keys.share_key, SECRET, 7, 3, 5, COHORT)
    yield case(keys.confirmation, SECRET, SESSION, 7, 3)
    yield case(keys.next_trunk, SECRET, TRUNK, 7, COHORT)
    yield case(keys.trunk_name, SECRET, COHORT)
    yield case(keys.check_key, SECRET, 7, TRUNK)
    yield case(keys.slot_key, SECRET, 7)
    yield case(keys.initial_seed, SECRET)
    yield case(keys.handover_key, SECRET, 3, TRUNK)
    yield case(keys.public_seed, SECRET)
    fixed = [shamir.to_bytes(share) for share in keys.fixed_shares(SECRET, 7, 3, 5, COHORT, 3)]
    yield plain({"function": "fixed_shares", "arguments": [SECRET, 7, 3, 5, COHORT, 3], "result": fixed})


def stream_cases() -> Iterator[Case]:
    yield case(keystream, SECRET, 80)
    for bits in (32, 16):
        words = np.arange(9, dtype=DTYPES[bits])
        add_streams(words, [SECRET, TRUNK], [COHORT])
        yield plain({"word_bits": bits, "words": list(range(9)), "plus": [SECRET, TRUNK], "minus": [COHORT], "result": words.tolist()})


def order_cases() -> Iterator[Case]:
    for number, slots in ((1, 5), (2, 5), (1, 12), (1, 0)):
        yield plain({"function": "slot_order", "arguments": [SECRET, number, slots], "result": slot_order(SECRET, number, slots).tolist()})


def check_cases() -> Iterator[Case]:
    extremes = {"<i4": [-(2**31), 2**31 - 1, 0, 1, -1], "<i2": [-(2**15), 2**15 - 1, 0, 1, -1]}
    for dtype, values in extremes.items():
        yield {"key": SECRET.hex(), "values": values, "times": 1, "tag": aggregate_check.tag(np.array(values, dtype=dtype), SECRET)}
        yield {
            "key": SECRET.hex(),
            "values": values,
            "times": 1000,
            "tag": aggregate_check.tag(np.tile(np.array(values, dtype=dtype), 1000), SECRET),
        }
    for bits, partners in ((32, 3), (32, 50), (16, 3), (16, 50)):
        yield case(digits.split, aggregate_check.PRIME - 5, aggregate_check.TAG_BITS, bits, partners)


def share_cases() -> Iterator[Case]:
    fixed = {3: shamir.field_element(pattern(48, 1)), 4: shamir.field_element(pattern(48, 2))}
    dealt = shamir.deal([int.from_bytes(SECRET, "big")], {point: [share] for point, share in fixed.items()}, (1, 2, 5))
    element = {**{point: shamir.to_bytes(share) for point, share in fixed.items()}}
    result = {point: shamir.to_bytes(share) for point, (share,) in dealt.items()}
    yield plain({"function": "deal", "secret": SECRET, "fixed": element, "result": result})
    for cohort, threshold in (((1, 2, 3), 2), ((1, 3, 4, 6, 7), 4)):
        for dealer in cohort:
            names = shares.secrets_of(dealer, cohort)
            derived, sent = shares.derived_by(dealer, cohort, threshold), shares.sent_to(dealer, cohort, threshold)
            held = {"ring": shares.ring(dealer, cohort), "derived_by": derived, "sent_to": sent, "secrets_of": names}
            yield plain({"dealer": dealer, "cohort": cohort, "threshold": threshold, **held})
    cohort = (1, 3, 4, 6)
    seeds = {index: shares.seed_bytes(pattern(48, index)) for index in cohort}
    bundle = shares.deal(3, cohort, 3, seeds, lambda holder: keys.fixed_shares(pattern(32, holder), 7, 3, holder, COHORT, 4))
    yield plain({"function": "shares.deal", "dealer": 3, "cohort": cohort, "threshold": 3, "seeds": seeds, "result": bundle})
    yield case(shares.seal, bundle[1], SECRET, SESSION)


def examples() -> list[Any]:
    """One of each message."""
    parameters = messages.SessionParameters(ROSTER, COHORT, "4x2,2", 32, 10, 3, 100, ("loss", "größe"), SESSION)
    advertisement = messages.SignedAdvertisement(messages.Advertisement(2, pattern(1216, 0), SECRET, 3, TRUNK), b"signature")
    listed = messages.KeyContributions(2, (1, 3), SECRET + TRUNK, b"signature")
    delivered = messages.DeliveredContribution(listed, b"ciphertext")
    last, handed = messages.LastRound(6, (1, 2, 3), False), messages.Handover(2, TRUNK, SECRET, b"signature")
    header = messages.SignedHeader(messages.Header(2, COHORT, TRUNK, SECRET, 7, SESSION, ROSTER), b"signature")
    signature = consistency_messages.SurvivorsSignature(2, SECRET, b"signature")
    return [
        parameters,
        advertisement,
        messages.ShareKeysRequest((advertisement,)),
        messages.ShareKeysReply(listed, (b"one", b"")),
        messages.CollectRequest(SESSION, 7, (1, 2, 3), True, 4, (delivered,), last, None),
        messages.CollectRequest(SESSION, 7, (1, 2, 3), False, 4, (), None, handed),
        messages.MaskedInput(header, (b"one", b"two"), b"public"),
        messages.Holding(2, 4),
        consistency_messages.ConsistencyRequest(SESSION, 7, (1, 2), (3,), (header,)),
        signature,
        consistency_messages.UnmaskRequest(SESSION, 7, (signature,), (consistency_messages.SealedShares(1, b"ciphertext"),)),
        consistency_messages.UnmaskReply(2, SECRET + TRUNK),
        messages.FinishRequest(SESSION, 4, (), last, handed),
        messages.HandoverRequest(SESSION, (delivered,)),
        handed,
        State(),
    ]


def message_cases() -> Iterator[Case]:
    for example in examples():
        yield plain({"message": type(example).__name__, "fields": example, "bytes": wire.encode(example)})


def reply_cases() -> Iterator[Case]:
    """One of each kind of reply to a `CollectRequest`, behind its tag."""
    for reply in examples():
        if isinstance(reply, messages.COLLECT_REPLIES):
            yield plain({"message": type(reply).__name__, "bytes": wire.encode_tagged(messages.COLLECT_REPLIES, reply)})


def malformed_cases() -> Iterator[Case]:
    """Bytes that are no message, and why."""
    honest = wire.encode(messages.Holding(2, 4))
    collect = wire.encode(messages.CollectRequest(SESSION, 7, (1,), True, 4, (), None, None))
    yield {"message": "Holding", "bytes": honest[:-1].hex(), "why": "truncated"}
    yield {"message": "Holding", "bytes": (honest + b"\x00").hex(), "why": "a byte too many"}
    yield {"message": "CollectRequest", "bytes": (collect[:-1] + b"\x02").hex(), "why": "a flag that is neither 0 nor 1"}
    parameters = bytearray(wire.encode(examples()[0]))
    place = parameters.index("größe".encode())
    parameters[place + 2] = 0xFF
    yield {"message": "SessionParameters", "bytes": bytes(parameters).hex(), "why": "text that is not UTF-8"}
    short = wire.encode(examples()[1]).replace(b"\x00\x00\x04\xc0", b"\x00\x00\x04\xbf", 1)
    yield {"message": "SignedAdvertisement", "bytes": short.hex(), "why": "a key of another length"}


def digest_cases() -> Iterator[Case]:
    parameters, advertisement, *_ = examples()
    members = tuple(Member(index, f"partner-{index}", PublicIdentity(pattern(KEY_BYTES, index))) for index in (1, 2, 3))
    roster = Roster("consortium", 3, 3, members)
    other = messages.SignedAdvertisement(messages.Advertisement(1, pattern(1216, 9), TRUNK, 3, TRUNK), b"another signature")
    request = next(example for example in examples() if isinstance(example, consistency_messages.ConsistencyRequest))
    yield plain({"function": "Roster.digest", "arguments": [roster], "result": roster.digest()})
    yield plain({"function": "SessionParameters.digest", "arguments": [parameters], "result": parameters.digest()})
    yield case(session_id, parameters, (advertisement, other))
    yield case(messages.cohort_digest, (1, 2, 3))
    yield case(consistency_messages.survivors_digest, request)


def vectors() -> dict[str, list[Case]]:
    """File name to its cases."""
    made = {
        "keys": key_cases(),
        "streams": stream_cases(),
        "orders": order_cases(),
        "check": check_cases(),
        "shares": share_cases(),
        "messages": message_cases(),
        "replies": reply_cases(),
        "malformed": malformed_cases(),
        "digests": digest_cases(),
    }
    return {f"{name}.json": list(cases) for name, cases in made.items()}


def text(cases: list[Case]) -> str:
    """One case a line."""
    return "[\n" + ",\n".join(json.dumps(each, ensure_ascii=False) for each in cases) + "\n]\n"


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, cases in vectors().items():
        (FOLDER / name).write_text(text(cases), encoding="utf-8")
