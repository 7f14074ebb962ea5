"""Whoever fills the coordinator's door, is slow or says too much does so at its own expense: real sockets, small limits."""

import gc
import socket
import ssl
import sys
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from http.client import HTTPSConnection
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fedapp.consortium.certificates import new_certificates
from fedapp.site.run.door import Door, Guest, Limits, open_files, source
from tests.site.serving import BODY, PATIENCE, PUSH, head, open_gate, signature, wait_for

KEYS = {name: ec.generate_private_key(ec.SECP384R1()) for name in ("alpha", "beta")}
ROOM = Limits(connections=12)
PULL = "/v1/fleet/pull-object"
ANSWER = bytes(64 << 20)  # more than the system's buffers between two sockets hold


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("authority") / "certificates"
    new_certificates(folder, ["127.0.0.1"])
    return folder


@pytest.fixture
def trust(certificates: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificates / "ca.crt"))


Open = Callable[[Limits], tuple[int, Door]]


@pytest.fixture
def at_the_door(certificates: Path) -> Iterator[Open]:
    """Opens a door with these limits: its port, and who stands there."""

    async def answer(request: Request) -> Response:
        await request.body()
        return Response(ANSWER if request.url.path == PULL else b"taken")

    superlink = Starlette(routes=[Route("/{anything:path}", answer, methods=["GET", "POST"])])
    with ExitStack() as stack:
        yield lambda limits: stack.enter_context(open_gate(httpx.ASGITransport(superlink), certificates, KEYS, limits))


@contextmanager
def callers(
    port: int, number: int, here: str, trust: ssl.SSLContext | None = None, first: bytes = b"\x16"
) -> Iterator[list[socket.socket]]:
    """Connections from one address on which nothing is said but TLS, if there is a context for it, or else a first byte of it."""
    with ExitStack() as stack:
        held = []
        for _ in range(number):
            line = stack.enter_context(socket.create_connection(("127.0.0.1", port), PATIENCE, (here, 0)))
            if trust is None:
                line.sendall(first)
            held.append(stack.enter_context(trust.wrap_socket(line, server_hostname="127.0.0.1")) if trust else line)
        yield held


def ended(line: socket.socket) -> bool:
    """Whether the other side has ended a connection, or does so in time."""
    try:
        return line.recv(1) == b""
    except (TimeoutError, ssl.SSLWantReadError):
        return False
    except OSError:
        return True


def pushed(port: int, trust: ssl.SSLContext, name: str = "alpha") -> int:
    """A partner's request on a new connection: its status."""
    with httpx.Client(verify=trust, trust_env=False) as caller:
        return caller.post(f"https://127.0.0.1:{port}{PUSH}", headers=signature(KEYS[name]), content=bytes(BODY)).status_code


# Too many


@pytest.mark.parametrize("secured", [False, True], ids=["before TLS", "after it"])
def test_a_partner_gets_in_while_somebody_at_its_own_address_holds_all_the_connections_there_are(
    at_the_door: Open, trust: ssl.SSLContext, secured: bool
) -> None:
    port, door = at_the_door(ROOM)
    with callers(port, 3 * ROOM.connections, "127.0.0.1", trust if secured else None):
        wait_for(lambda: len(door.guests) == ROOM.connections, "all places are taken")
        assert [pushed(port, trust, name) for name in KEYS] == [200, 200]
        assert len(door.guests) <= ROOM.connections


def test_who_holds_many_connections_makes_room_and_not_who_holds_one(at_the_door: Open) -> None:
    port, _ = at_the_door(ROOM)
    with (
        callers(port, 1, "127.0.0.1") as (partner,),
        callers(port, 3 * ROOM.connections, "127.0.0.2") as crowd,
        callers(port, 1, "127.0.0.3") as (another,),
    ):
        assert ended(crowd[0])
        for line in (partner, another):
            line.settimeout(0.2)
            assert not ended(line)


def test_a_connection_on_which_a_partner_was_recognised_is_not_ended_for_strangers(at_the_door: Open, trust: ssl.SSLContext) -> None:
    port, door = at_the_door(ROOM)
    line = HTTPSConnection("127.0.0.1", port, timeout=PATIENCE, context=trust)
    line.auto_open = 0  # no second connection
    line.connect()
    for _ in range(3):
        line.request("POST", PUSH, bytes(100), signature(KEYS["alpha"]))
        assert line.getresponse().read() == b"taken"
        with callers(port, 2 * ROOM.connections, "127.0.0.1"):
            wait_for(lambda: len(door.guests) == ROOM.connections, "all places are taken")
    line.close()


def test_strangers_have_places_of_their_own_and_take_none_of_the_partners(at_the_door: Open, trust: ssl.SSLContext) -> None:
    port, door = at_the_door(replace(ROOM, strangers=3))
    with ExitStack() as known:
        for _ in range(6):
            (line,) = known.enter_context(callers(port, 1, "127.0.0.1", trust))
            line.sendall(head(KEYS["alpha"], length=0))
            assert line.recv(12) == b"HTTP/1.1 200"
        with callers(port, 4 * ROOM.connections, "127.0.0.1"):
            wait_for(lambda: len(door.guests) == 6 + 3, "all places of strangers are taken")
            assert pushed(port, trust, "beta") == 200
        assert [guest.partner for guest in door.guests][:6] == ["alpha"] * 6


def test_exchanges_of_partners_that_take_all_places_come_to_their_end_and_a_newcomer_is_refused_meanwhile(
    at_the_door: Open, trust: ssl.SSLContext
) -> None:
    port, door = at_the_door(replace(ROOM, connections=4))
    with callers(port, 4, "127.0.0.1", trust) as lines:
        for line, name in zip(lines, ["alpha", "beta"] * 2, strict=True):
            line.sendall(head(KEYS[name]) + bytes(BODY // 2))
        wait_for(lambda: sum(guest.busy for guest in door.guests) == 4, "four bodies are on their way")
        for trusted in (None, trust):
            with pytest.raises(OSError) if trusted else nullcontext(), callers(port, 1, "127.0.0.2", trusted) as (newcomer,):
                assert ended(newcomer)
        assert sum(guest.busy for guest in door.guests) == 4
        for line in lines:
            line.sendall(bytes(BODY - BODY // 2))
            assert line.recv(12) == b"HTTP/1.1 200"
        wait_for(lambda: not any(guest.busy for guest in door.guests), "all is answered")
        assert pushed(port, trust) == 200


@pytest.mark.skipif(sys.platform != "linux", reason="the system looks for the first byte there alone")
def test_who_says_nothing_at_all_takes_no_place(at_the_door: Open, trust: ssl.SSLContext) -> None:
    port, door = at_the_door(ROOM)
    with callers(port, 10 * ROOM.connections, "127.0.0.1", first=b""):
        assert pushed(port, trust) == 200
        wait_for(lambda: not door.guests, "the partner has gone, and nobody is there")


def test_one_partner_has_so_many_exchanges_at_once_and_others_have_theirs(at_the_door: Open, trust: ssl.SSLContext) -> None:
    port, door = at_the_door(replace(ROOM, each=2))
    with callers(port, 2, "127.0.0.1", trust) as lines:
        for line in lines:
            line.sendall(head(KEYS["alpha"]) + bytes(BODY // 2))
        wait_for(lambda: sum(guest.busy for guest in door.guests) == 2, "two bodies are on their way")
        assert pushed(port, trust) == 429
        assert pushed(port, trust, "beta") == 200
        for line in lines:
            line.sendall(bytes(BODY - BODY // 2))
            assert line.recv(12) == b"HTTP/1.1 200"
    assert pushed(port, trust) == 200


# Too slow


@pytest.mark.parametrize("limits", [replace(ROOM, handshake=0.2), replace(ROOM, head=0.2)], ids=["handshake", "head"])
def test_a_connection_on_which_nothing_more_is_said_ends(at_the_door: Open, limits: Limits) -> None:
    port, door = at_the_door(limits)
    with callers(port, 1, "127.0.0.1") as (line,):
        assert ended(line)
    wait_for(lambda: not door.guests, "it is forgotten")


def dripped(line: socket.socket, words: bytes) -> bool:
    """Say something a byte at a time; whether it ended before all was said."""
    line.settimeout(0.02)
    for place in range(len(words)):
        try:
            line.sendall(words[place : place + 1])
        except TimeoutError:
            continue
        except OSError:
            return True
        if ended(line):
            return True
    return False


def test_a_head_that_comes_a_byte_at_a_time_ends_its_connection_also_after_good_requests(at_the_door: Open, trust: ssl.SSLContext) -> None:
    port, _ = at_the_door(replace(ROOM, head=0.5))
    with callers(port, 2, "127.0.0.1", trust) as (fresh, known):
        known.sendall(head(KEYS["alpha"], length=0))
        assert b"taken" in known.recv(1 << 16) + known.recv(1 << 16)
        for line in (known, fresh):
            assert dripped(line, head(KEYS["alpha"]))


def test_a_body_that_does_not_come_to_an_end_ends_its_connection_and_gives_its_place_back(at_the_door: Open, trust: ssl.SSLContext) -> None:
    port, door = at_the_door(replace(ROOM, exchange=0.3, each=1))
    with callers(port, 1, "127.0.0.1", trust) as (line,):
        line.sendall(head(KEYS["alpha"]) + bytes(BODY // 2))
        assert ended(line)
    wait_for(lambda: not door.guests, "it is forgotten")
    assert pushed(port, trust) == 200


def test_an_answer_that_nobody_takes_ends_its_connection_and_gives_its_place_back(at_the_door: Open, trust: ssl.SSLContext) -> None:
    port, door = at_the_door(replace(ROOM, exchange=0.5, each=1))
    with callers(port, 1, "127.0.0.1", trust) as (line,):
        line.sendall(head(KEYS["alpha"], PULL, 0))
        wait_for(lambda: any(guest.busy for guest in door.guests), "the answer is on its way")
        wait_for(lambda: not door.guests, "it is forgotten")
    assert pushed(port, trust) == 200


# Too much


def test_a_head_without_end_is_refused_long_before_it_fills_memory(at_the_door: Open, trust: ssl.SSLContext) -> None:
    port, door = at_the_door(ROOM)
    with callers(port, 1, "127.0.0.1", trust) as (line,):
        line.sendall(b"POST /v1/fleet/push-object HTTP/1.1\r\n")
        with pytest.raises(OSError):
            for number in range(200):  # MiB
                line.sendall(b"x-%d: " % number + b"x" * (1 << 20) + b"\r\n")
    wait_for(lambda: not door.guests, "it is forgotten")


def test_a_body_that_its_head_does_not_promise_a_place_for_is_not_read(at_the_door: Open, trust: ssl.SSLContext) -> None:
    port, _ = at_the_door(ROOM)
    with callers(port, 1, "127.0.0.1", trust) as (line,):
        line.sendall(head(ec.generate_private_key(ec.SECP384R1())))  # and no body
        assert line.recv(12) == b"HTTP/1.1 412"


@pytest.mark.parametrize("words", [b"\x16\x03\x01", b"GET /health HTTP/1.0\r\n\r\n", b"\x00" * 4096])
def test_what_is_no_tls_ends_its_connection(at_the_door: Open, words: bytes) -> None:
    port, door = at_the_door(replace(ROOM, handshake=0.5))
    with callers(port, 1, "127.0.0.1") as (line,):
        line.sendall(words)
        assert any(ended(line) for _ in range(100)), "perhaps after an alert"
    wait_for(lambda: not door.guests, "it is forgotten")


def leave_at_once(port: int, trust: ssl.SSLContext) -> None:
    with callers(port, 1, "127.0.0.1", trust):
        pass


def say_no_tls(port: int, _trust: ssl.SSLContext) -> None:
    with callers(port, 1, "127.0.0.1", first=b"hello") as (line,):
        assert ended(line) or ended(line)


def make_room_for_others(port: int, _trust: ssl.SSLContext) -> None:
    with callers(port, 2 * ROOM.connections, "127.0.0.1") as (first, *_):
        assert ended(first)


def push(port: int, trust: ssl.SSLContext) -> None:
    assert pushed(port, trust) == 200


def be_refused(port: int, trust: ssl.SSLContext) -> None:
    with callers(port, 1, "127.0.0.1", trust) as (line,):
        line.sendall(head(ec.generate_private_key(ec.SECP384R1())))
        assert line.recv(12) == b"HTTP/1.1 412"


def leave_in_the_middle(port: int, trust: ssl.SSLContext) -> None:
    with callers(port, 1, "127.0.0.1", trust) as (line,):
        line.sendall(head(KEYS["alpha"]) + bytes(BODY // 2))


@pytest.mark.parametrize("visit", [leave_at_once, say_no_tls, make_room_for_others, push, be_refused, leave_in_the_middle])
def test_nothing_of_a_connection_stays_in_memory_until_python_looks_for_what_refers_to_itself(
    visit: Callable[[int, ssl.SSLContext], None], at_the_door: Open, trust: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    came: list[weakref.ref[Guest]] = []
    enter = Door.enter

    def noted(door: Door, guest: Guest) -> bool:
        came.append(weakref.ref(guest))
        return enter(door, guest)

    monkeypatch.setattr(Door, "enter", noted)
    port, _ = at_the_door(ROOM)
    gc.collect()
    gc.disable()
    try:
        visit(port, trust)
        wait_for(lambda: came and not any(guest() for guest in came), "all are gone")
    finally:
        gc.enable()


# What counts as one


def test_addresses_of_one_house_count_as_one() -> None:
    assert source(("192.0.2.7", 1)) == source(("::ffff:192.0.2.7", 1, 0, 0)) == "192.0.2.7"
    assert source(("2001:db8:0:1::7", 1, 0, 0)) == source(("2001:db8:0:1:ffff::8", 2, 0, 0)) != source(("2001:db8:0:2::7", 1, 0, 0))
    assert source(("fe80::1%eth0", 1, 0, 2)) == "fe80::/64"
    assert source(None) == ""


def test_connections_leave_open_files_for_all_else() -> None:
    assert (Limits().within(256).connections, Limits().within(256).strangers) == (128, 64)
    assert Limits().within(1 << 20) == Limits()
    assert open_files() >= 256
