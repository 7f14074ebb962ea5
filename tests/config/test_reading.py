"""Configuration: one file, overrides, and errors that name the key."""

from pathlib import Path

import pytest

from fedapp.config import CONF, Config, load_config, saved_config, shipped, to_yaml
from fedapp.errors import ConfigError


def test_without_a_file_the_demo_is_configured() -> None:
    assert load_config().name == "demo"


@pytest.mark.parametrize("name", shipped())
def test_every_experiment_that_ships_is_valid(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYPHONY_DATA", "anywhere")
    assert isinstance(load_config(CONF.parent / name), Config)


def test_an_override_wins_over_the_file() -> None:
    assert load_config(None, ("federation.rounds=3",)).federation.rounds == 3


def test_the_effective_configuration_reads_back_the_same(tmp_path: Path) -> None:
    config = load_config(None, ("model.hidden=[7,5]", "federation.metrics_shown=[loss]"))
    (tmp_path / "config.yaml").write_text(to_yaml(config))
    assert saved_config(tmp_path / "config.yaml") == load_config(tmp_path / "config.yaml") == config


@pytest.mark.parametrize("line", range(len(to_yaml(load_config()).splitlines())))
def test_a_saved_configuration_that_lost_a_line_is_an_error_and_never_the_default(tmp_path: Path, line: int) -> None:
    path, lines = tmp_path / "config.yaml", to_yaml(load_config()).splitlines(keepends=True)
    if lines[line].lstrip().startswith("- "):
        return  # one item of a list fewer is another list
    path.write_text("".join(lines[:line] + lines[line + 1 :]))
    with pytest.raises(ConfigError, match=r"config\.yaml"):
        saved_config(path)


@pytest.mark.parametrize("text", ["", "\n", "{}", "null", "[]", "just words", "name: joint\n", "\x00"])
def test_a_saved_configuration_with_little_in_it_is_an_error_that_names_the_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"config\.yaml") as caught:
        saved_config(tmp_path / "config.yaml")
    assert "backup" in caught.value.hint


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("federation.round=3", "round"),
        ("colour=blue", "colour"),
        ("federation.rounds=many", "many"),
        ("federation.rounds=0", "federation.rounds is 0"),
        ("data.partners=1", "data.partners is 1"),
        ("model.hidden=[]", "model.hidden"),
        ("model.hidden=[0]", "model.hidden"),
        (f"model.hidden={[1] * 129}", "model.hidden has 129 widths"),
        ("model.hidden=[[1]]", "model.hidden is [[1]], not a list of numbers"),
        ("model.hidden={a: 1}", "model.hidden={a: 1}: Cannot merge"),
        ("tasks.thresholds=[5,[6]]", "tasks.thresholds is"),
        ("audit.epsilons={a: 1}", "audit.epsilons={a: 1}: Cannot merge"),
        ("evaluation.test_fold=5", "evaluation.test_fold is 5"),
        ("evaluation.test_fold=1", "validation_fold are both 1"),
        ("federation.min_partners=9", "federation.min_partners is 9"),
        ("federation.metrics_shown=[tasks]", "tasks"),
        ("aggregation=magic", "magic"),
        ("data.partners=2", "data.partners is 2, and secure aggregation needs 3"),
        ("federation.initial_trunk=zeros", "federation.initial_trunk is 'zeros'"),
        ("federation.largest_weight=3", "federation.largest_weight is 3, not a power of two"),
        ("federation.largest_weight=512", "federation.largest_weight is 512"),
        ("federation.session_rounds=0", "federation.session_rounds is 0"),
        ("privacy.word_bits=24", "privacy.word_bits is 24"),
        ("privacy.range=0.3", "privacy.range is 0.3, not a power of two"),
        ("privacy.range=32", "privacy.range is 32.0, not within"),
        ("tasks.thresholds=[6,1000]", "tasks.thresholds is [6.0, 1000.0], not within 0 to 16"),
        ("privacy.row_guard=-1", "privacy.row_guard is -1"),
        ("privacy.profile=private", "privacy.profile is 'private'"),
        ("privacy.clipping_norm=0", "privacy.clipping_norm is 0"),
        ("privacy.noise_multiplier=0", "privacy.noise_multiplier is 0"),
        ("privacy.epsilon=0", "privacy.epsilon is 0"),
        ("privacy.delta=0", "privacy.delta is 0"),
        ("privacy.delta=0.1", "privacy.delta is 0.1"),
    ],
)
def test_a_wrong_override_is_an_error_that_names_it(override: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words.replace("[", "\\[")):
        load_config(None, (override,))


def test_thresholds_that_are_concentrations_are_told_what_to_be() -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(None, ("tasks.thresholds=[1000]",))
    assert "for 1000 nM write 6" in caught.value.hint


def test_aggregation_is_secure_and_guards_rows_unless_told_otherwise() -> None:
    config = load_config(CONF / "default.yaml")
    assert config.aggregation == "secure"
    assert config.privacy.row_guard > 1
    assert config.federation.metrics_shown == []


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("federation.metrics_shown=[loss]", "federation.metrics_shown is .*metrics get no noise"),
        ("federation.largest_weight=4", "federation.largest_weight is 4, and weights tell"),
        ("privacy.noise_multiplier=0.1", "privacy.noise_multiplier is 0.1, too little"),
    ],
)
def test_record_level_privacy_refuses_what_would_leave_beside_it(override: str, words: str) -> None:
    load_config(None, ("privacy.profile=reconstruction_noise", override))
    assert load_config(None, ("privacy.profile=record_dp",)).privacy.profile == "record_dp"
    with pytest.raises(ConfigError, match=words) as error:
        load_config(None, ("privacy.profile=record_dp", override))
    assert error.value.hint


def test_there_is_no_noise_unless_asked_for() -> None:
    assert load_config(CONF / "default.yaml").privacy.profile == "none"


def test_plain_aggregation_makes_do_with_two_partners_and_has_no_group_key() -> None:
    assert load_config(None, ("aggregation=plain", "data.partners=2", "privacy.least_supporters=2")).data.partners == 2
    assert load_config(None, ("aggregation=plain", "data.partners=2", "privacy.row_guard=0")).data.partners == 2
    with pytest.raises(ConfigError, match="plain aggregation has no group key") as error:
        load_config(None, ("aggregation=plain", "federation.initial_trunk=group_key"))
    assert error.value.hint == "use seed"


def test_two_partners_are_told_why_they_are_too_few() -> None:
    with pytest.raises(ConfigError) as error:
        load_config(None, ("data.partners=2",))
    assert error.value.hint == "with two, each knows the other's update from the sum"


def test_a_missing_file_names_the_ones_that_ship(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no configuration file") as error:
        load_config(tmp_path / "nothing.yaml")
    assert "conf/fsmol.yaml" in error.value.hint


def test_a_file_that_is_not_yaml_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text("name: [unclosed")
    with pytest.raises(ConfigError, match=r"broken\.yaml"):
        load_config(tmp_path / "broken.yaml")


def test_an_unset_environment_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("POLYPHONY_DATA", raising=False)
    with pytest.raises(ConfigError, match="POLYPHONY_DATA"):
        load_config(CONF / "fsmol.yaml")


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("federation.rounds=5.5", "command line, federation.rounds=5.5: federation.rounds"),
        ("federation.rounds=0", "command line, federation.rounds=0: federation.rounds is 0"),
        ("federation={rounds: 0}", "command line, federation={rounds: 0}: federation.rounds is 0"),
        ("federation.speed=9", "command line, federation.speed=9: federation.speed"),
        ("evaluation.test_fold=1", "command line, evaluation.test_fold=1: "),
        ("tasks.thresholds=[6,x]", "command line, tasks.thresholds=[6,x]: tasks.thresholds[1]"),
        ("=3", "command line, =3: "),
        ("tasks.thresholds=[6", "command line, tasks.thresholds=[6: "),
    ],
)
def test_an_error_in_an_override_says_that_it_came_from_the_command_line(override: str, words: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_config(None, (override,))
    assert str(error.value).startswith(words)


def test_an_error_in_a_file_is_not_blamed_on_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("federation: {rounds: 0}\n")
    with pytest.raises(ConfigError, match=r"^.*mine\.yaml: federation\.rounds is 0"):
        load_config(tmp_path / "mine.yaml", ("seed=2",))


@pytest.mark.parametrize("text", ["007", "1e3", "no", "2026-01-01", "a: b", "#1", "~", "my data"])
def test_text_on_the_command_line_is_taken_as_it_stands(text: str) -> None:
    assert load_config(None, (f"data.tables={text}",)).data.tables == text
    assert load_config(None, (f"tasks.group_by={text}",)).tasks.group_by == text


@pytest.mark.parametrize("text", ["007", "1e3", "no"])
@pytest.mark.parametrize("line", ["data: {{tables: {}}}", "data: {{tables: [a, b, {}]}}", "tasks: {{group_by: {}}}", "name: {}"])
def test_text_that_yaml_reads_as_something_else_must_be_in_quotes(text: str, line: str, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(line.format(text))
    with pytest.raises(ConfigError, match="put it in quotes"):
        load_config(tmp_path / "mine.yaml")
    (tmp_path / "mine.yaml").write_text(line.format(f'"{text}"'))
    assert text in str(load_config(tmp_path / "mine.yaml"))


@pytest.mark.parametrize("content", ["", "# nothing\n", "- a\n", "text\n", "a: 1\na: 2\n"])
def test_a_file_that_sets_nothing_never_becomes_the_defaults(content: str, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(content)
    with pytest.raises(ConfigError, match=r"mine\.yaml"):
        load_config(tmp_path / "mine.yaml")


@pytest.mark.parametrize(
    "override", ["tasks.thresholds=[5,nan]", "tasks.thresholds=[5000]", "tasks.thresholds=[-inf]", "audit.epsilons=[nan]"]
)
def test_each_number_of_a_list_is_within_its_range(override: str) -> None:
    with pytest.raises(ConfigError, match="not within"):
        load_config(None, (override,))


@pytest.mark.parametrize("override", ["seed=-1", "seed=9223372036854775808", "name=a/b", "name=..", "name=", "data.tables=", "runs="])
def test_what_would_fail_later_is_refused_at_once(override: str) -> None:
    with pytest.raises(ConfigError, match=override.partition("=")[0].replace(".", r"\.")):
        load_config(None, (override,))


def test_an_experiment_that_ships_is_found_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_config(Path("conf/demo.yaml")).federation.rounds == load_config().federation.rounds
    Path("conf").mkdir()
    Path("conf/demo.yaml").write_text("federation: {rounds: 3}\n")
    assert load_config(Path("conf/demo.yaml")).federation.rounds == 3, "one's own comes first"


def test_a_list_of_tables_has_a_partner_for_each() -> None:
    config = load_config(None, ("data.tables=[alpha, 007, gamma]",))
    assert (config.data.tables, config.data.partners) == (["alpha", "007", "gamma"], 3)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (("data.tables=[a,b,c]", "data.partners=4"), "names 3 folders, and data.partners is 4"),
        (("data.tables=[a,b,./a]",), "names one folder twice"),
        (("data.tables=[a,b]",), "secure aggregation needs 3"),
        (("data.tables=[]",), "data.partners is 0"),
        (("data.tables=null",), "data.tables is None"),
    ],
)
def test_a_list_of_tables_that_cannot_be_is_refused(overrides: tuple[str, ...], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        load_config(None, overrides)
