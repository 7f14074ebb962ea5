"""What a consortium agreed on: a site of another experiment, catalogue or roster is not installed, accepts no data and answers nothing."""

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from flwr.app import Context, RecordDict

from fedapp.consortium.policy_file import read_policy_file, write_policy_file
from fedapp.consortium.roster_file import load_roster, write_roster
from fedapp.data.catalogue import catalogue_digest
from fedapp.errors import ConfigError
from fedapp.partner.place import SITE, place
from fedapp.site.accept import accept
from fedapp.site.agreed import check_agreed
from fedapp.site.doctor import checks
from fedapp.site.doctor.examine import made
from fedapp.site.folder import Site
from fedapp.site.kit.install import install
from fedapp.site.status.attention import refused
from tests.helpers.sealed import by_hand
from tests.helpers.small_run import write_dataset
from tests.site.kits import NAMES, Founded, found
from tests.site.saved_site import agree

ENDPOINTS = """\
endpoints:
- {id: hERG, measures: block of the hERG channel, unit: p, thresholds: [5.5, 6.5], value: true, centre: 6.5, scale: 1.0}
- {id: Ames, measures: mutagenicity, unit: label}
"""
OTHERS = ENDPOINTS.replace("[5.5, 6.5]", "[7.5, 8.5]").replace("centre: 6.5", "centre: 0.0").replace("Ames", "Zmes")  # as many slots
PARTNER = "gamma"
EDITS = {
    "momentum": "0.0",
    "server_learning_rate": "4.0",
    "learning_rate": "0.2",
    "test_fold": "2",
    "range": "0.125",
    "word_bits": "16",
    "row_guard": "25",  # stricter than the floor asks for
    "endpoint_labels": "60",
    "partners": "5",  # by which words are scaled
    "catalogue": "null",
}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Kits of an experiment with a catalogue, a partner in service, and the data that it accepted."""
    founded = found(tmp_path_factory.mktemp("agreed") / "founded")
    (founded.path / "endpoints.yaml").write_text(ENDPOINTS)
    kits = founded.kits("kits", f"tasks.catalogue={founded.path / 'endpoints.yaml'}")
    accept(founded.site(kits, PARTNER), write_dataset(founded.path / "data", PARTNER).directory)
    return founded.path


@pytest.fixture
def founded(template: Path, tmp_path: Path) -> Founded:
    return Founded(Path(shutil.copytree(template, tmp_path / "founded")))


@pytest.fixture
def kit(founded: Founded) -> Site:
    return Site.open(founded.path / "kits" / PARTNER)


@pytest.fixture
def site(founded: Founded) -> Site:
    return Site.open(founded.path / "sites" / PARTNER)


def ask(site: Site) -> None:
    """What every request begins with."""
    place(Context(1, 2, {SITE: str(site.path)}, RecordDict(), {}))


def edit(site: Site, key: str, value: str) -> None:
    """Change one value in the experiment by hand."""
    path = site.path / "config.yaml"
    text = path.read_text()
    edited, times = re.subn(rf"(?m)^( *{key}: ).*$", rf"\g<1>{value}", text)
    assert times == 1 and edited != text
    path.write_text(by_hand(edited))


def other_catalogue_named(site: Site) -> None:
    """Another catalogue of the same shape, by whoever has the policy name its digest too."""
    site.catalogue.write_text(OTHERS)
    write_policy_file(site.policy, replace(read_policy_file(site.policy), catalogue=catalogue_digest(site.config())))


@pytest.mark.parametrize("key", EDITS)
def test_no_request_is_answered_under_another_experiment_than_was_agreed_on_until_it_is_back(site: Site, key: str) -> None:
    ask(site)
    before = (site.path / "config.yaml").read_bytes()
    edit(site, key, EDITS[key])
    with pytest.raises(ConfigError, match=r"config\.yaml is not the experiment that|catalogue\.yaml is not the catalogue that") as caught:
        ask(site)
    assert "bring back the kit's own" in caught.value.hint and "kit install" in caught.value.hint
    (site.path / "config.yaml").write_bytes(before)
    ask(site)


def test_what_is_a_sites_own_in_its_experiment_may_differ(site: Site) -> None:
    for key, value in {"seed": "1", "round_timeout": "60", "group_by": "target_id", "unguarded": "true"}.items():
        edit(site, key, value)
    ask(site)


def test_no_request_is_answered_with_another_catalogue_whatever_the_policy_calls_it(site: Site) -> None:
    other_catalogue_named(site)
    with pytest.raises(ConfigError, match=r"config\.yaml is not the experiment .*: its digest, the catalogue included, is") as caught:
        ask(site)
    assert "config.yaml and catalogue.yaml" in caught.value.hint
    site.catalogue.write_text(ENDPOINTS)
    with pytest.raises(ConfigError, match=r"catalogue\.yaml is not the catalogue that .*policy\.yaml names"):
        ask(site)


def test_no_request_is_answered_with_another_roster(site: Site) -> None:
    write_roster(site.roster, replace(load_roster(site.roster), consortium="five voices"))
    with pytest.raises(ConfigError, match=r"consortium\.yaml is not the roster that .*policy\.yaml names"):
        ask(site)


def other_experiment(site: Site) -> None:
    edit(site, "momentum", "0.0")


def other_catalogue(site: Site) -> None:
    site.catalogue.write_text(OTHERS)


@pytest.mark.parametrize("change", [other_experiment, other_catalogue, other_catalogue_named])
def test_of_a_kit_that_is_not_of_one_piece_nothing_is_taken(
    change: Callable[[Site], None], kit: Site, site: Site, founded: Founded
) -> None:
    change(kit)
    before = {path: path.read_bytes() for path in site.path.rglob("*") if path.is_file()}
    for target in (site.path, founded.path / "new"):
        with pytest.raises(ConfigError, match=r"is not the (experiment|catalogue) that .*policy\.yaml names") as caught:
            install(kit.path, target)
        assert "ask whoever made it" in caught.value.hint
    assert before == {path: path.read_bytes() for path in site.path.rglob("*") if path.is_file()}
    assert not (founded.path / "new").exists()


@pytest.mark.parametrize("change", [other_experiment, other_catalogue_named])
def test_a_site_of_another_experiment_accepts_no_data(change: Callable[[Site], None], site: Site, founded: Founded) -> None:
    change(site)
    before = site.policy.read_bytes()
    with pytest.raises(ConfigError, match="is not the experiment that"):
        accept(site, founded.path / "data")
    assert site.policy.read_bytes() == before


def test_doctor_and_status_say_the_same_as_a_request(site: Site) -> None:
    edit(site, "momentum", "0.0")
    with pytest.raises(ConfigError) as caught:
        ask(site)
    found = made(checks.policy, site)
    assert (found.state, found.told, found.hint) == (checks.CheckState.FAIL, str(caught.value), caught.value.hint)
    assert made(checks.dataset, site).state is checks.CheckState.OK, "what is wrong is told once"
    assert [concern.told for concern in refused(site)] == [f"{caught.value}."]


def test_a_new_kit_changes_what_is_agreed_on_and_mends_a_site_that_was_refused(site: Site, founded: Founded) -> None:
    edit(site, "momentum", "0.0")
    kits = founded.kits("more", f"tasks.catalogue={founded.path / 'endpoints.yaml'}", "federation.momentum=0.25", "federation.rounds=7")
    install(kits / PARTNER, site.path)
    ask(site)
    assert site.config().federation.momentum == 0.25
    install(founded.path / "kits" / PARTNER, site.path)
    ask(site)


def test_a_first_trunk_by_a_common_seed_is_part_of_what_is_agreed_on(founded: Founded) -> None:
    kits = founded.kits("seeded", seed=5)
    for name in (*NAMES, "coordinator"):
        check_agreed(Site.open(kits / name))
    partner = Site.open(kits / PARTNER)
    edit(partner, "seed", "6")
    with pytest.raises(ConfigError, match="is not the experiment that"):
        check_agreed(partner)
    agree(partner)
    check_agreed(partner)
