"""The coordinator's public door: TLS, and nothing behind it but those verbs of Flower's Fleet API that our SuperNode speaks.

A SuperLink has one port for everything. Whoever reaches it can start runs, read logs and register nodes, and it keeps what is sent before
it knows who sends it; so it listens on loopback, and this is what partners reach. A request's head tells whether a partner's node signed
it: nobody else's body is read, and nobody else's request gets to the SuperLink, which looks at the signature again.
"""

import asyncio
import math
import ssl
import time
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import AsyncIterable, AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from os import SEEK_END
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import IO

import httpx
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from fedapp.runtime.flower_internals import (
    FLEET_HTTP_PUBLIC_KEY_HEADER,
    FLEET_HTTP_SIGNATURE_HEADER,
    SYSTEM_TIME_TOLERANCE,
    TIMESTAMP_HEADER,
    TIMESTAMP_TOLERANCE,
    now,
    public_key_to_bytes,
    verify_signature,
)
from fedapp.site.folder import Site
from fedapp.site.run.door import LOG, Door, Limits, open_files, server
from fedapp.site.run.serve import node_keys, superlink_connection

FLEET = "/v1/fleet/{verb:str}"
# Bytes of a request's body, by verb; Flower's chunks have 5 MiB, and the tree of a message's objects some 100 bytes for each.
VERBS = dict.fromkeys(
    (
        *("activate-node", "deactivate-node", "send-node-heartbeat"),
        *("get-run", "pull-messages", "pull-object", "confirm-message-received"),
    ),
    64 << 10,
) | {"push-messages": 4 << 20, "push-object": 8 << 20}
ONCE = (FLEET_HTTP_PUBLIC_KEY_HEADER, FLEET_HTTP_SIGNATURE_HEADER, TIMESTAMP_HEADER, "content-length")  # in a head, or not at all
PIECE = 64 << 10  # bytes of a request, or of an answer, that are in memory at once; what has more waits on disk
TIMEOUT = httpx.Timeout(60.0)
LOOK = httpx.Timeout(3.0)
RECENT = 2.0  # seconds for which what was seen of the SuperLink is told
NOT_PASSED_ON = {"host", "connection", "keep-alive", "transfer-encoding", "content-length", "te", "trailer", "upgrade", "accept-encoding"}


def gate(superlink: httpx.AsyncClient, keys: Mapping[str, EllipticCurvePublicKey], limits: Limits, folder: Path) -> Starlette:
    """The door's app, for `fedapp.site.run.door.server`.

    Args:
        superlink: Reaches the SuperLink.
        keys: The partners' node keys, by name.
        folder: On a disk with room for 8 MiB of each exchange that may go on; its files have no names, and go with the process.
    """
    there = Sight(superlink)

    async def health(request: Request) -> Response:
        return PlainTextResponse("ok") if await there.answers() else PlainTextResponse("the SuperLink does not answer", 503)

    return Starlette(routes=[Route(FLEET, Fleet(superlink, keys, limits, folder), methods=["POST"]), Route("/health", health)])


class Fleet:
    """The Fleet API, for partners. A request that is not whole yet, and an answer that is not taken yet, cost no memory."""

    def __init__(self, superlink: httpx.AsyncClient, keys: Mapping[str, EllipticCurvePublicKey], limits: Limits, folder: Path) -> None:
        self.superlink, self.limits, self.folder = superlink, limits, folder
        self.partners = {b64encode(public_key_to_bytes(key)).decode(): (name, key) for name, key in keys.items()}
        self.going: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        refused = self._refusal(request)
        if refused is not None:
            await refused(scope, receive, send)
            return
        with self._place(scope["state"]["guest"].partner) as free, self._file() as body, self._file() as content:
            answer = await self._exchange(request, body, content) if free else PlainTextResponse("too much at once", 429)
            await answer(scope, receive, send)

    def _refusal(self, request: Request) -> Response | None:
        """The answer to what is refused by its head alone."""
        verb = request.path_params["verb"]
        if verb not in VERBS:
            return PlainTextResponse("not found", 404)
        if ambiguous(request.headers):
            return PlainTextResponse("a head that can be read in two ways", 400)
        guest, key = request.scope["state"]["guest"], request.headers.get(FLEET_HTTP_PUBLIC_KEY_HEADER, "")
        if key not in self.partners:
            return PlainTextResponse("no node of this consortium", 412)  # as a SuperLink answers an unknown node
        if guest.key != key:  # it proves itself once; the SuperLink looks at every signature
            name, public = self.partners[key]
            if not signed(request.headers, public):
                return PlainTextResponse("not signed by that node, or by another time", 401)
            guest.partner, guest.key = name, key
        if int(request.headers.get("content-length", VERBS[verb] + 1)) > VERBS[verb]:
            return PlainTextResponse("too large", 413)
        return None

    @contextmanager
    def _place(self, partner: str) -> Iterator[bool]:
        """Hold one of the exchanges of a partner that may go on at once; whether there was one."""
        free = self.going[partner] < self.limits.each
        self.going[partner] += free
        try:
            yield free
        finally:
            self.going[partner] -= free

    def _file(self) -> SpooledTemporaryFile[bytes]:
        return SpooledTemporaryFile(PIECE, dir=str(self.folder))

    async def _exchange(self, request: Request, body: IO[bytes], content: IO[bytes]) -> Response:
        """The SuperLink's answer to a request; both are whole before they are passed on.

        Args:
            body, content: Empty files for them.
        """
        try:
            size = await keep(request.stream(), body, VERBS[request.path_params["verb"]])
            headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in passed_on(request.headers).items()]
            headers.append((b"content-length", b"%d" % size))
            async with self.superlink.stream("POST", request.url.path, content=pieces(body), headers=headers) as answer:
                await keep(answer.aiter_bytes(), content)  # our own SuperLink's: as large as what the coordinator sent
        except TooLargeError:
            return PlainTextResponse("too large", 413)
        except ClientDisconnect:
            return PlainTextResponse("nobody asks any more", 400)
        except httpx.HTTPError:
            return PlainTextResponse("the SuperLink does not answer", 503)
        except OSError as error:
            LOG.error("a request cannot be kept in %s: %s", self.folder, error)
            return PlainTextResponse("the coordinator has no room for it", 503)
        return Paced(content, answer.status_code, passed_on(answer.headers))


class TooLargeError(Exception):
    """More bytes came than may."""


async def keep(content: AsyncIterable[bytes], file: IO[bytes], most: float = math.inf) -> int:
    """Write what comes to a file, and go back to its beginning; how many bytes came.

    Raises:
        TooLargeError: More than `most` came, whatever was said of them before. The file holds no more.
    """
    size = 0
    async for piece in content:
        size += len(piece)
        if size > most:
            raise TooLargeError
        file.write(piece)
    file.seek(0)
    return size


async def pieces(file: IO[bytes]) -> AsyncIterator[bytes]:
    """What a file has."""
    while piece := file.read(PIECE):
        yield piece


class Paced(Response):
    """An answer that is sent no faster than it is taken, so that its exchange lasts until it has been.

    Args:
        content: A file, which stays open until then.
    """

    def __init__(self, content: IO[bytes], status_code: int, headers: Mapping[str, str]) -> None:
        super().__init__(None, status_code, headers)
        self.content = content
        size = content.seek(0, SEEK_END)
        content.seek(0)
        self.headers["content-length"] = str(size)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async for piece in pieces(self.content):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


class Sight:
    """Whether the SuperLink answers; looked at when somebody asks, but not each time that somebody does."""

    def __init__(self, superlink: httpx.AsyncClient) -> None:
        self.superlink, self.looking = superlink, asyncio.Lock()
        self.seen, self.there = -RECENT, False

    async def answers(self) -> bool:
        async with self.looking:
            if time.monotonic() > self.seen + RECENT:
                try:
                    self.there = (await self.superlink.get("/health", timeout=LOOK)).is_success
                except httpx.HTTPError:
                    self.there = False
                self.seen = time.monotonic()
        return self.there


def ambiguous(headers: Headers) -> bool:
    """Whether what reads a head after us may take another size, or another signer, from it than we do.

    A body in chunks is as long as it likes, whatever length is told beside it: RFC 9112, section 6.1.
    """
    sizes = [name for name in ("content-length", "transfer-encoding") if name in headers]
    length = headers.get("content-length", "0")
    return len(sizes) > 1 or not (length.isascii() and length.isdecimal()) or any(len(headers.getlist(name)) > 1 for name in ONCE)


def signed(headers: Headers, key: EllipticCurvePublicKey) -> bool:
    """Whether a node signed the time that a request tells, and that time is now, as Flower has it."""
    try:
        moment = headers[TIMESTAMP_HEADER]
        age = (now() - datetime.fromisoformat(moment)).total_seconds()
        signature, message = b64decode(headers[FLEET_HTTP_SIGNATURE_HEADER], validate=True), moment.encode("ascii")
    except (KeyError, ValueError, TypeError):
        return False
    return -SYSTEM_TIME_TOLERANCE < age < TIMESTAMP_TOLERANCE + SYSTEM_TIME_TOLERANCE and verify_signature(key, message, signature)


def passed_on(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers that concern the message and not the connection."""
    return {name: value for name, value in headers.items() if name.lower() not in NOT_PASSED_ON | {"content-encoding"}}


def serve_gate(site: Site) -> None:
    """Serve the door on the public port until the process is ended."""
    port, _ = superlink_connection(site)
    files = open_files()
    limits = Limits().within(files)
    superlink = httpx.AsyncClient(
        base_url=f"https://127.0.0.1:{port}",
        verify=ssl.create_default_context(cafile=str(site.authority)),
        timeout=TIMEOUT,
        limits=httpx.Limits(max_connections=files // 4, max_keepalive_connections=20),
        trust_env=False,  # no proxy for what is on this machine
    )
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(site.tls / "server.crt", site.tls / "server.key")
    host, public = site.settings.listen, int(site.settings.superlink.rpartition(":")[2])
    LOG.info("listening on %s:%d for at most %d connections", host, public, limits.connections)
    server(gate(superlink, node_keys(site), limits, site.log), Door(tls, limits), host, public).run()
