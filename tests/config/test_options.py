"""What is declared of options is all there is to them: their comments in `conf/default.yaml`, their checks, and who may be text."""

import re

import pytest
from omegaconf import OmegaConf

from fedapp.config import CONF, flatten, load_config
from fedapp.config.allowed import Within
from fedapp.config.options import OPTIONS
from fedapp.config.reading import TEXT_KEYS
from fedapp.errors import ConfigError

LINE = re.compile(r"(?P<indent> *)(?P<name>\w+): (?P<default>\S.*?)  +# (?P<comment>.+)")
DEFAULTS = (CONF / "default.yaml").read_text(encoding="utf-8")


def commented() -> dict[str, str]:
    """Dotted key of each option in `conf/default.yaml`, and its comment."""
    comments, section = {}, ""
    for line in DEFAULTS.splitlines():
        if option := LINE.fullmatch(line):
            comments[f"{section if option['indent'] else ''}{option['name']}"] = option["comment"]
        elif line and not line.startswith("#"):
            section = line.replace(":", ".")
    return comments


def test_default_yaml_has_every_option_in_order_with_the_meaning_and_the_limits_that_are_declared() -> None:
    assert commented() == {key: option.comment() for key, option in OPTIONS.items()}
    assert list(commented()) == list(OPTIONS) == list(flatten(load_config()))


def test_default_yaml_sets_every_option_and_no_other() -> None:
    given = OmegaConf.to_container(OmegaConf.load(CONF / "default.yaml"))
    assert isinstance(given, dict)
    sections = {name: value if isinstance(value, dict) else None for name, value in given.items()}
    assert {f"{name}.{option}" for name, section in sections.items() for option in section or ()} | {
        name for name, section in sections.items() if section is None
    } == set(OPTIONS)


@pytest.mark.parametrize("key", OPTIONS)
def test_an_option_is_text_or_has_limits_or_says_on_what_they_hang(key: str) -> None:
    option = OPTIONS[key]
    assert option.meaning
    assert key in TEXT_KEYS or option.kind is bool or option.limits or "0 to chemistry.folds - 1" in option.meaning


@pytest.mark.parametrize("key", [key for key, option in OPTIONS.items() if isinstance(option.limits, Within)])
def test_a_number_beyond_the_limits_in_its_comment_is_refused_and_nan_too(key: str) -> None:
    limits, several = OPTIONS[key].limits, "list" in str(OPTIONS[key].kind)
    assert isinstance(limits, Within)
    assert str(limits) in commented()[key]
    for number in ("nan", repr(limits.low - 1), repr(limits.high * 2 + 1)):
        with pytest.raises(ConfigError, match=re.escape(key)):
            load_config(None, (f"{key}=[{number}]" if several else f"{key}={number}",))
    for number in (limits.low, limits.high):
        assert not list(limits.faults(key, [number] if several else number))


def test_limits_are_written_so_that_people_can_read_them() -> None:
    assert str(Within(1, 1 << 31)) == "1 to 2,147,483,648"
    assert str(Within(1e-9, 0.99)) == "1e-09 to 0.99"
