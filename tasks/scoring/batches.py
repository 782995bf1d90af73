"""Stage 2 of scoring: the new dumps in batches, each scored by a task run, here or on a cluster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tasks.lib.config import RunnerConfig
from tasks.lib.scores.inbox import Dump
from tasks.lib.scores.reports import FileReport
from tasks.running import progress
from tasks.scoring.predict import SMALL, open_model, results, score_batch
from tasks.scoring.run import ScoringRun

if TYPE_CHECKING:
    from tasks.scoring.cluster import Cluster  # it loads Dask
    from tasks.scoring.find import Dumps

# A task run costs Prefect about 10 ms, a dump of 20 reviews 5: small ones share task runs, larger ones have their own.
BATCH = 4_000_000  # bytes


@contextmanager
def scorers(run: ScoringRun, dumps: Dumps, config: RunnerConfig) -> Iterator[Cluster | None]:
    """The cluster that scores the new dumps, if the configuration asks for one and there are any."""
    if config.runner == "dask" and (dumps.new or dumps.remote):
        from tasks.scoring import cluster

        with cluster.connected(run, dumps, config) as connected:
            yield connected
    else:
        yield None


def score_dumps(run: ScoringRun, dumps: Sequence[Dump], cluster: Cluster | None) -> None:
    """Scores the dumps, here or on the cluster. One that fails does not keep the others from being scored."""
    if not dumps:
        return
    open_model.cache_clear()
    open_model(run.data.models, run.model_id)  # a damaged model ends the run before the first row
    bar = progress.Progress("score-progress", f"{len(dumps):,} dumps")
    done = 0
    for reports in cluster.score(dumps) if cluster else _score(run, dumps):
        run.enter(reports)
        done += len(reports)
        bar.show(100 * done / len(dumps), reports[-1].file)


def batches(dumps: Sequence[Dump], most: int = BATCH, small: int = SMALL) -> list[list[Dump]]:
    """The dumps in their order: those of up to `small` bytes together, up to `most` bytes, a larger one alone."""
    made: list[list[Dump]] = []
    room = 0
    for dump in dumps:
        if not made or dump.size > min(small, room):
            made.append([])
            room = most if dump.size <= small else 0
        made[-1].append(dump)
        room -= dump.size
    return made


def _score(run: ScoringRun, dumps: Sequence[Dump]) -> Iterator[list[FileReport]]:
    for batch in batches(dumps):
        yield results(score_batch(batch, run.model_id, run.options, run.data.root, return_state=True))
