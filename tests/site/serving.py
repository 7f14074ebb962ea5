"""The coordinator's real door on loopback, in front of a SuperLink that a test makes up."""

import ssl
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx
import uvicorn
from cryptography.hazmat.primitives.asymmetric import ec
from flwr.supercore.primitives.asymmetric import public_key_to_bytes, sign_message

from fedapp.runtime.processes import free_port
from fedapp.site.run.door import Door, Limits, server
from fedapp.site.run.gate import gate

PUSH = "/v1/fleet/push-object"
BODY = 1 << 20  # bytes of a request
PATIENCE = 30.0  # seconds after which something that should have happened has not


@contextmanager
def running(served: uvicorn.Server) -> Iterator[None]:
    """Serve while inside."""
    thread = threading.Thread(target=served.run)
    thread.start()
    while not served.started:
        assert thread.is_alive()
        time.sleep(0.01)
    try:
        yield
    finally:
        served.should_exit = True
        thread.join()


@contextmanager
def open_gate(
    transport: httpx.AsyncBaseTransport,
    certificates: Path,
    keys: Mapping[str, ec.EllipticCurvePrivateKey],
    limits: Limits | None = None,
    folder: Path | None = None,
) -> Iterator[tuple[int, Door]]:
    """The gate while inside: its port, and who stands there.

    Args:
        transport: Leads to the SuperLink.
        keys: The partners' node keys, by name.
        folder: For what is on its way.
    """
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificates / "server.crt", certificates / "server.key")
    port, door = free_port(), Door(tls, limits or Limits())
    app = gate(
        httpx.AsyncClient(base_url="http://superlink", transport=transport),
        {name: key.public_key() for name, key in keys.items()},
        door.limits,
        folder or certificates,
    )
    with running(server(app, door, "127.0.0.1", port)):
        yield port, door


def signature(key: ec.EllipticCurvePrivateKey, at: datetime | None = None) -> dict[str, str]:
    """Headers with which a node introduces itself."""
    told = (at or datetime.now(UTC)).isoformat()
    return {
        "flwr-public-key": b64encode(public_key_to_bytes(key.public_key())).decode(),
        "flwr-timestamp": told,
        "flwr-signature": b64encode(sign_message(key, told.encode())).decode(),
    }


def head(key: ec.EllipticCurvePrivateKey, path: str = PUSH, length: int = BODY) -> bytes:
    """The head of a request that a node signed."""
    lines = [f"POST {path} HTTP/1.1", "host: coordinator", f"content-length: {length}"]
    lines += [f"{name}: {value}" for name, value in signature(key).items()]
    return "\r\n".join([*lines, "", ""]).encode()


def wait_for(condition: Callable[[], object], what: str) -> None:
    """Return when `condition` holds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"not yet: {what}"
        time.sleep(0.01)
