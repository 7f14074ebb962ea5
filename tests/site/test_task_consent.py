"""Consent task by task: a partner declares single tasks of a group, and no others of it are taken for that."""

import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from fedapp.consortium.policy_file import read_policy_file
from fedapp.data.catalogue import NO_SLOT, Declaration, catalogue_of, slots_of
from fedapp.data.dataset import Dataset, save
from fedapp.errors import ConfigError, PolyphonyError
from fedapp.site.accept import accept, check_data
from fedapp.site.declared_tasks import declared_tasks
from fedapp.site.endpoints import Wanted, declared
from fedapp.site.folder import Site
from tests.cli.test_cli import polyphony
from tests.helpers.small_run import label_table, write_dataset
from tests.site.saved_site import agree
from tests.site.test_endpoints import CONFIG, contents, made_site

ENDPOINTS = """\
endpoints:
- {id: hERG, measures: block of the hERG channel, unit: p, thresholds: [5.5, 6.7], value: true, centre: 5, scale: 1.5}
- {id: Ames, measures: mutagenicity, unit: label}
"""
GROUP, LABELS = "SECRET patch clamp", "SECRET@5.5"  # the second is a name, and no threshold
MEANT = "block of the hERG channel (p)"
VALUE = "as a value, of which 5 is taken off, and the rest divided by 1.5"


def with_groups(dataset: Dataset, out: Path, thresholds: tuple[float, ...]) -> Path:
    """The dataset's tasks as those of one group, of classes at these thresholds and of values; the others are a group of 0/1 labels."""
    classes = len(thresholds)
    tasks = dataset.tasks.with_columns(
        pl.Series("group", [GROUP] * (classes + 1) + [LABELS] * (len(dataset.tasks) - classes - 1)),
        pl.Series("threshold", [*thresholds] + [None] * (len(dataset.tasks) - classes), pl.Float32),
        pl.Series("kind", ["regression" if task == classes else "classification" for task in range(len(dataset.tasks))]),
        pl.Series("unit", ["p"] * (classes + 1) + ["label"] * (len(dataset.tasks) - classes - 1)),
    )
    structures = pl.DataFrame({"smiles": dataset.smiles(), "fold": np.array(dataset.folds)})
    header = {key: dataset.header[key] for key in ("name", "bits", "folds", "note", "dropped")}
    fingerprints = np.array(dataset.x_indptr), np.array(dataset.x_indices)
    save(out, header, structures, fingerprints, labels=label_table(dataset), tasks=tasks)
    return out


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site with this catalogue, and beside it a dataset of a group at 5.5, 6.7 and 7.5 and of its values, and one without the 6.7."""
    folder = tmp_path_factory.mktemp("consent")
    catalogue_is(
        made_site(folder / "site", f"{CONFIG}tasks: {{catalogue: catalogue.yaml, kinds: [classification, regression]}}\n"), ENDPOINTS
    )
    made = write_dataset(folder / "made", "Birch", tasks=5)
    with_groups(made, folder / "data", (5.5, 6.7, 7.5))
    with_groups(made, folder / "less", (5.5, 7.5))
    return folder


@pytest.fixture
def site(template: Path, tmp_path: Path) -> Site:
    return Site.open(Path(shutil.copytree(template / "site", tmp_path / "site")))


@pytest.fixture
def data(template: Path) -> Path:
    return template / "data"


def catalogue_is(site: Site, text: str) -> None:
    """A new kit of this catalogue."""
    site.catalogue.write_text(text)
    agree(site)


def accepted(site: Site, data: Path, *pairs: str, table: str | None = None) -> Site:
    accept(site, data, Wanted(pairs, table))
    return Site.open(site.path)


def terms(site: Site) -> list[str]:
    return read_policy_file(site.policy).endpoints


def slots(site: Site) -> list[int]:
    return slots_of(Dataset.open(site.dataset).tasks, catalogue_of(site.config()), declared(site)).tolist()


def test_one_task_is_declared_and_no_other_of_its_group_has_a_shared_head(site: Site, data: Path) -> None:
    held = accepted(site, data, f"{GROUP}@6.7=hERG")
    assert held.endpoints.read_text() == f"group,endpoint,thresholds\n{GROUP},hERG,6.7\n"
    assert terms(held) == [f"{GROUP} is hERG: {MEANT}, 6.7"]
    assert slots(held) == [NO_SLOT, 2, NO_SLOT, NO_SLOT, NO_SLOT]
    assert [each.name for each in declared_tasks(Dataset.open(held.dataset), held.config(), declared(held))] == [f"{GROUP} >= 6.7"]
    check_data(held)


@pytest.mark.parametrize(
    ("pairs", "only", "consented", "found"),
    [
        ((f"{GROUP}@value=hERG",), [None], VALUE, [-1, -1, -1, 3, -1]),
        ((f"{GROUP}@6.7;5.50=hERG",), [5.5, 6.7], "5.5, 6.7", [1, 2, -1, -1, -1]),
        ((f"{GROUP} @ 5.5=hERG", f"{GROUP}@value=hERG"), [5.5, None], f"5.5, {VALUE}", [1, -1, -1, 3, -1]),
        ((f"{GROUP}=hERG",), None, f"5.5, 6.7, {VALUE}", [1, 2, -1, 3, -1]),
    ],
)
def test_tasks_may_be_several_or_that_of_values_and_a_group_without_a_threshold_means_all(
    pairs: tuple[str, ...], only: list[float | None] | None, consented: str, found: list[int], site: Site, data: Path, tmp_path: Path
) -> None:
    held = accepted(site, data, *pairs)
    assert declared(held) == {GROUP: Declaration("hERG", None if only is None else frozenset(only))}
    assert terms(held) == [f"{GROUP} is hERG: {MEANT}, {consented}"]
    assert slots(held) == found
    table = shutil.copy(held.endpoints, tmp_path / "ours.csv")
    assert terms(accepted(held, data, table=str(table))) == terms(held), "a table says the same as words"


def test_a_name_with_an_at_sign_in_it_is_told_apart_by_what_there_is(site: Site, data: Path) -> None:
    assert declared(accepted(site, data, f"{LABELS}=Ames")) == {LABELS: Declaration("Ames")}


REFUSED = {
    "not in the catalogue": (f"{GROUP}@7.5=hERG", "the catalogue has hERG at 5.5 and at 6.7 and as a value, and not at 7.5"),
    "not in the data": (f"{GROUP}@6.7=hERG", f"the dataset has {GROUP} at 5.5 and at 7.5 and as a value, and not at 6.7"),
    "of labels": (f"{LABELS}@5.5=Ames", "the catalogue has Ames without thresholds, and not at 5.5"),
    "no number": (f"{GROUP}@high=hERG", "@high=hERG': 'high' is no threshold: numbers, or value"),
    "nothing": (f"{GROUP}@=hERG", "'' is no threshold"),
    "no such group": ("nowhere@5.5=hERG", "no task of 'nowhere@5.5'"),
    "no such endpoint": (f"{GROUP}@5.5=herg", "the catalogue has no endpoint 'herg', but 'hERG'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_threshold_that_cannot_be_is_refused_by_name_and_the_site_stays_as_it_was(name: str, site: Site, template: Path) -> None:
    before = contents(site.path)
    pair, reason = REFUSED[name]
    with pytest.raises(PolyphonyError, match=reason) as caught:
        accepted(site, template / ("less" if name == "not in the data" else "data"), pair)
    assert caught.value.hint
    after = contents(site.path)
    assert {path: after[path] for path in before} == before


def test_some_of_a_group_and_all_of_it_are_two_things(site: Site, data: Path) -> None:
    with pytest.raises(ConfigError, match="is declared to be hERG with all of its tasks, and with some"):
        accepted(site, data, f"{GROUP}@5.5=hERG", f"{GROUP}=hERG")


def test_a_pair_that_may_be_of_two_groups_is_not_guessed(site: Site, data: Path, tmp_path: Path) -> None:
    dataset = Dataset.open(data)
    both = write_dataset(tmp_path / "both", "Birch", tasks=5)
    folder = with_groups(both, tmp_path / "named", (5.5, 6.7, 7.5))
    tasks = dataset.tasks.with_columns(pl.col("group").replace({GROUP: "x", LABELS: "x@5.5"}), pl.lit("p").alias("unit"))
    structures = pl.DataFrame({"smiles": both.smiles(), "fold": np.array(both.folds)})
    header = {key: both.header[key] for key in ("name", "bits", "folds", "note", "dropped")}
    shutil.rmtree(folder)
    save(folder, header, structures, (np.array(both.x_indptr), np.array(both.x_indices)), labels=label_table(both), tasks=tasks)
    with pytest.raises(ConfigError, match="may be of 'x@5.5' or of 'x'") as caught:
        accepted(site, folder, "x@5.5=hERG")
    assert "a table" in caught.value.hint


# With new data and new kits


def test_with_new_data_a_consent_stays_for_the_tasks_that_are_still_there_and_grows_for_none(site: Site, template: Path) -> None:
    held = accepted(accepted(site, template / "data", f"{GROUP}@5.5;6.7=hERG"), template / "less")
    assert declared(held) == {GROUP: Declaration("hERG", frozenset([5.5]))} and terms(held) == [f"{GROUP} is hERG: {MEANT}, 5.5"]
    check_data(held)
    assert declared(accepted(held, template / "data")) == declared(held)
    only_it = accepted(held, template / "data", f"{GROUP}@6.7=hERG")
    assert declared(accepted(only_it, template / "less")) == {}


def test_a_new_kit_may_change_what_was_not_consented_to_and_nothing_else(site: Site, data: Path) -> None:
    held = accepted(site, data, f"{GROUP}@5.5=hERG")
    catalogue_is(held, ENDPOINTS.replace("[5.5, 6.7]", "[5.5, 7.5]").replace("centre: 5", "centre: 6"))
    check_data(held)
    assert slots(held) == [1, NO_SLOT, NO_SLOT, NO_SLOT, NO_SLOT]
    catalogue_is(held, ENDPOINTS.replace("[5.5, 6.7]", "[6.7]"))
    with pytest.raises(ConfigError, match=f"“{GROUP} is hERG: .*” is not what .*policy.yaml accepts"):
        check_data(held)
    with pytest.raises(ConfigError, match="the catalogue says something else of hERG now"):
        accepted(held, data)


@pytest.mark.parametrize("thresholds", ["", "5.5;6.7", "6.7", "value"])
def test_a_table_that_was_edited_to_more_or_to_others_stops_every_request(thresholds: str, site: Site, data: Path) -> None:
    held = accepted(site, data, f"{GROUP}@5.5=hERG")
    held.endpoints.write_text(f"group,endpoint,thresholds\n{GROUP},hERG,{thresholds}\n")
    with pytest.raises(ConfigError, match=f"“{GROUP} is hERG: .*” is not what .*policy.yaml accepts"):
        check_data(held)


def test_accept_tells_which_tasks_are_declared(
    site: Site, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("accept", str(site.path), str(data), "--endpoint", f"{GROUP}@5.5=hERG")
    assert polyphony(monkeypatch, *words) == 0
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("endpoint")]
    assert len(told) == 1 and told[0].startswith(f"endpoint  {GROUP} >= 5.5 is hERG (block of the hERG channel, p): ")
    assert polyphony(monkeypatch, *words, "--json") == 0
    assert json.loads(capsys.readouterr().out)["endpoints"] == {f"{GROUP}@5.5": "hERG"}


def test_accept_says_of_values_that_they_are_meant_and_of_fewer_tasks_from_what_to_what(
    site: Site, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("accept", str(site.path), str(data), "--endpoint")
    assert polyphony(monkeypatch, *words, f"{GROUP}=hERG") == 0
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("endpoint")]
    assert [line.partition(" (block")[0] for line in told] == [
        f"endpoint  {GROUP} >= 5.5 is hERG",
        f"endpoint  {GROUP} >= 6.7 is hERG",
        f"endpoint  {GROUP} >= 7.5 is hERG",
        f"endpoint  the values of {GROUP} are hERG",
    ]
    assert polyphony(monkeypatch, *words, f"{GROUP}@6.7=hERG") == 0
    out = capsys.readouterr().out.splitlines()
    assert out[3:5] == [f"changed   {GROUP} is hERG: {MEANT}, 5.5, 6.7, {VALUE}", f"to        {GROUP} is hERG: {MEANT}, 6.7"]
    assert not any(line.startswith("ended") for line in out)
    assert polyphony(monkeypatch, *words, f"{GROUP}@value=hERG", "--json") == 0
    (task,) = json.loads(capsys.readouterr().out)["declared"]
    assert (task["name"], task["threshold"], task["kind"]) == (f"{GROUP} (p)", None, "regression")
