"""`polyphony serve` and `polyphony federate`: one party's processes, and the rounds that the coordinator starts."""

import json
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedapp.cli.arguments import Json
from fedapp.wording import plural

if TYPE_CHECKING:
    from strategies.coordinator.journal import Awaited, Exchange

Again = Annotated[
    bool, typer.Option("--again", help="on a finished run too: a partner that lost its trunk since gets it, and nothing is trained")
]
SiteFolder = Annotated[Path, typer.Argument(metavar="SITE", help="a party's folder, as `polyphony kit install` made it")]


def serve(site: SiteFolder) -> None:
    """Run one party in the foreground until it is ended: a partner's SuperNode, or the coordinator's SuperLink."""
    from fedapp.site.folder import Site
    from fedapp.site.run.serve import serve as serve_site

    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    serve_site(Site.open(site))


def federate(site: SiteFolder, again: Again = False, as_json: Json = False) -> None:
    """Run the rounds, from where partners stand; at the coordinator, while `polyphony serve` runs there."""
    from fedapp.site.folder import Site
    from fedapp.site.run.federate import federate as run_rounds

    result = run_rounds(Site.open(site), tell, tell_awaited, again, tell_begun)
    if as_json:
        print(json.dumps(result))
    else:
        if result["before"]:
            print("before     all partners had the last trunk when it ended: none was asked for anything; a kit with more rounds goes on")
            print(f"           for a partner that lost its trunk since: polyphony federate {site} --again")
        print(f"finished   {plural(result['rounds'], 'round')}, {result['seconds_per_round']:.1f} s each (median)")


def tell_begun() -> None:
    """The first word, long before the first exchange."""
    print("waiting for partners", file=sys.stderr)


def tell(exchange: "Exchange") -> None:
    """One line an exchange."""
    who = f"round {exchange.round}  {exchange.phase}  {exchange.replied}/{exchange.asked}"
    size = f"{exchange.bytes_down / 1e6:.1f} MB down, {exchange.bytes_up / 1e6:.1f} MB up"
    print(f"{who}  {size}  {exchange.seconds:.1f} s", file=sys.stderr)
    for reason in exchange.left_out:
        print(f"    left out: {reason}", file=sys.stderr)


def tell_awaited(awaited: "Awaited") -> None:
    """Who keeps the others waiting."""
    print(f"round {awaited.round}  {awaited.phase}  waiting for {', '.join(map(str, awaited.names))}", file=sys.stderr)
