"""The coordinator's public door lets Flower's Fleet API through for partners, and nothing else for anybody."""

import asyncio
import socket
import ssl
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from http.client import HTTPSConnection
from itertools import count
from pathlib import Path
from tempfile import SpooledTemporaryFile
from types import SimpleNamespace

import httpx
import pytest
import uvicorn
from cryptography.hazmat.primitives.asymmetric import ec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Message

from fedapp.consortium.certificates import new_certificates
from fedapp.consortium.node_key import read_private_key
from fedapp.runtime.flower import PROXIES
from fedapp.runtime.processes import child, free_port
from fedapp.site.doctor import network
from fedapp.site.doctor.checks import CheckState
from fedapp.site.folder import Site
from fedapp.site.run.door import Limits
from fedapp.site.run.gate import PIECE, VERBS, Fleet
from fedapp.site.run.serve import SUPERLINK_FILE, part
from fedapp.storage.json_file import write_json
from tests.site.serving import open_gate, running, signature, wait_for

KEYS = {name: ec.generate_private_key(ec.SECP384R1()) for name in ("alpha", "beta")}
PULL = "/v1/fleet/pull-messages"


class Echo:
    """A SuperLink that answers everything: what it was sent, and by which way."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.away = False

    async def answer(self, request: Request) -> Response:
        self.asked.append(request.url.path)
        headers = {"x-path": request.url.path, "x-signature": request.headers.get("flwr-signature", "")}
        return Response(await request.body(), 202 if request.url.path.endswith("get-run") else 200, headers)

    @property
    def app(self) -> Starlette:
        return Starlette(routes=[Route("/{anything:path}", self.answer, methods=["GET", "POST"])])

    def transport(self) -> httpx.AsyncBaseTransport:
        app = httpx.ASGITransport(self.app)

        async def reached(request: httpx.Request) -> httpx.Response:
            if self.away:
                raise httpx.ConnectError("refused")
            return await app.handle_async_request(request)

        return httpx.MockTransport(reached)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("authority") / "certificates"
    new_certificates(folder, ["127.0.0.1"])
    return folder


@pytest.fixture(scope="module")
def trust(certificates: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificates / "ca.crt"))


@pytest.fixture(scope="module")
def reached(certificates: Path, trust: ssl.SSLContext) -> Iterator[tuple[httpx.Client, Echo]]:
    """A caller at the gate, and the SuperLink behind it."""
    superlink = Echo()
    with (
        open_gate(superlink.transport(), certificates, KEYS) as (port, _),
        httpx.Client(base_url=f"https://127.0.0.1:{port}", verify=trust, trust_env=False) as caller,
    ):
        yield caller, superlink


@pytest.fixture
def caller(reached: tuple[httpx.Client, Echo]) -> httpx.Client:
    return reached[0]


@pytest.fixture
def superlink(reached: tuple[httpx.Client, Echo]) -> Iterator[Echo]:
    reached[1].asked.clear()
    yield reached[1]
    reached[1].away = False


def test_a_supernodes_request_passes_whole_with_its_signature_and_so_does_the_answer(caller: httpx.Client) -> None:
    body, introduced = bytes(range(256)) * 20_000, signature(KEYS["alpha"])
    answer = caller.post("/v1/fleet/push-object", content=body, headers=introduced)
    assert answer.content == body
    assert (answer.headers["x-path"], answer.headers["x-signature"]) == ("/v1/fleet/push-object", introduced["flwr-signature"])
    assert caller.post("/v1/fleet/get-run", headers=introduced).status_code == 202


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
def test_nobody_outside_can_start_a_run_register_a_node_or_read_a_log(caller: httpx.Client, superlink: Echo, path: str) -> None:
    for headers in ({}, signature(KEYS["alpha"])):
        assert caller.post(path, headers=headers).status_code in (404, 405)
        assert caller.get(path, headers=headers).status_code in (404, 405)
    assert superlink.asked == []


STRANGER = ec.generate_private_key(ec.SECP384R1())
UNKNOWN: dict[str, tuple[Callable[[], dict[str, str]], int]] = {  # signed when asked for: a clock that is ahead is so for a minute only
    "nobody": (dict, 412),
    "a node of no partner": (lambda: signature(STRANGER), 412),
    "who has heard of a partner's key": (
        lambda: signature(STRANGER) | {"flwr-public-key": signature(KEYS["alpha"])["flwr-public-key"]},
        401,
    ),
    "who has kept an old request": (lambda: signature(KEYS["alpha"], datetime.now(UTC) - timedelta(minutes=6)), 401),
    "a clock that is ahead": (lambda: signature(KEYS["alpha"], datetime.now(UTC) + timedelta(minutes=1)), 401),
    "a time without a zone": (lambda: signature(KEYS["alpha"], datetime.now(UTC).replace(tzinfo=None)), 401),
    "no signature": (lambda: signature(KEYS["alpha"]) | {"flwr-signature": "bm8="}, 401),
    "no base64": (lambda: signature(KEYS["alpha"]) | {"flwr-signature": "\xff"}, 401),
}


@pytest.mark.parametrize("who", UNKNOWN)
def test_nothing_of_a_stranger_reaches_the_superlink_and_its_connection_ends(caller: httpx.Client, superlink: Echo, who: str) -> None:
    introduced, status = UNKNOWN[who]
    answer = caller.post(PULL, headers={name: value.encode("latin-1") for name, value in introduced().items()})
    assert (answer.status_code, answer.headers["connection"]) == (status, "close")
    assert superlink.asked == []


def test_a_connection_of_one_partner_is_not_taken_for_that_of_another_without_a_signature(caller: httpx.Client) -> None:
    assert caller.post(PULL, headers=signature(KEYS["alpha"])).status_code == 200
    forged = signature(KEYS["alpha"]) | {"flwr-public-key": signature(KEYS["beta"])["flwr-public-key"]}
    assert caller.post(PULL, headers=forged).status_code == 401


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("size", ["content-length", "transfer-encoding"])
def test_a_request_that_is_too_large_for_its_verb_or_of_unknown_size_is_refused_by_its_head(
    caller: httpx.Client, trust: ssl.SSLContext, superlink: Echo, verb: str, size: str
) -> None:
    line = HTTPSConnection(caller.base_url.host, caller.base_url.port, timeout=10, context=trust)
    line.putrequest("POST", f"/v1/fleet/{verb}")
    told = {"content-length": str(VERBS[verb] + 1), "transfer-encoding": "chunked"}
    for name, value in (signature(KEYS["alpha"]) | {size: told[size]}).items():
        line.putheader(name, value)
    line.endheaders()
    assert line.getresponse().status == 413
    line.close()
    assert superlink.asked == []


AMBIGUOUS: dict[str, list[tuple[str, str]]] = {
    "a length beside chunks": [("content-length", "10"), ("transfer-encoding", "chunked")],
    "chunks before a length": [("transfer-encoding", "chunked"), ("content-length", "10")],
    "two lengths": [("content-length", "10"), ("content-length", "11")],
    "two lengths in one line": [("content-length", "10, 11")],
    "a negative length": [("content-length", "-10")],
    "a length with a sign": [("content-length", "+10")],
    "a length that Python alone would read": [("content-length", "1_0")],
    "another who asks after the one who signed": [("content-length", "10"), ("flwr-public-key", "another")],
    "another signature": [("content-length", "10"), ("flwr-signature", "bm8=")],
    "another time": [("content-length", "10"), ("flwr-timestamp", "2026-01-01")],
}


@pytest.mark.parametrize("verb", ["push-object", "activate-node"])
@pytest.mark.parametrize("how", AMBIGUOUS)
def test_a_head_that_can_be_read_in_two_ways_is_refused_and_its_connection_ends(
    caller: httpx.Client, trust: ssl.SSLContext, superlink: Echo, verb: str, how: str
) -> None:
    lines = [f"POST /v1/fleet/{verb} HTTP/1.1", "host: coordinator"]
    lines += [f"{name}: {value}" for name, value in (*signature(KEYS["alpha"]).items(), *AMBIGUOUS[how])]
    with (
        socket.create_connection((caller.base_url.host, caller.base_url.port or 443), 10) as plain,
        trust.wrap_socket(plain, server_hostname="127.0.0.1") as line,
    ):
        line.sendall("\r\n".join([*lines, "", ""]).encode() + b"a\r\n0123456789\r\n0\r\n\r\n")
        answer = b"".join(iter(partial(line.recv, PIECE), b""))  # to its end
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert superlink.asked == []


@pytest.mark.parametrize("verb", ["push-object", "activate-node"])
def test_a_body_that_grows_beyond_its_limit_is_given_up_whatever_its_head_says(tmp_path: Path, verb: str) -> None:
    """No server in front of it counts: what was framed in a way that nobody thought of is counted all the same."""
    superlink, sent, answered = Echo(), count(), []
    kept: list[SpooledTemporaryFile[bytes]] = []

    class Watched(Fleet):
        def _file(self) -> SpooledTemporaryFile[bytes]:
            kept.append(super()._file())
            return kept[-1]

    async def receive() -> Message:
        return {"type": "http.request", "body": bytes(PIECE), "more_body": next(sent) < 2 * VERBS[verb] // PIECE}

    async def send(message: Message) -> None:
        answered.append(message.get("status"))
        assert kept[0].tell() <= VERBS[verb]

    async def asked() -> None:
        headers = signature(KEYS["alpha"]) | {"content-length": "10"}
        lines = [(name.encode(), value.encode()) for name, value in headers.items()]
        guest = SimpleNamespace(partner=None, key="")
        scope = {"type": "http", "method": "POST", "path": f"/v1/fleet/{verb}", "query_string": b"", "headers": lines}
        client = httpx.AsyncClient(base_url="http://superlink", transport=superlink.transport())
        fleet = Watched(client, {name: key.public_key() for name, key in KEYS.items()}, Limits(), tmp_path)
        await fleet(scope | {"path_params": {"verb": verb}, "state": {"guest": guest}}, receive, send)

    asyncio.run(asked())
    assert answered[0] == 413
    assert next(sent) == VERBS[verb] // PIECE + 1, "nothing more was read"
    assert all(file.closed for file in kept)
    assert superlink.asked == []


def test_what_flower_sends_and_asks_at_once_is_within_the_limits_for_fifty_partners() -> None:
    from flwr.common.constant import FLWR_PRIVATE_MAX_ARRAY_CHUNK_SIZE
    from flwr.supercore.constant import FLWR_PRIVATE_MAX_CONCURRENT_OBJ_PULLS, FLWR_PRIVATE_MAX_CONCURRENT_OBJ_PUSHES

    limits, partners, beside = Limits(), 50, 2  # a heartbeat and a look for messages
    large = max(FLWR_PRIVATE_MAX_CONCURRENT_OBJ_PULLS, FLWR_PRIVATE_MAX_CONCURRENT_OBJ_PUSHES)
    assert VERBS["push-object"] > FLWR_PRIVATE_MAX_ARRAY_CHUNK_SIZE + 1024
    assert limits.each >= large + beside
    assert limits.within(1024).connections >= partners * (large + beside)
    assert limits.within(1024).strangers >= partners * (large + beside), "all of them may come at once, as after a restart"
    bits = 8 * FLWR_PRIVATE_MAX_ARRAY_CHUNK_SIZE * partners * large
    assert bits / limits.exchange < 100e6 / 10, "all partners may share a line of a tenth of 100 Mbit/s"


def test_while_the_superlink_is_away_partners_are_told_to_come_back(caller: httpx.Client, superlink: Echo) -> None:
    superlink.away = True
    assert caller.post(PULL, headers=signature(KEYS["alpha"])).status_code == 503


def test_a_body_is_kept_on_disk_and_where_there_is_none_small_requests_pass_and_large_ones_are_told_to_come_back(
    certificates: Path, trust: ssl.SSLContext, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    superlink = Echo()
    with (
        open_gate(superlink.transport(), certificates, KEYS, folder=tmp_path / "full") as (port, _),
        httpx.Client(base_url=f"https://127.0.0.1:{port}", verify=trust, trust_env=False) as caller,
    ):
        assert caller.post(PULL, content=bytes(PIECE), headers=signature(KEYS["alpha"])).content == bytes(PIECE)
        answer = caller.post("/v1/fleet/push-object", content=bytes(PIECE + 1), headers=signature(KEYS["alpha"]))
    assert (answer.status_code, answer.text) == (503, "the coordinator has no room for it")
    assert superlink.asked == [PULL]
    assert "a request cannot be kept in" in caplog.text


def test_health_says_whether_partners_get_through_to_the_superlink_and_nothing_else(certificates: Path, trust: ssl.SSLContext) -> None:
    for away, told in ((False, (200, "ok")), (True, (503, "the SuperLink does not answer"))):
        superlink = Echo()
        superlink.away = away
        with (
            open_gate(superlink.transport(), certificates, KEYS) as (port, _),
            httpx.Client(base_url=f"https://127.0.0.1:{port}", verify=trust, trust_env=False) as caller,
        ):
            answers = [caller.get("/health") for _ in range(20)]
        assert {(answer.status_code, answer.text) for answer in answers} == {told}
        assert len(superlink.asked) <= 2, "whoever asks often does not keep it busy"


def test_the_gate_as_it_is_served_reaches_the_superlink_whatever_proxy_the_environment_names(
    partner: Site, coordinator: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in PROXIES:
        monkeypatch.setenv(name, "http://127.0.0.1:9")
        monkeypatch.setenv(name.lower(), "http://127.0.0.1:9")
    superlink, port = Echo(), free_port()
    files = {"ssl_certfile": str(coordinator.tls / "server.crt"), "ssl_keyfile": str(coordinator.tls / "server.key")}
    write_json(coordinator.log / SUPERLINK_FILE, {"port": port})
    key = read_private_key(partner.keys / "node.key")
    with (
        running(uvicorn.Server(uvicorn.Config(superlink.app, host="127.0.0.1", port=port, log_level="error", **files))),  # type: ignore[arg-type]
        child(part(coordinator, "gate"), coordinator.log / "gate.out", {}),
    ):
        wait_for(lambda: network.port(coordinator).told.startswith("our own gate listens"), "the gate listens")
        assert network.port(coordinator).state is CheckState.OK
        assert network.connection(partner).state is CheckState.OK
        with httpx.Client(verify=ssl.create_default_context(cafile=str(partner.authority)), trust_env=False) as caller:
            answer = caller.post(f"https://{partner.settings.superlink}{PULL}", headers=signature(key))
    assert answer.headers["x-path"] == PULL
