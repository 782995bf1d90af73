"""Verify published score tables: their checksums, their counts, and a sample of their rows scored again."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # `python flows/verify.py` puts only flows/ there

from tasks.running import environment, temporary_server

environment.prepare(command_line=__name__ == "__main__")
if __name__ == "__main__":
    environment.postpone_garbage_collection()
    temporary_server.start()  # it comes up while Prefect is imported

from cyclopts import App, Parameter
from prefect import flow
from prefect.runtime import flow_run

from tasks.lib.config import VerifyConfig
from tasks.lib.layout import CLONE, Layout
from tasks.running import command_line, events
from tasks.scoring.verify import find_tables, report_tables, verify_tables


def _run_name() -> str:
    part = flow_run.parameters["options"].part
    return f"verify part {part} of the tables" if part else "verify tables"


@flow(
    name="verify",
    flow_run_name=_run_name,
    timeout_seconds=12 * 3600,
    on_failure=[events.explain_failure],
    on_crashed=[events.explain_failure],
)
def verify(
    tables: list[Path] | None = None, options: VerifyConfig = VerifyConfig(), data_dir: Path = Path("data")
) -> None:
    """Published tables -> what each says twice compared, and rows scored again. Fails at the end if one does not hold.

    Args:
        tables: Score tables, or folders of them, as seen from the clone; default: all.
        data_dir: Folder for all data.
    """
    data = Layout((CLONE / data_dir).resolve())
    due = flow_run.scheduled_start_time.date()  # a run that is late has the part of its own day
    found = find_tables(data, tables, options, due)
    report_tables([verify_tables(each, options, data.root) for each in found])


app = App(name="verify.py", help=__doc__, version_flags=[], help_format="plaintext")


@app.default
def main(
    *tables: Annotated[Path, Parameter(help="Score tables, or folders of them; default: all in data/scores.")],
    options: Annotated[VerifyConfig, Parameter(name="*")] = VerifyConfig(),
    data_dir: command_line.DataDir = command_line.DEFAULT_DATA,
) -> None:
    """Verify published score tables."""
    with temporary_server.running():
        verify([path.resolve() for path in tables] or None, options, data_dir.resolve())


if __name__ == "__main__":
    command_line.run(app)
