"""Processes that hold keys leave no core file, and no other process of their user reads their memory."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

SAY = """
import ctypes, resource  # 3: PR_GET_DUMPABLE
print(resource.getrlimit(resource.RLIMIT_CORE)[0], ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))
"""
PRIVATE = "from fedapp.runtime.private_memory import keep_memory_private; keep_memory_private()"
linux = pytest.mark.skipif(sys.platform != "linux", reason="prctl(2) is Linux's")


def with_cores() -> None:
    """Before a child becomes a program: a system that does leave core files."""
    resource.setrlimit(resource.RLIMIT_CORE, (4096, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def said(code: str) -> list[str]:
    if 0 <= resource.getrlimit(resource.RLIMIT_CORE)[1] < 4096:
        pytest.skip("this system allows no core file to anybody")
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, preexec_fn=with_cores)
    return done.stdout.split()


@linux
def test_a_process_that_says_so_leaves_no_core_and_is_closed_to_others_and_one_that_does_not_is_not() -> None:
    assert said(SAY) == ["4096", "1"]
    assert said(f"{PRIVATE}\n{SAY}") == ["0", "0"]


@linux
@pytest.mark.parametrize(
    "start",
    [
        "import sys; sys.argv = ['polyphony', '--version']; from fedapp.cli import main as command\n"
        "command.app = lambda: None\ncommand.main()",
        "from fedapp.site.run import __main__ as part\n"
        "try:\n    part.main('none', '/nowhere')\nexcept Exception as error:\n    assert 'no site' in str(error)",
    ],
    ids=["a verb", "a part of a site"],
)
def test_every_verb_and_every_part_of_a_site_says_so_first(start: str) -> None:
    assert said(f"{start}\n{SAY}") == ["0", "0"]


AS_NOBODY = """
import ctypes, os, time
from fedapp.runtime.private_memory import keep_memory_private
if os.geteuid() == 0:  # who may read everything
    os.setuid(65534)
    ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # as a program of that user begins
"""


@linux
@pytest.mark.parametrize(("said", "owned_by_root"), [("", False), ("keep_memory_private()", True)])
def test_the_same_user_reads_the_memory_of_an_open_process_and_not_of_a_private_one(said: str, owned_by_root: bool) -> None:
    """What the kernel lets others do shows in whose the process's memory is (proc(5))."""
    code = f"{AS_NOBODY}\n{said}\nprint(flush=True)\ntime.sleep(60)"
    held = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE)
    try:
        assert held.stdout is not None
        assert held.stdout.readline() == b"\n"
        assert (Path(f"/proc/{held.pid}/mem").stat().st_uid == 0) == owned_by_root
    finally:
        held.kill()
        held.communicate()


@linux
def test_a_child_that_becomes_another_program_says_it_for_itself_or_not_at_all() -> None:
    code = f"{PRIVATE}\nimport subprocess, sys; subprocess.run([sys.executable, '-c', {SAY!r}])"
    assert said(code) == ["0", "1"]
