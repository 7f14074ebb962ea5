"""YAML files as dataclasses: what is lost of one never becomes a default, and no value is read as another than it is."""

import sys
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import MISSING, fields, is_dataclass
from difflib import get_close_matches
from functools import cache, lru_cache
from io import StringIO
from pathlib import Path
from types import NoneType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from fedapp.errors import ConfigError
from fedapp.wording import is_plain

T = TypeVar("T")
UNREADABLE = (OmegaConfBaseException, YAMLError, ValueError, TypeError, OverflowError, RecursionError, OSError)
WORDS = {str: "text", int: "a number", float: "a number", bool: "true or false", list: "a list"}
SHOWN = 40  # characters of a value in a message


def read_whole(path: Path, kind: type[T], hint: str) -> T:
    """The dataclass in a YAML file that our own programs write whole: it gives each field, those of inner dataclasses too.

    Raises:
        ConfigError: No such file, an unreadable one, or one that lacks a key, has an unknown one or a value of another type; it is
            named.
    """
    if not path.is_file():
        raise ConfigError(f"no {path}", hint)
    given = read_plain(path, hint, resolve=True)
    if missing := list(absent(kind, given)):
        unknown = [in_short(key) for key in surplus(kind, given)]
        besides = f", and has {_some(unknown)}, which it cannot have" if unknown else ""
        raise ConfigError(f"{path} lacks {_some(missing)}{besides}", hint)
    return typed(given, kind, str(path), hint)


def read_plain(path: Path, hint: str, resolve: bool = False) -> Any:
    """What a YAML file holds, as plain values.

    Args:
        resolve: Whether `${...}` stands for what it names, or for itself.
    Returns:
        Values that are the caller's own.
    Raises:
        ConfigError: It cannot be read.
    """
    try:
        return deepcopy(_parsed(path.read_text(encoding="utf-8"), resolve))
    except UNREADABLE as error:
        raise ConfigError(f"{path}: {' '.join(str(error).split()) or type(error).__name__}", hint) from error


@lru_cache(maxsize=128)
def _parsed(text: str, resolve: bool) -> Any:
    """Once per process and text: a site reads its files anew at every request, and parsing takes longer than a short phase."""
    return OmegaConf.to_container(OmegaConf.load(StringIO(text)), resolve=resolve, throw_on_missing=True)


class UniqueKeys(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """PyYAML's safe loader, to which a key that is there twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """A mapping.

        Raises:
            ConstructorError: It has a key twice.
        """
        keys = [key.value for key, _ in node.value]
        if twice := [key for key in keys if keys.count(key) > 1]:
            raise yaml.constructor.ConstructorError(None, None, f"the key {twice[0]!r:.{SHOWN}} is there twice", node.start_mark)
        return dict(super().construct_mapping(node, deep))


def read_large(path: Path, hint: str) -> Any:
    """What a YAML file of any length holds, as plain values; `${...}` stands for itself. `read_plain` takes no more than 10,000 nodes.

    Raises:
        ConfigError: It cannot be read.
    """
    try:
        return yaml.load(path.read_text(encoding="utf-8"), UniqueKeys)  # noqa: S506  a safe loader
    except UNREADABLE as error:
        raise ConfigError(f"{path}: {' '.join(str(error).split()) or type(error).__name__}", hint) from error


def to_text(value: Any) -> str:
    """Plain values as YAML that `read_large` reads back, keys in their order."""
    return yaml.dump(value, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper), sort_keys=False, allow_unicode=True, width=3 * SHOWN)


def absent(kind: Any, given: Any, before: str = "") -> Iterator[str]:
    """Dotted names of the fields of a dataclass that a mapping does not give."""
    mapping = given if isinstance(given, Mapping) else {}
    for each in fields(kind):
        if is_dataclass(each.type):
            yield from absent(each.type, mapping.get(each.name), f"{before}{each.name}.")
        elif each.name not in mapping:
            yield f"{before}{each.name}"


def surplus(kind: Any, given: Any) -> Iterator[Any]:
    """Keys of a mapping that are no fields of a dataclass, those of inner dataclasses too: what is lacking may stand there misspelt."""
    mapping = given if isinstance(given, Mapping) else {}
    inner = {each.name: each.type for each in fields(kind)}
    for key, value in mapping.items():
        if key not in inner:
            yield key
        elif is_dataclass(inner[key]):
            yield from surplus(inner[key], value)


def _some(names: list[str]) -> str:
    return f"{', '.join(names[:5])}{' and more' if names[5:] else ''}"


def typed(given: Any, kind: type[T], where: str, hint: str | None = None) -> T:
    """The dataclass whose fields a mapping gives. A key that is absent has the field's default, without one it is None.

    Args:
        where: File and entry, for messages.
        hint: What to do about a fault; None lists the keys.
    Raises:
        ConfigError: It is no mapping, has an unknown key, a value of another type than its field, or values that the
            dataclass itself refuses; whole numbers are numbers.
    """
    types = _types(kind)  # type: ignore[arg-type]
    hint = f"it holds {', '.join(types)}" if hint is None else hint
    if not isinstance(given, Mapping):
        raise ConfigError(f"{where}: {in_short(given)} is no entry", hint)
    if unknown := [key for key in given if key not in types]:
        meant = get_close_matches(str(unknown[0]), types, n=1) if isinstance(unknown[0], str) else []
        raise ConfigError(f"{where}: there is no key {in_short(unknown[0])}{f', but {meant[0]}' if meant else ''}", hint)
    values = {}
    for each in fields(kind):  # type: ignore[arg-type]
        default = None if each.default is MISSING else each.default
        value, expected = given.get(each.name, default), types[each.name]
        if isinstance(expected, type) and is_dataclass(expected):
            values[each.name] = typed(value, expected, f"{where}: {each.name}", hint)
        elif not is_a(value, expected):
            raise ConfigError(f"{where}: {each.name} is {in_short(value)}, not {in_words(expected)}", hint)
        elif not shows(value):
            raise ConfigError(f"{where}: {each.name} is {in_short(value)}, which a terminal would not show as it is", hint)
        else:
            values[each.name] = as_given(value, expected)
    try:
        return kind(**values)
    except ValueError as error:  # of a dataclass that checks its own values
        raise ConfigError(f"{where}: {first_line(error)}", hint) from error


@cache
def _types(kind: type) -> dict[str, Any]:
    """The types of a dataclass's fields; once per class, since a partner reads its files at every message."""
    return get_type_hints(kind)


def is_a(value: Any, expected: Any) -> bool:
    """Whether a plain value is of a field's type; `True` is no number, and text is nothing but text."""
    if expected is Any:
        return True
    if get_origin(expected) is list:
        return isinstance(value, list) and all(is_a(each, get_args(expected)[0]) for each in value)
    if options := get_args(expected):
        return any(is_a(value, each) for each in options)
    return type(value) is expected or (expected is float and type(value) is int and abs(value) <= sys.float_info.max)


def as_given(value: Any, expected: Any) -> Any:
    """The value of a field of this type: whole numbers become floats where those are expected."""
    if get_origin(expected) is list:
        return [as_given(each, get_args(expected)[0]) for each in value]
    return float(value) if expected is float else value


def shows(value: Any) -> bool:
    """Whether all text in a value is shown as it is: what others wrote is printed where people decide by it."""
    return all(map(shows, value)) if isinstance(value, list) else not isinstance(value, str) or is_plain(value)


def in_short(value: Any) -> str:
    """The beginning of a value, for messages."""
    try:
        return f"{value!r:.{SHOWN}}"
    except ValueError:  # Python writes no whole number of more than some thousand digits
        return "something with a number of thousands of digits"


def in_words(expected: Any) -> str:
    """A field's type as people say it."""
    if get_origin(expected) is list:
        inner = get_args(expected)[0]
        many = "numbers" if inner in (int, float) else WORDS.get(inner, "entries")
        return "a list" if inner is Any else f"a list of {many}"
    kinds = [each for each in get_args(expected) or (expected,) if each is not NoneType]
    return " or ".join(in_words(each) if get_origin(each) is list else WORDS.get(each, str(each)) for each in kinds)


def first_line(error: Exception) -> str:
    """The first line of what a reader says."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
