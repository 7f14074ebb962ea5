"""A partner's consent to common endpoints: what it takes, what is told, and that nothing else is taken for it."""

import json
import shlex
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from starlette.testclient import TestClient

from fedapp.cli import accept as command
from fedapp.cli.status import tell
from fedapp.consortium.identity_files import new_identity
from fedapp.consortium.policy_file import read_policy_file, write_policy_file
from fedapp.data.catalogue import NO_SLOT, Declaration, catalogue_of, slots_of
from fedapp.data.dataset import Dataset, save
from fedapp.errors import ConfigError, DataError, PolyphonyError
from fedapp.model.trunk_shape import trunk_shapes
from fedapp.partner.place import site_place
from fedapp.partner.update_rules import supported_slots
from fedapp.runtime.locks import LOCK
from fedapp.site.accept import accept, check_data
from fedapp.site.declared_tasks import declared_tasks
from fedapp.site.doctor import protection
from fedapp.site.doctor.checks import CheckState
from fedapp.site.endpoints import CONSENT, Wanted, declared, proposed
from fedapp.site.folder import Site
from fedapp.site.status.page import page_app
from fedapp.site.status.sentences import shared_head, too_few
from fedapp.site.status.site_status import site_status
from strategies.update.shared_trunk import no_trunk
from tests.cli.test_cli import polyphony
from tests.helpers.small_run import label_table, write_dataset
from tests.site import saved_site
from tests.site.saved_site import agree, fresh

CONFIG = "name: joint\nchemistry: {bits: 256}\nmodel: {hidden: [8]}\nfederation: {initial_trunk: group_key}\n"
ENDPOINTS = """\
endpoints:
- {id: hERG, measures: block of the hERG channel, unit: p, thresholds: [5.5, 6.5]}
- {id: Ames, measures: mutagenicity, unit: label}
- {id: CYP3A4, measures: inhibition, unit: p, thresholds: [7.0]}
- {id: SECRET-Birch-target1, measures: a name that a partner has too, unit: p, thresholds: [5.5]}
"""
GROUP, NAMESAKE, OTHER = (f"SECRET-Birch-target{number}" for number in range(3))
HERG = f"{GROUP} is hERG: block of the hERG channel (p), 5.5, 6.5"


def made_site(path: Path, config: str = f"{CONFIG}tasks: {{catalogue: catalogue.yaml}}\n") -> Site:
    path.mkdir()
    (path / "catalogue.yaml").write_text(ENDPOINTS)
    site = fresh(path, config=config)
    held = read_policy_file(site.policy)
    write_policy_file(site.policy, replace(held, data=""))
    new_identity(site.keys)
    return site


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site with a catalogue, without data, and a dataset beside it."""
    folder = tmp_path_factory.mktemp("endpoints")
    made_site(folder / "site")
    write_dataset(folder / "data", "Birch")
    return folder


@pytest.fixture
def folder(template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(template, tmp_path / "made"))


@pytest.fixture
def site(folder: Path) -> Site:
    return Site.open(folder / "site")


@pytest.fixture
def data(folder: Path) -> Path:
    return folder / "data"


def contents(folder: Path) -> dict[Path, bytes]:
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != LOCK}


def accepted(site: Site, data: Path, *pairs: str, table: str | None = None) -> Site:
    accept(site, data, Wanted(pairs, table))
    return Site.open(site.path)


# Opting in


def test_a_declaration_is_in_the_sites_table_and_in_words_in_its_policy(site: Site, data: Path) -> None:
    held = accepted(site, data, f"{GROUP}=hERG")
    assert declared(held) == {GROUP: Declaration("hERG")}
    assert held.endpoints.read_text() == f"group,endpoint\n{GROUP},hERG\n"
    assert held.endpoints.stat().st_mode & 0o777 == 0o600
    assert read_policy_file(held.policy).endpoints == [HERG]
    check_data(held)
    assert site_place(held).declared == {GROUP: Declaration("hERG")}


def test_a_table_of_declarations_does_the_same_as_words(site: Site, data: Path, tmp_path: Path) -> None:
    (tmp_path / "ours.csv").write_text(f"group,endpoint\n{GROUP},hERG\n{OTHER},hERG\n")
    held = accepted(site, data, table=str(tmp_path / "ours.csv"))
    assert declared(held) == {GROUP: Declaration("hERG"), OTHER: Declaration("hERG")}
    assert declared(accepted(site, data, f"{GROUP}=hERG", f"{OTHER}=hERG")) == declared(held)


def test_a_group_that_is_called_as_an_endpoint_is_proposed_and_only_taken_when_a_person_says_so(site: Site, data: Path) -> None:
    held = accepted(site, data)
    assert declared(held) == {} and not held.endpoints.exists()
    assert proposed(held, Dataset.open(held.dataset)) == [NAMESAKE]
    held = accepted(held, data, f"{GROUP}=hERG", table="matching")
    assert declared(held) == {NAMESAKE: Declaration(NAMESAKE), GROUP: Declaration("hERG")}
    assert proposed(held, Dataset.open(held.dataset)) == []


def test_what_was_declared_stays_with_new_data_until_something_else_is_said(site: Site, data: Path, tmp_path: Path) -> None:
    held = accepted(site, data, f"{GROUP}=hERG", f"{OTHER}=hERG")
    fewer = write_dataset(tmp_path / "fewer", "Birch", tasks=1).directory
    assert declared(accepted(held, fewer)) == {GROUP: Declaration("hERG")}
    assert read_policy_file(held.policy).endpoints == [HERG]
    assert declared(accepted(held, data, f"{OTHER}=hERG")) == {OTHER: Declaration("hERG")}
    held = accepted(held, data, table="none")
    assert declared(held) == {} and read_policy_file(held.policy).endpoints == []
    check_data(held)


def test_which_tasks_have_a_part_in_a_shared_head_hangs_on_thresholds_and_on_the_labels_of_all_that_are_declared_to_it(
    site: Site, data: Path
) -> None:
    held = accepted(site, data, f"{GROUP}=hERG", f"{OTHER}=hERG", f"{NAMESAKE}=CYP3A4")
    config, dataset = held.config(), Dataset.open(held.dataset)
    one, namesake, other = declared_tasks(dataset, config, declared(held))
    training = dataset.labels.of(dataset.rows_in(config.training_folds()))
    assert (one.task, one.endpoint, one.slot, one.lacks) == (0, "hERG", 3, "")
    assert one.labels == other.labels == len(set(training.owners[np.isin(training.tasks, (0, 2))])) < np.isin(training.tasks, (0, 2)).sum()
    assert (namesake.task, namesake.slot, namesake.lacks) == (1, NO_SLOT, "the catalogue has no shared head there")
    strict = replace(config, privacy=replace(config.privacy, endpoint_labels=one.labels + 1))
    assert declared_tasks(dataset, strict, declared(held))[0].lacks == f"{one.labels} training compounds, fewer than {one.labels + 1}"


def test_doctor_and_accept_and_the_update_itself_have_one_rule_for_enough_labels(site: Site, data: Path) -> None:
    held = accepted(site, data, f"{GROUP}=hERG", f"{NAMESAKE}=CYP3A4")
    config, dataset = held.config(), Dataset.open(held.dataset)
    slots = slots_of(dataset.tasks, catalogue_of(config), declared(held))
    supported = np.flatnonzero(supported_slots(dataset, config, slots))
    assert supported.tolist() == [each.slot for each in declared_tasks(dataset, config, declared(held)) if not each.lacks] == [3]
    found = protection.endpoints(held)
    assert (
        found.state is CheckState.WARN
        and "1 of 2 declared tasks qualify for a part in a shared head; not SECRET-Birch-target1" in found.told
    )
    alone = protection.endpoints(accepted(held, data, f"{GROUP}=hERG"))
    assert alone.state is CheckState.OK and alone.told.startswith("1 of 1 declared task qualifies for")
    assert "none of our tasks is declared" in protection.endpoints(accepted(held, data, table="none")).told


def test_matching_leaves_out_what_is_measured_in_another_unit_and_new_data_in_another_unit_are_not_taken_for_the_old(
    site: Site, data: Path, tmp_path: Path
) -> None:
    held = accepted(site, data, table="matching")
    other_catalogue("a name that a partner has too, unit: p, thresholds: [5.5]", "a name that a partner has too, unit: label")(held)
    assert declared(accepted(held, data, table="matching")) == {}
    other_catalogue("", "")(held)
    held = accepted(held, data, table="matching")
    dataset = Dataset.open(data)
    labels = dataset.tasks.with_columns(pl.lit(None, pl.Float32).alias("threshold"), pl.lit("label").alias("unit"))
    structures = pl.DataFrame({"smiles": dataset.smiles(), "fold": np.array(dataset.folds)})
    header = {key: dataset.header[key] for key in ("name", "bits", "folds", "note", "dropped")}
    fingerprints = np.array(dataset.x_indptr), np.array(dataset.x_indices)
    save(tmp_path / "labels", header, structures, fingerprints, labels=label_table(dataset), tasks=labels)
    with pytest.raises(ConfigError, match=f"{NAMESAKE} is measured in label, and {NAMESAKE} in p"):
        accepted(held, tmp_path / "labels")
    assert declared(held) == {NAMESAKE: Declaration(NAMESAKE)}


def test_matching_that_matches_nothing_says_so_and_why(
    site: Site, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("accept", str(site.path), str(data), "--endpoints", "matching")
    assert polyphony(monkeypatch, *words) == 0
    assert "matching declared nothing" not in capsys.readouterr().err
    other_catalogue("a name that a partner has too, unit: p, thresholds: [5.5]", "a name that a partner has too, unit: label")(site)
    assert polyphony(monkeypatch, *words) == 0
    assert (
        f"warning: matching declared nothing, since no group that fits is called as an endpoint: {NAMESAKE} is" in capsys.readouterr().err
    )
    other_catalogue(f"id: {NAMESAKE}", "id: another")(site)
    assert polyphony(monkeypatch, *words, "--json") == 0
    told = capsys.readouterr().err
    assert "the dataset has tasks of 'SECRET-Birch-" in told
    assert "and the catalogue has 'Ames', " in told


def test_what_there_is_stands_beside_a_name_that_is_not_there(site: Site, data: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        accepted(site, data, "assay 17=HERG channel")
    assert "the dataset has tasks of 'SECRET-Birch-" in caught.value.hint
    assert "the catalogue has 'Ames', " in caught.value.hint
    with pytest.raises(ConfigError, match="no task of 'birch', but 'SECRET-Birch-"):
        accepted(site, data, "birch=hERG")


# What its own page says


def agreed(site: Site, listed: tuple[str, ...], version: int = 0) -> None:
    """A trunk after a session in which the shared heads of these endpoints were listed."""
    config = site.config()
    slots = [name in listed for name, _ in catalogue_of(config).slots]
    arrays = [np.zeros(shape, np.float32) for shape in trunk_shapes(config)]
    rows = np.concatenate([np.ones(config.chemistry.bits, np.bool_), slots])
    shared = no_trunk(0.25).with_rows(rows, b"s" * 32).starting_with(arrays)
    replace(shared, version=version).named(b"b" * 32).write(site.state / "shared.safetensors")


def test_a_partners_own_page_and_status_say_which_of_its_tasks_have_a_shared_head_in_play(
    site: Site, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    held = accepted(site, data, f"{GROUP}=hERG", f"{OTHER}=CYP3A4", f"{NAMESAKE}={NAMESAKE}")
    assert site_status(held)["endpoints"][0]["lacks"] == "partners have not agreed on shared heads yet"
    agreed(held, ("hERG", "CYP3A4"))
    status = site_status(held)
    assert status["problems"] == [] and status["ledger"]["rows"] == 256
    assert [(each["group"], each["in_play"], each["lacks"]) for each in status["endpoints"]] == [
        (GROUP, True, ""),
        (NAMESAKE, False, "fewer than three partners have a part in it"),
        (OTHER, False, "the catalogue has no shared head there"),
    ]
    page = TestClient(page_app(held), base_url="http://127.0.0.1:8765").get("/").text
    assert "1 of 3 declared tasks have a shared head in play" in page
    assert "fewer than three partners have a part in it" in page
    told = protection.endpoints(held).told
    assert "2 of 3 declared tasks qualify" in told and "in play where three partners or more qualify" in told
    tell(status)
    assert f"shared heads in play: {GROUP} >= 5.5, of 3 declared tasks" in capsys.readouterr().out


def test_a_head_of_which_too_few_holders_were_left_is_not_in_play_and_page_and_status_say_who_could_read_it(
    site: Site, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    held = accepted(site, data, f"{GROUP}=hERG")
    agreed(held, ("hERG",), version=3)
    slot = str(site_status(held)["endpoints"][0]["slot"])
    for number, few in ((1, {slot: 1}), (2, {}), (3, {slot: 2})):
        saved_site.sum_of(held, number, few=few)
    status = site_status(held)
    (head,) = status["endpoints"]
    assert (head["in_play"], head["lacks"]) == (False, "fewer than three partners have a part in it")
    assert head["few"] == [{"round": 1, "holders": 1}, {"round": 3, "holders": 2}]
    told = "round 3: 2 holders were left; the sum of their heads was not used, and every partner could read it (as in 2 rounds so far)"
    page = TestClient(page_app(held), base_url="http://127.0.0.1:8765").get("/").text
    assert told in page and "0 of 1 declared task" in page
    tell(status)
    printed = capsys.readouterr().out
    assert "shared heads in play: none" in printed and told in printed


def test_a_head_that_is_used_again_is_in_play_and_what_others_could_read_is_still_told(site: Site, data: Path) -> None:
    held = accepted(site, data, f"{GROUP}=hERG")
    agreed(held, ("hERG",), version=2)
    slot = str(site_status(held)["endpoints"][0]["slot"])
    saved_site.sum_of(held, 1, few={slot: 1})
    saved_site.sum_of(held, 2)
    (head,) = site_status(held)["endpoints"]
    assert head["in_play"]
    assert shared_head(head) == "in play; round 1: 1 holder was left; its head was not used, and every partner could read it"


@pytest.mark.parametrize(
    ("holders", "told"), [(0, "round 2: no holder was left"), (2, "round 2: 2 holders were left; the sum of their heads")]
)
def test_where_no_holder_was_left_there_was_nothing_to_read(holders: int, told: str) -> None:
    assert too_few([{"round": 2, "holders": holders}]).startswith(told)
    assert ("every partner could read it" in too_few([{"round": 2, "holders": holders}])) == bool(holders)


def test_declarations_that_were_not_accepted_are_a_problem_on_the_page_and_not_its_end(site: Site, data: Path) -> None:
    held = accepted(site, data, f"{GROUP}=hERG")
    held.endpoints.write_text(f"group,endpoint\n{GROUP},CYP3A4\n")
    status = site_status(held)
    assert status["endpoints"] == [] and any("is not what" in problem for problem in status["problems"])


def test_a_table_of_declarations_that_is_lost_is_a_problem_since_no_request_is_answered_without_it(site: Site, data: Path) -> None:
    held = accepted(site, data, f"{GROUP}=hERG")
    held.endpoints.unlink()
    with pytest.raises(ConfigError, match="which .*endpoints.csv does not declare"):
        check_data(held)
    assert any("endpoints.csv does not declare" in problem for problem in site_status(held)["problems"])


def test_a_page_of_a_partner_that_declared_nothing_has_no_such_section(site: Site, data: Path) -> None:
    held = accepted(site, data)
    assert "Common endpoints" not in TestClient(page_app(held), base_url="http://127.0.0.1:8765").get("/").text


# What cannot be declared, leaving the site as it was


REFUSED: dict[str, tuple[tuple[str, ...], str | None, str]] = {
    "no such endpoint": ((f"{GROUP}=herg",), None, "the catalogue has no endpoint 'herg', but 'hERG'"),
    "no such group": (("SECRET-Birch-target9=hERG",), None, "no task of 'SECRET-Birch-target9', but 'SECRET-Birch-target"),
    "two endpoints": ((f"{GROUP}=hERG", f"{GROUP}=CYP3A4"), None, f"{GROUP} is declared to be hERG and CYP3A4"),
    "another unit": ((f"{GROUP}=Ames",), None, f"{GROUP} is measured in p, and Ames in label"),
    "no pair": (("hERG",), None, "--endpoint 'hERG' is not GROUP=ENDPOINT"),
    "half a pair": (("=hERG",), None, "--endpoint '=hERG' is not GROUP=ENDPOINT"),
    "none and one": ((f"{GROUP}=hERG",), "none", "--endpoints none and --endpoint '.*=hERG' say two things"),
    "no table": ((), "nowhere.csv", r"no file nowhere\.csv"),
    "a threshold that is none": ((f"{GROUP}@1e300=hERG",), None, "'1e300' is no threshold"),
    "several faults": ((f"{GROUP}=x", "y=hERG"), None, "no endpoint 'x'; the dataset has no task of 'y'"),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("again", [False, True])
def test_a_declaration_that_cannot_be_is_refused_by_name_and_the_site_stays_as_it_was(
    name: str, again: bool, site: Site, data: Path, tmp_path: Path
) -> None:
    if again:
        site = accepted(site, data, f"{OTHER}=hERG")
        data = write_dataset(tmp_path / "newer", "Birch", compounds=180).directory
    before = contents(site.path)
    pairs, table, reason = REFUSED[name]
    with pytest.raises(PolyphonyError, match=reason) as caught:
        accepted(site, data, *pairs, table=table)
    assert caught.value.hint
    after = contents(site.path)
    assert {path: after[path] for path in before} == before
    assert {path.name for path in after.keys() - before.keys()} <= {"lock"}


def test_names_with_equals_signs_in_them_are_told_apart_by_what_there_is(site: Site, data: Path) -> None:
    (site.path / "catalogue.yaml").write_text(ENDPOINTS + "- {id: a=b, measures: x, unit: p, thresholds: [5.5]}\n")
    agree(site)
    assert declared(accepted(site, data, f"{GROUP}=a=b")) == {GROUP: Declaration("a=b")}


def test_without_a_catalogue_nothing_can_be_declared(tmp_path: Path, data: Path) -> None:
    site = made_site(tmp_path / "site", CONFIG)
    with pytest.raises(ConfigError, match="has no catalogue"):
        accepted(site, data, f"{GROUP}=hERG")
    assert declared(accepted(site, data, table="none")) == {}


# What is no consent


def other_catalogue(old: str, new: str) -> Callable[[Site], object]:
    """A new kit whose policy names another catalogue."""

    def change(site: Site) -> None:
        (site.path / "catalogue.yaml").write_text(ENDPOINTS.replace(old, new))
        agree(site)

    return change


CHANGED: dict[str, tuple[Callable[[Site], object], str]] = {
    "one more group": (
        lambda site: site.endpoints.write_text(f"group,endpoint\n{GROUP},hERG\n{OTHER},hERG\n"),
        f"endpoints.csv: “{OTHER} is hERG: block .*” is not what .*policy.yaml accepts of {OTHER}",
    ),
    "another endpoint": (
        lambda site: site.endpoints.write_text(f"group,endpoint\n{GROUP},CYP3A4\n"),
        f"“{GROUP} is CYP3A4: .*” is not what .*policy.yaml accepts",
    ),
    "an endpoint that nobody has": (
        lambda site: site.endpoints.write_text(f"group,endpoint\n{GROUP},nothing\n"),
        f"{GROUP} is nothing, which the catalogue does not have",
    ),
    "a lost table": (
        lambda site: site.endpoints.unlink(),
        f"policy.yaml accepts “{GROUP} is hERG.*”, which .*endpoints.csv does not declare",
    ),
    "a damaged table": (lambda site: site.endpoints.write_text("group,endpoint\nx\n"), "endpoints.csv: line 2"),
    "a policy without it": (
        lambda site: write_policy_file(site.policy, replace(read_policy_file(site.policy), endpoints=[])),
        f"“{GROUP} is hERG.*” is not what .*policy.yaml accepts of {GROUP}",
    ),
    "a catalogue that was tampered with": (
        lambda site: (site.path / "catalogue.yaml").write_text(ENDPOINTS.replace("6.5", "6.0")),
        "catalogue.yaml is not the catalogue that .*policy.yaml names",
    ),
    "a lost catalogue": (lambda site: (site.path / "catalogue.yaml").unlink(), r"no .*catalogue\.yaml"),
    "other thresholds in a new kit": (other_catalogue("6.5", "6.0"), r"hERG.*5\.5, 6” is not what .*policy.yaml accepts"),
    "another meaning in a new kit": (other_catalogue("block", "binding"), "binding .*” is not what .*policy.yaml accepts"),
    "an endpoint less in a new kit": (other_catalogue("id: hERG", "id: KCNH2"), "is hERG, which the catalogue does not have"),
}


@pytest.mark.parametrize("name", CHANGED)
def test_what_was_not_accepted_stops_every_request_and_says_which(name: str, site: Site, data: Path) -> None:
    held = accepted(site, data, f"{GROUP}=hERG")
    change, reason = CHANGED[name]
    change(held)
    with pytest.raises((ConfigError, DataError), match=reason) as caught:
        site_place(held)
    assert caught.value.hint


def test_a_new_kit_that_adds_an_endpoint_changes_nothing_for_those_that_were_declared(site: Site, data: Path) -> None:
    held = accepted(site, data, f"{GROUP}=hERG")
    other_catalogue("- {id: Ames", "- {id: BBB, measures: passage, unit: p, thresholds: [5.0]}\n- {id: Ames")(held)
    check_data(held)
    assert declared(held) == {GROUP: Declaration("hERG")}


@pytest.mark.parametrize(("old", "new"), [("6.5", "6.0"), ("id: hERG", "id: KCNH2")])
def test_an_endpoint_that_became_another_one_is_not_accepted_again_without_a_word(old: str, new: str, site: Site, data: Path) -> None:
    held = accepted(site, data, f"{GROUP}=hERG")
    other_catalogue(old, new)(held)
    with pytest.raises(ConfigError, match="the catalogue says something else of hERG now") as caught:
        accepted(held, data)
    assert "--endpoint" in caught.value.hint
    check_data(accepted(held, data, f"{GROUP}={'KCNH2' if 'id' in old else 'hERG'}"))


def test_a_row_that_was_added_by_hand_is_told_as_such_and_not_as_a_change_of_the_catalogue(site: Site, data: Path) -> None:
    held = accepted(site, data, f"{GROUP}=hERG")
    for text in (f"{GROUP},hERG\n{OTHER},CYP3A4\n", f"{GROUP},CYP3A4\n"):
        held.endpoints.write_text(f"group,endpoint\n{text}")
        with pytest.raises(ConfigError, match=r"endpoints\.csv: .* is declared to be CYP3A4, which was never accepted") as caught:
            accepted(held, data)
        assert "catalogue" not in str(caught.value)
    check_data(accepted(held, data, f"{GROUP}=hERG"))


# The verb


def test_accept_tells_what_is_declared_what_could_be_and_what_others_learn(
    site: Site, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("accept", str(site.path), str(data), "--endpoint", f"{GROUP}=hERG", "--endpoint", f"{OTHER}=CYP3A4")
    assert polyphony(monkeypatch, *words) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[3:] == [
        f"endpoint  {GROUP} >= 5.5 is hERG (block of the hERG channel, p): 85 training compounds for a shared head",
        f"endpoint  {OTHER} >= 5.5 is CYP3A4 (inhibition, p): no part in a shared head, since the catalogue has no shared head there, "
        "but at 7 (a column thresholds in a table of assays makes tasks there)",
        f"proposed  {NAMESAKE} is called as an endpoint of the catalogue, and is declared to be none",
        "proposed  1 group in all; this declares them beside what is declared: polyphony "
        + " ".join(words)
        + f" --endpoint {NAMESAKE}={NAMESAKE}",
        *(f"consent   {line}" for line in CONSENT),
    ]
    assert polyphony(monkeypatch, "accept", str(site.path), str(data), "--endpoints", "none") == 0
    out = capsys.readouterr().out.splitlines()
    assert out[3:6] == [
        f"ended     {HERG}",
        f"ended     {OTHER} is CYP3A4: inhibition (p), 7",
        "ended     2 declarations, since what is said of endpoints replaces all that was declared before",
    ]
    assert not any(line.startswith(("endpoint", "consent")) for line in out)


@pytest.mark.parametrize("many", [False, True])
def test_the_command_that_is_proposed_adds_to_what_is_declared_and_ends_nothing(
    site: Site, data: Path, many: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "PROPOSED", 0 if many else 10)
    assert polyphony(monkeypatch, "accept", str(site.path), str(data), "--endpoint", f"{GROUP}@5.5=hERG") == 0
    (told,) = (line for line in capsys.readouterr().out.splitlines() if " this declares " in line)
    program, *words = shlex.split(told.partition(" declared: ")[2])
    assert program == "polyphony" and ("matching" in words) == many
    assert polyphony(monkeypatch, *words) == 0
    assert declared(Site.open(site.path)) == {GROUP: Declaration("hERG", frozenset([5.5])), NAMESAKE: Declaration(NAMESAKE)}
    assert not any(line.startswith(("ended", "changed", "proposed")) for line in capsys.readouterr().out.splitlines())


def test_a_group_that_an_endpoint_of_its_name_could_not_be_is_not_proposed(site: Site, data: Path) -> None:
    held = accepted(site, data)
    other_catalogue("a name that a partner has too, unit: p, thresholds: [5.5]", "a name that a partner has too, unit: label")(held)
    assert proposed(held, Dataset.open(held.dataset)) == []


def test_declarations_that_end_with_the_tasks_are_not_called_replaced(
    site: Site, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    held = accepted(site, data, f"{GROUP}=hERG", f"{OTHER}=hERG")
    fewer = write_dataset(tmp_path / "fewer", "Birch", tasks=1).directory
    assert polyphony(monkeypatch, "accept", str(held.path), str(fewer)) == 0
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("ended")]
    assert told[1:] == ["ended     1 declaration, since the dataset has none of these tasks"]


def test_accept_tells_programs_the_same(
    site: Site, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert polyphony(monkeypatch, "accept", str(site.path), str(data), "--endpoint", f"{GROUP}=hERG", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["endpoints"], told["proposed"], told["ended"], told["changed"]) == ({GROUP: "hERG"}, [NAMESAKE], [], [])
    (task,) = told["declared"]
    assert (task["group"], task["threshold"], task["kind"], task["endpoint"]) == (GROUP, 5.5, "classification", "hERG")
    assert (task["labels"], task["lacks"]) == (85, "")
    assert polyphony(monkeypatch, "accept", str(site.path), str(data), "--endpoint", f"{GROUP}=CYP3A4", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["declared"][0]["lacks"] == "the catalogue has no shared head there"
    assert told["changed"] == [{"from": HERG, "to": f"{GROUP} is CYP3A4: inhibition (p), 7"}] and told["ended"] == []
    assert polyphony(monkeypatch, "accept", str(site.path), str(data), "--endpoint", f"{GROUP}=nothing", "--json") == 1
    assert "the catalogue has no endpoint 'nothing'" in capsys.readouterr().err
