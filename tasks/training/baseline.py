"""Beside stage 4 of training: how good a bag of words is on the same token ids."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from prefect import task

from tasks.lib import files
from tasks.lib.corpus import shards
from tasks.running import environment
from tasks.training.artifacts import Baseline, Shards
from tasks.training.caching import MadeFrom

log = logging.getLogger(environment.LOGGER)


@task(
    name="baseline",
    task_run_name="baseline on {prepared.folder}",
    cache_policy=MadeFrom(libraries=("numpy", "scipy", "scikit-learn")),
)
def evaluate_baseline(prepared: Shards, data_dir: Path) -> Baseline:
    """Fits a bag of words with logistic regression to the same ids and measures it on the same test reviews."""
    from tasks.lib.network import metrics

    started = time.perf_counter()
    folder = data_dir / prepared.folder
    train, test = (
        shards.read_row_groups(shards.row_groups(shards.paths(folder, split))) for split in ("train", "test")
    )
    accuracy = metrics.baseline_accuracy(train, test, prepared.config.num_words)
    log.info("bag of words: test accuracy %.2f%%", 100 * accuracy)
    return Baseline(identity=files.digest(accuracy), accuracy=accuracy, seconds=time.perf_counter() - started)
