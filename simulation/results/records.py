"""Records of what was measured: `records/<name>.json`, one run of a command each, as its `--json` printed it.

A figure that was typed into a page by hand before there were records has one, too: its provenance says that it was transcribed, and from
which page of which commit. What a change of the program has made old since then is named under `since`.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedapp.errors import RunError
from fedapp.storage.json_file import ValueType, checked, read_object, write_json
from simulation.results.provenance import PROVENANCE

RECORDS = Path(__file__).parent / "records"
NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
OF_THIS_MACHINE = ("run", "report", "plot")  # keys of a result that name files of whoever measured
ANEW = "measure anew, from a commit and without changes"
FACTS: dict[str, ValueType] = {"command": str, "commit": str, "date": str, "machine": dict}
MEASURED: dict[str, ValueType] = {"versions": dict, "wall_seconds": (int, float)}  # what a transcribed one need not have


@dataclass(frozen=True)
class Record:
    """One run of a command.

    Attributes:
        name: Of its file, such as "audit-fsmol".
        provenance: command, commit, date and machine; with them either versions and wall_seconds, or transcribed, the page that
            the figures were typed into; and perhaps since, what has changed since then that figures depend on.
        result: What the command printed, without the paths of the machine.
    """

    name: str
    provenance: dict[str, Any]
    result: dict[str, Any]


def read_records(folder: Path = RECORDS) -> dict[str, Record]:
    """All records by name.

    Raises:
        DamagedFileError: One is none; its file is named.
    """
    return {path.stem: read_record(path) for path in sorted(folder.glob("*.json"))}


def read_record(path: Path) -> Record:
    """One record.

    Raises:
        DamagedFileError: It is none.
    """
    result = read_object(path, {PROVENANCE: dict}, "restore it, or measure it anew")
    return Record(path.stem, result.pop(PROVENANCE), result)


def file_record(name: str, text: str, folder: Path = RECORDS) -> Path:
    """Keep what a verb printed with `--json` as a record, in place of an earlier one of that name.

    Args:
        name: Lower-case words and numbers with dashes.
        text: The verb's standard output.
    Raises:
        RunError: The text is no result of a verb that measures, it was measured outside a commit, or it names a path of the machine.
    """
    if not NAME.fullmatch(name):
        raise RunError(f"a record cannot be called {name!r:.40}", "lower-case words and numbers with dashes, such as audit-fsmol")
    try:
        result = checked(json.loads(text), {PROVENANCE: dict})
        checked(result[PROVENANCE], FACTS | MEASURED)
    except ValueError as error:
        raise RunError(
            f"this is no result of a command that measures: {error}", "give what it printed with --json, and nothing else"
        ) from error
    if result[PROVENANCE]["commit"].endswith("-dirty"):
        raise RunError(f"this was measured with changes on {result[PROVENANCE]['commit'].removesuffix('-dirty')}", ANEW)
    kept = {key: value for key, value in result.items() if key not in OF_THIS_MACHINE}
    for path in paths_in(kept):
        raise RunError(f"the result names {path!r:.80}, a path of this machine", "measure anew with a path from this folder on")
    write_json(folder / f"{name}.json", kept)
    return folder / f"{name}.json"


def paths_in(value: Any) -> Iterator[str]:
    """Absolute paths in any text of a JSON value, those in a command line included."""
    if isinstance(value, dict):
        value = [*value, *value.values()]
    if isinstance(value, list):
        for part in value:
            yield from paths_in(part)
    elif isinstance(value, str):
        yield from re.findall(r"""(?:^|(?<=[\s='"\[,(]))(?:/|~/|[A-Z]:\\)[^\s'",\])]+""", value)
