"""Ask for labels: write scored rows to a file in data/labels, for somebody to say which are positive."""

from __future__ import annotations

import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # `python flows/label.py` puts only flows/ there

from tasks.running import environment

environment.prepare(command_line=__name__ == "__main__")

import logging

import numpy as np
from cyclopts import App, Parameter

from tasks.lib import clock, errors
from tasks.lib.config import AskConfig
from tasks.lib.labels import answers, asked, sample
from tasks.lib.layout import Layout
from tasks.lib.models import releases
from tasks.lib.network import words
from tasks.lib.scores import reports
from tasks.running import command_line, locks

log = logging.getLogger(environment.LOGGER)

app = App(name="label.py", help=__doc__, version_flags=[], help_format="plaintext")


@app.default
def main(
    *,
    options: Annotated[AskConfig, Parameter(name="*")] = AskConfig(),
    data_dir: command_line.DataDir = command_line.DEFAULT_DATA,
) -> None:
    """Ask for labels: write scored rows to a file in data/labels, for somebody to say which are positive."""
    data = Layout(data_dir.resolve())
    now = clock.now()
    with locks.waiting(data.locks / locks.LABELS):
        tables = _tables(data, now - timedelta(days=options.days))
        if not tables:
            raise errors.InputError(
                f"{data.scores}: no score table of the last {options.days:g} days. Score reviews with `python "
                "flows/score.py`, or name more days with --days."
            )
        row_ids, reviews = _known(data)
        drawn = sample.draw(tables, options.rows, np.random.default_rng(), row_ids, reviews)
        if not drawn.rows:
            log.info("Nothing to ask for: the %s tables have no review that was not asked for before.", len(tables))
            return
        path = asked.write(data.labels, now.date(), drawn.rows, drawn.again)
    count = f"{len(drawn.rows):,}"
    log.info("%s: %s rows to label. Write positive or negative into the column label.", path, count)


def _tables(data: Layout, moment: datetime) -> list[Path]:
    """The tables that were made since then, one of each dump, that of the current model if there is one."""
    recent = [path for path in reports.scored_since(data.reports, moment) if (data.root / path).is_file()]
    return [data.root / path for path in sample.one_of_each(recent, releases.current_or_none(data.models))]


def _known(data: Layout) -> tuple[set[str], set[str]]:
    """The row ids, and the identities of the reviews, that were asked for or are labelled."""
    row_ids, reviews = asked.row_ids(data.labels), set()
    for name, advice in answers.refused(data.labels).items():
        log.warning("%s: its labels are left out: %s", name, advice)
    for path in answers.paths(data.labels):
        try:
            for row_id, review in answers.texts(path):
                row_ids.add(row_id)
                reviews.add(words.identity(review))
        except errors.InputError as error:
            log.warning("%s Its reviews may be asked for again.", error)
    return row_ids, reviews


if __name__ == "__main__":
    command_line.run(app)
