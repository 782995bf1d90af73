"""Locks between runs over one data folder. The kernel drops the lock of a process that is killed."""

from __future__ import annotations

import fcntl
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from tasks.lib import files
from tasks.running import environment

log = logging.getLogger(environment.LOGGER)

RELEASE = "release.lock"  # held by whoever writes current.json and releases.jsonl
REQUEUE = "requeue.lock"  # held by whoever writes dumps of what lies in quarantine


def model(model_id: str) -> str:
    """The lock that runs share while they score with the model, and that pruning has to hold to remove it."""
    return f"model-{Path(model_id).name}.lock"


@contextmanager
def waiting(path: Path) -> Iterator[bool]:
    """Gives True and holds the lock for the block; waits for another run that holds it, and says so."""
    lock = _lock(path)
    if not _acquired(lock):
        log.info("another run holds %s: waiting for it", path)
        lock.acquire()
    with lock:
        lock.release()  # `with` counts a second time
        yield True


@contextmanager
def if_free(path: Path) -> Iterator[bool]:
    """Gives True and holds the lock for the block, or gives False at once if another run holds it."""
    lock = _lock(path)
    if not _acquired(lock):
        yield False
        return
    with lock:
        lock.release()
        yield True


def is_free(path: Path) -> bool:
    """Whether no run holds the lock at this moment; whoever holds it stays undisturbed."""
    with if_free(path) as free:
        return free


@contextmanager
def shared(path: Path) -> Iterator[None]:
    """Holds the lock for the block together with all others that share it: for them, `if_free` gives False."""
    files.make_folder(path.parent)
    with files.output_errors(path):
        file = path.open("ab")
    with file:
        fcntl.flock(file, fcntl.LOCK_SH)  # the same call as FileLock's; closing the file gives it up
        yield


def _acquired(lock: FileLock) -> bool:
    with files.output_errors(Path(lock.lock_file)):
        try:
            lock.acquire(blocking=False)
        except Timeout:
            return False
    return True


def _lock(path: Path) -> FileLock:
    files.make_folder(path.parent)
    return FileLock(path)
