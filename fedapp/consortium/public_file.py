"""`identity.pub`: what a partner hands out, and what others check when it arrives."""

import base64
from dataclasses import dataclass
from pathlib import Path

from fedapp.consortium.node_key import NODE_FORMAT, read_node_key
from fedapp.errors import ConfigError
from strategies.secagg.identity import PublicIdentity

PUBLIC_FILE = "identity.pub"
PUBLIC_FORMAT = "polyphony-v1"
FINGERPRINT = "# fingerprint: "


@dataclass(frozen=True)
class PublicFile:
    """What a partner hands out: its public identity, and its node key as text, unless the file is an old one."""

    identity: PublicIdentity
    node: str | None = None


def public_text(public: PublicFile) -> str:
    """The contents of a public file."""
    text = f"{FINGERPRINT}{public.identity.fingerprint()}\n{PUBLIC_FORMAT} {base64.b64encode(public.identity.keys).decode()}\n"
    return text if public.node is None else f"{text}{public.node}\n"


def load_public(path: Path) -> PublicFile:
    """What a file that `new_identity` wrote hands out.

    Raises:
        ConfigError: No such file, another format, or a fingerprint that is not the key's.
    """
    hint = f"ask its owner for the {PUBLIC_FILE} that `polyphony identity new` wrote"
    if not path.is_file():
        raise ConfigError(f"no public identity {path}", hint)
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        words, *rest = (line.split() for line in lines if not line.startswith("#"))
        if len(words) != 2 or words[0] != PUBLIC_FORMAT or len(rest) > 1:
            raise ValueError(f"not `{PUBLIC_FORMAT} KEY`, and `{NODE_FORMAT} KEY` below")
        identity = decode_key(words[1])
        node = read_node_key(" ".join(rest[0])) if rest else None
    except ValueError as error:
        raise ConfigError(f"{path}: no public identity", hint) from error
    fingerprints = [line.removeprefix(FINGERPRINT) for line in lines if line.startswith(FINGERPRINT)]
    if fingerprints not in ([], [identity.fingerprint()]):  # people read it out from here
        raise ConfigError(f"{path}: its fingerprint is not that of its key: one of them was altered", hint)
    return PublicFile(identity, node)


def decode_key(text: str) -> PublicIdentity:
    """The identity in a public file's second word.

    Raises:
        ValueError: Not base64, or of another length.
    """
    return PublicIdentity(base64.b64decode(text, validate=True))
