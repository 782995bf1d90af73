"""Before stage 1 of training: which files of labels there are, in the data folder and in a bucket.

Apart from the step that reads them: what opens a bucket changes nothing that a model is made of.
"""

from __future__ import annotations

import logging

from tasks.lib import errors, urls
from tasks.lib.config import CorpusConfig
from tasks.lib.labels import answers, copies
from tasks.lib.labels.answers import LabelFiles
from tasks.lib.layout import Layout
from tasks.running import environment, locks
from tasks.running.buckets import open_store

log = logging.getLogger(environment.LOGGER)


def find_labels(data: Layout, config: CorpusConfig) -> LabelFiles | None:
    """The files of labels as they are now, in the data folder and, copied, in the bucket that `labels` names.

    Warns of files that are likely to hold labels in a form that is not read.
    """
    for name, advice in answers.refused(data.labels).items():
        log.warning("%s: its labels are left out: %s", name, advice)
    if config.labels is None:
        return answers.find(data.labels, config.review_column)
    if not urls.is_url(config.labels):
        raise errors.InputError(
            f"--labels {config.labels}: expected the URL of a folder in a bucket. Files of labels on the disk count if "
            f"they lie in {data.labels}."
        )
    store = open_store(f"{config.labels.rstrip('/')}/")
    with locks.waiting(data.locks / locks.LABELS):
        fetched = copies.fetch(store, data.labels)
    return answers.find(data.labels, config.review_column, fetched)
