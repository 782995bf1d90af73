"""Scoring on a Dask cluster (`--runner dask`): whole dumps by its workers, a large one in parts by all of them.

Where a record starts is known only from the records before it, so a large dump is read and its tables are written in
one place, here; its reviews go out in blocks. What a worker that died was at, Dask gives to another one: a table stands
complete or not at all, and a block has the same scores wherever it is scored.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tasks.lib import errors, scoring
from tasks.lib.config import RunnerConfig
from tasks.lib.layout import Layout
from tasks.lib.scores.inbox import Dump
from tasks.lib.scores.reports import FileReport
from tasks.scoring.predict import failed, no_text_in_errors, open_model, results, score_batch
from tasks.scoring.run import ScoringRun

try:
    from distributed import Client, LocalCluster
    from distributed.gc import disable_gc_diagnosis
    from prefect_dask.task_runners import DaskTaskRunner
except ImportError as error:
    raise errors.PipelineError(
        "--runner dask needs the extra `dask` of this project: run `make install`, or pip install prefect-dask."
    ) from error

LEAVE_CTRL_C_TO_THE_RUN = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"  # what a worker does first
MEGABYTE = 1_000_000
CONNECT_SECONDS = 30
BLOCKS_AHEAD = 4  # for each worker, so that none waits while the next ones are read


class Reviews(list[str]):
    """Reviews on their way to a worker. Dask writes the arguments of what fails into its log: these stay hidden."""

    def __repr__(self) -> str:
        return f"<{len(self)} reviews>"


def score(run: ScoringRun, batches: Sequence[list[Dump]], config: RunnerConfig) -> Iterator[list[FileReport]]:
    """The reports of each batch, in their order; a dump that fails does not keep the others from being scored."""
    with _connected(config) as runner:
        what = {"model_id": run.model_id, "options": run.options, "data_dir": run.data.root}
        futures = [
            None
            if batch[0].size > config.dask_split * MEGABYTE
            else runner.submit(score_batch, {"batch": batch, **what, "pool": None})
            for batch in batches
        ]
        for batch, future in zip(batches, futures, strict=True):
            try:
                if future is None:
                    pool = _pool(runner.client, run.data.models, run.model_id)
                    yield results(score_batch(batch, **what, pool=pool, return_state=True))
                else:
                    future.wait()
                    yield results(future.state)
            except errors.StoreError:  # nothing can be published
                raise
            except Exception as error:  # noqa: BLE001  whatever becomes of the cluster, the run reports each dump
                reason = f"the Dask cluster gave it up ({type(error).__name__}). Run the same command again."
                yield [failed(dump, run.model_id, reason) for dump in batch]


@contextmanager
def _connected(config: RunnerConfig) -> Iterator[DaskTaskRunner]:
    """Prefect's way to the cluster at the address, or to one of this machine's own that ends with the block."""
    if config.dask_address:
        _check(config.dask_address)
        with DaskTaskRunner(address=config.dask_address) as runner:
            yield runner
        return
    with _own_cluster(config.dask_workers) as cluster, DaskTaskRunner(cluster=cluster) as runner:
        yield runner


def _own_cluster(workers: int) -> LocalCluster:
    logging.getLogger("tornado.application").setLevel(logging.CRITICAL)  # what is cut off when a run is stopped
    try:
        cluster = LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            security=True,  # whoever reaches a scheduler may run code as its user: with TLS, nobody but this run does
            dashboard_address="127.0.0.1:0",
            silence_logs=logging.CRITICAL,
            preload=[LEAVE_CTRL_C_TO_THE_RUN],
        )
    except (RuntimeError, OSError, TimeoutError) as error:
        raise errors.PipelineError(f"the Dask cluster of this machine did not start: {error} Try again.") from error
    disable_gc_diagnosis()  # its callback would swallow the exception that stops a run
    return cluster


def _check(address: str) -> None:
    """Raises `PipelineError` unless a scheduler answers there, with workers that know this project."""
    expected = "a Dask scheduler"
    try:
        with Client(address, set_as_default=False) as client:
            expected = "a worker of it"
            client.wait_for_workers(1, timeout=CONNECT_SECONDS)
            expected = "workers started in a clone of this project with PYTHONPATH=."
            client.submit(Layout, Path(), pure=False).result(CONNECT_SECONDS)
    except Exception as error:  # Dask's errors are of many kinds
        raise errors.PipelineError(
            f"--dask-address {address}: expected {expected}, found none ({type(error).__name__}). Mend that, or leave "
            "the option out for a cluster on this machine."
        ) from error


def _pool(client: Client, models: Path, model_id: str) -> scoring.Pool:
    executor = client.get_executor(pure=False)

    def submit(reviews: list[str]) -> Future[Any]:
        return executor.submit(_score_block, models, model_id, Reviews(reviews))

    return scoring.Pool(submit, BLOCKS_AHEAD * len(client.scheduler_info()["workers"]))


def _score_block(models: Path, model_id: str, reviews: Reviews) -> Any:
    """What a worker does with a block; it keeps the model for the next one."""
    with no_text_in_errors("a block of reviews"):
        return open_model(models, model_id)(reviews)
