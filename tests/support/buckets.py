"""A store that speaks like S3 on 127.0.0.1: buckets for tests, and what befalls their requests on the way."""

from __future__ import annotations

import logging
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from xml.etree import ElementTree

from moto.server import ThreadedMotoServer

# Nobody checks them; without them pyarrow would look for others in files and on the network.
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
}


@dataclass(frozen=True)
class Bucket:
    """A bucket as its owner sees it, beside the pipeline."""

    endpoint: str
    name: str

    def url(self, key: str = "") -> str:
        return f"s3://{self.name}/{key}"

    def make(self) -> None:
        self._ask("PUT")

    def put(self, key: str, content: bytes) -> None:
        self._ask("PUT", key, content)

    def get(self, key: str) -> bytes:
        return self._ask("GET", key)

    def delete(self, key: str) -> None:
        self._ask("DELETE", key)

    def keys(self, prefix: str = "") -> list[str]:
        listed = ElementTree.fromstring(self._ask("GET", query=f"?list-type=2&prefix={urllib.parse.quote(prefix)}"))
        return sorted(str(one.text) for one in listed.iterfind("{*}Contents/{*}Key"))

    def _ask(self, method: str, key: str = "", content: bytes | None = None, query: str = "") -> bytes:
        address = f"{self.endpoint}/{self.name}/{urllib.parse.quote(key)}{query}"
        head = {"Content-Type": "application/octet-stream", "Authorization": "AWS test:test"}
        request = urllib.request.Request(address, content, head, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return bytes(answer.read())


@contextmanager
def serving() -> Iterator[str]:
    """The address of a store with nothing in it; it is gone after the block."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.stop()
