"""Commands over buckets: killed, two at once, through a bad network; against each store that is at hand."""

from __future__ import annotations

import json
import random
import shutil
import signal
import time
from io import BytesIO
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.lib.layout import Layout
from tests.support import faulty
from tests.support.buckets import ENVIRONMENT, Bucket
from tests.support.commands import SCORE, Command, check_one_line, run
from tests.support.misbehaving import closed_port

pytestmark = pytest.mark.slow

DUMPS = 12
ROWS = 3_000


@pytest.fixture
def data(undisturbed: Layout, tmp_path: Path) -> Layout:
    return Layout(Path(shutil.copytree(undisturbed.root, tmp_path / "data")))


@pytest.fixture
def filled(bucket: Bucket) -> Bucket:
    """A bucket with dumps in it."""
    for number in range(DUMPS):
        rows = "".join(f"{row}\n" if row % 500 == 499 else f"{row},film {number} {row}\n" for row in range(ROWS))
        bucket.put(f"in/d-{number:02}.csv", f"id,review\n{rows}".encode())
    return bucket


def arguments(bucket: Bucket, data: Layout) -> list[str]:
    places = ["--inbox", bucket.url("in"), "--output", bucket.url("out"), "--csv"]
    return [*SCORE, *places, "--data-dir", str(data.root)]


def table(bucket: Bucket, key: str) -> pa.Table:
    return pq.read_table(BytesIO(bucket.get(key)))


def check_rows(bucket: Bucket, data: Layout) -> None:
    """Every row of every dump is in its table or in its quarantine, once; and nothing is left half-done."""
    tables = [key for key in bucket.keys("out/scores/") if key.endswith(".parquet")]
    assert len(tables) == DUMPS
    for number, key in enumerate(tables):
        rows = table(bucket, key)
        quarantine = table(bucket, f"out/quarantine/{key.rpartition('/')[2]}")
        assert rows["source_file"].to_pylist() == [f"d-{number:02}.csv"] * len(rows)
        assert len(set(rows["row_id"].to_pylist())) == len(rows)
        assert (len(rows), len(quarantine)) == (ROWS - ROWS // 500, ROWS // 500)
    assert len(bucket.keys("out/scores/_csv/")) == DUMPS
    assert bucket.keys("out/.partial/") == []
    assert not data.spool.exists()
    assert not list(data.root.rglob("*.parquet.partial"))
    scored = [
        entry["sha256"]
        for path in data.reports.glob("*.json")
        for entry in json.loads(path.read_bytes())["files"]
        if entry["status"] == "scored"
    ]
    assert len(scored) == len(set(scored)) == DUMPS


def test_a_run_killed_at_random_that_loses_or_doubles_a_row(filled: Bucket, data: Layout, tmp_path: Path) -> None:
    chance = random.Random(11)
    for text in ("fetched", "-> scores/", "exported", ""):
        command = Command(arguments(filled, data), tmp_path / "home")
        command.wait_for(text or "model ")
        time.sleep(chance.uniform(0, 0.5))
        status, _ = command.end(signal.SIGKILL)
        assert status in (0, -signal.SIGKILL), command.output
        assert command.left_behind() == []
    status, output = run(arguments(filled, data), tmp_path / "home")
    assert status == 0, output
    check_rows(filled, data)


def test_two_runs_at_once_that_score_a_dump_twice(filled: Bucket, data: Layout, tmp_path: Path) -> None:
    commands = [Command(arguments(filled, data), tmp_path / f"home-{number}") for number in range(2)]
    assert [command.end()[0] for command in commands] == [0, 0], [command.output for command in commands]
    check_rows(filled, data)


def test_a_bad_network_that_loses_or_doubles_a_row(filled: Bucket, data: Layout, tmp_path: Path) -> None:
    chance = random.Random(13)
    faults = ["busy", "dropped", "short", "cut", "unheard", "0.5"]

    def fault(method: str, path: str, number: int) -> str:
        return chance.choice(faults) if chance.random() < 0.15 else ""

    with faulty.between(filled.endpoint, fault) as proxy:
        for _ in range(4):
            status, output = run(arguments(filled, data), tmp_path / "home", AWS_ENDPOINT_URL=proxy.endpoint)
            if status == 0:
                break
            check_one_line(output)
    assert proxy.done.total() - proxy.done[""] > 10
    status, output = run(arguments(filled, data), tmp_path / "home")
    assert status == 0, output
    check_rows(filled, data)


def test_a_store_that_is_down_and_holds_the_run_for_more_than_two_minutes(data: Layout, tmp_path: Path) -> None:
    for fault in ("refused", "600"):
        with faulty.between("http://127.0.0.1:1", lambda method, path, number: "600") as proxy:
            endpoint = f"http://127.0.0.1:{closed_port()}" if fault == "refused" else proxy.endpoint
            environment = {**ENVIRONMENT, "AWS_ENDPOINT_URL": endpoint}
            started = time.monotonic()
            command = [*SCORE, "s3://reviews/in/", "--data-dir", str(data.root)]
            status, output = run(command, tmp_path / "home", **environment)
        assert time.monotonic() - started < 120
        assert status == 1
        assert "cannot be listed: network connection" in check_one_line(output)
