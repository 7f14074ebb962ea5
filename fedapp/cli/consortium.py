"""`polyphony consortium`: the roster that all partners agree on."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedapp.cli.arguments import Json
from fedapp.wording import plural

if TYPE_CHECKING:
    from strategies.secagg.roster import Member

app = typer.Typer(no_args_is_help=True, help="The roster that all partners agree on.")

File = Annotated[Path, typer.Argument(metavar="FILE", help="consortium file, such as consortium.yaml")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="the partner's name")]
Public = Annotated[Path, typer.Argument(metavar="PUBFILE", help="its identity.pub")]


@app.command("new")
def new(
    file: File,
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="the consortium's name")],
    threshold: Annotated[
        int | None, typer.Option("--threshold", metavar="T", help="partners that a round needs (default: 2n/3 + 1)")
    ] = None,
    minimum: Annotated[int | None, typer.Option("--minimum", metavar="M", help="least survivors of a round (default: T)")] = None,
) -> None:
    """Begin a consortium file without partners."""
    from fedapp.consortium.roster_file import Draft, new_consortium  # imports cryptography, which --help need not wait for

    new_consortium(file, Draft(name, threshold, minimum))
    print(file)


@app.command("add")
def add(file: File, name: Name, public: Public) -> None:
    """Add a partner; partners are numbered in the order in which they are added."""
    from fedapp.consortium.public_file import load_public
    from fedapp.consortium.roster_file import add_partner  # imports cryptography, which --help need not wait for

    tell(add_partner(file, name, load_public(public)))


@app.command("replace")
def replace(file: File, name: Name, public: Public) -> None:
    """Give a partner new keys; its name and number stay."""
    from fedapp.consortium.public_file import load_public
    from fedapp.consortium.roster_file import replace_partner  # imports cryptography, which --help need not wait for

    tell(replace_partner(file, name, load_public(public)))


@app.command("remove")
def remove(file: File, name: Name) -> None:
    """Take out a partner that has left; those behind it move up by one."""
    from fedapp.consortium.roster_file import remove_partner  # imports cryptography, which --help need not wait for

    member = remove_partner(file, name)
    print(f"removed  {member.name}  {member.identity.fingerprint()}")


def tell(member: "Member") -> None:
    """Print whose key is in the file now, for people to compare."""
    print(f"partner {member.index}  {member.name}  {member.identity.fingerprint()}")
    print(f"let {member.name} read out the fingerprint over the telephone: it must be this one", file=sys.stderr)


@app.command("show")
def show(file: File, as_json: Json = False) -> None:
    """Show a consortium file, be it complete or not."""
    from fedapp.consortium.promises import spoken  # imports cryptography, which --help need not wait for
    from fedapp.consortium.roster_file import load_draft

    draft = load_draft(file)
    partners = [
        {"index": member.index, "name": member.name, "fingerprint": member.identity.fingerprint(), "node_key": member.name in draft.nodes}
        for member in draft.members
    ]
    summary = {"consortium": draft.consortium, "threshold": draft.threshold, "minimum": draft.minimum, "digest": None}
    try:
        roster = draft.roster()
        summary |= {"threshold": roster.threshold, "minimum": roster.minimum, "digest": spoken(roster.digest())}
    except ValueError as error:
        print(f"not a roster yet: {error}", file=sys.stderr)
    if as_json:
        print(json.dumps(summary | {"partners": partners}))
        return
    for key, value in summary.items():
        print(f"{key:<10}  {'-' if value is None else value}")
    for partner in partners:
        node = "node key" if partner["node_key"] else "no node key"
        print(f"{partner['index']:<3} {partner['name']:<24} {partner['fingerprint']}  {node}")


@app.command("check")
def check(
    file: File,
    identity: Annotated[
        Path | None, typer.Option("--identity", metavar="DIR", help="our identity, to find ourselves in the roster")
    ] = None,
    as_json: Json = False,
) -> None:
    """Check that a roster is usable, and tell its digest, which must be the same at every partner, and what its threshold means."""
    from fedapp.consortium.identity_files import load_identity
    from fedapp.consortium.promises import meaning  # imports cryptography, which --help need not wait for
    from fedapp.consortium.roster_file import load_roster

    summary = meaning(load_roster(file), load_identity(identity).public if identity else None)
    if as_json:
        print(json.dumps(summary))
        return
    print(f"consortium  {summary['consortium']}, {plural(summary['partners'], 'partner')}")
    if identity:
        print(f"we are      partner {summary['index']}, {summary['name']}")
    print(f"threshold   {summary['threshold']} of {summary['partners']}, minimum {summary['minimum']}")
    print(f"drop-outs   {summary['drop_outs']} tolerated in a round")
    print(f"colluding   {summary['colluders']} tolerated: with the coordinator, they learn no more than the sum of the others")
    print(f"digest      {summary['digest']}")
    for warning in summary["warnings"]:
        print(f"warning: {warning}", file=sys.stderr)
    print("compare the digest with every partner over the telephone", file=sys.stderr)
