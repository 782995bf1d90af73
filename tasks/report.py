"""Stage 3 of scoring: what the run did, as lines, as JSON and as a histogram."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from prefect import task

from tasks import environment, locking
from tasks.lib import files
from tasks.lib.layout import Layout
from tasks.predict import FileReport

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
    with locking.waiting(data.locks / "report.lock"):
        files.sweep(data.reports)
        files.write(path.with_suffix(".png"), figures.probabilities(counts, edges, threshold or 0.5))
        files.write(path, files.json_bytes(content))
    return path
