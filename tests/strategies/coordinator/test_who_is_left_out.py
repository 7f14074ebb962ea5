"""Whose seeds are lost, who is not heard of, who hands over what is of no use: who is left out for it, how long, and at what cost."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Context, Message, RecordDict

from strategies import message_records
from strategies.coordinator.secure_trunk import SecureTrunk
from strategies.coordinator.standing import FORGIVEN_AFTER, Standing
from strategies.partner.secure_partner import SecurePartner
from strategies.secagg import verification, wire
from strategies.secagg.errors import RoundAbandonedError
from strategies.secagg.messages import COLLECT_REPLIES, Holding, MaskedInput
from strategies.secagg.phases import Step
from strategies.secagg.repetition import RepetitionLimits
from strategies.secagg.roster import Roster
from tests.helpers.federation import alike, body, step
from tests.helpers.local_grid import RUN_ID, LocalGrid
from tests.strategies.liars import HONEST, LIAR, dealing_garbage, header_of, left_out, lying, with_wrong_shares
from tests.strategies.toy import Toy


def sessions(toy: Toy) -> int:
    return sum(exchange.phase == Step.ADVERTISE_KEYS for exchange in toy.journal())


# Whose seeds are lost


def test_a_partner_whose_seeds_are_lost_in_set_up_is_left_out_of_the_next_attempt(tmp_path: Path) -> None:
    """It masks its row list, deals shares that do not open, and falls silent."""
    toy = Toy(tmp_path, partners=7)

    def forge(reply: bytes, roster: Roster) -> bytes:
        masked = wire.decode_tagged(COLLECT_REPLIES, reply)
        assert isinstance(masked, MaskedInput)
        bundle = tuple(bytes(len(each)) for each in masked.bundle)
        return wire.encode_tagged(
            COLLECT_REPLIES, header_of(toy, replace(masked, bundle=bundle), bundle=verification.bundle_digest(bundle))
        )

    lying(toy, (Step.COLLECT, "0"), forge)
    away = (LIAR - 1, Step.CONSISTENCY)
    toy.grid.down = lambda partition, m: None if (partition, step(m)) == away else m
    toy.federate()
    others = [partner for partner in range(1, 8) if partner != LIAR]
    assert alike([toy.held(partner) for partner in others], version=2)
    assert not toy.side(LIAR).folder.shared_trunk.exists()
    assert {line.split(": ")[1] for line in left_out(toy)} == {"partner-3"}


def test_partners_that_lose_their_seeds_one_after_the_other_cost_an_attempt_each_and_end_no_set_up(tmp_path: Path) -> None:
    toy = Toy(tmp_path, partners=7)
    dealing_garbage(toy, {3: "0", 4: "0"})
    toy.federate()
    assert alike([toy.held(partner) for partner in (1, 2, 5, 6, 7)], version=2)
    assert {line.split(": ")[1] for line in left_out(toy)} == {"partner-3", "partner-4"}


def test_a_partner_that_loses_its_seeds_leaves_and_comes_back_begins_no_sessions(tmp_path: Path) -> None:
    """The others' limit of sessions would be used up long before the last round."""
    toy = Toy(tmp_path, rounds=12)
    dealing_garbage(toy, {LIAR: "0"})

    def down(partition: int, message: Message) -> Message:
        number, there = message.metadata.group_id, LocalGrid.node(LIAR - 1) in toy.grid.contexts
        if step(message) == Step.UNMASK and number == "0" and there:
            toy.grid.disconnect(LIAR - 1)
        if step(message) == Step.CONSISTENCY and number != "0" and not there:
            toy.grid.connect(LIAR - 1)
        return message

    toy.grid.down = down
    toy.federate()
    assert alike([toy.held(partner) for partner in HONEST], version=12)
    assert sum(exchange.phase == Step.ADVERTISE_KEYS for exchange in toy.journal()) == 4, "twice with the liar and twice without it"


def test_an_honest_partner_whose_answer_is_lost_beside_a_liars_shares_is_asked_again_in_the_next_round(tmp_path: Path) -> None:
    toy = Toy(tmp_path, rounds=4)

    lying(toy, (Step.UNMASK, "1"), lambda reply, roster: with_wrong_shares(toy, reply, LIAR))
    forged, lost = toy.grid.up, list[Message]()

    def up(partition: int, message: Message) -> Message | None:
        if partition == 3 and step(message) == Step.UNMASK and message.metadata.group_id == "1" and not lost:
            return lost.append(message)
        return forged(partition, message)

    toy.grid.up = up
    toy.federate()
    assert alike(toy.all_held(), version=4)
    asked = {m.metadata.group_id for m in toy.grid.sent if step(m) == Step.COLLECT and m.metadata.dst_node_id == LocalGrid.node(3)}
    assert asked == {"0", "1", "2", "3", "4"}


def test_an_honest_partner_whose_seeds_were_lost_in_set_up_takes_part_from_the_first_round_on(tmp_path: Path) -> None:
    """Somebody else's shares of them were wrong, and its own answer got lost, once: it is asked again."""
    toy = Toy(tmp_path, partners=7, rounds=3)
    unlucky, sessions = {LIAR: "0"}, list[Message]()
    dealing_garbage(toy, unlucky)

    def down(partition: int, message: Message) -> Message:
        if step(message) == Step.ADVERTISE_KEYS and partition == LIAR - 1:
            sessions.append(message)
            if len(sessions) > 1:
                unlucky.clear()
        return message

    toy.grid.down = down
    toy.federate()
    assert alike(toy.all_held(), version=3)
    assert (len(sessions), sum(exchange.phase == Step.ADVERTISE_KEYS for exchange in toy.journal())) == (2, 3)


def test_whose_seeds_are_lost_twice_is_left_alone_until_many_rounds_are_behind_the_trunk() -> None:
    standing = Standing()
    standing.lost_seeds([3])
    assert set(standing.left_alone()) == {3}
    standing.finished()
    assert standing.left_alone() == {}
    standing.lost_seeds([3])
    standing.finished()
    assert set(standing.left_alone()) == {3}
    standing.forgive(FORGIVEN_AFTER - 1)
    assert set(standing.left_alone()) == {3}
    standing.forgive(FORGIVEN_AFTER)
    assert standing.left_alone() == {}
    standing.lost_seeds([3])
    standing.finished()
    standing.forgive(2 * FORGIVEN_AFTER - 1)
    standing.lost_seeds([3])
    standing.finished()
    assert set(standing.left_alone()) == {3}


@pytest.mark.parametrize("partners", [4, 7])
def test_a_partner_that_loses_its_seeds_and_comes_back_as_another_node_uses_up_nobodys_sessions(tmp_path: Path, partners: int) -> None:
    toy = Toy(tmp_path, partners=partners, rounds=3, repetition=RepetitionLimits.of_run(3, 50))
    node = LocalGrid.node(LIAR - 1)

    def another_node() -> int:
        toy.grid.contexts.pop(node)
        config = {"partition-id": LIAR - 1, "num-partitions": partners}
        toy.grid.contexts[node + 1000] = Context(RUN_ID, node + 1000, config, RecordDict(), {})
        return node + 1000

    def up(partition: int, message: Message) -> Message | None:
        nonlocal node
        if partition != node - LocalGrid.node(0) or message.metadata.group_id != "0" or not message.has_content():
            return message
        if step(message) == Step.CONSISTENCY:
            node = another_node()
            return None
        if step(message) == Step.COLLECT:
            masked = wire.decode_tagged(COLLECT_REPLIES, body(message))
            assert isinstance(masked, MaskedInput)
            bundle = tuple(bytes(len(each)) for each in masked.bundle)
            forged = header_of(toy, replace(masked, bundle=bundle), LIAR, bundle=verification.bundle_digest(bundle))
            message.content[message_records.MESSAGE][message_records.BODY] = wire.encode_tagged(COLLECT_REPLIES, forged)
        return message

    toy.grid.up = up
    toy.federate()
    assert alike([toy.held(partner) for partner in range(1, partners + 1) if partner != LIAR], version=3)
    assert sessions(toy) <= 2 + 3
    assert {line.split(": ")[1] for line in left_out(toy)} == {"partner-3"}


def test_an_unlucky_partner_comes_back_also_where_somebody_makes_every_round_begin_a_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two liars reveal wrong shares when partner 7's answer is lost, twice; then one of them is away whenever a session begins."""
    monkeypatch.setattr("strategies.coordinator.standing.FORGIVEN_AFTER", 4)
    toy = Toy(tmp_path, partners=7, rounds=8, repetition=RepetitionLimits.of_run(8, 50))

    def up(partition: int, message: Message) -> Message | None:
        if step(message) != Step.UNMASK or message.metadata.group_id not in ("1", "2") or not message.has_content():
            return message
        if partition + 1 in (3, 4):
            forged = with_wrong_shares(toy, body(message), partition + 1)
            message.content[message_records.MESSAGE][message_records.BODY] = forged
        return None if partition == 6 else message

    def down(partition: int, message: Message) -> Message:
        there = LocalGrid.node(LIAR - 1) in toy.grid.contexts
        if step(message) == Step.ADVERTISE_KEYS and partition == LIAR - 1 and there and toy.journal():
            toy.grid.disconnect(LIAR - 1)
        if step(message) == Step.CONSISTENCY and not there:
            toy.grid.connect(LIAR - 1)
        return message

    toy.grid.up, toy.grid.down = up, down
    toy.federate()
    assert alike([toy.held(partner) for partner in (1, 2, 5, 6, 7)], version=8)


def test_whose_seeds_are_lost_because_nobody_can_open_its_shares_is_named_for_it(tmp_path: Path) -> None:
    toy = Toy(tmp_path, partners=7)
    dealing_garbage(toy, {LIAR: "1"})
    toy.federate()
    assert alike([toy.held(partner) for partner in (1, 2, 4, 5, 6, 7)], version=2)
    assert any(line.startswith("Unmasking: partner-3: WrongShareError") for line in left_out(toy))
    assert {line.split(": ")[1] for line in left_out(toy)} == {"partner-3"}


# Who is not heard of


@pytest.mark.parametrize("asked", [Step.ADVERTISE_KEYS, Step.SHARE_KEYS])
def test_a_partner_that_fails_once_while_a_session_begins_takes_part_from_the_first_round_on(tmp_path: Path, asked: Step) -> None:
    toy, failed = Toy(tmp_path, rounds=3), list[Message]()

    def up(partition: int, message: Message) -> Message | None:
        if partition == 1 and step(message) == asked and not failed:
            return failed.append(message)
        return message

    toy.grid.up = up
    toy.federate()
    assert alike(toy.all_held(), version=3)
    assert sessions(toy) == 2


def test_a_partner_that_always_fails_costs_the_others_one_session(tmp_path: Path) -> None:
    """As one whose policy refuses: it is asked once more, and then whenever a session begins anyway."""
    toy = Toy(tmp_path, rounds=5)
    toy.grid.up = lambda partition, message: None if partition == 1 else message
    toy.federate()
    assert alike([toy.held(partner) for partner in (1, 3, 4)], version=5)
    assert sessions(toy) == 2


# Who hands over what is of no use


@pytest.mark.parametrize(("partners", "liars", "holders"), [(4, (3,), (1, 3)), (7, (3, 4), (1, 3, 4))])
def test_liars_that_hand_junk_over_after_a_restart_are_tried_once_each_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, partners: int, liars: tuple[int, ...], holders: tuple[int, ...]
) -> None:
    """The coordinator died while it took the sum home: one honest partner has it, and all the liars."""
    toy = Toy(tmp_path, partners=partners, rounds=3)

    def dying(partition: int, message: Message) -> Message | None:
        if step(message) == Step.COLLECT and message.metadata.group_id == "2":
            if partition + 1 == partners:
                raise KeyboardInterrupt
            return message if partition + 1 in holders else None
        return message

    toy.grid.down = dying
    with pytest.raises(KeyboardInterrupt):
        toy.federate()
    honest = SecurePartner._hand_over

    def hand_over(self: SecurePartner, request: bytes) -> tuple[bytes, list[np.ndarray]]:
        if self.protocol.index not in liars:
            return honest(self, request)
        self.protocol.asked_to_hand_over(request)
        message, ciphertext = self.protocol.hand_over(b"x" * 32, b"junk")
        return message, [np.frombuffer(ciphertext, dtype=np.uint8)]

    monkeypatch.setattr(SecurePartner, "_hand_over", hand_over)
    monkeypatch.setattr(SecureTrunk, "_turn", lambda self, index: (self._of_no_use[index], index not in liars))  # theirs is the first turn
    toy.grid.down = lambda partition, message: message
    toy.federate()
    assert alike([toy.held(partner) for partner in range(1, partners + 1) if partner not in liars], version=3)
    for liar in liars:
        assert any(f"could not answer; it was sent the trunk of partner-{liar}" in line for line in left_out(toy))


def test_an_attempt_that_a_holder_spoiled_for_the_first_time_is_none_and_the_next_ones_are(tmp_path: Path) -> None:
    """Else a run would go on for ever whose only holder was of no use once, and whose other partners then fall silent."""
    toy = Toy(tmp_path)
    strategy = SecureTrunk(None, toy.roster, lambda: toy.parameters(bytes(32)), 50)  # type: ignore[arg-type]
    strategy._spoiled = True
    error = RoundAbandonedError("too few")
    assert strategy._attempts_after(0, "round 2", error) == 0
    assert strategy._attempts_after(0, "round 2", error) == 1


def test_who_says_before_the_first_round_that_it_lacks_the_trunk_is_left_out_and_nobody_is_asked_for_one(tmp_path: Path) -> None:
    toy = Toy(tmp_path)
    lying(toy, (Step.COLLECT, "0"), lambda reply, roster: wire.encode_tagged(COLLECT_REPLIES, Holding(LIAR, 0)))
    toy.federate()
    assert alike([toy.held(partner) for partner in HONEST], version=2)
    assert not any(step(message) == Step.HANDOVER for message in toy.grid.sent)
    assert {line.split(": ")[1] for line in left_out(toy)} == {"partner-3"}
