"""What partners hold alike: an update becomes words and back, and the trunk survives files and journeys."""

import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save

from strategies.update.codec import UpdateCodec
from strategies.update.shared_trunk import SharedTrunk, TrunkFileError, no_trunk
from strategies.update.velocity import Velocity
from strategies.update.verdict import judge

SHAPES = ((6, 2), (2,), (3, 2), (3,))
RANGE = 0.25
BLIND = b"b" * 32


def form_of(rows: list[int], word_bits: int = 32, partners: int = 3, largest_weight: int = 1) -> UpdateCodec:
    return UpdateCodec(SHAPES, np.isin(np.arange(6), rows), word_bits, partners, largest_weight)


def trunk_of(rows: list[int], seed: int = 0) -> SharedTrunk:
    random = np.random.default_rng(seed)
    listed = np.zeros(6, dtype=np.bool_)
    listed[rows] = True
    arrays = [random.normal(size=shape).astype(np.float32) for shape in SHAPES]
    return no_trunk(RANGE).with_rows(listed, b"s" * 32).starting_with(arrays).named(BLIND)


def copied(trunk: SharedTrunk) -> SharedTrunk:
    return SharedTrunk.from_bytes(trunk.to_bytes())


def words_of(form: UpdateCodec, trunk: SharedTrunk, update: list[np.ndarray], seed: int = 0, weight: int = 1) -> np.ndarray:
    """One partner's words for an update."""
    words = np.zeros(form.words, dtype=np.uint32 if form.word_bits == 32 else np.uint16)
    trunk.encode(form, [array + change for array, change in zip(trunk.arrays, update, strict=True)], form.listed, words, seed, weight)
    return words


def signed(words: np.ndarray) -> np.ndarray:
    return words.view(f"<i{words.itemsize}")


def updates_of(random: np.random.Generator, rows: list[int], scale: float) -> list[np.ndarray]:
    """Of the trunk's form, zero in rows that are not listed."""
    update = [(random.uniform(-1, 1, size=shape) * scale).astype(np.float32) for shape in SHAPES]
    update[0][sorted(set(range(6)) - set(rows))] = 0
    return update


@given(
    st.sets(st.integers(0, 5), min_size=1),
    st.sampled_from([16, 32]),
    st.lists(st.sampled_from([1, 2, 4]), min_size=1, max_size=5),
    st.data(),
)
def test_the_mean_of_the_updates_comes_back(rows: set[int], word_bits: int, weights: list[int], data: st.DataObject) -> None:
    """Against the weighted mean in float64; each partner may be off by less than one step, and float32 by its last bit."""
    listed = sorted(rows)
    form, random = form_of(listed, word_bits, 5, 4), np.random.default_rng(data.draw(st.integers(0, 99)))
    trunk = trunk_of(listed)
    before = [array.copy() for array in trunk.arrays]
    updates = [updates_of(random, listed, 0.2) for _ in weights]
    words = [words_of(form, trunk, update, seed, weight) for seed, (update, weight) in enumerate(zip(updates, weights, strict=True))]
    sums = np.sum(words, axis=0)
    server_step = data.draw(st.sampled_from([1.0, 0.5, 1.5]))
    accepted = judge(trunk.pending(form, signed(sums.astype(f"<u{word_bits // 8}")), len(weights)))
    following = trunk.adding(accepted, server_step, 0.0)
    assert (accepted.weight, accepted.clipped) == (sum(weights), 0)
    step = form.quantiser(RANGE).step
    largest = 0.0
    for number, (old, new) in enumerate(zip(before, following.arrays, strict=True)):
        mean = sum(update[number].astype(np.float64) * weight for update, weight in zip(updates, weights, strict=True)) / sum(weights)
        np.testing.assert_allclose(new, old + server_step * mean, atol=server_step * step + 1e-6, rtol=0)
        largest = max(largest, float(np.abs(mean).max()))
    assert accepted.largest == pytest.approx(largest, abs=step + 1e-6)
    assert (following.version, following.name, following.before, following.session) == (1, bytes(32), trunk.name, b"s" * 32)


@given(st.sets(st.integers(0, 5), min_size=1), st.integers(0, 99))
def test_rows_that_are_not_listed_are_neither_sent_nor_changed(rows: set[int], seed: int) -> None:
    listed = sorted(rows)
    form, trunk = form_of(listed), trunk_of(listed)
    update = updates_of(np.random.default_rng(seed), list(range(6)), 0.2)
    words = words_of(form, trunk, update)
    hidden = sorted(set(range(6)) - rows)
    changed = [array.copy() for array in update]
    changed[0][hidden] *= -3
    assert np.array_equal(words, words_of(form, trunk, changed))
    before = trunk.arrays[0].copy()
    following = trunk.adding(judge(trunk.pending(form, signed(words), 1)), 1.0, 0.0)
    assert np.array_equal(following.arrays[0][hidden], before[hidden])


def test_every_listed_coordinate_has_its_own_word() -> None:
    form, trunk = form_of([1, 4]), trunk_of([1, 4])
    zeros = [np.zeros(shape, dtype=np.float32) for shape in SHAPES]
    found = []
    for number, shape in enumerate(SHAPES):
        for place in np.ndindex(*shape):
            if number == 0 and place[0] not in (1, 4):
                continue
            update = [array.copy() for array in zeros]
            update[number][place] = 0.1
            found.append(np.flatnonzero(words_of(form, trunk, update)[: form.coordinates]).tolist())
    assert sorted(found) == [[place] for place in range(2 * 2 + 2 + 6 + 3)]
    assert form.coordinates == len(found)


@pytest.mark.parametrize(("word_bits", "counters"), [(32, 2 + 2), (16, 3 + 3)])
def test_counters_of_weight_and_clipping_follow(word_bits: int, counters: int) -> None:
    form, trunk = form_of([0, 1], word_bits), trunk_of([0, 1])
    assert form.words == form.coordinates + counters
    update = [np.zeros(shape, dtype=np.float32) for shape in SHAPES]
    update[1][:] = 7.0  # beyond the range
    words = words_of(form, trunk, update)
    accepted = judge(trunk.pending(form, signed(words + words), 2))
    assert (accepted.weight, accepted.clipped) == (2, 4)
    assert trunk.adding(accepted, 1.0, 0.0).value_range == 2 * RANGE, "the range widens, as many were clipped"


def test_the_range_follows_the_updates() -> None:
    form, trunk = form_of([0]), trunk_of([0])
    update = [np.full(shape, 0.001, dtype=np.float32) for shape in SHAPES]
    accepted = judge(trunk.pending(form, signed(words_of(form, trunk, update)), 1))
    assert trunk.adding(accepted, 1.0, 0.0).value_range == RANGE / 2


def test_an_update_of_another_form_or_not_finite_is_refused() -> None:
    form, trunk = form_of([0]), trunk_of([0])
    update = [np.zeros(shape, dtype=np.float32) for shape in SHAPES]
    words = np.zeros(form.words, dtype=np.uint32)
    with pytest.raises(ValueError, match="a trunk of shapes"):
        trunk.encode(form, trunk.arrays[:-1], form.listed, words, 0)
    with pytest.raises(ValueError, match="not finite"):
        words_of(form, trunk, [update[0], update[1] + np.float32(np.nan), *update[2:]])


def test_a_first_trunk_is_zero_in_rows_that_are_not_listed() -> None:
    trunk = trunk_of([1, 2])
    assert trunk.arrays[0][[1, 2]].all()
    assert not trunk.arrays[0][[0, 3, 4, 5]].any()


# Files and journeys


def same(one: SharedTrunk, other: SharedTrunk) -> bool:
    facts = [
        (each.version, each.name, each.blind, each.before, each.value_range, each.session, each.rows.tolist()) for each in (one, other)
    ]
    arrays = zip(one.arrays, other.arrays, strict=True)
    return (
        facts[0] == facts[1]
        and np.array_equal(one.rows, other.rows)
        and all(a.dtype == b.dtype and a.tobytes() == b.tobytes() for a, b in arrays)
    )


@pytest.mark.parametrize("trunk", [trunk_of([1, 2]), no_trunk(RANGE)], ids=["trunk", "none"])
def test_it_reads_back_as_it_was_written(tmp_path: Path, trunk: SharedTrunk) -> None:
    trunk.write(tmp_path / "shared.safetensors")
    assert same(SharedTrunk.read(tmp_path / "shared.safetensors"), trunk)
    assert trunk.name == bytes(32) or same(copied(trunk), trunk)
    assert (tmp_path / "shared.safetensors").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["shared.safetensors"]


def test_what_was_read_can_be_trained_on() -> None:
    copied(trunk_of([1])).arrays[0][0, 0] = 1.0


def test_zero_rows_take_no_room_on_disk_and_come_back_bit_for_bit(tmp_path: Path) -> None:
    first = np.zeros((1000, 100), dtype=np.float32)
    first[7], first[500, 3], first[999] = 0.5, np.float32("-0.0"), np.finfo(np.float32).smallest_subnormal
    trunk = replace(trunk_of([1]), arrays=[first, np.ones(100, dtype=np.float32)], rows=np.ones(1000, dtype=np.bool_)).named(BLIND)
    trunk.write(tmp_path / "shared.safetensors")
    assert (tmp_path / "shared.safetensors").stat().st_size < 5000
    assert same(SharedTrunk.read(tmp_path / "shared.safetensors"), trunk)


def test_what_is_handed_over_asks_for_no_more_memory_than_it_has_bytes() -> None:
    from safetensors.numpy import load, save

    whole = trunk_of([1]).to_bytes()
    size = int.from_bytes(whole[:8], "little")
    tensors = load(whole) | {"used": np.ones(1 << 20, dtype=np.bool_), "0": np.zeros((0, 1 << 40), dtype=np.float32)}
    with pytest.raises(TrunkFileError, match="handed-over trunk is damaged"):
        SharedTrunk.from_bytes(save(tensors, metadata=json.loads(whole[8 : 8 + size])["__metadata__"]))


def test_a_file_cut_short_anywhere_is_named(tmp_path: Path) -> None:
    path = tmp_path / "shared.safetensors"
    whole = trunk_of([1]).to_bytes()
    for length in (0, 1, 7, 8, 9, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(TrunkFileError, match=r"shared\.safetensors is damaged"):
            SharedTrunk.read(path)
        with pytest.raises(TrunkFileError, match="handed-over trunk is damaged"):
            SharedTrunk.from_bytes(whole[:length])


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_byte_changed_in_the_header_is_an_error_or_another_trunk_but_no_crash(place: int, change: int) -> None:
    whole = bytearray(trunk_of([1]).to_bytes())
    whole[place % len(whole)] ^= change
    with suppress(TrunkFileError):
        SharedTrunk.from_bytes(bytes(whole))


@pytest.mark.parametrize(("before", "after"), [(b'\\"found\\": {}', b'\\"found\\": 99'), (b'\\"version\\": 0', b'\\"version\\": []')])
def test_a_header_with_something_else_in_it_is_named(before: bytes, after: bytes) -> None:
    whole = trunk_of([1]).to_bytes()
    assert whole.count(before) == 1
    changed = whole.replace(before, after)
    size = int.from_bytes(changed[:8], "little") + len(after) - len(before)
    with pytest.raises(TrunkFileError, match="handed-over trunk is damaged"):
        SharedTrunk.from_bytes(size.to_bytes(8, "little") + changed[8:])


def test_a_trunk_of_version_1_is_refused_with_a_sentence(tmp_path: Path) -> None:
    told = json.dumps({"digest": "00" * 32, "version": 3, "range": 0.25, "session": "", "checksum": "00000000"})
    (tmp_path / "shared.safetensors").write_bytes(save({"rows": np.ones(4, dtype=np.bool_)}, metadata={"shared": told}))
    with pytest.raises(TrunkFileError, match="a trunk of version 1 of the protocol: a run under version 2 begins anew"):
        SharedTrunk.read(tmp_path / "shared.safetensors")


# Names


def changed_in_one_place(trunk: SharedTrunk, place: int) -> SharedTrunk:
    """Another trunk: one of all that partners hold alike is different."""
    arrays = [array.copy() for array in trunk.arrays]
    arrays[place % 4].reshape(-1)[0] += np.float32(2**-20)
    shape = trunk.arrays[0].reshape(3, 4)
    velocity = Velocity(trunk.rows, np.ones(1, dtype=np.float32))
    others: list[dict[str, Any]] = [
        *({"arrays": arrays} for _ in range(4)),
        {"arrays": [shape, *trunk.arrays[1:]]},
        {"arrays": trunk.arrays[:-1]},
        {"version": 1},
        {"value_range": RANGE / 2},
        {"before": b"x" * 32},
        {"found": {"round": 1}},
        {"velocity": velocity},
        {"arrays": [-0.0 * trunk.arrays[0], *trunk.arrays[1:]]},
    ]
    return replace(trunk, **others[place])


@pytest.mark.parametrize("place", range(12))
def test_a_name_is_of_one_content_alone(place: int) -> None:
    trunk = trunk_of([1, 2])
    other = changed_in_one_place(trunk, place)
    assert other.named(BLIND).name != trunk.name
    with pytest.raises(TrunkFileError, match="its content is not what its name says"):
        copied(other)


def test_a_name_says_nothing_to_whoever_lacks_its_blind_and_does_not_depend_on_the_row_list() -> None:
    trunk = trunk_of([1, 2])
    assert trunk.named(b"c" * 32).name != trunk.name
    listed = trunk.with_rows(np.ones(6, dtype=np.bool_), b"t" * 32)
    assert listed.named(BLIND).name == trunk.name
    assert listed.rows_digest != trunk.rows_digest


def test_the_same_trunk_has_the_same_name_however_its_arrays_lie_in_memory() -> None:
    trunk = trunk_of([0, 1, 2, 3, 4, 5])
    by_columns = replace(trunk, arrays=[np.asfortranarray(array) for array in trunk.arrays])
    assert by_columns.named(BLIND).name == trunk.name


def test_a_handed_over_trunk_without_a_blind_is_none() -> None:
    with pytest.raises(TrunkFileError, match="no name that commits to its content"):
        copied(replace(trunk_of([1]), blind=b""))


def test_a_file_of_something_else_is_named(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    save_file({"0": np.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(TrunkFileError, match=r"other\.safetensors is damaged"):
        SharedTrunk.read(tmp_path / "other.safetensors")


@pytest.mark.parametrize(
    "told",
    ["[]", '"text"', "null", "[" * 100_000, "{}", "junk", '{"name": 5}', '{"name": "zz", "version": 1}', '{"version": 1e999}'],
    ids=["list", "text", "null", "deep", "empty", "junk", "number", "no hexadecimal", "infinite"],
)
def test_a_trunk_that_says_something_else_of_itself_is_damaged(told: str) -> None:
    data = save({"rows": np.ones(4, dtype=np.bool_)}, metadata={"shared": told})
    with pytest.raises(TrunkFileError, match="a handed-over trunk is damaged"):
        SharedTrunk.from_bytes(data)


def test_no_flipped_bit_in_a_stored_trunk_is_overlooked(tmp_path: Path) -> None:
    path, trunk = tmp_path / "shared.safetensors", trunk_of([1, 4])
    trunk.write(path)
    whole = path.read_bytes()
    for place in range(64, 8 * len(whole), 29):
        flipped = bytearray(whole)
        flipped[place // 8] ^= 1 << place % 8
        path.write_bytes(flipped)
        try:
            read = SharedTrunk.read(path)
        except TrunkFileError as error:
            assert "shared.safetensors" in str(error)
        else:  # the name of the checksum's own key
            assert read.to_bytes() == trunk.to_bytes(), place
