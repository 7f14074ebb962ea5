"""Configuration: one file, overrides, and errors that name the key."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from fedapp.config import CONF, Config, flatten, load_config, shipped, to_yaml
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
    assert load_config(tmp_path / "config.yaml") == config


def test_default_yaml_gives_every_key_and_no_other() -> None:
    held = OmegaConf.to_container(OmegaConf.load(CONF / "default.yaml"))
    assert isinstance(held, dict)
    keys = {
        f"{key}.{inner}" if isinstance(value, dict) else key
        for key, value in held.items()
        for inner in (value if isinstance(value, dict) else "x")
    }
    assert keys == set(flatten(load_config()))


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
        ("evaluation.test_fold=5", "evaluation.test_fold is 5"),
        ("evaluation.test_fold=1", "validation_fold are both 1"),
        ("federation.min_partners=9", "federation.min_partners is 9"),
        ("federation.metrics_shown=[tasks]", "tasks"),
        ("aggregation=magic", "magic"),
    ],
)
def test_a_wrong_override_is_an_error_that_names_it(override: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words.replace("[", "\\[")):
        load_config(None, (override,))


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
