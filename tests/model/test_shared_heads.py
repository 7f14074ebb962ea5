"""Heads that partners share, beside each partner's private ones."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import binary_cross_entropy_with_logits

from fedapp.data.dataset import Dataset
from fedapp.model.batches import assemble
from fedapp.model.evaluation import score
from fedapp.model.losses import mean_loss
from fedapp.model.network import Heads, Trunk
from fedapp.model.shared_heads import SharedHeads
from tests.helpers.sweeps import examples
from tests.model.synthetic import dataset

TASKS, WIDTH, SLOTS = 6, 8, 5
DECLARED = np.array([-1, 3, 0, 3, -1, 4], np.int32)  # two tasks of slot 3; nobody has slots 1 and 2
SENT = np.array([True, True, True, True, False])
SHARED = SharedHeads.of(DECLARED, SENT)
ARRAY = np.random.default_rng(5).normal(size=(SLOTS, WIDTH + 1)).astype(np.float32)


def labelled() -> Dataset:
    """Tasks of different weights."""
    data = dataset()
    weights = pl.Series("weight", [1.0, 2.0, 0.5, 0.25, 1.0, 3.0], pl.Float32)
    return replace(data, tasks=data.tasks.with_columns(weights))


def network() -> tuple[Trunk, Heads]:
    trunk, heads = Trunk(256, [WIDTH], 1), Heads(WIDTH, TASKS, 1, "alpha", len(SHARED))
    SHARED.fill(heads, ARRAY)
    return trunk, heads


def test_a_partner_trains_the_shared_heads_that_its_tasks_are_declared_to_and_that_may_leave() -> None:
    assert SHARED.slots.tolist() == [0, 3]
    assert SHARED.places.tolist() == [-1, 1, 0, 1, -1, -1]


@examples(100)
@given(st.lists(st.integers(-1, SLOTS - 1), min_size=TASKS, max_size=TASKS), st.lists(st.booleans(), min_size=SLOTS, max_size=SLOTS))
def test_a_label_of_a_declared_task_is_one_of_its_shared_head_too_with_half_of_its_weight_in_each(
    slots: list[int], sent: list[bool]
) -> None:
    data = labelled()
    shared = SharedHeads.of(np.array(slots, np.int32), np.array(sent))
    found = shared.labelled(data).labels
    expected = []
    for compound in range(len(data.folds)):
        own = data.labels.of(np.array([compound]))
        both = [slots[task] >= 0 and sent[slots[task]] for task in own.tasks]
        named = [(int(task), float(value), 0.5 if each else 1.0) for task, value, each in zip(own.tasks, own.values, both, strict=True)]
        common = [
            (TASKS + shared.slots.tolist().index(slots[task]), value, weight * data.task_weights[task])
            for (task, value, weight), each in zip(named, both, strict=True)
            if each
        ]
        expected += [(compound, *each) for each in named + sorted(common, key=lambda each: each[0])]
    assert list(zip(found.owners.tolist(), found.tasks.tolist(), found.values.tolist(), found.weights.tolist(), strict=True)) == expected


def test_the_gradients_of_both_heads_are_those_of_a_dense_model_whose_loss_is_the_mean_of_both() -> None:
    data = labelled()
    trunk, heads = network()
    extended, rows = SHARED.labelled(data), np.arange(120)
    batch = assemble(extended, rows, torch.from_numpy(extended.task_weights))
    mean_loss(heads(trunk(batch.bits), batch.pairs), batch).backward()

    dense, labels = torch.zeros(len(rows), 256), data.labels.of(rows)
    for row in rows:
        dense[row, torch.from_numpy(data.x_indices[data.x_indptr[row] : data.x_indptr[row + 1]]).long()] = 1.0
    first, bias = (parameter.detach().clone().requires_grad_() for parameter in (trunk.weight, trunk.bias))
    weight, offset = (parameter.detach().clone().requires_grad_() for parameter in (heads.weight, heads.bias))
    features = torch.relu(dense @ first + bias)
    owners, tasks, values = (torch.from_numpy(np.array(each)) for each in (labels.owners, labels.tasks, labels.values))
    weights = torch.from_numpy(data.task_weights)[tasks.long()]
    places = torch.from_numpy(SHARED.places)[tasks.long()]
    total, divisor = torch.zeros(()), torch.zeros(())
    for owner, task, value, each, place in zip(owners, tasks.long(), values, weights, places, strict=True):
        logits = [features[owner] @ weight[head] + offset[head] for head in [int(task)] + [TASKS + int(place)] * bool(place >= 0)]
        losses = [binary_cross_entropy_with_logits(logit, value) for logit in logits]
        total, divisor = total + each * torch.stack(losses).mean(), divisor + each
    (total / divisor).backward()
    for found, expected in zip([*trunk.parameters(), *heads.parameters()], (first, bias, weight, offset), strict=True):
        torch.testing.assert_close(found.grad, expected.grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("alone", [None, np.arange(TASKS) % 2 == 0, np.ones(TASKS, np.bool_)], ids=["none", "some", "all"])
def test_the_mean_of_both_heads_or_the_shared_one_alone_is_what_one_linear_head_says(alone: np.ndarray | None) -> None:
    data = labelled()
    trunk, heads = network()
    rows = np.arange(len(data.folds))
    one = score(trunk, SHARED.predicting(heads, alone), data, rows)
    both = score(trunk, heads, SHARED.labelled(data), rows)
    owners = SHARED.labelled(data).labels.owners
    said = {(int(owner), int(task)): float(output) for owner, task, output in zip(owners, both.tasks, both.outputs, strict=True)}
    for owner, task, output in zip(data.labels.owners, one.tasks, one.outputs, strict=True):
        place, expected = SHARED.places[task], said[int(owner), int(task)]
        if place >= 0:
            shared = said[int(owner), TASKS + int(place)]
            expected = shared if alone is not None and alone[task] else (expected + shared) / 2
        assert output == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_shared_heads_that_are_not_trained_go_out_bit_for_bit_as_they_came_in() -> None:
    _, heads = network()
    with torch.no_grad():
        heads.weight += 1
        heads.bias += 1
    out = SHARED.trained(heads, ARRAY)
    assert out[[1, 2, 4]].tobytes() == ARRAY[[1, 2, 4]].tobytes()
    np.testing.assert_array_equal(out[[0, 3]], ARRAY[[0, 3]] + 1)
    assert SHARED.trained(network()[1], ARRAY).tobytes() == ARRAY.tobytes()


def test_private_heads_begin_alike_with_and_without_shared_ones() -> None:
    alone, beside = Heads(WIDTH, TASKS, 1, "alpha"), Heads(WIDTH, TASKS, 1, "alpha", 3)
    assert torch.equal(alone.weight, beside.weight[:TASKS])
    assert torch.equal(alone.bias, beside.bias[:TASKS])
    assert not beside.weight[TASKS:].any()


def test_moments_follow_their_shared_heads_when_others_may_leave() -> None:
    before, now = SharedHeads.of(DECLARED, SENT), SharedHeads.of(DECLARED, np.array([False, True, True, True, True]))
    moments = torch.arange(float(TASKS + 2))
    state = {"adam.heads.bias.exp_avg": moments, "adam.heads.bias.step": torch.tensor(7.0), "adam.trunk.bias.exp_avg": torch.ones(WIDTH)}
    moved = now.resumed(state | before.tensors())
    assert moved["adam.heads.bias.exp_avg"].tolist() == [0, 1, 2, 3, 4, 5, 7, 0]  # slot 3's is kept, slot 4's is new
    assert moved["adam.heads.bias.step"] == 7
    assert torch.equal(moved["adam.trunk.bias.exp_avg"], torch.ones(WIDTH))
