"""The files with which a consortium comes together: each partner's identity, and the roster that all of them pin."""

import base64
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from fedapp.consortium.names import alike, fault_of
from fedapp.consortium.node_key import read_node_key
from fedapp.consortium.public_file import PUBLIC_FILE, PublicFile, decode_key
from fedapp.errors import ConfigError
from fedapp.runtime.locks import alone_in
from fedapp.storage.files import write_text
from fedapp.storage.yaml_file import read_plain, typed
from strategies.secagg.roster import LEAST_PARTNERS, Member, Roster, default_threshold

ROSTER_HEADER = "# Every partner keeps the same copy: compare the digest that `polyphony consortium check` prints, over the telephone.\n"


@dataclass(frozen=True)
class ConsortiumFile:
    """A consortium file as YAML holds it."""

    consortium: str
    threshold: int | None
    minimum: int | None
    partners: list[Any]


@dataclass(frozen=True)
class PartnerEntry:
    """One of its partners; keys as in `public_file`."""

    index: int
    name: str
    key: str
    node: str | None


@dataclass(frozen=True)
class Draft:
    """A consortium file, perhaps not complete yet.

    Attributes:
        threshold: None is ⌊2n/3⌋ + 1.
        minimum: None is the threshold, but at least 3.
        members: By index, 1 to n without a gap.
        nodes: Name to node key, of those who have one; the roster does not depend on them.
    """

    consortium: str
    threshold: int | None = None
    minimum: int | None = None
    members: tuple[Member, ...] = ()
    nodes: Mapping[str, str] = field(default_factory=dict)

    def roster(self) -> Roster:
        """The roster.

        Raises:
            ValueError: It is not complete, or threshold or minimum do not fit.
        """
        threshold = default_threshold(len(self.members)) if self.threshold is None else self.threshold
        minimum = max(LEAST_PARTNERS, threshold) if self.minimum is None else self.minimum
        return Roster(self.consortium, threshold, minimum, self.members)


def new_consortium(path: Path, draft: Draft) -> None:
    """Begin a consortium file.

    Raises:
        ConfigError: There is one already, or the consortium's name is unusable.
    """
    _check_name(draft.consortium, f"{path}: consortium")
    folder = path.resolve().parent
    folder.mkdir(parents=True, exist_ok=True)
    with alone_in(folder):
        if path.exists():
            raise ConfigError(f"{path} exists", "name another file, or add partners with `polyphony consortium add`")
        _write(path, draft)


def add_partner(path: Path, name: str, public: PublicFile) -> Member:
    """Add a partner to a consortium file, with the next index.

    Raises:
        ConfigError: An unusable file or name, or the name or one of the keys is in it already.
    """
    with _changing(path) as draft:
        member = Member(len(draft.members) + 1, name, public.identity)
        _check_name(name, str(path))
        _check_unlike(member, public.node, draft, f"{path}: {name}")
        _write(path, _with(draft, member, public.node))
    return member


def replace_partner(path: Path, name: str, public: PublicFile) -> Member:
    """Give a partner of a consortium file other keys; name and index stay.

    Raises:
        ConfigError: An unusable file, no such partner, or one of the keys is another partner's.
    """
    with _changing(path) as draft:
        member = replace(_find(path, draft, name), identity=public.identity)
        others = _without(draft, name)
        _check_unlike(member, public.node, others, f"{path}: {name}")
        _write(path, _with(others, member, public.node))
    return member


def remove_partner(path: Path, name: str) -> Member:
    """Take a partner out of a consortium file; those behind it move up by one.

    Raises:
        ConfigError: An unusable file, or no such partner.
    """
    with _changing(path) as draft:
        member = _find(path, draft, name)
        left = _without(draft, name)
        _write(path, replace(left, members=tuple(replace(partner, index=index) for index, partner in enumerate(left.members, 1))))
    return member


@contextmanager
def _changing(path: Path) -> Iterator[Draft]:
    """What is in a consortium file, which nobody else changes while inside."""
    _check_there(path)
    with alone_in(path.resolve().parent):
        yield load_draft(path)


def _check_there(path: Path) -> None:
    if not path.is_file():
        raise ConfigError(f"no consortium file {path}", f"`polyphony consortium new {path} --name NAME` begins one")


def _find(path: Path, draft: Draft, name: str) -> Member:
    for member in draft.members:
        if member.name == name:
            return member
    raise ConfigError(f"{path}: there is no partner {name!r:.80}", "`polyphony consortium show` lists them")


def _with(draft: Draft, member: Member, node: str | None) -> Draft:
    nodes = dict(draft.nodes) if node is None else {**draft.nodes, member.name: node}
    return replace(draft, members=tuple(sorted((*draft.members, member), key=lambda partner: partner.index)), nodes=nodes)


def _without(draft: Draft, name: str) -> Draft:
    nodes = {owner: node for owner, node in draft.nodes.items() if owner != name}
    return replace(draft, members=tuple(member for member in draft.members if member.name != name), nodes=nodes)


def write_roster(path: Path, roster: Roster) -> None:
    """Write a roster as a consortium file, with threshold and minimum spelled out."""
    _write(path, Draft(roster.consortium, roster.threshold, roster.minimum, roster.members))


def load_roster(path: Path) -> Roster:
    """The roster in a consortium file.

    Raises:
        ConfigError: An unusable file, naming the entry, or not a roster yet.
    """
    try:
        return load_draft(path).roster()
    except ValueError as error:
        raise ConfigError(f"{path}: {error}", "`polyphony consortium show` tells what is in it, `add` adds a partner") from error


def load_draft(path: Path) -> Draft:
    """What a consortium file holds, be it complete or not.

    Raises:
        ConfigError: No such file, or an unusable entry, which is named.
    """
    _check_there(path)
    given = typed(read_plain(path, "it was damaged: ask another partner for its copy"), ConsortiumFile, str(path))
    _check_name(given.consortium, f"{path}: consortium")
    draft = Draft(given.consortium, given.threshold, given.minimum)
    for number, entry in enumerate(given.partners, start=1):
        partner = typed(entry, PartnerEntry, f"{path}: partner {number}")
        _check_name(partner.name, f"{path}: partner {number}")
        where = f"{path}: partner {number} ({partner.name})"
        if partner.index != number:
            raise ConfigError(f"{where} has index {partner.index}", "partners are numbered 1, 2, 3 … in order")
        try:
            member = Member(number, partner.name, decode_key(partner.key))
        except ValueError as error:
            raise ConfigError(f"{where} has an unusable key: {error}", f"the key is the second word in its {PUBLIC_FILE}") from error
        try:
            node = None if partner.node is None else read_node_key(partner.node)
        except ValueError as error:
            raise ConfigError(f"{where} has an unusable node key", f"it is the last line of its {PUBLIC_FILE}") from error
        _check_unlike(member, node, draft, where)
        draft = _with(draft, member, node)
    return draft


def _check_name(name: str, where: str) -> None:
    if fault := fault_of(name):
        raise ConfigError(f"{where}: {name!a:.200} is no name", fault)


def _check_unlike(member: Member, node: str | None, others: Draft, where: str) -> None:
    """Refuse what could be mistaken for one of the others."""
    for other in others.members:
        if member.name == other.name:
            raise ConfigError(f"{where}: partner {other.index} has the same name")
        if alike(member.name, other.name):
            raise ConfigError(
                f"{where}: {member.name!a} is read as partner {other.index}, {other.name!a}", "give them names that people tell apart"
            )
        if member.identity == other.identity:
            raise ConfigError(f"{where}: {other.name} has the same key", "each partner has an identity of its own")
    for name, other_node in others.nodes.items():
        if node == other_node:
            raise ConfigError(f"{where}: {name} has the same node key", "each partner has a node key of its own")


def _write(path: Path, draft: Draft) -> None:
    partners = [
        {"index": member.index, "name": member.name, "key": base64.b64encode(member.identity.keys).decode()}
        | ({"node": draft.nodes[member.name]} if member.name in draft.nodes else {})
        for member in draft.members
    ]
    content = {"consortium": draft.consortium, "threshold": draft.threshold, "minimum": draft.minimum, "partners": partners}
    write_text(path, ROSTER_HEADER + OmegaConf.to_yaml(OmegaConf.create(content)))
