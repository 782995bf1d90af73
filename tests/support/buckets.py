"""Stores that speak like S3 on 127.0.0.1, and a bucket in one as its owner sees it, beside the pipeline."""

from __future__ import annotations

import logging
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from moto.server import ThreadedMotoServer

# SeaweedFS checks them, moto does not; without them pyarrow would look for others in files and on the network.
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
        _client(self.endpoint).create_bucket(Bucket=self.name)

    def put(self, key: str, content: bytes) -> None:
        _client(self.endpoint).put_object(Bucket=self.name, Key=key, Body=content)

    def get(self, key: str) -> bytes:
        return bytes(_client(self.endpoint).get_object(Bucket=self.name, Key=key)["Body"].read())

    def delete(self, key: str) -> None:
        _client(self.endpoint).delete_object(Bucket=self.name, Key=key)

    def keys(self, prefix: str = "") -> list[str]:
        """The keys of what is in the bucket; folders, which some stores show as empty objects, are left out."""
        listed = _client(self.endpoint).list_objects_v2(Bucket=self.name, Prefix=prefix)
        return [one["Key"] for one in listed.get("Contents", []) if not one["Key"].endswith("/")]


@lru_cache
def _client(endpoint: str) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name=ENVIRONMENT["AWS_REGION"],
        aws_access_key_id=ENVIRONMENT["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=ENVIRONMENT["AWS_SECRET_ACCESS_KEY"],
        config=Config(s3={"addressing_style": "path"}),
    )


@contextmanager
def serving(store: str, folder: Path) -> Iterator[str]:
    """The address of a store of this name with nothing in it; it is gone after the block. Skips the test without it."""
    with moto() if store == "moto" else seaweedfs(folder) as address:
        yield address


@contextmanager
def moto() -> Iterator[str]:
    """moto, which keeps what it has in memory and checks no signature."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.stop()


@contextmanager
def seaweedfs(folder: Path) -> Iterator[str]:
    """SeaweedFS, which keeps what it has on the disk and checks signatures."""
    beside_python = str(Path(sys.executable).parent)
    weed = shutil.which("weed", path=os.pathsep.join([beside_python, os.environ.get("PATH", "")]))
    if weed is None:
        pytest.skip("SeaweedFS is not at hand: no `weed` beside Python or on the PATH. `make test-slow` installs it.")
    master, volume, filer, s3 = _ports(4)
    options = [
        *("-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-dir={folder}", "-filer", "-s3", "-volume.max=0"),
        *(f"-master.port={master}", f"-volume.port={volume}", f"-filer.port={filer}", f"-s3.port={s3}"),
        *("-s3.port.iceberg=0", "-s3.port.lance=0"),  # else at fixed ports, which only one server can have
        "-master.volumeSizeLimitMB=64",
    ]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen([weed, "server", *options], stdout=log, stderr=log, env=os.environ | ENVIRONMENT)
    try:
        deadline = time.monotonic() + 120
        while not _answers(f"http://127.0.0.1:{s3}"):
            if server.poll() is not None or time.monotonic() > deadline:
                raise TimeoutError((folder / "log").read_text()[-2000:])
            time.sleep(0.2)
        yield f"http://127.0.0.1:{s3}"
    finally:
        server.kill()  # what it holds is not wanted, and to end in good order it takes half a minute
        server.wait()


def _ports(count: int) -> list[int]:
    """Free ports; SeaweedFS takes those 10,000 higher, too."""
    found: list[int] = []
    while len(found) < count:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = int(listener.getsockname()[1])
        if port < 55_000 and port not in found:
            found.append(port)
    return found


def _answers(address: str) -> bool:
    with suppress(urllib.error.URLError, OSError):
        try:
            urllib.request.urlopen(address, timeout=5)
        except urllib.error.HTTPError:
            return True  # it wants a signature
        return True
    return False
