"""Kits: what each party gets, what it does not get, and what a site keeps when it takes over another one."""

import hashlib
import re
import shutil
import ssl
import stat
from contextlib import suppress
from pathlib import Path

import pytest

from fedapp.config import load_config
from fedapp.consortium.agreement import configuration_digest, default_policy, proposed
from fedapp.consortium.certificates import new_certificates
from fedapp.consortium.identity_files import load_identity, new_identity
from fedapp.consortium.policy_file import read_policy, read_policy_file, write_policy_file
from fedapp.consortium.promises import spoken
from fedapp.consortium.public_file import PublicFile, load_public
from fedapp.consortium.roster_file import load_draft, load_roster, remove_partner, replace_partner
from fedapp.errors import BusyError, ConfigError, DataError, OutputError
from fedapp.partner_folder import PartnerFolder
from fedapp.runtime.bundle import bundle_digest
from fedapp.runtime.locks import LOCK, locked
from fedapp.site.accept import accept, check_data, check_state
from fedapp.site.folder import Site
from fedapp.site.kit.install import install, mark
from fedapp.site.kit.make import Plan, make_kits
from fedapp.site.run.federate import federate
from fedapp.site.run.serve import serve
from fedapp.site.took_part import check_not_lost
from fedapp.storage.damage import DamagedFileError
from fedapp.storage.json_file import read_json, write_sealed
from strategies.secagg.errors import PolicyError
from tests.cli.test_cli import polyphony
from tests.helpers.killed_writes import watch_writes
from tests.helpers.local_grid import PartnerKilledError
from tests.helpers.sealed import by_hand
from tests.helpers.secret_search import Secrets, in_files
from tests.helpers.small_run import write_dataset
from tests.site.kits import NAMES, SMALL, SUPERLINK, Founded, allow, found, put_keys

PARTIES = ("coordinator", *NAMES)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A consortium to copy: keys take longer than all the rest."""
    return found(tmp_path_factory.mktemp("kit") / "founded").path


@pytest.fixture
def founded(template: Path, tmp_path: Path) -> Founded:
    shutil.copytree(template, tmp_path / "founded")
    return Founded(tmp_path / "founded")


@pytest.fixture(scope="module")
def made(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its kits, to copy."""
    return Founded(Path(shutil.copytree(template, tmp_path_factory.mktemp("kits") / "founded"))).kits("kits")


@pytest.fixture
def kits(founded: Founded, made: Path) -> Path:
    return Path(shutil.copytree(made, founded.path / "kits"))


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def contents(folder: Path) -> dict[Path, bytes]:
    """All files but the notes of who holds a site."""
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != LOCK}


def files(folder: Path) -> set[str]:
    return {str(path) for path in contents(folder)}


# What is in them


def test_every_party_gets_a_folder_that_is_its_site(kits: Path) -> None:
    assert sorted(path.name for path in kits.iterdir()) == sorted(PARTIES)
    for index, name in enumerate(PARTIES):
        site = Site.open(kits / name)
        assert (site.settings.role, site.settings.name) == ("partner" if index else "coordinator", name)
        assert (site.settings.superlink, site.settings.page, site.settings.dataset) == (SUPERLINK, 8600 + index, None)
        assert load_roster(site.roster) == load_roster(kits / "alpha" / "consortium.yaml")


def test_a_party_gets_what_is_its_own_and_no_more(kits: Path) -> None:
    common = {"README.md", "ca.crt", "config.yaml", "consortium.yaml", "site.yaml"}
    common |= {"services/Dockerfile", "services/requirements.txt", "services/compose.yaml", "services/kubernetes.yaml"}
    assert files(kits / "gamma") == common | {"policy.yaml", "services/polyphony-partner.service"}
    units = {"services/polyphony-coordinator.service", "services/polyphony-federate.service"}
    assert files(kits / "coordinator") == common | units | {"session.yaml", "tls/server.crt", "tls/server.key"}


def test_nothing_secret_is_in_any_kit_but_the_coordinators_own_key_in_its_own(founded: Founded, kits: Path) -> None:
    needles = Secrets()
    secret = [founded.certificates / "ca.key", founded.certificates / "server.key"]
    secret += [founded.keys(name) / key for name in NAMES for key in ("identity.key", "node.key")]
    for path in secret:
        body = "".join(line for line in path.read_text().splitlines() if not line.startswith("-----"))
        for start in range(0, len(body) - 48, 16):  # P-384's PKCS #8 form begins alike for everybody
            if len(body) > 400 or start >= 48:
                needles.add(path.name, body[start : start + 48].encode())
    public = {path.name: path.read_bytes() for path in founded.path.rglob("*.crt")}
    assert needles.found_in([*public.values(), founded.roster.read_bytes()]) == set(), "the needles are in what everybody may know"
    for name in PARTIES:
        expected = {"server.key"} if name == "coordinator" else set()
        assert needles.found_in(blob.replace(b"\n", b"") for blob in in_files(kits / name)) == expected, name


def test_all_files_are_their_owners_alone(kits: Path) -> None:
    assert {mode(path) for path in kits.rglob("*") if path.is_file()} == {0o600}
    assert mode(kits) == 0o700


def test_every_partners_policy_accepts_what_the_coordinator_is_to_propose_and_only_this_version(kits: Path) -> None:
    proposal = proposed(read_policy(kits / "coordinator" / "session.yaml"))
    for name in NAMES:
        read_policy(kits / name / "policy.yaml").check(proposal)
        held = read_policy_file(kits / name / "policy.yaml")
        assert (held.applications, held.data) == ([bundle_digest()], "")


def test_partners_agree_on_a_configuration_that_the_coordinator_cannot_make_up(founded: Founded) -> None:
    kits = founded.kits("seeded", seed=918_273)
    digests = {configuration_digest(load_config(kits / name / "config.yaml")) for name in NAMES}
    assert digests == {bytes.fromhex(read_policy_file(kits / "coordinator" / "session.yaml").configuration)}
    assert configuration_digest(load_config(kits / "coordinator" / "config.yaml")) not in digests


def test_a_common_seed_makes_the_run_that_of_a_simulation_and_is_kept_from_the_coordinator(founded: Founded) -> None:
    kits = founded.kits("seeded", seed=918_273)
    for name in NAMES:
        config = load_config(kits / name / "config.yaml")
        assert (config.seed, config.federation.initial_trunk) == (918_273, "seed")
    simulated = load_config(None, (*SMALL, "data.partners=4", "seed=918273"))
    assert read_policy(kits / "gamma" / "policy.yaml") == default_policy(simulated, load_roster(founded.roster))
    assert not any(b"918273" in blob for blob in in_files(kits / "coordinator"))
    assert load_config(kits / "coordinator" / "config.yaml").seed == 0


def test_without_a_seed_the_first_trunk_is_the_partners_secret_and_every_seed_its_own(kits: Path) -> None:
    configs = [load_config(kits / name / "config.yaml") for name in NAMES]
    assert {config.federation.initial_trunk for config in configs} == {"group_key"}
    assert len({config.seed for config in configs}) == len(NAMES)
    assert len({configuration_digest(config) for config in configs}) == 1


def test_the_roster_says_how_many_take_part(founded: Founded, kits: Path) -> None:
    config = load_config(kits / "coordinator" / "config.yaml")
    assert (config.data.partners, config.federation.min_partners) == (4, load_roster(founded.roster).least())
    chosen = load_config(founded.kits("chosen", "federation.min_partners=4") / "coordinator" / "config.yaml")
    assert chosen.federation.min_partners == 4


def test_only_partners_are_told_that_there_is_a_fold_key_and_nobody_where_it_lay(founded: Founded) -> None:
    kits = founded.kits("folded", f"chemistry.fold_key_file={founded.path}/fold.key")
    assert load_config(kits / "gamma" / "config.yaml").chemistry.fold_key_file == "keys/fold.key"
    assert load_config(kits / "coordinator" / "config.yaml").chemistry.fold_key_file is None
    assert "keys/fold.key" in (kits / "gamma" / "README.md").read_text()
    assert "fold key" not in (kits / "coordinator" / "README.md").read_text()


def test_no_folder_of_the_machine_that_made_them_is_in_a_kit(founded: Founded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("POLYPHONY_DATA", raising=False)
    experiment = founded.path / "experiment.yaml"
    experiment.write_text(f'runs: {founded.path}/runs\ndata: {{tables: "${{oc.env:POLYPHONY_DATA}}/own"}}\n')
    kits = founded.kits("kits", f"runs={founded.path}/runs", f"data.tables={founded.path}/tables")
    assert not any(str(founded.path).encode() in blob for blob in in_files(kits))
    words = ("kit", "new", str(founded.roster), str(experiment), "--superlink", SUPERLINK, "--out", str(founded.path / "more"))
    assert polyphony(monkeypatch, *words) == 0
    assert not any(str(founded.path).encode() in blob or b"POLYPHONY_DATA" in blob for blob in in_files(founded.path / "more"))


def test_certificates_may_be_brought_along_later(founded: Founded) -> None:
    make_kits(founded.plan(certificates=False), founded.path / "bare")
    assert not list((founded.path / "bare").rglob("*.crt"))
    assert "tls/" in (founded.path / "bare" / "coordinator" / "README.md").read_text()


@pytest.mark.parametrize("name", PARTIES)
def test_every_command_and_file_that_a_readme_names_is_there(
    name: str, kits: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (kits / name / "README.md").read_text()
    commands = set(
        re.findall(r"polyphony ((?:consortium|kit|identity|certificates) [a-z]+|prepare|accept|doctor|serve|federate|status)\b", text)
    )
    assert {"kit install", "doctor", "status"} <= commands
    for command in commands:
        assert polyphony(monkeypatch, *command.split(), "--help") == 0, command
    for path in re.findall(r"services/[\w.*-]+", text):
        assert list((kits / name).glob(path)), path
    assert load_roster(kits / name / "consortium.yaml").digest().hex(" ", 4) in text or name == "coordinator"


# What is refused, leaving nothing


def refused(plan: Plan, out: Path, match: str) -> ConfigError:
    with pytest.raises(ConfigError, match=match) as caught:
        make_kits(plan, out)
    assert not out.exists()
    assert not list(out.parent.glob(f".{out.name}*"))
    return caught.value


def test_a_plain_experiment_is_refused(founded: Founded) -> None:
    refused(founded.plan("aggregation=plain"), founded.path / "kits", "aggregation is plain")


def test_a_partner_without_a_node_key_is_named_with_what_to_do(founded: Founded) -> None:
    replace_partner(founded.roster, "gamma", PublicFile(load_identity(founded.keys("gamma")).public))
    error = refused(founded.plan(), founded.path / "kits", "gamma has no node key")
    assert "polyphony identity node" in error.hint
    assert "polyphony consortium replace" in error.hint


def test_a_partner_cannot_be_called_coordinator(founded: Founded) -> None:
    founded.join("coordinator")
    refused(founded.plan(), founded.path / "kits", "no partner can be called coordinator")


@pytest.mark.parametrize("superlink", ["", "host", "host:", ":9092", "host:port", "host:0", "host:65536", "host:-1"])
def test_an_address_that_is_none_is_refused(superlink: str, founded: Founded) -> None:
    refused(founded.plan(superlink=superlink), founded.path / "kits", "is not host:port")


def test_a_certificate_for_another_host_is_refused_with_the_command_that_makes_the_right_one(founded: Founded) -> None:
    error = refused(
        founded.plan(superlink="other.example.org:9092"), founded.path / "kits", "is for polyphony.example.org, .*not for other"
    )
    assert f"polyphony certificates new {founded.certificates} --host other.example.org" in error.hint


@pytest.mark.parametrize("name", ["ca.crt", "server.crt", "server.key"])
def test_a_missing_certificate_is_named(name: str, founded: Founded) -> None:
    (founded.certificates / name).unlink()
    refused(founded.plan(), founded.path / "kits", f"certificates has no {name}")


def test_a_folder_that_is_there_is_left_alone(founded: Founded, kits: Path) -> None:
    before = contents(kits)
    with pytest.raises(ConfigError, match="kits exists"):
        make_kits(founded.plan(), kits)
    assert contents(kits) == before


# Installing one


def test_a_new_site_has_all_of_the_kit_and_a_seed_that_whoever_made_the_kit_does_not_know(founded: Founded, kits: Path) -> None:
    assert install(kits / "gamma", founded.path / "gamma") == []
    given, held = contents(kits / "gamma"), contents(founded.path / "gamma")
    assert held.keys() - given.keys() == {Path("floor.yaml")}
    assert given.keys() <= held.keys()
    assert {str(name) for name in given if held[name] != given[name]} == {"config.yaml"}
    ours, theirs = (load_config(folder / "gamma" / "config.yaml") for folder in (founded.path, kits))
    assert ours.seed != theirs.seed
    assert configuration_digest(ours) == configuration_digest(theirs)


def test_a_common_seed_is_taken_as_it_is(founded: Founded) -> None:
    kits = founded.kits("seeded", seed=5)
    install(kits / "gamma", founded.path / "gamma")
    held = contents(founded.path / "gamma")
    assert {path: held[path] for path in held if path.name != "floor.yaml"} == contents(kits / "gamma")


def test_a_kit_that_brings_data_along_and_accepts_them_for_a_partner_is_not_listened_to(founded: Founded, kits: Path) -> None:
    """Whoever makes kits would else choose what a partner trains on: the partner accepts its data itself."""
    kit = Site.open(kits / "gamma")
    brought = write_dataset(kit.path / "dataset", "gamma")
    set_data(kit.changed(dataset="dataset"), brought.digest)
    install(kit.path, founded.path / "gamma")
    site = Site.open(founded.path / "gamma")
    assert read_policy_file(site.policy).data == ""
    shutil.copytree(kit.path / "dataset", site.path / "dataset", dirs_exist_ok=True)
    with pytest.raises((ConfigError, DataError)) as caught:
        check_data(site)
    assert "polyphony accept" in caught.value.hint
    accept(site, site.path / "dataset")
    check_data(Site.open(site.path))
    assert read_policy_file(site.policy).data == brought.digest


def test_the_coordinators_site_has_its_certificate_and_no_seed(founded: Founded, kits: Path) -> None:
    install(kits / "coordinator", founded.path / "site")
    assert contents(founded.path / "site") == contents(kits / "coordinator")
    assert mode(founded.path / "site" / "tls") == 0o700


def test_a_kit_that_was_unpacked_for_everybody_to_read_becomes_a_site_for_its_owner(founded: Founded, kits: Path) -> None:
    for path in kits.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    install(kits / "coordinator", founded.path / "site")
    assert mode(founded.path / "site") == 0o700
    assert {mode(path) for path in (founded.path / "site").glob("*.yaml")} == {0o600}
    assert mode(founded.path / "site" / "tls" / "server.key") == 0o600


@pytest.fixture
def used(founded: Founded, kits: Path) -> Site:
    """gamma's site in use: with keys, state, log, data and settings of its own."""
    site = founded.site(kits, "gamma").changed(dataset="dataset", page=9999, listen="127.0.0.1")
    check_state(site)
    (site.state / "protocol.state").write_bytes(b"shares")
    (site.log / "supernode.log").write_text("log")
    (site.path / "dataset").mkdir()
    (site.path / "dataset" / "dataset.json").write_text("{}")
    return site


def set_data(site: Site, data: str) -> None:
    held = read_policy_file(site.policy)
    write_policy_file(site.policy, type(held)(**{**vars(held), "data": data}))


def test_a_site_keeps_what_is_its_own_and_takes_over_the_rest(founded: Founded, used: Site) -> None:
    set_data(used, "ab" * 32)
    seed, before = used.config().seed, contents(used.path)
    founded.join("epsilon")
    kits = founded.kits("second", "federation.rounds=40", "federation.min_partners=4")
    install(kits / "gamma", used.path)
    site, after = Site.open(used.path), contents(used.path)
    kept = {path for path in before if path.parts[0] in ("keys", "state", "log", "dataset")}
    assert len(kept) == 8
    assert {path: after[path] for path in kept} == {path: before[path] for path in kept}
    assert (site.settings.dataset, site.settings.page, site.settings.listen) == ("dataset", 9999, "127.0.0.1")
    assert site.config().seed == seed
    assert (site.config().federation.rounds, site.config().data.partners) == (40, 5)
    assert read_policy_file(site.policy).data == "ab" * 32
    read_policy(site.policy).check(proposed(read_policy(kits / "coordinator" / "session.yaml")))


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        (["evaluation.test_fold=null"], "with other settings of evaluation"),
        (["evaluation.validation_fold=2"], "with other settings of evaluation"),
        (["chemistry.bits=512"], "with other settings of chemistry"),
        (["model.hidden=[16]"], "with other settings of model"),
        (["federation.rounds=4"], "of 4 rounds"),
    ],
)
def test_rounds_that_were_trained_go_on_under_no_experiment_that_they_are_no_part_of(
    founded: Founded, used: Site, overrides: list[str], named: str, tmp_path: Path
) -> None:
    kit = founded.kits("second", *overrides) / "gamma"
    trained = PartnerFolder(used.state).loss_of(5)
    trained.parent.mkdir(parents=True)
    write_sealed(trained, {"round": 5})
    write_sealed(used.took_part, {"name": "gamma"})
    before = contents(used.path)
    with pytest.raises(ConfigError, match=f"has trained 5 rounds, which an experiment {named} cannot go on") as caught:
        install(kit, used.path)
    assert "begin afresh in a new folder: copy keys/, floor.yaml and took-part.json there" in caught.value.hint
    assert contents(used.path) == before
    shutil.copytree(used.keys, tmp_path / "afresh" / "keys")
    shutil.copy(used.took_part, tmp_path / "afresh")
    install(kit, tmp_path / "afresh")
    with pytest.raises(DamagedFileError, match="is lost or empty"):
        check_not_lost(Site.open(tmp_path / "afresh"))
    trained.unlink()
    install(kit, used.path)


def test_a_kit_brings_back_what_was_altered_at_a_site_that_has_trained(used: Site, kits: Path) -> None:
    trained = PartnerFolder(used.state).loss_of(5)
    trained.parent.mkdir(parents=True)
    write_sealed(trained, {"round": 5})
    config = used.path / "config.yaml"
    whole = config.read_text()
    assert "validation_fold: 1" in whole
    config.write_text(by_hand(whole.replace("validation_fold: 1", "validation_fold: 2")))
    install(kits / "gamma", used.path)
    assert config.read_text() == whole


def test_rounds_that_were_trained_go_on_for_more_rounds(founded: Founded, used: Site) -> None:
    trained = PartnerFolder(used.state).loss_of(12)
    trained.parent.mkdir(parents=True)
    write_sealed(trained, {"round": 12})
    install(founded.kits("second", "federation.rounds=13") / "gamma", used.path)
    assert used.config().federation.rounds == 13


def test_a_new_address_is_taken_over(founded: Founded, used: Site) -> None:
    told = install(founded.kits("moved", superlink="127.0.0.1:7000") / "gamma", used.path)
    assert told == [f"coordinator: {SUPERLINK} -> 127.0.0.1:7000"]
    assert Site.open(used.path).settings.superlink == "127.0.0.1:7000"


def test_what_changes_in_a_partners_policy_is_told(founded: Founded, used: Site) -> None:
    held = read_policy_file(used.policy)
    write_policy_file(used.policy, type(held)(**{**vars(held), "rounds": 9, "data": "ab" * 32}))
    kit = founded.kits("second", "federation.metrics_shown=[loss]") / "gamma"
    allow(kit, used.path)
    assert install(kit, used.path) == [
        "rounds: from “9 at most” to “12 at most” (weaker)",
        "metrics: from “none leaves” to “the coordinator learns the partners' mean of loss in every round” (weaker)",
    ]


def test_the_same_kit_again_changes_nothing(used: Site, kits: Path) -> None:
    before = contents(used.path)
    assert install(kits / "gamma", used.path) == []
    assert contents(used.path) == before


def test_a_site_that_is_being_served_or_installed_is_left_alone(used: Site, kits: Path) -> None:
    with locked(used.path, "polyphony serve"):
        before = contents(used.path)
        with pytest.raises(BusyError, match="in use by polyphony serve"):
            install(kits / "gamma", used.path)
        with pytest.raises(BusyError, match="in use by polyphony serve"):
            serve(used)
        assert contents(used.path) == before


def test_a_second_federate_at_the_coordinator_ends_with_an_error_that_names_the_first(founded: Founded, kits: Path) -> None:
    site = founded.site(kits, "coordinator")
    with locked(site.coordinator, "polyphony federate"), pytest.raises(BusyError, match=r"in use by polyphony federate \(process \d+"):
        federate(site, lambda _: None, lambda _: None)


def test_a_folder_with_files_of_a_persons_does_not_become_a_site_at_their_cost(kits: Path, tmp_path: Path) -> None:
    """But one with keys in it, or anything of other names, may."""
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "fold.key").write_text("mine")
    (tmp_path / "notes.txt").write_text("mine")
    for name in ("README.md", "config.yaml", "services/compose.yaml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("mine")
        before = contents(tmp_path)
        with pytest.raises(OutputError, match=f"is no site, and has files of its own .*: {name}$"):
            install(kits / "gamma", tmp_path)
        assert contents(tmp_path) == before
        (tmp_path / name).unlink()
    install(kits / "gamma", tmp_path)
    assert {"keys/fold.key", "notes.txt"} < files(tmp_path)


@pytest.mark.parametrize("name", ["gamma", "coordinator"])
def test_a_site_that_lost_its_settings_is_told_to_copy_the_kits_and_not_to_install_a_kit(name: str, founded: Founded, kits: Path) -> None:
    site = founded.site(kits, name)
    (site.path / "site.yaml").unlink()
    for refused in (lambda: Site.open(site.path), lambda: install(kits / name, site.path)):
        with pytest.raises((ConfigError, OutputError)) as caught:
            refused()
        assert "it was a site: bring site.yaml back from a backup, or copy the kit's there" in caught.value.hint
        assert "`polyphony kit install" not in caught.value.hint
    shutil.copy(kits / name / "site.yaml", site.path)
    assert install(kits / name, site.path) == []


def test_units_of_the_sites_own_stay_when_a_kit_comes(used: Site, kits: Path) -> None:
    (used.path / "services" / "proxy.conf").write_text("mine")
    install(kits / "gamma", used.path)
    assert (used.path / "services" / "proxy.conf").read_text() == "mine"


@pytest.mark.parametrize("other", ["alpha", "coordinator"])
def test_another_partys_kit_is_refused_and_nothing_is_touched(other: str, used: Site, kits: Path) -> None:
    before = contents(used.path)
    with pytest.raises(ConfigError, match=r"and .* is the site of the partner gamma"):
        install(kits / other, used.path)
    assert contents(used.path) == before


def test_a_kit_is_not_installed_into_itself_and_a_folder_that_is_none_is_refused(kits: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is the kit itself"):
        install(kits / "gamma", kits / "gamma")
    with pytest.raises(ConfigError, match="is no site"):
        install(kits, tmp_path / "site")


# Those who change, leave and join


def test_a_partner_with_a_new_identity_goes_on_with_its_state(founded: Founded, used: Site) -> None:
    shutil.rmtree(founded.keys("gamma"))
    new_identity(founded.keys("gamma"))
    replace_partner(founded.roster, "gamma", load_public(founded.keys("gamma") / "identity.pub"))
    kits = founded.kits("second")
    with pytest.raises(ConfigError, match="the key in .*keys is not the one that .* has for gamma"):
        install(kits / "gamma", used.path)
    put_keys(founded.keys("gamma"), used.path)
    with pytest.raises(ConfigError, match="belongs to gamma"):
        check_state(used)
    install(kits / "gamma", used.path)
    check_state(used)
    assert read_json(used.state / "owner.json")["fingerprint"] == load_identity(used.keys).public.fingerprint()


def test_a_replaced_identity_and_a_newcomer_are_named_with_fingerprints_and_a_comparison_is_asked_for(
    founded: Founded, used: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fingerprint(name: str) -> str:
        return load_public(founded.keys(name) / "identity.pub").identity.fingerprint()

    old = fingerprint("alpha")
    shutil.rmtree(founded.keys("alpha"))
    new_identity(founded.keys("alpha"))
    replace_partner(founded.roster, "alpha", load_public(founded.keys("alpha") / "identity.pub"))
    remove_partner(founded.roster, "delta")
    founded.join("epsilon")
    kits = founded.kits("second")
    assert polyphony(monkeypatch, "kit", "install", str(kits / "gamma"), str(used.path)) == 0
    out = capsys.readouterr().out
    trunk = "the trunk of all rounds so far, with all rows that were ever trained"
    digest = spoken(load_roster(founded.roster).digest())
    lines = [line for line in out.splitlines() if line.startswith(("changes  ", "COMPARE  "))]
    assert lines == [
        f"changes  joins: epsilon, fingerprint {fingerprint('epsilon')}; it is handed {trunk}",
        f"changes  leaves: delta, fingerprint {fingerprint('delta')}; what it has of the trunk stays with it",
        f"changes  NEW IDENTITY alpha: {old} -> {fingerprint('alpha')}; whoever has the new one is handed {trunk}",
        "changes  NEW NODE KEY alpha: it opens the connection to the coordinator alone, and the roster's digest does not cover it",
        f"COMPARE  roster: its digest is now {digest}: compare it with every other partner over the telephone, and not only with who sent "
        "this kit, before the service is started",
    ]
    readme = (used.path / "README.md").read_text()
    assert "Where it says\nCOMPARE, compare the digest with every other partner** over the telephone" in readme
    assert digest in readme


def test_the_coordinator_is_told_who_joins_leaves_or_has_a_new_identity_too(
    founded: Founded, kits: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    site = founded.site(kits, "coordinator")
    assert install(kits / "coordinator", site.path) == []
    shutil.rmtree(founded.keys("alpha"))
    new_identity(founded.keys("alpha"))
    replace_partner(founded.roster, "alpha", load_public(founded.keys("alpha") / "identity.pub"))
    remove_partner(founded.roster, "delta")
    founded.join("epsilon")
    second, first = founded.kits("second"), site.roster.read_bytes()
    assert polyphony(monkeypatch, "kit", "install", str(second / "coordinator"), str(site.path)) == 0
    _, *told = capsys.readouterr().out.splitlines()
    begun = ("changes  joins: epsilon, f", "changes  leaves: delta, f", "changes  NEW IDENTITY alpha: ", "changes  NEW NODE KEY alpha: ")
    assert [line.startswith(begin) for line, begin in zip(told, begun, strict=False)] == [True] * 4
    digest = spoken(load_roster(founded.roster).digest())
    assert told[4:] == [
        f"COMPARE  roster: its digest is now {digest}: compare it with every partner over the telephone, and not only with who sent this "
        "kit, before the service is started"
    ]
    assert list(earlier(site).values()) == [first]
    assert "compare the digest with every partner" in (site.path / "README.md").read_text()


def test_a_comparison_is_asked_of_the_coordinator_where_it_is_not_known_who_was_in_the_roster(founded: Founded, kits: Path) -> None:
    site = founded.site(kits, "coordinator")
    site.proposal.unlink()
    (compare,) = install(kits / "coordinator", site.path)
    assert mark(compare) == "COMPARE"


@pytest.mark.parametrize("party", ["gamma", "coordinator"])
def test_a_new_address_and_a_new_authority_are_told_with_both_fingerprints(party: str, founded: Founded, kits: Path) -> None:
    site = founded.site(kits, party)
    old = x509_fingerprint(site.authority)
    shutil.rmtree(founded.certificates)
    new_certificates(founded.certificates, ["polyphony.example.org", "127.0.0.1"])
    new = x509_fingerprint(founded.certificates / "ca.crt")
    moved = founded.kits("moved", superlink="127.0.0.1:7000") / party
    assert install(moved, site.path) == [
        f"coordinator: {SUPERLINK} -> 127.0.0.1:7000",
        f"authority: new ca.crt, SHA-256 {old} -> {new}",
    ]
    assert install(moved, site.path) == []
    site.authority.write_text("no certificate")
    assert install(moved, site.path) == [f"authority: new ca.crt, SHA-256 one that cannot be read -> {new}"]
    site.authority.unlink()
    assert install(moved, site.path) == [f"authority: new ca.crt, SHA-256 none -> {new}"]
    (moved / "ca.crt").unlink()
    assert install(moved, site.path) == []


def test_a_second_authority_behind_the_first_is_told(used: Site, kits: Path, tmp_path: Path) -> None:
    kit, first = kits / "gamma", x509_fingerprint(used.authority)
    new_certificates(tmp_path / "others", ["polyphony.example.org"])
    with (kit / "ca.crt").open("a") as file:
        file.write((tmp_path / "others" / "ca.crt").read_text())
    second = x509_fingerprint(tmp_path / "others" / "ca.crt")
    assert install(kit, used.path) == [f"authority: new ca.crt, SHA-256 {first} -> {first} and {second}"]


def x509_fingerprint(path: Path) -> str:
    """SHA-256 of the DER of the only certificate in a file."""
    return spoken(hashlib.sha256(ssl.PEM_cert_to_DER_cert(path.read_text())).digest())


def test_a_new_node_key_alone_is_named_and_asks_for_no_comparison(founded: Founded, used: Site) -> None:
    draft = load_draft(founded.roster)
    new_identity(founded.path / "elsewhere")
    node = load_public(founded.path / "elsewhere" / "identity.pub").node
    assert node is not None
    replace_partner(founded.roster, "alpha", PublicFile(draft.members[0].identity, node))
    (told,) = install(founded.kits("second") / "gamma", used.path)
    assert told.startswith("NEW NODE KEY alpha: ")


@pytest.mark.parametrize("lost", ["consortium.yaml", "policy.yaml"])
def test_a_comparison_is_asked_for_where_it_is_not_known_who_was_in_the_roster_before(lost: str, used: Site, kits: Path) -> None:
    (used.path / lost).unlink()
    unknown, compare = install(kits / "gamma", used.path)
    assert unknown.startswith("what this site had before is not known")
    assert mark(compare) == "COMPARE"


def test_a_comparison_is_asked_for_where_the_new_roster_was_put_in_place_by_hand_before(founded: Founded, used: Site) -> None:
    founded.join("epsilon")
    kit = founded.kits("second") / "gamma"
    used.roster.write_bytes((kit / "consortium.yaml").read_bytes())
    assert "COMPARE" in map(mark, install(kit, used.path))


def test_a_new_kit_does_not_make_anothers_state_ones_own(founded: Founded, used: Site, kits: Path) -> None:
    alpha = founded.site(kits, "alpha")
    check_state(alpha)
    shutil.copytree(alpha.state, used.state, dirs_exist_ok=True)
    install(kits / "gamma", used.path)
    with pytest.raises(ConfigError, match="belongs to alpha"):
        check_state(used)


def test_the_roster_that_another_one_replaces_is_kept_once_by_its_digest(founded: Founded, used: Site, kits: Path) -> None:
    install(kits / "gamma", used.path)
    assert earlier(used) == {}
    first, digest = used.roster.read_bytes(), load_roster(used.roster).digest()
    founded.join("epsilon")
    second = founded.kits("second")
    install(second / "gamma", used.path)
    kept = {f"consortium-{digest.hex()[:8]}.yaml": first}
    assert earlier(used) == kept and load_roster(used.roster).digest() != digest
    (name,) = kept
    assert mode(used.path / name) == 0o600
    written = (used.path / name).stat().st_ino
    install(second / "gamma", used.path)
    install(kits / "gamma", used.path)
    assert earlier(used) == kept | {
        f"consortium-{load_roster(second / 'gamma' / 'consortium.yaml').digest().hex()[:8]}.yaml": (
            second / "gamma" / "consortium.yaml"
        ).read_bytes()
    }
    install(second / "gamma", used.path)
    assert (used.path / name).stat().st_ino == written


def earlier(site: Site) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in site.path.rglob("consortium-*")}


def test_a_kept_roster_that_was_altered_is_written_again_and_one_that_cannot_be_read_is_not_kept(
    founded: Founded, used: Site, kits: Path
) -> None:
    founded.join("epsilon")
    second, first = founded.kits("second") / "gamma", used.roster.read_bytes()
    install(second, used.path)
    (name,) = earlier(used)
    (used.path / name).write_text("consortium: [")
    install(kits / "gamma", used.path)
    install(second, used.path)
    assert earlier(used)[name] == first
    before = earlier(used)
    used.roster.write_text("consortium: [")
    install(kits / "gamma", used.path)
    assert earlier(used) == before


def test_wherever_an_installation_is_killed_the_earlier_roster_is_there(
    founded: Founded, used: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    founded.join("epsilon")
    kit, first = founded.kits("second") / "gamma", used.roster.read_bytes()
    with monkeypatch.context() as patch:
        death = watch_writes(patch)
        for at in range(100):
            with death.living(at), suppress(PartnerKilledError):
                install(kit, used.path)
            if not death.dead:
                break
            assert first in (used.roster.read_bytes(), *earlier(used).values()), at
            if at == 0:
                assert used.roster.read_bytes() == first
            else:
                assert list(earlier(used).values()) == [first], "it is kept before anything else is written"
    assert 5 < at < 99
    assert list(earlier(used).values()) == [first]
    assert used.roster.read_bytes() == (kit / "consortium.yaml").read_bytes()


def test_a_kit_that_is_refused_leaves_no_earlier_roster(founded: Founded, used: Site) -> None:
    founded.join("epsilon")
    with pytest.raises(ConfigError, match="less protection"):
        install(founded.kits("second", "privacy.row_guard=2") / "gamma", used.path)
    assert earlier(used) == {}


def test_those_who_stay_agree_after_one_left_and_one_joined_and_refuse_what_was_agreed_before(founded: Founded, kits: Path) -> None:
    sites = {name: founded.site(kits, name) for name in (*NAMES, "coordinator")}
    before = proposed(read_policy(sites["coordinator"].proposal))
    remove_partner(founded.roster, "R&D north")
    founded.join("epsilon")
    second = founded.kits("second")
    assert not (second / "R&D north").exists()
    for name in ("alpha", "gamma", "delta", "coordinator"):
        install(second / name, sites[name].path)
    now = proposed(read_policy(sites["coordinator"].proposal))
    for name in ("alpha", "gamma", "delta"):
        read_policy(sites[name].policy).check(now)
        with pytest.raises(PolicyError, match="roster"):
            read_policy(sites[name].policy).check(before)


# The verbs


def test_new_names_the_folders_and_install_tells_what_changes(
    founded: Founded, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(founded.path)
    words = ("kit", "new", "consortium.yaml", "--superlink", SUPERLINK, "--certificates", "certificates")
    assert polyphony(monkeypatch, *words, "--out", "one") == 0
    assert capsys.readouterr().out.splitlines() == [f"one/{name}" for name in PARTIES]
    assert polyphony(monkeypatch, *words, "--out", "two", "--page", "0", "federation.rounds=7") == 0
    assert Site.open(Path("two/alpha")).settings.page == 0
    capsys.readouterr()
    assert polyphony(monkeypatch, "kit", "install", "one/alpha", "site") == 0
    first, *told = capsys.readouterr().out.splitlines()
    assert first == "site"
    assert "accepts  row guard    20: a row is sent if so many of our training compounds hold its bit, and others stay at home" in told
    assert "accepts  metrics      none leaves" in told
    assert told[-1].startswith("floor    ")
    assert polyphony(monkeypatch, "kit", "install", "two/alpha", "site") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "site"
    assert "accepts  rounds       7 at most" in lines
    assert next(line for line in lines if line.startswith(("changes", "WEAKER"))) == "changes  rounds: from “20 at most” to “7 at most”"
    assert lines[-1].startswith("changes  configuration: ")
    assert polyphony(monkeypatch, "kit", "install", "two/coordinator", "site") == 1
    assert "is the site of the partner alpha" in capsys.readouterr().err
