"""The coordinator's public door: TLS, and nothing behind it but those verbs of Flower's Fleet API that our SuperNode speaks.

A SuperLink has one port for everything. Whoever reaches it can start runs, read logs and register nodes, and it keeps what is sent before
it knows who sends it; so it listens on loopback, and this is what partners reach. A request's head tells whether a partner's node signed
it: nobody else's body is read, and nobody else's request gets to the SuperLink, which looks at the signature again.
"""

import asyncio
import ssl
import time
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime

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
LARGE = frozenset({"push-messages", "push-object", "pull-object"})  # where a request or its answer may have megabytes
PIECE = 64 << 10  # bytes of an answer that are on their way to a partner at once
TIMEOUT = httpx.Timeout(60.0)
LOOK = httpx.Timeout(3.0)
RECENT = 2.0  # seconds for which what was seen of the SuperLink is told
NOT_PASSED_ON = {"host", "connection", "keep-alive", "transfer-encoding", "content-length", "te", "trailer", "upgrade", "accept-encoding"}


def gate(superlink: httpx.AsyncClient, keys: Mapping[str, EllipticCurvePublicKey], limits: Limits) -> Starlette:
    """The door's app, for `fedapp.site.run.door.server`.

    Args:
        superlink: Reaches the SuperLink.
        keys: The partners' node keys, by name.
    """
    there = Sight(superlink)

    async def health(request: Request) -> Response:
        return PlainTextResponse("ok") if await there.answers() else PlainTextResponse("the SuperLink does not answer", 503)

    return Starlette(routes=[Route(FLEET, Fleet(superlink, keys, limits), methods=["POST"]), Route("/health", health)])


class Fleet:
    """The Fleet API, for partners."""

    def __init__(self, superlink: httpx.AsyncClient, keys: Mapping[str, EllipticCurvePublicKey], limits: Limits) -> None:
        self.superlink, self.limits = superlink, limits
        self.partners = {b64encode(public_key_to_bytes(key)).decode(): (name, key) for name, key in keys.items()}
        self.going: Counter[str] = Counter()
        self.large = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        verb = request.path_params["verb"]
        refused = self._refusal(request, verb)
        if refused is not None:
            await refused(scope, receive, send)
            return
        with self._place(scope["state"]["guest"].partner, verb in LARGE) as free:
            answer = await self._exchange(request) if free else PlainTextResponse("too much at once", 429)
            await answer(scope, receive, send)

    def _refusal(self, request: Request, verb: str) -> Response | None:
        """The answer to what is refused by its head alone."""
        if verb not in VERBS:
            return PlainTextResponse("not found", 404)
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
    def _place(self, partner: str, large: bool) -> Iterator[bool]:
        """Hold one of the exchanges that may go on at once; whether there was one."""
        free = self.going[partner] < self.limits.each and self.large + large <= self.limits.large
        self.going[partner] += free
        self.large += free and large
        try:
            yield free
        finally:
            self.going[partner] -= free
            self.large -= free and large

    async def _exchange(self, request: Request) -> Response:
        """The SuperLink's answer to a request."""
        try:
            body = await request.body()
            headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in passed_on(request.headers).items()]
            answer = await self.superlink.post(request.url.path, content=body, headers=headers)
        except ClientDisconnect:
            return PlainTextResponse("nobody asks any more", 400)
        except httpx.HTTPError:
            return PlainTextResponse("the SuperLink does not answer", 503)
        return Paced(answer.content, answer.status_code, passed_on(answer.headers))


class Paced(Response):
    """An answer that is sent no faster than it is taken, so that its exchange lasts until it has been."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        for start in range(0, len(self.body) or 1, PIECE):
            more = start + PIECE < len(self.body)
            await send({"type": "http.response.body", "body": self.body[start : start + PIECE], "more_body": more})


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
    server(gate(superlink, node_keys(site), limits), Door(tls, limits), host, public).run()
