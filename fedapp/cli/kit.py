"""`polyphony kit`: what each party gets to set up its site."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from fedapp.cli.arguments import read_experiment

app = typer.Typer(no_args_is_help=True, help="What each party gets to set up its site.")


@app.command("new")
def new(
    roster: Annotated[Path, typer.Argument(metavar="CONSORTIUM", help="consortium file, such as consortium.yaml")],
    superlink: Annotated[str, typer.Option("--superlink", metavar="HOST:PORT", help="where partners reach the coordinator")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="folder for the kits")],
    words: Annotated[list[str] | None, typer.Argument(metavar="[CONF] [KEY=VALUE]...", help="the experiment")] = None,
    certificates: Annotated[
        Path | None, typer.Option("--certificates", metavar="DIR", help="folder with ca.crt, server.crt and server.key")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", metavar="N", help="makes the run repeat; all partners know it")] = None,
    page: Annotated[
        int, typer.Option("--page", metavar="PORT", help="of the coordinator's local page; partner i's is i higher; 0: none")
    ] = 8600,
) -> None:
    """Make a kit per party: configuration, policy, services and the commands to run, with nothing secret of anyone else."""
    from fedapp.site.kit import Plan, assignments, make_kits  # imports cryptography, which --help need not wait for

    config = read_experiment([*(words or []), *assignments(roster)])
    for folder in make_kits(Plan(roster, config, superlink, certificates, seed, page), out):
        print(folder)
    print("send every party its folder; its README.md says what to do with it", file=sys.stderr)


@app.command("install")
def install(
    kit: Annotated[Path, typer.Argument(metavar="KIT", help="our folder of `polyphony kit new`")],
    site: Annotated[Path, typer.Argument(metavar="SITE", help="folder of our site, new or in use; nothing may be running in it")],
) -> None:
    """Take over a kit; an existing site keeps its keys, state, log and dataset."""
    from fedapp.site.install import install as take_over  # imports cryptography, which --help need not wait for

    changes = take_over(kit, site)
    print(site)
    for change in changes:
        print(f"policy  {change}")
