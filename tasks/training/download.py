"""Stage 1 of training: the corpus and its word index, in data/raw."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

from prefect import task

from tasks.lib import errors, files
from tasks.lib.corpus.sources import Sources, fetch
from tasks.lib.layout import Layout
from tasks.running import environment
from tasks.training.artifacts import Corpus
from tasks.training.caching import MadeFrom

log = logging.getLogger(environment.LOGGER)


def _is_retryable(task: Any, task_run: Any, state: Any) -> bool:
    """Whether another try may succeed: after a connection that broke, not after a wrong file or on a full disk."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, errors.DownloadError) and error.retryable


@task(
    name="download",
    task_run_name="download {sources.corpus}",
    cache_policy=MadeFrom(),
    retries=2,
    retry_delay_seconds=[2, 5],
    retry_jitter_factor=0.5,
    retry_condition_fn=_is_retryable,
)
def download_corpus(sources: Sources, data_dir: Path) -> Corpus:
    """Fetches the archive and the word index into data/raw, unless they are there already."""
    data = Layout(data_dir)
    paths = [fetch(source, data.raw, progress=sys.stderr.isatty()) for source in (sources.archive, sources.word_index)]
    for path in paths:
        log.info("%s: %.1f MB", path, path.stat().st_size / 1e6)
    archive, word_index = map(data.relative, paths)
    made = {archive: files.sha256(paths[0]), word_index: files.sha256(paths[1])}
    return Corpus(
        identity=files.digest(sources.corpus, *made.values()),
        made_files=made,
        corpus=sources.corpus,
        archive=archive,
        word_index=word_index,
    )
