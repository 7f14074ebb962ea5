"""Two people change a consortium's files in the same moment: nothing that either was told is done is lost, and no file is of two makers."""

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Barrier
from typing import TypeVar

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fedapp.consortium import roster_file
from fedapp.consortium.certificates import new_certificates
from fedapp.consortium.identity_files import load_identity, new_identity, renew_node_key
from fedapp.consortium.node_key import public_half
from fedapp.consortium.public_file import PublicFile, load_public
from fedapp.consortium.roster_file import Draft, add_partner, load_draft, new_consortium, remove_partner
from fedapp.errors import BusyError, ConfigError
from fedapp.runtime.locks import alone_in
from strategies.secagg.identity import KEY_BYTES, Identity, PublicIdentity
from tests.conftest import ROOT

T = TypeVar("T")
MANY = 6


def at_once(act: Callable[[int], T]) -> list[T | ConfigError]:
    """What becomes of an act that several do in one moment, each with its number."""
    barrier = Barrier(MANY)

    def do(number: int) -> T | ConfigError:
        barrier.wait()
        try:
            return act(number)
        except ConfigError as error:
            return error

    with ThreadPoolExecutor(MANY) as pool:
        return list(pool.map(do, range(MANY)))


def public(number: int) -> PublicFile:
    return PublicFile(PublicIdentity(bytes([number + 1]) * KEY_BYTES))


@pytest.fixture
def roster(tmp_path: Path) -> Path:
    new_consortium(tmp_path / "consortium.yaml", Draft("many hands"))
    return tmp_path / "consortium.yaml"


def test_partners_that_are_added_in_one_moment_are_all_in_it(roster: Path) -> None:
    members = at_once(lambda number: add_partner(roster, f"partner {number}", public(number)))
    assert set(load_draft(roster).members) == set(members)
    assert [member.index for member in load_draft(roster).members] == list(range(1, MANY + 1))
    assert [path.name for path in roster.parent.iterdir()] == [roster.name]


def test_one_that_leaves_while_others_join_has_left(roster: Path) -> None:
    add_partner(roster, "leaver", public(200))
    at_once(lambda number: add_partner(roster, f"p{number}", public(number)) if number else remove_partner(roster, "leaver"))
    assert {member.name for member in load_draft(roster).members} == {f"p{number}" for number in range(1, MANY)}


def test_two_processes_that_add_in_one_moment_are_both_in_it(roster: Path) -> None:
    folders = [roster.parent / name for name in ("alpha", "beta")]
    for folder in folders:
        new_identity(folder)
    words = [sys.executable, "-c", "from fedapp.cli.main import main; main()", "consortium", "add", str(roster)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    running = [subprocess.Popen([*words, folder.name, str(folder / "identity.pub")], env=environment) for folder in folders]
    assert [process.wait() for process in running] == [0, 0]
    assert {member.name for member in load_draft(roster).members} == {"alpha", "beta"}


def test_of_several_who_begin_one_file_one_does_and_the_others_are_told(tmp_path: Path) -> None:
    path = tmp_path / "new" / "consortium.yaml"
    outcomes = at_once(lambda number: new_consortium(path, Draft(f"consortium {number}")))
    (winner,) = (number for number, outcome in enumerate(outcomes) if outcome is None)
    assert load_draft(path).consortium == f"consortium {winner}"


def test_a_file_that_is_begun_through_a_link_is_guarded_where_it_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, link = tmp_path / "shared" / "consortium.yaml", tmp_path / "ours" / "link.yaml"
    for folder in (path.parent, link.parent):
        folder.mkdir()
    link.symlink_to(path)
    monkeypatch.setattr(roster_file, "alone_in", partial(alone_in, patience=0))
    with alone_in(path.parent), pytest.raises(BusyError, match="shared: another process is changing files there"):
        new_consortium(link, Draft("through a link"))
    new_consortium(link, Draft("through a link"))
    assert load_draft(path).consortium == "through a link"


def test_of_several_identities_for_one_folder_one_is_made_and_its_files_belong_together(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    made = [outcome for outcome in at_once(lambda _: new_identity(folder)) if isinstance(outcome, Identity)]
    assert [identity.public for identity in made] == [load_identity(folder).public] == [load_public(folder / "identity.pub").identity]
    at_once(lambda _: renew_node_key(folder))
    node = load_public(folder / "identity.pub").node
    assert public_half((folder / "node.key").read_bytes()) == node == (folder / "node.pub").read_text().strip()


def test_certificates_that_are_made_in_one_moment_are_of_one_authority_and_one_key(tmp_path: Path) -> None:
    folder = tmp_path / "tls"
    at_once(lambda _: new_certificates(folder, ["polyphony.example.org"]))
    authority, server = (x509.load_pem_x509_certificate((folder / name).read_bytes()) for name in ("ca.crt", "server.crt"))
    server.verify_directly_issued_by(authority)
    for certificate, name in ((authority, "ca.key"), (server, "server.key")):
        key = serialization.load_pem_private_key((folder / name).read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        assert key.public_key() == certificate.public_key()
