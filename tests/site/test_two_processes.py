"""Two processes on one site: whoever would write there second is refused and told who the first is, and a killed one holds nothing."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fedapp.errors import BusyError
from fedapp.site.accept import accept
from fedapp.site.folder import Site
from fedapp.site.kit.install import install
from fedapp.site.run.serve import serve
from fedapp.site.run.supernode import run_supernode
from fedapp.site.status.report import write_site_report
from fedapp.site.status.site_status import partner_status
from tests.conftest import ROOT

SUPERNODE = """
import sys
from contextlib import contextmanager
from pathlib import Path
from fedapp.site.folder import Site
from fedapp.site.run import supernode

@contextmanager
def connected(*_):
    print("held", flush=True)
    sys.stdin.read()
    yield

supernode.connect = connected
supernode.run_supernode(Site.open(Path(sys.argv[1])), None)
"""
SERVE = """
import sys
from pathlib import Path
from fedapp.site.folder import Site
from fedapp.site.run import serve

def serving(*_):
    print("held", flush=True)
    sys.stdin.read()

serve.run_for_ever = serving
serve.serve(Site.open(Path(sys.argv[1])))
"""
KIT = Path("kits") / "alpha"
Verb = Callable[[Site, Path], object]
WRITERS: dict[str, Verb] = {
    "accept": lambda site, consortium: accept(site, consortium / "data"),
    "kit install": lambda site, consortium: install(consortium / KIT, site.path),
}
STARTERS: dict[str, Verb] = {
    "serve": lambda site, _: serve(site),
    "a SuperNode": lambda site, _: run_supernode(site, lambda message, _: message),
}


@contextmanager
def holding(code: str, site: Site) -> Iterator[subprocess.Popen[str]]:
    """A process of its own that holds a site."""
    command = [sys.executable, "-c", code, str(site.path)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def contents(site: Site) -> dict[str, bytes]:
    """All files but the notes of who holds what."""
    return {str(path): path.read_bytes() for path in site.path.rglob("*") if path.is_file() and path.name != "lock"}


@pytest.mark.parametrize(
    ("holder", "who", "others"),
    [
        (SUPERNODE, "a SuperNode", WRITERS | {"a SuperNode": STARTERS["a SuperNode"]}),
        (SERVE, "polyphony serve", WRITERS | {"serve": STARTERS["serve"]}),
    ],
    ids=["SuperNode", "serve"],
)
def test_whoever_would_write_second_is_told_who_is_there_and_a_killed_process_holds_nothing(
    holder: str, who: str, others: dict[str, Verb], partner: Site, consortium: Path
) -> None:
    with holding(holder, partner) as process:
        before = contents(partner)
        for verb in others.values():
            with pytest.raises(BusyError, match=rf"is in use by {who} \(process {process.pid} on ") as caught:
                verb(partner, consortium)
            assert caught.value.hint
        assert contents(partner) == before
        process.kill()
        process.wait()
        for verb in WRITERS.values():
            verb(Site.open(partner.path), consortium)


def test_readers_read_beside(partner: Site) -> None:
    with holding(SUPERNODE, partner):
        assert partner_status(partner)["name"] == "alpha"
        assert write_site_report(partner).is_file()


def test_a_kit_is_not_installed_into_one_new_folder_twice_at_once(consortium: Path) -> None:
    new = consortium / "sites" / "new"
    new.mkdir(mode=0o700)
    shutil.copyfile(consortium / "sites" / "alpha" / "floor.yaml", new / "floor.yaml")
    code = (
        "import sys; from pathlib import Path; from fedapp.runtime.locks import locked\n"
        "with locked(Path(sys.argv[1]), 'polyphony kit install'): print('held', flush=True); sys.stdin.read()"
    )
    with holding(code, Site(new, Site.open(consortium / KIT).settings)) as process:
        with pytest.raises(BusyError, match=rf"in use by polyphony kit install \(process {process.pid} "):
            install(consortium / KIT, new)
        assert sorted(path.name for path in new.iterdir()) == ["floor.yaml", "lock"]
    install(consortium / KIT, new)
    assert Site.open(new).settings.name == "alpha"
