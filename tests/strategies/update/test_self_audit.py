"""What a partner finds in its own update and in the sum, and when it refuses to send."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Message
from hypothesis import given
from hypothesis import strategies as st

from fedapp.partner_folder import PartnerFolder
from fedapp.storage.json_file import read_sealed
from fedapp.storage.json_lines import read_records, sealed_line
from strategies.partner.held_trunk import HeldTrunk
from strategies.partner.secure_partner import SecurePartner
from strategies.partner.side import PartnerSide
from strategies.partner.trunk_in_session import Arrived
from strategies.secagg.phases import Phase, Step
from strategies.update.candidates import Candidates, OwnCompounds
from strategies.update.codec import UpdateCodec
from strategies.update.holders import Holders
from strategies.update.leakage import Library
from strategies.update.limits import LeakLimits
from strategies.update.self_audit import OWN, ROW_LIST, SUM, Audited, LeakError, audit, audit_rows, check
from strategies.update.shared_trunk import SharedTrunk
from tests.helpers.federation import alike, body, equal, step
from tests.helpers.local_grid import LocalGrid, unchanged
from tests.helpers.sweeps import examples
from tests.strategies.toy import COMPOUNDS, ROWS, Toy, expected, holders_of, no_candidates, no_evaluation, state_of, stopped_before, update

BITS, MOST = 12, 7
WIDTH = MOST  # a direction for each compound
NAMED = [(0, 1, 3), (2,), (2,)]  # the toy's updates have twin rows 0, 1 and 3: they name the first of these
FOUND = Audited(round=7, vector=OWN, attempt=0, rows=90, fewest=10, twin_groups=3, identified=2, compounds=500)


def own_of(compounds: list[tuple[int, ...]], bits: int) -> OwnCompounds:
    """Fingerprints given by their bits, all of them trained on."""
    return OwnCompounds(holders_of(compounds, bits), no_candidates(bits))


def attacked(holders: list[frozenset[int]], listed: list[bool], word_bits: int = 32) -> Audited:
    """What is found in the update of compounds that each move the row of every bit that they hold a step in a direction of its own."""
    compounds = [tuple(bit for bit, held in enumerate(holders) if each in held) for each in range(MOST)]
    rows = np.flatnonzero(listed)
    form = UpdateCodec(((BITS, WIDTH), (WIDTH,)), np.array(listed), word_bits, partners=4)
    change = np.array([[100 * (each in holders[bit]) for each in range(MOST)] for bit in rows], dtype=np.int64)
    words = np.concatenate([change.reshape(-1), np.full(form.words - rows.size * WIDTH, 77)]).astype(f"u{word_bits // 8}")
    return audit(OWN, 3, 1, form, words, np.zeros((BITS, WIDTH), np.float32), own_of(compounds, BITS))


# What is found


@examples(200)
@given(
    st.lists(st.frozensets(st.integers(0, MOST - 1), max_size=4), min_size=BITS, max_size=BITS),
    st.lists(st.booleans(), min_size=BITS, max_size=BITS),
    st.sampled_from([16, 32]),
)
def test_every_figure_is_the_one_that_counting_sets_gives(holders: list[frozenset[int]], listed: list[bool], word_bits: int) -> None:
    """Bits of the very same holders are twins; they name a fingerprint if no other has all of them."""
    prints = {frozenset(bit for bit, held in enumerate(holders) if each in held) for each in range(MOST)}
    seen = [bit for bit in range(BITS) if listed[bit] and holders[bit]]
    groups = {frozenset(bit for bit in seen if holders[bit] == holders[one]) for one in seen}
    groups = {group for group in groups if len(group) > 1}
    named = {one for group in groups for one in prints if [other for other in prints if group <= other] == [one]}
    found = attacked(holders, listed, word_bits)
    assert found == Audited(
        round=3,
        vector=OWN,
        attempt=1,
        rows=len(seen),
        fewest=min((len(holders[bit]) for bit in seen), default=0),
        twin_groups=len(groups),
        identified=len(named),
        compounds=len(prints),
    )


def test_rows_that_look_alike_by_chance_name_nobody() -> None:
    """One compound holds both bits, with others that move the rows hardly at all; or with others by chance in the same direction."""
    form = UpdateCodec(((3, 2), (2,)), np.ones(3, dtype=np.bool_), 32, partners=4)
    words = np.array([[9, 9], [9, 9], [9, 9], [0, 0]]).astype(np.uint32).reshape(-1)
    words = np.append(words, np.zeros(form.words - len(words), np.uint32))
    fingerprints = own_of([(0, 1, 2), (0,), (1,), (2,)], 3)
    found = audit(OWN, 1, 0, form, words, np.zeros((3, 2), np.float32), fingerprints)
    assert (found.rows, found.twin_groups, found.identified) == (3, 0, 0)


def test_twins_that_noise_has_told_apart_name_nobody() -> None:
    form, noise = (
        UpdateCodec(((2, 64), (64,)), np.ones(2, dtype=np.bool_), 32, partners=4),
        np.random.default_rng(5).standard_normal((2, 64)),
    )
    for size, identified in ((0, 1), (20, 1), (1000, 0)):
        words = np.zeros(form.words, np.int32)
        words[:128] = (100 + size * noise).reshape(-1)
        assert audit(OWN, 1, 0, form, words.view(np.uint32), np.zeros((2, 64), np.float32), own_of([(0, 1)], 2)).identified == identified


def test_weight_decay_hides_no_twins() -> None:
    """It pulls each weight to zero by its own sign, which everybody knows who knows the trunk before."""
    form, generator = UpdateCodec(((2, 64), (64,)), np.ones(2, dtype=np.bool_), 32, partners=4), np.random.default_rng(6)
    before = generator.standard_normal((2, 64)).astype(np.float32)
    words = np.zeros(form.words, np.int32)
    words[:128] = (40 * generator.standard_normal(64) - 100 * np.sign(before)).reshape(-1)
    own = own_of([(0, 1)], 2)
    assert audit(OWN, 1, 0, form, words.view(np.uint32), before, own).identified == 1
    assert audit(OWN, 1, 0, form, words.view(np.uint32), np.zeros_like(before), own).identified == 0


@pytest.mark.parametrize("vector", [OWN, SUM])
def test_an_update_of_compounds_tells_them_from_compounds_that_were_kept_aside(vector: str) -> None:
    random, bits = np.random.default_rng(0), 400
    dense = random.random((80, bits)) < 0.1
    indptr = np.concatenate([[0], np.cumsum(dense.sum(axis=1))])
    candidates = Candidates(Library(indptr, np.nonzero(dense)[1].astype(np.int32), bits), np.arange(80) < 40)
    own = OwnCompounds(holders_of([tuple(np.flatnonzero(held)) for held in dense[:40]], bits), candidates)
    form = UpdateCodec(((bits, 8), (8,)), np.ones(bits, dtype=np.bool_), 32, partners=4)
    change = np.zeros(form.words, np.int32)
    change[: bits * 8] = np.rint(1000 * dense[:40].T @ random.normal(size=(40, 8))).reshape(-1)
    found = audit(vector, 2, 0, form, change.view(np.uint32) if vector == OWN else change, np.zeros((bits, 8), np.float32), own)
    assert (found.trained, found.others) == (40, 40)
    assert found.auc > 0.95 and found.tells_trained


@examples(100)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3)), min_size=BITS, max_size=BITS), st.integers(1, 3))
def test_rows_are_bare_where_but_one_other_partner_supports_them(rows: list[tuple[bool, int]], least: int) -> None:
    """Each row has our support or not, and that of so many others."""
    ours, others = np.array([own for own, _ in rows]), np.array([other for _, other in rows])
    supporters = ours + others
    found = audit_rows(1, supporters >= least, supporters, ours, holders_of(COMPOUNDS, BITS))
    kept = [(own, other) for own, other in rows if own + other >= least]
    assert (found.vector, found.rows) == (ROW_LIST, len(kept))
    assert found.bare == sum(own and other <= 1 for own, other in kept)
    assert found.bare_of_others == sum(other == 1 for _, other in kept)
    assert least < 3 or found.bare == found.bare_of_others == 0


def test_lines_of_earlier_versions_are_read_as_ones_in_which_nothing_of_this_was_tried(tmp_path: Path) -> None:
    earlier = {"round": 7, "vector": OWN, "attempt": 0, "rows": 90, "fewest": 10, "twin_groups": 3, "identified": 2, "compounds": 500}
    (tmp_path / "lines").write_text(sealed_line(earlier) + "\n")
    (read,) = read_records(tmp_path / "lines", Audited)
    assert read == FOUND and not read.tells_trained


# When it refuses


@pytest.mark.parametrize(
    ("changes", "limits", "guard", "words"),
    [
        ({}, LeakLimits(0.003, 501), 10, "of 500 training compounds, and this partner sends none of fewer than 501"),
        ({"fewest": 9}, LeakLimits(1.0, 0), 10, "row of a bit that 9 training compounds hold, and the row guard is 10"),
        ({}, LeakLimits(0.0039, 0), 10, "2 of 500 training compounds .*, and this partner allows a share of 0.0039"),
        ({"identified": 1}, LeakLimits(), 0, "1 of 500 "),
    ],
)
def test_an_update_beyond_a_limit_is_refused_with_its_figures(changes: dict[str, int], limits: LeakLimits, guard: int, words: str) -> None:
    with pytest.raises(LeakError, match=f"the update of round 7 .*{words}") as caught:
        check(replace(FOUND, **changes), limits, guard)  # type: ignore[arg-type]
    assert caught.value.hint


def test_an_update_at_its_limits_may_leave() -> None:
    check(FOUND, LeakLimits(0.004, 500), 10)
    check(replace(FOUND, rows=0, fewest=0), LeakLimits(0.004, 500), 10)


@pytest.mark.parametrize("limits", [(-0.1, 0), (1.1, 0), (float("nan"), 0), (0.5, -1)])
def test_limits_that_make_no_sense_are_none(limits: tuple[float, int]) -> None:
    with pytest.raises(ValueError, match="most_identified|least_compounds"):
        LeakLimits(*limits)


# In a federation


def strict(toy: Toy, partner: int, limits: LeakLimits, compounds: list[tuple[int, ...]]) -> None:
    """Give one partner limits and compounds of its own."""
    member = toy.side(partner).membership
    assert member is not None
    toy.changed[partner] = {"membership": replace(member, limits=limits), "holders": lambda: holders_of(compounds)}


def lines(toy: Toy, partner: int) -> list[Audited]:
    return read_records(PartnerFolder(toy.home(partner)).audits, Audited)


@pytest.fixture
def toy(tmp_path: Path) -> Toy:
    return Toy(tmp_path, guard=0)


def test_a_partner_whose_update_names_its_compounds_refuses_and_the_others_finish(toy: Toy) -> None:
    strict(toy, 2, LeakLimits(), NAMED)
    toy.federate()
    assert alike([toy.held(partner) for partner in (1, 3, 4)], version=2)
    assert near(toy.held(1).arrays, expected([1, 3, 4], rounds=2))
    replies = [m for m in toy.grid.received if m.metadata.src_node_id == LocalGrid.node(1) and m.metadata.group_id in ("1", "2")]
    assert [step(m) for m in replies if m.has_content()] == [Step.FINISH], "nothing of an update left"
    assert sum(m.has_error() for m in replies) == 2
    assert read_sealed(toy.home(2) / "repetition.json", {})["rounds"] == {}
    refused = [(entry.phase, entry.sent) for entry in toy.entries(2) if entry.refused == "LeakError"]
    assert [phase for phase, _ in refused] == [Step.COLLECT, Step.COLLECT]
    assert not any(sent for _, sent in refused)
    assert [(each.round, each.identified, each.compounds) for each in lines(toy, 2) if each.vector == OWN] == [(1, 1, 2), (2, 1, 2)]


def test_a_partner_that_only_wants_to_be_told_sends_the_same_update(toy: Toy) -> None:
    strict(toy, 2, LeakLimits(most_identified=1.0), NAMED)
    toy.federate()
    assert equal(toy.held(2).arrays, expected([1, 2, 3, 4], rounds=2))
    assert [(each.round, each.vector, each.identified) for each in lines(toy, 2)] == [(1, OWN, 1), (1, SUM, 1), (2, OWN, 1), (2, SUM, 1)]


def test_whoever_refused_takes_part_again_when_its_policy_allows_it(toy: Toy) -> None:
    strict(toy, 2, LeakLimits(), NAMED)

    def loosen(partition: int, message: Message) -> Message:
        if message.metadata.group_id == "2" and step(message) == Step.COLLECT:
            strict(toy, 2, LeakLimits(most_identified=1.0), NAMED)
        return message

    toy.grid.down = loosen
    toy.federate()
    assert alike(toy.all_held(), version=2)
    assert [entry.refused for entry in toy.entries(2) if entry.phase == Step.COLLECT and entry.refused] == ["LeakError"]
    assert near(toy.held(1).arrays, expected_after_refusal())


def near(arrays: list[np.ndarray], others: list[np.ndarray]) -> bool:
    """A mean over three is not exact."""
    return all(np.allclose(one, other, rtol=0, atol=1e-6) for one, other in zip(arrays, others, strict=True))


def expected_after_refusal() -> list[np.ndarray]:
    """Round 1 without partner 2, round 2 with it; the guard is off, and row 2 of the first trunk is as it was drawn: zero."""
    arrays = expected([1, 3, 4], rounds=1)
    return [array + np.mean([update(each, 2, 0)[place] for each in (1, 2, 3, 4)], axis=0) for place, array in enumerate(arrays)]


def test_a_refused_request_is_refused_again_and_noted_once(toy: Toy) -> None:
    """Nothing was masked, and the session goes on: a refusal of our own proves nobody's lie."""
    request = stopped_before(toy, Step.COLLECT, partner=2)
    strict(toy, 2, LeakLimits(), NAMED)
    for _ in range(2):
        with pytest.raises(LeakError, match="names 1 of 2"):
            SecurePartner(toy.side(2)).answer(Step.COLLECT, request, Arrived([], []), training(2), no_evaluation)
        assert state_of(toy, 2).phase == Phase.KEYED
        assert len(lines(toy, 2)) == 1
    toy.grid.down = unchanged
    strict(toy, 2, LeakLimits(most_identified=1.0), NAMED)
    toy.federate()
    assert alike(toy.all_held(), version=2)


def training(partner: int) -> Callable[[list[np.ndarray], dict[str, int]], tuple[list[np.ndarray], dict[str, float]]]:
    def fit(arrays: list[np.ndarray], asked: dict[str, int]) -> tuple[list[np.ndarray], dict[str, float]]:
        change = update(partner, asked["round"], asked["attempt"])
        return [array + each for array, each in zip(arrays, change, strict=True)], {"loss": 0.5}

    return fit


def test_a_partner_with_too_few_compounds_sends_nothing(tmp_path: Path) -> None:
    toy = Toy(tmp_path)
    strict(toy, 3, LeakLimits(least_compounds=3), [(0, 1, 3)] * 10 + [(0, 1, 2, 3)])
    toy.federate()
    assert alike([toy.held(partner) for partner in (1, 2, 4)], version=2)
    assert {entry.refused for entry in toy.entries(3) if entry.phase == Step.COLLECT} == {"", "LeakError"}, "the row list may leave"


def test_a_row_below_the_guard_never_leaves_though_the_row_list_would_let_it(tmp_path: Path) -> None:
    """As after a fault in what makes the list, or a dataset that was changed under way."""
    toy = Toy(tmp_path)
    strict(toy, 3, LeakLimits(most_identified=1.0), [(0, 1)] * 10 + [(3,)] * 9)
    toy.federate()
    assert alike([toy.held(partner) for partner in (1, 2, 4)], version=2)
    assert "LeakError" in {entry.refused for entry in toy.entries(3)}
    assert {each.fewest for each in lines(toy, 3) if each.vector == OWN} == {9}


def test_with_the_guard_on_nobody_is_named_in_updates_or_sums(tmp_path: Path) -> None:
    toy = Toy(tmp_path)
    toy.federate()
    for partner in (1, 2, 3, 4):
        told = lines(toy, partner)
        assert [(each.round, each.vector) for each in told] == [(1, ROW_LIST), (1, OWN), (1, SUM), (2, OWN), (2, SUM)]
        assert {(each.rows, each.fewest, each.identified) for each in told} == {(int(ROWS.sum()), 15, 0)}


def test_with_two_supporters_a_row_both_sides_count_the_rows_that_are_seen_bare(tmp_path: Path) -> None:
    """Row 0 is partner 1's and 2's, row 1 everybody's, row 3 all but partner 1's."""
    toy = Toy(tmp_path, supporters=2)
    for partner in (1, 2, 3, 4):
        member = toy.side(partner).membership
        assert member is not None
        lenient = replace(member, policy=replace(member.policy, least_supporters=2))
        toy.changed[partner] = {"membership": lenient, "support": partial(np.array, [partner <= 2, True, False, partner > 1])}
    toy.federate()
    lists = {partner: [each for each in lines(toy, partner) if each.vector == ROW_LIST] for partner in (1, 2, 3, 4)}
    assert {partner: [(each.rows, each.bare, each.bare_of_others) for each in told] for partner, told in lists.items()} == {
        1: [(3, 1, 1)],
        2: [(3, 1, 1)],
        3: [(3, 0, 0)],
        4: [(3, 0, 0)],
    }


def test_a_round_that_is_tried_again_is_audited_again(tmp_path: Path) -> None:
    toy, lost = Toy(tmp_path, rounds=1), Counter[str]()

    def abandon(partition: int, message: Message) -> Message | None:
        first = step(message) == Step.CONSISTENCY and message.metadata.group_id == "1" and lost["messages"] < 4
        lost["messages"] += first
        return None if first else message

    toy.grid.down = abandon
    toy.federate()
    assert [(each.round, each.vector, each.attempt) for each in lines(toy, 1) if each.vector != ROW_LIST] == [
        (1, OWN, 0),
        (1, OWN, 1),
        (1, SUM, 0),
    ]


def test_no_figure_of_our_compounds_travels_with_a_trunk_that_is_handed_over(toy: Toy) -> None:
    """What all partners found in a sum does; what it told us of our own compounds is ours."""
    toy.federate()
    plain = toy.held(1).to_bytes()
    assert b"largest" in plain
    assert not any(word in plain for word in (b"identified", b"twin", b"compounds"))
    sent = b"".join(body(message) for message in toy.grid.received if message.has_content())
    assert b"identified" not in sent
    assert PartnerFolder(toy.home(1)).audits.stat().st_mode & 0o077 == 0


def test_the_line_of_a_sum_is_there_before_its_trunk_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Afterwards it could not be made any more: the sum is in the trunk."""
    toy, take_in, taken = Toy(tmp_path), HeldTrunk.take_in, list[int]()

    def watched(held: HeldTrunk, following: SharedTrunk) -> None:
        audited = json.loads(held.folder.audits.read_text().splitlines()[-1])
        assert (audited["vector"], audited["round"]) == (SUM, following.version)
        take_in(held, following)
        taken.append(following.version)

    monkeypatch.setattr(HeldTrunk, "take_in", watched)
    toy.federate()
    assert alike(toy.all_held(), version=2)
    assert sorted(taken) == [1] * 4 + [2] * 4


def test_short_phases_never_ask_for_compounds(tmp_path: Path) -> None:
    """They would open the dataset for it."""
    toy, asked = Toy(tmp_path), Counter[str]()

    def watched(side: PartnerSide, where: list[str]) -> PartnerSide:
        def holders() -> Holders:
            asked[where[0]] += 1
            return holders_of([(0, 1, 3)] * 10 + [(0, 1, 2, 3)] * 5)

        return replace(side, data=replace(side.data, holders=holders))

    answer, where, side = toy.grid.answer, [""], toy.side

    def noting(request: Message) -> Message:
        where[0] = step(request)
        return answer(request)

    toy.grid.answer = noting  # type: ignore[method-assign]
    toy.side = lambda partner: watched(side(partner), where)  # type: ignore[method-assign]
    toy.federate()
    assert asked == {Step.COLLECT: 4 * 4, Step.FINISH: 4}
