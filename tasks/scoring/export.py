"""Stage 3 of scoring, with `--csv`: the tables as CSV."""

from __future__ import annotations

import logging
from pathlib import Path

from prefect import task

from tasks.lib import errors
from tasks.lib.layout import Layout
from tasks.lib.scores import exports
from tasks.lib.scores.reports import FileReport
from tasks.running import environment
from tasks.scoring.find import Dumps
from tasks.scoring.predict import no_text_in_errors
from tasks.scoring.run import ScoringRun

log = logging.getLogger(environment.LOGGER)


def export_tables(run: ScoringRun, dumps: Dumps) -> None:
    """With `--csv`, writes the table of each dump as CSV, new or not, unless that has been done."""
    if not run.options.csv:
        return
    tables = {
        dump.table: FileReport(
            file=dump.name, status="exported", model_id=run.model_id, table=dump.table, sha256=dump.sha256
        )
        for dump in dumps.scored
    }
    tables |= {report.table: report for report in run.reports if report.table}
    if todo := [report for table, report in tables.items() if not _is_exported(run, table)]:
        done = export_batch(todo, run.data.root)
        run.ledger.enter_exports(report.table for report in done if report.csv)
        run.replace(done)


def _is_exported(run: ScoringRun, table: str) -> bool:
    return run.ledger.exported(table) and exports.path(run.data, run.data.root / table).exists()


@task(name="export", task_run_name="export tables", persist_result=False)
def export_batch(reports: list[FileReport], data_dir: Path) -> list[FileReport]:
    """Writes the tables as CSV; a report says where, or why not."""
    data = Layout(data_dir)
    return [_export(report, data) for report in reports]


def _export(report: FileReport, data: Layout) -> FileReport:
    table = data.root / report.table
    path = exports.path(data, table)
    try:
        with no_text_in_errors(report.file):
            exports.write(table, path)
    except errors.PipelineError as error:
        return report.model_copy(update={"status": "failed", "reason": f"{report.file}: not exported: {error}"})
    log.info("%s: exported -> %s", report.file, data.relative(path))
    return report.model_copy(update={"csv": data.relative(path)})
