"""A proxy that is asked to CONNECT, as a company has one: names are resolved there, and it may want to know who asks."""

import socket
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from socketserver import StreamRequestHandler, ThreadingTCPServer

CONNECTED = "200 Connection established"


@dataclass
class ConnectProxy:
    """How it answers, and what it was asked.

    Attributes:
        user: `user:password` that it wants; empty = it asks nobody.
        status: What it answers instead of connecting.
        port: Its own, on loopback.
        asked: `host:port` of each CONNECT.
    """

    user: str = ""
    status: str = ""
    port: int = 0
    asked: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def answer(self, target: str, credentials: str) -> str:
        """The status line's end."""
        self.asked.append(target)
        if self.user and credentials != f"Basic {b64encode(self.user.encode()).decode()}":
            return "407 Proxy Authentication Required"
        return self.status or CONNECTED


@contextmanager
def proxying(proxy: ConnectProxy) -> Iterator[ConnectProxy]:
    """Listen while inside; whatever host is asked for is found on loopback, at the port asked for."""

    class Handler(StreamRequestHandler):
        def handle(self) -> None:
            method, target, _ = self.rfile.readline().decode().split()
            headers = dict(line.split(": ", 1) for line in iter(lambda: self.rfile.readline().decode().strip(), ""))
            status = proxy.answer(target, {name.lower(): value for name, value in headers.items()}.get("proxy-authorization", ""))
            assert method == "CONNECT"
            self.wfile.write(f"HTTP/1.1 {status}\r\n\r\n".encode())
            if status == CONNECTED:
                with socket.create_connection(("127.0.0.1", int(target.rpartition(":")[2]))) as there:
                    back = threading.Thread(target=carry, args=(there, self.connection))
                    back.start()
                    carry(self.connection, there)
                    back.join()

    class Server(ThreadingTCPServer):
        daemon_threads, block_on_close, allow_reuse_address = True, False, True

    with Server(("127.0.0.1", 0), Handler) as server:
        proxy.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield proxy
        finally:
            server.shutdown()
            thread.join()


def carry(source: socket.socket, target: socket.socket) -> None:
    """Pass on what comes until nothing more does."""
    try:
        while piece := source.recv(1 << 16):
            target.sendall(piece)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        return  # one side has left
