"""The passphrase of a party's private keys: from a file that the environment names, from systemd, or asked for on a terminal.

It is never an argument, a variable or a line of a log: those are others' to read. One passphrase opens all keys that a process needs.
"""

import os
import stat
import sys
from functools import cache
from getpass import getpass
from pathlib import Path

from fedapp.errors import ConfigError

VARIABLE = "POLYPHONY_PASSPHRASE_FILE"
CREDENTIALS, CREDENTIAL = "CREDENTIALS_DIRECTORY", "polyphony-passphrase"  # systemd.exec(5), LoadCredential=
ENCRYPTED = b"-----BEGIN ENCRYPTED PRIVATE KEY-----"  # PKCS #8
LEAST, MOST = 16, 1023  # bytes. PKCS #8 as `cryptography` writes it slows a guess down by 2,048 hashes only; OpenSSL takes no more
DRAW = "draw one, such as by: head -c 24 /dev/urandom | base64"


def is_encrypted(key: Path) -> bool:
    """Whether a file holds a key under a passphrase; one that is not there does not."""
    return key.is_file() and ENCRYPTED in key.read_bytes()


def passphrase_of(key: Path, ask: bool = True) -> bytes | None:
    """The passphrase that a key file is to be opened with; None if it is not encrypted.

    Args:
        ask: Whether a person may be asked, where there is a terminal and no file.
    Raises:
        ConfigError: It is encrypted, and there is neither a file nor somebody to ask; or the file is unusable.
    """
    if not is_encrypted(key):
        return None
    file = passphrase_file()
    if file is not None:
        return read_passphrase(file)
    if ask and sys.stdin.isatty():
        return _asked()
    raise ConfigError(
        f"{key} is encrypted, and there is no passphrase to open it with",
        f"name a file that holds it in the variable {VARIABLE}; under systemd, the credential {CREDENTIAL}"
        f"{'' if ask else '; what serves has no terminal to ask on'}",
    )


def wrong_passphrase(key: Path) -> ConfigError:
    """The error of an encrypted key that did not open."""
    file = passphrase_file()
    return ConfigError(
        f"{key} does not open with the passphrase {'given' if file is None else f'in {file}'}",
        "give the passphrase that it was encrypted under; if this is it, the key is damaged: bring it back from a backup",
    )


def passphrase_file() -> Path | None:
    """Where a process without a terminal finds it: the file that the environment names, or the service's credential."""
    if named := os.environ.get(VARIABLE):
        return Path(named)
    handed = Path(os.environ.get(CREDENTIALS, "/nowhere"), CREDENTIAL)
    return handed if handed.is_file() else None


def read_passphrase(file: Path) -> bytes:
    """The one line in a file.

    Raises:
        ConfigError: No such file, one that all users may read, or no passphrase in it.
    """
    if not file.exists():
        raise ConfigError(f"there is no passphrase file {file}", f"{VARIABLE} names a file with the passphrase as its only line")
    if stat.S_IMODE(file.stat().st_mode) & stat.S_IRWXO:
        raise ConfigError(f"{file} is open to all users", f"close it with `chmod 600 {file}`, and take another passphrase")
    return _checked(file.read_bytes().removesuffix(b"\n").removesuffix(b"\r"), str(file))


def new_passphrase(file: Path | None = None) -> bytes:
    """A passphrase for keys that are written now: a file's, or what a person types twice.

    Raises:
        ConfigError: It is too short to keep anybody out, the two differ, or there is nobody to ask.
    """
    if file is not None:
        return _long(read_passphrase(file), str(file))
    if not sys.stdin.isatty():
        raise ConfigError("there is no terminal to ask for a new passphrase on", "name a file with the passphrase as its only line")
    first = _long(_typed("new passphrase: "), "the passphrase")
    if _typed("the same again: ") != first:
        raise ConfigError("the two passphrases differ; nothing was changed", "try again")
    return first


def wanted_passphrase(file: Path | None, remove: bool) -> bytes | None:
    """The passphrase that keys are to get; None if they are to lie in the clear.

    Raises:
        ConfigError: Both are asked for, or there is no usable passphrase.
    """
    if not remove:
        return new_passphrase(file)
    if file is not None:
        raise ConfigError("a new passphrase, and none at all", "leave out --new FILE, or --remove")
    return None


@cache
def _asked() -> bytes:
    """What a person types, once a process."""
    return _typed("present passphrase of the keys: ")


def _typed(prompt: str) -> bytes:
    try:
        return _checked(getpass(prompt).encode(), "the passphrase")
    except EOFError as error:
        raise ConfigError("no passphrase was typed; nothing was changed", "try again") from error


def _checked(passphrase: bytes, where: str) -> bytes:
    if not passphrase or b"\n" in passphrase or b"\0" in passphrase or len(passphrase) > MOST:
        raise ConfigError(f"{where}: a passphrase is one line of 1 to {MOST:,} bytes", DRAW)
    return passphrase


def _long(passphrase: bytes, where: str) -> bytes:
    if len(passphrase) < LEAST:
        raise ConfigError(f"{where}: {len(passphrase)} bytes are too few to keep anybody out who has the file; at least {LEAST}", DRAW)
    return passphrase
