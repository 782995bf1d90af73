"""Score new review dumps with the current model."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # `python flows/score.py` puts only flows/ there

from tasks.running import environment, temporary_server

environment.prepare(command_line=__name__ in {"__main__", "__mp_main__"})  # the latter: a worker of --runner dask
if __name__ == "__main__":
    environment.postpone_garbage_collection()
    temporary_server.start()  # it comes up while Prefect is imported

import logging
from collections.abc import Generator
from contextlib import closing

from cyclopts import App, Parameter
from prefect import flow
from prefect.runtime import flow_run

from tasks.lib import errors, files
from tasks.lib.config import RunnerConfig, ScoreConfig
from tasks.lib.layout import CLONE, Layout
from tasks.lib.models import releases
from tasks.lib.scores import inbox, quarantine
from tasks.lib.scores.inbox import FileReport
from tasks.running import command_line, events, locks, progress
from tasks.scoring.find import find_dumps
from tasks.scoring.predict import export_dump, open_model, score_dump, sweep
from tasks.scoring.report import count_files, merged, report_scoring, unreported, write_report

log = logging.getLogger(environment.LOGGER)


def _run_name() -> str:
    parameters = flow_run.parameters
    names = [Path(path).name for path in parameters["paths"] or ["the inbox"]]
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
    paths: list[Path] | None = None,
    options: ScoreConfig = ScoreConfig(),
    runner: RunnerConfig = RunnerConfig(),
    data_dir: Path = Path("data"),
) -> None:
    """New dumps -> a score table and a quarantine table for each -> report. Fails at the end if a file failed.

    With `csv`, every dump that has its table gets its export, those scored before included.

    Args:
        paths: Review dumps, or folders of them, as seen from the clone; default: data/inbox.
        data_dir: Folder for everything that is read and made.
    """
    data = Layout((CLONE / data_dir).resolve())
    open_model.cache_clear()
    model_id = which_model(data, options)
    options = options.model_copy(update={"model": model_id})  # a training may release another one meanwhile
    sweep(data)
    places, failed = where(data, paths, options)
    dumps = find_dumps(places, options, data.root)
    new = [dump for dump in dumps if dump.status == "new"]
    reports = [FileReport(file=name, status="failed", model_id=model_id, reason=why) for name, why in failed.items()]
    reports += [FileReport.of(dump, model_id, dump.reason) for dump in dumps if dump.status == "unreadable"]
    late = unreported(dumps, model_id, data)
    with locks.shared(data.locks / locks.model(model_id)):  # till all is reported: then no other run does that
        if new:
            open_model(data.models, model_id)  # a damaged model ends the run before the first row
            reports += score_all(new, model_id, options, runner, data.root)
        reports += merged(late, export_others(dumps, model_id, data.root) if options.csv else [])
        if not reports:
            log.info("Nothing to do.")
            return
        written = write_report(reports, data.root)
    summarize(reports, written)
    report_scoring(reports, written)
    if found := problems(reports, options):
        raise errors.PipelineError(f"{len(found)} of {len(reports)} files failed:\n  " + "\n  ".join(found))


def score_all(
    dumps: list[inbox.Dump], model_id: str, options: ScoreConfig, runner: RunnerConfig, data_dir: Path
) -> list[FileReport]:
    """The report of each dump; what another run is at comes last: it may be killed."""
    bar = progress.Progress("score-progress", count_files(len(dumps)))
    made = []
    with closing(one_by_one(dumps, model_id, options, runner, data_dir)) as reports:
        for number, dump in enumerate(dumps):
            bar.show(100 * number / len(dumps), dump.name)
            made.append(next(reports))
    again = [
        score_one(dump, model_id, options, data_dir, wait=True) if report.status == "busy" else report
        for dump, report in zip(dumps, made, strict=True)
    ]
    bar.show(100)
    return again


def one_by_one(
    dumps: list[inbox.Dump], model_id: str, options: ScoreConfig, runner: RunnerConfig, data_dir: Path
) -> Generator[FileReport, None, None]:
    """The report of each dump as it is scored, here or on a cluster."""
    if runner.runner == "dask":
        from tasks.scoring import cluster  # it loads Dask

        yield from cluster.score(dumps, model_id, options, data_dir, runner)
    else:
        for dump in dumps:
            yield score_one(dump, model_id, options, data_dir)


def score_one(
    dump: inbox.Dump, model_id: str, options: ScoreConfig, data_dir: Path, *, wait: bool = False
) -> FileReport:
    """The report of one dump; a dump that fails does not keep the others from being scored."""
    state = score_dump(dump, model_id, options, data_dir, wait, return_state=True)
    return FileReport.of(dump, model_id, state.result(raise_on_failure=False))


def export_others(dumps: list[inbox.Dump], model_id: str, data_dir: Path) -> list[FileReport]:
    """The reports of the dumps that were scored before and lacked their CSV, one that fails included."""
    scored = [(dump, dump.table) for dump in dumps if dump.status == "scored" and dump.table]
    states = [(dump, export_dump(dump, table, data_dir, return_state=True)) for dump, table in scored]
    results = [(dump, state.result(raise_on_failure=False)) for dump, state in states]
    return [FileReport.of(dump, model_id, result) for dump, result in results if result is not None]


def which_model(data: Layout, options: ScoreConfig) -> str:
    """The id of the model to score with: the named one, or the current one."""
    return options.model or releases.current_id(data.models)


def where(data: Layout, paths: list[Path] | None, options: ScoreConfig) -> tuple[list[Path], dict[str, str]]:
    """The files and folders to look at: the named ones, or the inbox, which is made if it is missing.

    With `requeue`, the dumps of what lies in quarantine instead, and the tables that give none, with the reason.
    """
    if options.requeue:
        if paths:
            raise errors.InputError("--requeue scores what lies in quarantine: name no files beside it.")
        with locks.waiting(data.locks / locks.REQUEUE):
            return quarantine.exported(data.quarantine, options.encoding)
    if paths:
        return paths, {}
    files.make_folder(data.inbox)
    return [data.inbox], {}


def problems(reports: list[FileReport], options: ScoreConfig) -> list[str]:
    """One line for each file that failed, or of which too many rows were quarantined."""
    found = []
    for report in reports:
        share = report.rows_quarantined / report.rows if report.rows else 0.0
        if report.status == "failed":
            found.append(report.reason)
        elif share > options.max_quarantine:
            found.append(
                f"{report.file}: {report.rows_quarantined:,} of {report.rows:,} rows quarantined ({share:.1%}), more "
                f"than --max-quarantine {options.max_quarantine:.1%}. Its tables were kept: see {report.quarantine}."
            )
    return found


def summarize(reports: list[FileReport], report: Path) -> None:
    """Logs one line for each reason of quarantine, and where the tables and the report are."""
    for entry in reports:
        for reason, count in sorted(entry.quarantined.items()):
            log.info("  %s: %s rows quarantined as %s", entry.file, f"{count:,}", reason)
        if entry.table:
            share = entry.positive / entry.scored if entry.scored else 0.0
            log.info("  %s: %.1f%% positive -> %s", entry.file, 100 * share, entry.table)
        if entry.csv:
            log.info("  %s: exported -> %s", entry.file, entry.csv)
    log.info("Report: %s, histogram: %s", report, report.with_suffix(".png").name)


app = App(name="score.py", help=__doc__, version_flags=[], help_format="plaintext")


@app.default
def main(
    *paths: Annotated[Path, Parameter(help="Review dumps, or folders of them; default: data/inbox.")],
    options: Annotated[ScoreConfig, Parameter(name="*")] = ScoreConfig(),
    runner: Annotated[RunnerConfig, Parameter(name="*")] = RunnerConfig(),
    data_dir: command_line.DataDir = command_line.DEFAULT_DATA,
    dry_run: Annotated[
        bool,
        Parameter(negative="", help="Say what would be scored, and why the rest would not; score nothing."),
    ] = False,
) -> None:
    """Score new review dumps with the current model."""
    if not dry_run:
        with temporary_server.running("tasks.lib.figures"):
            score([path.resolve() for path in paths] or None, options, runner, data_dir.resolve())
        return
    data = Layout(data_dir.resolve())
    model_id = which_model(data, options)
    log.info("Model: %s", model_id)
    places, failed = where(data, list(paths), options)
    for name, why in failed.items():
        log.info("%-14s %s (%s)", "failed", name, why)
    for dump in inbox.find(places, data.scores, model_id, options):
        log.info("%-14s %s%s", dump.status, dump.name, f" ({dump.reason})" if dump.reason else "")


if __name__ == "__main__":
    command_line.run(app)
