"""The coordinator's public door: TLS, and nothing behind it but those verbs of Flower's Fleet API that our SuperNode speaks.

A SuperLink has one port for everything. Whoever reaches it can start runs, read logs and register nodes, so it listens on loopback, and
this is what partners reach.
"""

import ssl
from collections.abc import Mapping

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from fedapp.site.folder import Site
from fedapp.site.serve import superlink_connection

FLEET = "/v1/fleet/{verb:str}"
VERBS = frozenset(
    {
        *("activate-node", "deactivate-node", "send-node-heartbeat"),
        *("get-run", "pull-messages", "pull-object", "confirm-message-received", "push-messages", "push-object"),
    }
)
LARGEST = 16 << 20  # bytes of one request; Flower's chunks have 5 MiB
TIMEOUT = httpx.Timeout(60.0)
NOT_PASSED_ON = {"host", "connection", "keep-alive", "transfer-encoding", "content-length", "te", "trailer", "upgrade", "accept-encoding"}


def gate(superlink: httpx.AsyncClient) -> Starlette:
    """The door as an ASGI app.

    Args:
        superlink: Reaches the SuperLink.
    """

    async def fleet(request: Request) -> Response:
        if request.path_params["verb"] not in VERBS:
            return PlainTextResponse("not found", 404)
        if int(request.headers.get("content-length", LARGEST + 1)) > LARGEST:
            return PlainTextResponse("too large", 413)
        body = await request.body()
        try:
            answer = await superlink.post(request.url.path, content=body, headers=passed_on(request.headers))
        except httpx.HTTPError:
            return PlainTextResponse("the SuperLink does not answer", 503)
        return Response(answer.content, answer.status_code, passed_on(answer.headers))

    async def health(request: Request) -> Response:
        return PlainTextResponse("ok")

    return Starlette(routes=[Route(FLEET, fleet, methods=["POST"]), Route("/health", health)])


def passed_on(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers that concern the message and not the connection."""
    return {name: value for name, value in headers.items() if name.lower() not in NOT_PASSED_ON | {"content-encoding"}}


def serve_gate(site: Site) -> None:
    """Serve the door on the public port until the process is ended."""
    port, _ = superlink_connection(site)
    trust = ssl.create_default_context(cafile=str(site.authority))
    config = uvicorn.Config(
        gate(httpx.AsyncClient(base_url=f"https://127.0.0.1:{port}", verify=trust, timeout=TIMEOUT)),
        host=site.settings.listen,
        port=int(site.settings.superlink.rpartition(":")[2]),
        ssl_certfile=str(site.tls / "server.crt"),
        ssl_keyfile=str(site.tls / "server.key"),
        access_log=False,
        server_header=False,
        ws="none",
        timeout_keep_alive=75,
    )
    uvicorn.Server(config).run()
