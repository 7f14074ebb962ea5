"""A partner's place in a consortium: identity, roster and policy, and what partners must have in common."""

from dataclasses import fields
from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from fedapp.config import Config, load_config
from fedapp.consortium.agreement import configuration_digest, default_limits, default_policy, propose
from fedapp.consortium.identity_files import load_identity
from fedapp.consortium.membership import ROSTER, make_consortium, open_membership
from fedapp.consortium.policy_file import PolicyFile, read_limits, read_policy, write_policy
from fedapp.consortium.roster_file import load_roster
from fedapp.errors import ConfigError
from fedapp.model.trunk_shape import layout, trunk_shapes
from fedapp.partner_folder import PartnerFolder
from fedapp.run_folder import RunFolder
from strategies.partner.side import Membership
from strategies.secagg.errors import PolicyError
from strategies.secagg.policy import Policy
from strategies.secagg.repetition import RepetitionLimits
from strategies.update.limits import LeakLimits

FIVE = ("data.partners=5", "federation.min_partners=3", "federation.metrics_shown=[loss]")


def membership_of(run: RunFolder, name: str) -> Membership:
    return open_membership(PartnerFolder(run.partner(name)).identity, run.path / ROSTER, PartnerFolder(run.partner(name)).policy)


@pytest.fixture
def config() -> Config:
    return load_config(None, FIVE)


@pytest.fixture
def run(tmp_path: Path, config: Config) -> RunFolder:
    made = RunFolder.create(tmp_path / "run", config, "simulate")
    make_consortium(made, config)
    return made


def test_every_partner_gets_an_identity_and_a_policy_and_all_one_roster(run: RunFolder, config: Config) -> None:
    roster = load_roster(run.path / ROSTER)
    assert [(member.index, member.name) for member in roster.members] == list(enumerate(run.partners(), 1))
    assert (roster.threshold, roster.minimum) == (4, 3)
    for name, member in zip(run.partners(), roster.members, strict=True):
        membership = membership_of(run, name)
        assert membership.roster == roster
        assert membership.identity.public == member.identity == load_identity(PartnerFolder(run.partner(name)).identity).public
        membership.policy.check(propose(config, roster))


def test_without_min_partners_everybody_must_take_part(tmp_path: Path) -> None:
    config = load_config(None, ("data.partners=5",))
    run = RunFolder.create(tmp_path / "run", config, "simulate")
    make_consortium(run, config)
    assert load_roster(run.path / ROSTER).minimum == 5
    assert membership_of(run, "partner-1").policy.least_survivors == 5


def test_a_consortium_is_founded_once(run: RunFolder, config: Config) -> None:
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    make_consortium(run, config)
    assert {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()} == before


def test_founding_goes_on_where_it_was_killed(tmp_path: Path, config: Config) -> None:
    """The roster comes last: with some identities already there, they stay."""
    run = RunFolder.create(tmp_path / "run", config, "simulate")
    make_consortium(run, config)
    first = load_identity(PartnerFolder(run.partner("partner-1")).identity).public
    (run.path / ROSTER).unlink()
    PartnerFolder(run.partner("partner-2")).policy.unlink()
    for path in PartnerFolder(run.partner("partner-3")).identity.iterdir():
        path.unlink()
    make_consortium(run, config)
    assert load_roster(run.path / ROSTER).members[0].identity == first
    for name in run.partners():
        membership_of(run, name).policy.check(propose(config, load_roster(run.path / ROSTER)))


def test_plain_aggregation_needs_no_consortium(tmp_path: Path) -> None:
    config = load_config(None, ("aggregation=plain",))
    run = RunFolder.create(tmp_path / "run", config, "simulate")
    make_consortium(run, config)
    assert not (run.path / ROSTER).exists()
    assert not list(run.path.rglob("identity.key"))


def test_each_proposal_is_a_fresh_one(run: RunFolder, config: Config) -> None:
    roster = load_roster(run.path / ROSTER)
    first, second = propose(config, roster), propose(config, roster)
    assert first.nonce != second.nonce
    assert first.metrics == ("loss",)
    assert first.layout == "32768x128,128"


# Policies


def test_a_policy_reads_back_as_it_was_written(tmp_path: Path) -> None:
    policy = Policy(b"r" * 32, b"c" * 32, "4x2,2", (16, 32), 10, 3, 20, ("auc_pr", "loss"), 4, RepetitionLimits(3, 40, 50))
    write_policy(PartnerFolder(tmp_path).policy, policy)
    assert read_policy(PartnerFolder(tmp_path).policy) == policy
    assert PartnerFolder(tmp_path).policy.read_text().startswith("# The least that this partner accepts")
    assert PartnerFolder(tmp_path).policy.stat().st_mode & 0o777 == 0o600


def test_limits_of_a_partners_own_updates_read_back_as_they_were_written(tmp_path: Path) -> None:
    policy = Policy(b"r" * 32, b"c" * 32, "4x2,2", (32,), 10, 3, 20, (), 4)
    write_policy(PartnerFolder(tmp_path).policy, policy, limits=LeakLimits(0.25, 77))
    assert read_limits(PartnerFolder(tmp_path).policy) == LeakLimits(0.25, 77)
    assert read_policy(PartnerFolder(tmp_path).policy) == policy


@pytest.mark.parametrize("key", [field.name for field in fields(PolicyFile)])
def test_a_policy_that_lost_a_line_is_an_error_and_never_a_laxer_one(run: RunFolder, key: str) -> None:
    path = PartnerFolder(run.partner("partner-1")).policy
    config = OmegaConf.load(path)
    assert isinstance(config, DictConfig)
    del config[key]
    path.write_text(OmegaConf.to_yaml(config))
    with pytest.raises(ConfigError, match=rf"partner-1/policy\.yaml lacks {key}$"):
        membership_of(run, "partner-1")


@pytest.mark.parametrize(
    ("overrides", "limits"),
    [
        ((), LeakLimits(most_identified=0.001, least_compounds=128)),
        (("model.hidden=[64,32]", "privacy.row_guard=2"), LeakLimits(most_identified=0.001, least_compounds=64)),
        (("privacy.row_guard=1",), LeakLimits(most_identified=1.0, least_compounds=0)),
        (("federation.metrics_shown=[]", "privacy.profile=record_dp"), LeakLimits(most_identified=1.0, least_compounds=0)),
        (("privacy.row_guard=0",), LeakLimits(most_identified=1.0, least_compounds=0)),
    ],
)
def test_with_the_row_guard_off_or_under_record_level_privacy_a_partner_is_told_and_refuses_nothing(
    tmp_path: Path, overrides: tuple[str, ...], limits: LeakLimits
) -> None:
    config = load_config(None, (*FIVE, *overrides))
    run = RunFolder.create(tmp_path / "run", config, "simulate")
    make_consortium(run, config)
    assert membership_of(run, "partner-2").limits == default_limits(config) == limits


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("most_identified: 0.001", "most_identified: 1.5"),
        ("survivor_lists: 2", "survivor_lists: 0"),
        ("sessions: ", "sessions: -"),
        ("cohort_changes: ", "cohort_changes: -"),
        ("most_identified: 0.001", "most_identified: -0.1"),
        ("most_identified: 0.001", "most_identified: .nan"),
        ("most_identified: 0.001", "most_identified: few"),
        ("least_compounds: 128", "least_compounds: -1"),
        ("least_compounds: 128", "least_compounds: 0.5"),
        ("rounds: 12", "rounds: many"),
        ("rounds: 12", "round: 12"),
        ("row_guard: 3", "row_guard:\n- 3"),
        ("roster: ", "roster: x"),
        ("layout: ", "layout: [unclosed"),
    ],
)
def test_an_unusable_policy_is_named(run: RunFolder, old: str, new: str) -> None:
    path = PartnerFolder(run.partner("partner-1")).policy
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))
    with pytest.raises(ConfigError, match=r"partner-1/policy\.yaml") as error:
        read_policy(path)
    assert error.value.hint


def test_a_value_that_a_person_wrote_wrongly_is_to_be_corrected_and_not_brought_back(run: RunFolder) -> None:
    path = PartnerFolder(run.partner("partner-1")).policy
    path.write_text(path.read_text().replace("survivor_lists: 2", "survivor_lists: 0"))
    with pytest.raises(ConfigError, match="survivor_lists is 0, not 1 or more") as error:
        read_policy(path)
    assert "correct that value there" in error.value.hint and "backup" not in error.value.hint


@pytest.mark.parametrize("missing", ["policy.yaml", "identity/identity.key"])
def test_a_missing_file_is_named(run: RunFolder, missing: str) -> None:
    membership_of(run, "partner-1")
    (run.partner("partner-1") / missing).unlink()
    with pytest.raises(ConfigError, match=f"partner-1/{missing}"):
        membership_of(run, "partner-1")


def test_a_missing_roster_is_named(run: RunFolder) -> None:
    (run.path / ROSTER).unlink()
    with pytest.raises(ConfigError, match=r"consortium\.yaml"):
        membership_of(run, "partner-1")


def test_a_policy_that_was_changed_is_read_again(run: RunFolder, config: Config) -> None:
    proposal = propose(config, load_roster(run.path / ROSTER))
    membership_of(run, "partner-1").policy.check(proposal)
    path = PartnerFolder(run.partner("partner-1")).policy
    path.write_text(path.read_text().replace("row_guard: 3", "row_guard: 50"))
    with pytest.raises(PolicyError, match="row guard 3"):
        membership_of(run, "partner-1").policy.check(proposal)


# What partners must have in common

SHARED = [
    *("chemistry.bits=4096", "chemistry.radius=2", "model.hidden=[64]", "model.dropout=0.1", "training.learning_rate=0.5"),
    *("training.batch_size=7", "privacy.row_guard=11", "privacy.word_bits=16", "privacy.range=0.5", "federation.rounds=99"),
    *("federation.server_learning_rate=0.25", "federation.initial_trunk=group_key", "federation.largest_weight=4"),
    *("seed=9", "evaluation.test_fold=3", "evaluation.validation_fold=4"),
]
OWN = [
    *("name=another", "runs=elsewhere", "data.tables=elsewhere", "tasks.min_per_class=3", "evaluation.min_per_class=3"),
    *("federation.round_timeout=9", "federation.min_partners=4", "federation.metrics_shown=[]", "chemistry.fold_key_file=key"),
]


@pytest.mark.parametrize("override", SHARED)
def test_what_the_trunk_depends_on_changes_the_digest(config: Config, override: str) -> None:
    assert configuration_digest(load_config(None, (*FIVE, override))) != configuration_digest(config)


@pytest.mark.parametrize("override", OWN)
def test_what_is_a_partners_own_does_not(config: Config, override: str) -> None:
    assert configuration_digest(load_config(None, (*FIVE, override))) == configuration_digest(config)


def test_the_default_policy_accepts_its_experiment_and_nothing_else(run: RunFolder, config: Config) -> None:
    roster = load_roster(run.path / ROSTER)
    policy = default_policy(config, roster)
    policy.check(propose(config, roster))
    for override in (*SHARED, "federation.metrics_shown=[loss,auc_pr]"):
        with pytest.raises(PolicyError):
            policy.check(propose(load_config(None, (*FIVE, override)), roster))


def test_shapes_and_layout_are_those_of_every_layer() -> None:
    config = load_config(None, ("chemistry.bits=256", "model.hidden=[8,4,2]"))
    assert trunk_shapes(config) == ((256, 8), (8,), (4, 8), (4,), (2, 4), (2,))
    assert layout(config) == "256x8,8,4x8,4,2x4,2"
