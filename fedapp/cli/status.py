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
    state = site_status(Site.open(site))
    if as_json:
        print(json.dumps(state))
    elif prometheus:
        from fedapp.site.status.prometheus import exposition

        print(exposition(state), end="")
    else:
        tell(state)


def tell(state: dict[str, Any]) -> None:
    """Print for people."""
    from fedapp.site.status.sentences import headline

    print(f"{state['name']}, {state['role']}" + (f" in {state['consortium']['name']}" if state["consortium"] else ""))
    print(headline(state)[1])
    for problem in state["problems"]:
        print(f"unusable: {problem}")
        if hint := state["hints"].get(problem):
            print(f"hint: {hint}")
    for warning in state.get("warnings", []):
        print(f"WARNING: {warning['about']}. {warning['told']}")
        print(f"hint: {warning['hint']}")
    (tell_partner if state["role"] == "partner" else tell_coordinator)(state)


def tell_partner(state: dict[str, Any]) -> None:
    """A partner's rounds and its ledger."""
    from fedapp.site.status.sentences import headline, of_allowed, of_rounds, privacy_spent, repeated_rounds, what_predicts
    from fedapp.wording import count, duration, moment, plural, score, size

    health, ledger = state["health"], state["ledger"]
    if health["error"]:
        print(f"connection: {health['error']}")
    if health["failure"]:
        print(f"last failure: {health['failure']['error']}")
        if health["failure"]["hint"]:
            print(f"hint: {health['failure']['hint']}")
    refused = next((entry for entry in state["requests"] if entry["refused"]), None)
    if refused:
        print(f"{plural(ledger['refused'], 'request')} refused, the last one {moment(refused['time'])}: {refused['refused']}")
    learned = {entry["round"]: entry for entry in state["learning"]}
    rows = []
    for sent in state["sent"][-LAST:]:
        scored = learned.get(sent["round"], {})
        scores = [score(scored.get(name)) for name in ("loss", "validation", "test")]
        best = " best" if sent["round"] == state["selected"] else ""
        about = [size(sent["bytes_out"]), str(sent["attempts"]), count(sent["partners"]), count(sent["rows"]), count(sent["clipped"])]
        rows.append([f"{sent['round'] or 'set-up'}{best}", *scores, duration(scored.get("seconds")), *about])
    columns = ("round", "loss", f"validation {state['score']}", "test", "trained", "out", "sent", "partners", "rows", "clipped")
    print_table(columns, rows)
    rows_listed = f"{count(ledger['rows_listed'])} of {plural(ledger['rows'], 'row')}, row guard {count(ledger['row_guard'])}"
    if (told := what_predicts(state)) not in headline(state)[1]:
        print(told)
    print(f"holds the trunk of {of_rounds(state)}" if state["round"] else "holds no trunk of a finished round yet")
    print(f"sent: {size(ledger['bytes_out'])} in {plural(ledger['rounds_sent'], 'round')}; {rows_listed}")
    if held := state["repetition"]:
        print(f"sessions joined: {of_allowed(held, 'sessions')}; changes of cohort: {of_allowed(held, 'cohort_changes')}")
        print(f"repeated rounds: {repeated_rounds(held)}")
    if state["endpoints"]:
        tell_endpoints(state["endpoints"])
    if state["privacy_spent"]:
        print(f"record-level privacy spent: {privacy_spent(state['privacy_spent'])}")
    print(f"disk free: {size(health['disk_free'])}")


def tell_endpoints(endpoints: list[dict[str, Any]]) -> None:
    """Which declared tasks have a shared head in play, and where too few holders of one were left."""
    from fedapp.site.status.sentences import shared_head
    from fedapp.wording import plural

    in_play = [held["name"] for held in endpoints if held["in_play"]]
    print(f"shared heads in play: {', '.join(in_play) or 'none'}, of {plural(len(endpoints), 'declared task')}")
    for held in endpoints:
        if held["few"]:
            print(f"{held['name']}: {shared_head(held)}")


def tell_coordinator(state: dict[str, Any]) -> None:
    """The coordinator's rounds, phases and drop-outs."""
    from fedapp.site.status.sentences import ranges
    from fedapp.wording import duration, moment, size

    if state["error"]:
        print(f"error: {state['error']}")
    if state["awaited"]:
        awaited = state["awaited"]
        print(f"waiting for {', '.join(map(str, awaited['names']))}: {awaited['phase']}, since {moment(awaited['since'])}")
    rows = [
        [
            *(str(trunk["round"]), "done" if trunk["done"] else "open", str(trunk["attempts"]), f"{trunk['replied']}/{trunk['asked']}"),
            *(size(trunk["bytes_down"]), size(trunk["bytes_up"]), duration(trunk["seconds"])),
        ]
        for trunk in state["made"][-LAST:]
    ]
    print_table(("round", "", "attempts", "replied", "sent", "received", "took"), rows)
    phases = [[phase["part"], phase["phase"], str(phase["exchanges"]), duration(phase["seconds"])] for phase in state["phases"]]
    print_table(("part", "phase", "exchanges", "median"), phases)
    for drop_out in state["drop_outs"]:
        print(f"left out in {drop_out['phase']}: {drop_out['reason']} (rounds {ranges(drop_out['rounds'])})")


def print_table(columns: tuple[str, ...], rows: list[list[str]]) -> None:
    """A table as wide as its contents; nothing without rows."""
    if not rows:
        return
    table = Table(*columns, box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="")
    for row in rows:
        table.add_row(*map(Text, row))
    Console(width=WIDTH).print(table)
