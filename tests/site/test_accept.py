"""Which data a site accepts, and that it runs with no other's data and on no other's state."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from fedapp.chemistry.fold import key_digest
from fedapp.config import load_config
from fedapp.consortium.identity_files import new_identity
from fedapp.consortium.policy_file import read_policy_file, write_policy_file
from fedapp.data.dataset import Dataset, build_dataset
from fedapp.data.integrity import read_summary
from fedapp.data.prepare import prepare
from fedapp.errors import ConfigError, DataError, OutputError
from fedapp.partner_folder import PartnerFolder
from fedapp.runtime.locks import LOCK
from fedapp.site.accept import accept, check_data, check_state
from fedapp.site.folder import Site
from fedapp.storage.json_file import SEAL, read_json, write_json, write_sealed
from fedapp.storage.output import MANIFEST
from tests.cli.test_cli import polyphony, write_tables
from tests.helpers.small_run import write_dataset
from tests.site.saved_site import agree, configure, fresh

TASKS = "tasks: {min_per_class: 5}\n"
CONFIG = "name: joint\nchemistry: {bits: 256}\nmodel: {hidden: [8]}\nfederation: {initial_trunk: group_key}\n" + TASKS


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A partner's site without data; its keys are its own, whatever the roster says."""
    made = fresh(tmp_path / "site", config=CONFIG)
    held = read_policy_file(made.policy)
    write_policy_file(made.policy, replace(held, data=""))
    new_identity(made.keys)
    return made


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `polyphony prepare` leaves with the site's settings."""
    folder = tmp_path_factory.mktemp("prepared")
    (folder / "config.yaml").write_text(CONFIG)
    config = load_config(folder / "config.yaml")
    prepare(write_tables(folder / "tables"), folder / "prepared", config.chemistry, workers=1)
    build_dataset(folder / "prepared", folder / "prepared" / "dataset", "prepared", config.tasks)
    return folder / "prepared"


def contents(folder: Path) -> dict[Path, bytes]:
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != LOCK}


def test_a_site_that_accepted_nothing_does_not_run(site: Site) -> None:
    with pytest.raises(ConfigError, match="has no dataset yet") as caught:
        check_data(site)
    assert "polyphony accept" in caught.value.hint


def test_an_accepted_dataset_lies_in_the_site_and_is_the_only_one_that_the_policy_allows(site: Site, tmp_path: Path) -> None:
    given = write_dataset(tmp_path / "given", "Birch")
    accepted = accept(site, tmp_path / "given")
    site = Site.open(site.path)
    assert (site.dataset, accepted.digest) == (site.path / "dataset", given.digest)
    assert read_policy_file(site.policy).data == given.digest
    assert contents(site.dataset) == contents(tmp_path / "given")
    check_data(site)
    shutil.rmtree(tmp_path / "given")
    check_data(site)
    assert len(Dataset.open(site.dataset).labels) == len(accepted.labels)


def test_nothing_else_in_the_policy_changes(site: Site, tmp_path: Path) -> None:
    before = read_policy_file(site.policy)
    digest = accept(site, write_dataset(tmp_path / "given", "Birch").directory).digest
    assert read_policy_file(site.policy) == replace(before, data=digest)


def test_a_dataset_goes_by_the_partners_name_of_which_its_seeds_are_made(site: Site, tmp_path: Path) -> None:
    accepted = accept(site, write_dataset(tmp_path / "given", "a folder's name").directory)
    assert accepted.name == site.settings.name == "Birch"


def test_of_a_prepared_folder_the_dataset_is_built_with_the_sites_tasks(site: Site, prepared: Path, tmp_path: Path) -> None:
    accepted = accept(site, prepared)
    assert contents(accepted.directory).keys() == contents(prepared / "dataset").keys()
    assert accepted.digest == Dataset.open(prepared / "dataset").digest
    stricter = Site.create(tmp_path / "stricter", site.settings)
    shutil.copytree(site.path, stricter.path, dirs_exist_ok=True)
    configure(stricter.path, CONFIG.replace("min_per_class: 5", "min_per_class: 500"))
    with pytest.raises(DataError, match="Birch"):
        accept(stricter, prepared)


def test_the_dataset_that_prepare_built_is_as_good(site: Site, prepared: Path) -> None:
    assert accept(site, prepared / "dataset").digest == accept(site, prepared).digest


def test_once_a_round_is_trained_the_same_data_may_be_accepted_again_and_no_others(site: Site, tmp_path: Path) -> None:
    given = [write_dataset(tmp_path / name, "given", **size).directory for name, size in (("one", {}), ("grown", {"compounds": 80}))]
    accepted = accept(site, given[0])
    trained = PartnerFolder(site.state).loss_of(1)
    trained.parent.mkdir(parents=True)
    write_sealed(trained, {"round": 1})
    before = contents(site.path)
    with pytest.raises(ConfigError, match="has trained 1 round, which another dataset cannot go on") as caught:
        accept(site, given[1])
    assert "begin afresh in a new folder: copy keys/, floor.yaml and took-part.json there" in caught.value.hint
    assert contents(site.path) == before
    assert accept(site, given[0]).digest == accept(site, site.path / "dataset").digest == accepted.digest


def test_a_site_whose_policy_was_lost_and_is_a_kits_again_accepts_the_data_of_its_rounds_and_no_others(site: Site, tmp_path: Path) -> None:
    given = [write_dataset(tmp_path / name, "given", **size).directory for name, size in (("one", {}), ("grown", {"compounds": 80}))]
    brought = read_policy_file(site.policy)
    accepted = accept(site, given[0])
    trained = PartnerFolder(site.state).loss_of(1)
    trained.parent.mkdir(parents=True)
    write_sealed(trained, {"round": 1})
    for directory in (given[0], site.path / "dataset"):
        write_policy_file(site.policy, brought)
        with pytest.raises(DataError, match="names no dataset") as caught:
            check_data(Site.open(site.path))
        assert caught.value.hint.endswith(f"polyphony accept {site.path} {site.path / 'dataset'}")
        with pytest.raises(ConfigError, match="which another dataset cannot go on"):
            accept(site, given[1])
        assert accept(site, directory).digest == accepted.digest
        check_data(Site.open(site.path))


def test_a_site_that_lost_its_settings_says_so_and_a_kits_with_the_same_data_put_it_right(site: Site, tmp_path: Path) -> None:
    accept(site, write_dataset(tmp_path / "one", "given").directory)
    kept = site.path / "site.yaml"
    settings = kept.read_text()
    kept.unlink()
    with pytest.raises(ConfigError, match="it has no site.yaml") as caught:
        Site.open(site.path)
    assert f"`polyphony accept {site.path} {site.path}/dataset`" in caught.value.hint
    kept.write_text("\n".join(line for line in settings.splitlines() if not line.startswith("dataset")) + "\ndataset: null\n")
    accept(Site.open(site.path), site.path / "dataset")
    check_data(Site.open(site.path))
    assert kept.read_text() == settings


def test_other_data_may_be_accepted_later_and_the_same_again(site: Site, tmp_path: Path) -> None:
    first, second = (write_dataset(tmp_path / name, "Birch", tasks=tasks) for name, tasks in (("first", 4), ("second", 5)))
    accept(site, first.directory)
    accept(site, second.directory)
    assert read_policy_file(site.policy).data == second.digest != first.digest
    accept(Site.open(site.path), site.path / "dataset")
    check_data(Site.open(site.path))
    assert contents(site.path / "dataset") == contents(second.directory)


def test_a_persons_notes_in_the_sites_dataset_stay_and_a_damaged_one_is_replaced(site: Site, prepared: Path, tmp_path: Path) -> None:
    accept(site, prepared)
    notes = site.path / "dataset" / "notes.txt"
    notes.write_text("mine")
    before = contents(site.path)
    for source in (prepared, prepared / "dataset", site.path / "dataset"):
        with pytest.raises(OutputError, match=r"notes\.txt"):
            accept(site, source)
    assert contents(site.path) == before
    notes.rename(tmp_path / "notes.txt")
    (site.path / "dataset" / "y_values.npy").write_bytes(b"\0")
    (site.path / "dataset" / "dataset.json").write_text("")
    digest = accept(site, prepared).digest
    check_data(Site.open(site.path))
    (site.path / "dataset" / MANIFEST).unlink()  # a dataset of an earlier version had no list, and no seal
    header = read_json(site.path / "dataset" / "dataset.json")
    write_json(site.path / "dataset" / "dataset.json", {key: value for key, value in header.items() if key != SEAL})
    assert accept(site, prepared / "dataset").digest == digest


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("bits: 256", "bits: 512", "bits 256, and the site's is 512"),
        ("bits: 256", "bits: 256, radius: 2", "radius 3, and the site's is 2"),
        ("bits: 256", "bits: 256, folds: 6", "folds 5, and the site's is 6"),
        ("bits: 256", "bits: 256, fold_key_file: keys/fold.key", "fold_key public, and the site's is consortium"),
    ],
)
@pytest.mark.parametrize("folder", [".", "dataset"])
def test_data_that_were_prepared_otherwise_are_refused_and_the_site_stays_as_it_was(
    folder: str, old: str, new: str, reason: str, site: Site, prepared: Path
) -> None:
    configure(site.path, CONFIG.replace(old, new))
    agree(site)
    before = contents(site.path)
    with pytest.raises(DataError, match=reason) as caught:
        accept(site, prepared / folder)
    assert "polyphony prepare" in caught.value.hint
    assert contents(site.path) == before


def test_folds_of_another_key_than_the_sites_are_refused(site: Site, prepared: Path, tmp_path: Path) -> None:
    summary = read_summary(prepared)
    configure(site.path, CONFIG.replace("bits: 256", "bits: 256, fold_key_file: keys/fold.key"))
    (site.path / "keys").mkdir(exist_ok=True)
    (site.path / "keys" / "fold.key").write_bytes(b"\xef\xbb\xbf" + b"C0FFEE" * 8)
    ours, other = shutil.copytree(prepared, tmp_path / "ours"), shutil.copytree(prepared, tmp_path / "other")
    for folder, key in ((ours, b"c0ffee" * 8), (other, b"c0ffee" * 9)):
        chemistry = summary["chemistry"] | {"fold_key": "consortium"}
        write_sealed(folder / "summary.json", summary | {"chemistry": chemistry, "fold_key_digest": key_digest(key)})
    with pytest.raises(DataError, match=f"fold key {key_digest(b'c0ffee' * 9)}"):
        accept(site, other)
    assert accept(site, ours).digest == Dataset.open(prepared / "dataset").digest


def test_a_lone_dataset_of_other_bits_or_folds_is_refused(site: Site, tmp_path: Path) -> None:
    given = write_dataset(tmp_path / "given", "Birch").directory
    for key in ("bits", "folds"):
        header = Dataset.open(given).header
        write_sealed(given / "dataset.json", header | {key: 777})
        with pytest.raises(DataError, match=f"made with {key} 777"):
            accept(site, given)
        write_sealed(given / "dataset.json", header)


def test_what_is_no_dataset_is_refused(site: Site, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not a complete dataset"):
        accept(site, tmp_path)
    given = write_dataset(tmp_path / "given", "Birch").directory
    (given / "x_indices.npy").unlink()
    with pytest.raises(DataError, match="is not a complete dataset"):
        accept(site, given)
    assert Site.open(site.path).settings.dataset is None


def test_the_coordinator_has_no_data(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the coordinator's, which has no data"):
        accept(fresh(tmp_path / "site", role="coordinator"), write_dataset(tmp_path / "given", "Birch").directory)


def test_a_site_whose_data_are_another_partners_does_not_run(site: Site, tmp_path: Path) -> None:
    accept(site, write_dataset(tmp_path / "own", "Birch").directory)
    site = Site.open(site.path)
    other = write_dataset(tmp_path / "other", "Alder", compounds=150)
    shutil.rmtree(site.dataset)
    with pytest.raises(DataError, match="is no dataset, and .*site.yaml names it"):
        check_data(site)
    shutil.copytree(other.directory, site.dataset)
    with pytest.raises(DataError, match=f"its digest is {other.digest[:16]}") as caught:
        check_data(site)
    assert "polyphony accept" in caught.value.hint


def test_data_that_a_new_experiment_cannot_use_are_named_before_a_round(site: Site, tmp_path: Path) -> None:
    accept(site, write_dataset(tmp_path / "own", "Birch").directory)
    configure(site.path, CONFIG.replace("bits: 256", "bits: 512"))
    with pytest.raises(DataError, match="made with bits 256, and the site's is 512"):
        check_data(Site.open(site.path))


# State


def test_state_belongs_to_who_used_it_first(site: Site, tmp_path: Path) -> None:
    check_state(site)
    check_state(site)
    other = fresh(tmp_path / "other", config=CONFIG).changed(name="Alder")
    new_identity(other.keys)
    shutil.copytree(site.state, other.state, dirs_exist_ok=True)
    with pytest.raises(ConfigError, match="belongs to Birch with the key .*, not to Alder"):
        check_state(other)


def test_the_same_name_under_another_identity_is_another(site: Site) -> None:
    check_state(site)
    shutil.rmtree(site.keys)
    new_identity(site.keys)
    with pytest.raises(ConfigError, match="belongs to Birch with the key .*, not to Birch with the key") as caught:
        check_state(site)
    assert "polyphony kit install" in caught.value.hint


def test_a_site_without_keys_owns_nothing(site: Site) -> None:
    shutil.rmtree(site.keys)
    with pytest.raises(ConfigError, match=r"no .*identity\.key"):
        check_state(site)
    assert not (site.state / "owner.json").exists()


# The verb


def test_accept_tells_what_it_accepted(
    site: Site, prepared: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert polyphony(monkeypatch, "accept", str(site.path), str(prepared)) == 0
    out, digest = capsys.readouterr().out, read_policy_file(site.policy).data
    assert out.splitlines() == ["accepted  240 compounds, 4 tasks, 960 labels", f"digest    {digest}", f"lies in   {site.path}/dataset"]
    assert polyphony(monkeypatch, "accept", str(site.path), str(prepared), "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["compounds"], told["tasks"], told["digest"], told["name"]) == (240, 4, digest, "Birch")
