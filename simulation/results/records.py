"""Records of what was measured: `records/<name>.json`, one run of a command each, as its `--json` printed it.

Beside a comparison's lie two tables that were made of its run: `<name>.clusters.csv`, its tasks added up by partner and group, from which
intervals over tasks and seeds follow, and `<name>.breakdown.csv`, by what gains differ.

A figure that was typed into a page by hand before there were records has one, too: its provenance says that it was transcribed, and from
which page of which commit. What a change of the program has made old since then is named under `since`.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from fedapp.errors import RunError
from fedapp.evaluation import comparison
from fedapp.evaluation.arms import ARMS
from fedapp.storage.damage import reading
from fedapp.storage.files import write_text
from fedapp.storage.json_file import ValueType, checked, read_object, write_json
from fedapp.storage.sealed_table import read_table
from simulation.results import clusters
from simulation.results.provenance import PROVENANCE

RECORDS = Path(__file__).parent / "records"
NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
RUN = "run"
OF_THIS_MACHINE = (RUN, "report", "plot")  # keys of a result that name files of whoever measured
GAINS = "gains"  # key that a comparison's result has, and no other
CLUSTERS, BREAKDOWN = "clusters", "breakdown"
TABLES = {CLUSTERS: "comparison.parquet", BREAKDOWN: "breakdown.parquet"}  # and the file of a run that each is made of
SCHEMAS: dict[str, Mapping[str, Any]] = {CLUSTERS: clusters.SCHEMA, BREAKDOWN: comparison.BREAKDOWN}
DECIMALS = 5
AGAIN = "restore it, or measure it anew"
ANEW = "measure anew, from a commit and without changes"
FACTS: dict[str, ValueType] = {"command": str, "commit": str, "date": str, "machine": dict}
MEASURED: dict[str, ValueType] = {"versions": dict, "wall_seconds": (int, float)}  # what a transcribed one need not have


@dataclass(frozen=True, eq=False)
class Record:
    """One run of a command; tables have no equality, so that it is only equal to itself.

    Attributes:
        name: Of its file, such as "audit-fsmol".
        provenance: command, commit, date and machine; with them either versions and wall_seconds, or transcribed, the page that
            the figures were typed into; and perhaps since, what has changed since then that figures depend on.
        result: What the command printed, without the paths of the machine.
        tables: Of a comparison: `CLUSTERS`, `BREAKDOWN`.
    """

    name: str
    provenance: dict[str, Any]
    result: dict[str, Any]
    tables: Mapping[str, pl.DataFrame] = field(default_factory=dict)


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
    result, tables = read_object(path, {PROVENANCE: dict}, AGAIN), {}
    for kind in TABLES if GAINS in result else ():
        with reading(table := table_path(path, kind), AGAIN):
            read = pl.read_csv(table, schema_overrides={**SCHEMAS[kind], **dict.fromkeys(ARMS, pl.Float64)})
            tables[kind] = read.select(*SCHEMAS[kind], pl.exclude(*SCHEMAS[kind]))
    return Record(path.stem, result.pop(PROVENANCE), result, tables)


def table_path(record: Path, kind: str) -> Path:
    """Where a table of a record lies."""
    return record.with_suffix(f".{kind}.csv")


def file_record(name: str, text: str, folder: Path = RECORDS) -> Path:
    """Keep what a verb printed with `--json` as a record, in place of an earlier one of that name.

    Args:
        name: Lower-case words and numbers with dashes.
        text: The verb's standard output.
    Raises:
        RunError: The text is no result of a verb that measures, it was measured outside a commit, it names a path of the machine, or it
            is a comparison's whose run is not here.
        DamagedFileError: A table of that run is damaged.
    """
    if not NAME.fullmatch(name):
        raise RunError(f"a record cannot be called {name!r:.40}", "lower-case words and numbers with dashes, such as audit-fsmol")
    try:
        result = checked(json.loads(text), {PROVENANCE: dict})
        checked(result[PROVENANCE], FACTS | MEASURED)
        checked(result, {RUN: str} if GAINS in result else {})
    except ValueError as error:
        raise RunError(
            f"this is no result of a command that measures: {error}", "give what it printed with --json, and nothing else"
        ) from error
    if result[PROVENANCE]["commit"].endswith("-dirty"):
        raise RunError(f"this was measured with changes on {result[PROVENANCE]['commit'].removesuffix('-dirty')}", ANEW)
    kept = {key: value for key, value in result.items() if key not in OF_THIS_MACHINE}
    for named in paths_in(kept):
        raise RunError(f"the result names {named!r:.80}, a path of this machine", "measure anew with a path from this folder on")
    path = folder / f"{name}.json"
    tables = tables_of(Path(result[RUN])) if GAINS in result else {}
    for kind in TABLES:
        if kind in tables:
            write_text(table_path(path, kind), tables[kind].write_csv(float_precision=DECIMALS))
        else:
            table_path(path, kind).unlink(missing_ok=True)
    write_json(path, kept)
    return path


def tables_of(run: Path) -> dict[str, pl.DataFrame]:
    """What a record keeps of a comparison's run beside its result.

    Raises:
        RunError: The run is not here.
        DamagedFileError: A table of it is damaged.
    """
    tables = {}
    for kind, file in TABLES.items():
        if not (run / file).is_file():
            raise RunError(f"{run / file} is not here, of which a record keeps a part", "file a result in the folder where it was measured")
        with reading(run / file):
            table = read_table(run / file)
            tables[kind] = clusters.cluster_sums(table) if kind == CLUSTERS else table
    return tables


def paths_in(value: Any) -> Iterator[str]:
    """Absolute paths in any text of a JSON value, those in a command line included."""
    if isinstance(value, dict):
        value = [*value, *value.values()]
    if isinstance(value, list):
        for part in value:
            yield from paths_in(part)
    elif isinstance(value, str):
        yield from re.findall(r"""(?:^|(?<=[\s='"\[,(]))(?:/|~/|[A-Z]:\\)[^\s'",\])]+""", value)
