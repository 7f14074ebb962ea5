"""How Flower is told what to do, whatever folders are called."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedapp.errors import RunError
from fedapp.runtime.flower import flower_environment
from fedapp.runtime.toml_file import toml

NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@given(NAMES)
def test_any_text_comes_back_from_toml_as_it_was(name: str) -> None:
    assert tomllib.loads(toml({"value": name})) == {"value": name}


@pytest.mark.parametrize("name", ["\N{GRINNING FACE}", "\U00020bb7", 'a "b" \\c', "del\x7f", "line\nbreak", "tab\t", "\x1b[0m", "é=ü"])
def test_characters_that_toml_or_json_treat_apart_come_back_too(name: str) -> None:
    assert tomllib.loads(toml({"value": name})) == {"value": name}


def test_a_path_that_is_no_unicode_is_an_error_that_shows_it() -> None:
    with pytest.raises(RunError, match=r"caf\\udce9"):
        toml({"run-dir": "/data/caf\udce9"})


def test_the_settings_name_the_authority_wherever_it_lies(tmp_path: Path) -> None:
    authority = tmp_path / 'a "b" \\c \N{GRINNING FACE}' / "ca.crt"
    flower_environment(tmp_path / "home", 1234, authority)
    held = tomllib.loads((tmp_path / "home" / "config.toml").read_text(encoding="utf-8"))
    assert held["superlink"]["own"] == {"address": "127.0.0.1:1234", "root-certificates": str(authority)}
