"""Keys and seeds: HKDF-SHA512 and HMAC as their standards say, and no two purposes with the same key."""

import hashlib
import hmac
import itertools
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategies.secagg import keys, shamir

SECRET, OTHER, SESSION = b"k" * 32, b"o" * 32, b"s" * 32


def hkdf(hash_name: str, secret: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    """RFC 5869, sections 2.2 and 2.3."""
    size = hashlib.new(hash_name).digest_size
    pseudorandom = hmac.new(salt or bytes(size), secret, hash_name).digest()
    output = block = b""
    for counter in range(1, -(-length // size) + 1):
        block = hmac.new(pseudorandom, block + info + bytes([counter]), hash_name).digest()
        output += block
    return output[:length]


def test_our_oracle_is_rfc_5869s() -> None:
    """Appendix A.2 and A.3: long inputs; no salt and no info."""
    long = bytes(range(0x50)), bytes(range(0x60, 0xB0)), bytes(range(0xB0, 0x100))
    assert hkdf("sha256", *long, 82).hex() == (
        "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c"
        "59045a99cac7827271cb41c65e590e09da3275600c2f09b8367793a9aca3db71"
        "cc30c58179ec3e87c14c01d5c1f3434f1d87"
    )
    assert hkdf("sha256", b"\x0b" * 22, b"", b"", 42).hex() == (
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"
    )


@given(
    st.binary(min_size=1, max_size=80),
    st.binary(max_size=40),
    st.text(max_size=9),
    st.lists(st.binary(max_size=9), max_size=4),
    st.integers(1, 200),
)
def test_keys_are_derived_by_hkdf_sha512(secret: bytes, salt: bytes, label: str, parts: list[bytes], length: int) -> None:
    info = b"polyphony/v2/" + label.encode() + b"\x00" + b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    assert keys.derive(secret, salt, label, tuple(parts), length=length) == hkdf("sha512", secret, salt, info, length)


def test_a_number_enters_as_4_bytes_big_endian() -> None:
    assert keys.derive(SECRET, b"", "x", (258,)) == keys.derive(SECRET, b"", "x", (b"\x00\x00\x01\x02",))


@given(st.lists(st.binary(max_size=5), max_size=4), st.lists(st.binary(max_size=5), max_size=4))
def test_two_lists_of_parts_never_give_the_same_key(one: list[bytes], other: list[bytes]) -> None:
    assert (keys.derive(SECRET, b"", "x", tuple(one)) == keys.derive(SECRET, b"", "x", tuple(other))) == (one == other)


def test_both_partners_derive_the_same_pair_key_and_no_other_pair_does() -> None:
    pair = keys.pair_key(b"l" * 32, b"h" * 32, SESSION, 2, 5)
    assert pair == keys.derive(b"l" * 32 + b"h" * 32, SESSION, "pair", (2, 5))
    assert pair not in {keys.pair_key(b"l" * 32, b"h" * 32, SESSION, 5, 2), keys.pair_key(b"h" * 32, b"l" * 32, SESSION, 2, 5)}


def test_the_group_key_depends_on_every_contribution_its_owner_and_the_session_but_not_on_their_order() -> None:
    contributions = {3: b"c" * 32, 1: b"a" * 32, 2: b"b" * 32}
    key = keys.group_key(contributions, SESSION)
    assert key == keys.group_key(dict(sorted(contributions.items())), SESSION)
    changed = [
        keys.group_key(contributions | {2: OTHER}, SESSION),
        keys.group_key({1: b"a" * 32, 2: b"b" * 32}, SESSION),
        keys.group_key({4: b"c" * 32, 1: b"a" * 32, 2: b"b" * 32}, SESSION),
        keys.group_key({2: b"a" * 32, 1: b"b" * 32, 3: b"c" * 32}, SESSION),
        keys.group_key(contributions, OTHER),
    ]
    assert len({key, *changed}) == 6


# Each derivation with its arguments, and for each of these another value.
PURPOSES: list[tuple[Callable[..., bytes], tuple, tuple]] = [
    (keys.pair_key, (SECRET, SECRET, SESSION, 1, 2), (OTHER, OTHER, OTHER, 3, 4)),
    (keys.pairwise_seed, (SECRET, 1, b"a" * 32, b"t" * 32), (OTHER, 2, b"b" * 32, b"u" * 32)),
    (keys.group_seed, (SECRET, 1, 2), (OTHER, 2, 1)),
    (keys.share_key, (SECRET, 1, 2, 3, b"a" * 32), (OTHER, 2, 3, 2, b"b" * 32)),
    (keys.confirmation, (SECRET, SESSION, 1, 2), (OTHER, OTHER, 2, 1)),
    (keys.trunk_blind, (SECRET, 1), (OTHER, None)),
    (keys.trunk_name, (SECRET, 1, b"w" * 32, b"t" * 32), (OTHER, 2, b"v" * 32, b"u" * 32)),
    (keys.basis, (SECRET, b"t" * 32, b"w" * 32), (OTHER, b"u" * 32, b"v" * 32)),
    (keys.secret_commitment, (SESSION, 1, 2, 3, SECRET), (OTHER, 2, 3, 2, OTHER)),
    (keys.group_commitment, (SESSION, 1, SECRET), (OTHER, 2, OTHER)),
    (keys.check_key, (SECRET, 1, b"t" * 32), (OTHER, 2, b"u" * 32)),
    (keys.slot_key, (SECRET, 1), (OTHER, 2)),
    (keys.initial_seed, (SECRET,), (OTHER,)),
    (keys.handover_key, (SECRET, 1, b"t" * 32), (OTHER, 2, b"u" * 32)),
    (keys.public_seed, (SECRET,), (OTHER,)),
]


def test_no_two_purposes_share_a_key() -> None:
    made = [derivation(*arguments) for derivation, arguments, _ in PURPOSES]
    assert len(set(made)) == len(PURPOSES)
    assert {len(key) for key in made} == {32}


@pytest.mark.parametrize(("derivation", "arguments", "others"), PURPOSES, ids=lambda value: getattr(value, "__name__", ""))
def test_every_argument_changes_the_key(derivation: Callable[..., bytes], arguments: tuple, others: tuple) -> None:
    changed = [derivation(*arguments[:place], others[place], *arguments[place + 1 :]) for place in range(len(arguments))]
    assert len({derivation(*arguments), *changed}) == 1 + len(arguments)


def of_both_ways() -> Iterator[tuple[Callable[..., object], tuple, tuple]]:
    """Each derivation with two numbers, and its arguments with these the other way round."""
    fixed_shares = (keys.fixed_shares, (SECRET, 1, 2, 3, b"a" * 32, 5), ())
    for derivation, arguments, _ in (*PURPOSES, fixed_shares):
        numbers = [place for place, value in enumerate(arguments[:5]) if isinstance(value, int)]
        for one, other in itertools.combinations(numbers, 2):
            swapped = list(arguments)
            swapped[one], swapped[other] = arguments[other], arguments[one]
            yield derivation, arguments, tuple(swapped)


BOTH_WAYS = list(of_both_ways())


@pytest.mark.parametrize(("derivation", "there", "back"), BOTH_WAYS, ids=lambda value: getattr(value, "__name__", ""))
def test_what_one_partner_sends_another_has_a_key_of_its_own_in_each_direction(
    derivation: Callable[..., object], there: tuple, back: tuple
) -> None:
    """With one key for both, AES-GCM would seal two bundles with one keystream."""
    assert derivation(*there) != derivation(*back)


def test_all_derivations_of_a_dealer_and_a_holder_are_looked_at_in_both_directions() -> None:
    of_two = {keys.pair_key, keys.share_key, keys.fixed_shares, keys.secret_commitment, keys.group_seed, keys.confirmation}
    assert {derivation for derivation, _, _ in BOTH_WAYS} == of_two


def test_a_pairwise_seed_is_a_field_element_from_48_bytes() -> None:
    wide = keys.derive(SECRET, b"", "pairwise mask", (7, b"a" * 32, b"t" * 32), length=48)
    assert int.from_bytes(keys.pairwise_seed(SECRET, 7, b"a" * 32, b"t" * 32), "big") == int.from_bytes(wide, "big") % shamir.PRIME


def test_fixed_shares_are_elements_as_many_as_asked_and_for_one_dealer_holder_and_round() -> None:
    some = keys.fixed_shares(SECRET, 1, 2, 3, b"a" * 32, 5)
    assert len(set(some)) == 5
    assert all(0 <= share < shamir.PRIME for share in some)
    assert keys.fixed_shares(SECRET, 1, 2, 3, b"a" * 32, 3) == some[:3]
    others = [(OTHER, 1, 2, 3, b"a" * 32), (SECRET, 2, 2, 3, b"a" * 32), (SECRET, 1, 3, 2, b"a" * 32), (SECRET, 1, 2, 3, b"b" * 32)]
    assert not any(set(some) & set(keys.fixed_shares(*other, 5)) for other in others)


def test_digests_are_hmacs_of_sha256() -> None:
    message = b"polyphony/v2/key confirmation\x00" + SESSION + b"\x00\x00\x00\x07" + b"\x00\x00\x00\x02"
    assert keys.confirmation(SECRET, SESSION, 7, 2) == hmac.digest(SECRET, message, "sha256")
    basis = b"polyphony/v2/basis\x00" + b"t" * 32 + b"w" * 32
    assert keys.basis(SECRET, b"t" * 32, b"w" * 32) == hmac.digest(SECRET, basis, "sha256")


def test_names_and_commitments_are_sha256_under_labels_of_their_own() -> None:
    named = b"polyphony/v2/trunk name\x00" + SECRET + b"\x00\x00\x00\x07" + b"w" * 32 + b"t" * 32
    assert keys.trunk_name(SECRET, 7, b"w" * 32, b"t" * 32) == hashlib.sha256(named).digest()
    shared = b"polyphony/v2/secret\x00" + SESSION + b"".join(bytes([0, 0, 0, each]) for each in (7, 2, 3)) + SECRET
    assert keys.secret_commitment(SESSION, 7, 2, 3, SECRET) == hashlib.sha256(shared).digest()
    contributed = b"polyphony/v2/group contribution\x00" + SESSION + b"\x00\x00\x00\x02" + SECRET
    assert keys.group_commitment(SESSION, 2, SECRET) == hashlib.sha256(contributed).digest()


def test_the_name_of_a_trunk_is_blinded_anew_after_every_round() -> None:
    blinds = [keys.trunk_blind(SECRET, number) for number in (None, 0, 1, 2**32 - 1)]
    assert len(set(blinds)) == 4


def test_what_is_signed_begins_with_version_phase_roster_session_and_round() -> None:
    assert keys.tag("Unmasking", b"r" * 32, SESSION, 258) == b"polyphony/v2/Unmasking\x00" + b"r" * 32 + SESSION + b"\x00\x00\x01\x02"
