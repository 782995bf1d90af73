"""Stage 4 of scoring: what the run did, as JSON and a histogram, and in Prefect's UI."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from prefect import task
from prefect.artifacts import create_markdown_artifact, create_table_artifact

from tasks.lib import clock, errors, files
from tasks.lib.config import ScoreConfig
from tasks.lib.profiles import Profile
from tasks.lib.scores.reports import NAME, FileReport, time_of_next
from tasks.running import environment, progress
from tasks.scoring.run import ScoringRun

if TYPE_CHECKING:
    from tasks.scoring.drift import Drift

log = logging.getLogger(environment.LOGGER)

SHOWN = 20  # files of each kind in the UI, and problems in an error; the JSON has them all


class Report:
    """A written report: the path of its JSON file, what it says of each file, and of drift."""

    def __init__(self, path: Path, reports: Sequence[FileReport], options: ScoreConfig, drift: Drift) -> None:
        self.path, self.reports, self.drift = path, reports, drift
        self.problems = [problem for report in reports if (problem := _problem(report, options))]


def write_report(run: ScoringRun) -> Report | None:
    """Reports what became of each dump, also of those of killed runs that no report has; None if nothing was done."""
    if not run.reports:
        log.info("Nothing to do.")
        return None
    from tasks.scoring.drift import Drift  # it loads scipy

    finished = time_of_next(run.data.reports, clock.now())
    drift = Drift(run, finished.date())
    written = Report(_write(run, drift, finished), run.reports, run.options, drift)
    log.info("Report: %s, histogram: %s", written.path, written.path.with_suffix(".png").name)
    drift.tell()
    return written


@task(name="report", task_run_name="report", persist_result=False)
def _write(run: ScoringRun, drift: Drift, finished: datetime) -> Path:
    """Writes `<time>.json` and `<time>.png` into data/scores/_reports; returns the path of the JSON file."""
    from tasks.lib import figures

    reports = run.reports
    path = run.data.reports / f"{finished:{NAME}}.json"
    threshold = next((report.threshold for report in reports if report.threshold is not None), None)
    counts = np.array(sum((report.profile for report in reports), Profile()).probabilities or [0])
    edges = np.linspace(0, 1, len(counts) + 1)
    content = {
        "finished_at": finished.isoformat(timespec="seconds"),
        "threshold": threshold,
        "rows": sum(report.rows for report in reports),
        "scored": sum(report.scored for report in reports),
        "quarantined": sum(report.rows_quarantined for report in reports),
        "drift": drift.content(),
        "files": [_entry(report, drift) for report in reports],
        "histogram": {"counts": counts.tolist(), "edges": edges.tolist()},
    }
    files.write(path.with_suffix(".png"), figures.probabilities(counts, edges, threshold or 0.5))
    run.ledger.enter_report(path.name, [report.table for report in reports if report.table])
    files.write(path, files.json_bytes(content))
    run.shelf.put_report(path)
    return path


def _entry(report: FileReport, drift: Drift) -> dict[str, Any]:
    """What the JSON file has of a dump: its counts of words, but not its bins."""
    entry = report.model_dump(mode="json", exclude={"profile"})
    entry |= {"words": report.profile.words, "words_known": report.profile.known}
    return entry | {"drift": drift.of_table(report.table)}


def _problem(report: FileReport, options: ScoreConfig) -> str:
    """Why a file makes the run fail, on one line; empty if it does not."""
    if report.status == "failed":
        return report.reason
    if report.quarantined_share <= options.max_quarantine:
        return ""
    return (
        f"{report.file}: {report.rows_quarantined:,} of {report.rows:,} rows quarantined, {report.lines_quarantined:,} "
        f"of {report.lines:,} lines ({report.quarantined_share:.1%}), more than --max-quarantine "
        f"{options.max_quarantine:.1%}. Its tables were kept: see {report.quarantine}."
    )


def fail_on(report: Report) -> None:
    """Raises `PipelineError` if a file failed, or too many of its rows were quarantined."""
    if report.problems:
        more = len(report.problems) - SHOWN
        lines = [*report.problems[:SHOWN], *([f"and {more:,} more: see {report.path}"] if more > 0 else [])]
        raise errors.PipelineError(
            f"{len(report.problems)} of {len(report.reports)} files failed:\n  " + "\n  ".join(lines)
        )


def publish_report(report: Report) -> None:
    """Shows in the UI what the run did: totals, the histogram, and a table of the files that matter."""
    rows = sum(entry.rows for entry in report.reports)
    quarantined = sum(entry.rows_quarantined for entry in report.reports)
    total = f"{count_files(len(report.reports))}, {rows:,} rows, {quarantined:,} quarantined"
    shown = _that_matter(report.reports)
    others = len(report.reports) - len(shown)
    progress.send(
        create_table_artifact,
        key="score-files",
        table=[_row(entry, report.drift) for entry in shown],
        description=total,
    )
    lines = [
        f"# {total}",
        *(f"- {entry.file} failed" for entry in shown if entry.status == "failed"),
        "",
        progress.picture("Scores of the reviews", report.path.with_suffix(".png")),
        "",
        f"Drift: {report.drift.summary()}",
        "",
        *report.drift.rows(),
        "",
        f"Report: `{report.path.name}` in `scores/_reports`"
        + (f"; it has {count_files(others)} that the table of files leaves out." if others else "."),
    ]
    progress.send(create_markdown_artifact, key="score-report", markdown="\n".join(lines), description=total)


def count_files(number: int) -> str:
    """The number with its noun."""
    return f"{number:,} file" if number == 1 else f"{number:,} files"


def _that_matter(reports: Sequence[FileReport]) -> list[FileReport]:
    """The first that failed, those with the most quarantined rows, and the largest."""
    failed = [entry for entry in reports if entry.status == "failed"]
    spoilt = sorted(reports, key=lambda entry: entry.rows_quarantined, reverse=True)
    largest = sorted(reports, key=lambda entry: entry.rows, reverse=True)
    chosen = {id(entry) for kind in (failed, spoilt, largest) for entry in kind[:SHOWN]}
    return [entry for entry in reports if id(entry) in chosen]


def _row(entry: FileReport, drift: Drift) -> dict[str, Any]:
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
        "drift": drift.of_file(entry),
        "reasons": ", ".join(f"{count} {reason}" for reason, count in sorted(entry.quarantined.items())),
    }
