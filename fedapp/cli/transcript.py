"""`polyphony transcript`: what partners saw, held side by side."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from fedapp.cli.arguments import Json
from fedapp.wording import plural, shown

DIFFERENT = 1

app = typer.Typer(no_args_is_help=True, help="What partners saw, held side by side.")


@app.callback()
def transcript() -> None:
    """Without a callback, an only verb would be left out of the command line."""


@app.command("compare")
def compare(
    files: Annotated[list[Path], typer.Argument(metavar="FILE FILE...", help="transcripts of two partners or more")],
    roster: Annotated[Path, typer.Option("--roster", metavar="FILE", help="the consortium file under which they were written")],
    as_json: Json = False,
) -> None:
    """Tell whether partners' transcripts agree, or where they first differ and to whom that points; exit 1 if they differ."""
    from fedapp.consortium.promises import compare_transcripts  # imports cryptography, which --help need not wait for
    from fedapp.consortium.roster_file import load_roster

    comparison = compare_transcripts(files, load_roster(roster))
    if as_json:
        print(json.dumps(comparison))
    elif comparison["difference"]:
        tell(comparison["difference"])
    else:
        print(
            f"{len(comparison['partners'])} transcripts agree: {plural(comparison['sessions'], 'session')}, "
            f"{plural(comparison['rounds'], 'round')}, {plural(comparison['entries'], 'entry')} compared"
        )
    if not as_json:
        for end in comparison["shorter"]:
            print(
                f"shorter    {end['name']} has {plural(end['entries'], 'entry')}, the last of {end['phase']} in round {end['round']}: "
                "what others tell of later was not compared with it"
            )
    if comparison["difference"]:
        raise typer.Exit(DIFFERENT)


def tell(difference: dict[str, Any]) -> None:
    """Print where transcripts differ."""
    print(f"the transcripts differ: {difference['fact']}, in {difference['phase']} of round {difference['round']}")
    print(f"session    {difference['session']}")
    for view in difference["seen"]:
        refused = f"  refused: {shown(view['refused'])}" if view["refused"] else ""
        print(f"partner {view['partner']:<2} {view['value'] or 'nothing'}  {view['name']}{refused}")
    print(f"verdict    {difference['verdict']}")
