"""Kills for tests: a process that dies by SIGKILL at a chosen one of the calls by which it changes the disk.

Each case runs in a process of its own, forked from a server that has the modules loaded: some milliseconds.
"""

from __future__ import annotations

import io
import multiprocessing
import os
import pathlib
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from tests.support import tally

CALLS: list[tuple[Any, str]] = [
    *((os, name) for name in ("fsync", "replace", "rename", "unlink", "mkdir", "rmdir", "open", "link")),
    *((pathlib.Path, name) for name in ("write_bytes", "write_text")),
    *((pq.ParquetWriter, name) for name in ("__init__", "write_table", "add_key_value_metadata", "close")),
    (io, "open"),
]

context = multiprocessing.get_context("forkserver")
# What a case runs is imported once, not in each process.
context.set_forkserver_preload(
    [
        "tests.support.crash",
        "tests.support.dumps",
        "tests.support.folders",
        "tasks.lib.corpus.sources",
        "pandas",
        "pytest",
    ]
)


class Counter:
    """Counts the wrapped calls, before and after each, and does `at` when it comes to `fatal`."""

    def __init__(self, fatal: int, at: Callable[[], None]) -> None:
        self.count, self.fatal, self.at = 0, fatal, at

    def tick(self) -> None:
        self.count += 1
        if self.count == self.fatal:
            self.at()

    def wrapped(self, owner: Any, name: str) -> Callable[..., Any]:
        original = getattr(owner, name)

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            self.tick()
            result = original(*args, **kwargs)
            self.tick()
            return result

        return wrapped


def no_fsync(descriptor: Any) -> None:
    """Instead of `os.fsync`: a kill loses nothing that was written, and a disk takes its time."""


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _run(work: Callable[..., None], args: tuple[Any, ...], fatal: int, counted: Any) -> None:
    counter = Counter(fatal, _die)
    setattr(os, "fsync", no_fsync)  # noqa: B010  mypy knows the other signature
    for owner, name in CALLS:
        setattr(owner, name, counter.wrapped(owner, name))
    work(*args)
    counted.value = counter.count


def run(work: Callable[..., None], *args: Any, fatal: int = 0, seconds: float | None = None) -> int:
    """Runs `work(*args)` in a process that is killed at call number `fatal`, or after so many seconds.

    Returns the number of calls if it came to its end, and -1 if it was killed. Another failure is an error.
    """
    counted = context.Value("i", -1)
    process = context.Process(target=_run, args=(work, args, fatal, counted))
    process.start()
    process.join(seconds)
    if process.is_alive():
        process.kill()
        process.join()
    tally.tried["kills"] += process.exitcode == -signal.SIGKILL
    if process.exitcode not in (0, -signal.SIGKILL):
        raise RuntimeError(f"exit status {process.exitcode}")
    return int(counted.value)


def killed_everywhere(
    tmp_path: Path,
    stride: int,
    work: Callable[..., None],
    *args: Any,
    prepare: Callable[[Path], None] = lambda folder: None,
) -> Iterator[tuple[int, Path]]:
    """For each `stride`-th call that `work(folder, *args)` makes: a folder in which it was killed there."""
    (tmp_path / "count").mkdir()
    prepare(tmp_path / "count")
    count = run(work, tmp_path / "count", *args)
    if count <= 0:
        raise RuntimeError("no calls were counted")
    for number in range(1, count + 1, stride):
        folder = tmp_path / f"killed-{number}"
        folder.mkdir()
        prepare(folder)
        made = run(work, folder, *args, fatal=number)
        if made >= 0:  # fewer calls than the first time: a file that has settled is not read again
            assert made < number
            break
        yield number, folder
