"""A site's own floor: what a kit brings is said in plain words, and nothing below the floor is installed or answered."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from flwr.app import Context, RecordDict
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from fedapp.config import load_config, to_yaml
from fedapp.consortium.policy_file import read_policy_file, write_policy_file
from fedapp.errors import ConfigError
from fedapp.partner.place import SITE, place
from fedapp.runtime.locks import LOCK
from fedapp.site.doctor import checks, protection
from fedapp.site.floor import DEFAULT, Floor, as_strict_as, check_floor, read_floor, shortfalls, terms_of, write_floor
from fedapp.site.folder import Site
from fedapp.site.kit.install import WEAKER, install
from fedapp.site.kit.make import make_kits
from fedapp.site.terms import Terms, in_words
from fedapp.storage.files import write_text
from tests.cli.test_cli import polyphony
from tests.site.kits import Founded, allow, found
from tests.site.saved_site import agree

OWN = """\
row_guard: 5
least_supporters: 4
least_partners: 4
colluders: 2
largest_weight: 1
endpoint_labels: 80
rounds: 50
survivor_lists: 3
sessions: 60
cohort_changes: 110
most_identified: 0.01
least_compounds: 0
epsilon: 2.0
delta: 1e-7
metrics_shown:
- loss
- auc_pr
"""
TERMS = Terms(
    consortium="four voices",
    partners=4,
    aggregation="secure",
    least_partners=3,
    colluders=1,
    largest_weight=1,
    initial_trunk="group_key",
    endpoint_labels=50,
    row_guard=20,
    least_supporters=3,
    profile="none",
    epsilon=8.0,
    delta=1e-6,
    rounds=20,
    survivor_lists=2,
    sessions=31,
    cohort_changes=50,
    metrics_shown=(),
    most_identified=0.001,
    least_compounds=400,
    word_bits=(32,),
    width=400,
)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    founded = found(tmp_path_factory.mktemp("floor") / "founded")
    founded.kits("kits")
    return founded.path


@pytest.fixture
def founded(template: Path, tmp_path: Path) -> Founded:
    shutil.copytree(template, tmp_path / "founded")
    return Founded(tmp_path / "founded")


@pytest.fixture
def kit(founded: Founded) -> Path:
    """A kit of the default protection, for gamma."""
    return founded.path / "kits" / "gamma"


@pytest.fixture
def site(founded: Founded) -> Path:
    return founded.path / "gamma"


def change_policy(kit: Path, **fields: object) -> None:
    path = kit / "policy.yaml"
    write_policy_file(path, replace(read_policy_file(path), **fields))  # type: ignore[arg-type]


def change_experiment(kit: Path, *overrides: str) -> None:
    """Another experiment, which the policy beside it names."""
    write_text(kit / "config.yaml", to_yaml(load_config(kit / "config.yaml", overrides)))
    agree(Site.open(kit))


def contents(folder: Path) -> dict[Path, bytes]:
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != LOCK}


# The first installation


def test_the_first_installation_makes_a_floor_with_every_key_explained_for_its_owner_alone(kit: Path, site: Path) -> None:
    install(kit, site)
    assert read_floor(site / "floor.yaml") == DEFAULT == Floor(20, 3, 3, 1, 1, 50, 100, 2, 210, 210, 0.001, None, 8.0, 1e-6, [])
    text = (site / "floor.yaml").read_text()
    assert all("  # " in line for line in text.splitlines() if not line.startswith("#"))
    assert (site / "floor.yaml").stat().st_mode & 0o777 == 0o600


def test_a_floor_that_is_there_already_is_the_one_that_counts_and_stays_to_the_letter(kit: Path, site: Path) -> None:
    site.mkdir()
    (site / "floor.yaml").write_text(
        "# ours\n"
        + OWN.replace("least_partners: 4", "least_partners: 3")
        .replace("colluders: 2", "colluders: 1")
        .replace("supporters: 4", "supporters: 3")
    )
    before = (site / "floor.yaml").read_bytes()
    install(kit, site)
    install(kit, site)
    assert (site / "floor.yaml").read_bytes() == before


BELOW = {
    "row guard off": ({"row_guard": 0}, (), "row guard: a row guard of 0, less than the 20 of row_guard"),
    "guard of the experiment alone": ({}, ("privacy.row_guard=3",), "row guard: a row guard of 3"),
    "guard of the policy alone": ({"row_guard": 3}, (), "row guard: a row guard of 3"),
    "rows of two supporters in the experiment": (
        {},
        ("privacy.least_supporters=2",),
        "supporters: rows of 2 supporters are sent, fewer than",
    ),
    "rows of two supporters in the policy": ({"least_supporters": 2}, (), "supporters: rows of 2 supporters are sent, fewer than the 3 of"),
    "metrics shown": ({"metrics_shown": ["auc_pr", "loss"]}, (), "metrics: the coordinator learns the mean of auc_pr and loss"),
    "a metric of the experiment": ({}, ("federation.metrics_shown=[loss]",), "metrics: the coordinator learns the mean of loss"),
    "self-audit off": (
        {"most_identified": 1.0},
        (),
        "self-audit: updates may name 100\u00a0% of the own compounds, beyond the 0.1\u00a0% of most_identified",
    ),
    "few compounds": ({"least_compounds": 0}, (), "self-audit: updates of 0 compounds may leave, fewer than the 8 of least_compounds"),
    "weights by labels": ({}, ("federation.largest_weight=4",), "weights: weights up to 4, beyond the 1 of largest_weight"),
    "rounds": ({"rounds": 5000}, (), "rounds: 5,000 rounds, more than the 100 of rounds"),
    "no masks": (
        {},
        ("aggregation=plain", "federation.initial_trunk=seed"),
        "aggregation: aggregation is plain, and at a site it is secure",
    ),
    "much epsilon": ({}, ("privacy.profile=record_dp", "privacy.epsilon=90"), "noise: an epsilon of 90, more than 8"),
    "much delta": ({}, ("privacy.profile=record_dp", "privacy.delta=0.001"), "noise: a delta of 0.001"),
    "noise without a guarantee in place of the guard": (
        {"row_guard": 0},
        ("privacy.profile=reconstruction_noise", "privacy.row_guard=0"),
        "row guard: a row guard of 0",
    ),
}


@pytest.mark.parametrize("case", BELOW)
def test_a_kit_below_the_floor_is_refused_with_what_is_below_and_leaves_the_floor_alone_at_a_new_site(
    case: str, kit: Path, site: Path
) -> None:
    fields, overrides, told = BELOW[case]
    change_experiment(kit, *overrides)
    change_policy(kit, **fields)
    with pytest.raises(ConfigError) as caught:
        install(kit, site)
    assert told in str(caught.value)
    assert str(site / "floor.yaml") in caught.value.hint
    assert {str(path) for path in contents(site)} == {"floor.yaml"}


def test_a_roster_whose_threshold_leaves_single_updates_to_fewer_colluders_than_the_floor_says_is_refused(kit: Path, site: Path) -> None:
    site.mkdir()
    write_floor(site / "floor.yaml", replace(DEFAULT, colluders=2))
    with pytest.raises(ConfigError, match="sums: with 2 of the partners the coordinator may learn single updates"):
        install(kit, site)


def test_a_first_trunk_that_whoever_made_the_kit_knows_is_said_and_is_weaker(founded: Founded, kit: Path, site: Path) -> None:
    install(kit, site)
    assert in_words(terms_of(Site.open(site)))["first trunk"] == "drawn from the partners' common secret"
    change_experiment(kit, "federation.initial_trunk=seed")
    told, digest = install(kit, site)
    assert told.startswith("first trunk: ") and told.endswith(WEAKER)
    assert digest.startswith("configuration: ")


def test_a_site_in_use_keeps_all_that_it_has_when_a_kit_below_its_floor_comes(founded: Founded, kit: Path, site: Path) -> None:
    install(kit, site)
    before = contents(site)
    weak = founded.kits("weak", "privacy.row_guard=0", "federation.metrics_shown=[loss, auc_pr]")
    with pytest.raises(ConfigError, match="metrics: .*row guard: .*self-audit: "):
        install(weak / "gamma", site)
    assert contents(site) == before


def test_who_lowers_the_own_floor_may_install_it_and_is_told_that_it_is_weaker(founded: Founded, kit: Path, site: Path) -> None:
    install(kit, site)
    weak = founded.kits("weak", "privacy.row_guard=3") / "gamma"
    write_floor(site / "floor.yaml", replace(DEFAULT, row_guard=3))
    (told, digest) = install(weak, site)
    assert told.startswith("row guard: from “20: a row is sent") and told.endswith(WEAKER)
    assert digest.startswith("configuration: ")


def test_what_gets_stronger_is_told_without_that_mark(founded: Founded, kit: Path, site: Path) -> None:
    install(kit, site)
    for changed in install(founded.kits("strong", "privacy.row_guard=50", "federation.rounds=4") / "gamma", site):
        assert not changed.endswith(WEAKER)


def test_a_kit_that_brings_a_floor_is_refused_and_changes_nothing(kit: Path, site: Path) -> None:
    install(kit, site)
    before = contents(site)
    write_floor(kit / "floor.yaml", replace(DEFAULT, row_guard=0))
    with pytest.raises(ConfigError, match="a kit has no floor.yaml"):
        install(kit, site)
    assert contents(site) == before


def test_whoever_makes_kits_below_the_floor_that_sites_begin_with_is_told_so(
    founded: Founded, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("kit", "new", str(founded.roster), "privacy.row_guard=3", "--superlink", "localhost:9092", "--out", str(founded.path / "made"))
    assert polyphony(monkeypatch, *words) == 0
    told = "a row guard of 3, less than the 20 of row_guard"
    assert f"warning: sites begin with a floor.yaml that refuses these kits, unless they lower it: {told}" in capsys.readouterr().err


def test_whoever_makes_kits_with_more_repetition_than_sites_begin_with_is_told_that_the_sites_keep_to_less(
    founded: Founded, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (
        "kit",
        "new",
        str(founded.roster),
        "federation.rounds=110",
        "--superlink",
        "localhost:9092",
        "--out",
        str(founded.path / "made"),
    )
    assert polyphony(monkeypatch, *words) == 0
    err = capsys.readouterr().err
    assert "refuses these kits, unless they lower it: 110 rounds, more than the 100 of rounds" in err
    assert "warning: sites keep to the tighter limits of the floor.yaml that they begin with: " in err
    assert "230 cohort changes, more than the 210 of cohort_changes" in err


def test_a_roster_that_tolerates_more_colluders_than_supporters_hold_against_is_told_of(
    founded: Founded, site: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("kit", "new", str(founded.roster), "--superlink", "localhost:9092", "--out")
    assert polyphony(monkeypatch, *words, str(founded.path / "of four")) == 0
    assert "least_supporters" not in capsys.readouterr().err
    install(founded.path / "of four" / "gamma", site)
    assert protection.supporters(Site.open(site)).state is checks.CheckState.OK
    founded.join("epsilon")
    assert polyphony(monkeypatch, *words, str(founded.path / "of five")) == 0
    told = "rows of 3 supporters are sent, of whom 2 together find the last one's, and 2 partners may work together"
    assert f"warning: {told}" in (err := capsys.readouterr().err)
    assert "privacy.least_supporters=4 holds against them" in err
    install(founded.path / "of five" / "gamma", site)
    found = protection.supporters(Site.open(site))
    assert found.state is checks.CheckState.WARN
    assert found.told.startswith(told)
    assert polyphony(monkeypatch, *words, str(founded.path / "of four each"), "privacy.least_supporters=4") == 0
    assert "least_supporters" not in capsys.readouterr().err
    install(founded.path / "of four each" / "gamma", site)
    assert protection.supporters(Site.open(site)).state is checks.CheckState.OK


def test_no_kit_that_is_made_has_a_floor(founded: Founded) -> None:
    make_kits(founded.plan(), founded.path / "made")
    assert not list((founded.path / "made").rglob("floor.yaml"))


def test_the_coordinator_has_nothing_to_protect_and_gets_no_floor(founded: Founded) -> None:
    weak = founded.kits("weak", "privacy.row_guard=0")
    install(weak / "coordinator", founded.path / "site")
    assert not (founded.path / "site" / "floor.yaml").exists()


def test_the_command_says_all_that_is_accepted_in_plain_words_marks_what_is_weaker_and_names_the_remedy(
    founded: Founded, kit: Path, site: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert polyphony(monkeypatch, "kit", "install", str(kit), str(site)) == 0
    out = capsys.readouterr().out
    for told in (
        "aggregation  updates leave under masks, and the coordinator can read none of them",
        "sums         of 3 or more of the 4 partners of four voices; no more than 1 of them may work with the coordinator",
        "weights      all partners count alike",
        "self-audit   an update stays at home if it names more than 0.1\u00a0% of our training compounds or is of fewer than 8",
        "words        32 bits",
    ):
        assert f"accepts  {told}" in out
    weak = founded.kits("weak", "federation.metrics_shown=[loss]") / "gamma"
    assert polyphony(monkeypatch, "kit", "install", str(weak), str(site)) == 1
    err = capsys.readouterr().err
    assert "metrics_shown does not have" in err
    assert f"edit {site / 'floor.yaml'}, and install again" in err
    allow(weak, site)
    assert polyphony(monkeypatch, "kit", "install", str(weak), str(site)) == 0
    assert "WEAKER   metrics: from “none leaves”" in capsys.readouterr().out


# Limits of repetition, which bind this partner alone


def test_limits_of_repetition_that_the_floor_makes_tighter_hold_under_every_kit_and_are_said(
    founded: Founded, kit: Path, site: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install(kit, site)
    write_floor(site / "floor.yaml", replace(DEFAULT, sessions=5, cohort_changes=1, survivor_lists=1))
    with pytest.raises(ConfigError, match="34 cohort changes, more than the 1 of cohort_changes") as caught:
        check_floor(Site.open(site))
    assert "install the kit in use again" in caught.value.hint
    capsys.readouterr()
    for kits in (kit, kit, founded.kits("longer", "federation.rounds=40") / "gamma"):
        assert polyphony(monkeypatch, "kit", "install", str(kits), str(site)) == 0
        out = capsys.readouterr().out
        assert "yours    sessions: 5 of floor.yaml, tighter than the kit's " in out
        assert "yours    cohort_changes: 1 of floor.yaml, tighter than the kit's " in out
        assert "yours    survivor_lists: 1 of floor.yaml, tighter than the kit's 2" in out
        assert "we sign 1 survivor list of a round, join 5 sessions and accept 1 cohort change at most" in out
        check_floor(Site.open(site))
        held = read_policy_file(site / "policy.yaml")
        assert (held.survivor_lists, held.sessions, held.cohort_changes) == (1, 5, 1)


def test_limits_of_repetition_that_the_kit_makes_tighter_are_the_kits(kit: Path, site: Path) -> None:
    change_policy(kit, survivor_lists=1, sessions=7, cohort_changes=0)
    assert install(kit, site) == []
    held = read_policy_file(site / "policy.yaml")
    assert (held.survivor_lists, held.sessions, held.cohort_changes) == (1, 7, 0)


def test_a_kit_with_more_repetition_than_a_new_sites_floor_is_taken_with_the_floors_limits(kit: Path, site: Path) -> None:
    change_policy(kit, survivor_lists=3, sessions=1000, cohort_changes=211)
    assert install(kit, site) == [
        "survivor_lists: 2 of floor.yaml, tighter than the kit's 3",
        "sessions: 210 of floor.yaml, tighter than the kit's 1,000",
        "cohort_changes: 210 of floor.yaml, tighter than the kit's 211",
    ]
    check_floor(Site.open(site))


# A floor that was lost


def test_a_floor_that_was_lost_comes_back_by_no_installation_but_as_doctor_says_and_with_a_warning(
    founded: Founded, kit: Path, site: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install(founded.kits("strict", "privacy.row_guard=50") / "gamma", site)
    strict = site / "floor.yaml"
    write_floor(strict, replace(DEFAULT, row_guard=50))
    with pytest.raises(ConfigError, match="a row guard of 20, less than the 50"):
        install(kit, site)
    strict.unlink()
    with pytest.raises(ConfigError, match=r"no .*floor\.yaml") as asked:
        protection.floor(Site.open(site))
    way = f"`polyphony kit install KIT {site.resolve()} --new-floor` makes one with the defaults"
    assert way in asked.value.hint
    before = contents(site)
    assert polyphony(monkeypatch, "kit", "install", str(kit), str(site)) == 1
    err = capsys.readouterr().err
    assert f"no {site / 'floor.yaml'}" in err and "--new-floor" in err
    assert contents(site) == before
    words = way.split("`")[1].replace("KIT", str(kit)).split()[1:]
    assert polyphony(monkeypatch, *words) == 0
    assert "WEAKER   floor: there was none; " in capsys.readouterr().out
    assert read_floor(strict) == DEFAULT
    assert protection.floor(Site.open(site)).state is checks.CheckState.OK


def test_a_link_to_a_floor_that_is_not_there_is_a_lost_floor_at_a_new_site_too(kit: Path, site: Path) -> None:
    site.mkdir()
    (site / "floor.yaml").symlink_to(site / "nowhere.yaml")
    with pytest.raises(ConfigError, match=r"no .*floor\.yaml"):
        install(kit, site)
    (told,) = install(kit, site, new_floor=True)
    assert told.endswith(WEAKER)
    assert read_floor(site / "floor.yaml") == DEFAULT


def test_a_new_floor_takes_the_place_of_none_that_is_there(kit: Path, site: Path) -> None:
    install(kit, site, new_floor=True)
    write_floor(site / "floor.yaml", replace(DEFAULT, rounds=50))
    assert install(kit, site, new_floor=True) == []
    assert read_floor(site / "floor.yaml").rounds == 50


# The file


def test_a_misspelt_key_of_a_floor_is_named_with_the_one_that_is_lacking(kit: Path, site: Path) -> None:
    install(kit, site)
    path = site / "floor.yaml"
    path.write_text(path.read_text().replace("row_guard:", "row_gaurd:"))
    with pytest.raises(ConfigError, match=r"floor\.yaml lacks row_guard, and has 'row_gaurd', which it cannot have") as caught:
        check_floor(Site.open(site))
    assert caught.value.hint.startswith("correct it there")


DAMAGED = {
    "empty": "",
    "a comment alone": "# ours\n",
    "cut off": OWN[:30],
    "one key alone": "row_guard: 20\n",
    "a key too many": OWN + "speed: 9\n",
    "a list": "- row_guard\n",
    "no YAML": "row_guard: [\n",
    "a word for a number": OWN.replace("row_guard: 5", "row_guard: many"),
    "less than nothing": OWN.replace("row_guard: 5", "row_guard: -1"),
    "no session at all": OWN.replace("sessions: 60", "sessions: 0"),
    "no share": OWN.replace("0.01", "1.5"),
    "no number": OWN.replace("0.01", ".nan"),
    "no number of epsilon": OWN.replace("2.0", ".nan"),
    "an unknown metric": OWN.replace("- loss", "- accuracy"),
    "bytes": "\x00\x01",
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_floor_fails_closed_and_is_not_replaced(case: str, kit: Path, site: Path) -> None:
    install(kit, site)
    (site / "floor.yaml").write_text(DAMAGED[case])
    for refused in (lambda: check_floor(Site.open(site)), lambda: install(kit, site)):
        with pytest.raises(ConfigError, match=r"floor\.yaml") as caught:
            refused()
        assert caught.value.hint
    assert (site / "floor.yaml").read_text() == DAMAGED[case]


def test_a_floor_that_was_cut_anywhere_is_refused_or_asks_for_no_less_than_the_whole_one(tmp_path: Path) -> None:
    path = tmp_path / "floor.yaml"
    path.write_text(OWN)
    whole, read = read_floor(path), []
    for length in range(len(OWN)):
        path.write_text(OWN[:length])
        try:
            read.append(read_floor(path))
        except ConfigError:
            continue
    assert all(replace(held, metrics_shown=whole.metrics_shown) == whole for held in read)
    assert all(set(held.metrics_shown) <= set(whole.metrics_shown) for held in read)
    assert len(read) < 12


@pytest.mark.parametrize("floor", [DEFAULT, Floor(5, 4, 4, 2, 8, 10, 50, 3, 60, 110, 1.0, 0, 2.0, 1e-9, ["loss", "auc_pr"])])
def test_a_floor_that_is_written_is_read_back(floor: Floor, tmp_path: Path) -> None:
    write_floor(tmp_path / "floor.yaml", floor)
    assert read_floor(tmp_path / "floor.yaml") == floor


# At run time


def put_in_service(kit: Path, site: Path) -> Site:
    install(kit, site)
    return Site.open(site)


def test_no_request_is_answered_while_policy_or_experiment_lie_below_the_floor(kit: Path, site: Path) -> None:
    own = put_in_service(kit, site)
    context = Context(1, 2, {SITE: str(site)}, RecordDict(), {})
    with pytest.raises(ConfigError, match="has no dataset yet"):  # the floor holds, and this is what comes next
        place(context)
    change_policy(site, row_guard=3)
    with pytest.raises(ConfigError, match=r"lie below .*floor\.yaml: a row guard of 3"):
        place(context)
    change_policy(site, row_guard=20)
    change_experiment(site, "aggregation=plain", "federation.initial_trunk=seed")
    with pytest.raises(ConfigError, match="aggregation is plain"):
        place(context)
    change_experiment(site, "aggregation=secure")
    own.floor.unlink()
    with pytest.raises(ConfigError, match=r"no .*floor\.yaml"):
        place(context)


def test_doctor_compares_policy_and_experiment_with_the_floor(kit: Path, site: Path) -> None:
    own = put_in_service(kit, site)
    assert protection.floor(own) == checks.ok(f"policy and experiment hold {own.floor}: row guard 20, 3 supporters a row, no metric shown")
    change_policy(site, metrics_shown=["loss"])
    with pytest.raises(ConfigError, match="mean of loss"):
        protection.floor(own)
    write_floor(own.floor, replace(DEFAULT, metrics_shown=["loss"]))
    found = protection.floor(own)
    assert found.state is checks.CheckState.WARN
    assert "weaker terms than the defaults: the coordinator learns the mean of loss" in found.told


# The comparison


some_terms = st.builds(
    replace,
    st.just(TERMS),
    least_partners=st.integers(3, 5),
    colluders=st.integers(0, 3),
    largest_weight=st.sampled_from((1, 4, 256)),
    initial_trunk=st.sampled_from(("seed", "group_key")),
    endpoint_labels=st.none() | st.integers(1, 100),
    row_guard=st.integers(0, 30),
    least_supporters=st.integers(2, 5),
    rounds=st.integers(1, 200),
    survivor_lists=st.integers(1, 4),
    sessions=st.integers(1, 400),
    cohort_changes=st.integers(1, 400),
    metrics_shown=st.sets(st.sampled_from(("auc_pr", "loss"))).map(lambda held: tuple(sorted(held))),
    most_identified=st.floats(0, 1),
    least_compounds=st.integers(0, 900),
    profile=st.sampled_from(("none", "record_dp", "reconstruction_noise")),
    epsilon=st.floats(0.1, 50),
    delta=st.floats(1e-9, 1e-2),
)


@given(some_terms)
def test_terms_reach_the_floor_that_is_as_strict_as_they_are(terms: Terms) -> None:
    assert shortfalls(terms, as_strict_as(terms)) == {}


@given(some_terms, some_terms)
def test_a_floor_is_reached_by_terms_that_are_as_strict_in_everything_and_by_no_others(one: Terms, other: Terms) -> None:
    floor = as_strict_as(replace(one, profile="none"))
    terms = replace(other, profile="none")
    weaker = (
        terms.least_partners < one.least_partners
        or terms.colluders < one.colluders
        or terms.largest_weight > one.largest_weight
        or terms.row_guard < one.row_guard
        or terms.least_supporters < one.least_supporters
        or (terms.endpoint_labels is not None and terms.endpoint_labels < floor.endpoint_labels)
        or terms.rounds > one.rounds
        or terms.survivor_lists > one.survivor_lists
        or terms.sessions > one.sessions
        or terms.cohort_changes > one.cohort_changes
        or not set(terms.metrics_shown) <= set(one.metrics_shown)
        or terms.most_identified > one.most_identified
        or terms.least_compounds < one.least_compounds
    )
    assert bool(shortfalls(terms, floor)) == weaker


@given(some_terms)
def test_every_term_has_a_sentence_and_every_shortfall_is_of_one(terms: Terms) -> None:
    told = in_words(terms)
    assert all(told.values())
    assert shortfalls(terms, DEFAULT).keys() <= told.keys()


def test_under_noise_with_a_guarantee_neither_guard_nor_self_audit_is_asked_for() -> None:
    noisy = replace(TERMS, profile="record_dp", row_guard=0, most_identified=1.0, least_compounds=0)
    assert shortfalls(noisy, DEFAULT) == {}
    assert "epsilon 8 at delta 1e-06" in in_words(noisy)["noise"]
    assert "guarantees nothing" in in_words(replace(TERMS, profile="reconstruction_noise"))["noise"]


def test_the_kit_that_ships_by_default_reaches_the_floor_that_ships(founded: Founded, kit: Path) -> None:
    assert shortfalls(terms_of(Site.open(kit)), DEFAULT) == {}
    shipped = OmegaConf.load(Path(__file__).parents[2] / "conf" / "default.yaml").privacy
    assert (shipped.row_guard, shipped.least_supporters) == (DEFAULT.row_guard, DEFAULT.least_supporters)
