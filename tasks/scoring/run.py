"""A scoring run: the lock that it holds, the ledger, the model, and what became of each dump so far."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tasks.lib import errors, files
from tasks.lib.config import ScoreConfig
from tasks.lib.layout import CLONE, Layout
from tasks.lib.models import bundles, releases
from tasks.lib.scores.ledger import Ledger
from tasks.lib.scores.reports import FileReport
from tasks.lib.scores.shelves import Bucket, Folder, Shelf
from tasks.running import environment, locks
from tasks.running.buckets import open_store

log = logging.getLogger(environment.LOGGER)


class ScoringRun:
    """What the stages of one scoring run share. `reports` says what became of each dump.

    No dataclass: Prefect would look through all of it whenever it is handed to a task.
    """

    def __init__(self, data: Layout, options: ScoreConfig, model_id: str, ledger: Ledger) -> None:
        self.data, self.options, self.model_id, self.ledger = data, options, model_id, ledger
        self.shelf = ledger.shelf
        models = bundles.model_ids(data.models) if options.unscored_only and not options.rescore else []
        self.standing = ledger.look({*models, model_id})
        self.reports = ledger.unreported()
        self._late = {late.sha256 for late in self.reports}
        for late in self.reports:
            log.info("%s: scored by a run that ended before its report", late.file)

    def was_scored(self, sha256: str) -> bool:
        """Whether an earlier run has scored and reported this dump."""
        return sha256 not in self._late and (sha256 in self.standing.scored or sha256 in self.standing.damaged)

    def fail(self, name: str, reason: str) -> None:
        """Enters a file that could not be scored."""
        self.reports.append(FileReport(file=name, status="failed", model_id=self.model_id, reason=reason))

    def enter(self, made: Sequence[FileReport]) -> None:
        """Enters what became of some dumps, and their tables in the ledger."""
        self.ledger.enter_tables(report for report in made if report.status == "scored")
        self.replace(made)

    def replace(self, made: Sequence[FileReport]) -> None:
        """Enters reports, in place of earlier ones of the same tables."""
        again = {report.table for report in made if report.table}
        self.reports = [report for report in self.reports if report.table not in again] + list(made)


@contextmanager
def scoring_run(data_dir: Path, options: ScoreConfig) -> Iterator[ScoringRun]:
    """Holds the lock of scoring for the block: runs over one data folder take turns.

    So no table is written twice at once, what is half-written is of a killed run, and so is what is not reported.
    """
    data = Layout((CLONE / data_dir).resolve(), str(options.output).rstrip("/") if options.output else None)
    shelf = open_shelf(data, options)
    with locks.waiting(data.locks / locks.SCORING):
        model_id = which_model(data, options)
        for place in shelf.sweep():
            log.info("%s: removed, a run was killed while it wrote it", place)
        if data.spool.exists():
            files.remove(data.spool)
            log.info("%s: removed, a run was killed while it scored objects of a bucket", data.spool)
        shelf.sync_reports()
        with Ledger.open(data, shelf) as ledger:
            run = ScoringRun(data, options, model_id, ledger)
            if ledger.made_again and run.standing.scored:
                log.info(
                    "%s: made again from %d tables: %s", data.ledger, len(run.standing.scored), ledger.made_again
                )  # fmt: skip
            try:
                yield run
            finally:
                files.remove(data.spool)


def open_shelf(data: Layout, options: ScoreConfig) -> Shelf:
    """Where the tables of a run stand: in the data folder, or at the URL in `output`. Raises `InputError`."""
    if options.output is None:
        return Folder(data)
    if options.requeue:
        raise errors.InputError(
            "--requeue with --output: what is in quarantine in a bucket is repaired on the disk. Copy it to "
            f"{data.quarantine}, and requeue it without --output."
        )
    return Bucket(data, open_store(f"{str(options.output).rstrip('/')}/"))


def which_model(data: Layout, options: ScoreConfig) -> str:
    """The id of the model to score with: the named one, or the current one. Raises `ModelError` if there is none."""
    model_id = options.model or releases.current_id(data.models)
    bundles.folder(data.models, model_id)
    return model_id
