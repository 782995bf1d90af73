"""The last weeks of scoring: read from the reports, drawn on one page, shown in Prefect's UI."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from prefect import task
from prefect.artifacts import create_markdown_artifact

from tasks.lib import clock, errors, files
from tasks.lib.layout import Layout
from tasks.lib.models import bundles, releases
from tasks.lib.scores import history
from tasks.lib.scores.history import History
from tasks.running import environment, progress

log = logging.getLogger(environment.LOGGER)


class Overview:
    """The history and its pictures; no dataclass, or Prefect would look through all of it."""

    def __init__(self, data: Layout, last: date, days: int) -> None:
        from tasks.lib.scores import page  # it loads Matplotlib

        self.history: History = history.read(data.reports, last, days)
        scored = any(day.dumps for day in self.history.days)
        self.pictures: Sequence[page.Picture] = page.pictures(self.history, _expected(data.models)) if scored else []
        self.sentences = page.sentences(self.history)


@task(name="overview", task_run_name="overview of {days} days", persist_result=False)
def draw_overview(data_dir: Path, days: int) -> Overview:
    """Reads the reports of the last days and draws them."""
    return Overview(Layout(data_dir), clock.today(), days)


def write_page(overview: Overview, data: Layout) -> Path:
    """Writes the page in place of the one before; returns its path."""
    from tasks.lib.scores import page

    content = page.html(overview.history, overview.pictures, clock.now())
    files.write(data.overview, content)
    for words in overview.sentences:
        log.info("%s", words)
    log.info("Page: %s (%d kB)", data.overview, len(content) / 1000)
    return data.overview


def publish_overview(overview: Overview, path: Path) -> None:
    """Shows the same in the UI."""
    lines = [f"# Scoring: {len(overview.history.days):,} days", *overview.sentences]
    for picture in overview.pictures:
        lines += [f"## {picture.heading}", picture.words, progress.embedded(picture.heading, picture.png)]
    lines.append(f"Page: `{path.name}` in `reports`")
    markdown = "\n\n".join(lines)
    progress.send(create_markdown_artifact, key="overview", markdown=markdown, description=overview.sentences[0])


def _expected(models: Path) -> float | None:
    """The share of positives among the validation reviews of the current model, if it is known."""
    model_id = releases.current_or_none(models)
    try:
        reference = bundles.read_reference(models, model_id) if model_id else None
    except errors.ModelError:  # scoring says what is wrong with it
        return None
    return None if reference is None else reference.positive_share
