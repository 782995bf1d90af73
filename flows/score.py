"""Score new review dumps with the current model."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # `python flows/score.py` puts only flows/ there

from tasks.running import environment, temporary_server

environment.prepare(command_line=__name__ in {"__main__", "__mp_main__"})  # the latter: a worker of --runner dask
if __name__ == "__main__":
    environment.postpone_garbage_collection()
    temporary_server.start()  # it comes up while Prefect is imported

from cyclopts import App, Parameter
from prefect import flow
from prefect.runtime import flow_run

from tasks.lib import urls
from tasks.lib.config import Place, RunnerConfig, ScoreConfig
from tasks.running import command_line, events
from tasks.scoring.batches import score_dumps, scorers
from tasks.scoring.export import export_tables
from tasks.scoring.fetch import fetch_dumps
from tasks.scoring.find import describe_dumps, find_dumps
from tasks.scoring.preview import preview_scores
from tasks.scoring.report import fail_on, publish_report, write_report
from tasks.scoring.run import scoring_run


def _run_name() -> str:
    parameters = flow_run.parameters
    names = [Path(urls.masked(str(path))).name for path in parameters["paths"] or ["the inbox"]]
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    model = parameters["options"].model
    return f"score {names[0]}{more}" + (f" with {model}" if model else "")


@flow(
    name="score",
    flow_run_name=_run_name,
    timeout_seconds=12 * 3600,
    on_failure=[events.explain_failure],
    on_crashed=[events.explain_failure],
)
def score(
    paths: Sequence[Place] | None = None,
    options: ScoreConfig = ScoreConfig(),
    runner: RunnerConfig = RunnerConfig(),
    data_dir: Path = Path("data"),
) -> None:
    """New dumps -> a score table and a quarantine table for each -> report. Fails at the end if a file failed.

    With `csv`, every dump that has its table gets its export, those scored before included.

    Args:
        paths: Review dumps, or folders of them, as seen from the clone, or their URLs; default: the inbox.
        data_dir: Folder for all data.
    """
    with scoring_run(data_dir, options) as run:
        dumps = find_dumps(run, paths)
        with scorers(run, dumps, runner) as cluster:
            for some in fetch_dumps(run, dumps, cluster):
                score_dumps(run, some.new, cluster)
                export_tables(run, some)
        report = write_report(run)
    if report:
        publish_report(report)
        fail_on(report)


app = App(name="score.py", help=__doc__, version_flags=[], help_format="plaintext")


@app.default
def main(
    *paths: Annotated[Place, Parameter(help="Review dumps, or folders of them, or their URLs; default: the inbox.")],
    options: Annotated[ScoreConfig, Parameter(name="*")] = ScoreConfig(),
    runner: Annotated[RunnerConfig, Parameter(name="*")] = RunnerConfig(),
    data_dir: command_line.DataDir = command_line.DEFAULT_DATA,
    dry_run: Annotated[
        bool,
        Parameter(negative="", help="Say what would be scored, and why the rest would not; score nothing."),
    ] = False,
    preview: Annotated[
        str | None,
        Parameter(help="Id of a model: say how scores would move with it, from the tables or dumps; write nothing."),
    ] = None,
) -> None:
    """Score new review dumps with the current model."""
    places = [command_line.place(path) for path in paths]
    named = {"inbox": options.inbox, "output": options.output}
    options = options.model_copy(update={name: place and command_line.place(place) for name, place in named.items()})
    if preview:
        preview_scores(data_dir.resolve(), options, preview, places)
    elif not dry_run:
        with temporary_server.running("tasks.lib.figures", "tasks.lib.scores.drift"):
            score(places or None, options, runner, data_dir.resolve())
    else:
        with scoring_run(data_dir.resolve(), options) as run:
            describe_dumps(run, places)


if __name__ == "__main__":
    command_line.run(app)
