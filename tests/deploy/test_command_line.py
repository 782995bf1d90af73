"""`python flows/...` with no server set up: its temporary one ends with it, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.house import ROOT, processes, wait_until

pytestmark = pytest.mark.deploy


def train(data: Path, home: Path, *options: str) -> subprocess.Popen[str]:
    settings = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    tiny = ["--corpus", "sample", "--num-words", "500", "--maxlen", "30", "--embedding-dim", "4", "--units", "4"]
    command = [sys.executable, "flows/train.py", *tiny, "--data-dir", str(data), *options]
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=settings | {"PREFECT_HOME": str(home)},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def servers(home: Path) -> list[int]:
    mark = f"PREFECT_HOME={home}".encode()
    return [
        number
        for number, _, command in processes()
        if b"temporary_server" in command and mark in Path(f"/proc/{number}/environ").read_bytes()
    ]


SIGNALS = [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)]


@pytest.mark.parametrize(("number", "status"), SIGNALS, ids=[number.name for number, _ in SIGNALS])
def test_a_server_left_behind(number: signal.Signals, status: int, tmp_path: Path) -> None:
    run = train(tmp_path / "data", tmp_path / "home", "--epochs", "500", "--patience", "500")
    assert run.stdout is not None
    for line in run.stdout:
        if line.startswith("epoch 2 of"):
            break
    assert servers(tmp_path / "home")
    began = time.monotonic()
    os.killpg(run.pid, number)
    rest = run.communicate(timeout=60)[0]
    took = time.monotonic() - began
    wait_until(lambda: not servers(tmp_path / "home"), 10, "the temporary server ends")
    print(f"{number.name}: status {run.returncode} after {took:.1f} s")
    assert run.returncode == status
    assert took < 10
    assert "Traceback" not in rest
    assert "Error" not in rest


def test_a_timeout_that_interrupts_nothing(tmp_path: Path) -> None:
    code = """
import time
from flows.train import train
from tasks.lib.config import CorpusConfig, FitConfig, NetworkConfig, ShardConfig
began = time.monotonic()
state = train.with_options(timeout_seconds=12)(
    CorpusConfig(corpus="sample"),
    ShardConfig(num_words=500, maxlen=30),
    NetworkConfig(embedding_dim=4, units=4),
    FitConfig(epochs=500, patience=500),
    data_dir={data!r},
    return_state=True,
)
print("ended:", state.name, round(time.monotonic() - began))
"""
    settings = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    run = subprocess.run(
        [sys.executable, "-c", code.format(data=str(tmp_path / "data"))],
        cwd=ROOT,
        env=settings | {"PREFECT_HOME": str(tmp_path / "home")},
        text=True,
        capture_output=True,
        timeout=300,
    )  # fmt: skip
    assert "ended: TimedOut" in run.stdout, run.stdout + run.stderr
