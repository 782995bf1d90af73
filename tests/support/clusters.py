"""A Dask cluster started by hand, as docs/cluster.md says: a scheduler, and workers in folders of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DASK = Path(sys.executable).parent / "dask"
HIDING = Path(__file__).with_name("hiding.py")


@contextmanager
def running(
    folder: Path,
    workers: Sequence[Sequence[str]] = ((), ()),
    *,
    hidden: Path | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Iterator[str]:
    """The address of its scheduler; the cluster is gone after the block.

    Each of `workers` is what stands before its command, such as `taskset -c 0`. The workers do not see the `hidden`
    folder.
    """
    file = folder / "scheduler.json"
    scheduler = ["scheduler", "--host", "127.0.0.1", "--port", "0", "--dashboard-address", "127.0.0.1:0"]
    with ExitStack() as started:
        started.enter_context(_process([DASK, *scheduler, "--scheduler-file", file], folder / "scheduler", environment))
        deadline = time.monotonic() + 120
        while not file.exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        address = str(json.loads(file.read_text())["address"])
        hide = ["--preload", str(HIDING)] if hidden else []
        for number, before in enumerate(workers):
            own = folder / f"worker-{number}"
            options = ["--host", "127.0.0.1", "--nthreads", "1", "--no-nanny", "--local-directory", str(own), *hide]
            started.enter_context(
                _process(
                    [*before, DASK, "worker", *options, address],
                    own,
                    {**environment, "HIDDEN": str(hidden)},
                )
            )
        yield address


@contextmanager
def _process(command: Sequence[str | Path], own: Path, environment: Mapping[str, str]) -> Iterator[None]:
    """A process in a folder of its own, which is its home, too, with the code; ended with the block."""
    own.mkdir(parents=True)
    home = {"HOME": str(own), "PREFECT_HOME": str(own / "prefect"), "PYTHONPATH": str(ROOT)}
    with (own / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=own, env={**environment, **home}, stdout=log, stderr=log)
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)
