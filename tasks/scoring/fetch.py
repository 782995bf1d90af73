"""Beside stage 1 of scoring: new objects of buckets brought to the disk, as many at a time as there is room for."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from prefect import task

from tasks.lib import errors, files, stores
from tasks.lib.layout import Layout
from tasks.lib.scores import inbox
from tasks.lib.scores.inbox import Dump
from tasks.lib.stores import Fetched, Store
from tasks.running import environment
from tasks.scoring.batches import batches
from tasks.scoring.find import Dumps
from tasks.scoring.run import ScoringRun

log = logging.getLogger(environment.LOGGER)

ROUND_BYTES = 2_000_000_000  # on the disk at a time, but for an object that is larger alone


def fetch_dumps(run: ScoringRun, dumps: Dumps) -> Iterator[Dumps]:
    """The dumps that are on the disk, then those of buckets in rounds; each is gone when the next one is asked for.

    Raises `StoreError` if the bucket cannot be reached any more. One object that cannot be read fails alone.
    """
    yield dumps
    for some in batches(dumps.remote, ROUND_BYTES, ROUND_BYTES):
        yield Dumps(fetch_round(run, some, dumps.looked), dumps.looked)
        files.remove(run.data.spool)


@task(name="fetch", task_run_name="fetch objects", persist_result=False)
def fetch_round(run: ScoringRun, dumps: list[Dump], looked: inbox.Looked) -> list[Dump]:
    """Copies each object to the disk, once; returns those that could be read, with their status."""
    made: list[Dump] = []
    read: list[tuple[Dump, Fetched]] = []
    with ThreadPoolExecutor(stores.AT_ONCE) as threads:
        fetched = [(dump, threads.submit(_fetch, dump, _place(run.data, dump))) for dump in dumps]
        try:
            for dump, result in fetched:
                if found := _result(run, dump, result):
                    read.append((dump, found))
                    made.append(_arrived(run.data, dump, found, looked))
        except BaseException:
            threads.shutdown(wait=False, cancel_futures=True)
            raise
        finally:
            inbox.enter(read, looked)
    log.info("fetched %s of %s objects", f"{len(made):,}", f"{len(dumps):,}")
    return made


def _place(data: Layout, dump: Dump) -> Path:
    """Where an object is on the disk: a folder of its own, so that it keeps its name."""
    return data.spool / files.digest(dump.path)[:16] / _store(dump).file_name


def _fetch(dump: Dump, to: Path) -> Fetched:
    files.make_folder(to.parent, mode=files.PRIVATE_FOLDER)
    return _store(dump).fetch(dump.size, to)


def _store(dump: Dump) -> Store:
    return Store(dump.path, environment.s3_endpoint())


def _result(run: ScoringRun, dump: Dump, result: Future[Fetched]) -> Fetched | None:
    """What was copied, if the object could be read; else it is entered into the run as failed."""
    try:
        return result.result()
    except (errors.InputError, errors.StoreError) as error:
        if isinstance(error, errors.StoreError):
            _store(dump).check()
        files.remove(_place(run.data, dump).parent)
        run.fail(dump.name, f"{dump.name}: {str(error).removeprefix(f'{dump.path}: ')}")
        return None


def _arrived(data: Layout, dump: Dump, fetched: Fetched, looked: inbox.Looked) -> Dump:
    """The dump as a file, which goes if there is nothing to do with it."""
    place, found = _place(data, dump), inbox.arrived(dump, fetched, looked)
    if found.status == "new":
        return replace(found, path=str(place))
    files.remove(place.parent)
    return found
