"""Vectors of what every implementation of the protocol must compute, for all parts that involve no chance."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, fields, is_dataclass
from typing import Any

import numpy as np

from strategies.secagg import aggregate_check, consistency_messages, digits, keys, messages, proofs, shamir, shares, verification, wire
from strategies.secagg.identity import KEY_BYTES, PublicIdentity
from strategies.secagg.keystream import DTYPES, add_streams, keystream
from strategies.secagg.roster import Member, Roster
from strategies.secagg.slot_order import slot_order
from strategies.secagg.state import State
from strategies.secagg.verification import session_id
from tests.strategies.secagg.misbehaving import unchecked

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
    yield case(keys.share_key, SECRET, 7, 5, 3, COHORT)
    yield case(keys.confirmation, SECRET, SESSION, 7, 3)
    yield case(keys.trunk_blind, SECRET, 7)
    yield case(keys.trunk_blind, SECRET, None)
    yield case(keys.trunk_name, SECRET, 4, COHORT, TRUNK)
    yield case(keys.basis, SECRET, TRUNK, COHORT)
    yield case(keys.secret_commitment, SESSION, 7, 3, 5, SECRET)
    yield case(keys.secret_commitment, SESSION, 7, 5, 3, SECRET)
    yield case(keys.group_commitment, SESSION, 3, SECRET)
    yield case(keys.check_key, SECRET, 7, TRUNK)
    yield case(keys.slot_key, SECRET, 7)
    yield case(keys.initial_seed, SECRET)
    yield case(keys.handover_key, SECRET, 3, TRUNK)
    yield case(keys.public_seed, SECRET)
    for dealer, holder in ((3, 5), (5, 3)):
        fixed = [shamir.to_bytes(share) for share in keys.fixed_shares(SECRET, 7, dealer, holder, COHORT, 3)]
        yield plain({"function": "fixed_shares", "arguments": [SECRET, 7, dealer, holder, COHORT, 3], "result": fixed})


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
    derived = {holder: keys.fixed_shares(pattern(32, holder), 7, 3, holder, COHORT, 4) for holder in shares.derived_by(3, cohort, 3)}
    bundle = shares.deal(3, cohort, 3, seeds, derived.__getitem__)
    fixed_by = {holder: [shamir.to_bytes(share) for share in held] for holder, held in derived.items()}
    dealt = {"dealer": 3, "cohort": cohort, "threshold": 3, "seeds": seeds, "fixed": fixed_by}
    yield plain({"function": "shares.deal", **dealt, "result": bundle})
    yield case(shares.seal, bundle[1], SECRET, SESSION)


def examples() -> list[Any]:
    """One of each message."""
    parameters = messages.SessionParameters(messages.PROTOCOL, ROSTER, COHORT, "4x2,2", 32, 10, 3, 100, ("loss", "größe"), SESSION)
    advertisement = messages.SignedAdvertisement(messages.Advertisement(2, pattern(1216, 0), SECRET, 3, TRUNK, ROSTER), b"signature")
    listed = messages.KeyContributions(2, (1, 3), ROSTER, SECRET + TRUNK, b"signature")
    delivered = messages.DeliveredContribution(listed, pattern(1200, 0))
    last, handed = messages.LastRound(6, (1, 2, 3), False), messages.Handover(2, TRUNK, SECRET, b"signature")
    body = messages.Header(2, COHORT, TRUNK, pattern(32, 160), SECRET, pattern(32, 192), 7, SESSION, ROSTER)
    header = messages.SignedHeader(body, b"signature")
    signature = consistency_messages.SurvivorsSignature(2, SECRET, b"signature")
    answer = consistency_messages.UnmaskReply(2, (3,), COHORT + SESSION, SECRET + TRUNK, (1,), b"signature")
    return [
        parameters,
        advertisement,
        messages.ShareKeysRequest((advertisement,)),
        messages.ShareKeysReply(listed, (pattern(1200, 1), pattern(1200, 2))),
        messages.CollectRequest(SESSION, 7, (1, 2, 3), True, 4, (delivered,), last, None, (), ()),
        messages.CollectRequest(SESSION, 7, (1, 2, 3), False, 4, (), None, handed, (header,), (b"proof", b"")),
        messages.MaskedInput(header, SECRET + COHORT, (b"one", b"two"), b"public"),
        messages.Holding(2, 4),
        messages.Complaint(2, 3, pattern(96, 5)),
        consistency_messages.ConsistencyRequest(SESSION, 7, (1, 2), (3,), (header,)),
        signature,
        consistency_messages.UnmaskRequest(SESSION, 7, (signature,), (consistency_messages.SealedShares(1, b"ciphertext"),)),
        answer,
        messages.FinishRequest(SESSION, 4, (), last, handed, (header,), (b"proof",)),
        messages.HandoverRequest(SESSION, 4, (delivered,)),
        handed,
        proofs.UnusableKey(parameters, advertisement),
        proofs.UnequalContribution(parameters, (advertisement,), delivered, 3, pattern(96, 5)),
        proofs.WrongSecret(SESSION, 7, (1, 2, 3), header, SECRET + COHORT + TRUNK, answer),
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
    collect = wire.encode(messages.CollectRequest(SESSION, 7, (1,), True, 4, (), None, None, (), ()))
    yield {"message": "Holding", "bytes": honest[:-1].hex(), "why": "truncated"}
    yield {"message": "Holding", "bytes": (honest + b"\x00").hex(), "why": "a byte too many"}
    yield {"message": "CollectRequest", "bytes": (collect[:-9] + b"\x02" + collect[-8:]).hex(), "why": "a flag that is neither 0 nor 1"}
    yield {"message": "CollectRequest", "bytes": (collect[:-4] + b"\xff" * 4).hex(), "why": "more items than bytes are left"}
    parameters = bytearray(wire.encode(examples()[0]))
    place = parameters.index("größe".encode())
    parameters[place + 2] = 0xFF
    yield {"message": "SessionParameters", "bytes": bytes(parameters).hex(), "why": "text that is not UTF-8"}
    for why, changed in {
        "a layout of more than 4,096 bytes": {"layout": "ü" * 2048 + "x"},
        "more than 16 metrics": {"metrics": ("loss",) * 17},
        "a metric's name of more than 64 bytes": {"metrics": ("loss", "ü" * 32 + "x")},
    }.items():
        held = {each.name: getattr(examples()[0], each.name) for each in fields(messages.SessionParameters)}
        longer = unchecked(messages.SessionParameters, **(held | changed))
        yield {"message": "SessionParameters", "bytes": wire.encode(longer).hex(), "why": why}
    short = wire.encode(examples()[1]).replace(b"\x00\x00\x04\xc0", b"\x00\x00\x04\xbf", 1)
    yield {"message": "SignedAdvertisement", "bytes": short.hex(), "why": "a key of another length"}
    unnamed = bytes(32).join(wire.encode(examples()[1]).rsplit(TRUNK, 1))
    yield {"message": "SignedAdvertisement", "bytes": unnamed.hex(), "why": "a trunk with rounds behind it and no name"}
    listed = (
        wire.encode(examples()[3]).replace(SECRET + TRUNK, SECRET, 1).replace(b"\x00\x00\x00\x40" + SECRET, b"\x00\x00\x00\x20" + SECRET)
    )
    yield {"message": "ShareKeysReply", "bytes": listed.hex(), "why": "fewer digests than recipients"}
    contributed = examples()[3].contributions
    for length in (1199, 1201):
        longer = unchecked(messages.DeliveredContribution, contributions=contributed, ciphertext=pattern(length, 0))
        yield {"message": "DeliveredContribution", "bytes": wire.encode(longer).hex(), "why": "a ciphertext of another length"}
    replied = unchecked(messages.ShareKeysReply, contributions=contributed, ciphertexts=(pattern(1200, 1), b""))
    yield {"message": "ShareKeysReply", "bytes": wire.encode(replied).hex(), "why": "a ciphertext of another length"}
    header = next(example for example in examples() if isinstance(example, messages.MaskedInput)).header.body
    for name in ("cohort", "trunk", "contributions", "confirmation", "secrets", "input", "bundle"):
        odd = unchecked(messages.Header, **{**asdict(header), name: pattern(33, 0)})
        yield {"message": "Header", "bytes": wire.encode(odd).hex(), "why": f"{name}: a digest of another length"}


def digest_cases() -> Iterator[Case]:
    parameters, advertisement, *_ = examples()
    roster = a_roster()
    other = messages.SignedAdvertisement(messages.Advertisement(1, pattern(1216, 9), TRUNK, 3, TRUNK, SECRET), b"another signature")
    request = next(example for example in examples() if isinstance(example, consistency_messages.ConsistencyRequest))
    yield plain({"function": "Roster.digest", "arguments": [roster], "result": roster.digest()})
    yield plain({"function": "SessionParameters.digest", "arguments": [parameters], "result": parameters.digest()})
    yield case(session_id, parameters, (advertisement, other))
    yield case(messages.cohort_digest, (1, 2, 3))
    yield case(consistency_messages.survivors_digest, request)
    listed = examples()[3].contributions
    yield case(verification.contributions_digest, (listed, messages.KeyContributions(1, (2, 3), SECRET, TRUNK + COHORT, b"other")))
    words, public = np.arange(5, dtype="<u4"), b"public"
    yield plain({"function": "input_digest", "arguments": [words.tolist(), public], "result": verification.input_digest(words, public)})
    yield case(verification.bundle_digest, (b"one", b"", b"two"))


def signed_cases() -> Iterator[Case]:
    """What is signed in each phase."""
    parameters, advertisement, _, reply, *_ = examples()
    roster = a_roster()
    header = next(example.header.body for example in examples() if isinstance(example, messages.MaskedInput))
    answer = next(example for example in examples() if isinstance(example, consistency_messages.UnmaskReply))
    made = {
        "AdvertiseKeys": (parameters, advertisement.body, verification.advertisement_message(parameters, advertisement.body)),
        "ShareKeys": (SESSION, 0, reply.contributions, verification.contributions_message(roster, SESSION, reply.contributions)),
        "MaskedInputCollection": (SESSION, 7, header, verification.header_message(roster, SESSION, 7, header)),
        "ConsistencyCheck": (SESSION, 7, COHORT, verification.survivors_message(roster, SESSION, 7, COHORT)),
        "Unmasking": (SESSION, 7, answer, verification.answer_message(roster, SESSION, 7, answer)),
    }
    for phase, (*arguments, message) in made.items():
        yield plain({"phase": phase, "roster": roster.digest(), "arguments": arguments, "message": message})


def agreed_cases() -> Iterator[Case]:
    """Where a session goes on, by what its members advertise: version and name of the newest trunk, and the name of the one before."""
    new, old, other, none = TRUNK, COHORT, SECRET, messages.NO_TRUNK
    situations = {
        "all have one": [(3, new, old)] * 4,
        "one is alone with a newer one": [(4, other, new), *[(3, new, old)] * 3],
        "two have a newer one": [(4, other, new)] * 2 + [(3, new, old)] * 2,
        "nobody has any": [(0, none, none)] * 4,
        "one has one, which is no quorum": [(3, new, old), *[(0, none, none)] * 3],
        "two names of one version": [(3, new, none)] * 3 + [(3, other, none)] * 2,
        "two names of one version, equally common": [(3, new, none)] * 2 + [(3, other, none)] * 2,
        "everybody has another one, and two the same before": [(4, new, old), (4, other, old), (4, SESSION, none)],
        "the one before is another's newest": [(4, new, old), (3, old, none), (3, other, none)],
    }
    for why, held in situations.items():
        bodies = [messages.Advertisement(place, pattern(1216, place), SESSION, *trunks) for place, trunks in enumerate(held, 1)]
        roster = a_roster(max(4, len(held)))
        version, name, holders = verification.agreed_trunk(roster, tuple(messages.SignedAdvertisement(body, b"") for body in bodies))
        yield plain({"why": why, "quorum": roster.quorum(), "advertised": held, "version": version, "name": name, "holders": holders})


def a_roster(count: int = 3) -> Roster:
    members = tuple(Member(index, f"partner-{index}", PublicIdentity(pattern(KEY_BYTES, index))) for index in range(1, count + 1))
    return Roster("consortium", count, 3, members)


def files() -> dict[str, Iterator[Case]]:
    """File name to its cases."""
    return {
        "keys": key_cases(),
        "streams": stream_cases(),
        "orders": order_cases(),
        "check": check_cases(),
        "shares": share_cases(),
        "messages": message_cases(),
        "replies": reply_cases(),
        "malformed": malformed_cases(),
        "digests": digest_cases(),
        "signed": signed_cases(),
        "agreed": agreed_cases(),
    }
