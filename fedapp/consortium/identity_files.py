"""A partner's identity and node key on disk: generated once, never overwritten, open to nobody else."""

import stat
from pathlib import Path

from fedapp.consortium.node_key import new_node_key, open_private_key, private_text, public_half, read_node_key, read_private_key
from fedapp.consortium.passphrase import passphrase_of, wrong_passphrase
from fedapp.consortium.public_file import PUBLIC_FILE, PublicFile, load_public, public_text
from fedapp.errors import ConfigError, PolyphonyError
from fedapp.runtime.locks import alone_in
from fedapp.storage.files import PRIVATE_DIRECTORY, write_text
from strategies.secagg.errors import IdentityFileError
from strategies.secagg.identity import Identity, PublicIdentity

KEY_FILE, NODE_KEY_FILE, NODE_PUBLIC_FILE = "identity.key", "node.key", "node.pub"
OTHERS = 0o077  # permission bits of everybody but the owner


def new_identity(directory: Path, passphrase: bytes | None = None) -> Identity:
    """Generate an identity and a node key, and write identity.key, identity.pub, node.key and node.pub into `directory` (0700).

    Args:
        passphrase: What both private keys are encrypted under; None leaves them in the clear.
    Raises:
        ConfigError: There is one already, a file has the name of one of these, or others may read the directory.
    """
    directory.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
    if directory.stat().st_mode & OTHERS:
        raise ConfigError(f"{directory} is open to other users", f"close it with `chmod 700 {directory}`, or name a new folder")
    key = directory / KEY_FILE
    with alone_in(directory):
        if key.exists():
            raise ConfigError(f"{key} exists and is never overwritten", "a new identity goes into another folder, and into the roster anew")
        _check_left_over(directory, passphrase)
        identity = Identity.generate()
        _write_node_key(directory, identity.public, passphrase)
        write_text(key, identity.to_pem(passphrase).decode())  # last: where there is a key, there is its public file
    return identity


def _check_left_over(directory: Path, passphrase: bytes | None) -> None:
    """Refuse to take the place of anybody's files, but for those of an interrupted call, which belong to one public file."""
    public, node, private = (directory / name for name in (PUBLIC_FILE, NODE_PUBLIC_FILE, NODE_KEY_FILE))
    try:
        known = load_public(public).node if public.exists() else None
        taken = [public] if public.exists() and known is None else []
        taken += [node] if node.exists() and read_node_key(node.read_text(encoding="utf-8")) != known else []
        taken += [private] if private.exists() and public_half(private.read_bytes(), passphrase) != known else []
    except (ConfigError, ValueError):
        taken = [directory]
    if taken:
        raise ConfigError(
            f"{taken[0]} holds other keys than those of `polyphony identity new`, which would take their place", "name a new folder"
        )


def renew_node_key(directory: Path) -> PublicIdentity:
    """Give the identity in `directory` a new node key; node.key, node.pub and identity.pub are written anew.

    It is encrypted if the identity is, under the same passphrase.

    Raises:
        ConfigError: No usable identity, or another than that of identity.pub.
    """
    identity = load_identity(directory).public
    _check_public(directory, identity)
    with alone_in(directory):  # or the three files were of two keys
        _write_node_key(directory, identity, passphrase_of(directory / KEY_FILE))
    return identity


def _write_node_key(directory: Path, identity: PublicIdentity, passphrase: bytes | None) -> None:
    private, public = new_node_key(passphrase)
    write_text(directory / PUBLIC_FILE, public_text(PublicFile(identity, public)))  # first: by it the others are known for ours
    write_text(directory / NODE_PUBLIC_FILE, f"{public}\n")
    write_text(directory / NODE_KEY_FILE, private.decode())


def load_identity(directory: Path) -> Identity:
    """The identity that `new_identity` wrote.

    Raises:
        ConfigError: No key file, a damaged one, one that others may read, or an encrypted one whose passphrase is missing or another.
    """
    key = _key_file(directory)
    return _opened(key, passphrase_of(key))


def change_passphrase(directory: Path, passphrase: bytes | None) -> Identity:
    """Encrypt the two private keys of an identity under a passphrase, or under another; None leaves them in the clear.

    After a kill between the two, the same call goes on: what is under the new passphrase already is left so.

    Raises:
        ConfigError: No usable keys, they do not open with the present passphrase, or they are others than those of identity.pub.
    """
    with alone_in(directory):
        key, node = _key_file(directory), directory / NODE_KEY_FILE
        present = passphrase_of(key)
        identity = _opened(key, present)
        _check_public(directory, identity.public)
        try:
            private = open_private_key(node, present)
        except PolyphonyError:
            private = open_private_key(node, passphrase)
        write_text(node, private_text(private, passphrase).decode())
        write_text(key, identity.to_pem(passphrase).decode())  # last: until then the present passphrase opens it
    return identity


def check_unattended(directory: Path) -> None:
    """Refuse encrypted keys that processes without a terminal could not open.

    Raises:
        ConfigError: The passphrase is in no file, or does not open them.
    """
    if passphrase_of(directory / KEY_FILE, ask=False) is not None:
        load_identity(directory)
    if passphrase_of(directory / NODE_KEY_FILE, ask=False) is not None:
        read_private_key(directory / NODE_KEY_FILE)


def _check_public(directory: Path, identity: PublicIdentity) -> None:
    """Refuse to write down anew what a flipped bit made another key of: it opens as well as the right one."""
    public = directory / PUBLIC_FILE
    if public.is_file() and load_public(public).identity != identity:
        raise ConfigError(f"{directory / KEY_FILE} is not the key of {public}: one of them was altered", "bring both back from one backup")


def _key_file(directory: Path) -> Path:
    key = directory / KEY_FILE
    if not key.is_file():
        raise ConfigError(f"no {key}", f"`polyphony identity new {directory}` makes an identity")
    if stat.S_IMODE(key.stat().st_mode) & OTHERS:
        raise ConfigError(
            f"{key} is open to other users", f"if nobody has read it, close it with `chmod 600 {key}`; otherwise make a new identity"
        )
    return key


def _opened(key: Path, passphrase: bytes | None) -> Identity:
    try:
        return Identity.from_pem(key.read_bytes(), passphrase)
    except IdentityFileError as error:
        if passphrase is not None:
            raise wrong_passphrase(key) from error
        raise ConfigError(f"{key} is damaged: {error}", "bring it back from a backup, or make a new identity") from error
