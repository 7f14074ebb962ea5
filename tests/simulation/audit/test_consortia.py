"""Federations that leave out targets and series: what is asked, what is trained on, and what is told of it."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from simulation.audit import consortia
from simulation.audit.attacks import series
from simulation.audit.consortia import ANALOGUES, OF_CLASS, SERIES, Questions, in_play, run_consortia, run_consortium
from simulation.audit.findings import OFF, ON
from simulation.audit.pool import Pool, draw_pool, scaffolds_of
from simulation.audit.scenario import Scenario
from tests.simulation.audit.demo_pool import demo_config, demo_datasets


@cache
def demo_pool() -> Pool:
    """All training compounds of three partners of the demo, of several targets each."""
    return draw_pool(demo_datasets(), demo_config("audit.compounds=100000"))


@pytest.fixture(scope="module")
def questions() -> Questions:
    return Questions.of(demo_pool(), np.random.default_rng(0))


def labels_of(pool: Pool, compound: int) -> set[tuple[str, float]]:
    """Group and value of each label of a compound."""
    place = int(pool.owners[compound])
    dataset, row = list(pool.datasets.values())[place], compound - int(np.searchsorted(pool.owners, place))
    labels = dataset.labels.of(np.array([row]))
    return {(dataset.tasks["group"][task], value) for task, value in zip(labels.tasks.tolist(), labels.values.tolist(), strict=True)}


def name_of(pool: Pool, questions: Questions, target: int) -> str:
    pairs = zip(pool.datasets.values(), questions.tasks, strict=True)
    (name,) = {dataset.tasks["group"][int(task)] for dataset, tasks in pairs for task in np.flatnonzero(tasks == target)}
    return str(name)


def test_of_each_target_the_attacker_knows_as_many_actives_as_inactives(questions: Questions) -> None:
    pool = demo_pool()
    assert len(questions.asked) >= 3
    for target, compounds in zip(questions.asked.tolist(), questions.labelled.tolist(), strict=True):
        name = name_of(pool, questions, target)
        assert all((name, 1.0) in labels_of(pool, each) for each in compounds[:OF_CLASS])
        assert all((name, 0.0) in labels_of(pool, each) for each in compounds[OF_CLASS:])
        assert len(set(pool.structures[compounds])) == 2 * OF_CLASS


def test_a_series_has_one_scaffold_and_structures_enough_beside_the_analogues(questions: Questions) -> None:
    pool, scaffolds = demo_pool(), scaffolds_of(demo_pool().smiles)
    assert len(questions.analogues)
    for number, analogues in enumerate(questions.analogues):
        members = np.flatnonzero(questions.series == number)
        assert set(analogues) <= set(members) and len(set(scaffolds[members])) == 1
        assert len(set(pool.structures[members])) >= SERIES and len(set(pool.structures[analogues])) == ANALOGUES


def test_nobody_trains_on_what_the_attacker_knows_nor_on_what_is_left_out(questions: Questions) -> None:
    pool = demo_pool()
    known = {*questions.labelled.ravel().tolist(), *questions.analogues.ravel().tolist()}
    trained, datasets = in_play(pool, questions, np.random.default_rng(1))
    assert not set(pool.structures[trained]) & set(pool.structures[sorted(known)])
    assert [len(dataset.folds) for dataset in datasets.values()] == [int(own.sum()) for own in pool.split(trained)]
    groups = {group for dataset in datasets.values() for group in dataset.tasks["group"]}
    every = {group for dataset in pool.datasets.values() for group in dataset.tasks["group"]}
    assert groups < every
    assert all({group for group, _ in labels_of(pool, int(compound))} & groups for compound in np.flatnonzero(trained))


def test_a_partner_of_which_nothing_would_be_left_keeps_everything_that_the_attacker_does_not_know(
    questions: Questions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consortia, "SHARE", 0.0)
    trained, _ = in_play(demo_pool(), questions, np.random.default_rng(1))
    assert np.array_equal(trained, ~questions.fresh)


def test_the_truth_is_what_somebody_trained_on(questions: Questions, tmp_path: Path) -> None:
    pool, config = demo_pool(), demo_config("privacy.row_guard=0")
    told = run_consortium(pool, questions, config, 0, tmp_path, holders=1)
    generator = np.random.default_rng(consortia.derived_seed(config.seed, "audit consortium", 0))
    trained, datasets = in_play(pool, questions, generator)
    played = {dataset.tasks["group"][int(task)] for dataset in datasets.values() for task in dataset.labels.tasks}
    assert told.targets.tolist() == [name_of(pool, questions, target) in played for target in questions.asked.tolist()]
    expected = [bool((trained & (questions.series == number)).any()) for number in range(len(questions.analogues))]
    assert told.series.tolist() == expected and "support" not in told.of_series
    assert told.sizes.tolist() == [len(dataset.folds) for dataset in datasets.values()]
    assert all(np.isfinite(values).all() for values in (told.of_targets | told.of_series | told.of_partners).values())
    assert not list(tmp_path.glob("*.safetensors"))


def test_a_guard_that_leaves_no_row_leaves_no_federation_to_ask_about(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consortia, "COUNTS", {ON: 1, OFF: 1})
    assert run_consortia(demo_pool(), demo_config("privacy.row_guard=1000"), ON) == []
    (told,) = run_consortia(demo_pool(), demo_config("privacy.row_guard=2", "privacy.least_supporters=2"), ON)
    assert {"support"} < set(told.of_series) and {"rows", "known_list", "update"} == set(told.of_partners)


def test_without_defences_the_trunk_of_a_real_federation_tells_which_series_are_in_play(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consortia, "COUNTS", {OFF: 4})
    learning = ("federation.rounds=8", "model.hidden=[32]", "training.learning_rate=0.01", "model.dropout=0")
    config = demo_config("privacy.row_guard=0", *learning)
    told = run_consortia(demo_pool(), config, OFF)
    findings = series.attack(Scenario(demo_pool(), [], OFF, config, np.random.default_rng(0), told)).findings
    alone = next(each for each in findings if each.attack == "series from the last trunk")
    assert alone.value > 0.6 and alone.lower > alone.chance
