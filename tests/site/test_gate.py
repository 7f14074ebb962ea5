"""The coordinator's public door lets Flower's Fleet API through, and nothing else."""

from collections.abc import Iterator

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.testclient import TestClient

from fedapp.site.gate import LARGEST, gate


async def echo(request: Request) -> Response:
    """A SuperLink that answers everything: what it was sent, and by which way."""
    headers = {"x-path": request.url.path, "x-signature": request.headers.get("flwr-signature", "")}
    return Response(await request.body(), 202 if request.url.path.endswith("get-run") else 200, headers)


def door(transport: httpx.AsyncBaseTransport) -> TestClient:
    return TestClient(gate(httpx.AsyncClient(base_url="http://superlink", transport=transport)))


@pytest.fixture
def reached() -> TestClient:
    superlink = Starlette(routes=[Route("/{anything:path}", echo, methods=["GET", "POST"])])
    return door(httpx.ASGITransport(superlink))


def test_a_supernodes_request_passes_whole_with_its_signature_and_so_does_the_answer(reached: TestClient) -> None:
    body = bytes(range(256)) * 1000
    answer = reached.post("/v1/fleet/pull-messages", content=body, headers={"flwr-signature": "signed"})
    assert answer.content == body
    assert (answer.headers["x-path"], answer.headers["x-signature"]) == ("/v1/fleet/pull-messages", "signed")
    assert reached.post("/v1/fleet/get-run").status_code == 202


@pytest.mark.parametrize(
    "path",
    [
        "/v1/control/start-run",
        "/v1/fleet/register-node",
        "/v1/fleet/unregister-node",
        "/v1/fleet/get-fab",
        "/v1/control/register-node",
        "/v1/control/stream-logs",
        "/v1/runtime/acquire-task",
        "/v1/fleet/../control/start-run",
        "/v1/fleet/%2e%2e/control/start-run",
        "/v1/fleet/a/b",
        "/docs",
        "/",
    ],
)
def test_nobody_outside_can_start_a_run_register_a_node_or_read_a_log(reached: TestClient, path: str) -> None:
    assert reached.post(path).status_code in (404, 405)
    assert reached.get(path).status_code in (404, 405)


def test_a_request_that_is_too_large_or_of_unknown_size_is_refused(reached: TestClient) -> None:
    assert reached.post("/v1/fleet/push-object", headers={"content-length": str(LARGEST + 1)}, content=b"x").status_code == 413

    def unending() -> Iterator[bytes]:
        yield b"x"

    assert reached.post("/v1/fleet/push-object", content=unending()).status_code == 413


def test_while_the_superlink_is_away_partners_are_told_to_come_back() -> None:
    def away(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    assert door(httpx.MockTransport(away)).post("/v1/fleet/pull-messages").status_code == 503


def test_health_says_nothing_but_that_the_door_is_there(reached: TestClient) -> None:
    answer = reached.get("/health")
    assert (answer.status_code, answer.text) == (200, "ok")
