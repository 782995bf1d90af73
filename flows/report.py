"""Draw the last days of scoring on one page: how much, how positive, how well known, how much drift."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # `python flows/report.py` puts only flows/ there

from tasks.running import environment, temporary_server

environment.prepare(command_line=__name__ == "__main__")
if __name__ == "__main__":
    environment.postpone_garbage_collection()
    temporary_server.start()  # it comes up while Prefect is imported

from cyclopts import App, Parameter
from prefect import flow

from tasks.lib.config import ReportConfig
from tasks.lib.layout import CLONE, Layout
from tasks.running import command_line, events
from tasks.scoring.overview import draw_overview, publish_overview, write_page


@flow(
    name="report",
    flow_run_name="report of {options.days} days",
    timeout_seconds=3600,
    on_failure=[events.explain_failure],
    on_crashed=[events.explain_failure],
)
def report(options: ReportConfig = ReportConfig(), data_dir: Path = Path("data")) -> None:
    """Reports of scoring runs -> one page of HTML, and the same in the UI.

    Args:
        data_dir: Folder for all data.
    """
    data = Layout((CLONE / data_dir).resolve())
    overview = draw_overview(data.root, options.days)
    path = write_page(overview, data)
    publish_overview(overview, path)


app = App(name="report.py", help=__doc__, version_flags=[], help_format="plaintext")


@app.default
def main(
    *,
    options: Annotated[ReportConfig, Parameter(name="*")] = ReportConfig(),
    data_dir: command_line.DataDir = command_line.DEFAULT_DATA,
) -> None:
    """Draw the last days of scoring on one page: how much, how positive, how well known, how much drift."""
    with temporary_server.running("tasks.lib.figures"):
        report(options, data_dir.resolve())


if __name__ == "__main__":
    command_line.run(app)
