"""Sharing a round's seeds: two thirds of the shares are derived, the rest is sent, and any threshold of holders can reconstruct."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategies.secagg import shamir, shares
from strategies.secagg.errors import ContributionError
from tests.helpers.sweeps import examples

KEY, CONTEXT = b"k" * 32, b"session"


@st.composite
def cohorts(draw: st.DrawFn) -> tuple[tuple[int, ...], int, int]:
    """A cohort, a dealer in it and a threshold."""
    cohort = tuple(sorted(draw(st.sets(st.integers(1, 60), min_size=2, max_size=9))))
    return cohort, draw(st.sampled_from(cohort)), draw(st.integers(len(cohort) // 2 + 1, len(cohort)))


@given(cohorts())
def test_every_holder_either_derives_its_shares_or_receives_them_and_the_dealer_derives_its_own(case: tuple) -> None:
    cohort, dealer, threshold = case
    derived, sent = shares.derived_by(dealer, cohort, threshold), shares.sent_to(dealer, cohort, threshold)
    assert len(derived) == threshold - 1
    assert set(derived) | set(sent) == set(cohort)
    assert not set(derived) & set(sent)
    assert sent == tuple(sorted(sent))
    assert dealer not in sent


@given(cohorts())
def test_every_holder_derives_from_as_many_dealers(case: tuple) -> None:
    cohort, holder, threshold = case
    assert sum(holder in shares.derived_by(dealer, cohort, threshold) for dealer in cohort) == threshold - 1


@given(cohorts())
def test_a_ring_is_the_cohort_from_the_dealer_on(case: tuple) -> None:
    cohort, dealer, _ = case
    ring = shares.ring(dealer, cohort)
    assert ring[0] == dealer
    assert sorted(ring) == list(cohort)
    assert sum(one > other for one, other in zip(ring, (*ring[1:], ring[0]), strict=True)) == 1, "it descends once"


@given(cohorts())
def test_a_dealer_shares_its_own_seed_first_and_one_for_each_other_partner(case: tuple) -> None:
    cohort, dealer, _ = case
    first, *others = shares.secrets_of(dealer, cohort)
    assert first == dealer
    assert others == [index for index in cohort if index != dealer]


@examples(50)
@given(cohorts(), st.randoms(use_true_random=False))
def test_any_threshold_of_holders_reconstructs_every_seed(case: tuple, random) -> None:
    cohort, dealer, threshold = case
    seeds = {index: shares.seed_bytes(random.randbytes(48)) for index in cohort}
    derived = {holder: [random.randrange(shamir.PRIME) for _ in cohort] for holder in shares.derived_by(dealer, cohort, threshold)}
    dealt = shares.deal(dealer, cohort, threshold, seeds, derived.__getitem__)
    held = derived | {holder: [int.from_bytes(share, "big") for share in sent] for holder, sent in dealt.items()}
    some = random.sample(cohort, threshold)
    for place, name in enumerate(shares.secrets_of(dealer, cohort)):
        points = {holder: held[holder][place] for holder in some}
        assert shamir.to_bytes(shamir.reconstruct(points, threshold)) == seeds[name]


def test_sealed_shares_open_with_their_key_and_context_alone() -> None:
    plain = [b"a" * 32, b"b" * 32]
    sealed = shares.seal(plain, KEY, CONTEXT)
    assert len(sealed) == 64 + 16
    assert shares.open_sealed(sealed, KEY, CONTEXT, 2, dealer=3) == plain
    for key, context, count in ((b"x" * 32, CONTEXT, 2), (KEY, b"another session", 2), (KEY, CONTEXT, 1), (KEY, CONTEXT, 3)):
        with pytest.raises(ContributionError) as caught:
            shares.open_sealed(sealed, key, context, count, dealer=3)
        assert caught.value.partner == 3


@given(st.binary(min_size=48, max_size=48))
def test_a_seed_is_a_field_element_of_32_bytes(uniform: bytes) -> None:
    assert int.from_bytes(shares.seed_bytes(uniform), "big") < shamir.PRIME
    assert len(shares.seed_bytes(uniform)) == 32
