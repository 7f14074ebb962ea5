"""Shared heads of common endpoints in a run: what leaves whom, in which order, and what everybody holds afterwards."""

from pathlib import Path

import numpy as np
import pytest
from flwr.app import Message

from fedapp.storage.json_lines import read_records
from strategies import message_records
from strategies.coordinator.exchange import RoundFailedError
from strategies.partner.secure_partner import SecurePartner
from strategies.secagg import wire
from strategies.secagg.errors import PolicyError
from strategies.secagg.phases import Phase, Step
from strategies.secagg.slot_order import hide, slot_order
from strategies.update.round_sum import RoundSum
from strategies.update.row_guard import listed
from strategies.update.shared_trunk import SharedTrunk, no_trunk
from strategies.update.verdict import judge
from tests.helpers.federation import alike, step, unmasked
from tests.strategies.secagg.parties import policy_for
from tests.strategies.toy import HEADS, MOMENTUM, ROWS, SHAPES, Toy, ask, heads_update, parts, state_of, update

BITS = SHAPES[0][0]
MISSED = frozenset({(3, 2)})  # partner and round
LISTED = [*ROWS.tolist(), True, True, False]  # of four partners two have a part in the last slot


def trained(trunk: list[np.ndarray], partner: int, number: int) -> list[np.ndarray]:
    """What a partner's training makes of a trunk."""
    return [array + change for array, change in zip(trunk, [*update(partner, number, 0), heads_update(partner, number)], strict=True)]


def in_process(toy: Toy, rounds: int, missing: frozenset[tuple[int, int]] = frozenset()) -> SharedTrunk:
    """The same partners without keys, masks and messages."""
    sides = {partner: toy.side(partner) for partner in range(1, toy.partners + 1)}
    rows = listed(np.sum([side.data.support().astype(np.int64) for side in sides.values()], axis=0), BITS, toy.supporters)
    shared = no_trunk(sides[1].terms.value_range).with_rows(rows, b"").starting_with(toy.first())
    codec = sides[1].terms.codec(rows)
    for number in range(1, rounds + 1):
        sums, there = np.zeros(codec.words, dtype=np.uint32), [partner for partner in sides if (partner, number) not in missing]
        for partner in there:
            words, data = np.zeros_like(sums), sides[partner].data
            shared.encode(codec, trained(shared.arrays, partner, number), rows & data.support(), words, data.rounding_seed(number, 0))
            sums += words
        shared = shared.adding(judge(shared.pending(codec, sums.view(np.int32), len(there), toy.supporters)), 1.0, MOMENTUM)
    return shared


def same(one: SharedTrunk, other: SharedTrunk) -> bool:
    """Bit for bit, but for the name."""
    arrays = zip([*one.arrays, one.velocity.values, one.rows], [*other.arrays, other.velocity.values, other.rows], strict=True)
    return one.value_range == other.value_range and all(mine.tobytes() == yours.tobytes() for mine, yours in arrays)


@pytest.mark.parametrize("guard", [0, 10])
def test_a_masked_federation_makes_the_trunk_of_one_without_masks_bit_for_bit(tmp_path: Path, guard: int) -> None:
    """Also where no row is guarded: then partners agree on the slots alone."""
    toy = Toy(tmp_path, rounds=4, guard=guard, heads=True)
    toy.federate()
    assert alike(toy.all_held(), version=4)
    assert all(same(held, in_process(toy, 4)) for held in toy.all_held())
    assert toy.held(1).rows.tolist() == (LISTED if guard else [True] * BITS + LISTED[BITS:])
    moved = toy.held(1).arrays[-1].any(axis=1)
    assert moved.tolist() == LISTED[BITS:]


def test_a_partner_that_missed_a_round_gets_trunk_and_velocity_and_goes_on_alike(tmp_path: Path) -> None:
    toy = Toy(tmp_path, rounds=4, heads=True, ill=MISSED)
    toy.federate()
    assert alike(toy.all_held(), version=4)
    assert same(toy.held(3), in_process(toy, 4, MISSED))
    assert len({held.to_bytes() for held in toy.all_held()}) == 1


def test_a_shared_head_moves_in_a_round_of_whose_sum_three_holders_are_left_and_everybody_notes_where_fewer_were(tmp_path: Path) -> None:
    """Three, four and five hold the three slots, and two drop out: all hold the same, bit for bit, and the same as without masks."""
    ill = frozenset({(1, 1), (2, 1)})
    has = {partner: np.array([*ROWS, partner <= 3, partner <= 4, partner <= 5]) for partner in range(1, 9)}
    changed = {partner: {"support": lambda each=each: each} for partner, each in has.items()}
    toy = Toy(tmp_path, partners=8, rounds=1, heads=True, changed=changed, ill=ill)
    toy.federate()
    held = toy.all_held()
    assert len({each.to_bytes() for each in held}) == 1
    assert same(held[0], in_process(toy, 1, ill))
    assert held[0].rows[BITS:].all() and held[0].arrays[-1].any(axis=1).tolist() == [False, False, True]
    assert held[0].found["few"] == {"0": 1, "1": 2}


def test_where_partners_agreed_on_four_supporters_a_shared_head_that_three_holders_are_left_of_stays_where_it_was(tmp_path: Path) -> None:
    """Four, five and six hold the three slots, and one drops out: in the sum of the first are as many as would do without agreement."""
    has = {partner: np.array([*ROWS, partner <= 4, partner <= 5, partner <= 6]) for partner in range(1, 9)}
    changed = {partner: {"support": lambda each=each: each} for partner, each in has.items()}
    toy = Toy(tmp_path, partners=8, rounds=1, heads=True, supporters=4, changed=changed, ill=frozenset({(1, 1)}))
    toy.federate()
    assert len({each.to_bytes() for each in toy.all_held()}) == 1
    assert toy.held(1).rows[BITS:].all(), "all are listed, by those who said that they hold them"
    assert toy.held(1).arrays[-1].any(axis=1).tolist() == [False, True, True]
    assert [held.found["few"] for held in toy.all_held()] == [{"0": 3}] * 8
    assert same(toy.held(1), in_process(toy, 1, frozenset({(1, 1)})))


def test_a_shared_head_that_two_holders_are_left_of_is_used_again_when_the_third_is_back(tmp_path: Path) -> None:
    toy = Toy(tmp_path, rounds=4, heads=True, ill=MISSED)  # of the second slot, partners 1, 3 and 4 are the holders
    toy.federate()
    for partner in (1, 2, 4):
        sums = read_records(toy.home(partner) / "sums.jsonl", RoundSum)
        assert [(noted.round, noted.few) for noted in sums] == [(1, {}), (2, {"1": 2}), (3, {}), (4, {})]


def test_a_shared_head_that_a_holder_leaves_in_the_middle_of_a_session_is_not_used_from_then_on(tmp_path: Path) -> None:
    withdrawn: list[int] = []
    toy = Toy(tmp_path, rounds=3, heads=True, changed={3: {"support": lambda: np.array([*ROWS, True, not withdrawn, False])}})

    def withdraw(partition: int, message: Message) -> Message:
        if (step(message), message.metadata.group_id) == (Step.UNMASK, "1"):
            withdrawn.append(partition)
        return message

    toy.grid.down = withdraw
    toy.federate()
    for partner in range(1, 5):
        assert toy.held(partner).rows.tolist() == LISTED, "the list is that of the session"
        sums = read_records(toy.home(partner) / "sums.jsonl", RoundSum)
        assert [noted.few for noted in sums] == [{}, {"1": 2}, {"1": 2}]
    assert len({held.to_bytes() for held in toy.all_held()}) == 1


def test_a_partner_that_says_it_has_more_than_one_part_is_found_out_by_all_and_nobodys_head_leaves(tmp_path: Path) -> None:
    toy = Toy(tmp_path, rounds=1, heads=True, changed=lying(by=1000))
    with pytest.raises(RoundFailedError):
        toy.federate()
    for partner in (1, 2, 3):
        refusals = [entry.refused for entry in toy.entries(partner) if entry.refused]
        assert refusals[0] == "SupportOutOfRangeError"
        assert state_of(toy, partner).phase == Phase.FAILED
    assert not any((toy.home(partner) / "shared.safetensors").is_file() for partner in (1, 2, 3, 4)), "no list was agreed on"


def test_a_head_that_a_lie_below_the_partners_number_lets_through_is_read_and_not_used(tmp_path: Path) -> None:
    """What is not held: nobody can tell the lie from the truth. Presences tell that holders lack, as long as they are true."""
    toy = Toy(tmp_path, rounds=1, heads=True, changed=lying(by=2))
    toy.federate()
    assert alike(toy.all_held(), version=1)
    assert toy.held(1).rows[BITS + 2], "two have a part in the last slot, and it is listed"
    assert not toy.held(1).arrays[-1][2].any()
    assert [held.found["few"] for held in toy.all_held()] == [{"2": 2}] * 4


def lying(by: int) -> dict[int, dict[str, object]]:
    """Partner 4 has no part in the last slot, and says it has so many, an even number: of its presence it then says the truth."""
    said = np.array([*ROWS, *parts(4)], dtype=np.int64)
    said[-1] = by
    return {4: {"support": lambda: said}}


def test_a_federation_that_is_started_again_goes_on_with_its_velocity(tmp_path: Path) -> None:
    toy = Toy(tmp_path, rounds=2, heads=True)
    toy.federate()
    toy.rounds = 4
    toy.federate()
    assert len({held.to_bytes() for held in toy.all_held()}) == 1
    assert same(toy.held(1), in_process(toy, 4))


@pytest.mark.parametrize("partner", [1, 2, 3, 4])
def test_training_is_told_in_which_shared_heads_it_has_a_part(tmp_path: Path, partner: int) -> None:
    toy = Toy(tmp_path, rounds=1, heads=True)
    toy.federate()
    assert np.load(toy.home(partner) / "rows.npy").tolist() == (np.array(LISTED) & [*ROWS, *parts(partner)]).tolist()


def test_slots_leave_in_an_order_of_each_round_that_follows_from_the_group_key_alone(tmp_path: Path) -> None:
    toy, sent = Toy(tmp_path, rounds=2, heads=True), {}

    def open_up(partition: int, message: Message) -> Message:
        if step(message) == Step.COLLECT and (vectors := message_records.vectors(message.content, message_records.WORDS)):
            held = state_of(toy, partition + 1)
            assert held.round is not None and held.session is not None
            sent[partition + 1, held.round.number] = held.session.group, unmasked(toy.home(partition + 1), vectors[0])
        return message

    toy.grid.up = open_up
    toy.federate()
    assert {number for _, number in sent} == {1, 2, 3}, "a row list, then two rounds"
    codec = toy.side(1).terms.codec(np.array(LISTED))
    for (partner, number), (group, words) in sent.items():
        side = toy.side(partner)
        if number == 1:
            plain = side.data.support().astype(np.uint32)
            hide(plain[BITS:].reshape(-1, 1), slot_order(group, number, HEADS[0]))
        else:
            before = in_process(toy, number - 2)
            plain = np.zeros(codec.words, dtype=np.uint32)
            after = trained(before.arrays, partner, number - 1)
            before.encode(codec, after, before.rows & side.data.support(), plain, side.data.rounding_seed(number - 1, 0))
            hide(codec.blocks(plain), slot_order(group, number, 2))
        assert words.tolist() == plain.tolist()


@pytest.mark.parametrize("policy_has_heads", [False, True])
def test_a_partner_takes_part_in_no_session_whose_trunk_has_other_shared_heads_than_its_policy(
    tmp_path: Path, policy_has_heads: bool
) -> None:
    toy, other = Toy(tmp_path / "one", heads=not policy_has_heads), Toy(tmp_path / "other", heads=policy_has_heads)
    side = other.side(1)
    assert side.membership is not None
    assert side.membership.policy == policy_for(other.roster, row_guard=10, layout=other.layout)
    with pytest.raises(PolicyError, match="trunk layout"):
        ask(side, Step.ADVERTISE_KEYS, wire.encode(toy.parameters(bytes(32))))
    assert SecurePartner(side).trunk.shared.version == 0
