"""Scoring on Dask clusters whose workers are killed, that are somewhere else, and that must not be left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tasks.lib.layout import Layout
from tests.support import clusters
from tests.support.commands import SCORE, TRAIN, Command, run

pytestmark = pytest.mark.slow

DASK = [*SCORE, "--runner", "dask", "--dask-split", "4"]
ROWS = {"one.csv": 40_000, "three.csv": 40_000, "two.csv": 40_000, "large.csv": 150_000}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    folder = tmp_path_factory.mktemp("trained")
    status, output = run([*TRAIN, "--data-dir", str(folder / "data")], folder / "home")
    assert status == 0, output
    data = Layout(folder / "data")
    data.inbox.mkdir()
    for name, rows in ROWS.items():
        lines = (f"{row}" if row % 1000 == 999 else f"{row},{name} was a good film {row}" for row in range(rows))
        (data.inbox / name).write_text("\n".join(["id,review", *lines, ""]))
    return data


@pytest.fixture
def data(trained: Layout, tmp_path: Path) -> Layout:
    subprocess.run(["cp", "-r", str(trained.root), str(tmp_path / "data")], check=True)
    return Layout(tmp_path / "data")


def check_rows(data: Layout) -> None:
    """Every row of every dump is in its score table or in its quarantine, once."""
    for name, rows in ROWS.items():
        (table,) = data.scores.glob(f"model=*/{Path(name).stem}-*.parquet")
        (quarantine,) = data.quarantine.glob(f"{Path(name).stem}-*.parquet")
        ids = pq.ParquetFile(table).read(["id"])["id"].to_pylist()
        assert ids == [str(row) for row in range(rows) if row % 1000 != 999]
        assert pq.read_metadata(quarantine).num_rows == rows // 1000


def workers(command: Command) -> list[int]:
    """The processes of the cluster's workers, without the one that tracks what they share."""
    return [pid for pid in command.processes() if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def wait_for_tables(data: Layout, command: Command) -> None:
    while not list(data.scores.glob("model=*/.*.partial")) and command.process.poll() is None:
        time.sleep(0.01)


@pytest.mark.parametrize("seconds", [0.1, 1.5])
def test_a_worker_killed_with_its_rows(data: Layout, tmp_path: Path, seconds: float) -> None:
    command = Command([*DASK, "--data-dir", str(data.root)], tmp_path / "home")
    wait_for_tables(data, command)
    time.sleep(seconds)
    both = workers(command)
    assert len(both) == 2, command.output
    os.kill(both[0], signal.SIGKILL)
    status, _ = command.end()
    assert status == 0, command.output
    check_rows(data)
    assert command.left_behind() == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_cluster_left_behind(data: Layout, tmp_path: Path, number: signal.Signals) -> None:
    command = Command([*DASK, "--data-dir", str(data.root)], tmp_path / "home")
    wait_for_tables(data, command)
    status, seconds = command.end(number, group=number == signal.SIGINT)
    assert status in (-number, 128 + number), command.output
    assert seconds < 10
    assert "Traceback" not in command.output
    assert command.left_behind() == []
    assert run([*DASK, "--data-dir", str(data.root)], tmp_path / "home")[0] == 0
    check_rows(data)


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """A cluster of two workers, started by hand as docs/cluster.md says."""
    with clusters.running(tmp_path / "cluster") as address:
        yield address


def test_a_cluster_by_address_that_loses_rows(data: Layout, address: str, tmp_path: Path) -> None:
    status, output = run([*DASK, "--data-dir", str(data.root), "--dask-address", address], tmp_path / "home")
    assert status == 0, output
    check_rows(data)
