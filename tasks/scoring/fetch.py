"""Beside stage 1 of scoring: new objects of buckets brought to the disk, as many at a time as there is room for."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from prefect import task

from tasks.lib import errors, files, stores
from tasks.lib.layout import Layout
from tasks.lib.scores import inbox
from tasks.lib.scores.inbox import Dump
from tasks.lib.stores import Fetched
from tasks.running import environment
from tasks.running.buckets import open_store
from tasks.scoring.batches import batches
from tasks.scoring.find import Dumps
from tasks.scoring.run import ScoringRun

if TYPE_CHECKING:
    from tasks.scoring.cluster import Cluster  # it loads Dask

log = logging.getLogger(environment.LOGGER)

ROUND_BYTES = 2_000_000_000  # on the disk at a time, but for an object that is larger alone


def fetch_dumps(run: ScoringRun, dumps: Dumps, cluster: Cluster | None = None) -> Iterator[Dumps]:
    """The dumps that are on the disk, then those of buckets in rounds; each is gone when the next one is asked for.

    Those that the workers of the cluster read by themselves stay in their bucket. Raises `StoreError` if the bucket
    cannot be reached any more. One object that cannot be read fails alone.
    """
    yield dumps
    there = [dump for dump in dumps.remote if cluster and cluster.reads(dump)]
    here = [dump for dump in dumps.remote if not (cluster and cluster.reads(dump))]
    for some in batches(here, ROUND_BYTES, ROUND_BYTES):
        yield Dumps(fetch_round(run, some, dumps.looked), dumps.looked)
        files.remove(run.data.spool)
    if cluster and there:
        yield Dumps(identify_objects(run, there, dumps.looked, cluster), dumps.looked, identified=True)


@task(name="fetch", task_run_name="fetch objects", persist_result=False)
def fetch_round(run: ScoringRun, dumps: list[Dump], looked: inbox.Looked) -> list[Dump]:
    """Copies each object to the disk, once; returns those that could be read, with their status."""
    with ThreadPoolExecutor(stores.AT_ONCE) as threads:
        fetched = threads.map(lambda dump: attempt(dump, place(run.data, dump)), dumps)
        try:
            made = _arrived(run, dumps, fetched, looked, lambda dump: place(run.data, dump))
        except BaseException:
            threads.shutdown(wait=False, cancel_futures=True)
            raise
    log.info("fetched %s of %s objects", f"{len(made):,}", f"{len(dumps):,}")
    return made


@task(name="fetch", task_run_name="identify objects", persist_result=False)
def identify_objects(run: ScoringRun, dumps: list[Dump], looked: inbox.Looked, cluster: Cluster) -> list[Dump]:
    """Has the workers read each object whose sha256 is not known; returns those that could be read, with their status.

    Whether an object is new, its bytes say alone: two of the same content have one table.
    """
    made = [dump for dump in dumps if dump.sha256]
    unknown = [dump for dump in dumps if not dump.sha256]
    made += _arrived(run, unknown, cluster.identify(unknown), looked, lambda dump: None)
    log.info("workers identified %s of %s objects", f"{len(made):,}", f"{len(dumps):,}")
    return made


def place(data: Layout, dump: Dump) -> Path:
    """Where an object is on the disk: a folder of its own, so that it keeps its name."""
    return data.spool / files.digest(dump.path)[:16] / open_store(dump.path).file_name


def copy(dump: Dump, to: Path) -> Fetched:
    """Copies an object to a file; its folder is made. Raises `InputError`, `StoreError` or `OutputError`."""
    files.make_folder(to.parent, mode=files.PRIVATE_FOLDER)
    return open_store(dump.path).fetch(dump.size, to)


def attempt(dump: Dump, to: Path) -> Fetched | errors.PipelineError:
    """Copies an object to a file, or says why it cannot be read. Raises `OutputError`."""
    try:
        return copy(dump, to)
    except (errors.InputError, errors.StoreError) as error:
        return error


def _arrived(
    run: ScoringRun,
    dumps: Sequence[Dump],
    results: Iterable[Fetched | errors.PipelineError],
    looked: inbox.Looked,
    where: Callable[[Dump], Path | None],
) -> list[Dump]:
    """The dumps that could be read, entered in the ledger; `where` each is a file, if it is one."""
    made: list[Dump] = []
    read: list[tuple[Dump, Fetched]] = []
    try:
        for dump, result in zip(dumps, results, strict=True):
            if isinstance(result, errors.PipelineError):
                _fail(run, dump, result, where(dump))
            else:
                read.append((dump, result))
                made.append(_as_file(inbox.arrived(dump, result, looked), where(dump)))
    finally:
        inbox.enter(read, looked)
    return made


def _fail(run: ScoringRun, dump: Dump, error: errors.PipelineError, at: Path | None) -> None:
    """Enters an object that could not be read into the run as failed. Raises `StoreError` if its bucket is down."""
    if isinstance(error, errors.StoreError):
        open_store(dump.path).check()
    if at:
        files.remove(at.parent)
    run.fail(dump.name, f"{dump.name}: {str(error).removeprefix(f'{dump.path}: ')}")


def _as_file(dump: Dump, at: Path | None) -> Dump:
    """The dump as the file that it is, which goes if there is nothing to do with it."""
    if at and dump.status == "new":
        return replace(dump, path=str(at))
    if at:
        files.remove(at.parent)
    return dump
