"""A consortium of real processes on this machine."""

import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from fedapp.config import load_config
from fedapp.consortium.certificates import new_certificates
from fedapp.consortium.identity_files import new_identity
from fedapp.consortium.public_file import PUBLIC_FILE, load_public
from fedapp.consortium.roster_file import Draft, add_partner, new_consortium
from fedapp.runtime.flower import script
from fedapp.runtime.processes import free_port
from fedapp.site.accept import accept
from fedapp.site.folder import COORDINATOR, Site
from fedapp.site.kit.install import install
from fedapp.site.kit.make import Plan, assignments, make_kits
from fedapp.storage.json_file import read_json
from strategies.coordinator.journal import Exchange, read_journal
from strategies.update.shared_trunk import SharedTrunk
from tests.site.kits import allow

PATIENCE = 240.0  # seconds after which something that should have happened has not
POLL = 0.05


def wait_for(condition: Callable[[], object], what: str, patience: float = PATIENCE) -> None:
    """Return when `condition` holds."""
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"after {patience:.0f} s: not yet {what}")
        time.sleep(POLL)


@dataclass
class Consortium:
    """Sites beside each other, each with processes of its own.

    Attributes:
        path: Everything lies below.
        names: The partners.
        host, port: The gate's.
        spaces: Party to network namespace, of those who have one.
    """

    path: Path
    names: list[str]
    host: str = "127.0.0.1"
    port: int = field(default_factory=free_port)
    spaces: dict[str, str] = field(default_factory=dict)
    serving: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def set_up(self, datasets: dict[str, Path], conf: Path, *settings: str, seed: int | None = None) -> "Consortium":
        """Keys, roster, certificates, kits, sites and data, as in the rehearsal (`test_guide` types it), without pages."""
        work = self.path
        work.mkdir(parents=True, exist_ok=True)
        roster = work / "consortium.yaml"
        new_consortium(roster, Draft("four voices"))
        for name in self.names:
            new_identity(work / "keys" / name)
            add_partner(roster, name, load_public(work / "keys" / name / PUBLIC_FILE))
        new_certificates(work / "authority", [self.host])
        config = load_config(conf, (*settings, *assignments(roster)))
        make_kits(Plan(roster, config, f"{self.host}:{self.port}", work / "authority", seed, page=0), work / "kits")
        install(work / "kits" / COORDINATOR, self.site(COORDINATOR))
        for name in self.names:
            allow(work / "kits" / name, self.site(name))
            install(work / "kits" / name, self.site(name))
            shutil.copytree(work / "keys" / name, self.site(name) / "keys")
            accept(Site.open(self.site(name)), datasets[name])
        return self

    def site(self, name: str) -> Path:
        return self.path / "sites" / name

    def command(self, name: str, verb: str) -> list[str]:
        """A verb on a party's site, in its network namespace."""
        inside = ["ip", "netns", "exec", self.spaces[name]] if name in self.spaces else []
        return [*inside, script("polyphony"), verb, str(self.site(name))]

    def start(self, *names: str) -> None:
        """Serve these parties."""
        for name in names:
            with (self.path / f"{name}.serve").open("ab") as log:
                self.serving[name] = subprocess.Popen(self.command(name, "serve"), stdout=log, stderr=log)

    def start_all(self) -> None:
        self.start("coordinator", *self.names)

    def kill(self, name: str) -> None:
        """End a party as a power cut does: all its processes at once."""
        kill_family(self.serving.pop(name))

    @contextmanager
    def held_up(self, name: str) -> Iterator[None]:
        """A party that stands still while inside."""
        parent = psutil.Process(self.serving[name].pid)
        family = [*parent.children(recursive=True), parent]
        for member in family:
            member.suspend()
        try:
            yield
        finally:
            for member in family:
                member.resume()

    def stop_all(self) -> None:
        for name in list(self.serving):
            self.kill(name)

    @contextmanager
    def federate(self) -> Iterator[subprocess.Popen[str]]:
        """The rounds while inside."""
        with (self.path / "federate.err").open("a") as log:
            running = subprocess.Popen([*self.command("coordinator", "federate"), "--json"], stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            yield running
        finally:
            kill_family(running)

    def journal(self) -> list[Exchange]:
        return read_journal(self.site("coordinator") / "coordinator" / "journal.jsonl")

    def finished(self, phase: str, number: int) -> bool:
        """Whether this exchange of this round is in the journal."""
        return any(each.phase == phase and each.round == number for each in self.journal())

    def answered(self, name: str, phase: str, number: int) -> bool:
        """Whether a partner's latest answer, which has left, was of this exchange of this round."""
        told = self.supernode(name)
        return (told.get("state"), told.get("step"), told.get("round")) == ("waiting", phase, str(number))

    def supernode(self, name: str) -> dict[str, object]:
        """What a partner's SuperNode says of itself."""
        path = self.site(name) / "log" / "supernode.json"
        return dict(read_json(path)) if path.is_file() else {}

    def trunk(self, name: str) -> SharedTrunk:
        """The shared trunk that a partner holds."""
        return SharedTrunk.read(self.site(name) / "state" / "shared.safetensors")


def kill_family(process: subprocess.Popen[bytes] | subprocess.Popen[str]) -> None:
    """SIGKILL for a process and everything that it started, as a power cut: none of them learns of another's end and leaves in order."""
    with suppress(psutil.NoSuchProcess):
        parent = psutil.Process(process.pid)
        parent.suspend()
        family = [*parent.children(recursive=True), parent]
        for blow in (psutil.Process.suspend, psutil.Process.kill):
            for member in family:
                with suppress(psutil.NoSuchProcess):
                    blow(member)
        psutil.wait_procs(family[:-1], timeout=20)
    process.wait()


def result(running: subprocess.Popen[str], patience: float = PATIENCE) -> dict[str, object]:
    """What `polyphony federate --json` printed at its end."""
    out, _ = running.communicate(timeout=patience)
    assert running.returncode == 0, f"federate ended with {running.returncode}: {out}"
    return dict(json.loads(out))
