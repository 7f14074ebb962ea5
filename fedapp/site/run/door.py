"""Who may stand at the coordinator's door, and for how long: everybody can reach it, and a partner must find room there at any time.

A connection is a stranger's until a partner's node has signed a request on it (`fedapp.site.run.gate` looks at that before it reads a
body). Strangers get one short answer. Where all room is taken, a newcomer takes that of a stranger, of the address that holds most of
them the one that stands there longest, and so whoever fills the door from one address makes room for others at its own expense.
"""

import asyncio
import ipaddress
import logging
import resource
import socket
import ssl
import sys
import time
from asyncio.sslproto import SSLProtocol
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from traceback import clear_frames
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

LOG = logging.getLogger("polyphony")
HEAD_BYTES = 16 << 10  # of a request's head, until it is complete; Flower's have less than 1 KiB
IDLE = 15  # seconds after an answer; the SuperNode's own connections last 5
FAREWELL = 5.0  # seconds to end TLS in order
LAST = 2  # seconds for what goes on when the process is to end
DESCRIPTORS = 8192  # open files that we ask the system for
AT_ONCE = 2  # connections that are taken in before those that are there get on: a crowd is not to take their places within one moment
TLS_BYTES = 64 << 10  # that are read at once; a record has 16 KiB
QUIET = 60.0  # seconds between words in the log of a crowd
NETWORK = 64  # bits of an IPv6 address that one house has


@dataclass(frozen=True)
class Limits:
    """What the door stands. Fifty partners have four connections each, and two of Flower's chunks on the way.

    Attributes:
        connections: At once, TLS handshakes too; each takes about 130 kB.
        strangers: Of these, at most, on which no partner has signed anything yet, as on each for a moment.
        waiting: Connections that the system keeps until they are taken in, if its own limit (somaxconn) allows.
        handshake: Seconds until TLS is agreed on.
        head: Seconds until a request's head is complete, counted from the connection or the last answer.
        exchange: Seconds until a request is read, passed on, and its answer taken: 5 MiB at 70 kbit/s.
        each: Exchanges of one partner at once.
    """

    connections: int = 500
    strangers: int = 200
    waiting: int = 2048
    handshake: float = 10.0
    head: float = 30.0
    exchange: float = 600.0
    each: int = 8

    def within(self, files: int) -> "Limits":
        """The same, but so that open files are left for the SuperLink's side and everything else."""
        return replace(self, connections=min(self.connections, files // 2), strangers=min(self.strangers, files // 4))


def open_files() -> int:
    """How many open files this process may have, after asking for as many as it likes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    return wanted if soft == resource.RLIM_INFINITY else soft


class Door:
    """All connections, in the order in which they came.

    Args:
        tls: The coordinator's certificate and key.
    """

    def __init__(self, tls: ssl.SSLContext, limits: Limits) -> None:
        self.tls, self.limits = tls, limits
        self.guests: dict[Guest, None] = {}
        self._said = -QUIET

    def enter(self, guest: "Guest") -> bool:
        """Take a newcomer in; whether there was room, or room to make."""
        strangers = [each for each in self.guests if each.partner is None]
        full = len(strangers) >= self.limits.strangers or len(self.guests) >= self.limits.connections
        if full and not self._make_room(strangers):
            return False
        self.guests[guest] = None
        return True

    def leave(self, guest: "Guest") -> None:
        """Forget a connection that has ended."""
        self.guests.pop(guest, None)

    def _make_room(self, strangers: list["Guest"]) -> bool:
        """End the connection that is missed least: a stranger's, else one on which a partner asks nothing just now."""
        missed_least = strangers or [guest for guest in self.guests if not guest.busy]
        if not missed_least:
            return False
        crowd = Counter(guest.source for guest in missed_least)
        longest = max(missed_least, key=lambda guest: crowd[guest.source])  # the first of several, which came first
        if time.monotonic() > self._said + QUIET:
            self._said = time.monotonic()
            LOG.warning(
                "all places are taken by %d connections, of strangers %d, most of them from %s: others take their places",
                len(self.guests),
                len(strangers),
                crowd.most_common(1)[0][0],
            )
        longest.end()
        return True


class Guest(H11Protocol):
    """One connection: TLS first, then HTTP/1.1, and an end when a step takes too long.

    Attributes:
        source: Where it comes from.
        partner: Who was recognised on it; None = a stranger.
        key: The partner's key, as its requests have it.
        busy: Whether a request on it is being answered.
    """

    def __init__(self, door: Door, config: uvicorn.Config, server_state: Any, app_state: dict[str, Any], _loop: Any = None) -> None:
        super().__init__(config, server_state, {**app_state, "guest": self}, _loop)
        self.door = door
        self.source = ""
        self.partner: str | None = None
        self.key = ""
        self.busy = self.gone = False
        self._early = bytearray()
        self._ended: asyncio.TimerHandle | None = None
        self._opening: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin TLS, if there is room."""
        self.wire, self.source = transport, source(transport.get_extra_info("peername"))
        transport.pause_reading()  # until TLS takes over
        if self.door.enter(self):
            self.wait(self.door.limits.head)
            self._opening = self.loop.create_task(self._open())
        else:
            self.end()

    async def _open(self) -> None:
        limits = self.door.limits
        try:
            secured = await self.loop.start_tls(
                self.wire,
                self,
                self.door.tls,
                server_side=True,
                ssl_handshake_timeout=limits.handshake,
                ssl_shutdown_timeout=FAREWELL,
            )
        except (OSError, asyncio.CancelledError) as error:  # no TLS, or not in time, or ended meanwhile
            clear_frames(error.__traceback__)  # which hold each other, and the connection's buffers
            secured = None
        if secured is None or self.gone:
            self.end()
            return
        secured.set_read_buffer_limits(TLS_BYTES)  # type: ignore[attr-defined]  # of what is not read yet; asyncio has it, typeshed not
        super().connection_made(secured)
        if self._early:
            super().data_received(bytes(self._early))

    def data_received(self, data: bytes) -> None:
        """Take in what was said; the first words may come before we know that TLS is agreed on."""
        if self.transport is None:
            self._early += data
        elif not self.transport.is_closing():  # who got its last answer is not listened to
            super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """It has ended, at whichever side."""
        self._forget()
        if self.transport is not None:
            super().connection_lost(exc)
            self._unset_keepalive_if_required()
        self.scope = self.cycle = None  # type: ignore[assignment]  # as they were before the first request: they refer to us

    def wait(self, seconds: float) -> None:
        """End in so many seconds unless told otherwise before."""
        if self._ended is not None:
            self._ended.cancel()
        if not self.gone:
            self._ended = self.loop.call_later(seconds, self.end)

    def end(self) -> None:
        """End now."""
        self.wire.abort()
        if self._opening is not None and self.transport is None:
            self._opening.cancel()
        self._forget()

    def _forget(self) -> None:
        """Leave, and nothing behind: what refers to itself would keep its buffers until Python looks for such."""
        self.gone = True
        self.door.leave(self)
        if self._ended is not None:
            self._ended.cancel()
        self._ended = self._opening = None
        self.app_state = {}


def source(address: tuple[Any, ...] | None) -> str:
    """Where a connection comes from: an IPv4 address, or the network of an IPv6 one, of which a house has as many as it likes."""
    host = str(address[0]) if address else ""
    try:
        parsed = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(parsed.ipv4_mapped or ipaddress.ip_network((parsed, NETWORK), strict=False))
    return host


def timed(app: ASGIApp, limits: Limits) -> ASGIApp:
    """Give each exchange its time; who is no partner, or is refused, is answered once."""

    async def answered(scope: Scope, receive: Receive, send: Send) -> None:
        guest: Guest = scope["state"]["guest"]

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start" and (guest.partner is None or message["status"] >= 400):
                message["headers"] = [*message["headers"], (b"connection", b"close")]
            await send(message)

        guest.busy = True
        guest.wait(limits.exchange)
        try:
            await app(scope, receive, answer)
        except asyncio.CancelledError:  # the process ends
            guest.end()
        finally:
            guest.busy = False
            guest.wait(limits.head)

    return answered


def server(app: ASGIApp, door: Door, host: str, port: int) -> uvicorn.Server:
    """A server behind this door; the app finds the `Guest` that asks in the state of its scope."""
    SSLProtocol.max_size = TLS_BYTES  # which each connection has from its beginning on: by default 256 KiB
    protocol: Callable[..., asyncio.Protocol] = partial(Guest, door)
    config = uvicorn.Config(
        timed(app, door.limits),
        host=host,
        port=port,
        http=protocol,  # type: ignore[arg-type]  # it makes one, as a class does
        loop="asyncio",  # uvloop does not begin TLS on a connection that is there
        lifespan="off",
        ws="none",
        backlog=AT_ONCE,
        h11_max_incomplete_event_size=HEAD_BYTES,
        timeout_keep_alive=IDLE,
        timeout_graceful_shutdown=LAST,
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_level="warning",
    )
    return Serving(config, door.limits)


class Serving(uvicorn.Server):
    """A server that takes few connections in at once, and lets many wait: those on which nothing was said yet cost nothing."""

    def __init__(self, config: uvicorn.Config, limits: Limits) -> None:
        super().__init__(config)
        self.limits = limits

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen; for asyncio, how many wait and how many are taken in at once is one number, so the first is said anew."""
        await super().startup(sockets)
        for listening in (each for started in self.servers for each in started.sockets):
            with listening.dup() as same:
                same.listen(self.limits.waiting)
                if sys.platform == "linux":
                    same.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, int(self.limits.head))
