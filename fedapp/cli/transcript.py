"""`polyphony transcript`: what partners saw, held side by side."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from fedapp.cli.arguments import Json
from fedapp.wording import plural, shown

DIFFERENT = BROKEN = 1
SHORT = 16  # hex digits of a name or a session that are enough to find it again
NO_TRUNK = "0" * 64

app = typer.Typer(no_args_is_help=True, help="What partners saw: held side by side, and what it proves.")

Roster = Annotated[Path, typer.Option("--roster", metavar="FILE", help="the consortium file under which they were written")]


@app.command("compare")
def compare(
    files: Annotated[list[Path], typer.Argument(metavar="FILE FILE...", help="transcripts of two partners or more")],
    roster: Roster,
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
        tell_proofs(comparison["proofs"])
    if comparison["difference"]:
        raise typer.Exit(DIFFERENT)


@app.command("verify")
def verify(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="transcripts, each of one partner")],
    roster: Roster,
    as_json: Json = False,
) -> None:
    """Tell what each transcript proves, and of whom, what was refused, and which trunks it names; exit 1 if one is broken.

    Protocol rounds are counted: a session's row list is one, and so is a round that was made again.
    """
    from fedapp.consortium.promises import verify_transcripts  # imports cryptography, which --help need not wait for
    from fedapp.consortium.roster_file import load_roster

    found = verify_transcripts(files, load_roster(roster))
    if as_json:
        print(json.dumps(found))
    else:
        for told in found["transcripts"]:
            tell_transcript(told)
        for broken in found["broken"]:
            print(f"broken     {shown(broken['reason'])}")
    if found["broken"]:
        raise typer.Exit(BROKEN)


def tell_transcript(told: dict[str, Any]) -> None:
    """Print what one transcript tells."""
    much = f"{plural(told['entries'], 'entry')}, whole and signed, of {plural(told['rounds'], 'protocol round')}"
    print(f"{told['name']}, partner {told['partner']}: {much} in {plural(told['sessions'], 'session')}  {shown(told['file'])}")
    trunks = told["trunks"]
    trained = trunks["trained_from"]
    if trained:
        print(f"trained    from {plural(len(trained), 'trunk')} (trunk and row list); the last {at(trained[-1])}")
    if trunks["came_to"]:
        print(f"came to    {plural(len(trunks['came_to']), 'trunk')} by a sum; the last {at(trunks['came_to'][-1])}")
    for trunk in trunks["taken_over"]:
        print(f"took over  {at(trunk)} from {trunk['name']}")
    for trunk in trunks["handed_over"]:
        print(f"handed     over {at(trunk)}")
    for trunk in trunks["gone_back_to"]:
        print(f"went back  to {at(trunk)}")
    for refused in told["refused"]:
        over = ", ".join(f"{name} {plural(times, 'time')}" for name, times in refused["over"].items())
        print(f"refused    {shown(refused['error'])} {plural(refused['times'], 'time')}{f', over {over}' if over else ''}")
    tell_proofs(told["proofs"])
    if not told["proofs"]:
        print("proves     nothing of anybody")


def tell_proofs(proofs: list[dict[str, Any]]) -> None:
    """Print who is proven to have misbehaved."""
    for proof in proofs:
        what = f"{proof['name']}, partner {proof['partner']}: {proof['what']} ({proof['kind']})"
        print(f"proves     {what}, in round {proof['round']} of session {proof['session'][:SHORT]}")


def at(trunk: dict[str, Any]) -> str:
    """A trunk and where it came up."""
    name = "no trunk" if trunk["trunk"] == NO_TRUNK else trunk["trunk"][:SHORT]
    return f"{name}, in round {trunk['round']} of session {trunk['session'][:SHORT]}"


def tell(difference: dict[str, Any]) -> None:
    """Print where transcripts differ."""
    print(f"the transcripts differ: {difference['fact']}, in {difference['phase']} of round {difference['round']}")
    print(f"session    {difference['session']}")
    for view in difference["seen"]:
        refused = f"  refused: {shown(view['refused'])}" if view["refused"] else ""
        print(f"partner {view['partner']:<2} {view['value'] or 'nothing'}  {view['name']}{refused}")
    print(f"verdict    {difference['verdict']}")
