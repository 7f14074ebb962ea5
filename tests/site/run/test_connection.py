"""A partner's connection: what it waits for, what it takes for an answer, and what ends it with a word of what to do."""

import asyncio
import gzip
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import NameOID
from flwr.app import Array, ArrayRecord, Message
from flwr.proto.fleet_pb2 import ActivateNodeResponse, DeactivateNodeResponse, PullMessagesResponse
from flwr.proto.heartbeat_pb2 import SendNodeHeartbeatResponse
from flwr.proto.message_pb2 import ObjectTree, PullObjectRequest, PullObjectResponse
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects, get_object_tree
from flwr.supercore.task_identity import TaskIdentity
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from fedapp.consortium.certificates import new_certificates
from fedapp.errors import RunError
from fedapp.runtime.processes import free_port
from fedapp.site.proxy import parsed
from fedapp.site.run.connection import LARGEST_ANSWER, OBJECT, connect
from fedapp.site.run.inbox import StoredRequest, TooLargeError
from strategies import message_records
from tests.site.run.connect_proxy import ConnectProxy, proxying

NODE = 12345
NAME = "coordinator.example.org"  # what the certificate is for, beside loopback; nobody but a proxy knows where that is


class FakeSuperLink:
    """Answers the Fleet API as told, and remembers what it was asked.

    Attributes:
        status: HTTP status by verb; 200 if it is not in it.
        known: Whether a heartbeat of an earlier node is welcome.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.status: dict[str, int] = {}
        self.headers: dict[str, str] = {}
        self.known = False
        self.objects: dict[str, bytes | int] = {}
        self.compressed = False
        self.pulled: list[str] = []
        self.streamed = 0

    async def answer(self, request: Request) -> Response:
        verb = request.path_params["verb"]
        self.asked.append(verb)
        status = self.status.get(verb, 200)
        if verb == "pull-object":
            return self.handed(PullObjectRequest.FromString(await request.body()).object_id)
        replies: dict[str, Any] = {
            "activate-node": ActivateNodeResponse(node_id=NODE),
            "deactivate-node": DeactivateNodeResponse(),
            "send-node-heartbeat": SendNodeHeartbeatResponse(success=self.known),
            "pull-messages": PullMessagesResponse(),
        }
        return Response(replies[verb].SerializeToString(), status, self.headers, media_type="application/x-protobuf")

    def handed(self, name: str) -> Response:
        """An object; where there is a number instead, an answer of so many megabytes that says nothing of its length."""
        self.pulled.append(name)
        content = self.objects[name]
        if isinstance(content, bytes):
            whole = PullObjectResponse(object_found=True, object_available=True, object_content=content).SerializeToString()
            headers = {"content-encoding": "gzip"} if self.compressed else {}
            return Response(gzip.compress(whole) if self.compressed else whole, 200, headers, media_type="application/x-protobuf")

        async def stream() -> AsyncIterator[bytes]:
            for _ in range(int(content)):
                self.streamed += 1
                yield bytes(1 << 20)
                await asyncio.sleep(0.001)  # a moment to notice that nobody listens any more

        return StreamingResponse(stream(), media_type="application/x-protobuf")


@contextmanager
def listening(superlink: FakeSuperLink, certificates: Path) -> Iterator[str]:
    """Serve it over TLS on loopback; its address."""
    port = free_port()
    app = Starlette(routes=[Route("/v1/fleet/{verb}", superlink.answer, methods=["POST"])])
    files = {"ssl_certfile": str(certificates / "server.crt"), "ssl_keyfile": str(certificates / "server.key")}
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error", **files))  # type: ignore[arg-type]
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("authority") / "certificates"
    new_certificates(folder, ["127.0.0.1", NAME])
    return folder


@pytest.fixture
def key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP384R1())


def ignore(reason: str) -> None:
    """Listens to no trouble."""


def test_a_node_comes_online_and_leaves_when_it_ends_in_order(certificates: Path, key: ec.EllipticCurvePrivateKey) -> None:
    superlink = FakeSuperLink()
    with listening(superlink, certificates) as address:
        with connect(address, (certificates / "ca.crt").read_bytes(), key, None, ignore) as connection:
            assert connection.node_id == NODE
            assert connection.receive() is None
        assert superlink.asked == ["activate-node", "pull-messages", "deactivate-node"]


def test_a_process_that_comes_back_goes_on_as_the_node_it_was(certificates: Path, key: ec.EllipticCurvePrivateKey) -> None:
    superlink = FakeSuperLink()
    superlink.known = True
    with listening(superlink, certificates) as address:
        with connect(address, (certificates / "ca.crt").read_bytes(), key, 777, ignore) as connection:
            assert connection.node_id == 777
        assert "activate-node" not in superlink.asked


@pytest.mark.parametrize("status", [200, 401, 412])
def test_a_node_that_the_superlink_forgot_comes_online_anew(certificates: Path, key: ec.EllipticCurvePrivateKey, status: int) -> None:
    superlink = FakeSuperLink()
    superlink.status["send-node-heartbeat"] = status
    with (
        listening(superlink, certificates) as address,
        connect(address, (certificates / "ca.crt").read_bytes(), key, 777, ignore) as connection,
    ):
        assert connection.node_id == NODE


def test_a_coordinator_that_is_away_is_waited_for_and_the_trouble_is_told(certificates: Path, key: ec.EllipticCurvePrivateKey) -> None:
    superlink, told = FakeSuperLink(), []
    superlink.status["activate-node"] = 503

    def listen(reason: str) -> None:
        told.append(reason)
        if len(told) == 2:
            superlink.status.clear()

    with listening(superlink, certificates) as address, connect(address, (certificates / "ca.crt").read_bytes(), key, None, listen):
        assert superlink.asked.count("activate-node") == 3
    assert all("cannot be reached" in reason and "the SuperLink behind it does not answer" in reason for reason in told[:2])
    assert told[2] == "", "and that it is over"


@pytest.mark.parametrize(
    ("status", "what"), [(412, "does not take our node"), (401, "does not know our node, or our clock is wrong"), (404, "answered 404")]
)
def test_a_refusal_ends_with_its_reason(certificates: Path, key: ec.EllipticCurvePrivateKey, status: int, what: str) -> None:
    superlink = FakeSuperLink()
    superlink.status["activate-node"] = status
    with (
        listening(superlink, certificates) as address,
        pytest.raises(RunError, match=what),
        connect(address, (certificates / "ca.crt").read_bytes(), key, None, ignore),
    ):
        raise AssertionError("connected")


def test_a_node_that_is_forgotten_while_it_is_connected_ends_so_that_it_can_come_back(
    certificates: Path, key: ec.EllipticCurvePrivateKey
) -> None:
    superlink = FakeSuperLink()
    with (
        listening(superlink, certificates) as address,
        pytest.raises(RunError, match="does not know our node"),
        connect(address, (certificates / "ca.crt").read_bytes(), key, None, ignore) as connection,
    ):
        superlink.status["pull-messages"] = 401
        connection.receive()


# The way there


def named(address: str) -> str:
    return f"{NAME}:{address.rpartition(':')[2]}"


@pytest.mark.parametrize("user", ["", "me:pass%40word@"])
def test_a_node_behind_a_proxy_comes_online_through_it_and_tls_lasts_from_end_to_end(
    certificates: Path, key: ec.EllipticCurvePrivateKey, user: str
) -> None:
    superlink = FakeSuperLink()
    with listening(superlink, certificates) as address, proxying(ConnectProxy(user=user and "me:pass@word")) as proxy:
        way = parsed(f"http://{user}127.0.0.1:{proxy.port}", "site.yaml")
        with connect(named(address), (certificates / "ca.crt").read_bytes(), key, None, ignore, way) as connection:
            assert connection.receive() is None
        assert superlink.asked == ["activate-node", "pull-messages", "deactivate-node"]
        assert set(proxy.asked) == {named(address)}


def test_a_proxy_that_opens_tls_is_not_taken_for_the_coordinator(
    certificates: Path, key: ec.EllipticCurvePrivateKey, tmp_path: Path
) -> None:
    new_certificates(tmp_path / "other", [NAME])
    with (
        listening(FakeSuperLink(), tmp_path / "other") as address,
        proxying(ConnectProxy()) as proxy,
        pytest.raises(RunError, match=r"is not the coordinator that ca\.crt vouches for"),
        connect(named(address), (certificates / "ca.crt").read_bytes(), key, None, ignore, parsed(proxy.url, "site.yaml")),
    ):
        raise AssertionError("connected")


def test_a_proxy_that_does_not_let_us_through_is_waited_for_and_named(certificates: Path, key: ec.EllipticCurvePrivateKey) -> None:
    told = []
    with listening(FakeSuperLink(), certificates) as address, proxying(ConnectProxy(status="403 Forbidden")) as proxy:

        def listen(reason: str) -> None:
            told.append(reason)
            proxy.status = ""  # somebody opens the way

        with connect(named(address), (certificates / "ca.crt").read_bytes(), key, None, listen, parsed(proxy.url, "site.yaml")):
            assert told == [f"the SuperLink cannot be reached through the proxy 127.0.0.1:{proxy.port}: 403 Forbidden", ""]


@pytest.mark.parametrize("proxy", ["http://127.0.0.1:9", "socks5://127.0.0.1:9", "gopher://127.0.0.1:9"])
def test_neither_the_environment_nor_an_answer_leads_a_node_elsewhere(
    certificates: Path, key: ec.EllipticCurvePrivateKey, monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    for name in ("HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy)
    superlink = FakeSuperLink()
    with listening(superlink, certificates) as address:
        superlink.status["pull-messages"] = 307
        superlink.headers["location"] = f"https://{address}/v1/fleet/deactivate-node"
        with (
            pytest.raises(RunError, match="answered 307"),
            connect(address, (certificates / "ca.crt").read_bytes(), key, None, ignore) as connection,
        ):
            connection.receive()
    assert superlink.asked[:2] == ["activate-node", "pull-messages"]


# What is too large


def fetched(
    superlink: FakeSuperLink, certificates: Path, key: ec.EllipticCurvePrivateKey, letter: StoredRequest, largest: int
) -> StoredRequest:
    """A letter whose objects this SuperLink hands out."""
    with (
        listening(superlink, certificates) as address,
        connect(address, (certificates / "ca.crt").read_bytes(), key, None, ignore) as connection,
    ):
        return connection.fetch(replace(letter, objects=None), largest)


def letter_with(words: np.ndarray, names: int = 1) -> StoredRequest:
    """A request with a vector, under so many names."""
    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 1, 1
    content = message_records.content("Hello", {message_records.BODY: b""}, {})
    array = Array(words)
    content[message_records.WORDS] = ArrayRecord({str(number): array for number in range(names)})
    message = Message(content, dst_node_id=NODE, message_type="query")
    objects = {name: each.deflate() for name, each in get_all_nested_objects(message).items()}
    return StoredRequest(1, get_object_tree(message).SerializeToString(), objects)


@pytest.fixture
def letter() -> StoredRequest:
    """8 MB in two chunks, and their envelope."""
    return letter_with(np.arange(2_000_000, dtype=np.uint32))


def size(letter: StoredRequest) -> int:
    assert letter.objects is not None
    return sum(len(content) + OBJECT for content in letter.objects.values())


def test_a_request_is_fetched_as_long_as_it_is_no_larger_than_it_may_be(
    certificates: Path, key: ec.EllipticCurvePrivateKey, letter: StoredRequest
) -> None:
    superlink = FakeSuperLink()
    superlink.objects = dict(letter.objects or {})
    assert fetched(superlink, certificates, key, letter, size(letter)) == letter
    with pytest.raises(TooLargeError, match=f"a request of more than {size(letter) - 1} bytes"):
        fetched(superlink, certificates, key, letter, size(letter) - 1)


def test_many_small_objects_are_not_fetched_without_end(certificates: Path, key: ec.EllipticCurvePrivateKey) -> None:
    names = [f"{number:064x}" for number in range(1000)]
    tree = ObjectTree(object_id=names[0], children=[ObjectTree(object_id=name) for name in names[1:]])
    superlink = FakeSuperLink()
    superlink.objects = dict.fromkeys(names, b"")
    with pytest.raises(TooLargeError):
        fetched(superlink, certificates, key, StoredRequest(1, tree.SerializeToString()), 20 * OBJECT)
    assert len(superlink.pulled) < 100


def test_an_answer_that_does_not_end_is_not_read_to_its_end(
    certificates: Path, key: ec.EllipticCurvePrivateKey, letter: StoredRequest
) -> None:
    superlink = FakeSuperLink()
    superlink.objects = dict.fromkeys(letter.objects or {}, 1000)
    with pytest.raises(TooLargeError, match=f"an answer of the SuperLink of more than {LARGEST_ANSWER} bytes"):
        fetched(superlink, certificates, key, letter, 1 << 40)
    assert superlink.streamed < 500


def test_a_compressed_answer_is_not_unpacked(certificates: Path, key: ec.EllipticCurvePrivateKey, letter: StoredRequest) -> None:
    superlink = FakeSuperLink()
    superlink.objects, superlink.compressed = dict.fromkeys(letter.objects or {}, bytes(1 << 20)), True
    with pytest.raises(TooLargeError, match="compressed"):
        fetched(superlink, certificates, key, letter, 1 << 40)


@pytest.mark.parametrize(("megabytes", "names"), [(60, 1), (5, 12)], ids=["a chunk", "an array"])
def test_what_is_named_again_and_again_is_not_put_together(
    certificates: Path, key: ec.EllipticCurvePrivateKey, megabytes: int, names: int
) -> None:
    """Zeros, whose chunks are all the same one: 60 MB from at most 15."""
    letter = letter_with(np.zeros(megabytes << 20, dtype=np.uint8), names)
    assert size(letter) < 16 << 20
    superlink = FakeSuperLink()
    superlink.objects = dict(letter.objects or {})
    assert fetched(superlink, certificates, key, letter, 61 << 20) == letter
    with pytest.raises(TooLargeError, match="again and again"):
        fetched(superlink, certificates, key, letter, 59 << 20)


def expired(folder: Path) -> None:
    """A server certificate of the same authority whose time is over."""
    authority_key = load_pem_private_key((folder / "ca.key").read_bytes(), None)
    authority = x509.load_pem_x509_certificate((folder / "ca.crt").read_bytes())
    key = ec.generate_private_key(ec.SECP256R1())
    begin = datetime.now(UTC) - timedelta(days=30)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "late")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(authority.subject).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(begin).not_valid_after(begin + timedelta(days=29))
    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key())  # type: ignore[arg-type]
    builder = builder.add_extension(names, critical=False).add_extension(issuer, critical=False)
    assert isinstance(authority_key, ec.EllipticCurvePrivateKey)
    certificate = builder.sign(authority_key, hashes.SHA384())
    (folder / "server.crt").write_bytes(certificate.public_bytes(Encoding.PEM))
    (folder / "server.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def another_authority(folder: Path) -> None:
    for held in folder.iterdir():
        held.unlink()
    new_certificates(folder, ["127.0.0.1"])


@pytest.mark.parametrize(("damage", "what"), [(expired, "expired"), (another_authority, "certificate verify failed")])
def test_a_certificate_that_does_not_vouch_for_the_coordinator_is_no_reason_to_go_on_trying(
    tmp_path: Path, key: ec.EllipticCurvePrivateKey, damage: Callable[[Path], None], what: str
) -> None:
    new_certificates(tmp_path / "c", ["127.0.0.1"])
    trusted = (tmp_path / "c" / "ca.crt").read_bytes()
    damage(tmp_path / "c")
    with (
        listening(FakeSuperLink(), tmp_path / "c") as address,
        pytest.raises(RunError, match=what) as refused,
        connect(address, trusted, key, None, ignore),
    ):
        raise AssertionError("connected")
    assert "doctor" in refused.value.hint
