"""How an experiment is read: the defaults, its file over them, the words of the command line over both."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache, lru_cache
from pathlib import Path

import yaml
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from fedapp.config.options import OPTIONS, Config
from fedapp.config.rules import Origin, check
from fedapp.errors import ConfigError
from fedapp.storage.damage import DamagedFileError
from fedapp.storage.sealed_text import check_text, sealed_text
from fedapp.storage.yaml_file import read_whole

CONF = Path(__file__).resolve().parents[2] / "conf"
CATALOGUE = "catalogue.yaml"  # in a run's folder, a kit and a site


TEXT_KEYS = {key for key, option in OPTIONS.items() if option.holds_text()}


def load_config(path: Path | None = None, overrides: tuple[str, ...] = ()) -> Config:
    """Read one experiment: `conf/default.yaml`, then the file at `path`, then `key=value` overrides.

    A value of a key that holds text is taken as it stands: `data.tables=007` names the folder 007.

    Args:
        path: A YAML file; None means `conf/demo.yaml`. `conf/NAME.yaml` that is not there is the one that ships.
        overrides: Such as `federation.rounds=5`.
    Raises:
        ConfigError: Unreadable file, unknown key, wrong type or value out of range; the message names the key, and the file or
            the words of the command line that set it.
    """
    path = find_experiment(CONF / "demo.yaml" if path is None else path)
    merged = defaults()
    with named_errors(str(path)):
        merged = DictConfig(OmegaConf.merge(merged, read_layer(path)))
    return overridden(merged, overrides, path)


def changed(config: Config, overrides: Sequence[str]) -> Config:
    """A configuration with `key=value` overrides from the command line.

    Raises:
        ConfigError: As `load_config`.
    """
    return overridden(DictConfig(OmegaConf.structured(config)), overrides, Path(config.name))


def overridden(merged: DictConfig, overrides: Sequence[str], path: Path) -> Config:
    """What was merged so far, with `key=value` overrides.

    Args:
        path: What to name where the command line set no part of a fault.
    Raises:
        ConfigError: As `load_config`.
    """
    for words in overrides:
        with named_errors(f"command line, {words}"):
            merged = DictConfig(OmegaConf.merge(merged, override_layer(words)))
    with named_errors(str(path)):  # what is resolved only now, such as ${oc.env:NAME}
        config = OmegaConf.to_object(merged)
    assert isinstance(config, Config)
    check(config, Origin(path, {words.partition("=")[0].strip(): words for words in overrides}))
    return config


@cache
def defaults() -> DictConfig:
    """`conf/default.yaml`, read once per process; merging copies it."""
    return DictConfig(OmegaConf.merge(OmegaConf.structured(Config), OmegaConf.load(CONF / "default.yaml")))


def find_experiment(path: Path) -> Path:
    """The experiment's file: the one at `path`, else the one of that name that ships.

    Raises:
        ConfigError: There is neither.
    """
    if path.is_file():
        return path
    if path.parent == Path(CONF.name) and (CONF / path.name).is_file():
        return CONF / path.name
    raise ConfigError(f"no configuration file {path}", f"the ones that ship are {', '.join(shipped())}")


@contextmanager
def named_errors(where: str) -> Iterator[None]:
    """Turn what a YAML reader or OmegaConf says into an error that names the place and the key.

    Raises:
        ConfigError: For whatever makes the values inside unusable.
    """
    try:
        yield
    except (OmegaConfBaseException, YAMLError, ValueError, TypeError, OverflowError) as error:
        reason = str(error).strip().splitlines()[0]
        hint = "conf/default.yaml lists every key with its meaning"
        if "Environment variable" in reason:
            reason = reason[reason.index("Environment variable") :].rstrip('"')
            hint = "export it, or give the key's value on the command line"
        key = getattr(error, "full_key", None)
        raise ConfigError(f"{where}: {f'{key}: ' if key and key not in reason else ''}{reason}", hint) from error


def saved_config(path: Path) -> Config:
    """The experiment of a run, a kit or a site as `to_yaml` wrote it: every key is there, and nothing is filled in.

    Read once per process and version of the file: a partner asks three times for each message.

    Raises:
        ConfigError: A missing or unreadable file, a missing or unknown key, or a value out of range; the message names the key.
    """
    return _saved_config(path, path.stat().st_mtime_ns if path.is_file() else 0)


@lru_cache(maxsize=16)
def _saved_config(path: Path, _changed: int) -> Config:
    hint = "bring it back from a backup; at a site `polyphony kit install` writes it anew"
    config = read_whole(path, Config, hint)
    try:
        check_text(path, hint)
    except DamagedFileError as error:
        raise ConfigError(str(error), error.hint) from error
    check(config, Origin(path, {}))
    return config


def read_layer(path: Path) -> DictConfig:
    """What an experiment's file sets; a list of tables says how many partners there are.

    Raises:
        ValueError: It sets nothing, or text is written as YAML writes numbers, dates or truth values.
    """
    layer = OmegaConf.load(path)
    if not isinstance(layer, DictConfig) or not layer:
        raise ValueError("the file sets no key")
    for key in TEXT_KEYS:
        section, _, name = key.rpartition(".")
        values = OmegaConf.to_container(layer, resolve=False)
        values = values.get(section) if section and isinstance(values, dict) else values
        value = values.get(name) if isinstance(values, dict) else None
        if any(not isinstance(item, str | None) for item in (value if isinstance(value, list) else [value])):
            raise ValueError(f"{key} is {value!r}, which YAML does not read as text; put it in quotes")
    return count_partners(layer)


def override_layer(words: str) -> DictConfig:
    """What one `key=value` sets.

    Raises:
        ValueError: No such form, or no value where there must be text.
    """
    key, _, text = words.partition("=")
    key = key.strip()
    if key not in TEXT_KEYS:
        return OmegaConf.from_dotlist([words])
    if not text:
        raise ValueError(f"{key} is empty")
    value = None if text == "null" else list_of_text(text) if text.startswith("[") else text
    layer = OmegaConf.create()
    OmegaConf.update(layer, key, value)
    return count_partners(layer)


def list_of_text(text: str) -> list[str]:
    """`[a, 007]` as text, none of it read as a number.

    Raises:
        YAMLError: It is not a list.
    """
    read = yaml.load(text, yaml.BaseLoader)  # noqa: S506  it makes nothing but text, lists and mappings
    return [str(item) for item in read]


def count_partners(layer: DictConfig) -> DictConfig:
    """A list of tables has a partner for each, unless the same place says how many there are."""
    if isinstance(tables := OmegaConf.select(layer, "data.tables", throw_on_resolution_failure=False), ListConfig):
        counted = OmegaConf.create({"data": {"partners": len(tables)}})
        return DictConfig(OmegaConf.merge(counted, layer))
    return layer


def to_yaml(config: Config) -> str:
    """The effective configuration as YAML that `saved_config` reads back, with a digest of all that it says."""
    return sealed_text(OmegaConf.to_yaml(OmegaConf.structured(config)))


def with_catalogue(config: Config, folder: Path) -> Config:
    """The same, whose catalogue, if it has one, is the one in a run's or a site's folder."""
    if config.tasks.catalogue is None:
        return config
    return replace(config, tasks=replace(config.tasks, catalogue=str(folder.resolve() / CATALOGUE)))


def shipped() -> list[str]:
    """The experiments that ship."""
    return sorted(f"conf/{path.name}" for path in CONF.glob("*.yaml") if path.name != "default.yaml")
