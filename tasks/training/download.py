"""Stage 1 of training: the corpus and its word index, in data/raw."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

from prefect import task

from tasks.lib import errors, files
from tasks.lib.corpus import sources
from tasks.lib.corpus.sources import Source
from tasks.lib.layout import Layout
from tasks.running import environment
from tasks.training.artifacts import Corpus
from tasks.training.caching import MadeFrom

log = logging.getLogger(environment.LOGGER)


def _worth_another_try(task: Any, task_run: Any, state: Any) -> bool:
    """A connection that broke may go better next time; a wrong file or a full disk does not."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, errors.DownloadError) and error.passing


@task(
    name="download",
    task_run_name="download {corpus}",
    cache_policy=MadeFrom(),
    retries=2,
    retry_delay_seconds=[2, 5],
    retry_jitter_factor=0.5,
    retry_condition_fn=_worth_another_try,
)
def download_corpus(archive: Source, word_index: Source, corpus: str, data_dir: Path) -> Corpus:
    """Fetches the archive and the word index into data/raw, unless they are there already."""
    data = Layout(data_dir)
    paths = [sources.fetch(source, data.raw, progress=sys.stderr.isatty()) for source in (archive, word_index)]
    made = {data.relative(path): files.sha256(path) for path in paths}
    for path in paths:
        log.info("%s: %.1f MB", path, path.stat().st_size / 1e6)
    names = list(made)
    return Corpus(
        identity=files.digest(corpus, *made.values()),
        made_files=made,
        corpus=corpus,
        archive=names[0],
        word_index=names[1],
    )
