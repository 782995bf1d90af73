"""What a person sees in Prefect's UI: reports with plots, tables, live progress. Numbers and names, never a review.

The keys of the artifacts stay the same from run to run, so that the UI shows their history. All of it is beside the
work: what the UI could not be told is logged in one line, and the run goes on.
"""

from __future__ import annotations

import base64
import csv
import logging
import time
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.context import FlowRunContext, TaskRunContext
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from tasks.lib import errors
from tasks.lib.layout import Layout
from tasks.lib.models import bundles
from tasks.running import environment
from tasks.training.artifacts import Baseline, Bundle
from tasks.training.caching import Step

if TYPE_CHECKING:
    from tasks.lib.scores.inbox import FileReport

log = logging.getLogger(environment.LOGGER)

LARGEST_PLOT = 100_000  # bytes; the UI loads a report with everything in it
SECONDS_BETWEEN = 2.0  # between two signs of progress: enough for an eye, next to nothing for the server


def _tell(send: Callable[..., Any], **what: Any) -> Any:
    """What Prefect answers, or None without a run to belong to, or if its server cannot be reached."""
    if FlowRunContext.get() is None and TaskRunContext.get() is None:
        return None
    try:
        return send(**what)
    except Exception as error:  # noqa: BLE001  whatever is wrong with the server, the work is not
        log.warning("Prefect's UI was not told of %s: %s", what.get("key", "progress"), type(error).__name__)
        return None


class Progress:
    """A progress bar in the UI, which appears with its first sign of life."""

    def __init__(self, key: str, description: str) -> None:
        self.key = key
        self.description = description
        self._id: Any = None
        self._last = float("-inf")
        self._percent = 0.0

    def show(self, percent: float, note: str = "") -> None:
        """Moves the bar, at most every two seconds but for the end of it."""
        if percent < 100 and time.monotonic() - self._last < SECONDS_BETWEEN:
            return
        self._last, self._percent = time.monotonic(), percent
        _latest.set(self)
        description = f"{self.description}: {note}" if note else self.description
        with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}):  # else the work would wait for a server that is down
            if self._id is None:
                self._id = _tell(create_progress_artifact, progress=percent, key=self.key, description=description)
            else:
                _tell(update_progress_artifact, artifact_id=self._id, progress=percent, description=description)


_latest: ContextVar[Progress] = ContextVar("latest")


def note(text: str) -> None:
    """A word beside the bar that was shown last, if there is one."""
    if bar := _latest.get(None):
        bar.show(bar._percent, text)


def report_training(
    data: Layout,
    bundle: Bundle,
    baseline: Baseline,
    before: str | None,
    verdict: dict[str, str],
    steps: Sequence[Step],
) -> None:
    """The report of a training with its plots, and the table of its epochs. `before` is the model current till then."""
    folder = data.root / bundle.folder
    new = bundles.read_metrics(data.models, bundle.model_id)
    old = _metrics(data.models, before) if before and before != bundle.model_id else {}
    lines = [
        f"# {bundle.model_id}: {verdict['verdict']}",
        f"Why: {verdict['reason']}. Trained on the {bundle.corpus} corpus, on {new['device']}, in "
        f"{new['seconds']:.1f} s: {new['epochs']} epochs, the best was number {new['best_epoch']}. "
        + ("The sample corpus is synthetic: these numbers mean nothing." if bundle.corpus == "sample" else ""),
        "",
        f"| test reviews | this model | {before if old else 'current model before'} | bag of words |",
        "| --- | ---: | ---: | ---: |",
        *(
            f"| {name} | {_number(new.get(name), form)} | {_number(old.get(name), form)} | {other} |"
            for name, form, other in (
                ("accuracy", ".2%", f"{baseline.accuracy:.2%}"),
                ("loss", ".4f", ""),
                ("auc", ".4f", ""),
                ("seconds", ".1f", f"{baseline.seconds:.1f}"),
            )
        ),
        "",
        _picture("Loss per epoch", folder / "loss.png"),
        "",
        _picture("Evaluation on the test reviews", folder / "evaluation.png"),
        "",
        "| step | result | seconds | why |",
        "| --- | --- | ---: | --- |",
        *(
            f"| {step.name} | {'from the cache' if step.cached else 'made'} | {step.seconds:.1f} | {step.reason} |"
            for step in steps
        ),
    ]
    _tell(
        create_markdown_artifact,
        key="train-report",
        markdown="\n".join(lines),
        description=f"{bundle.model_id}: test accuracy {new['accuracy']:.2%}, {verdict['verdict']}",
    )
    _tell(
        create_table_artifact,
        key="train-history",
        table=_rows(folder / "history.csv"),
        description=f"The epochs of {bundle.model_id}",
    )


def _metrics(models: Path, model_id: str) -> dict[str, Any]:
    try:
        return bundles.read_metrics(models, model_id)
    except (OSError, ValueError, errors.PipelineError):
        return {}  # a model that is gone or damaged has no figures to show


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _picture(title: str, path: Path) -> str:
    content = path.read_bytes()
    if len(content) > LARGEST_PLOT:
        return f"{title}: {path.name}, too large to be shown here."
    return f"![{title}](data:image/png;base64,{base64.b64encode(content).decode()})"


def _rows(path: Path) -> list[dict[str, Any]]:
    with path.open(newline="") as file:
        return [
            {name: int(value) if name == "epoch" else round(float(value), 4) for name, value in row.items()}
            for row in csv.DictReader(file)
        ]


def report_scoring(reports: Sequence[FileReport], report: Path) -> None:
    """The table of the files of a run, and its report with the histogram. `report` is the JSON file."""
    rows = sum(entry.rows for entry in reports)
    quarantined = sum(entry.rows_quarantined for entry in reports)
    summary = f"{files(len(reports))}, {rows:,} rows, {quarantined:,} quarantined"
    _tell(create_table_artifact, key="score-files", table=[_file(entry) for entry in reports], description=summary)
    failed = [entry for entry in reports if entry.status == "failed"]
    lines = [
        f"# {summary}",
        *(f"- {entry.file} failed" for entry in failed),
        "",
        _picture("Scores of the reviews", report.with_suffix(".png")),
        "",
        f"Report: `{report.name}` in `scores/_reports`.",
    ]
    _tell(create_markdown_artifact, key="score-report", markdown="\n".join(lines), description=summary)


def files(number: int) -> str:
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
