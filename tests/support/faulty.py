"""A proxy before a store on 127.0.0.1 that answers some requests as bad networks and busy stores do."""

from __future__ import annotations

import http.client
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

BUSY = b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "server", "date"}

# From the method and the path of a request, and how often this was asked before: what is done to it. "" is nothing;
# the others are the methods of `Handler`, and "SECONDS" waits so long.
Fault = Callable[[str, str, int], str]


class Proxy(ThreadingHTTPServer):
    """Passes requests on to the store at `address`; `fault` says what goes wrong. `asked` counts them."""

    daemon_threads = True

    def __init__(self, address: str, fault: Fault) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.store = urlsplit(address).netloc
        self.fault = fault
        self.asked: Counter[tuple[str, str]] = Counter()
        self.done: Counter[str] = Counter()
        self.lock = threading.Lock()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def next_fault(self, method: str, path: str) -> str:
        with self.lock:
            before = self.asked[method, path]
            self.asked[method, path] += 1
            fault = self.fault(method, path, before)
            self.done[fault] += 1
            return fault


class Handler(BaseHTTPRequestHandler):
    server: Proxy
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        sent = b"".join(self.chunks()) if "Transfer-Encoding" in self.headers else self.whole()
        fault = self.server.next_fault(self.command, self.path)
        if fault.replace(".", "").isdigit():
            time.sleep(float(fault))
            fault = ""
        with suppress(OSError):  # the client has given up, as it may
            (getattr(self, fault) if fault else self.passed)(sent)

    def whole(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def chunks(self) -> Iterator[bytes]:
        while length := int(self.rfile.readline(), 16):
            yield self.rfile.read(length)
            self.rfile.readline()
        self.rfile.readline()

    do_HEAD = do_PUT = do_POST = do_DELETE = do_GET  # noqa: N815

    def asked_of_store(self, sent: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(self.server.store, timeout=30)
        try:
            head = {name: value for name, value in self.headers.items() if name.lower() not in HOP}
            connection.request(self.command, self.path, sent, head)
            answer = connection.getresponse()
            content = answer.read()
            kept = [(name, value) for name, value in answer.getheaders() if name.lower() not in HOP]
            if self.command == "HEAD":
                kept.append(("Content-Length", answer.getheader("Content-Length") or "0"))
            return answer.status, kept, content
        finally:
            connection.close()

    def answer(self, status: int, head: list[tuple[str, str]], content: bytes, length: int | None = None) -> None:
        self.send_response(status)
        for name, value in head:
            self.send_header(name, value)
        if self.command != "HEAD":
            self.send_header("Content-Length", str(len(content) if length is None else length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
        self.wfile.flush()

    def passed(self, sent: bytes) -> None:
        self.answer(*self.asked_of_store(sent))

    def busy(self, sent: bytes) -> None:
        """The store is asked too often."""
        self.answer(503, [("Content-Type", "application/xml")], b"" if self.command == "HEAD" else BUSY)

    def cut(self, sent: bytes) -> None:
        """The connection breaks in the middle of the answer."""
        status, head, content = self.asked_of_store(sent)
        self.answer(status, head, content[: len(content) // 2], len(content))
        self.close_connection = True

    def short(self, sent: bytes) -> None:
        """The answer has fewer bytes than there are, and says so."""
        status, head, content = self.asked_of_store(sent)
        self.answer(status, head, content[: len(content) // 2])

    def paged(self, sent: bytes) -> None:
        """A listing has two objects a page."""
        self.path = self.path.replace("max-keys=1000", "max-keys=2")
        self.passed(sent)

    def dropped(self, sent: bytes) -> None:
        """The connection breaks before there is an answer."""
        self.close_connection = True

    def unheard(self, sent: bytes) -> None:
        """The store does what it is asked for, and the answer is lost."""
        self.asked_of_store(sent)
        self.close_connection = True


@contextmanager
def between(address: str, fault: Fault) -> Iterator[Proxy]:
    """A proxy before the store at this address for the block, and none after it."""
    with Proxy(address, fault) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            proxy.shutdown()
            thread.join()
