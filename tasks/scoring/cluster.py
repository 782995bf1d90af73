"""Scoring on a Dask cluster (`--runner dask`): whole dumps by its workers, or blocks of reviews that are read here.

A worker that reaches a dump and the place of its table scores it alone: both in buckets, or on a disk that all of them
see. Else dumps are read here and their tables written here, and so are large ones: where a record starts is known only
from the records before it. What a worker that died was at, Dask gives to another one: a table stands complete or not
at all, and a block has the same scores wherever it is scored.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

from tasks.lib import errors, files, scoring, urls
from tasks.lib.config import RunnerConfig
from tasks.lib.layout import Layout
from tasks.lib.models import bundles
from tasks.lib.scores.inbox import Dump
from tasks.lib.scores.reports import FileReport
from tasks.lib.stores import Fetched
from tasks.running import environment
from tasks.scoring.batches import batches
from tasks.scoring.find import Dumps
from tasks.scoring.predict import UPLOADS_AT_ONCE, failed, results, score_batch
from tasks.scoring.run import ScoringRun

try:
    from distributed import Client, LocalCluster
    from distributed.gc import disable_gc_diagnosis
    from prefect_dask.task_runners import DaskTaskRunner

    from tasks.scoring import workers
except ImportError as error:
    raise errors.PipelineError(
        "--runner dask needs the extra `dask` of this project: run `make install`, or pip install prefect-dask."
    ) from error

log = logging.getLogger(environment.LOGGER)

LEAVE_CTRL_C_TO_THE_RUN = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"  # what a worker does first
MEGABYTE = 1_000_000
CONNECT_SECONDS = 120  # on a busy machine, a worker takes half a minute to load the code
MARKER = ".shared"
BLOCKS_AHEAD = 4  # for each worker, so that none waits while the next ones are read


@contextmanager
def connected(run: ScoringRun, dumps: Dumps, config: RunnerConfig) -> Iterator[Cluster]:
    """The cluster at the address, or one of this machine's own that ends with the block. Raises `PipelineError`."""
    with _runner(config) as runner, _marker(run.data) as marker:
        try:
            cluster = Cluster(run, config, runner, marker)
            cluster.look(dumps)
        except errors.PipelineError:
            raise
        except Exception as error:  # Dask's errors are of many kinds
            raise errors.PipelineError(f"{_gave_up('the model', error)} Run the same command again.") from error
        yield cluster


class Cluster:
    """A cluster whose workers have the model of a run, and what they reach of the places of the run."""

    def __init__(self, run: ScoringRun, config: RunnerConfig, runner: DaskTaskRunner, marker: Path) -> None:
        self.run, self.runner, self.client, self.marker = run, runner, runner.client, marker
        self.split = int(config.dask_split * MEGABYTE)
        self.model = self._keep_model()
        output = run.options.output
        self.published_at = _place(str(output)) if output else str(run.data.root)
        self.reached: set[str] = set()

    def look(self, dumps: Dumps) -> None:
        """Finds out which places all workers reach: the data folder, other folders with dumps, and buckets."""
        samples = {str(self.run.data.root): (str(self.marker), 0)}
        samples |= {_place(dump.path): (dump.path, dump.size) for dump in dumps.new}
        samples |= {_place(dump.path): (_place(dump.path), 0) for dump in dumps.remote}
        samples.setdefault(self.published_at, (self.published_at, 0))
        missed: dict[str, str] = {}
        for of_worker in self.client.run(workers.unreachable, list(samples.values())).values():
            missed |= of_worker
        self.reached = {place for place, (sample, _) in samples.items() if sample not in missed}
        dumps_at = {_place(dump.path) for dump in [*dumps.new, *dumps.remote] if not self._reaches(dump.path)}
        for place in sorted(dumps_at) if self.published_at in self.reached else [self.published_at]:
            why = f" ({missed[place]})" if urls.is_url(place) else ""
            log.info("%s: out of reach of a worker%s. Dumps are read, and tables written, here.", place, why)

    def reads(self, dump: Dump) -> bool:
        """Whether a worker reads this dump and publishes its tables by itself."""
        return dump.size <= self.split and self.published_at in self.reached and self._reaches(dump.path)

    def _reaches(self, path: str) -> bool:
        root = str(self.run.data.root)
        return _place(path) in self.reached or (root in self.reached and Path(path).is_relative_to(root))

    def identify(self, dumps: Sequence[Dump]) -> list[Fetched | errors.PipelineError]:
        """What the workers find the bytes of these objects to be, in the order of the objects."""
        todo, found = batches(dumps), list[Fetched | errors.PipelineError]()
        executor = self.client.get_executor(pure=False)
        futures = [executor.submit(workers.identify, batch) for batch in todo]
        for batch, future in zip(todo, futures, strict=True):
            try:
                found += future.result()
            except Exception as error:  # noqa: BLE001  whatever becomes of the cluster, the run reports each dump
                found += [errors.PipelineError(f"{_gave_up('it', error)} Run the same command again.")] * len(batch)
        return found

    def score(self, dumps: Sequence[Dump]) -> Iterator[list[FileReport]]:
        """The reports of some dumps at a time; one that fails does not keep the others from being scored."""
        there = batches([dump for dump in dumps if self.reads(dump)])
        here = batches([dump for dump in dumps if not self.reads(dump)], self.split, self.split)
        data_dir = None if self.run.options.output else self.run.data.root
        what = {"model": self.model, "options": self.run.options, "data_dir": data_dir, "marker": self.marker}
        futures = [self.runner.submit(workers.score_there, {"batch": batch, **what}) for batch in there]
        for batch in here:  # first: whole dumps are scored beside them, where their blocks leave room
            yield self._reports(batch, partial(self._score_here, batch))
        for batch, future in zip(there, futures, strict=True):
            yield self._reports(batch, partial(_result, future))

    def _score_here(self, batch: list[Dump]) -> list[FileReport]:
        executor = self.client.get_executor(pure=False)

        def submit(reviews: list[str]) -> Future[Any]:
            return executor.submit(workers.score_block, self.model, workers.Reviews(reviews), priority=1)

        ahead = BLOCKS_AHEAD * max(1, sum(self.client.nthreads().values()))
        pool = scoring.Pool(submit, ahead if len(batch) == 1 else max(BLOCKS_AHEAD, ahead // UPLOADS_AT_ONCE))
        run = self.run
        return results(score_batch(batch, run.model_id, run.options, run.data.root, pool, return_state=True))

    def _reports(self, batch: list[Dump], score: Callable[[], list[FileReport]]) -> list[FileReport]:
        try:
            return score()
        except errors.StoreError:  # nothing can be published
            raise
        except Exception as error:  # noqa: BLE001  whatever becomes of the cluster, the run reports each dump
            reason = (
                error
                if isinstance(error, errors.PipelineError)
                else f"{_gave_up('it', error)} Run the same command again."
            )
            return [failed(dump, self.run.model_id, reason) for dump in batch]

    def _keep_model(self) -> str:
        """Has every worker keep the model, if one does not yet; returns its name there.

        The one that this data folder had there before goes: runs over it take turns, so none is using that.
        """
        data, model_id = self.run.data, self.run.model_id
        of_folder = f"sentiment-{files.digest(socket.gethostname(), str(data.root))[:8]}-"
        name = of_folder + bundles.read_bundle(data.models, model_id)["seal"][:16]
        kept = self.client.run(workers.kept_names, of_folder).values()
        if not all(name in names for names in kept):
            self.client.register_plugin(workers.KeptModel(name, model_id, bundles.contents(data.models, model_id)))
        for other in {other for names in kept for other in names} - {name}:
            self.client.unregister_worker_plugin(other)
        return name


def _place(path: str) -> str:
    """Where a dump or a table is: a folder, or a bucket."""
    return "/".join(path.split("/", 3)[:3]) if urls.is_url(path) else str(Path(path).parent)


def _result(future: Any) -> list[FileReport]:
    future.wait()
    return results(future.state)


def _gave_up(what: str, error: Exception) -> str:
    return f"the Dask cluster gave {what} up ({type(error).__name__})."


@contextmanager
def _marker(data: Layout) -> Iterator[Path]:
    """An empty file of a new name: whoever sees it sees the data folder. It is gone after the block."""
    for left in data.locks.glob(f"*{MARKER}"):  # by a run that was killed
        files.remove(left)
    marker = data.locks / f"{uuid4().hex}{MARKER}"
    with files.output_errors(marker):
        marker.touch()
    try:
        yield marker
    finally:
        files.remove(marker)


@contextmanager
def _runner(config: RunnerConfig) -> Iterator[DaskTaskRunner]:
    """Prefect's way to the cluster at the address, or to one of this machine's own that ends with the block."""
    if config.dask_address:
        _check(config.dask_address)
        with DaskTaskRunner(address=config.dask_address) as runner:
            yield runner
        return
    with _own_cluster(config.dask_workers) as cluster, DaskTaskRunner(cluster=cluster) as runner:
        yield runner


def _own_cluster(count: int) -> LocalCluster:
    logging.getLogger("tornado.application").setLevel(logging.CRITICAL)  # what is cut off when a run is stopped
    try:
        cluster = LocalCluster(
            n_workers=count,
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
            expected = "a scheduler and workers started in clones of this version of the project with PYTHONPATH=."
            client.submit(workers.unreachable, [], pure=False).result(CONNECT_SECONDS)
    except Exception as error:  # Dask's errors are of many kinds
        raise errors.PipelineError(
            f"--dask-address {address}: expected {expected}, found none ({type(error).__name__}). Mend that, or leave "
            "the option out for a cluster on this machine."
        ) from error
