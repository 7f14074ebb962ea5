"""`polyphony status`: what goes on at a site."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fedapp.cli.arguments import Json
from fedapp.errors import ConfigError

LAST = 8  # rounds in a table
WIDTH = 1000  # columns: a table is cut by nobody, in a pipe neither
Prometheus = Annotated[bool, typer.Option("--prometheus", help="print metrics in Prometheus' text format")]


def status(
    site: Annotated[Path, typer.Argument(metavar="SITE", help="a party's folder, as `polyphony kit install` made it")],
    as_json: Json = False,
    prometheus: Prometheus = False,
) -> None:
    """Tell how rounds get on at a site, what was sent, and whether anything needs attention."""
    from fedapp.site.folder import Site  # imports polars and cryptography, which --help need not wait for
    from fedapp.site.status.site_status import site_status

    if as_json and prometheus:
        raise ConfigError("--json and --prometheus are two formats", "choose one of them")
    told = site_status(Site.open(site))
    if as_json:
        print(json.dumps(told))
    elif prometheus:
        from fedapp.site.status.prometheus import exposition

        print(exposition(told), end="")
    else:
        tell(told)


def tell(told: dict[str, Any]) -> None:
    """Print for people."""
    from fedapp.site.status.sentences import headline

    print(f"{told['name']}, {told['role']}" + (f" in {told['consortium']['name']}" if told["consortium"] else ""))
    print(headline(told)[1])
    for problem in told["problems"]:
        print(f"unusable: {problem}")
    for held in told.get("warnings", []):
        print(f"WARNING: {held['about']}. {held['told']}")
        print(f"hint: {held['hint']}")
    (tell_partner if told["role"] == "partner" else tell_coordinator)(told)


def tell_partner(told: dict[str, Any]) -> None:
    """A partner's rounds and its ledger."""
    from fedapp.site.status.sentences import of_rounds, privacy_spent
    from fedapp.wording import count, duration, moment, plural, score, size

    health, ledger = told["health"], told["ledger"]
    if health["failure"]:
        print(f"last failure: {health['failure']['error']}")
        if health["failure"]["hint"]:
            print(f"hint: {health['failure']['hint']}")
    refused = next((held for held in told["requests"] if held["refused"]), None)
    if refused:
        print(f"{plural(ledger['refused'], 'request')} refused, the last one {moment(refused['time'])}: {refused['refused']}")
    learned = {held["round"]: held for held in told["learning"]}
    rows = []
    for sent in told["sent"][-LAST:]:
        own = learned.get(sent["round"], {})
        scores = [score(own.get(name)) for name in ("loss", "validation", "test")]
        kept = " kept" if sent["round"] == told["selected"] else ""
        about = [size(sent["bytes_out"]), str(sent["attempts"]), count(sent["partners"]), count(sent["rows"]), count(sent["clipped"])]
        rows.append([f"{sent['round'] or 'set-up'}{kept}", *scores, duration(own.get("seconds")), *about])
    columns = ("round", "loss", "validation", "test", "trained", "out", "sent", "partners", "rows", "clipped")
    print_table(columns, rows)
    rows_told = f"{count(ledger['rows_listed'])} of {count(ledger['rows'])} rows, row guard {count(ledger['row_guard'])}"
    print(f"holds the trunk of {of_rounds(told)}")
    print(f"sent: {size(ledger['bytes_out'])} in {plural(ledger['rounds_sent'], 'round')}; {rows_told}")
    if told["privacy_spent"]:
        print(f"record-level privacy spent: {privacy_spent(told['privacy_spent'])}")
    print(f"disk free: {size(health['disk_free'])}")


def tell_coordinator(told: dict[str, Any]) -> None:
    """The coordinator's rounds, phases and drop-outs."""
    from fedapp.site.status.sentences import ranges
    from fedapp.wording import duration, moment, size

    if told["error"]:
        print(f"error: {told['error']}")
    if told["awaited"]:
        held = told["awaited"]
        print(f"waiting for {', '.join(map(str, held['names']))}: {held['phase']}, since {moment(held['since'])}")
    rows = [
        [
            *(str(held["round"]), "done" if held["done"] else "open", str(held["attempts"]), f"{held['replied']}/{held['asked']}"),
            *(size(held["bytes_down"]), size(held["bytes_up"]), duration(held["seconds"])),
        ]
        for held in told["made"][-LAST:]
    ]
    print_table(("round", "", "attempts", "replied", "sent", "received", "took"), rows)
    phases = [[held["part"], held["phase"], str(held["exchanges"]), duration(held["seconds"])] for held in told["phases"]]
    print_table(("part", "phase", "exchanges", "median"), phases)
    for held in told["drop_outs"]:
        print(f"left out in {held['phase']}: {held['reason']} (rounds {ranges(held['rounds'])})")


def print_table(columns: tuple[str, ...], rows: list[list[str]]) -> None:
    """A table as wide as its contents; nothing without rows."""
    if not rows:
        return
    table = Table(*columns, box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="")
    for row in rows:
        table.add_row(*map(Text, row))
    Console(width=WIDTH).print(table)
