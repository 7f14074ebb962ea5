"""`polyphony identity`: a partner's own keys."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedapp.cli.arguments import Encrypt, NewPassphrase, Remove

if TYPE_CHECKING:
    from strategies.secagg.identity import PublicIdentity

app = typer.Typer(no_args_is_help=True, help="A partner's own keys.")


Folder = Annotated[Path, typer.Argument(metavar="DIR", help="folder for identity.key and node.key (secret), and identity.pub")]


@app.command("new")
def new(directory: Folder, encrypt: Encrypt = False) -> None:
    """Generate an identity: Ed25519 and ML-DSA-65 keys that never leave this machine, a node key that connects it to the coordinator,
    and the public file to hand out."""
    from fedapp.consortium.identity_files import new_identity  # imports cryptography, which --help need not wait for
    from fedapp.consortium.passphrase import new_passphrase, passphrase_file

    tell(directory, new_identity(directory, new_passphrase(passphrase_file()) if encrypt else None).public)


@app.command("node")
def node(directory: Folder) -> None:
    """Generate another node key; the identity stays, and the public file is to be handed out anew."""
    from fedapp.consortium.identity_files import renew_node_key  # imports cryptography, which --help need not wait for

    tell(directory, renew_node_key(directory))


@app.command("passphrase")
def passphrase(directory: Folder, new: NewPassphrase = None, remove: Remove = False) -> None:
    """Encrypt identity.key and node.key under a passphrase, give them another one, or take it away; the keys stay the same."""
    from fedapp.consortium.identity_files import change_passphrase  # imports cryptography, which --help need not wait for
    from fedapp.consortium.passphrase import wanted_passphrase

    tell(directory, change_passphrase(directory, wanted_passphrase(new, remove)).public)


def tell(directory: Path, identity: "PublicIdentity") -> None:
    """Print what to hand out, and what to read out."""
    from fedapp.consortium.public_file import PUBLIC_FILE

    print(f"public       {directory / PUBLIC_FILE}")
    print(f"fingerprint  {identity.fingerprint()}")
