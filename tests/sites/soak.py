"""A consortium of real processes under random kills: `python -m tests.sites.soak --minutes 30`.

Figures, and an error if a promise breaks.
"""

import argparse
import json
import random
import shutil
import signal
import statistics
import subprocess
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from fedapp.config import CONF, load_config
from fedapp.data.demo import demo_dataset
from fedapp.storage.json_file import read_json
from tests.helpers.request_lines import read_requests
from tests.sites.consortium import Consortium, kill_family

SMALL = (
    "chemistry.bits=1024",
    "model.hidden=[16]",
    "federation.rounds=100000",
    "federation.round_timeout=60",
    "federation.connect_timeout=20",
)
NAMES = [f"partner-{number}" for number in range(1, 5)]
CALM = (5.0, 35.0)  # seconds between blows
DOWN = (0.0, 45.0)  # seconds that a blow lasts: shorter and longer than a heartbeat's patience


@dataclass
class Soak:
    """What happened, and what it cost.

    Attributes:
        blows: Kind to number.
        memory: Bytes of all processes together, once a minute.
        ended: Why `federate` ended, each time.
    """

    consortium: Consortium
    dice: random.Random
    blows: Counter[str] = field(default_factory=Counter)
    memory: list[int] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)

    def run(self, seconds: float) -> None:
        """Strike at random until the time is up; the rounds are started again whenever they end."""
        self.consortium.start_all()
        end, blow, sample = time.monotonic() + seconds, time.monotonic() + 60, 0.0
        federating: subprocess.Popen[bytes] | None = None
        while time.monotonic() < end:
            if federating is None or federating.poll() is not None:
                federating = self.federate()
            if time.monotonic() > sample:
                self.memory.append(memory_of(self.consortium))
                sample = time.monotonic() + 60
            if time.monotonic() > blow:
                self.strike()
                blow = time.monotonic() + self.dice.uniform(*CALM)
            time.sleep(0.5)
        time.sleep(60)  # calm, so that all of them can come to the same trunk
        if federating is not None:
            kill_family(federating)

    def federate(self) -> subprocess.Popen[bytes]:
        log = self.consortium.path / "federate.err"
        if log.is_file():
            self.ended += [line for line in log.read_text().splitlines() if line.startswith("error:")]
        with log.open("wb") as said:
            return subprocess.Popen(self.consortium.command("coordinator", "federate"), stdout=said, stderr=said)

    def strike(self) -> None:
        """Kill a partner or the coordinator, stop a partner's processes for a while, or kill one process of a party."""
        kind = self.dice.choice(
            ["partner killed", "partner killed", "partner stands still", "supernode killed", "coordinator killed", "gate killed"]
        )
        name = "coordinator" if kind.split()[0] in ("coordinator", "gate") else self.dice.choice(NAMES)
        pause = self.dice.uniform(*DOWN)
        self.blows[kind] += 1
        if kind in ("partner killed", "coordinator killed"):
            self.consortium.kill(name)
            time.sleep(pause)
            self.consortium.start(name)
        elif kind == "partner stands still":
            family = psutil.Process(self.consortium.serving[name].pid).children(recursive=True)
            signal_all(family, signal.SIGSTOP)
            time.sleep(pause)
            signal_all(family, signal.SIGCONT)
        else:
            part = kind.split()[0]
            family = psutil.Process(self.consortium.serving[name].pid).children(recursive=True)
            signal_all([each for each in family if part in " ".join(each.cmdline())], signal.SIGKILL)

    def told(self) -> dict[str, object]:
        """The figures, after the promises were checked."""
        trunks = {name: self.consortium.trunk(name) for name in NAMES}
        journal = self.consortium.journal()
        finished = max(trunk.version for trunk in trunks.values())
        for trunk in trunks.values():
            same = {other.name for other in trunks.values() if other.version == trunk.version}
            assert len(same) == 1, "partners of the same round hold different trunks"
        sums = [json.loads(line)["round"] for line in (self.consortium.site(NAMES[0]) / "state" / "sums.jsonl").read_text().splitlines()]
        assert sums == sorted(set(sums)), "a sum was taken in twice"
        requests = [each for name in NAMES for each in read_requests(self.consortium.site(name) / "state")]
        unmasked = {each.round for each in journal if each.phase == "Unmasking"}
        assert set(range(1, finished)) <= unmasked, "a round that is in no journal"
        half = len(self.memory) // 2
        return {
            "rounds": finished,
            "held": {name: trunk.version for name, trunk in trunks.items()},
            "attempts": sum(each.phase == "MaskedInputCollection" and each.round > 0 for each in journal),
            "blows": dict(self.blows),
            "requests": len(requests),
            "refused": dict(Counter(each.refused.split(":")[0] for each in requests if each.refused)),
            "left_out": dict(Counter(reason.split(": ")[1] for each in journal for reason in each.left_out)),
            "federate_ended": dict(Counter(self.ended)),
            "memory_mb": [round(value / 1e6) for value in self.memory],
            "memory_ratio": round(statistics.median(self.memory[half:]) / statistics.median(self.memory[1 : half + 1]), 3),
            "supernodes": {name: read_json(self.consortium.site(name) / "log" / "supernode.json")["state"] for name in NAMES},
        }


def signal_all(processes: list[psutil.Process], number: signal.Signals) -> None:
    for each in processes:
        with suppress(psutil.NoSuchProcess):
            each.send_signal(number)


def memory_of(consortium: Consortium) -> int:
    """Bytes of all parties' processes, shared pages counted once."""
    total = 0
    for process in consortium.serving.values():
        with suppress(psutil.NoSuchProcess):
            for each in psutil.Process(process.pid).children(recursive=True):
                with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                    total += each.memory_full_info().pss
    return total


def soak(path: Path, minutes: float, seed: int) -> dict[str, object]:
    """Set a consortium up and shake it."""
    config = load_config(CONF / "demo.yaml", SMALL)
    datasets = {name: path / "data" / name for name in NAMES}
    for number, name in enumerate(NAMES, 1):
        demo_dataset(datasets[name], number, len(NAMES), config.chemistry, config.tasks)
    consortium = Consortium(path / "consortium", NAMES)
    consortium.set_up(datasets, CONF / "demo.yaml", *SMALL, seed=seed)
    for terms in (consortium.site(name) / file for name in NAMES for file in ("policy.yaml", "floor.yaml")):
        terms.write_text(terms.read_text().replace("survivor_lists: 2", "survivor_lists: 9999"))  # nobody is there to be asked
    shaken = Soak(consortium, random.Random(seed))
    try:
        shaken.run(60 * minutes)
        return shaken.told()
    finally:
        consortium.stop_all()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="folder to leave everything in")
    given = parser.parse_args()
    folder = given.keep or Path(tempfile.mkdtemp())
    try:
        print(json.dumps(soak(folder, given.minutes, given.seed), indent=2))
    finally:
        if given.keep is None:
            shutil.rmtree(folder, ignore_errors=True)
