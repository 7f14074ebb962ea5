"""PROTOCOL.md against the code: each check that a lemma rests on exists, each lemma has checks and tests, each message is as described."""

import ast
import re
from dataclasses import is_dataclass
from functools import cache
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_origin

import pytest

from strategies.secagg import consistency_messages, identity, messages, proofs, roster, transcript
from strategies.secagg.wire import field_types

ROOT = Path(__file__).resolve().parents[3]
PACKAGE = ROOT / "strategies" / "secagg"
PAGE = (PACKAGE / "PROTOCOL.md").read_text(encoding="utf-8")
CHECK = re.compile(r"`((?:\.\./\w+/)?\w+\.py): ([\w.]+)`")
LEMMAS = dict(re.findall(r"^\*(L\d+), (.*?)(?=^\*L\d+,|^\*\*|^No cryptographer)", PAGE, re.DOTALL | re.MULTILINE))


@cache
def defined(path: Path) -> set[str]:
    """Functions and methods of a module, methods behind their class."""
    found = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{each.name}" for each in node.body if isinstance(each, ast.FunctionDef)}
    return found


@pytest.mark.parametrize(("file", "function"), sorted(set(CHECK.findall(PAGE))))
def test_every_check_that_the_page_names_is_a_function_of_its_file(file: str, function: str) -> None:
    assert function in defined(PACKAGE / file)


def test_every_lemma_is_tied_to_checks_and_to_tests() -> None:
    assert list(LEMMAS) == [f"L{number}" for number in range(1, len(LEMMAS) + 1)]
    for name, text in LEMMAS.items():
        assert CHECK.search(text), name
        assert re.search(r"`test_\w+`", text), name


def test_every_code_of_that_form_is_a_check() -> None:
    """So that a misspelt one is not passed over."""
    assert set(re.findall(r"`[^`\n]*\.py:[^`\n]*`", PAGE)) == {f"`{file}: {function}`" for file, function in CHECK.findall(PAGE)}


def test_every_message_has_the_fields_that_the_page_says() -> None:
    described = dict(re.findall(r"^\| `(\w+)` \| (\w+ \w+[…?]?(?:, \w+ \w+[…?]?)*) \|$", PAGE, re.MULTILINE))
    modules = (consistency_messages, identity, messages, proofs, roster, transcript)
    kinds = [kind for module in modules for kind in vars(module).values() if is_dataclass(kind) and kind.__module__ == module.__name__]
    assert described == {kind.__name__: ", ".join(f"{name} {written(held)}" for held, name in field_types(kind)) for kind in kinds}


def written(kind: Any) -> str:
    """A field's type as the page has it."""
    if get_origin(kind) is tuple:
        return f"{written(get_args(kind)[0])}…"
    inner = [written(each) for each in get_args(kind) if each is not NoneType]
    return f"{inner[0]}?" if inner else str(kind.__name__)
