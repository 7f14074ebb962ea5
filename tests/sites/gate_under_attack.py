"""What the coordinator's gate stands, measured: `python -m tests.sites.gate_under_attack --help`. Figures, and a test's attacks; Linux.

The gate runs in a process of its own, in front of a stand-in for the SuperLink, and each attack in another. Meanwhile partners ask it for
its health, each time on a new connection, and its resident memory is looked at.
"""

import argparse
import json
import multiprocessing
import os
import resource
import shutil
import socket
import ssl
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from multiprocessing.synchronize import Event
from pathlib import Path

import httpx
import psutil
import uvicorn
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fedapp.consortium.certificates import new_certificates
from fedapp.consortium.node_key import read_private_key
from fedapp.runtime.processes import child, free_port
from fedapp.site.run.serve import SUPERLINK_FILE, part
from fedapp.storage.json_file import write_json
from tests.site.kits import NAMES, found
from tests.site.serving import head, wait_for

IDLE, HEAD, BODIES = 1_100, 100 << 20, 40
LARGE = 8 << 20  # bytes, the largest body that any verb takes
STEADY = 6.0  # seconds for which an attack is looked at
PAUSE = 0.1  # seconds between a partner's requests
LINE = 1 << 20  # bytes of a head that are sent at once
MEGABYTE = 1e6


@dataclass(frozen=True)
class Target:
    """The gate, as an attacker knows it.

    Attributes:
        port: On loopback.
        authority: The certificate to trust.
        keys: Of partners whose nodes are used, PEM files; none = a stranger.
    """

    port: int
    authority: Path
    keys: tuple[Path, ...] = ()

    def line(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), 30)

    def secured(self) -> ssl.SSLSocket:
        return ssl.create_default_context(cafile=str(self.authority)).wrap_socket(self.line(), server_hostname="127.0.0.1")


Attack = Callable[[Target], None]


def begin(attack: Attack, target: Target, begun: Event) -> None:
    """Attack, in a process of its own that has all it needs; in truth it is another machine, so here it gives way to the gate."""
    os.nice(9)
    begun.set()
    attack(target)


def nothing(target: Target) -> None:
    """No attack, to compare."""
    time.sleep(STEADY)


def idle(target: Target) -> None:
    """Connections on which nothing is said; whichever ends is opened again."""
    insist(target.line)


def idle_after_a_byte(target: Target) -> None:
    """The same, but that a first byte came."""

    def connect() -> socket.socket:
        line = target.line()
        line.sendall(b"\x16")
        return line

    insist(connect)


def idle_tls(target: Target) -> None:
    """The same, behind TLS."""
    insist(target.secured)


def insist(connect: Callable[[], socket.socket]) -> None:
    held: list[socket.socket] = []
    while True:
        held = [line for line in held if not ended(line)]
        while len(held) < IDLE:
            with suppress(OSError):
                held.append(connect())
        time.sleep(PAUSE)


def ended(line: socket.socket) -> bool:
    """Whether the gate has closed a connection on which it says nothing of its own accord."""
    line.setblocking(False)
    try:
        return line.recv(1 << 14) == b""
    except (BlockingIOError, ssl.SSLWantReadError):
        return False
    except OSError:
        return True


def one_value(target: Target) -> None:
    """A single header of 100 MiB, from 40 connections at once."""
    many(target, lambda line: send_all(line, b"GET /health HTTP/1.1\r\nhost: x\r\nx: "))


def many_headers(target: Target) -> None:
    """100 MiB of short headers, from 40 connections at once."""
    short = b"x-name: value\r\n"
    many(target, lambda line: send_all(line, b"GET /health HTTP/1.1\r\nhost: x\r\n", short * (LINE // len(short))))


def one_target(target: Target) -> None:
    """A request line of 100 MiB, from 40 connections at once."""
    many(target, lambda line: send_all(line, b"GET /"))


def unfinished(target: Target) -> None:
    """Bodies of which the last byte never comes; signed by partners' nodes if there are keys."""
    keys = [read_private_key(path) for path in target.keys] or [ec.generate_private_key(ec.SECP384R1())]
    taken = iter(range(1 << 30))

    def start(line: ssl.SSLSocket) -> None:
        send_all(line, head(keys[next(taken) % len(keys)], length=LARGE), bytes(LINE), LARGE - 1)
        time.sleep(STEADY)

    many(target, start)


def untaken(target: Target) -> None:
    """Answers that nobody takes, to requests that partners' nodes signed."""
    keys: list[EllipticCurvePrivateKey] = [read_private_key(path) for path in target.keys]
    taken = iter(range(1 << 30))

    def ask(line: ssl.SSLSocket) -> None:
        line.sendall(head(keys[next(taken) % len(keys)], "/v1/fleet/pull-object", 0))
        time.sleep(STEADY)

    many(target, ask)


def many(target: Target, say: Callable[[ssl.SSLSocket], None]) -> None:
    """40 connections at once, and another one for each that has ended."""

    def again() -> None:
        while True:
            with suppress(OSError), target.secured() as line:
                say(line)

    threads = [threading.Thread(target=again) for _ in range(BODIES)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def send_all(line: ssl.SSLSocket, first: bytes, piece: bytes = b"x" * LINE, size: int = HEAD) -> None:
    line.sendall(first)
    while size > 0:
        line.sendall(piece[:size])
        size -= len(piece)


@dataclass(frozen=True)
class Figures:
    """What partners saw and the gate needed during an attack.

    Attributes:
        seconds: Of each request for its health.
        grown: Resident memory of the gate above what it had before, at most, bytes.
        refused: Requests for its health that had no good answer, and why.
    """

    seconds: list[float] = field(default_factory=list)
    grown: int = 0
    refused: list[str] = field(default_factory=list)

    def told(self) -> dict[str, float | int | list[str]]:
        return {
            "requests": len(self.seconds),
            "median_s": round(statistics.median(self.seconds), 3) if self.seconds else -1,
            "worst_s": round(max(self.seconds, default=-1), 3),
            "grown_MB": round(self.grown / MEGABYTE, 1),
            "refused": self.refused,
        }


class Gate:
    """A gate in its own process, its partners, and attackers in theirs.

    Args:
        process: The gate's.
        target: As a partner knows it.
        keys: The partners' node keys, PEM files.
    """

    def __init__(self, process: psutil.Process, target: Target, keys: tuple[Path, ...]) -> None:
        self.process, self.target, self.keys = process, target, keys
        self.trust = ssl.create_default_context(cafile=str(target.authority))
        for _ in range(20):
            self.health()
        self.before = self.process.memory_info().rss

    def health(self) -> str:
        """What the gate says of itself on a new connection."""
        with httpx.Client(verify=self.trust, trust_env=False, timeout=30) as caller:
            return caller.get(f"https://127.0.0.1:{self.target.port}/health").text

    def under(self, attack: Attack, signed: int = 0, seconds: float = STEADY) -> Figures:
        """What partners see during an attack, from its first moment on.

        Args:
            signed: Partners whose node keys the attacker has.
        """
        target = Target(self.target.port, self.target.authority, self.keys[:signed])
        processes = multiprocessing.get_context("spawn")
        begun = processes.Event()
        attacker = processes.Process(target=begin, args=(attack, target, begun), daemon=True)
        attacker.start()
        begun.wait()
        figures, grown, finish = Figures(), 0, time.monotonic() + seconds
        try:
            while time.monotonic() < finish:
                started = time.monotonic()
                try:
                    answer = self.health()
                except httpx.HTTPError as error:
                    answer = f"{type(error).__name__}: {error}"
                figures.seconds.append(time.monotonic() - started)
                figures.refused.extend([answer] if answer != "ok" else [])
                grown = max(grown, self.process.memory_info().rss - self.before)
                time.sleep(PAUSE)
        finally:
            attacker.kill()
            attacker.join()
        return Figures(figures.seconds, grown, figures.refused)


def stand_in(tls: Path, port: int) -> None:
    """A SuperLink that takes everything, and has 8 MiB for everybody who pulls."""
    large = bytes(LARGE)

    async def answer(request: Request) -> Response:
        await request.body()
        return Response(large if request.url.path.endswith("pull-object") else b"taken")

    uvicorn.run(
        Starlette(routes=[Route("/{anything:path}", answer, methods=["GET", "POST"])]),
        host="127.0.0.1",
        port=port,
        log_level="error",
        ssl_certfile=tls / "server.crt",
        ssl_keyfile=str(tls / "server.key"),
    )


@contextmanager
def gate_in_its_process(folder: Path) -> Iterator[Gate]:
    """A coordinator's gate as `polyphony serve` runs it, in front of a stand-in for the SuperLink."""
    founded = found(folder)
    shutil.rmtree(founded.certificates)
    new_certificates(founded.certificates, ["127.0.0.1"])
    public, port = free_port(), free_port()
    coordinator = founded.site(founded.kits("kits", superlink=f"127.0.0.1:{public}"), "coordinator")
    write_json(coordinator.log / SUPERLINK_FILE, {"port": port})
    superlink = multiprocessing.get_context("spawn").Process(target=stand_in, args=(coordinator.tls, port), daemon=True)
    superlink.start()
    try:
        with child(part(coordinator, "gate"), coordinator.log / "gate.out", {}) as supervisor:
            target = Target(public, coordinator.authority)
            wait_for(lambda: listening(target) and listening(replace(target, port=port)), "gate and SuperLink listen")
            (gate,) = psutil.Process(supervisor.pid).children()
            yield Gate(gate, target, tuple(founded.keys(name) / "node.key" for name in NAMES))
    finally:
        superlink.kill()
        superlink.join()


def listening(target: Target) -> bool:
    try:
        target.secured().close()
    except OSError:
        return False
    return True


RUSH = f"{IDLE} idle connections, one byte"  # where a partner at the same address may have to try again
ATTACKS: dict[str, tuple[Attack, int]] = {
    "nobody": (nothing, 0),
    f"{IDLE} idle connections": (idle, 0),
    RUSH: (idle_after_a_byte, 0),
    f"{IDLE} idle connections, TLS": (idle_tls, 0),
    f"{BODIES} heads of 100 MiB, one value": (one_value, 0),
    f"{BODIES} heads of 100 MiB, many headers": (many_headers, 0),
    f"{BODIES} request lines of 100 MiB": (one_target, 0),
    f"{BODIES} unfinished bodies, unsigned": (unfinished, 0),
    f"{BODIES} unfinished bodies, signed by one partner": (unfinished, 1),
    f"{BODIES} unfinished bodies, signed by four partners": (unfinished, 4),
    f"{BODIES} answers that nobody takes, to one partner": (untaken, 1),
}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=STEADY)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--only", default="", help="attacks with this in their name")
    given = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard if hard != resource.RLIM_INFINITY else 8192, hard))
    where = Path(tempfile.mkdtemp())
    try:
        with gate_in_its_process(where) as under:
            for name in (name for name in ATTACKS if given.only in name):
                for _ in range(given.repeat):
                    attack, signed = ATTACKS[name]
                    json.dump({name: under.under(attack, signed, given.seconds).told()}, sys.stdout)
                    print(flush=True)
    finally:
        shutil.rmtree(where, ignore_errors=True)
