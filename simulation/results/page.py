"""`RESULTS.md`, written from the records: no figure of it is typed by hand, but those of a harness that the page says to be no measurement.

A record's name says where it goes: seeds of one comparison are `NAME-seed1`, `NAME-seed2` and so on, of which `compare-fsmol` and
`compare-panel` are README's, too, and prices are `price-NAME-seed1`; audits are `audit-NAME`, with the settings of one of these prices
`audit-NAME-row-guard-10`; and benchmarks `training-NAME`, `metrics-NAME`, `round-NAME`; runs of one
benchmark of the protocol are `secagg-NAME-1`, `secagg-NAME-2` and so on.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from operator import itemgetter
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, UndefinedError

from fedapp.errors import RunError
from fedapp.evaluation.arms import BASES, COMBINED, CONSTANT, FEDERATED, FOREST, LOCAL, LOCAL_TWICE, MERGED, POOLED, UNGUARDED
from fedapp.wording import count, percent, score
from simulation.results.comparisons import Comparison
from simulation.results.figures import (
    Spread,
    benchmarked,
    findings_by_name,
    fixed,
    gained,
    learned,
    machine_words,
    seed_words,
    share_lost,
    shared,
)
from simulation.results.prices import Prices
from simulation.results.records import Record, read_records

TEMPLATE = "RESULTS.md.j2"
PAGE = Path(__file__).parent.parent / "RESULTS.md"
# What the names of records begin with, and of a comparison's end with before the seed.
AUDIT, PRICE, TRAINING, METRICS, ROUND, SECAGG, SEED = "audit-", "price-", "training-", "metrics-", "round", "secagg-", "-seed"
NAMES = {
    LOCAL: "local only",
    LOCAL_TWICE: "local × 2",
    FEDERATED: "federated",
    COMBINED: "federated + own",
    UNGUARDED: "federated, without the row guard",
    POOLED: "pooled",
    MERGED: "merged by a trusted third party",
    FOREST: "random forests",
    CONSTANT: "a constant",
}
DIFFERING = (LOCAL_TWICE, FEDERATED, COMBINED, POOLED, MERGED)  # those whose gain is told part by part
FILTERS = {
    "bounds": Spread.bounds,
    "count": count,
    "fixed": fixed,
    "gained": gained,
    "machine": machine_words,
    "percent": percent,
    "score": score,
    "share_lost": share_lost,
    "seeds": seed_words,
    "shared": shared,
    "spread": Spread.text,
}


def rendered(template: str | None = None, records: Mapping[str, Record] | None = None) -> str:
    """The page; or another template with the page's figures, such as a line in which another page quotes one.

    Args:
        records: By name; by default those that lie in the tree.
    Raises:
        DamagedFileError: A record is none.
        RunError: A record, or a figure of one, is missing.
    """
    page = environment().get_template(TEMPLATE) if template is None else environment().from_string(template)
    known = read_records() if records is None else records
    try:
        return page.render(contents(known))
    except (LookupError, ValueError, UndefinedError) as error:
        raise RunError(f"a figure is missing among the records: {error}", "restore the record, or measure it anew") from error


@cache
def environment() -> Environment:
    """What templates are read with; a figure that is not there is an error."""
    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=False,  # noqa: S701  Markdown, of figures of our own
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters |= FILTERS
    return made


def contents(records: Mapping[str, Record]) -> dict[str, Any]:
    """What the template calls by these names. Comparisons are called after their records, without the seed; of what has a record a run,
    names of records are listed."""
    prefixes = {"training": TRAINING, "judging": METRICS, "rounds": ROUND, "secagg": SECAGG}
    listed = {key: [name for name in records if name.startswith(prefix)] for key, prefix in prefixes.items()}
    priced = {name: Prices.of(own) for name, own in by_seed(records, lambda record: record.name.startswith(PRICE)).items()}
    return {
        **listed,
        "prices": priced,
        "audits_of_prices": [audit for prices in priced.values() for audit in prices.audits],
        "records": records,
        "comparisons": comparisons(records),
        "findings": {name: findings_by_name(record) for name, record in records.items() if name.startswith(AUDIT)},
        "learned": {name: learned(record) for name, record in records.items() if name.startswith(AUDIT)},
        "protocol": secagg_settings([records[name] for name in listed["secagg"]]),
        "NAMES": NAMES,
        "BASES": BASES,
        "DIFFERING": DIFFERING,
    }


def comparisons(records: Mapping[str, Record]) -> dict[str, Comparison]:
    """All seeds of each comparison, by the name that their records share."""
    return {name: together(*own) for name, own in by_seed(records, lambda record: bool(record.tables)).items()}


def secagg_settings(records: Sequence[Record]) -> list[dict[str, Any]]:
    """All runs of each setting of the protocol's benchmark, few partners and short updates first."""
    settings: dict[str, list[Record]] = {}
    for record in records:
        settings.setdefault(record.name.rpartition("-")[0], []).append(record)
    return sorted(map(benchmarked, settings.values()), key=itemgetter("partners", "words"))


def by_seed(records: Mapping[str, Record], wanted: Callable[[Record], bool]) -> dict[str, list[Record]]:
    """Those that are wanted, by the name that several seeds share."""
    seeds: dict[str, list[Record]] = {}
    for name, record in records.items():
        if wanted(record):
            seeds.setdefault(name.rpartition(SEED)[0] or name, []).append(record)
    return seeds


@cache
def together(*seeds: Record) -> Comparison:
    """Resampled once, however often pages are rendered."""
    return Comparison.of(seeds)
