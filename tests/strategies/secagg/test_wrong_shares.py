"""Partners that reveal wrong seeds or wrong shares, or deal such: the sum is right all the same, and whoever it was is named.

Nine partners with a threshold of five: of eight answers three may be wrong. Seven with the default threshold of five: two may misbehave.
"""

from collections.abc import Callable, Mapping
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategies.secagg import keys, proofs, shamir, wire
from strategies.secagg.collection import Collection
from strategies.secagg.consistency_messages import UnmaskReply
from strategies.secagg.errors import LostSeedsError, MalformedMessageError, WrongSecretError
from strategies.secagg.messages import COLLECT_REPLIES, Header, MaskedInput, SignedHeader
from strategies.secagg.phases import Step
from strategies.secagg.proofs import WrongSecret
from strategies.secagg.seeds import Unmasking
from tests.helpers.sweeps import examples
from tests.strategies.secagg.misbehaving import answering, dealing, masking_as, spoiled
from tests.strategies.secagg.parties import Parties, copied_round, roster_of

Lie = Callable[[Parties, int, bytes], bytes]  # from the parties, the liar's index and its honest reply to another one


def values(index: int) -> np.ndarray:
    return np.array([index, -(2**20) * index, 7])


def honest(parties: Parties, index: int, reply: bytes) -> bytes:
    return reply


@cache
def _agreed(count: int, threshold: int, dropped: tuple[int, ...], liar: int, lie: Lie) -> tuple[Parties, Collection]:
    parties = Parties(roster_of(count, threshold), restarting=False)
    parties.set_up()

    def up(step: Step, index: int, reply: bytes) -> bytes | None:
        if step is Step.COLLECT and index == liar:
            reply = lie(parties, index, reply)
        return None if step is Step.COLLECT and index in dropped else reply

    parties.up = up
    collection = parties.collect(0, {index: values(index) for index in parties.sites})
    parties.agree(collection)
    return parties, collection


def agreed(
    count: int = 9, threshold: int = 5, dropped: tuple[int, ...] = (), liar: int = 0, lie: Lie = honest
) -> tuple[Parties, Collection]:
    """A round whose survivors are signed; the liar masked or dealt otherwise."""
    parties, collection = _agreed(count, threshold, dropped, liar, lie)
    again = parties.copy()
    return again, copied_round(collection, again.coordinator)


def revealed(parties: Parties, collection: Collection, lies: Mapping[int, Lie], silent: tuple[int, ...] = ()) -> np.ndarray:
    """The masked sum, when some answer with lies and some do not answer."""
    for index in collection.signers():
        if index in silent:
            continue
        reply = parties.sites[index].answer(Step.UNMASK, collection.unmask_request(index))
        try:
            collection.add_answer(index, lies.get(index, honest)(parties, index, reply))
        except WrongSecretError as error:
            assert error.partner == index
    words, _ = collection.unmask()
    return words


def is_right(parties: Parties, collection: Collection, words: np.ndarray) -> bool:
    """Whether partners find the survivors' sum in it."""
    expected = sum(values(index) for index in collection.survivors)
    return all(np.array_equal(total, expected) for total in parties.finish(collection, words).values())


def wrong_seed(parties: Parties, index: int, reply: bytes) -> bytes:
    return answering(parties.partner(index), reply, own=b"x" * len(wire.decode(UnmaskReply, reply).own))


def no_seeds(parties: Parties, index: int, reply: bytes) -> bytes:
    return answering(parties.partner(index), reply, own=b"")


def more_seeds(parties: Parties, index: int, reply: bytes) -> bytes:
    return answering(parties.partner(index), reply, own=wire.decode(UnmaskReply, reply).own + b"x")


def wrong_shares(parties: Parties, index: int, reply: bytes) -> bytes:
    return answering(parties.partner(index), reply, shares=spoiled(reply))


def nothing_opens(parties: Parties, index: int, reply: bytes) -> bytes:
    """It says of every dealer that its shares do not open, and reveals zeros."""
    answer = wire.decode(UnmaskReply, reply)
    survivors = parties.partner(index).state.round.survivors  # type: ignore[union-attr]
    return answering(parties.partner(index), reply, shares=bytes(len(answer.shares)), unopened=survivors)


# Wrong seeds of one's own


@pytest.mark.parametrize("dropped", [(), (9,), (1, 9)])
@pytest.mark.parametrize("lie", [wrong_seed, no_seeds, more_seeds])
def test_a_partner_that_reveals_other_seeds_than_it_committed_to_is_proven_guilty_and_the_sum_is_right(
    lie: Lie, dropped: tuple[int, ...]
) -> None:
    parties, collection = agreed(dropped=dropped)
    words = revealed(parties, collection, {4: lie})
    assert is_right(parties, collection, words)
    (proof,) = parties.coordinator.proofs
    assert isinstance(proof, WrongSecret)
    assert proofs.proven(parties.roster, proofs.encode(proof)) == 4


def test_one_seed_of_many_that_is_wrong_is_enough() -> None:
    parties, collection = agreed(dropped=(9,))

    def lie(parties: Parties, index: int, reply: bytes) -> bytes:
        own = wire.decode(UnmaskReply, reply).own
        return answering(parties.partner(index), reply, own=own[:-1] + bytes([own[-1] ^ 1]))

    assert is_right(parties, collection, revealed(parties, collection, {4: lie}))
    assert [proof.accused for proof in parties.coordinator.proofs] == [4]


def test_seeds_that_do_not_fit_their_commitments_because_these_were_wrong_before() -> None:
    """It commits to something else, masks with its seeds and reveals them: proven, and its seeds are lost with it."""

    def lie(parties: Parties, index: int, reply: bytes) -> bytes:
        return masking_as(parties.partner(index), reply, commitments=bytes(32 * 9))

    parties, collection = agreed(liar=4, lie=lie)
    with pytest.raises(LostSeedsError) as caught:
        revealed(parties, collection, {})
    assert caught.value.partners == (4,)
    assert [proof.accused for proof in parties.coordinator.proofs] == [4]
    del parties.sites[4]
    parties.coordinator.contributions.pop(4)
    rest = parties.collect(1, {index: values(index) for index in parties.sites})
    parties.agree(rest)
    assert is_right(parties, rest, parties.reveal(rest)[0])


# Wrong shares


@pytest.mark.parametrize("dropped", [(), (9,)])
@pytest.mark.parametrize("liar", [1, 4, 8])
def test_wrong_shares_on_which_nothing_depends_are_named_all_the_same(liar: int, dropped: tuple[int, ...]) -> None:
    parties, collection = agreed(dropped=dropped)
    words = revealed(parties, collection, {liar: wrong_shares})
    assert is_right(parties, collection, words)
    assert set(collection.wrong) == {liar}
    assert parties.coordinator.proofs == []


@pytest.mark.parametrize("liars", [(1,), (3,), (1, 2), (4, 7), (1, 2, 3), (2, 5, 7)])
def test_up_to_answers_less_threshold_wrong_shares_of_a_silent_dealer_are_decoded_around(liars: tuple[int, ...]) -> None:
    """Eight answer and five are needed, so that three may be wrong."""
    parties, collection = agreed()
    words = revealed(parties, collection, dict.fromkeys(liars, wrong_shares), silent=(8,))
    assert is_right(parties, collection, words)
    assert set(collection.wrong) <= set(liars), "nobody is named who was right"
    if len(liars) == 1:
        assert set(collection.wrong) == set(liars)


@pytest.mark.parametrize("dealers", [(3,), (1, 2), (1, 2, 3), tuple(range(1, 10))])
def test_an_error_says_of_whose_seeds_shares_are_wrong_and_whether_a_dealer_may_be_at_fault(dealers: tuple[int, ...]) -> None:
    """Two of nine may misbehave: where three dealers' shares are wrong, one of these is honest."""
    parties, collection = agreed()

    def lie(parties: Parties, index: int, reply: bytes) -> bytes:
        return answering(parties.partner(index), reply, shares=spoiled(reply, places=[dealer - 1 for dealer in dealers]))

    revealed(parties, collection, {5: lie})
    assert set(collection.wrong) == ({5, *dealers} if len(dealers) < 3 else {5})
    said = f"partner 5: its shares of the seeds of partners {', '.join(map(str, dealers))} are wrong"
    assert str(collection.wrong[5]) == said + (", or were dealt wrong" if len(dealers) < 3 else "")


def test_wrong_shares_of_the_seeds_with_a_dropped_partner() -> None:
    parties, collection = agreed(dropped=(9,))

    def lie(parties: Parties, index: int, reply: bytes) -> bytes:
        return answering(parties.partner(index), reply, shares=spoiled(reply, places=range(1, 16, 2)))

    words = revealed(parties, collection, {2: lie}, silent=(8,))
    assert is_right(parties, collection, words)
    assert set(collection.wrong) == {2}


@pytest.mark.parametrize("silent", [(), (8,)])
def test_holders_that_collude_frame_nobody_and_spoil_nothing(silent: tuple[int, ...]) -> None:
    """Their wrong shares and some honest ones lie on one polynomial whose secret is right."""
    parties, collection = agreed(7, 5)
    silent = tuple(min(each, 7) for each in silent)
    framed = 1
    colluding = {2: framing((0, 3, 4, 5), parties.roster.threshold), 6: framing((0, 3, 4, 5), parties.roster.threshold)}
    words = revealed(parties, collection, colluding, silent)
    assert is_right(parties, collection, words)
    assert framed not in collection.wrong
    assert not set(collection.wrong) - {2, 6}


def framing(roots: tuple[int, ...], threshold: int) -> Lie:
    """Add to each share a polynomial that is 0 at the secret and at some honest holders' points."""
    assert len(roots) < threshold

    def lie(parties: Parties, index: int, reply: bytes) -> bytes:
        shift = 1
        for root in roots:
            shift = shift * (index - root) % shamir.PRIME
        revealed = wire.decode(UnmaskReply, reply).shares
        parts = [int.from_bytes(revealed[start : start + 32], "big") for start in range(0, len(revealed), 32)]
        return answering(parties.partner(index), reply, shares=b"".join(shamir.to_bytes((part + shift) % shamir.PRIME) for part in parts))

    return lie


def test_with_more_wrong_shares_than_that_the_dealers_seeds_are_lost_and_it_is_named() -> None:
    parties, collection = agreed()
    with pytest.raises(LostSeedsError) as caught:
        revealed(parties, collection, dict.fromkeys((1, 2, 3, 4), wrong_shares), silent=(8,))
    assert caught.value.partners == (8,)


@examples(15)
@given(st.data())
def test_whatever_up_to_three_of_nine_answer_the_sum_is_right_and_no_honest_partner_is_named(data: st.DataObject) -> None:
    parties, collection = agreed(dropped=data.draw(st.sampled_from([(), (5,)])))
    liars = data.draw(st.lists(st.sampled_from([each for each in collection.survivors if each != 8]), unique=True, max_size=2))
    kinds = {index: data.draw(st.sampled_from([wrong_seed, no_seeds, wrong_shares, nothing_opens])) for index in liars}
    silent = (8,) if data.draw(st.booleans()) and len(collection.survivors) == 9 else ()
    words = revealed(parties, collection, kinds, silent)
    assert is_right(parties, collection, words)
    assert set(collection.wrong) <= set(liars)
    assert {proof.accused for proof in parties.coordinator.proofs} == {i for i, kind in kinds.items() if kind in (wrong_seed, no_seeds)}


@pytest.mark.parametrize("unopened", [(), (1,), (4,)])
@pytest.mark.parametrize("dealer", [None, 8])
def test_who_says_that_some_shares_do_not_open_is_named_for_the_others_that_are_wrong(
    unopened: tuple[int, ...], dealer: int | None
) -> None:
    """Also while others say so rightly, of somebody who dealt what does not open."""

    def lie(parties: Parties, index: int, reply: bytes) -> bytes:
        said = wire.decode(UnmaskReply, reply).unopened
        return answering(parties.partner(index), reply, shares=spoiled(reply), unopened=tuple(sorted({*said, *unopened})))

    parties, collection = agreed() if dealer is None else agreed(liar=dealer, lie=sealed_garbage)
    words = revealed(parties, collection, {4: lie})
    assert is_right(parties, collection, words)
    assert set(collection.wrong) == {4} if dealer is None else {4, dealer}


# Dealers


def garbage(parties: Parties, index: int, reply: bytes) -> bytes:
    """Shares that lie on no polynomial of its secret."""
    return dealing(parties.partner(index), reply, lambda holder, about: bytes([holder, about]) * 16)


def sealed_garbage(parties: Parties, index: int, reply: bytes) -> bytes:
    """Bundles that do not open."""
    return masking_as(parties.partner(index), reply, bundle=(b"x" * (32 * 9 + 16),) * (9 - 5 + 1))


def too_few(parties: Parties, index: int, reply: bytes) -> bytes:
    """Bundles without the last share."""
    return dealing(parties.partner(index), reply, lambda holder, about: bytes(32), left_out=1)


@pytest.mark.parametrize("lie", [garbage, sealed_garbage])
def test_a_dealer_that_deals_garbage_and_reveals_its_seeds_spoils_nothing(lie: Lie) -> None:
    parties, collection = agreed(liar=4, lie=lie)
    words = revealed(parties, collection, {})
    assert is_right(parties, collection, words)
    assert parties.coordinator.proofs == []


@pytest.mark.parametrize("lie", [garbage, sealed_garbage])
def test_a_dealer_that_deals_garbage_and_falls_silent_is_named_and_the_next_round_does_without_it(lie: Lie) -> None:
    parties, collection = agreed(liar=4, lie=lie)
    with pytest.raises(LostSeedsError) as caught:
        revealed(parties, collection, {}, silent=(4,))
    assert caught.value.partners == (4,)
    del parties.sites[4]
    parties.coordinator.contributions.pop(4)
    rest = parties.collect(1, {index: values(index) for index in parties.sites})
    parties.agree(rest)
    assert is_right(parties, rest, parties.reveal(rest)[0])


def test_bundles_with_another_number_of_shares_are_no_masked_input() -> None:
    with pytest.raises(MalformedMessageError, match="partner 4 sent encrypted shares that have not 304 bytes each"):
        agreed(liar=4, lie=too_few)


@pytest.mark.parametrize("lie", [sealed_garbage, too_few])
def test_holders_say_whose_bundles_do_not_open_or_have_another_number_of_shares(lie: Lie) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Collection, "_check_input", lambda *_: None)  # a coordinator that lets everything pass
        parties, collection = _agreed.__wrapped__(9, 5, (), 4, lie)
    said = {
        index: wire.decode(UnmaskReply, parties.sites[index].answer(Step.UNMASK, collection.unmask_request(index))) for index in (1, 8, 9)
    }
    assert {index: answer.unopened for index, answer in said.items()} == {1: (4,), 8: (4,), 9: (4,)}


def test_bundles_that_were_altered_on_their_way_to_some_are_done_without() -> None:
    """Those of a silent dealer's."""
    altered((3, 4), silent=(8,))


@pytest.mark.parametrize(("places", "liar", "named"), [(2, None, set()), (3, None, {4}), (5, None, {4}), (2, 9, {4}), (1, 9, {4, 9})])
def test_a_dealer_is_named_whose_shares_are_wrong_or_do_not_open_at_more_partners_than_may_misbehave(
    places: int, liar: int | None, named: set[int]
) -> None:
    """Two of nine may. It reveals its seeds itself, so that nothing depends on what it dealt."""

    def some(parties: Parties, index: int, reply: bytes) -> bytes:
        masked = wire.decode_tagged(COLLECT_REPLIES, reply)
        assert isinstance(masked, MaskedInput)
        bundle = tuple(bytes(len(each)) if place < places else each for place, each in enumerate(masked.bundle))
        return masking_as(parties.partner(index), reply, bundle=bundle)

    def of_the_dealer(parties: Parties, index: int, reply: bytes) -> bytes:
        return answering(parties.partner(index), reply, shares=spoiled(reply, places=[3]))

    parties, collection = agreed(liar=4, lie=some)
    assert is_right(parties, collection, revealed(parties, collection, {} if liar is None else {liar: of_the_dealer}))
    assert set(collection.wrong) == named
    said = "it dealt partners 9 wrong shares, or they revealed other ones" if 9 in named else "what it dealt is not what it committed to"
    assert 4 not in named or said in str(collection.wrong[4])


def test_a_dealer_of_shares_that_lie_on_no_polynomial_is_named_and_no_holder_is() -> None:
    parties, collection = agreed(liar=4, lie=garbage)
    assert is_right(parties, collection, revealed(parties, collection, {}))
    assert set(collection.wrong) == {4}


def test_whoever_got_a_bundle_that_was_altered_is_not_named_for_it() -> None:
    altered((3,), silent=())


def test_bundles_that_do_not_open_are_left_out_before_any_wrong_share_is_searched_for() -> None:
    """Eight of twenty-nine holders could not open a silent dealer's: as wrong shares these would be too many to find."""
    session, dealer, cohort, threshold = b"s" * 32, 30, tuple(range(1, 31)), 21
    seed = b"k" * 32
    fixed = {point: [point * 2**200] for point in range(1, threshold)}
    dealt = fixed | shamir.deal([int.from_bytes(seed, "big")], fixed, range(threshold, 30))
    committed = keys.secret_commitment(session, 0, dealer, dealer, seed) + bytes(32 * 29)
    body = Header(dealer, *[bytes(32)] * 5, 0, *[bytes(32)] * 2)
    unopened = {holder: (dealer,) if holder % 3 == 0 and holder < 25 else () for holder in dealt}
    assert len(dealt) - sum(map(len, unopened.values())) == threshold
    answers = {
        holder: UnmaskReply(holder, (), b"", bytes(32) if unopened[holder] else shamir.to_bytes(share), unopened[holder], b"")
        for holder, (share,) in dealt.items()
    }
    unmasking = Unmasking(
        session=session,
        number=0,
        cohort=cohort,
        dropped=(),
        inputs={dealer: MaskedInput(SignedHeader(body, b""), committed, (), b"")},
        answers=answers,
        said={},
        threshold=threshold,
        tolerated=9,
    )
    assert unmasking.seeds() == {dealer: {dealer: seed}}


def altered(holders: tuple[int, ...], silent: tuple[int, ...]) -> None:
    """The bundles of partner 8 for some holders are altered on their way: the sum is right, and nobody is named."""
    parties, collection = agreed()
    for index in collection.signers():
        if index in silent:
            continue
        request = collection.unmask_request(index)
        if index in holders:  # of 3 to 7, whom partner 8 sends shares
            place = request.rindex(collection.inputs[8].bundle[index - 3][:32])
            request = request[:place] + bytes([request[place] ^ 1]) + request[place + 1 :]
        reply = parties.sites[index].answer(Step.UNMASK, request)
        assert wire.decode(UnmaskReply, reply).unopened == ((8,) if index in holders else ())
        collection.add_answer(index, reply)
    assert is_right(parties, collection, collection.unmask()[0])
    assert collection.wrong == {}
