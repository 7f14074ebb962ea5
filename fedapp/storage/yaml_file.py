"""YAML files that our own programs write whole: read back whole, so that what is lost of one never becomes a default."""

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import lru_cache
from io import StringIO
from pathlib import Path
from typing import Any, TypeVar

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from fedapp.errors import ConfigError

T = TypeVar("T")
UNREADABLE = (OmegaConfBaseException, YAMLError, ValueError, TypeError, RecursionError, OSError)


def read_whole(path: Path, kind: type[T], hint: str) -> T:
    """The dataclass in a YAML file that gives each of its fields, those of inner dataclasses too; nobody may change the lists in it.

    Raises:
        ConfigError: No such file, an unreadable one, or one that lacks a key or has an unknown one; it is named.
    """
    if not path.is_file():
        raise ConfigError(f"no {path}", hint)
    try:
        text = path.read_text(encoding="utf-8")
    except UNREADABLE as error:
        raise ConfigError(f"{path}: {first_line(error)}", hint) from error
    held: T = _parsed(text, path, kind, hint)  # type: ignore[arg-type]  # a class is hashable
    return held


@lru_cache(maxsize=128)
def _parsed(text: str, path: Path, kind: Any, hint: str) -> Any:
    """Once per process and text: a site reads its files anew at every request, and parsing takes longer than a short phase."""
    try:
        given = OmegaConf.load(StringIO(text))
        if missing := list(absent(kind, OmegaConf.to_container(given, resolve=False))):
            raise ConfigError(f"{path} lacks {', '.join(missing[:5])}{' and more' if missing[5:] else ''}", hint)
        held = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(kind), given))
    except UNREADABLE as error:
        raise ConfigError(f"{path}: {first_line(error)}", hint) from error
    if not isinstance(held, kind):
        raise ConfigError(f"{path}: it holds no {kind.__name__}", hint)
    return held


def absent(kind: Any, given: Any, before: str = "") -> Iterator[str]:
    """Dotted names of the fields of a dataclass that a mapping does not give."""
    held = given if isinstance(given, Mapping) else {}
    for each in fields(kind):
        if is_dataclass(each.type):
            yield from absent(each.type, held.get(each.name), f"{before}{each.name}.")
        elif each.name not in held:
            yield f"{before}{each.name}"


def first_line(error: Exception) -> str:
    """The first line of what a reader says."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
