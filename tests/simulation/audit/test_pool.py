"""The compounds that an audit trains on or leaves out."""

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem.Scaffolds import MurckoScaffold

from fedapp.data.dataset import Dataset
from fedapp.errors import DataError
from simulation.audit.pool import draw_pool, numbered, selected, with_columns
from tests.simulation.audit.demo_pool import demo_config, demo_datasets, demo_pool


def sets(indptr: np.ndarray, indices: np.ndarray) -> list[frozenset[int]]:
    return [frozenset(indices[first:last].tolist()) for first, last in zip(indptr[:-1], indptr[1:], strict=True)]


def test_every_partner_gives_as_many_training_compounds_as_asked_for() -> None:
    pool, config = demo_pool(), demo_config()
    assert np.bincount(pool.owners).tolist() == [120, 120, 120]
    assert all(np.isin(dataset.folds, config.training_folds()).all() for dataset in pool.datasets.values())


def test_a_partner_with_fewer_compounds_gives_all_its_training_compounds() -> None:
    pool = draw_pool(demo_datasets(), demo_config("audit.compounds=100000"))
    expected = [len(dataset.rows_in(demo_config().training_folds())) for dataset in demo_datasets().values()]
    assert np.bincount(pool.owners).tolist() == expected


def test_compounds_keep_their_fingerprints_labels_and_structures() -> None:
    pool = demo_pool()
    held = {
        (smiles, bits)
        for dataset in demo_datasets().values()
        for smiles, bits in zip(dataset.smiles(), sets(dataset.x_indptr, dataset.x_indices), strict=True)
    }
    assert set(zip(pool.smiles, sets(pool.indptr, pool.indices), strict=True)) <= held


def task_values(dataset: Dataset, row: int) -> list[tuple[int, float]]:
    """Task and value of each label of a compound."""
    labels = dataset.labels.of(np.array([row]))
    return list(zip(labels.tasks.tolist(), labels.values.tolist(), strict=True))


def test_labels_are_those_of_the_chosen_groups_under_new_task_numbers() -> None:
    for name, own in demo_pool().datasets.items():
        whole, smiles = demo_datasets()[name], demo_datasets()[name].smiles().to_list()
        labels = {
            (smiles[row], whole.tasks["group"][int(task)], whole.tasks["threshold"][int(task)], int(label))
            for row in range(len(smiles))
            for task, label in task_values(whole, row)
        }
        place = list(demo_pool().datasets).index(name)
        mine = [each for each, owner in zip(demo_pool().smiles, demo_pool().owners, strict=True) if owner == place]
        for row in range(len(mine)):
            for task, label in task_values(own, row):
                assert (mine[row], own.tasks["group"][int(task)], own.tasks["threshold"][int(task)], int(label)) in labels


def test_half_of_the_structures_are_members_and_equal_ones_share_their_fate() -> None:
    pool = demo_pool()
    members = pool.draw_members(np.random.default_rng(1))
    structures = len(np.unique(pool.structures))
    assert len(np.unique(pool.structures[members])) == structures // 2
    assert not set(pool.structures[members]) & set(pool.structures[~members])


def test_equal_fingerprints_are_one_structure() -> None:
    pool = demo_pool()
    by_bits: dict[frozenset[int], set[int]] = {}
    for bits, structure in zip(sets(pool.indptr, pool.indices), pool.structures, strict=True):
        by_bits.setdefault(bits, set()).add(int(structure))
    assert all(len(each) == 1 for each in by_bits.values())
    assert len(by_bits) == pool.structures.max() + 1


def test_a_scaffold_is_rare_when_no_other_structure_has_it() -> None:
    pool = demo_pool()
    scaffolds = [MurckoScaffold.MurckoScaffoldSmiles(mol=Chem.MolFromSmiles(each)) or each for each in pool.smiles]
    for place in range(0, len(scaffolds), 7):
        others = {int(s) for s, scaffold in zip(pool.structures, scaffolds, strict=True) if scaffold == scaffolds[place]}
        assert pool.rare[place] == (len(others) == 1)


def test_a_dataset_cut_to_some_columns_holds_just_those_bits_in_order() -> None:
    dataset = next(iter(demo_pool().datasets.values()))
    columns = np.unique(dataset.x_indices)[::3]
    cut = with_columns(dataset, columns.astype(np.int64))
    back = [frozenset(columns[list(each)].tolist()) for each in sets(cut.x_indptr, cut.x_indices)]
    assert back == [each & set(columns.tolist()) for each in sets(dataset.x_indptr, dataset.x_indices)]
    assert cut.bits == len(columns)


def test_selected_compounds_keep_all_tasks() -> None:
    dataset = next(iter(demo_pool().datasets.values()))
    kept = np.arange(len(dataset.folds)) % 2 == 0
    half = selected(dataset, kept)
    assert len(half.folds) == kept.sum() and len(half.tasks) == len(dataset.tasks)
    assert sets(half.x_indptr, half.x_indices) == sets(dataset.x_indptr, dataset.x_indices)[::2]


def test_numbers_follow_first_occurrence() -> None:
    assert numbered(["b", "a", "b", "c"]).tolist() == [0, 1, 0, 2]


def test_a_partner_without_training_compounds_is_an_error_that_names_it() -> None:
    datasets = dict(demo_datasets())
    datasets["partner-2"] = selected(datasets["partner-2"], np.isin(datasets["partner-2"].folds, [0, 1]))
    with pytest.raises(DataError, match="partner-2 has 0 training compounds"):
        draw_pool(datasets, demo_config())
