"""Whole consortia of sites over the in-memory network: the real apps in the sites that kits make."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from html import unescape
from pathlib import Path

import polars as pl
import pytest
from flwr.app import Context, Message, RecordDict

from fedapp import client_app, server_app
from fedapp.cli import serve as command
from fedapp.consortium.roster_file import remove_partner
from fedapp.data.dataset import Dataset
from fedapp.errors import RunError
from fedapp.evaluation.selection import best_round, read_metrics
from fedapp.partner_folder import PartnerFolder
from fedapp.prediction.export import export_model
from fedapp.prediction.predict import predict_file
from fedapp.site.accept import accept
from fedapp.site.doctor import checks
from fedapp.site.doctor.examine import made
from fedapp.site.finished import nothing_left
from fedapp.site.folder import SITE_VARIABLE, Site
from fedapp.site.run import federate as federate_module
from fedapp.site.status.report import write_site_report
from fedapp.site.status.site_status import partner_status
from fedapp.storage.json_file import read_json
from strategies.coordinator.journal import Exchange, read_journal
from strategies.partner.repetition import read_repetition
from strategies.secagg.phases import Step
from strategies.update.shared_trunk import SharedTrunk
from tests.helpers.federation import step
from tests.helpers.local_grid import RUN_ID, Hook, LocalGrid, unchanged
from tests.helpers.request_lines import read_requests
from tests.helpers.small_run import write_dataset
from tests.site.kits import NAMES, Founded, found

ROUNDS = 4
QUICK = (f"federation.rounds={ROUNDS}", "federation.connect_timeout=1", "privacy.row_guard=3", "evaluation.min_per_class=3")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sites of kits, with their data, as no round has touched them."""
    founded = found(tmp_path_factory.mktemp("sites") / "founded")
    set_up(founded, NAMES, "kits")
    return founded.path


@pytest.fixture
def founded(template: Path, tmp_path: Path) -> Founded:
    shutil.copytree(template, tmp_path / "founded")
    return Founded(tmp_path / "founded")


@pytest.fixture
def sites(founded: Founded) -> dict[str, Site]:
    """The coordinator's and every partner's, to be changed."""
    return sites_of(founded)


@pytest.fixture(scope="module")
def undisturbed(template: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Site], list[Exchange]]:
    """Sites whose rounds are done, and the coordinator's journal."""
    path = Path(shutil.copytree(template, tmp_path_factory.mktemp("undisturbed") / "founded"))
    sites = sites_of(Founded(path))
    with pytest.MonkeyPatch.context() as patch:
        return sites, federate(patch, sites, Sites(sites, NAMES))


def sites_of(founded: Founded) -> dict[str, Site]:
    return {name: Site.open(founded.path / "sites" / name) for name in ("coordinator", *NAMES)}


def set_up(founded: Founded, names: tuple[str, ...], kits: str) -> dict[str, Site]:
    """The sites of the coordinator and these partners, from new kits; data is accepted where there is none yet."""
    made = founded.kits(kits, *QUICK)
    sites = {name: founded.site(made, name) for name in ("coordinator", *names)}
    for number, name in enumerate(names):
        if sites[name].settings.dataset is None:
            write_dataset(founded.path / "data" / name, name, compounds=200 - 20 * number)
            accept(sites[name], founded.path / "data" / name)
    return {name: Site.open(site.path) for name, site in sites.items()}


class Sites(LocalGrid):
    """The network of some sites; partner i of `names` has node 101 + i."""

    def __init__(self, sites: dict[str, Site], names: tuple[str, ...], down: Hook = unchanged) -> None:
        self.sites, self.names = sites, names
        super().__init__(client_app.app, len(names), {}, down)

    def connect(self, partition: int) -> None:
        node, path = self.node(partition), str(self.sites[self.names[partition]].path)
        self.contexts[node] = Context(RUN_ID, node, {"site": path}, RecordDict(), {})


def federate(monkeypatch: pytest.MonkeyPatch, sites: dict[str, Site], grid: Sites) -> list[Exchange]:
    """Run the rounds as the server app of the coordinator's site does; its journal."""
    monkeypatch.setenv(SITE_VARIABLE, str(sites["coordinator"].path))
    server_app.run(grid, Context(RUN_ID, 0, {}, RecordDict(), {}))
    return journal(sites)


def journal(sites: dict[str, Site]) -> list[Exchange]:
    return read_journal(sites["coordinator"].coordinator / "journal.jsonl")


def trunk(site: Site) -> SharedTrunk:
    return SharedTrunk.read(site.state / "shared.safetensors")


def killed_in_round(number: int) -> Hook:
    """Ends the coordinator's process when it begins this round."""

    def hook(partition: int, message: Message) -> Message:
        if (message.metadata.group_id, step(message)) == (str(number), "ConsistencyCheck"):
            raise KeyboardInterrupt
        return message

    return hook


def test_sites_of_kits_run_to_the_end_and_agree_although_the_coordinator_lacks_the_seed(
    undisturbed: tuple[dict[str, Site], list[Exchange]],
) -> None:
    sites, _ = undisturbed
    assert sites["coordinator"].config().seed == 0
    trunks = [trunk(sites[name]) for name in NAMES]
    assert {held.version for held in trunks} == {ROUNDS}
    assert len({held.name for held in trunks}) == 1
    assert read_json(sites["coordinator"].coordinator / "outcome.json")["state"] == "finished"


def test_every_request_is_in_the_partners_log_with_the_size_of_its_answer(undisturbed: tuple[dict[str, Site], list[Exchange]]) -> None:
    sites, exchanges = undisturbed
    noted = {name: read_requests(sites[name].state) for name in NAMES}
    assert [(each.step, each.round) for each in noted["alpha"]] == [(each.phase, str(each.round)) for each in exchanges]
    for position, exchange in enumerate(exchanges):
        assert sum(noted[name][position].bytes_out for name in NAMES) == exchange.bytes_up
        assert sum(noted[name][position].bytes_in for name in NAMES) == exchange.bytes_down
    assert not any(each.refused for name in NAMES for each in noted[name])


def test_one_partner_leaves_for_good_another_joins_and_the_trunk_goes_on(
    founded: Founded, sites: dict[str, Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(KeyboardInterrupt):
        federate(monkeypatch, sites, Sites(sites, NAMES, down=killed_in_round(3)))
    before = trunk(sites["alpha"])
    assert before.version == 2
    remove_partner(founded.roster, "gamma")
    founded.join("epsilon")
    names = ("alpha", "R&D north", "delta", "epsilon")
    monkeypatch.setattr("tests.site.kits.NAMES", (*NAMES, "epsilon"))
    sites = set_up(founded, names, "new kits")
    done = len(journal(sites))
    exchanges = federate(monkeypatch, sites, Sites(sites, names))[done:]
    assert "Handover" in {each.phase for each in exchanges}, "the newcomer got the trunk from another partner"
    assert {each.round for each in exchanges if each.phase == "Unmasking"} == {0, 3, 4}
    assert {trunk(sites[name]).version for name in names} == {ROUNDS}
    assert len({trunk(sites[name]).name for name in names}) == 1


def test_a_trunk_that_was_lost_after_the_last_round_comes_back_in_a_session_that_trains_nothing(
    undisturbed: tuple[dict[str, Site], list[Exchange]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(undisturbed[0]["coordinator"].path.parents[1], tmp_path / "founded")
    sites = sites_of(Founded(tmp_path / "founded"))
    monkeypatch.setattr(federate_module, "_federate", lambda *_: federate(monkeypatch, sites, Sites(sites, NAMES)))
    lost, done = sites["gamma"].state / "shared.safetensors", len(journal(sites))
    before = {path: path.read_bytes() for path in lost.parent.glob("loss/*")}
    lost.unlink()
    command.federate(sites["coordinator"].path)
    assert "--again" in capsys.readouterr().out
    hints = partner_status(sites["gamma"])["hints"]
    assert "polyphony federate SITE --again" in hints[f"{lost} is missing, and round {ROUNDS} was trained"]
    assert not lost.exists()

    command.federate(sites["coordinator"].path, again=True)
    assert {trunk(sites[name]).version for name in NAMES} == {ROUNDS}
    assert len({trunk(sites[name]).name for name in NAMES}) == 1
    assert {each.round for each in journal(sites)[done:] if each.phase == Step.COLLECT} == {0}, "the row list alone"
    assert {path: path.read_bytes() for path in lost.parent.glob("loss/*")} == before
    assert "before" not in capsys.readouterr().out
    assert nothing_left(sites["coordinator"])


def test_every_partner_predicts_reports_and_exports_during_the_federation_and_after_it(
    sites: dict[str, Site], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    new = tmp_path / "new.smi"
    new.write_text("CCO ethanol\nnonsense broken\nc1ccccc1C(=O)O benzoic acid\n")
    with pytest.raises(RunError, match="no model yet"):
        predict_file(sites["alpha"].path, new, tmp_path / "early.csv")
    for until, network in ((2, Sites(sites, NAMES, down=killed_in_round(3))), (ROUNDS, Sites(sites, NAMES))):
        with suppress(KeyboardInterrupt):
            federate(monkeypatch, sites, network)
        for name in NAMES:
            site, out = sites[name].path, tmp_path / f"{name} {until}"
            metrics = read_metrics(site / "state")
            assert metrics["round"].unique().sort().to_list() == list(range(1, until + 1))
            saved = export_model(site, out / "model")
            assert saved.header["round"] == best_round(metrics, 3), "the best round so far"
            assert [group for group, *_ in saved.tasks] == Dataset.open(sites[name].dataset).tasks["group"].to_list()
            for given, table in ((site, "site.csv"), (site / "state", "state.csv"), (out / "model", "exported.csv")):
                found = predict_file(given, new, out / table)
                assert (found.rows, found.left_out, found.warnings) == (2, 1, ())
            assert len({(out / table).read_bytes() for table in ("site.csv", "state.csv", "exported.csv")}) == 1
            text = unescape(write_site_report(sites[name]).read_text())
            assert f"{until} of {ROUNDS} rounds done. What predicts: {saved.chosen()}, " in text
            tasks = pl.read_csv(site / "tasks.csv")
            assert tasks["column"].to_list() == pl.read_csv(out / "site.csv").columns[3:]


def test_a_partner_with_another_partners_data_refuses_every_request_and_the_rest_go_on(
    sites: dict[str, Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(sites["gamma"].dataset)
    shutil.copytree(sites["alpha"].dataset, sites["gamma"].dataset)
    exchanges = federate(monkeypatch, sites, Sites(sites, NAMES))
    assert {each.replied for each in exchanges} == {3}
    refused = read_requests(sites["gamma"].state)
    assert refused
    assert all("is not the dataset that" in each.refused for each in refused)
    assert not any(reason for each in exchanges for reason in each.left_out if "dataset" in reason), "the coordinator is not told why"
    assert not (sites["gamma"].state / "shared.safetensors").exists()


def test_a_partner_with_another_partners_state_refuses_every_request(sites: dict[str, Site], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KeyboardInterrupt):
        federate(monkeypatch, sites, Sites(sites, NAMES, down=killed_in_round(2)))
    state = sites["gamma"].state
    shutil.rmtree(state)
    shutil.copytree(sites["alpha"].state, state)
    done = len(journal(sites))
    exchanges = federate(monkeypatch, sites, Sites(sites, NAMES))[done:]
    assert {each.replied for each in exchanges} == {3}
    assert "belongs to alpha" in read_requests(state)[-1].refused


@pytest.fixture
def at_the_end(undisturbed: tuple[dict[str, Site], list[Exchange]], tmp_path: Path) -> Site:
    """A partner's site after all rounds, to be damaged."""
    return Site.open(Path(shutil.copytree(undisturbed[0]["alpha"].path, tmp_path / "alpha")))


def own_transcript(site: Site) -> Path:
    (path,) = PartnerFolder(site.state).transcripts()
    return path


def test_doctor_counts_the_lines_of_a_transcript_that_is_whole(at_the_end: Site) -> None:
    lines = len(own_transcript(at_the_end).read_text().splitlines())
    found = checks.transcript(at_the_end)
    assert (found.state, found.told) == (checks.CheckState.OK, f"{lines} entries under this roster, whole and signed")


@pytest.mark.parametrize("number", [0, 5, -1])
def test_an_altered_line_of_the_transcript_fails_in_doctor_as_it_does_in_service(at_the_end: Site, number: int) -> None:
    path = own_transcript(at_the_end)
    lines = path.read_text().splitlines(keepends=True)
    lines[number] = lines[number].replace('"number": ', '"number": 1', 1)
    path.write_text("".join(lines))
    found = made(checks.transcript, at_the_end)
    assert found.state is checks.CheckState.FAIL
    assert str(path) in found.told and f"line {range(1, len(lines) + 1)[number]}" in found.told
    assert found.hint.startswith("move it away: another one begins")


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_text("")])
def test_a_transcript_that_is_gone_although_requests_were_answered_fails_in_doctor(
    at_the_end: Site, damage: Callable[[Path], None]
) -> None:
    path = own_transcript(at_the_end)
    damage(path)
    found = made(checks.transcript, at_the_end)
    assert found.state is checks.CheckState.FAIL and f"{path} is missing" in found.told


def test_under_a_new_roster_no_transcript_is_missed_before_the_first_request(
    founded: Founded, sites: dict[str, Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "0 entries" in checks.transcript(sites["alpha"]).told
    with pytest.raises(KeyboardInterrupt):
        federate(monkeypatch, sites, Sites(sites, NAMES, down=killed_in_round(2)))
    remove_partner(founded.roster, "gamma")
    alpha = set_up(founded, ("alpha", "R&D north", "delta"), "new kits")["alpha"]
    assert checks.transcript(alpha).state is checks.CheckState.OK


def test_a_partner_that_lost_its_state_refuses_every_request_until_it_is_back(
    sites: dict[str, Site], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        federate(monkeypatch, sites, Sites(sites, NAMES, down=killed_in_round(3)))
    state, elsewhere = sites["alpha"].state, tmp_path / "elsewhere"
    state.rename(elsewhere)
    done = len(journal(sites))
    with pytest.raises(KeyboardInterrupt):
        federate(monkeypatch, sites, Sites(sites, NAMES, down=killed_in_round(4)))
    assert {each.replied for each in journal(sites)[done:]} == {3}
    refused = read_requests(state)
    assert refused and all(f"{state} is lost or empty" in each.refused for each in refused)
    assert not (state / "shared.safetensors").exists(), "it was handed no trunk"
    shutil.rmtree(state)
    elsewhere.rename(state)
    federate(monkeypatch, sites, Sites(sites, NAMES))
    assert trunk(sites["alpha"]).name == trunk(sites["delta"]).name


def test_after_a_dead_disk_a_partner_begins_anew_from_its_backup_and_takes_the_trunk_over(
    founded: Founded, sites: dict[str, Site], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        federate(monkeypatch, sites, Sites(sites, NAMES, down=killed_in_round(3)))
    lost = sites["alpha"]
    kept = {path.name: path.read_bytes() for path in (lost.floor, lost.took_part)}
    shutil.rmtree(lost.path)
    lost.path.mkdir(mode=0o700)
    for name, content in kept.items():
        (lost.path / name).write_bytes(content)
    sites |= set_up(founded, ("alpha",), "kits again")
    found = made(checks.state, sites["alpha"])
    assert found.state is checks.CheckState.FAIL
    PartnerFolder(sites["alpha"].state).repetition.write_text(found.hint.split(" write ")[1].split(" into ")[0])
    assert made(checks.state, sites["alpha"]).state is checks.CheckState.OK
    federate(monkeypatch, sites, Sites(sites, NAMES))
    assert trunk(sites["alpha"]).name == trunk(sites["delta"]).name
    assert read_repetition(PartnerFolder(sites["alpha"].state)).sessions == 1


def test_what_the_coordinator_puts_into_the_run_configuration_moves_no_partner(
    sites: dict[str, Site], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    grid = Sites(sites, NAMES)
    for context in grid.contexts.values():
        context.run_config = {"run-dir": str(elsewhere), "site": str(elsewhere), "conf": "tox21"}
    federate(monkeypatch, sites, grid)
    assert {trunk(sites[name]).version for name in NAMES} == {ROUNDS}
    assert not elsewhere.exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[Path, str], None]]:
    """Puts a disk of a given size under a folder, or gives it another size."""
    mounted: list[Path] = []

    def mount(folder: Path, size: str) -> None:
        option = "remount," if folder in mounted else ""
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"{option}size={size},mode=700", "tmpfs", str(folder)], check=False)
        if done.returncode:
            pytest.skip("this machine lets us mount no disk")
        mounted.append(folder)

    yield mount
    for folder in set(mounted):
        subprocess.run(["umount", str(folder)], check=True)


def test_a_partner_whose_disk_is_full_is_left_out_and_comes_back_when_there_is_room(
    sites: dict[str, Site], monkeypatch: pytest.MonkeyPatch, small_disk: Callable[[Path, str], None]
) -> None:
    small_disk(sites["gamma"].state, "32k")
    with pytest.raises(KeyboardInterrupt):
        federate(monkeypatch, sites, Sites(sites, NAMES, down=killed_in_round(3)))
    assert trunk(sites["alpha"]).version == 2
    assert not (sites["gamma"].state / "model.safetensors").exists()
    small_disk(sites["gamma"].state, "8m")
    federate(monkeypatch, sites, Sites(sites, NAMES))
    assert {trunk(sites[name]).version for name in NAMES} == {ROUNDS}
    assert len({trunk(sites[name]).name for name in NAMES}) == 1
