"""Beside stage 4 of training: how good a linear model on n-grams is."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from prefect import task

from tasks.lib import files
from tasks.lib.config import SplitConfig
from tasks.lib.corpus import imdb, shards
from tasks.running import environment
from tasks.training.artifacts import Baseline, Corpus
from tasks.training.caching import MadeFrom

log = logging.getLogger(environment.LOGGER)


@task(
    name="baseline",
    task_run_name="baseline on {labelled.corpus}",
    cache_policy=MadeFrom(libraries=("numpy", "scipy", "scikit-learn")),
)
def evaluate_baseline(labelled: Corpus, config: SplitConfig, data_dir: Path) -> Baseline:
    """Fits the n-gram baseline and measures it on the test reviews.

    It learns from the reviews that the network is fitted to, without those kept for validation, but reads them whole
    and with all words.
    """
    from tasks.lib.network import ngrams  # scikit-learn takes a second to load

    started = time.perf_counter()
    splits = shards.splits(*imdb.load(data_dir / labelled.archive), config.validation_split)
    train, test = splits["train"], splits["test"]
    accuracy = ngrams.fit(train.ranks, train.labels).accuracy(test.ranks, test.labels)
    log.info("n-grams: test accuracy %.2f%%", 100 * accuracy)
    return Baseline(identity=files.digest(accuracy), accuracy=accuracy, seconds=time.perf_counter() - started)
