"""From tables to the datasets of simulated partners."""

from pathlib import Path

import polars as pl
import pytest

from fedapp.config import load_config
from fedapp.consortium.agreement import configuration_digest
from fedapp.consortium.policy_file import read_policy
from fedapp.data.catalogue import catalogue_of, slots_of
from fedapp.errors import ConfigError, DataError
from fedapp.model.trunk_shape import layout
from fedapp.partner_folder import PartnerFolder
from fedapp.run_folder import RunFolder
from simulation.preparation import catalogue_of_groups, common_unit, prepare_partners
from tests.data.tables import write_tables

WORDS = ("chemistry.bits=2048", "tasks.min_per_class=1")


def assay(folder: Path, name: str, ending: str, note: str = "") -> Path:
    """Tables with one assay of a partner's own compounds."""
    compounds = [f"{number},{'C' * number}{ending}" for number in range(1, 9)]
    write_tables(folder, compounds, [f"{name},{number},{4 + number % 2 * 4},=,p" for number in range(1, 9)])
    if note:
        (folder / "note.txt").write_text(note)
    return folder


def prepared(tmp_path: Path, *overrides: str) -> RunFolder:
    config = load_config(None, (*WORDS, f"runs={tmp_path}", *overrides))
    return RunFolder.create(tmp_path / "run", config, "simulate")


def test_partners_are_taken_as_they_are_one_folder_each(tmp_path: Path) -> None:
    folders = [assay(tmp_path / name, f"assay of {name}", ending) for name, ending in (("alpha", "O"), ("beta", "N"), ("gamma", "F"))]
    run = prepared(tmp_path, f"data.tables=[{','.join(map(str, folders))}]")
    told: list[str] = []
    datasets = prepare_partners(run, told.append, lambda *_: None)
    assert list(datasets) == ["partner-1", "partner-2", "partner-3"]
    assert [set(each.tasks["group"]) for each in datasets.values()] == [{f"assay of {name}"} for name in ("alpha", "beta", "gamma")]
    assert [each.smiles()[0][-1] for each in datasets.values()] == ["O", "N", "F"]
    assert f"building the dataset of partner-2 from {folders[1]}" in told


def test_a_resumed_preparation_makes_what_is_missing_from_the_same_folder(tmp_path: Path) -> None:
    folders = [assay(tmp_path / name, name, ending) for name, ending in (("alpha", "O"), ("beta", "N"), ("gamma", "F"))]
    run = prepared(tmp_path, f"data.tables=[{','.join(map(str, folders))}]")
    before = prepare_partners(run, lambda _: None, lambda *_: None)
    for path in (run.partner("partner-2") / "dataset").iterdir():
        path.unlink()
    (run.partner("partner-2") / "dataset").rmdir()
    after = prepare_partners(run, lambda _: None, lambda *_: None)
    assert {name: each.digest for name, each in after.items()} == {name: each.digest for name, each in before.items()}


def test_what_each_partners_note_says_of_its_data_travels_with_the_run(tmp_path: Path) -> None:
    notes = {"alpha": "measured twice", "beta": "", "gamma": "from the literature"}
    folders = [assay(tmp_path / name, name, "O", note) for name, note in notes.items()]
    run = prepared(tmp_path, f"data.tables=[{','.join(map(str, folders))}]")
    prepare_partners(run, lambda _: None, lambda *_: None)
    assert run.status()["note"] == "measured twice\nfrom the literature"


def test_a_folder_of_a_list_that_is_not_there_is_named(tmp_path: Path) -> None:
    folders = [assay(tmp_path / "alpha", "a", "O"), tmp_path / "nowhere", assay(tmp_path / "gamma", "c", "F")]
    run = prepared(tmp_path, f"data.tables=[{','.join(map(str, folders))}]")
    with pytest.raises(DataError, match="nowhere"):
        prepare_partners(run, lambda _: None, lambda *_: None)


def test_what_is_read_and_what_is_lost_is_told_as_prepare_tells_it(tmp_path: Path) -> None:
    folders = [assay(tmp_path / name, name, ending) for name, ending in (("alpha", "O"), ("beta", "N"), ("gamma", "F"))]
    with (folders[1] / "activities.csv").open("a") as file:
        file.write("beta,1,80,=,%\nbeta,2,90,=,%\n")
    run = prepared(tmp_path, f"data.tables=[{','.join(map(str, folders))}]")
    told: list[str] = []
    prepare_partners(run, told.append, lambda *_: None)
    assert told.count("activities.csv: read assay_id, compound_id, relation, unit, value") == 3
    (loss,) = [line for line in told if line.startswith("warning: activities.csv: 2 of 10 rows (20%) are left out")]
    assert loss.endswith("rejected.csv")


def test_a_partners_tables_may_be_one_file(tmp_path: Path) -> None:
    files = []
    for name, ending in (("alpha", "O"), ("beta", "N"), ("gamma", "F")):
        files.append(tmp_path / f"{name}.csv")
        rows = [f"{'C' * number}{ending},{4 + number % 2 * 4}" for number in range(1, 9)]
        files[-1].write_text("\n".join(["smiles,pIC50", *rows]))
    run = prepared(tmp_path, f"data.tables=[{','.join(map(str, files))}]")
    datasets = prepare_partners(run, lambda _: None, lambda *_: None)
    assert [set(each.tasks["group"]) for each in datasets.values()] == [{"alpha"}, {"beta"}, {"gamma"}]


# The catalogue


def same_assays(tmp_path: Path) -> str:
    """Three partners that measured assay hERG, of which two have one more each."""
    folders = [assay(tmp_path / name, "hERG", ending) for name, ending in (("alpha", "O"), ("beta", "N"), ("gamma", "F"))]
    for folder in folders[:2]:
        with (folder / "activities.csv").open("a") as file:
            file.writelines(f"own {folder.name},{number},{number % 2},=,label\n" for number in range(1, 9))
    return f"data.tables=[{','.join(map(str, folders))}]"


def test_every_group_of_any_partner_becomes_an_endpoint_and_policies_name_the_trunk_with_its_shared_heads(tmp_path: Path) -> None:
    run = prepared(tmp_path, same_assays(tmp_path), "tasks.catalogue=groups")
    datasets = prepare_partners(run, lambda _: None, lambda *_: None)
    config = run.config()
    catalogue = catalogue_of(config)
    assert Path(config.tasks.catalogue or "") == run.path / "catalogue.yaml"
    assert catalogue.slots == (("hERG", 5.5), ("hERG", 6.5), ("hERG", 7.5), ("own alpha", None), ("own beta", None))
    own = {name: set(slots_of(each.tasks, catalogue, catalogue.by_name).tolist()) for name, each in datasets.items()}
    assert own == {"partner-1": {0, 1, 2, 3}, "partner-2": {0, 1, 2, 4}, "partner-3": {0, 1, 2}}
    for name in run.partners():
        policy = read_policy(PartnerFolder(run.partner(name)).policy)
        assert (policy.layout, policy.configuration) == (layout(config), configuration_digest(config))
        assert "slots:5x" in policy.layout


def test_a_resumed_preparation_keeps_the_catalogue_and_makes_one_that_is_missing_as_it_was(tmp_path: Path) -> None:
    run = prepared(tmp_path, same_assays(tmp_path), "tasks.catalogue=groups")
    prepare_partners(run, lambda _: None, lambda *_: None)
    before = (run.path / "catalogue.yaml").read_bytes()
    policies = [PartnerFolder(run.partner(name)).policy.read_bytes() for name in run.partners()]
    prepare_partners(run, lambda _: None, lambda *_: None)
    (run.path / "catalogue.yaml").unlink()
    prepare_partners(run, lambda _: None, lambda *_: None)
    assert (run.path / "catalogue.yaml").read_bytes() == before
    assert [PartnerFolder(run.partner(name)).policy.read_bytes() for name in run.partners()] == policies


def test_a_catalogue_from_a_file_is_the_runs_own_from_its_preparation_on(tmp_path: Path) -> None:
    ours = tmp_path / "ours.yaml"
    ours.write_text("endpoints: [{id: hERG, measures: block, unit: p, thresholds: [6.5]}]\n")
    run = prepared(tmp_path, same_assays(tmp_path), f"tasks.catalogue={ours}")
    datasets = prepare_partners(run, lambda _: None, lambda *_: None)
    ours.unlink()
    catalogue = catalogue_of(run.config())
    assert catalogue.slots == (("hERG", 6.5),)
    tasks = datasets["partner-1"].tasks
    has = slots_of(tasks, catalogue, catalogue.by_name) >= 0
    assert tasks.filter(pl.Series(has)).select("group", "threshold").rows() == [("hERG", 6.5)]


def test_an_unusable_catalogue_is_named_before_anything_is_made(tmp_path: Path) -> None:
    (tmp_path / "ours.yaml").write_text("endpoints: [{id: hERG}]\n")
    run = prepared(tmp_path, same_assays(tmp_path), f"tasks.catalogue={tmp_path / 'ours.yaml'}")
    with pytest.raises(ConfigError, match=r"ours\.yaml: endpoint 1 \(hERG\): measures is None"):
        prepare_partners(run, lambda _: None, lambda *_: None)
    assert not any((run.partner(name) / "dataset").exists() for name in run.partners())


def test_without_a_catalogue_a_run_has_none(tmp_path: Path) -> None:
    run = prepared(tmp_path, same_assays(tmp_path))
    prepare_partners(run, lambda _: None, lambda *_: None)
    assert not (run.path / "catalogue.yaml").exists() and catalogue_of(run.config()).slots == ()


def test_values_in_several_units_of_spread_are_normalised_alike_and_0_1_labels_not_at_all() -> None:
    tasks = pl.DataFrame(
        {
            "group": ["a", "a", "a", "b"],
            "threshold": pl.Series([6.7, None, None, None], dtype=pl.Float32),
            "kind": ["classification", "regression", "regression", "classification"],
            "unit": ["p", "p", "p", "label"],
            "centre": pl.Series([0.0, 6.0, 7.0, 0.0], dtype=pl.Float32),
            "scale": pl.Series([1.0, 0.5, 1.0, 1.0], dtype=pl.Float32),
        }
    )
    first, second = catalogue_of_groups({"p": tasks}).endpoints
    assert (first.thresholds, first.value, first.centre, first.scale, first.unit) == ((6.7,), True, 6.5, 0.75, "p")
    assert (second.thresholds, second.value, second.centre, second.unit) == ((), False, None, "label")


def test_a_group_that_no_endpoint_can_be_called_after_is_named() -> None:
    table = pl.DataFrame({"group": ["two\nlines"], "threshold": pl.Series([6.5], dtype=pl.Float32)})
    with pytest.raises(ValueError, match=r"two\\nlines"):
        catalogue_of_groups({"p": table})


def mixed_units(tmp_path: Path) -> str:
    """Three partners with an assay A, of which the second has it in % and the others p-values; all have hERG in p."""
    folders = [assay(tmp_path / name, "hERG", ending) for name, ending in (("alpha", "O"), ("beta", "N"), ("gamma", "F"))]
    for folder in folders:
        unit, large, small = ("%", 90, 10) if folder.name == "beta" else ("p", 8, 4)
        with (folder / "activities.csv").open("a") as file:
            file.writelines(f"A,{number},{large if number % 2 else small},=,{unit}\n" for number in range(1, 9))
        thresholds = "50" if folder.name == "beta" else ""
        (folder / "assays.csv").write_text(f"assay_id,thresholds\nhERG,\nA,{thresholds}\n")
    return f"data.tables=[{','.join(map(str, folders))}]"


def test_a_group_that_partners_measure_in_different_units_is_no_endpoint_and_is_told(tmp_path: Path) -> None:
    run = prepared(tmp_path, mixed_units(tmp_path), "tasks.catalogue=groups", "tasks.kinds=[classification,regression]")
    told: list[str] = []
    prepare_partners(run, told.append, lambda *_: None)
    catalogue = catalogue_of(run.config())
    assert [endpoint.id for endpoint in catalogue.endpoints] == ["hERG"]
    assert "warning: A is no common endpoint, since it is measured by partner-1 in p, partner-2 in %, partner-3 in p" in told


def test_a_group_called_as_an_endpoint_of_a_file_and_measured_in_another_unit_is_refused_with_partner_group_and_units(
    tmp_path: Path,
) -> None:
    (tmp_path / "ours.yaml").write_text("endpoints: [{id: A, measures: x, unit: p, value: true, centre: 6, scale: 1}]\n")
    run = prepared(tmp_path, mixed_units(tmp_path), f"tasks.catalogue={tmp_path / 'ours.yaml'}", "tasks.kinds=[classification,regression]")
    for _ in range(2):  # a resumed run too
        with pytest.raises(ConfigError, match="^partner-2: A is measured in %, and A in p$") as caught:
            prepare_partners(run, lambda _: None, lambda *_: None)
        assert "unit" in caught.value.hint


def test_what_all_holders_have_decides_the_unit_of_a_group_and_values_come_before_labels() -> None:
    assert common_unit({"a": {"p", "label"}, "b": {"p"}}) == "p"
    assert common_unit({"a": {"p", "label"}, "b": {"label"}}) == "label"
    assert common_unit({"a": {"p", "label"}, "b": {"p", "label"}}) == "p"
    assert common_unit({"a": {"p"}, "b": {"label"}}) is None


def test_groups_of_which_none_is_in_one_unit_make_no_catalogue() -> None:
    tables = {unit: pl.DataFrame({"group": ["a"], "threshold": pl.Series([6.5], dtype=pl.Float32), "unit": [unit]}) for unit in ("p", "%")}
    with pytest.raises(ValueError, match="none is measured in one unit"):
        catalogue_of_groups(tables)
