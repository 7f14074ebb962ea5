"""`polyphony transcript`: what partners saw, held side by side."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from fedapp.cli.arguments import Json

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

    told = compare_transcripts(files, load_roster(roster))
    if as_json:
        print(json.dumps(told))
    elif told["difference"]:
        tell(told["difference"])
    else:
        print(
            f"{len(told['partners'])} transcripts agree: {told['sessions']} sessions, {told['rounds']} rounds, "
            f"{told['entries']} entries compared"
        )
    if not as_json:
        for each in told["shorter"]:
            print(
                f"shorter    {each['name']} has {each['entries']} entries, the last of {each['phase']} in round {each['round']}: "
                "what others tell of later was not compared with it"
            )
    if told["difference"]:
        raise typer.Exit(DIFFERENT)


def tell(difference: dict[str, Any]) -> None:
    """Print where transcripts differ."""
    print(f"the transcripts differ: {difference['fact']}, in {difference['phase']} of round {difference['round']}")
    print(f"session    {difference['session']}")
    for each in difference["seen"]:
        refused = f"  refused: {each['refused']}" if each["refused"] else ""
        print(f"partner {each['partner']:<2} {each['value'] or 'nothing'}  {each['name']}{refused}")
    print(f"verdict    {difference['verdict']}")
