"""Stage 3 of scoring: what the run did, as JSON, as a histogram and in Prefect's UI."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from prefect import task
from prefect.artifacts import create_markdown_artifact, create_table_artifact

from tasks.lib import files
from tasks.lib.layout import Layout
from tasks.lib.scores import quarantine, tables
from tasks.lib.scores.inbox import Dump, FileReport
from tasks.running import environment, locks
from tasks.running.progress import picture, send

log = logging.getLogger(environment.LOGGER)


@task(name="report", task_run_name="report", persist_result=False)
def write_report(reports: list[FileReport], data_dir: Path) -> Path:
    """Writes `<time>.json` and `<time>.png` into data/scores/_reports; returns the path of the JSON file."""
    from tasks.lib import figures

    finished = datetime.now(UTC)
    data = Layout(data_dir)
    path = data.reports / f"{finished:%Y%m%dT%H%M%S.%fZ}.json"
    threshold = next((report.threshold for report in reports if report.threshold is not None), None)
    counts = np.sum([report.histogram for report in reports if report.histogram] or [[0]], axis=0)
    edges = np.linspace(0, 1, len(counts) + 1)
    content = {
        "finished_at": finished.isoformat(timespec="seconds"),
        "threshold": threshold,
        "rows": sum(report.rows for report in reports),
        "scored": sum(report.scored for report in reports),
        "quarantined": sum(report.rows_quarantined for report in reports),
        "files": [report.model_dump(mode="json", exclude={"histogram"}) for report in reports],
        "histogram": {"counts": counts.tolist(), "edges": edges.tolist()},
    }
    with locks.waiting(data.locks / "report.lock"):
        files.sweep(data.reports)
        files.write(path.with_suffix(".png"), figures.probabilities(counts, edges, threshold or 0.5))
        files.write(path, files.json_bytes(content))
    return path


def unreported(dumps: list[Dump], model_id: str, data: Layout) -> list[FileReport]:
    """The reports of dumps whose table no report follows: the run that scored them was killed before it wrote one.

    None while another run scores with the model: what it has published so far, it reports itself.
    """
    scored = [(dump, dump.table) for dump in dumps if dump.status == "scored" and dump.table]
    if not scored or not locks.is_free(data.locks / locks.model(model_id)):
        return []
    newest = max(data.reports.glob("*.json"), default=None)  # of those runs, too, that ended a moment ago
    since = newest.stat().st_mtime_ns if newest else 0
    late = [
        (dump, table)
        for dump, table in scored
        if table.parent.name == f"model={model_id}" and table.stat().st_mtime_ns > since
    ]
    for dump, _ in late:
        log.info("%s: scored by a run that ended before its report", dump.name)
    return [_from_tables(dump, table, model_id, data) for dump, table in late]


def _from_tables(dump: Dump, table: Path, model_id: str, data: Layout) -> FileReport:
    footer = defaultdict(lambda: "0", tables.read_footer(table) or {})
    quarantined = data.quarantine / table.name
    count = int(footer["rows_quarantined"])
    return FileReport(
        file=dump.name,
        status="scored",
        model_id=model_id,
        table=data.relative(table),
        quarantine=data.relative(quarantined) if count else "",
        sha256=dump.sha256,
        rows=int(footer["rows_in"]),
        scored=int(footer["rows_scored"]),
        positive=int(footer["rows_positive"]),
        quarantined=quarantine.reasons(quarantined) or {"unknown reason": count} if count else {},
        bytes=int(footer["bytes_in"]),
        threshold=float(footer["threshold"]),
    )


def merged(late: list[FileReport], exported: list[FileReport]) -> list[FileReport]:
    """One report for each file, though some were both reported late and exported."""
    found = {report.sha256: report for report in late}
    for report in exported:
        earlier = found.get(report.sha256)
        found[report.sha256] = earlier.model_copy(update={"csv": report.csv}) if earlier and report.csv else report
    return list(found.values())


def report_scoring(reports: Sequence[FileReport], report: Path) -> None:
    """The table of the files of a run, and its report with the histogram. `report` is the JSON file."""
    rows = sum(entry.rows for entry in reports)
    quarantined = sum(entry.rows_quarantined for entry in reports)
    summary = f"{count_files(len(reports))}, {rows:,} rows, {quarantined:,} quarantined"
    send(create_table_artifact, key="score-files", table=[_file(entry) for entry in reports], description=summary)
    failed = [entry for entry in reports if entry.status == "failed"]
    lines = [
        f"# {summary}",
        *(f"- {entry.file} failed" for entry in failed),
        "",
        picture("Scores of the reviews", report.with_suffix(".png")),
        "",
        f"Report: `{report.name}` in `scores/_reports`.",
    ]
    send(create_markdown_artifact, key="score-report", markdown="\n".join(lines), description=summary)


def count_files(number: int) -> str:
    """The number with its noun."""
    return f"{number} file" if number == 1 else f"{number} files"


def _file(entry: FileReport) -> dict[str, Any]:
    return {
        "file": entry.file,
        "status": entry.status,
        "rows": entry.rows,
        "scored": entry.scored,
        "quarantined": entry.rows_quarantined,
        "positive": f"{entry.positive / entry.scored:.1%}" if entry.scored else "",
        "seconds": round(entry.seconds, 2),
        "reviews/s": round(entry.rows / entry.seconds) if entry.seconds else 0,
        "model": entry.model_id,
        "reasons": ", ".join(f"{count} {reason}" for reason, count in sorted(entry.quarantined.items())),
    }
