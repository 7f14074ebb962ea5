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
    experiment: Annotated[
        list[str] | None, typer.Argument(metavar="[CONF] [KEY=VALUE]...", help="the experiment (default: conf/default.yaml)")
    ] = None,
    certificates: Annotated[
        Path | None, typer.Option("--certificates", metavar="DIR", help="folder with ca.crt, server.crt and server.key")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", metavar="N", help="makes the run repeat; all partners know it")] = None,
    page: Annotated[
        int, typer.Option("--page", metavar="PORT", help="of the coordinator's local page; partner i's is i higher; 0: none")
    ] = 8600,
) -> None:
    """Make a kit per party: configuration, policy, services and the commands to run, with nothing secret of anyone else."""
    from fedapp.site.floor import DEFAULT, shortfalls, terms_of, tightened  # imports cryptography, which --help need not wait for
    from fedapp.site.folder import Site
    from fedapp.site.kit.make import Plan, assignments, make_kits
    from fedapp.site.terms import too_few_supporters

    config = read_experiment([*(experiment or []), *assignments(roster)])
    folders = make_kits(Plan(roster, config, superlink, certificates, seed, page), out)
    for folder in folders:
        print(folder)
    terms = terms_of(Site.open(folders[-1]))
    for shortfall in shortfalls(tightened(terms, DEFAULT), DEFAULT).values():
        print(f"warning: sites begin with a floor.yaml that refuses these kits, unless they lower it: {shortfall}", file=sys.stderr)
    if often := shortfalls(terms, DEFAULT).get("repetition"):
        print(f"warning: sites keep to the tighter limits of the floor.yaml that they begin with: {often}", file=sys.stderr)
    if few := too_few_supporters(terms):
        print(f"warning: {few}", file=sys.stderr)
    print("send every party its folder; its README.md says what to do with it", file=sys.stderr)


@app.command("install")
def install(
    kit: Annotated[Path, typer.Argument(metavar="KIT", help="our folder of `polyphony kit new`")],
    site: Annotated[Path, typer.Argument(metavar="SITE", help="folder of our site, new or in use; nothing may be running in it")],
    new_floor: Annotated[
        bool, typer.Option("--new-floor", help="make floor.yaml with the defaults, where a site in use lost its own")
    ] = False,
) -> None:
    """Take over a kit, and say what our site accepts with it; keys, state, log, dataset and floor.yaml stay as they are.

    A kit that would have us accept less than our own floor.yaml says is refused; that file is ours to edit. Who joins, leaves or has new
    keys is named, and a new address or authority of the coordinator: compare the roster's digest with every other partner before the
    service is started.
    """
    from fedapp.site.floor import terms_of  # imports cryptography, which --help need not wait for
    from fedapp.site.folder import Site
    from fedapp.site.kit.install import install as take_over
    from fedapp.site.kit.install import mark
    from fedapp.site.terms import in_words

    changes = take_over(kit, site, new_floor)
    print(site)
    installed = Site.open(site)
    if installed.partner:
        for name, term in in_words(terms_of(installed)).items():
            print(f"accepts  {name:<12} {term}")
        print(f"floor    {installed.floor} says the least that this site ever accepts, and is yours to edit")
    for change in changes:
        print(f"{mark(change):<7}  {change}")
