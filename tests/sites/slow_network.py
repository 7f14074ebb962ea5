"""Sites in network namespaces of their own, joined by a link of limited rate with delay and loss: Linux, as root.

The packets go through TUN devices and this process, since a kernel need not have the queueing disciplines that would do it.
"""

import fcntl
import heapq
import os
import random
import select
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
MTU = 1500
QUEUE = 1 << 20  # bytes that wait for a link; beyond that packets are dropped, as by a router
SETTLE = 0.001


@dataclass(frozen=True)
class Link:
    """What lies between two sites.

    Attributes:
        rate: Bits a second, per site and direction.
        delay: Seconds there and back.
        loss: Share of packets, per direction.
    """

    rate: float = 100e6
    delay: float = 0.050
    loss: float = 0.01


@dataclass
class Traffic:
    """Bytes that each site has sent and received, with IP headers."""

    sent: dict[str, int] = field(default_factory=dict)
    received: dict[str, int] = field(default_factory=dict)
    dropped: int = 0


def possible() -> bool:
    """Whether this machine lets us make namespaces and TUN devices."""
    return os.geteuid() == 0 and Path("/dev/net/tun").exists() and run("ip", "netns", "list", check=False) == 0


def run(*words: str, check: bool = True) -> int:
    return subprocess.run(words, check=check, capture_output=True).returncode


@contextmanager
def namespaces(names: list[str], link: Link, seed: int = 1) -> Iterator[tuple[dict[str, str], Traffic]]:
    """Make one namespace a name, with addresses 10.77.0.1, 10.77.0.2 …; yields the addresses by namespace, and the traffic."""
    addresses = {name: f"10.77.0.{number}" for number, name in enumerate(names, 1)}
    devices: dict[str, int] = {}
    try:
        for name, address in addresses.items():
            run("ip", "netns", "delete", name, check=False)  # of a process that was killed
            run("ip", "netns", "add", name)
            devices[name] = tun(name)
            run("ip", "link", "set", name, "netns", name)
            inside = ("ip", "netns", "exec", name, "ip")
            run(*inside, "link", "set", "lo", "up")
            run(*inside, "address", "add", f"{address}/24", "dev", name)
            run(*inside, "link", "set", name, "mtu", str(MTU), "up")
        traffic, stop = Traffic(), threading.Event()
        relay = threading.Thread(target=carry, args=(devices, addresses, link, traffic, stop, random.Random(seed)), daemon=True)
        relay.start()
        yield addresses, traffic
        stop.set()
        relay.join()
    finally:
        for name in names:
            run("ip", "netns", "delete", name, check=False)
        for device in devices.values():
            os.close(device)


def tun(name: str) -> int:
    """A TUN device; its file descriptor."""
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH", name.encode(), IFF_TUN | IFF_NO_PI))
    return device


def carry(
    devices: dict[str, int], addresses: dict[str, str], link: Link, traffic: Traffic, stop: threading.Event, dice: random.Random
) -> None:
    """Carry packets between the devices until told to stop."""
    by_address = {bytes(map(int, address.split("."))): name for name, address in addresses.items()}
    names = {device: name for name, device in devices.items()}
    free_at = {(name, way): 0.0 for name in devices for way in ("up", "down")}
    on_the_way: list[tuple[float, int, str, bytes]] = []
    count = 0
    while not stop.is_set():
        wait = max(0.0, on_the_way[0][0] - time.monotonic()) if on_the_way else 0.05
        ready, _, _ = select.select(list(names), [], [], min(wait, 0.05))
        now = time.monotonic()
        for device in ready:
            for packet in packets(device):
                source, target = names[device], by_address.get(packet[16:20], "")
                if packet[0] >> 4 != 4 or not target:
                    continue
                traffic.sent[source] = traffic.sent.get(source, 0) + len(packet)
                leaves = through(free_at, (source, "up"), now, len(packet), link)
                arrives = None if leaves is None else through(free_at, (target, "down"), leaves, len(packet), link)
                if arrives is None or dice.random() < link.loss:
                    traffic.dropped += 1
                    continue
                count += 1
                heapq.heappush(on_the_way, (arrives + link.delay / 2, count, target, packet))
        while on_the_way and on_the_way[0][0] <= time.monotonic() + SETTLE:
            _, _, target, packet = heapq.heappop(on_the_way)
            traffic.received[target] = traffic.received.get(target, 0) + len(packet)
            try:
                os.write(devices[target], packet)
            except (BlockingIOError, OSError):
                traffic.dropped += 1


def packets(device: int) -> Iterator[bytes]:
    """What can be read at once."""
    for _ in range(64):
        try:
            yield os.read(device, 65536)
        except BlockingIOError:
            return


def through(free_at: dict[tuple[str, str], float], way: tuple[str, str], now: float, size: int, link: Link) -> float | None:
    """When a packet has passed one end of a link; None if its queue is full."""
    begins = max(now, free_at[way])
    if (begins - now) * link.rate / 8 > QUEUE:
        return None
    free_at[way] = begins + size * 8 / link.rate
    return free_at[way]
