"""`polyphony certificates`: TLS certificates from the consortium's own authority."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from fedapp.cli.arguments import Encrypt, NewPassphrase, Remove
from fedapp.wording import plural

app = typer.Typer(no_args_is_help=True, help="TLS certificates from the consortium's own authority.")


@app.command("new")
def new(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="folder for ca.* and server.*; with a ca.key: the server's are renewed")],
    hosts: Annotated[list[str] | None, typer.Option("--host", metavar="NAME", help="where partners reach the coordinator")] = None,
    days: Annotated[int, typer.Option("--days", metavar="N", min=1, max=3650, help="validity of the coordinator's certificate")] = 365,
    encrypt: Encrypt = False,
) -> None:
    """Make an authority and a certificate for the coordinator; called again, only a new certificate, for the same hosts unless told."""
    from fedapp.consortium.certificates import AUTHORITY_KEY, certificate_files, new_certificates  # imports cryptography
    from fedapp.consortium.passphrase import new_passphrase, passphrase_file

    there = (directory / AUTHORITY_KEY).exists()
    new_certificates(directory, hosts or (), days, new_passphrase(passphrase_file()) if encrypt else None)
    if there:
        print(f"{directory / AUTHORITY_KEY} was there and is kept: the coordinator's certificate and key alone are new", file=sys.stderr)
    for path in certificate_files(directory):
        describe(path)


@app.command("passphrase")
def passphrase(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="folder with ca.key and ca.crt")],
    new: NewPassphrase = None,
    remove: Remove = False,
) -> None:
    """Encrypt the authority's key under a passphrase, give it another one, or take it away; the coordinator's key is never encrypted."""
    from fedapp.consortium.certificates import AUTHORITY_KEY, change_authority_passphrase
    from fedapp.consortium.passphrase import wanted_passphrase  # imports cryptography, which --help need not wait for

    change_authority_passphrase(directory, wanted_passphrase(new, remove))
    print(directory / AUTHORITY_KEY)


@app.command("check")
def check(path: Annotated[Path, typer.Argument(metavar="DIR|FILE", help="a folder of `certificates new`, or a certificate")]) -> None:
    """Tell until when certificates are valid, and for which hosts; fails if one is not valid now."""
    from fedapp.consortium.certificates import certificate_files  # imports cryptography, which --help need not wait for

    invalid = [file for file in certificate_files(path) if not describe(file)]
    if invalid:
        raise typer.Exit(1)


def describe(path: Path) -> bool:
    """Print one line; whether the certificate is valid now."""
    from fedapp.consortium.certificates import certificate_facts

    facts = certificate_facts(path)
    what = "authority" if facts.authority else ", ".join(facts.hosts) or "no host"
    left = "not valid yet" if facts.early() else "expired" if facts.days_left() < 0 else f"{plural(facts.days_left(), 'day')} left"
    print(f"{path}  until {facts.ends:%Y-%m-%d %H:%M} UTC, {left}  {what}")
    return not facts.early() and facts.days_left() >= 0
