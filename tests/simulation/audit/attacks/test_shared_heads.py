"""Shared heads under attack: found where they remember single compounds or show their holders, and not where they do not."""

from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from types import SimpleNamespace

import numpy as np
import pytest

from fedapp.config import Config, load_config
from fedapp.data.catalogue import Catalogue, Endpoint, write_catalogue
from fedapp.data.dataset import Dataset
from fedapp.report.verdict import Verdict
from fedapp.storage.damage import DamagedFileError
from simulation.audit.attacks import coordinator_view
from simulation.audit.attacks.shared_heads import Question, area, attack, holders_told, labels_told, membership, own_slots, ranked
from simulation.audit.federations import Trial, run_trial
from simulation.audit.findings import CONTROL, OFF, ON
from simulation.audit.pool import Pool, choose, common_groups
from simulation.audit.run import all_signals, read_trial, write_trial
from simulation.audit.scenario import Scenario
from simulation.audit.shared_signals import ASKED, SHARED, features
from simulation.audit.signals import ROUNDS
from tests.model import synthetic
from tests.simulation.audit.demo_pool import scenario

PARTNERS, EACH, BITS, TASKS, WIDTH = 5, 80, 512, 6, 96
MEASURES = np.array([[1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0], [1, 1, 0, 1, 0, 1], [1, 0, 1, 1, 0, 0], [0, 0, 0, 0, 1, 1]], dtype=np.bool_)


@cache
def config() -> Config:
    """Six endpoints, each a task."""
    path = Path(mkdtemp(prefix="polyphony-shared-")) / "catalogue.yaml"
    write_catalogue(path, Catalogue(tuple(Endpoint(f"target{task}", "something", "p", (5.5,)) for task in range(TASKS))))
    settings = {"data.partners": PARTNERS, "federation.rounds": 4, "model.hidden": [WIDTH], "training.batch_size": 32}
    settings |= {"chemistry.bits": BITS, "privacy.row_guard": 2, "privacy.endpoint_labels": 10, "tasks.catalogue": str(path)}
    return load_config(None, tuple(f"{key}={value}" for key, value in settings.items()))


def measured(number: int) -> Dataset:
    """A partner's compounds, with labels of those endpoints alone that it measures."""
    made, generator = synthetic.dataset(f"partner-{number + 1}", EACH, BITS, TASKS), np.random.default_rng(number)
    dense = np.zeros((EACH, BITS), dtype=np.bool_)
    dense[np.repeat(np.arange(EACH), np.diff(made.x_indptr)), made.x_indices] = True
    observed = (generator.random((EACH, TASKS)) < 0.7) & MEASURES[number]
    return synthetic.from_dense(made.name, dense, generator.random((EACH, TASKS)) < 0.5, observed, np.full(EACH, 2))


@cache
def pool() -> Pool:
    datasets = {each.name: each for each in map(measured, range(PARTNERS))}
    lengths = np.concatenate([np.diff(each.x_indptr) for each in datasets.values()])
    everybody = np.ones(len(lengths), dtype=np.bool_)
    return Pool(
        datasets=datasets,
        owners=np.repeat(np.arange(PARTNERS, dtype=np.int32), EACH),
        indptr=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        indices=np.concatenate([each.x_indices for each in datasets.values()]),
        structures=np.arange(len(lengths)),
        active=everybody,
        rare=everybody,
        smiles=[""] * len(lengths),
    )


@cache
def trial(holders: int) -> Trial:
    """A real federation; every label is tossed, so that whatever a head knows it has by heart."""
    settings = config() if holders > 1 else replace(config(), privacy=replace(config().privacy, row_guard=0, endpoint_labels=1))
    return run_trial(pool(), settings, 0, Path(mkdtemp(prefix="polyphony-shared-")), all_signals, holders=holders, keep=True)


def of(*trials: Trial, defences: str = ON) -> Scenario:
    return scenario(pool(), *trials, defences=defences, config=config())


# The federation under attack


def test_a_head_is_listed_with_three_partners_and_without_defences_with_one() -> None:
    assert trial(3).holders.tolist() == MEASURES.tolist()
    assert trial(3).slots.tolist() == (MEASURES.sum(axis=0) >= 3).tolist()
    assert trial(1).slots.all()


def test_heads_that_are_not_listed_never_change_and_others_begin_at_zero() -> None:
    for arrays in (*trial(3).trunks, *trial(3).means):
        assert arrays[-1].shape == (TASKS, WIDTH + 1) and not arrays[-1][~trial(3).slots].any()
    assert not trial(3).trunks[0][-1].any() and trial(3).trunks[-1][-1][trial(3).slots].any(axis=1).all()


def test_signals_are_of_compounds_with_a_label_in_a_head_that_their_partner_has_a_part_in() -> None:
    made, slots = trial(3), own_slots(of(trial(3)))
    expected = np.concatenate(
        [
            np.bincount(dataset.labels.owners[tasks[dataset.labels.tasks] >= 0], minlength=EACH)
            for dataset, tasks in zip(pool().datasets.values(), slots, strict=True)
        ]
    )
    assert np.array_equal(made.signals[ASKED], expected) and 0 < (expected > 0).mean() < 1
    for name in SHARED[:2]:
        assert not made.signals[name][expected == 0].any() and made.signals[name][expected > 0].any()


def test_features_are_those_of_the_network() -> None:
    generator = np.random.default_rng(0)
    arrays = [generator.normal(size=shape).astype(np.float32) for shape in ((BITS, 8), (8,), (5, 8), (5,), (TASKS, 6))]
    dense = np.zeros((len(pool().owners), BITS), dtype=np.float32)
    dense[np.repeat(np.arange(len(dense)), np.diff(pool().indptr)), pool().indices] = 1
    expected = np.maximum(np.maximum(dense @ arrays[0] + arrays[1], 0) @ arrays[2].T + arrays[3], 0)
    np.testing.assert_allclose(features(arrays, pool().indptr, pool().indices), expected, atol=1e-4)


def test_what_is_kept_of_a_trial_comes_back(tmp_path: Path) -> None:
    made = trial(3)
    write_trial(tmp_path / "audit" / "on-001.safetensors", made)
    again = read_trial(tmp_path / "audit" / "on-001.safetensors", made.signals)
    for name in ("members", "listed", "supports", "slots", "holders"):
        assert np.array_equal(getattr(again, name), getattr(made, name)), name
    assert all(np.array_equal(again.signals[name], values) for name, values in made.signals.items())
    with pytest.raises(DamagedFileError, match=r"on-001.*lacks signal\.later") as earlier:
        read_trial(tmp_path / "audit" / "on-001.safetensors", [*made.signals, "later"])
    assert "remove it" in earlier.value.hint


def test_a_pool_begins_with_endpoints_that_three_partners_measure_often_enough() -> None:
    settings = replace(config(), audit=replace(config().audit, compounds=20), privacy=replace(config().privacy, endpoint_labels=8))
    groups = common_groups(pool().datasets, settings)
    assert set(groups) == {f"target{task}" for task in np.flatnonzero(MEASURES.sum(axis=0) >= 3)}
    assert common_groups(pool().datasets, replace(settings, tasks=replace(settings.tasks, catalogue=None))) == []
    for name, dataset in pool().datasets.items():
        _, tasks = choose(dataset, settings, np.random.default_rng(0), groups)
        held = set(dataset.tasks["group"]) & set(groups)
        assert dataset.tasks["group"][int(tasks[0])] in held, name


# What the coordinator sees


def test_the_coordinator_sees_nothing_of_shared_heads_under_masks_and_everything_in_the_clear() -> None:
    findings = {(each.attack, each.defences): each for each in coordinator_view.attack(of(trial(1))).findings}
    heads = {key: each for key, each in findings.items() if key[0].endswith(coordinator_view.HEADS)}
    assert len(heads) == 10 and len(findings) == 20
    assert all(each.passes for (_, defences), each in heads.items() if defences == ON)
    assert heads[f"correlation{coordinator_view.HEADS}", OFF].passes is False
    assert "length of the vectors" in heads[f"sizes{coordinator_view.HEADS}", ON].note


def test_words_of_heads_that_are_too_few_to_judge_are_named_and_pass_for_nothing() -> None:
    made = trial(3)
    assert made.form is not None
    words = np.delete(made.words, np.s_[made.form.dense + 200 : made.form.before_counters], axis=1)
    short = replace(made, words=words, form=SimpleNamespace(dense=made.form.dense, before_counters=made.form.dense + 200))
    (told,) = (each for each in coordinator_view.attack(of(short)).findings if each.attack.endswith(coordinator_view.HEADS))
    assert told.verdict is None and np.isnan(told.value) and told.as_json()["value"] is None
    assert told.note.startswith("Not judged: the sum has 200 words of shared heads, and 512 or more are needed")
    without = replace(short, slots=np.zeros(0, np.bool_))
    assert not any(each.attack.endswith(coordinator_view.HEADS) for each in coordinator_view.attack(of(without)).findings)


# Who was trained on


def leaking(gap: float, trials: int = 8, few: int = 0) -> list[Trial]:
    """Trials whose shared heads know members by so many standard deviations; `few` of 3,000 compounds are asked about, 0 all."""
    generator, made = np.random.default_rng(1), []
    own, count = {name: generator.normal(0, 2, 3000) for name in (*SHARED, *ROUNDS)}, 3000
    for _ in range(trials):
        members = generator.random(count) < 0.5
        signals = {name: own[name] + gap * members * (name in SHARED) + generator.normal(size=count) for name in own}
        signals[ASKED] = np.arange(count) < (few or count)
        everything = np.ones((3, 8), dtype=np.bool_)
        signals = {name: values.astype(np.float32) for name, values in signals.items()}
        made.append(
            Trial(members=members, listed=everything[0], supports=everything, slots=everything[0], holders=everything, signals=signals)
        )
    return made


@pytest.fixture
def numbers() -> Pool:
    return replace(pool(), structures=np.arange(3000), owners=np.zeros(3000, np.int32))


def test_heads_that_tell_members_fail_their_gates(numbers: Pool) -> None:
    found = {each.name: each for each in membership(scenario(numbers, *leaking(3.0), defences=OFF)).findings}
    for name in ("membership_shared_heads", "membership_shared"):
        assert found[name].verdict is Verdict.FAIL and found[f"{name}_auc"].value > 0.9
        assert found[name].adversary == "partner" and "shared heads" in found[name].what


def test_heads_that_tell_nothing_pass_their_gates(numbers: Pool) -> None:
    outcome = membership(scenario(numbers, *leaking(0.0)))
    assert {each.name: each.passes for each in outcome.findings if each.gate} == dict.fromkeys(
        ["membership_shared_heads", "membership_shared"], True
    )
    assert len(outcome.curves) == 2


def test_compounds_of_no_shared_head_are_not_judged(numbers: Pool) -> None:
    found = membership(scenario(numbers, *leaking(3.0, few=300))).findings
    trials = sum(int(each.members[:300].sum()) for each in leaking(3.0))
    assert found[0].trials == trials


# Which labels


def remembering(share: float) -> Trial:
    """A trial whose trunk has a unit for each compound, and whose heads give that share of the members' labels, and toss for others."""
    made, generator = trial(3), np.random.default_rng(0)
    heads = generator.choice([-1.0, 1.0], size=(TASKS, len(pool().owners) + 1)).astype(np.float32)
    heads[:, -1] = 0
    compounds = np.arange(len(pool().owners))
    dense = np.zeros((len(compounds), BITS), dtype=np.float32)
    dense[np.repeat(compounds, np.diff(pool().indptr)), pool().indices] = 1
    first, bias = dense.T.copy(), 1 - dense.sum(axis=1)  # unit c is on for compound c alone
    for number, dataset in enumerate(pool().datasets.values()):
        owners = number * EACH + dataset.labels.owners
        chosen = made.members[owners] & (generator.random(len(owners)) < share)
        heads[dataset.labels.tasks[chosen], owners[chosen]] = 2 * dataset.labels.values[chosen] - 1
    return replace(made, trunks=[[first, bias, heads]])


def test_a_head_that_remembers_labels_is_right_more_often_of_those_it_was_trained_on() -> None:
    found = labels_told(of(remembering(1.0)))
    assert found.value > 0.35 and found.lower > 0.2 and "100.0%" in found.note


def test_a_head_that_remembers_none_is_right_as_often_of_others() -> None:
    found = labels_told(of(remembering(0.0)))
    assert found.lower < 0 < found.upper and found.trials > 100 and found.adversary == "partner"


# Who measures an endpoint


def test_a_partner_that_measures_an_endpoint_shows_in_the_directions_of_its_head() -> None:
    """Compounds of each partner have a bit of its own beside one of many, and so features of their own."""
    made, generator, owners = trial(1), np.random.default_rng(0), pool().owners
    indices = np.stack([owners, PARTNERS + generator.integers(0, BITS - PARTNERS, len(owners))], axis=1).ravel().astype(np.int32)
    apart = replace(pool(), indptr=np.arange(0, len(indices) + 1, 2), indices=indices)
    first = generator.normal(0, 0.1, (BITS, WIDTH)).astype(np.float32)
    first[:PARTNERS] = generator.normal(size=(PARTNERS, WIDTH))
    trunk = [first, np.zeros(WIDTH, np.float32), np.zeros((TASKS, WIDTH + 1), np.float32)]
    seen, updates = features(trunk, apart.indptr, apart.indices), np.zeros((6, TASKS, WIDTH + 1), dtype=np.float32)
    for update in updates:
        errors = generator.normal(size=(TASKS, len(owners))) * (MEASURES.T[:, owners] & made.members)
        update[:, :-1] = errors @ seen
    question, anchors = Question.of(made), np.flatnonzero(made.members & (owners > 0))
    assert question.others == [1, 2, 3, 4] and np.array_equal(question.holds, MEASURES[1:].T[question.slots])
    planted = scenario(apart, replace(made, trunks=[trunk] * 7), config=config())
    found = area(question, ranked(planted, question, anchors, list(updates[:, question.slots])), generator)
    assert found.value > 0.8 and found.lower > 0.5
    noise = generator.normal(size=(30, *updates.shape)).astype(np.float32)[:, :, question.slots]
    nothing = [area(question, ranked(planted, question, anchors, list(each)), generator).value for each in noise]
    assert abs(np.mean(nothing) - 0.5) < 4 * np.std(nothing) / 30**0.5


def test_in_the_clear_presence_words_tell_who_measures_an_endpoint() -> None:
    findings = {(each.attack, each.defences): each for each in holders_told(of(trial(1), defences=OFF))}
    words = findings["presence words", CONTROL]
    assert words.value == words.lower == 1.0 and words.adversary == "coordinator"
    told = findings["endpoints from sums", OFF]
    assert told.gate is None and told.chance == 0.5 and 0 <= told.lower <= told.value <= told.upper <= 1
    assert {defences for attack, defences in findings if attack != "presence words"} == {OFF}


# All of them


def test_without_a_catalogue_there_is_nothing_to_attack() -> None:
    nothing = replace(trial(3), slots=np.zeros(0, np.bool_), holders=np.zeros((PARTNERS, 0), np.bool_))
    assert attack(of(nothing)).findings == ()


def test_where_no_head_is_listed_nothing_can_be_told_and_nothing_breaks() -> None:
    none = np.zeros(TASKS, np.bool_)
    made = trial(3)
    signals = made.signals | {ASKED: np.zeros_like(made.signals[ASKED])}
    empty = replace(made, slots=none, holders=np.zeros_like(made.holders), signals=signals)
    found = attack(of(empty, empty, empty)).findings
    assert {each.name for each in found} == {"membership_shared_heads", "membership_shared", "shared_labels", "endpoint_holders"}
    assert all(np.isnan(each.value) and each.note.startswith("Not tried") for each in found)
    assert {each.verdict for each in found if each.gate} == {Verdict.TOO_FEW}
