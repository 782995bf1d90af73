"""Stage 2 of scoring: one dump in, its score table and its quarantine table out."""

from __future__ import annotations

import logging
import multiprocessing
import re
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from prefect import task
from prefect.runtime import task_run

from tasks.lib import errors, files, scoring
from tasks.lib.config import ScoreConfig
from tasks.lib.layout import Layout
from tasks.lib.scores import tables
from tasks.lib.scores.inbox import Dump, FileReport
from tasks.running import environment, locks, progress

log = logging.getLogger(environment.LOGGER)


def _run_name() -> str:
    return f"score {task_run.parameters['dump'].name}"


@task(name="score", task_run_name=_run_name, persist_result=False)
def score_dump(
    dump: Dump,
    model_id: str,
    config: ScoreConfig,
    data_dir: Path,
    wait: bool = False,
    pool: scoring.Pool | None = None,
) -> FileReport:
    """Scores one dump, unless another run is at it (with `wait`, that is waited for) or has just done it."""
    data = Layout(data_dir)
    table = dump.table or tables.table_path(data.scores, model_id, tables.table_name(dump.path.name, dump.sha256))
    quarantined = data.quarantine / table.name
    started = time.perf_counter()
    lock = _lock(data, dump.sha256[:16])
    with locks.waiting(lock) if wait else locks.if_free(lock) as free:
        other = None if config.rescore or not free else tables.find(data.scores, model_id, dump.sha256)
        if other or not free:
            log.info("%s: another run %s it", dump.name, "has scored" if free else "is scoring")
            if other and config.csv:
                _export(dump.name, data, other)
            return FileReport(file=dump.name, status="busy", model_id=model_id, sha256=dump.sha256)
        with no_text_in_errors(dump.name), _progress(dump.name) as on_rows:
            scored = scoring.score(
                dump.path, dump.name, dump.sha256, open_model(data.models, model_id), config, table, quarantined,
                on_rows=on_rows, pool=pool,
            )  # fmt: skip
        exported = _export(dump.name, data, table) if config.csv else ""
    report = FileReport(
        file=dump.name,
        status="scored",
        model_id=model_id,
        table=data.relative(table),
        quarantine=data.relative(quarantined) if scored.quarantined else "",
        csv=exported,
        sha256=dump.sha256,
        seconds=round(time.perf_counter() - started, 3),
        **vars(scored),
    )
    log.info(
        "%s: %s rows, %s scored, %s quarantined, %.1f s, %s reviews/s",
        dump.name, f"{report.rows:,}", f"{report.scored:,}", f"{report.rows_quarantined:,}", report.seconds,
        f"{report.rows / max(report.seconds, 1e-3):,.0f}",
    )  # fmt: skip
    return report


@task(name="export", task_run_name=lambda: f"export {task_run.parameters['dump'].name}", persist_result=False)
def export_dump(dump: Dump, table: Path, data_dir: Path) -> FileReport | None:
    """Writes the table that a dump has as CSV; None if that stands already."""
    data = Layout(data_dir)
    with locks.waiting(_lock(data, dump.sha256[:16])):
        exported = _export(dump.name, data, table)
    model_id = table.parent.name.removeprefix("model=")
    report = FileReport(file=dump.name, status="exported", model_id=model_id, csv=exported, sha256=dump.sha256)
    return report if exported else None


def _export(name: str, data: Layout, table: Path) -> str:
    """Exports a table whose dump is locked, unless it has been; returns the path of the CSV, or ""."""
    path = data.csv / table.parent.name / f"{table.stem}.csv"
    with no_text_in_errors(name):
        if tables.is_exported(table, path):
            return ""
        tables.export_csv(table, path)
    return data.relative(path)


def sweep(data: Layout) -> None:
    """Removes what killed runs left half-written, but for what another run is writing now."""

    def unused(path: Path) -> bool:
        if path.name.endswith(f"-requeued.csv{files.PARTIAL}"):
            return locks.is_free(data.locks / locks.REQUEUE)
        found = re.search(rf"-([0-9a-f]{{16}})\.\w+{files.PARTIAL}$", path.name)
        return found is not None and locks.is_free(_lock(data, found[1]))

    for folder in (data.scores, data.csv, data.quarantine):
        for path in files.sweep(folder, unused):
            log.info("%s: removed, a run was killed while it wrote it", path)


def _lock(data: Layout, digest: str) -> Path:
    # Whatever the model: all models write to the same quarantine.
    return data.locks / f"score-{digest}.lock"


@lru_cache(maxsize=1)
def open_model(models: Path, model_id: str) -> scoring.Model:
    """The model, checked and loaded once per run; the flow clears the cache when it starts."""
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
def _progress(name: str) -> Iterator[Callable[[int], None]]:
    """A bar with reviews per second on a terminal; elsewhere the count goes to the bar in the UI."""
    if not sys.stdout.isatty() or multiprocessing.parent_process():  # several workers on one terminal
        seen = 0

        def note(rows: int) -> None:
            nonlocal seen
            seen += rows
            progress.note(f"{name}, {seen:,} reviews so far")

        yield note
        return
    from tqdm import tqdm

    with tqdm(desc=name, unit=" reviews", unit_scale=True, leave=False) as bar:
        yield bar.update
