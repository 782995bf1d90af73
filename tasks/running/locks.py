"""Locks between runs over one data folder. The kernel releases those of a killed process."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from tasks.lib import files
from tasks.running import environment

log = logging.getLogger(environment.LOGGER)

TRAINING = "train.lock"
RELEASE = "release.lock"  # held by whoever writes current.json and releases.jsonl
LABELS = "label.lock"  # held by whoever asks for labels
SCORING = "score.lock"  # held by whoever writes tables, reports and the ledger


@contextmanager
def waiting(path: Path) -> Iterator[None]:
    """Holds the lock for the block; waits for another run that holds it, and logs that. Raises `OutputError`."""
    files.make_folder(path.parent)
    lock = FileLock(path)
    with files.output_errors(path):
        try:
            lock.acquire(blocking=False)
        except Timeout:
            log.info("waiting for another run, which holds %s", path)
            lock.acquire()
    try:
        yield
    finally:
        lock.release()
