"""Files of a run or a site that a test writes or changes, with their digests as our own writers leave them."""

import json
from pathlib import Path

import polars as pl

from fedapp.storage.json_file import BY_HAND, write_sealed
from fedapp.storage.json_lines import sealed_line
from fedapp.storage.sealed_table import write_table
from fedapp.storage.sealed_text import LABEL


def seal(path: Path, content: str | None = None) -> None:
    """Give a file of JSON, of lines of JSON or of a table the digest of what it says now, or of `content`.

    A line that is no object stays as it is.
    """
    if content is not None:
        path.write_text(content)
    if path.suffix == ".parquet":
        write_table(path, pl.read_parquet(path))
    elif path.suffix == ".json":
        write_sealed(path, json.loads(path.read_text()))
    else:
        path.write_text("".join(_sealed(line) + "\n" for line in path.read_text().splitlines()))


def _sealed(line: str) -> str:
    try:
        held = json.loads(line)
    except ValueError:
        return line
    return sealed_line(held) if isinstance(held, dict) else line


def by_hand(text: str) -> str:
    """A configuration's text as a person leaves it who changed a value: with a word of that in its last line."""
    before, label, _ = text.rpartition(LABEL)
    assert label
    return f"{before}{label}{BY_HAND}\n"
