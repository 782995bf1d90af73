"""Stage 1 of scoring: which review dumps are new to the model."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from prefect import task

from tasks.lib import errors, files, urls
from tasks.lib.config import Place, ScoreConfig
from tasks.lib.layout import CLONE, Layout
from tasks.lib.scores import inbox, quarantine
from tasks.lib.scores.inbox import Dump, Looked
from tasks.lib.stores import Store
from tasks.running import environment
from tasks.running.buckets import open_store
from tasks.scoring.run import ScoringRun

log = logging.getLogger(environment.LOGGER)

SHOWN: tuple[inbox.Status, ...] = ("new", "scored", "same content")
OTHERS: dict[inbox.Status, str] = {"too new": "too new", "not a dump": "not dumps", "unreadable": "unreadable"}


class Dumps:
    """What was found: the dumps to score, the objects of buckets to read first, and those that are to be exported.

    With `identified`, objects are scored where they are, too. Those that have their table can be a year's: they are
    counted, and kept only for `--csv`.
    """

    def __init__(self, found: Iterable[Dump], looked: Looked, *, identified: bool = False) -> None:
        self.looked = looked
        self.new: list[Dump] = []
        self.remote: list[Dump] = []
        self.scored: list[Dump] = []
        self.counts: Counter[inbox.Status] = Counter()
        for dump in found:
            self.counts[dump.status] += 1
            if dump.status == "new":
                (self.new if identified or not urls.is_url(dump.path) else self.remote).append(dump)
            elif dump.status == "scored" and looked.config.csv:
                self.scored.append(dump)


@task(name="find", task_run_name="find new dumps", persist_result=False)
def find_dumps(run: ScoringRun, paths: Sequence[Place] | None) -> Dumps:
    """Looks at every file in the paths, or in the inbox. Reads those that are new or have changed.

    Objects of buckets are listed, and read when it is their turn.
    """
    found, looked = _look(run, paths)
    dumps = Dumps(found, looked)
    shown = [f"{dumps.counts[status]:,} {status}" for status in SHOWN]
    shown += [f"{dumps.counts[status]:,} {words}" for status, words in OTHERS.items() if dumps.counts[status]]
    log.info("model %s: %s", run.model_id, ", ".join(shown))
    _warn(run, dumps)
    return dumps


def describe_dumps(run: ScoringRun, paths: Sequence[Place]) -> None:
    """Says of every file what a run would do with it, and why."""
    log.info("Model: %s", run.model_id)
    found = list(_look(run, paths)[0])
    for report in run.reports:
        log.info("%-14s %s", report.status, report.reason)
    for dump in found:
        if dump.status != "unreadable":
            log.info("%-14s %s%s", dump.status, dump.name, f" ({dump.reason})" if dump.reason else "")


def _look(run: ScoringRun, paths: Sequence[Place] | None) -> tuple[Iterator[Dump], Looked]:
    """Every file in the paths or the inbox; what cannot be read is entered into the run as failed."""
    places, failed = _places(run.data, paths, run.options)
    for name, reason in failed.items():
        run.fail(name, reason)
    looked = Looked(run.ledger, run.standing, run.options, run.model_id)
    return _failing(run, inbox.find(places, looked)), looked


def _failing(run: ScoringRun, found: Iterator[Dump]) -> Iterator[Dump]:
    for dump in found:
        if dump.status == "unreadable":
            run.fail(dump.name, f"{dump.name}: {dump.reason}")
        yield dump


def _places(
    data: Layout, paths: Sequence[Place] | None, options: ScoreConfig
) -> tuple[Sequence[Path | Store], dict[str, str]]:
    """The files and folders to look at: the named ones, or the inbox, which is made if it is missing.

    With `requeue`, the dumps of what is in quarantine instead, and the tables that give none, with the reason.
    """
    if options.requeue:
        if paths:
            raise errors.InputError("--requeue scores what is in quarantine: name no files beside it.")
        return quarantine.exported(data.quarantine, options.encoding)
    if paths:
        return [_place(path) for path in paths], {}
    if options.inbox and urls.is_url(options.inbox):
        return [_place(f"{options.inbox}/")], {}  # one that is empty is no mistake
    folder = CLONE / options.inbox if options.inbox else data.inbox
    files.make_folder(folder)
    return [folder], {}


def _place(path: Place) -> Path | Store:
    return open_store(str(path)) if urls.is_url(path) else Path(path)


def _warn(run: ScoringRun, found: Dumps) -> None:
    """One line for each table that is damaged, whether its dump is at hand to make it again or not."""
    again = set()
    for dump in [*found.new, *found.remote]:
        if dump.reason:
            log.warning("%s: %s", dump.name, dump.reason)
            again |= {dump.table, dump.replaces}
    for path, reason in sorted(run.standing.reasons.items()):
        if path not in again:
            log.warning("%s: %s. Score its dump again, or delete the table.", path, reason)
