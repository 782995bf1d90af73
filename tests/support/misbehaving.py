"""A server on 127.0.0.1 that answers as bad ones do: what it does is the first part of the path."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nConnection: close\r\n"
LOGIN = b"<!DOCTYPE html><html><title>Log in</title></html>"


class Server(socketserver.ThreadingTCPServer):
    """Serves `content` at /good; every other path goes wrong in the way that it names."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, content: bytes) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = content
        self.asked: Counter[str] = Counter()
        self.ended = threading.Event()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{path}"


class Handler(socketserver.StreamRequestHandler):
    server: Server

    def handle(self) -> None:
        path = self.rfile.readline().split(b" ")[1].decode().strip("/")
        while self.rfile.readline().strip():
            pass
        self.server.asked[path] += 1
        with suppress(OSError):  # the client has given up, as it should
            getattr(self, path.replace("-", "_"))(self.server.content)

    def send(self, *parts: bytes) -> None:
        for part in parts:
            self.wfile.write(part)
            self.wfile.flush()

    def whole(self, content: bytes) -> None:
        self.send(HEAD, b"Content-Length: %d\r\n\r\n" % len(content), content)

    def drip(self, content: bytes) -> None:
        for byte in content:
            if self.server.ended.wait(0.2):
                return
            self.send(bytes([byte]))

    good = whole

    def silent(self, content: bytes) -> None:
        self.server.ended.wait()

    def stalled(self, content: bytes) -> None:
        self.send(HEAD, b"Content-Length: %d\r\n\r\n" % len(content), content[: len(content) // 2])
        self.server.ended.wait()

    def trickling_header(self, content: bytes) -> None:
        self.drip(HEAD * 1000)

    def trickling_body(self, content: bytes) -> None:
        self.send(HEAD, b"Content-Length: %d\r\n\r\n" % len(content))
        self.drip(content)

    def truncated(self, content: bytes) -> None:
        self.send(HEAD, b"Content-Length: %d\r\n\r\n" % len(content), content[: len(content) // 2])

    def truncated_without_length(self, content: bytes) -> None:
        self.send(HEAD, b"\r\n", content[: len(content) // 2])

    def reset(self, content: bytes) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    def html(self, content: bytes) -> None:
        self.whole(LOGIN)

    def altered(self, content: bytes) -> None:
        middle = len(content) // 2
        self.whole(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])

    def missing(self, content: bytes) -> None:
        self.send(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")

    def broken(self, content: bytes) -> None:
        self.send(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n")

    def broken_at_first(self, content: bytes) -> None:
        if self.server.asked["broken-at-first"] < 3:
            self.broken(content)
        else:
            self.whole(content)

    def no_http(self, content: bytes) -> None:
        self.send(b"220 mail.example.org ESMTP\r\n")


@contextmanager
def serving(content: bytes) -> Iterator[Server]:
    """A server for the block, and none after it."""
    with Server(content) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.ended.set()
            server.shutdown()
            thread.join()


def closed_port() -> int:
    """A port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
