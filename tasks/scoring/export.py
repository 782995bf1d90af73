"""Stage 3 of scoring, with `--csv`: the tables as CSV."""

from __future__ import annotations

import logging
from pathlib import Path

from prefect import task

from tasks.lib import errors
from tasks.lib.config import ScoreConfig
from tasks.lib.layout import Layout
from tasks.lib.scores import exports
from tasks.lib.scores.reports import FileReport
from tasks.lib.scores.shelves import Shelf
from tasks.running import environment
from tasks.scoring.find import Dumps
from tasks.scoring.predict import no_text_in_errors
from tasks.scoring.run import ScoringRun, open_shelf

log = logging.getLogger(environment.LOGGER)


def export_tables(run: ScoringRun, dumps: Dumps) -> None:
    """With `--csv`, writes the table of each dump as CSV, new or not, unless that has been done."""
    if not run.options.csv:
        return
    tables = {
        (table := dumps.looked.table(dump)): FileReport(
            file=dump.name, status="exported", model_id=run.model_id, table=table, sha256=dump.sha256
        )
        for dump in dumps.scored
    }
    tables |= {report.table: report for report in run.reports if report.table}
    standing: set[str] = set()
    for folder in {exports.path(run.data, run.data.root / table).parent for table in tables}:
        standing |= run.shelf.states(folder).keys()
    if todo := [report for table, report in tables.items() if not _is_exported(run, table, standing)]:
        done = export_batch(todo, run.data.root, run.options)
        run.ledger.enter_exports(report.table for report in done if report.csv)
        run.replace(done)


def _is_exported(run: ScoringRun, table: str, standing: set[str]) -> bool:
    return run.ledger.exported(table) and run.data.relative(exports.path(run.data, run.data.root / table)) in standing


@task(name="export", task_run_name="export tables", persist_result=False)
def export_batch(reports: list[FileReport], data_dir: Path, options: ScoreConfig) -> list[FileReport]:
    """Writes the tables as CSV; a report says where, or why not."""
    shelf = open_shelf(Layout(data_dir), options)
    return [_export(report, shelf) for report in reports]


def _export(report: FileReport, shelf: Shelf) -> FileReport:
    try:
        with no_text_in_errors(report.file), shelf.exporting(report.table) as data:
            path = exports.path(data, data.root / report.table)
            exports.write(data.root / report.table, path)
    except errors.PipelineError as error:
        if isinstance(error, errors.StoreError):
            shelf.check()  # it fails alone only if the others need not
        return report.model_copy(update={"status": "failed", "reason": f"{report.file}: not exported: {error}"})
    log.info("%s: exported -> %s", report.file, data.relative(path))
    return report.model_copy(update={"csv": data.relative(path)})
