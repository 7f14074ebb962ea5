"""One partner misbehaves: it is named, with a proof where it signed what it did, and the others finish without it."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Message

from strategies import message_records
from strategies.coordinator.exchange import RoundFailedError
from strategies.coordinator.secure_trunk import SecureTrunk
from strategies.partner.secure_partner import SecurePartner
from strategies.secagg import contributions, proofs, verification, wire
from strategies.secagg.consistency_messages import SurvivorsSignature, UnmaskReply
from strategies.secagg.messages import (
    COLLECT_REPLIES,
    CollectRequest,
    Complaint,
    Handover,
    MaskedInput,
    SessionParameters,
    ShareKeysReply,
    ShareKeysRequest,
    SignedAdvertisement,
)
from strategies.secagg.phases import Step
from strategies.secagg.roster import Roster
from tests.helpers.federation import alike, body, step
from tests.helpers.local_grid import LocalGrid
from tests.strategies.liars import HONEST, LIAR, Forge, header_of, left_out, lying, sign
from tests.strategies.secagg.misbehaving import unchecked
from tests.strategies.secagg.parties import identities
from tests.strategies.secagg.stuffed_proofs import stuffed
from tests.strategies.secagg.test_proofs import largest_unequal
from tests.strategies.toy import Toy, expected, state_of


def proven_in_transcript(toy: Toy, partner: int) -> list[tuple[str, int | None]]:
    """Kind of each proof that a partner wrote down, and whom it is about."""
    kept = [fact.value for entry in toy.entries(partner) for fact in entry.facts if fact.name == f"proof against partner {LIAR}"]
    return [(type(proofs.decode(each)).__name__, proofs.proven(toy.roster, each)) for each in kept]


def near(toy: Toy, arrays: list[np.ndarray]) -> bool:
    """Thirds of multiples of 2^-8 are rounded."""
    return all(np.allclose(one, other, atol=1e-6) for one, other in zip(toy.held(1).arrays, arrays, strict=True))


def test_a_partner_whose_key_cannot_be_used_is_left_out_and_proven_guilty(tmp_path: Path) -> None:
    toy = Toy(tmp_path)

    def forge(reply: bytes, roster: Roster) -> bytes:
        signed = wire.decode(SignedAdvertisement, reply)
        forged = replace(signed.body, kem=b"\xff" * len(signed.body.kem))
        parameters = toy.parameters(np.random.default_rng(0).bytes(32))
        return wire.encode(SignedAdvertisement(forged, sign(verification.advertisement_message(parameters, forged))))

    lying(toy, (Step.ADVERTISE_KEYS, "0"), forge)
    toy.federate()
    assert alike([toy.held(partner) for partner in HONEST], version=2)
    assert near(toy, expected(HONEST, rounds=2))
    assert [line.split(": ")[:3] for line in left_out(toy)] == [["AdvertiseKeys", "partner-3", "UnusableKeyError"]]
    assert all(proven_in_transcript(toy, partner) == [("UnusableKey", LIAR)] for partner in HONEST)


def contributing(toy: Toy, forge: Callable[[bytes, bytes], bytes], victim: int = 1) -> None:
    """The liar encrypts something else for one partner than for the others, and signs it.

    Args:
        forge: From its contributions to the key with that partner and to the group key to what it encrypts.
        victim: That partner.
    """

    def forge_reply(reply: bytes, roster: Roster) -> bytes:
        sent = wire.decode(ShareKeysReply, reply)
        shared = state_of(toy, LIAR).shared
        assert shared is not None
        request = next(body(m) for m in reversed(toy.grid.sent) if step(m) == Step.SHARE_KEYS)
        recipient = next(each.body for each in wire.decode(ShareKeysRequest, request).advertisements if each.body.index == victim)
        place = shared.recipients.index(victim)
        crafted = contributions.seal(shared.id, LIAR, recipient, forge(shared.sent[place], shared.group), b"")
        ciphertexts = (*sent.ciphertexts[:place], crafted, *sent.ciphertexts[place + 1 :])
        digests = b"".join(hashlib.sha256(each).digest() for each in ciphertexts)
        listed = replace(sent.contributions, digests=digests)
        signature = sign(verification.contributions_message(roster, shared.id, listed))
        return wire.encode(unchecked(ShareKeysReply, contributions=replace(listed, signature=signature), ciphertexts=ciphertexts))

    lying(toy, (Step.SHARE_KEYS, "0"), forge_reply)


@pytest.mark.parametrize("guard", [0, 10])
def test_a_partner_that_contributes_unequally_is_proven_guilty_and_the_others_begin_again(tmp_path: Path, guard: int) -> None:
    toy = Toy(tmp_path, guard=guard)
    contributing(toy, lambda pair, group: pair + b"x" * 32)
    toy.federate()
    assert alike([toy.held(partner) for partner in HONEST], version=2)
    if guard:
        assert near(toy, expected(HONEST, rounds=2))
    assert any("AdvertiseKeys: partner-3: ExcludedPartnerError: partner 3: it was proven to misbehave" in line for line in left_out(toy))
    assert not any("partner-1" in line or "partner-2" in line or "partner-4" in line for line in left_out(toy)), "nobody honest is named"
    assert all(proven_in_transcript(toy, partner) == [("UnequalContribution", LIAR)] for partner in HONEST)


@pytest.mark.parametrize("victim", [1, 4])
def test_whether_a_complaint_comes_first_or_last_nobody_who_answered_is_called_silent(tmp_path: Path, victim: int) -> None:
    toy = Toy(tmp_path)
    contributing(toy, lambda pair, group: pair + b"x" * 32, victim)
    toy.federate()
    assert alike([toy.held(partner) for partner in HONEST], version=2)
    assert {line.split(": ")[1] for line in left_out(toy)} == {"partner-3"}


@pytest.mark.parametrize("plain", [b"", b"x" * 65, b"x" * (9 << 20)], ids=["nothing", "one byte more", "9 MiB"])
def test_a_partner_whose_contribution_has_another_length_is_left_out_and_nobody_has_to_complain(tmp_path: Path, plain: bytes) -> None:
    """A proof of that would be longer than any is believed, and whoever complained be taken for a liar."""
    toy = Toy(tmp_path)
    contributing(toy, lambda pair, group: plain)
    toy.federate()
    assert alike([toy.held(partner) for partner in HONEST], version=2)
    (line,) = left_out(toy)
    assert line.startswith("ShareKeys: partner-3: MalformedMessageError: ciphertext has ")
    assert not any(entry.refused for partner in HONEST for entry in toy.entries(partner))


def test_a_wrong_contribution_that_is_found_when_a_trunk_is_asked_for_is_complained_about_with_the_next_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is behind lets the others be asked for their trunk first, and a reply to that can be no complaint."""
    monkeypatch.setattr(SecureTrunk, "_turn", lambda self, index: index)  # it is partner 1 that is asked
    toy = Toy(tmp_path)
    toy.federate()
    for path in (toy.side(4).folder.shared_trunk, toy.side(4).folder.trunk_before):
        path.unlink()
    toy.rounds = 4
    contributing(toy, lambda pair, group: pair + b"x" * 32)
    toy.federate()
    assert alike([toy.held(partner) for partner in HONEST], version=4)
    assert [entry.phase for entry in toy.entries(1) if entry.refused == "UnequalContributionError"] == [Step.HANDOVER, Step.COLLECT]
    assert all(proven_in_transcript(toy, partner) == [("UnequalContribution", LIAR)] for partner in HONEST)


def test_a_partner_that_says_wrong_seeds_is_proven_guilty_and_the_sum_is_right_all_the_same(tmp_path: Path) -> None:
    toy = Toy(tmp_path, rounds=3)

    def forge(reply: bytes, roster: Roster) -> bytes:
        answer = replace(wire.decode(UnmaskReply, reply), own=b"x" * 32)
        state = state_of(toy, LIAR)
        assert state.session is not None
        assert state.round is not None
        message = verification.answer_message(roster, state.session.id, state.round.number, answer)
        return wire.encode(replace(answer, signature=sign(message)))

    lying(toy, (Step.UNMASK, "2"), forge)
    toy.federate()
    assert alike([toy.held(partner) for partner in HONEST], version=3)
    assert [line.split(": ")[:3] for line in left_out(toy)][:1] == [["Unmasking", "partner-3", "WrongSecretError"]]
    assert all(proven_in_transcript(toy, partner) == [("WrongSecret", LIAR)] for partner in HONEST)


@pytest.mark.parametrize("silent", [False, True])
def test_a_partner_that_reveals_wrong_shares_is_named_and_they_are_decoded_around(tmp_path: Path, silent: bool) -> None:
    """Where partner 5 falls silent its seeds follow from six shares with a wrong one among them, for which two could be at fault."""
    toy = Toy(tmp_path, partners=7, rounds=2)

    def forge(reply: bytes, roster: Roster) -> bytes:
        answer = wire.decode(UnmaskReply, reply)
        answer = replace(answer, shares=b"x" * len(answer.shares))
        state = state_of(toy, LIAR)
        assert state.session is not None
        assert state.round is not None
        message = verification.answer_message(roster, state.session.id, state.round.number, answer)
        return wire.encode(replace(answer, signature=identities(7)[LIAR - 1].sign(message)))

    lying(toy, (Step.UNMASK, "1"), forge)
    honest_up = toy.grid.up
    if silent:
        away = (4, "1", Step.UNMASK)
        toy.grid.up = lambda partition, m: None if (partition, m.metadata.group_id, step(m)) == away else honest_up(partition, m)
    toy.federate()
    assert alike(toy.all_held(), version=2)
    named = ["Unmasking: partner-3: WrongShareError: partner 3: its shares of the seeds of partners 1, 2, 3, 4, 5, 6, 7 are wrong"]
    assert [line for line in left_out(toy) if line.startswith("Unmasking")] == (["Unmasking: partner-5: no reply"] if silent else named)


@pytest.mark.parametrize(
    ("field", "error"), [("trunk", "TrunkMismatchError"), ("contributions", "ContributionsMismatchError"), ("public", "FormMismatchError")]
)
@pytest.mark.parametrize("when", ["0", "1"])
def test_a_partner_whose_input_does_not_fit_the_others_is_named_and_nobody_else_is(
    tmp_path: Path, when: str, field: str, error: str
) -> None:
    toy = Toy(tmp_path)

    def forge(reply: bytes, roster: Roster) -> bytes:
        masked = wire.decode_tagged(COLLECT_REPLIES, reply)
        assert isinstance(masked, MaskedInput)
        if field != "public":
            return wire.encode_tagged(COLLECT_REPLIES, header_of(toy, masked, **{field: b"x" * 32}))
        longer, words = replace(masked, public=masked.public + bytes(4)), sent[0]
        return wire.encode_tagged(COLLECT_REPLIES, header_of(toy, longer, input=verification.input_digest(words, longer.public)))

    lying(toy, (Step.COLLECT, when), forge)
    forged, sent = toy.grid.up, list[np.ndarray]()

    def up(partition: int, message: Message) -> Message | None:
        if partition == LIAR - 1 and step(message) == Step.COLLECT:
            sent[:] = message_records.vectors(message.content, message_records.WORDS)
        return forged(partition, message)

    toy.grid.up = up
    toy.federate()
    assert alike([toy.held(partner) for partner in HONEST], version=2)
    named = [line.split(": ")[:3] for line in left_out(toy)]
    assert named == [["MaskedInputCollection", "partner-3", error]]


def test_whoever_answers_in_another_partners_name_is_named_itself(tmp_path: Path) -> None:
    renamed: dict[tuple[Step, str], Forge] = {
        (Step.CONSISTENCY, "1"): lambda reply, roster: wire.encode(replace(wire.decode(SurvivorsSignature, reply), index=1)),
        (Step.UNMASK, "2"): lambda reply, roster: wire.encode(replace(wire.decode(UnmaskReply, reply), index=1)),
    }
    for when, forge in renamed.items():
        toy = Toy(tmp_path / when[1])
        lying(toy, when, forge)
        toy.federate()
        (line,) = left_out(toy)
        assert line == f"{when[0]}: partner-3: AlteredReplyError: partner 3 answered in the name of partner 1"


FORGED: dict[str, Callable[[Handover], Handover]] = {
    "in the name of somebody honest": lambda offered: replace(offered, holder=1),
    "in the name of nobody": lambda offered: replace(offered, holder=77),
    "with another signature": lambda offered: replace(offered, signature=b"x" * len(offered.signature)),
    "with another digest": lambda offered: replace(offered, ciphertext=b"x" * 32),
}


@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED)
def test_a_partner_that_hands_over_what_it_did_not_sign_is_named_and_another_one_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forge: Callable[[Handover], Handover]
) -> None:
    monkeypatch.setattr(SecureTrunk, "_turn", lambda self, index: index != LIAR)  # it is the liar's turn first
    toy = Toy(tmp_path, rounds=5)
    lying(toy, (Step.HANDOVER, "4"), lambda reply, roster: wire.encode(forge(wire.decode(Handover, reply))))
    away = {(3, number, Step.COLLECT) for number in ("2", "3")}
    toy.grid.down = lambda partition, m: None if (partition, m.metadata.group_id, step(m)) in away else m
    toy.federate()
    assert alike(toy.all_held(), version=5)
    assert {line.split(": ")[1] for line in left_out(toy) if line.startswith("Handover")} == {"partner-3"}
    assert not any(entry.refused for entry in toy.entries(4))


CIPHERTEXTS: dict[str, Callable[[np.ndarray], list[np.ndarray]]] = {
    "none": lambda ciphertext: [],
    "in a column": lambda ciphertext: [ciphertext.reshape(-1, 1)],
    "in bytes with a sign": lambda ciphertext: [ciphertext.view(np.int8)],
}


@pytest.mark.parametrize("form", CIPHERTEXTS.values(), ids=CIPHERTEXTS)
def test_a_partner_that_hands_over_its_trunk_in_another_form_is_named_and_another_one_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: Callable[[np.ndarray], list[np.ndarray]]
) -> None:
    """Also where it signed these very bytes: what partners are sent has one form."""
    monkeypatch.setattr(SecureTrunk, "_turn", lambda self, index: index != LIAR)
    toy = Toy(tmp_path, rounds=5)

    def up(partition: int, message: Message) -> Message:
        if (partition, step(message), message.metadata.group_id) == (LIAR - 1, Step.HANDOVER, "4"):
            (ciphertext,) = message_records.vectors(message.content, message_records.HANDOVER)
            vectors = {message_records.HANDOVER: handed} if (handed := form(ciphertext)) else {}
            message.content = message_records.content(Step.HANDOVER, {message_records.BODY: body(message)}, vectors)
        return message

    away = {(3, number, Step.COLLECT) for number in ("2", "3")}
    toy.grid.up = up
    toy.grid.down = lambda partition, m: None if (partition, m.metadata.group_id, step(m)) in away else m
    toy.federate()
    assert alike(toy.all_held(), version=5)
    named = "Handover: partner-3: MalformedMessageError: a handover without the trunk's ciphertext"
    assert [line for line in left_out(toy) if line.startswith("Handover")] == [named]


def test_a_false_complaint_leaves_its_author_out_and_nobody_else(tmp_path: Path) -> None:
    toy = Toy(tmp_path)

    def forge(reply: bytes, roster: Roster) -> bytes:
        return wire.encode_tagged(COLLECT_REPLIES, Complaint(LIAR, 1, b"x" * 96))

    lying(toy, (Step.COLLECT, "1"), forge)
    toy.federate()
    assert alike([toy.held(partner) for partner in HONEST], version=2)
    assert [line for line in left_out(toy) if "complain" in line] == [
        "MaskedInputCollection: partner-3: AlteredReplyError: partner 3 complains about partner 1, and proves nothing"
    ]
    assert not any(fact.name.startswith("proof") for entry in toy.entries(1) for fact in entry.facts)


def test_a_proof_against_somebody_honest_or_with_something_else_in_it_is_kept_by_nobody(tmp_path: Path) -> None:
    """A lying coordinator carries made-up proofs, and such as a liar filled with something else: partners go on, and write down none."""
    toy, forged = Toy(tmp_path), list[bytes]()

    def down(partition: int, message: Message) -> Message:
        if step(message) == Step.SHARE_KEYS and not forged:
            advertisements = wire.decode(ShareKeysRequest, body(message)).advertisements
            forged.append(proofs.encode(proofs.UnusableKey(toy.parameters(np.random.default_rng(0).bytes(32)), advertisements[0])))
            forged.extend(proofs.encode(proof) for proof in stuffed(largest_unequal(toy.roster), toy.roster).values())
        if step(message) == Step.COLLECT and message.metadata.group_id == "1":
            asked = replace(wire.decode(CollectRequest, body(message)), proofs=(*forged, b"junk", b""))
            message.content[message_records.MESSAGE][message_records.BODY] = wire.encode(asked)
        return message

    toy.grid.down = down
    toy.federate()
    assert alike(toy.all_held(), version=2)
    assert not any(fact.name.startswith("proof") for partner in (1, 2, 3, 4) for entry in toy.entries(partner) for fact in entry.facts)


# Trunks that too few hold


def newer_for_one(toy: Toy) -> None:
    """Partner 2 alone gets the sum of round 2 before the coordinator dies."""
    toy.grid.down = lambda partition, m: None if step(m) == Step.FINISH and partition != 1 else m
    with pytest.raises(Exception, match="partners took in the sum"):
        toy.federate()
    assert [toy.held(partner).version for partner in (1, 2, 3, 4)] == [1, 2, 1, 1]


def test_a_lone_newer_trunk_is_given_up_by_its_holder_who_trains_that_round_anew(tmp_path: Path) -> None:
    toy = Toy(tmp_path)
    newer_for_one(toy)
    toy.rounds, toy.grid.down = 3, lambda partition, m: m
    toy.federate()
    assert alike(toy.all_held(), version=3)
    assert any(fact.name == "gone back to" for entry in toy.entries(2) for fact in entry.facts)


def test_one_partner_that_claims_a_newer_trunk_replaces_nobodys(tmp_path: Path) -> None:
    """It advertises a hundred rounds, and would hand anything over: nobody asks it."""
    toy = Toy(tmp_path)
    toy.federate()
    before = toy.held(1)

    def forge(reply: bytes, roster: Roster) -> bytes:
        signed = wire.decode(SignedAdvertisement, reply)
        forged = replace(signed.body, version=100, trunk=b"x" * 32, before=b"y" * 32)
        request = next(body(m) for m in reversed(toy.grid.sent) if step(m) == Step.ADVERTISE_KEYS)
        parameters = wire.decode(SessionParameters, request)
        return wire.encode(SignedAdvertisement(forged, sign(verification.advertisement_message(parameters, forged))))

    lying(toy, (Step.ADVERTISE_KEYS, "0"), forge)
    toy.rounds = 3
    toy.federate()
    assert not [m for m in toy.grid.sent if step(m) == Step.HANDOVER and m.metadata.dst_node_id == LocalGrid.node(LIAR - 1)]
    assert alike([toy.held(partner) for partner in HONEST], version=3)
    assert toy.held(1).before == before.name, "they went on from their own"


def test_a_partner_more_than_one_round_ahead_of_a_session_refuses_it(tmp_path: Path) -> None:
    """The others were set back to copies of round 1: it is for people to say what is lost."""
    toy = Toy(tmp_path, rounds=1)
    toy.federate()
    kept = {partner: (toy.home(partner) / "shared.safetensors").read_bytes() for partner in (1, 3, 4)}
    toy.rounds = 3
    toy.federate()
    for partner, content in kept.items():
        (toy.home(partner) / "shared.safetensors").write_bytes(content)
        (toy.home(partner) / "shared-before.safetensors").unlink()
    toy.rounds = 4
    toy.federate()
    assert [toy.held(partner).version for partner in (1, 2, 3, 4)] == [4, 3, 4, 4]
    assert "NoQuorumError" in {entry.refused for entry in toy.entries(2)}


def test_a_partner_goes_back_by_one_round_whatever_sessions_are_held_in_between(tmp_path: Path) -> None:
    """Partner 1 alone has the trunk of round 3. Of four, partner 3 stayed at round 1, and the fourth says later that it did, too."""
    toy = Toy(tmp_path, rounds=1)
    toy.federate()
    first = (toy.home(3) / "shared.safetensors").read_bytes()

    def without_the_third(partition: int, message: Message) -> Message | None:
        missed = partition == 2 and message.metadata.group_id in ("2", "3")
        return None if missed or (step(message) == Step.FINISH and partition) else message

    def until_masked(partition: int, message: Message) -> Message:
        if step(message) == Step.CONSISTENCY:
            raise KeyboardInterrupt
        return message

    toy.rounds, toy.grid.down = 3, without_the_third
    with pytest.raises(RoundFailedError):
        toy.federate()
    assert [toy.held(partner).version for partner in (1, 2, 3, 4)] == [3, 2, 1, 2]
    toy.grid.disconnect(2)
    toy.grid.down = until_masked
    with pytest.raises(KeyboardInterrupt):
        toy.federate()
    assert toy.held(1).version == 2, "the trunk of round 3 has no quorum"
    toy.grid.connect(2)
    toy.grid.disconnect(1)
    (toy.home(4) / "shared.safetensors").write_bytes(first)
    (toy.home(4) / "shared-before.safetensors").unlink()
    with pytest.raises((KeyboardInterrupt, RoundFailedError)):
        toy.federate()
    assert toy.held(1).version == 2
    assert toy.entries(1)[-1].refused == "NoQuorumError"


def test_the_trunk_before_stays_until_a_round_with_the_new_one_is_finished(tmp_path: Path) -> None:
    toy = Toy(tmp_path, rounds=3)
    toy.federate()
    held = SecurePartner(toy.side(1)).trunk.held
    assert held.before is not None
    assert (held.now.version, held.before.version, held.now.before) == (3, 2, held.before.name)


def test_a_partner_that_hands_over_junk_is_not_the_one_that_is_asked_in_every_session(tmp_path: Path) -> None:
    """It signs and seals something that is no trunk. Partner 4, which was away, gets another one's in one of the next sessions."""
    toy, liar = Toy(tmp_path, rounds=2), list[int]()
    honest = SecurePartner._hand_over

    def hand_over(self: SecurePartner, request: bytes) -> tuple[bytes, list[np.ndarray]]:
        liar.append(self.protocol.index)
        if self.protocol.index != liar[0]:
            return honest(self, request)
        self.protocol.asked_to_hand_over(request)
        message, ciphertext = self.protocol.hand_over(b"x" * 32, b"junk")
        return message, [np.frombuffer(ciphertext, dtype=np.uint8)]

    toy.grid.down = lambda partition, m: None if partition == 3 and step(m) in (Step.COLLECT, Step.FINISH) else m
    toy.federate()
    toy.grid.down, sessions = lambda partition, m: m, 0
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(SecurePartner, "_hand_over", hand_over)
        while toy.held(1).version < 10:
            toy.rounds, sessions = toy.rounds + 1, sessions + 1
            toy.federate()
    assert toy.held(4).version == 10
    assert "HandoverError" in {entry.refused for entry in toy.entries(4)}, "it met the junk"
