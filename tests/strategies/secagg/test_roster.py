"""The roster: what it refuses, and that its digest is about all of it."""

import hashlib
import struct
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategies.secagg.errors import UnknownPartnerError
from strategies.secagg.identity import KEY_BYTES, PublicIdentity
from strategies.secagg.roster import LEAST_PARTNERS, Member, Roster, default_threshold


def member(index: int, name: str | None = None, key: int | None = None) -> Member:
    return Member(index, name or f"partner-{index}", PublicIdentity(bytes([index if key is None else key]) * KEY_BYTES))


def roster(count: int = 5, threshold: int = 4, minimum: int = 4) -> Roster:
    return Roster("five", threshold, minimum, tuple(member(index) for index in range(1, count + 1)))


def refused(match: str, threshold: int = 3, minimum: int = 3, *members: Member) -> None:
    with pytest.raises(ValueError, match=match):
        Roster("five", threshold, minimum, members)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_fewer_than_three_partners_are_no_consortium(count: int) -> None:
    refused(f"at least 3 partners, not {count}", 2, 3, *(member(index) for index in range(1, count + 1)))


@pytest.mark.parametrize("indices", [(0, 1, 2), (1, 2, 4), (2, 1, 3), (1, 2, 2), (2, 3, 4)])
def test_indices_run_from_1_without_a_gap(indices: tuple[int, ...]) -> None:
    refused("numbered 1 to 3", 3, 3, *(member(index, f"name {place}", place) for place, index in enumerate(indices)))


def test_no_two_partners_have_one_name() -> None:
    refused("same name", 3, 3, member(1), member(2, "same"), member(3, "same"))


def test_no_two_partners_have_one_key() -> None:
    refused("same public key", 3, 3, member(1), member(2, key=9), member(3, key=9))


@pytest.mark.parametrize(("count", "threshold"), [(3, 1), (4, 2), (5, 2), (5, 6), (6, 3), (6, 0)])
def test_a_threshold_of_half_or_less_or_of_more_than_all_is_refused(count: int, threshold: int) -> None:
    refused(f"more than half of {count}.*not {threshold}", threshold, 3, *(member(index) for index in range(1, count + 1)))


@pytest.mark.parametrize("minimum", [0, 2, 6])
def test_a_minimum_below_three_or_above_all_is_refused(minimum: int) -> None:
    refused(f"minimum is 3 to 5 partners, not {minimum}", 4, minimum, *(member(index) for index in range(1, 6)))


@given(st.integers(3, 60), st.data())
def test_every_threshold_above_half_and_every_minimum_from_three_is_allowed(count: int, data: st.DataObject) -> None:
    threshold, minimum = data.draw(st.integers(count // 2 + 1, count)), data.draw(st.integers(LEAST_PARTNERS, count))
    held = roster(count, threshold, minimum)
    assert held.least() == max(threshold, minimum)


@given(st.integers(3, 200))
def test_the_default_threshold_withstands_all_colluders_below_a_third_and_is_the_least_that_does(count: int) -> None:
    def withstands(threshold: int, colluders: int) -> bool:
        return 2 * threshold > count + colluders

    most = max(colluders for colluders in range(count) if 3 * colluders < count)
    assert withstands(default_threshold(count), most)
    assert default_threshold(count) <= count
    assert 3 * (default_threshold(count) - 1) <= 2 * count


def test_the_digest_is_the_sha256_of_all_fields_written_out() -> None:
    held = roster(3, 2, 3)

    def sized(content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + content

    members = b"".join(
        struct.pack(">I", index) + sized(f"partner-{index}".encode()) + sized(bytes([index]) * KEY_BYTES) for index in (1, 2, 3)
    )
    written = sized(b"five") + struct.pack(">III", 2, 3, 3) + members
    assert held.digest() == hashlib.sha256(b"polyphony/v2/roster" + written).digest()


def test_the_digest_changes_with_every_field() -> None:
    held = roster()
    others = [
        replace(held, consortium="six"),
        replace(held, threshold=5),
        replace(held, minimum=5),
        replace(held, members=(*held.members, member(6))),
        replace(held, members=(*held.members[:4], member(5, "renamed"))),
        replace(held, members=(*held.members[:4], member(5, key=77))),
        replace(held, members=(member(1, "partner-2", 2), member(2, "partner-1", 1), *held.members[2:])),
    ]
    assert len({each.digest() for each in [held, *others]}) == 1 + len(others)


def test_a_partner_is_found_by_index_and_by_key() -> None:
    held = roster()
    for index in range(1, 6):
        assert held.member(index).index == index
        assert held.index_of(held.member(index).identity) == index


@pytest.mark.parametrize("index", [-1, 0, 6])
def test_an_index_of_nobody_is_named(index: int) -> None:
    with pytest.raises(UnknownPartnerError, match=f"partner {index} is not among the 5 of five"):
        roster().member(index)


def test_a_key_of_nobody_is_named_by_its_fingerprint() -> None:
    alien = PublicIdentity(bytes(KEY_BYTES))
    with pytest.raises(UnknownPartnerError, match=alien.fingerprint()):
        roster().index_of(alien)
