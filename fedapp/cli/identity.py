"""`polyphony identity`: a partner's own keys."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="A partner's own keys.")


@app.command("new")
def new(directory: Annotated[Path, typer.Argument(metavar="DIR", help="folder for identity.key (secret) and identity.pub")]) -> None:
    """Generate an identity: Ed25519 and ML-DSA-65 keys that never leave this machine, and the public file to hand out."""
    from fedapp.consortium import PUBLIC_FILE, new_identity  # imports cryptography, which --help need not wait for

    identity = new_identity(directory)
    print(f"public       {directory / PUBLIC_FILE}")
    print(f"fingerprint  {identity.public.fingerprint()}")
