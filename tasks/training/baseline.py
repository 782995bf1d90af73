"""Beside stage 3 of training: a linear model on n-grams, and how good it is."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import numpy as np
from prefect import task

from tasks.lib import files
from tasks.lib.config import SplitConfig
from tasks.lib.corpus import reviews
from tasks.lib.layout import Layout
from tasks.running import environment
from tasks.training.artifacts import Baseline, Corpus, Labels
from tasks.training.caching import MadeFrom

VOCABULARY = "ngrams.npz"
WEIGHTS = "weights.npy"  # the intercept first
log = logging.getLogger(environment.LOGGER)


@task(
    name="baseline",
    task_run_name="baseline on {labelled.corpus}",
    cache_policy=MadeFrom(libraries=("numpy", "scipy", "scikit-learn")),
)
def evaluate_baseline(labelled: Corpus, labels: Labels | None, config: SplitConfig, data_dir: Path) -> Baseline:
    """Fits the n-gram baseline and measures it on the test reviews.

    It learns from the reviews that the network is fitted to, without those kept for validation, but reads them whole
    and with all words.
    """
    from tasks.lib.network import ngrams, regression  # scikit-learn takes a second to load

    started = time.perf_counter()
    data = Layout(data_dir)
    own_labels = data_dir / labels.path if labels else None
    splits = reviews.splits(labelled.corpus, data_dir / labelled.archive, config.validation_split, own_labels)
    train, test = splits["train"], splits["test"]
    fitted = regression.fit(train.ranks, train.labels, train.weights)
    accuracy = fitted.accuracy(test.ranks, test.labels)
    log.info("n-grams: test accuracy %.2f%%", 100 * accuracy)
    identity = files.digest(accuracy, files.arrays_digest([*fitted.vocabulary.keys, fitted.weights]), fitted.intercept)
    folder = data.work / f"baseline-{identity[:16]}"
    with files.new_folder(folder) as temporary:
        ngrams.save(temporary / VOCABULARY, fitted.vocabulary)
        np.save(temporary / WEIGHTS, np.append(fitted.intercept, fitted.weights))
    return Baseline(
        identity=identity,
        made_files={data.relative(folder / name): files.sha256(folder / name) for name in (VOCABULARY, WEIGHTS)},
        vocabulary=data.relative(folder / VOCABULARY),
        weights=data.relative(folder / WEIGHTS),
        accuracy=accuracy,
        seconds=time.perf_counter() - started,
    )
