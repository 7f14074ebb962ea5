"""`RESULTS.md`, written from the records: no figure of it is typed by hand."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, UndefinedError

from fedapp.errors import RunError
from fedapp.wording import count, percent, score, signed
from simulation.results.figures import Spread, benchmarked, compared, findings_by_name, fixed, machine_words, share_lost
from simulation.results.records import Record, read_records

TEMPLATE = "RESULTS.md.j2"
PAGE = Path(__file__).parent.parent / "RESULTS.md"
SEEDS = "compare-fsmol-seed"  # what the names of one comparison's records begin with
TEN, FIFTY = "secagg-10-", "secagg-50-"  # of the benchmarks', one record a run
FILTERS = {
    "bounds": Spread.bounds,
    "count": count,
    "fixed": fixed,
    "machine": machine_words,
    "percent": percent,
    "score": score,
    "share_lost": share_lost,
    "signed": signed,
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
    """What the template calls by these names; `seeds`, `ten` and `fifty` are names of records."""
    seeds, ten, fifty = ([name for name in records if name.startswith(prefix)] for prefix in (SEEDS, TEN, FIFTY))
    return {
        "records": records,
        "seeds": seeds,
        "compared": compared([records[name] for name in seeds]),
        "findings": findings_by_name(records["audit-fsmol"]),
        "benchmarks": ten + fifty,
        "of_ten": benchmarked([records[name] for name in ten]),
        "of_fifty": benchmarked([records[name] for name in fifty]),
    }
