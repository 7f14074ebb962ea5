"""A reader of Prometheus' text format, written from its description and from nothing of ours."""

import re
from dataclasses import dataclass, field

NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
SUFFIXES = {"summary": ("", "_sum", "_count"), "gauge": ("",), "counter": ("",)}


@dataclass
class Family:
    """A metric family: its kind, help, and samples by suffix and labels."""

    kind: str
    help: str
    samples: dict[tuple[str, tuple[tuple[str, str], ...]], float] = field(default_factory=dict)


def read(text: str) -> dict[str, Family]:
    """All families; a ValueError names what breaks the format."""
    if text and not text.endswith("\n"):
        raise ValueError("the last line does not end")
    families: dict[str, Family] = {}
    current, told = "", ""
    for line in text.split("\n")[:-1]:
        if line.startswith("# HELP "):
            name, _, told = line.removeprefix("# HELP ").partition(" ")
        elif line.startswith("# TYPE "):
            current, _, kind = line.removeprefix("# TYPE ").partition(" ")
            if current != name or current in families or kind not in SUFFIXES or not NAME.fullmatch(current):
                raise ValueError(line)
            families[current] = Family(kind, told)
        else:
            add(families[current], current, line)
    return families


def add(family: Family, current: str, line: str) -> None:
    """One sample of the family that was named last."""
    found = NAME.match(line)
    if found is None or not found.group().startswith(current) or found.group()[len(current) :] not in SUFFIXES[family.kind]:
        raise ValueError(line)
    rest, labels = line[found.end() :], []
    if rest.startswith("{"):
        rest = rest[1:]
        while not rest.startswith("}"):
            label = LABEL.match(rest)
            if label is None or rest[label.end() : label.end() + 2] != '="':
                raise ValueError(line)
            value, rest = quoted(rest[label.end() + 2 :])
            labels.append((label.group(), value))
            rest = rest.removeprefix(",")
        rest = rest[1:]
    if not re.fullmatch(r" (NaN|[+-]Inf|[+-]?[0-9.]+([eE][+-]?[0-9]+)?)", rest):
        raise ValueError(line)
    key = (found.group()[len(current) :], tuple(labels))
    if key in family.samples:
        raise ValueError(f"twice: {line}")
    family.samples[key] = float(rest)


def quoted(text: str) -> tuple[str, str]:
    """A label's value up to its quote, and what follows that."""
    value, place = "", 0
    while text[place] != '"':
        if text[place] == "\\":
            value += {"\\": "\\", '"': '"', "n": "\n"}[text[place + 1]]
            place += 2
        else:
            value += text[place]
            place += 1
    return value, text[place + 1 :]
