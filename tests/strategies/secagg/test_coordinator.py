"""The coordinator leaves out what does not hold, and goes on with the rest."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from strategies.secagg import keys, verification, wire
from strategies.secagg.collection import Collection
from strategies.secagg.consistency_messages import SurvivorsSignature, UnmaskReply
from strategies.secagg.errors import (
    AlteredReplyError,
    BehindError,
    MalformedMessageError,
    RepeatedPartnerError,
    SecAggError,
    SignatureError,
    UnknownPartnerError,
    WrongSecretError,
)
from strategies.secagg.messages import Header, Holding, MaskedInput, ShareKeysReply, SignedAdvertisement, cohort_digest
from strategies.secagg.phases import Step
from tests.strategies.secagg.misbehaving import answering, signed_header
from tests.strategies.secagg.stages import PARTNERS, TRUNK, VERSION, Stage, before, ends_well, read_reply, written_reply


def arrives(at: Stage, index: int, error: type[SecAggError], /, **changes: object) -> None:
    """A partner's reply with some fields replaced is left out; the honest one is taken afterwards."""
    reply = at.deliver(index, at.requests[index])
    with pytest.raises(SecAggError) as caught:
        at.taken(index, written_reply(at.step, replace(read_reply(at.step, reply), **changes)))
    assert caught.type is error, caught.value
    at.taken(index, reply)


# AdvertiseKeys and ShareKeys


def test_an_advertisement_from_outside_the_roster() -> None:
    at = before(Step.ADVERTISE_KEYS)
    body = wire.decode(SignedAdvertisement, at.copy().send(2)).body
    arrives(at, 1, UnknownPartnerError, body=replace(body, index=5))


def test_two_nodes_that_call_themselves_the_same_partner() -> None:
    at = before(Step.ADVERTISE_KEYS)
    at.taken(2, at.send(2))
    with pytest.raises(RepeatedPartnerError, match="two nodes call themselves partner 2"):
        at.taken(1, at.copy().send(2))


@pytest.mark.parametrize(
    "changes", [{"sender": 2}, {"recipients": (2, 3), "digests": bytes(64)}, {"recipients": (2, 4, 3)}, {"recipients": (1, 2, 3)}]
)
def test_contributions_in_another_name_or_not_for_everybody(changes: dict[str, object]) -> None:
    at = before(Step.SHARE_KEYS)
    listed = wire.decode(ShareKeysReply, at.copy().send(1)).contributions
    arrives(at, 1, AlteredReplyError, contributions=replace(listed, **changes))


def test_an_advertisement_that_was_altered_on_its_way() -> None:
    at = before(Step.ADVERTISE_KEYS)
    body = wire.decode(SignedAdvertisement, at.copy().send(1)).body
    arrives(at, 1, AlteredReplyError, body=replace(body, nonce=b"x" * 32))


def test_contributions_whose_list_was_altered_on_its_way() -> None:
    at = before(Step.SHARE_KEYS)
    listed = wire.decode(ShareKeysReply, at.copy().send(1)).contributions
    arrives(at, 1, SignatureError, contributions=replace(listed, digests=bytes(len(listed.digests))))


def test_contributions_whose_ciphertexts_were_altered_on_their_way() -> None:
    at = before(Step.SHARE_KEYS)
    sealed = wire.decode(ShareKeysReply, at.copy().send(1)).ciphertexts
    arrives(at, 1, AlteredReplyError, ciphertexts=(b"x" * len(sealed[0]), *sealed[1:]))


def test_contributions_without_their_ciphertexts() -> None:
    at = before(Step.SHARE_KEYS)
    sealed = wire.decode(ShareKeysReply, at.copy().send(1)).ciphertexts
    arrives(at, 1, AlteredReplyError, ciphertexts=sealed[1:])


# MaskedInputCollection


def test_an_input_whose_header_was_altered() -> None:
    at = before(Step.COLLECT)
    header = read_reply(Step.COLLECT, at.copy().send(1)).header
    arrives(at, 1, SignatureError, header=replace(header, body=replace(header.body, trunk=b"x" * 32)))


@pytest.mark.parametrize(
    "changes", [{"bundle": ()}, {"bundle": (b"x", b"y")}, {"bundle": (b"x", b"y", b"z")}, {"public": b"x" * 4}, {"public": b""}]
)
def test_an_input_whose_shares_or_public_words_were_altered(changes: dict[str, object]) -> None:
    arrives(before(Step.COLLECT), 1, AlteredReplyError, **changes)


def test_a_reply_that_a_former_version_would_send_is_not_misread_and_others_are_taken() -> None:
    """Without its tag it begins with the 0 of a partner's index, which is no tag; one of 8 bytes no more means that a trunk is lacking."""
    at = before(Step.COLLECT)
    tagged = at.deliver(1, at.requests[1])
    for untagged in (tagged[1:], wire.encode(Holding(1, VERSION))):
        with pytest.raises(
            MalformedMessageError, match="a message of kind 0, and there are 1 MaskedInput, 2 Holding, 3 Complaint: .*another version"
        ):
            at.taken(1, untagged)
    at.taken(1, tagged)


@pytest.mark.parametrize(
    ("own", "error"),
    [(32, None), (31, WrongSecretError), (33, WrongSecretError), (32 * 4, WrongSecretError), (32 * 4 + 1, MalformedMessageError)],
)
def test_an_answer_with_another_number_of_own_seeds_is_a_proof_unless_it_is_longer_than_any(
    own: int, error: type[SecAggError] | None
) -> None:
    at = before(Step.UNMASK)
    reply = at.deliver(1, at.requests[1])
    said = wire.decode(UnmaskReply, reply).own
    lied = answering(at.partner(1), reply, own=(said * 5)[:own])
    if error is None:
        at.taken(1, lied)
        return
    with pytest.raises(SecAggError) as caught:
        at.taken(1, lied)
    assert caught.type is error
    assert len(at.parties.coordinator.proofs) == (error is WrongSecretError)


@pytest.mark.parametrize(
    ("unopened", "fits"), [((), True), ((2,), True), ((1, 2, 3), True), ((4,), False), ((5,), False), ((2, 2), False), ((3, 2), False)]
)
def test_an_answer_names_survivors_alone_as_dealers_whose_shares_do_not_open(unopened: tuple[int, ...], fits: bool) -> None:
    at = before(Step.UNMASK, dropped=(4,))
    said = answering(at.partner(1), at.deliver(1, at.requests[1]), unopened=unopened)
    if fits:
        at.taken(1, said)
        return
    with pytest.raises(MalformedMessageError, match="others than survivors"):
        at.taken(1, said)


@pytest.mark.parametrize("tag", [0, 2, 3, 255])
def test_a_masked_input_under_another_tag_is_refused(tag: int) -> None:
    at = before(Step.COLLECT)
    with pytest.raises(MalformedMessageError):
        at.taken(1, bytes([tag]) + at.send(1)[1:])


def test_a_partner_that_says_it_lacks_the_trunk_is_no_fault_and_not_in_the_sum() -> None:
    at = before(Step.COLLECT)
    assert at.collection is not None
    with pytest.raises(BehindError, match="it holds the trunk of round 2, and gets the newest first"):
        at.taken(4, written_reply(Step.COLLECT, Holding(4, VERSION - 1)))
    assert at.collection.inputs == {}
    for index in (1, 2, 3):
        at.taken(index, at.deliver(index, at.requests[index]))
    ends_well(at, survivors=(1, 2, 3))


def test_a_masked_input_without_its_vector() -> None:
    at = before(Step.COLLECT)
    assert at.collection is not None
    with pytest.raises(MalformedMessageError, match="without its vector"):
        at.collection.add_input(1, at.send(1), None)


def test_an_input_of_another_partner() -> None:
    at = before(Step.COLLECT)
    reply = at.send(2)
    at.parties.sites[1].words = at.parties.sites[2].words
    with pytest.raises(AlteredReplyError):
        at.taken(1, reply)


def test_an_input_for_another_cohort() -> None:
    at = before(Step.COLLECT)
    reply = at.send(1, cohort=(1, 2, 4))
    for cohort in (PARTNERS, (1, 2, 3)):
        at.collection = Collection(at.parties.coordinator, 0, cohort)
        with pytest.raises(AlteredReplyError):
            at.taken(1, reply)


@pytest.mark.parametrize("number", [1, 2**32 - 2])
def test_an_input_of_another_round(number: int) -> None:
    at = before(Step.COLLECT)
    with pytest.raises(SignatureError):
        at.taken(1, at.send(1, number=number))


@pytest.mark.parametrize("word", range(7))
def test_a_masked_vector_with_one_bit_altered(word: int) -> None:
    at = before(Step.COLLECT)
    reply = at.send(1)
    at.parties.sites[1].words[word] ^= np.uint32(1 << (4 * word))
    with pytest.raises(AlteredReplyError):
        at.taken(1, reply)


def test_a_masked_vector_of_another_form() -> None:
    at = before(Step.COLLECT)
    reply, words = at.send(1), at.parties.sites[1].words
    for other in (
        words[:-1],
        np.append(words, words[:1]),
        words.view("<u2"),
        words.view("<i4"),
        words.reshape(1, -1),
        words.reshape(-1, 1),
    ):
        at.parties.sites[1].words = other
        with pytest.raises(AlteredReplyError):
            at.taken(1, reply)


def made_up(
    at: Stage,
    index: int,
    cohort: tuple[int, ...],
    words: int,
    bundle: tuple[bytes, ...],
    public: bytes = b"",
    commitments: bytes | None = None,
) -> bytes:
    """What a partner signs though it is not so; its vector is of 7 zeros."""
    partner = at.partner(index)
    partner.collect(at.requests[index])
    at.parties.sites[index].words = np.zeros(7, dtype="<u4")
    confirmation = keys.confirmation(partner.session.group, partner.session.id, 0, index)
    commitments = bytes(32 * len(cohort)) if commitments is None else commitments
    header = Header(
        index=index,
        cohort=cohort_digest(cohort),
        trunk=TRUNK,
        contributions=partner.session.contributions,
        confirmation=confirmation,
        secrets=hashlib.sha256(commitments).digest(),
        words=words,
        input=verification.input_digest(at.parties.sites[index].words, public),
        bundle=verification.bundle_digest(bundle),
    )
    return written_reply(Step.COLLECT, MaskedInput(signed_header(partner, 0, header), commitments, bundle, public))


def test_an_input_of_a_partner_that_was_not_asked() -> None:
    at = before(Step.COLLECT)
    at.collection = Collection(at.parties.coordinator, 0, (1, 2, 3))
    with pytest.raises(AlteredReplyError):
        at.taken(4, made_up(at, 4, (1, 2, 3), 7, ()))


@pytest.mark.parametrize(
    ("words", "bundle"), [(7, ()), (7, (b"x" * 144,)), (7, (b"x" * 144,) * 3), (6, (b"x" * 144,) * 2), (8, (b"x" * 144,) * 2)]
)
def test_an_input_that_does_not_have_the_form_that_its_sender_signed(words: int, bundle: tuple[bytes, ...]) -> None:
    at = before(Step.COLLECT)
    with pytest.raises(AlteredReplyError):
        at.taken(1, made_up(at, 1, PARTNERS, words, bundle))


@pytest.mark.parametrize("length", [0, 143, 145, 1 << 23])
def test_encrypted_shares_of_another_length_which_no_holder_is_sent(length: int) -> None:
    at = before(Step.COLLECT)
    with pytest.raises(MalformedMessageError, match="partner 1 sent encrypted shares that have not 144 bytes each"):
        at.taken(1, made_up(at, 1, PARTNERS, 7, (b"x" * 144, b"x" * length)))


@pytest.mark.parametrize("length", [1, 3, 6])
def test_public_words_that_are_not_whole(length: int) -> None:
    at = before(Step.COLLECT)
    with pytest.raises(AlteredReplyError):
        at.taken(1, made_up(at, 1, PARTNERS, 7, (b"x",) * 2, b"x" * length))


@pytest.mark.parametrize("commitments", [b"", bytes(96), bytes(127), bytes(160)])
def test_commitments_that_are_not_one_for_each_partner_of_the_cohort(commitments: bytes) -> None:
    at = before(Step.COLLECT)
    with pytest.raises(AlteredReplyError, match="commitments of partner 1"):
        at.taken(1, made_up(at, 1, PARTNERS, 7, (b"x",) * 2, commitments=commitments))


def test_commitments_that_its_sender_did_not_sign() -> None:
    arrives(before(Step.COLLECT), 1, AlteredReplyError, commitments=bytes(128))


def test_what_is_made_up_is_refused_for_nothing_else_than_what_is_wrong_with_it() -> None:
    at = before(Step.COLLECT)
    at.taken(1, made_up(at, 1, PARTNERS, 7, (b"x" * 144,) * 2))


def test_a_second_input_of_a_partner() -> None:
    at = before(Step.COLLECT)
    for index in PARTNERS:
        at.taken(index, at.send(index))
    with pytest.raises(AlteredReplyError):
        at.taken(1, at.send(1))
    ends_well(at, survivors=PARTNERS)


@pytest.mark.parametrize(("name", "value"), [("values", np.zeros(5)), ("shown", np.zeros(2))])
def test_a_partner_with_another_form_counts_as_dropped(name: str, value: object) -> None:
    at = before(Step.COLLECT)
    setattr(at.parties.sites[2], name, value)
    for index in PARTNERS:
        at.taken(index, at.send(index))
    ends_well(at, survivors=(1, 3, 4))


def test_a_partner_that_masks_from_another_trunk_counts_as_dropped() -> None:
    at = before(Step.COLLECT)
    with pytest.MonkeyPatch.context() as other:
        other.setattr(at.parties.sites[2], "basis", lambda: b"x" * 32)
        for index in PARTNERS:
            at.taken(index, at.send(index))
    ends_well(at, survivors=(1, 3, 4))


def test_an_input_that_was_left_out_counts_as_dropped() -> None:
    at = before(Step.COLLECT)
    for index in PARTNERS:
        reply = at.send(index)
        if index == 3:
            at.parties.sites[3].words[0] ^= np.uint32(1)
            with pytest.raises(AlteredReplyError):
                at.taken(3, reply)
        else:
            at.taken(index, reply)
    ends_well(at, survivors=(1, 2, 4))


# ConsistencyCheck and Unmasking


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"survivors": b"x" * 32}, SignatureError),
        ({"index": 2}, AlteredReplyError),
        ({"index": 5}, AlteredReplyError),
        ({"signature": b""}, SignatureError),
    ],
)
def test_an_altered_signature_on_the_survivors(changes: dict[str, object], error: type[SecAggError]) -> None:
    arrives(before(Step.CONSISTENCY), 1, error, **changes)


def test_a_signature_on_other_survivors() -> None:
    at = before(Step.CONSISTENCY)
    with pytest.raises(AlteredReplyError):
        at.taken(1, at.send(1, survivors=(1, 2, 3), dropped=(4,), headers=at.request().headers[:3]))


def test_another_partners_signature() -> None:
    at = before(Step.CONSISTENCY)
    with pytest.raises(AlteredReplyError):
        at.taken(1, at.send(2))


def test_a_signature_of_a_partner_that_dropped_out() -> None:
    at = before(Step.CONSISTENCY, dropped=(4,))
    assert at.collection is not None
    held = wire.decode(SurvivorsSignature, at.send(1))
    tag = keys.tag(Step.CONSISTENCY, at.parties.roster.digest(), at.parties.coordinator.session, 0)
    forced = SurvivorsSignature(4, held.survivors, at.partner(4).identity.sign(tag + held.survivors))
    with pytest.raises(AlteredReplyError):
        at.collection.add_signature(4, wire.encode(forced))


@pytest.mark.parametrize("changes", [{"shares": b""}, {"shares": b"x" * 127}, {"shares": b"x" * 160}])
def test_shares_of_another_number(changes: dict[str, object]) -> None:
    at = before(Step.UNMASK)
    reply = at.send(1)
    with pytest.raises(MalformedMessageError, match="bytes of shares, not 128"):
        at.taken(1, answering(at.partner(1), reply, **changes))
    at.taken(1, reply)


def test_shares_of_another_holder() -> None:
    at = before(Step.UNMASK)
    reply = at.send(2)
    with pytest.raises(AlteredReplyError, match="partner 1 answered in the name of partner 2"):
        at.taken(1, reply)


@pytest.mark.parametrize("changes", [{"own": bytes(32)}, {"shares": bytes(128)}, {"unopened": (2,)}, {"signature": b""}])
def test_an_answer_that_was_altered_on_its_way(changes: dict[str, object]) -> None:
    arrives(before(Step.UNMASK), 1, SignatureError, **changes)


def test_an_answer_for_other_dropped_partners() -> None:
    at = before(Step.UNMASK, dropped=(4,))
    reply = at.send(1)
    with pytest.raises(AlteredReplyError, match="other dropped partners"):
        at.taken(1, answering(at.partner(1), reply, dropped=(3,)))
    at.taken(1, reply)


def test_shares_of_a_partner_that_dropped_out() -> None:
    at = before(Step.UNMASK, dropped=(4,))
    assert at.collection is not None
    made_up_answer = answering(at.partner(4), wire.encode(UnmaskReply(4, (4,), bytes(64), bytes(3 * 2 * 32), (), b"")))
    with pytest.raises(MalformedMessageError, match="of nobody who survived"):
        at.collection.add_answer(4, made_up_answer)


def test_the_sum_is_the_same_whichever_partners_answer() -> None:
    for silent in PARTNERS:
        at = before(Step.UNMASK)
        for index in PARTNERS:
            if index != silent:
                at.taken(index, at.send(index))
        ends_well(at, survivors=PARTNERS)


def test_the_trunk_to_start_from_is_held_by_members_alone() -> None:
    at = before(Step.ADVERTISE_KEYS)
    at.parties.sites[1].trunk = b"x" * 32
    at = at.on()
    assert at.parties.coordinator.agreed_trunk() == (3, ())
    at.on(lost=(2,))
    assert at.parties.coordinator.agreed_trunk() == (3, (3, 4))
