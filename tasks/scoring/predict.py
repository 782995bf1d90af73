"""One batch of dumps in, a score table and a quarantine table for each out."""

from __future__ import annotations

import logging
import multiprocessing
import sys
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, cast

from prefect import task
from prefect.client.schemas.objects import State
from prefect.runtime import task_run
from prefect.states import Failed

from tasks.lib import errors, scoring, urls
from tasks.lib.config import ScoreConfig
from tasks.lib.layout import Layout
from tasks.lib.scores.inbox import Dump
from tasks.lib.scores.reports import FileReport
from tasks.lib.scores.shelves import Shelf
from tasks.running import environment, progress
from tasks.running.buckets import open_store
from tasks.scoring.run import open_shelf

log = logging.getLogger(environment.LOGGER)

SMALL = 1_000_000  # bytes
DUMPS_AT_ONCE = 2  # small ones: while one waits for the disk, another is scored
UPLOADS_AT_ONCE = 8  # the same while one waits for a bucket or a cluster, which takes longer


def results(state: State[Any]) -> list[FileReport]:
    """What a task run of `score_batch` returned, failed or not; raises what ended it if that was no dump."""
    if isinstance(state.data, BaseException):
        raise state.data
    return cast(list[FileReport], state.result(raise_on_failure=False))


def run_name() -> str:
    """The name of the task run that scores a batch."""
    batch = task_run.parameters["batch"]
    return f"score {batch[0].name}" + (f" and {len(batch) - 1} more" if len(batch) > 1 else "")


@task(name="score", task_run_name=run_name, persist_result=False)
def score_batch(
    batch: list[Dump], model_id: str, options: ScoreConfig, data_dir: Path, pool: scoring.Pool | None = None
) -> list[FileReport] | State[list[FileReport]]:
    """Scores each dump; the task run has failed if one of them could not be scored."""
    data = Layout(data_dir)
    return score_all(batch, open_model(data.models, model_id), options, data, pool)


def score_all(
    batch: list[Dump],
    model: scoring.Model,
    options: ScoreConfig,
    data: Layout,
    pool: scoring.Pool | None = None,
    bring: Callable[[Dump], AbstractContextManager[Dump]] = nullcontext,
) -> list[FileReport] | State[list[FileReport]]:
    """The reports of a batch, within its task run; failed if one dump is. `bring` has a dump as a file for a block."""
    reports, shelf = [], open_shelf(data, options)
    at_once = UPLOADS_AT_ONCE if options.output or pool else DUMPS_AT_ONCE
    with (
        scoring.thread(model) if pool is None else nullcontext(pool) as scorers,
        ThreadPoolExecutor(at_once) as threads,
    ):
        score = partial(_score_one, model=model, options=options, shelf=shelf, scorers=scorers, bring=bring)
        for report in threads.map(score, batch) if len(batch) > 1 else map(score, batch):
            reports.append(report)
            if report.status == "scored":  # Prefect takes log lines from this thread alone
                log.info("%s", summary(report))
    if any(report.status == "scored" for report in reports):
        shelf.sync(model.model_id)  # once for all of them: it takes as long as to score a small dump
    reasons = [report.reason for report in reports if report.status == "failed"]
    if reasons:
        message = reasons[0] if len(batch) == 1 else f"{len(reasons)} of {len(batch)} dumps failed"
        return Failed(message=message, data=reports)
    return reports


def _score_one(
    dump: Dump,
    model: scoring.Model,
    options: ScoreConfig,
    shelf: Shelf,
    scorers: scoring.Pool,
    bring: Callable[[Dump], AbstractContextManager[Dump]],
) -> FileReport:
    try:
        with (
            no_text_in_errors(dump.name),
            _progress(dump) as on_rows,
            bring(dump) as file,
            shelf.making(dump.table, dump.replaces) as data,
        ):
            return scoring.score(file, model, options, data, on_rows=on_rows, pool=scorers)
    except errors.PipelineError as error:
        if isinstance(error, errors.StoreError):
            shelf.check()  # it fails alone only if the others need not
            if urls.is_url(dump.path):
                open_store(dump.path).check()
        return failed(dump, model.model_id, error)


def failed(dump: Dump, model_id: str, error: object) -> FileReport:
    """The report of a dump that failed; the reason begins with its name, once."""
    reason = str(error)
    for name in (dump.name, errors.printable(Path(dump.path).name)):
        reason = reason.removeprefix(f"{name}: ")
    return FileReport(
        file=dump.name, status="failed", model_id=model_id, reason=f"{dump.name}: {reason}", sha256=dump.sha256
    )


def summary(report: FileReport) -> str:
    """What became of a dump, on one line."""
    share = report.positive / report.scored if report.scored else 0.0
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in sorted(report.quarantined.items()))
    quarantined = f"{report.rows_quarantined:,} quarantined" + (f" ({reasons})" if reasons else "")
    speed = f"{report.rows / max(report.seconds, 1e-3):,.0f} reviews/s -> " if report.seconds else "-> "
    scored = f"{report.scored:,} scored ({share:.1%} positive)"
    return f"{report.file}: {report.rows:,} rows, {scored}, {quarantined}, {speed}{report.table}"


@lru_cache(maxsize=1)
def open_model(models: Path, model_id: str) -> scoring.Model:
    """The model, checked and loaded once per run; each run clears the cache before its first dump."""
    return scoring.Model.open(models, model_id)


@contextmanager
def no_text_in_errors(name: str) -> Iterator[None]:
    """An unforeseen error may quote a review; only its kind and place may reach logs and messages."""
    try:
        yield
    except errors.PipelineError:
        raise
    except Exception as error:  # noqa: BLE001  see above
        place = traceback.extract_tb(error.__traceback__)[-1]
        raise errors.OutputError(
            f"{name}: unexpected {type(error).__name__} at {Path(place.filename).name}:{place.lineno}. Nothing was "
            "published for this file; please report it."
        ) from None


@contextmanager
def _progress(dump: Dump) -> Iterator[Callable[[int], None]]:
    """A bar with reviews per second on a terminal; elsewhere the count goes to the bar in the UI."""
    if dump.size <= SMALL:
        yield lambda rows: None
    elif not sys.stdout.isatty() or multiprocessing.parent_process():  # several workers on one terminal
        seen = 0

        def note(rows: int) -> None:
            nonlocal seen
            seen += rows
            progress.note(f"{dump.name}, {seen:,} reviews so far")

        yield note
    else:
        from tqdm import tqdm

        with tqdm(desc=dump.name, unit=" reviews", unit_scale=True, leave=False) as bar:
            yield bar.update
