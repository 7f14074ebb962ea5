"""Kits with a catalogue: who gets it, that nobody can change it unseen, and that a kit declares nothing for a partner."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from fedapp.consortium.agreement import configuration_digest
from fedapp.consortium.policy_file import read_policy, read_policy_file, write_policy_file
from fedapp.data.catalogue import Declaration, catalogue_digest, catalogue_of, read_catalogue
from fedapp.errors import ConfigError
from fedapp.model.trunk_shape import layout
from fedapp.site.accept import accept, check_data
from fedapp.site.doctor import checks
from fedapp.site.doctor.examine import made
from fedapp.site.endpoints import Wanted, declared
from fedapp.site.floor import terms_of
from fedapp.site.folder import Site
from fedapp.site.kit.install import install
from fedapp.site.kit.make import make_kits
from fedapp.site.terms import in_words
from tests.helpers.small_run import write_dataset
from tests.site.kits import NAMES, Founded, allow, found

ENDPOINTS = """\
# agreed on in March
endpoints:
- {id: hERG, measures: block of the hERG channel, unit: p, thresholds: [5.5, 6.5]}
- {id: Ames, measures: mutagenicity, unit: label}
"""
GROUP = "SECRET-gamma-target0"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A consortium with kits of an experiment with a catalogue."""
    founded = found(tmp_path_factory.mktemp("catalogue") / "founded")
    kits_of(founded, "kits", ENDPOINTS)
    write_dataset(founded.path / "data", "gamma")
    return founded.path


@pytest.fixture
def founded(template: Path, tmp_path: Path) -> Founded:
    return Founded(Path(shutil.copytree(template, tmp_path / "founded")))


def kits_of(founded: Founded, out: str, text: str, *overrides: str) -> Path:
    """Kits of an experiment with this catalogue; it is called otherwise where they are made."""
    (founded.path / f"{out} endpoints.yaml").write_text(text)
    return founded.kits(out, f"tasks.catalogue={founded.path / f'{out} endpoints.yaml'}", *overrides)


def served(founded: Founded) -> Site:
    """Gamma's site, with a declaration."""
    site = founded.site(founded.path / "kits", "gamma")
    accept(site, founded.path / "data", Wanted((f"{GROUP}=hERG",)))
    return Site.open(site.path)


# What is in them


def test_every_party_gets_the_catalogue_as_it_was_written_and_all_agree_on_what_it_says(founded: Founded) -> None:
    sites = [Site.open(founded.path / "kits" / name) for name in ("coordinator", *NAMES)]
    assert {site.catalogue.read_text() for site in sites} == {ENDPOINTS}
    assert len({catalogue_digest(site.config()) for site in sites}) == 1
    partners = sites[1:]
    assert {configuration_digest(site.config()) for site in partners} == {read_policy(site.policy).configuration for site in partners}
    assert {read_policy_file(site.policy).catalogue for site in partners} == {catalogue_digest(sites[0].config())}
    assert layout(sites[0].config()) == read_policy(sites[0].proposal).layout == read_policy(partners[0].policy).layout
    assert "slots:3x9" in layout(sites[0].config()), "the coordinator knows how many shared heads there may be"


def test_no_kit_says_who_measures_what(founded: Founded) -> None:
    for name in ("coordinator", *NAMES):
        kit = Site.open(founded.path / "kits" / name)
        assert not kit.endpoints.exists()
        assert read_policy_file(kit.policy if kit.partner else kit.proposal).endpoints == []


def test_the_place_where_kits_were_made_is_in_none_of_them(founded: Founded) -> None:
    for path in (founded.path / "kits").rglob("*.yaml"):
        assert str(founded.path) not in path.read_text()


@pytest.mark.parametrize(
    ("text", "reason"), [("endpoints: []\n", "it names no endpoint"), (ENDPOINTS.replace("Ames", "hERG"), "the id 'hERG' is there twice")]
)
def test_no_kit_is_made_with_an_unusable_catalogue(text: str, reason: str, founded: Founded) -> None:
    with pytest.raises(ConfigError, match=reason):
        kits_of(founded, "more", text)
    assert not (founded.path / "more").exists()


def test_the_groups_of_tasks_are_no_catalogue_between_companies(founded: Founded) -> None:
    with pytest.raises(ConfigError, match=r"tasks\.catalogue is groups") as caught:
        make_kits(founded.plan("tasks.catalogue=groups"), founded.path / "more")
    assert "a file that they agree on" in caught.value.hint


def test_a_readme_tells_of_endpoints_where_there_are_any(founded: Founded) -> None:
    assert "--endpoint 'GROUP=ENDPOINT'" in (founded.path / "kits" / "gamma" / "README.md").read_text()
    assert "endpoint" not in (founded.kits("without") / "gamma" / "README.md").read_text()


# Installing one


def test_a_site_has_the_catalogue_of_its_kit_and_declares_nothing_by_itself(founded: Founded) -> None:
    site = founded.site(founded.path / "kits", "gamma")
    assert site.catalogue.read_text() == ENDPOINTS
    assert Path(site.config().tasks.catalogue or "") == site.catalogue
    assert read_catalogue(site.catalogue).slots == catalogue_of(site.config()).slots
    assert declared(site) == {} and read_policy_file(site.policy).endpoints == []
    assert made(checks.policy, site).state is checks.CheckState.OK


def test_installing_says_what_a_partner_may_share_and_what_not(founded: Founded) -> None:
    terms = in_words(terms_of(founded.site(founded.path / "kits", "gamma")))
    assert "that we declare" in terms["endpoints"] and "50 or more training compounds" in terms["endpoints"]
    without = in_words(terms_of(Site.open(founded.kits("without") / "gamma")))
    assert without["endpoints"] == "none in common: all heads stay at home"


@pytest.mark.parametrize("party", ["gamma", "coordinator"])
@pytest.mark.parametrize("text", [ENDPOINTS.replace("6.5", "6.4"), ENDPOINTS.replace("block", "binding"), None])
def test_a_kit_whose_catalogue_was_changed_on_its_way_is_refused_and_nothing_of_it_is_taken(
    text: str | None, party: str, founded: Founded
) -> None:
    kit = founded.path / "kits" / party
    if text is None:
        (kit / "catalogue.yaml").unlink()
    else:
        (kit / "catalogue.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"catalogue\.yaml") as caught:
        install(kit, founded.path / "site")
    assert caught.value.hint and not (founded.path / "site").exists()


@pytest.mark.parametrize("party", ["gamma", "coordinator"])
def test_doctor_names_a_catalogue_that_was_changed_at_a_site(party: str, founded: Founded) -> None:
    site = served(founded) if party == "gamma" else founded.site(founded.path / "kits", party)
    site.catalogue.write_text(ENDPOINTS.replace("6.5", "6.4"))
    found = made(checks.policy if site.partner else checks.proposal, site)
    assert found.state is checks.CheckState.FAIL and "catalogue.yaml is not the catalogue that" in found.told and found.hint


def test_a_kit_that_declares_something_for_a_partner_is_not_listened_to(founded: Founded) -> None:
    kit = founded.path / "kits" / "gamma"
    policy = read_policy_file(kit / "policy.yaml")
    write_policy_file(kit / "policy.yaml", replace(policy, endpoints=[f"{GROUP} is hERG: block of the hERG channel (p), 5.5, 6.5"]))
    (kit / "endpoints.csv").write_text(f"group,endpoint\n{GROUP},hERG\n")
    site = founded.site(founded.path / "kits", "gamma")
    assert declared(site) == {} and read_policy_file(site.policy).endpoints == []


def test_a_kit_that_lowers_the_labels_behind_a_shared_head_is_below_the_floor_that_ships(founded: Founded) -> None:
    kits = kits_of(founded, "more", ENDPOINTS, "privacy.endpoint_labels=5")
    with pytest.raises(ConfigError, match="endpoints: a part in shared heads of 5 training compounds, fewer than the 50"):
        install(kits / "gamma", founded.path / "site")


# A newer one


def test_declarations_outlast_a_new_kit_whose_catalogue_says_the_same_of_them(founded: Founded) -> None:
    site = served(founded)
    more = ENDPOINTS + "- {id: BBB, measures: passage, unit: p, thresholds: [6.0]}\n"
    changes = install(kits_of(founded, "more", more) / "gamma", site.path)
    assert any(change.startswith("catalogue: ") for change in changes)
    check_data(Site.open(site.path))
    assert declared(Site.open(site.path)) == {GROUP: Declaration("hERG")}


def test_a_new_kit_that_makes_another_endpoint_of_one_stops_the_site_until_it_is_accepted_anew(founded: Founded) -> None:
    site = served(founded)
    install(kits_of(founded, "more", ENDPOINTS.replace("6.5", "6.0")) / "gamma", site.path)
    site = Site.open(site.path)
    with pytest.raises(ConfigError, match=f"“{GROUP} is hERG: .*” is not what .*policy.yaml accepts"):
        check_data(site)
    accept(site, site.dataset, Wanted((f"{GROUP}=hERG",)))
    check_data(site)


def test_installing_names_the_endpoints_that_changed_and_those_of_them_that_we_declared(founded: Founded) -> None:
    site = served(founded)
    text = ENDPOINTS.replace("[5.5, 6.5]", "[5.5, 7.5]").replace("Ames,", "Salmonella,")
    kit = kits_of(founded, "second", text) / "gamma"
    assert [line for line in install(kit, site.path) if line.startswith("endpoint ")] == [
        "endpoint Ames: is no more",
        "endpoint Salmonella: is new",
        "endpoint hERG: is another in thresholds; we declared it, and answer nothing until that is accepted again",
    ]


def test_under_a_kit_without_a_catalogue_declarations_rest_and_the_next_one_with_it_wakes_them(founded: Founded) -> None:
    site = served(founded)
    kit = founded.kits("without") / "gamma"
    allow(kit, founded.path / "other")
    install(kit, site.path)
    check_data(Site.open(site.path))
    assert declared(Site.open(site.path)) == {}
    install(founded.path / "kits" / "gamma", site.path)
    check_data(Site.open(site.path))
    assert declared(Site.open(site.path)) == {GROUP: Declaration("hERG")}
