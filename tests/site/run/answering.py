"""Something that answers at the coordinator's address with its certificate, and tells any time."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from fedapp.site.doctor.network import address
from fedapp.site.folder import Site
from tests.site.serving import running


@contextmanager
def answering(coordinator: Site, behind: float | None = 0.0, status: int = 200) -> Iterator[None]:
    """Answer while inside; the clock is so many seconds behind, None tells no time."""

    async def health(request: Request) -> Response:
        headers = {} if behind is None else {"date": formatdate(time.time() - behind, usegmt=True)}
        return PlainTextResponse("ok", status, headers)

    host, port = address(coordinator)
    config = uvicorn.Config(
        Starlette(routes=[Route("/health", health)]),
        host=host,
        port=port,
        date_header=False,
        log_level="critical",
        ws="none",
        ssl_certfile=str(coordinator.tls / "server.crt"),
        ssl_keyfile=str(coordinator.tls / "server.key"),
    )
    with running(uvicorn.Server(config)):
        yield
