"""What a measured figure depends on besides its configuration, told with it: command, commit, machine in general words, versions.

Neither a name nor a path of the machine is among it, unless the command itself names one.
"""

import os
import platform
import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from fedapp.runtime.versions import versions

SOURCE = Path(__file__).parent
CPU_INFO = Path("/proc/cpuinfo")
MODEL = "model name"  # its key of the processor's name
PROVENANCE = "provenance"  # key in the result of a verb that measures


@dataclass(frozen=True)
class Provenance:
    """Noted when a measurement begins: the source may be edited while it runs.

    Attributes:
        command: As a shell would read it.
        commit: As `source_commit` says.
        began: Seconds of the monotonic clock.
    """

    command: str
    commit: str | None
    began: float

    @classmethod
    def begin(cls) -> "Provenance":
        """Of this process's command, from now on."""
        return cls(shlex.join(["polyphony", *sys.argv[1:]]), source_commit(), time.monotonic())

    def joined_to(self, result: dict[str, Any]) -> dict[str, Any]:
        """A verb's result, and under `provenance` command, commit, date (UTC), machine, versions and wall_seconds since it began."""
        facts = {
            "command": self.command,
            "commit": self.commit,
            "date": f"{datetime.now(UTC):%Y-%m-%d}",
            "machine": machine(),
            "versions": versions(),
            "wall_seconds": round(time.monotonic() - self.began, 1),
        }
        return result | {PROVENANCE: facts}


def source_commit(source: Path = SOURCE) -> str | None:
    """The commit that this folder of a package was checked out from, with `-dirty` after changes; None outside a checkout or without git.

    A package that was installed into somebody's repository, where git does not track it, has none.
    """
    git = shutil.which("git")
    if git is None:
        return None

    def output(*words: str) -> str | None:
        done = subprocess.run([git, "-C", str(source), *words], capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else None

    if output("ls-files", "--error-unmatch", "__init__.py") is None:
        return None
    return output("describe", "--always", "--abbrev=12", "--exclude=*", "--dirty")


def machine() -> dict[str, Any]:
    """Processor, cores that this process may use, memory_gib, and gpu, None without one."""
    return {
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else psutil.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "gpu": gpu(),
    }


def processor() -> str:
    """The processor's name, or where the system does not tell it, its architecture."""
    if CPU_INFO.is_file():
        for line in CPU_INFO.read_text().splitlines():
            key, _, name = line.partition(":")
            if key.strip() == MODEL:
                return name.strip()
    return platform.processor() or platform.machine()


def gpu() -> str | None:
    """The GPU that torch would train on."""
    import torch  # seconds, which --help and pages need not wait

    return torch.cuda.get_device_name() if torch.cuda.is_available() else None
