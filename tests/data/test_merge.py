from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from fedapp.config import Chemistry
from fedapp.data.dataset import Dataset, build_dataset
from fedapp.data.merge import merge_datasets
from fedapp.data.prepare import prepare
from fedapp.errors import DataError
from tests.data.tables import CHEMISTRY, TASKS, write_tables

STRUCTURES = ["CC", "CO", "CN", "c1ccccc1", "CCCl", "CCBr"]


def partner(folder: Path, name: str, compounds: range, chemistry: Chemistry = CHEMISTRY, note: str = "") -> Dataset:
    """A partner that measured some of six structures in assay "x"; its ids mean nothing to others."""
    tables = write_tables(
        folder / name / "tables",
        [f"{name}-{number},{STRUCTURES[number]}" for number in compounds],
        [f"x,{name}-{number},{4 + number},=,p" for number in compounds],
    )
    (tables / "note.txt").write_text(note)
    prepare(tables, folder / name / "prepared", chemistry)
    return build_dataset(folder / name / "prepared", folder / name / "dataset", name, TASKS)


def labels(dataset: Dataset) -> set[tuple[str, str, float, int]]:
    """(SMILES, group, threshold, label)."""
    labels, tasks = dataset.labels, dataset.tasks[np.array(dataset.labels.tasks)]
    return set(zip(dataset.smiles()[labels.owners], tasks["group"], tasks["threshold"], labels.values.tolist(), strict=True))


def test_pooling_keeps_each_compound_once_and_every_label(tmp_path: Path) -> None:
    parts = {"a": partner(tmp_path, "a", range(4)), "b": partner(tmp_path, "b", range(1, 6))}
    pooled = merge_datasets(parts, tmp_path / "pooled")
    assert sorted(pooled.smiles()) == sorted(STRUCTURES)
    assert labels(pooled) == {(s, f"{name}/{group}", t, y) for name, part in parts.items() for s, group, t, y in labels(part)}
    assert pooled.header["labels"] == sum(part.header["labels"] for part in parts.values())


def test_tasks_are_numbered_partner_after_partner_and_keep_their_weight(tmp_path: Path) -> None:
    parts = {"b": partner(tmp_path, "b", range(1, 6)), "a": partner(tmp_path, "a", range(4))}
    pooled = merge_datasets(parts, tmp_path / "pooled")
    assert pooled.tasks["task"].to_list() == list(range(len(pooled.tasks)))
    assert pooled.tasks["task"].dtype == pl.Int32
    assert pooled.tasks["partner"].to_list() == ["b"] * len(parts["b"].tasks) + ["a"] * len(parts["a"].tasks)
    columns = ["threshold", "weight", "positives", "negatives"]
    assert pooled.tasks.select(columns).equals(pl.concat([part.tasks.select(columns) for part in parts.values()]))


def test_fingerprints_and_folds_are_those_of_the_partners(tmp_path: Path) -> None:
    parts = {"a": partner(tmp_path, "a", range(4)), "b": partner(tmp_path, "b", range(1, 6))}
    pooled = merge_datasets(parts, tmp_path / "pooled")

    def known(dataset: Dataset) -> dict[str, tuple[int, list[int]]]:
        bits = [dataset.fingerprints(np.array([row]))[1].tolist() for row in range(len(dataset.folds))]
        return dict(zip(dataset.smiles(), zip(dataset.folds.tolist(), bits, strict=True), strict=True))

    assert known(pooled) == known(parts["a"]) | known(parts["b"])
    assert (np.diff(pooled.labels.owners * len(pooled.tasks) + pooled.labels.tasks) > 0).all()


def test_notes_are_kept_once(tmp_path: Path) -> None:
    parts = {name: partner(tmp_path, name, range(4), note=note) for name, note in {"a": "computed", "b": "computed", "c": ""}.items()}
    assert merge_datasets(parts, tmp_path / "pooled").note == "computed"


def test_different_fingerprints_cannot_be_pooled(tmp_path: Path) -> None:
    parts = {"a": partner(tmp_path, "a", range(4)), "b": partner(tmp_path, "b", range(4), replace(CHEMISTRY, bits=1024))}
    with pytest.raises(DataError, match="different fingerprint lengths"):
        merge_datasets(parts, tmp_path / "pooled")


def test_different_fold_keys_are_noticed(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"a consortium's long and secret key")
    other = replace(CHEMISTRY, fold_key_file=str(tmp_path / "key"))
    parts = {"a": partner(tmp_path, "a", range(6)), "b": partner(tmp_path, "b", range(6), other)}
    with pytest.raises(DataError, match="different folds") as error:
        merge_datasets(parts, tmp_path / "pooled")
    assert "fold_key_file" in error.value.hint


def test_nothing_to_merge_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no datasets"):
        merge_datasets({}, tmp_path / "pooled")


VALUES = replace(TASKS, kinds=["classification", "regression"])


def measured(folder: Path, name: str, values: dict[int, str]) -> Dataset:
    """A partner that measured structures in assay "x": number to a value, with its relation before it."""
    rows = [f"x,{number},{text.lstrip('<>')},{text[0] if text[0] in '<>' else '='},p" for number, text in values.items()]
    tables = write_tables(folder / name / "tables", [f"{number},{STRUCTURES[number]}" for number in values], rows)
    prepare(tables, folder / name / "prepared", CHEMISTRY)
    return build_dataset(folder / name / "prepared", folder / name / "dataset", name, VALUES)


def said(dataset: Dataset, kind: str) -> dict[tuple[str, float | None], tuple[float, int]]:
    """(SMILES, threshold) to value and censor."""
    labels, tasks = dataset.labels, dataset.tasks[np.array(dataset.labels.tasks)]
    columns = dataset.smiles()[labels.owners], tasks["threshold"], labels.values.tolist(), labels.censors.tolist(), tasks["kind"]
    return {(smiles, threshold): (value, censor) for smiles, threshold, value, censor, own in zip(*columns, strict=True) if own == kind}


def test_an_endpoint_of_several_partners_becomes_one_task_with_one_label_a_compound(tmp_path: Path) -> None:
    parts = {
        "a": measured(tmp_path, "a", {0: "4", 1: "8", 2: "4", 3: "9"}),
        "b": measured(tmp_path, "b", {2: "8", 3: "4", 4: "8", 5: "<4"}),
        "c": measured(tmp_path, "c", {0: "4.5", 3: "8", 4: ">8", 5: "9"}),
    }
    merged = merge_datasets(parts, tmp_path / "merged", one_task_each=True)
    names = merged.tasks.select("group", "kind", "threshold")
    assert (
        len(names) == names.n_unique() == pl.concat(part.tasks.select("group", "kind", "threshold") for part in parts.values()).n_unique()
    )
    assert merged.tasks["task"].to_list() == list(range(len(merged.tasks)))
    expected = {smiles for part in parts.values() for smiles in said(part, "classification")}
    found = said(merged, "classification")
    assert set(found) == expected, "every label of a partner has its like"
    threshold = merged.tasks["threshold"].drop_nulls()[0]
    classes = {smiles: value for (smiles, at), (value, _) in found.items() if at == threshold}
    assert classes["CN"] == 0.0, "of a tie what the first partner says"
    assert classes["c1ccccc1"] == 1.0, "else the majority"
    values = {smiles: label for (smiles, _), label in said(merged, "regression").items()}
    assert values["CC"] == (4.25, 0) and values["c1ccccc1"] == (8.0, 0), "the median of exact values"
    assert values["CCCl"] == (8.0, 0) and values["CCBr"] == (9.0, 0), "beside which a bound says nothing"


def test_counts_and_units_of_merged_tasks_are_those_of_their_labels(tmp_path: Path) -> None:
    parts = {"a": measured(tmp_path, "a", {0: "4", 1: "8", 2: "5"}), "b": measured(tmp_path, "b", {3: "9", 4: "4", 5: "7"})}
    merged = merge_datasets(parts, tmp_path / "merged", one_task_each=True)
    for row in merged.tasks.iter_rows(named=True):
        own = merged.labels.values[merged.labels.tasks == row["task"]]
        if row["kind"] == "regression":
            assert (row["exact"], row["centre"], row["scale"]) == pytest.approx((6, own.mean(), own.std()))
        else:
            assert (row["positives"], row["negatives"]) == (own.sum(), len(own) - own.sum())


def test_tasks_of_classes_and_of_values_are_pooled_side_by_side_with_their_sides_and_units(tmp_path: Path) -> None:
    partner(tmp_path, "a", range(4))
    censored = [*(f"x,v-{number},{4 + number},=,p" for number in range(4)), "x,v-4,5,>,p"]
    tables = write_tables(tmp_path / "v" / "tables", [f"v-{number},{STRUCTURES[number]}" for number in range(5)], censored)
    prepare(tables, tmp_path / "v" / "prepared", CHEMISTRY)
    values = build_dataset(tmp_path / "v" / "prepared", tmp_path / "v" / "dataset", "v", replace(TASKS, kinds=["regression"]))
    classes = Dataset.open(tmp_path / "a" / "dataset")
    older = replace(classes, tasks=classes.tasks.select("task", "group", "threshold", "weight", "positives", "negatives"))
    for first in (classes, older):
        pooled = merge_datasets({"a": first, "v": values}, tmp_path / "pooled")
        assert pooled.tasks["kind"].to_list() == ["classification"] * len(classes.tasks) + ["regression"]
        assert pooled.tasks.row(-1, named=True)["scale"] == values.tasks["scale"][0]
        own = pooled.labels.tasks == len(pooled.tasks) - 1
        assert sorted(zip(pooled.labels.values[own], pooled.labels.censors[own], strict=True)) == [(4, 0), (5, 0), (5, 1), (6, 0), (7, 0)]
        assert pooled.normalisation.centre.tolist() == [0.0] * len(classes.tasks) + [5.5]
