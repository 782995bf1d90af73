"""Stage 4 of training: how good the network is on the test reviews."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
from prefect import task

from tasks.lib import errors, files, tokens
from tasks.lib.corpus import imdb, shards
from tasks.lib.layout import Layout
from tasks.lib.models import predictions, slices
from tasks.lib.models.predictions import Predictions
from tasks.lib.network.forward import Scorer
from tasks.running import environment
from tasks.training.artifacts import Corpus, Evaluation, Fitted, Shards
from tasks.training.caching import MadeFrom

log = logging.getLogger(environment.LOGGER)

THRESHOLD = 0.5
BATCH_SIZE = 1024
TOLERANCE = 0.01  # between Keras, on a GPU in TF32, and the scorer: rounding alone stays below it


@task(
    name="evaluate",
    task_run_name="evaluate {fitted.model}",
    cache_policy=MadeFrom(libraries=("numpy", "pyarrow", "scipy", "scikit-learn", "keras", "tensorflow")),
)
def evaluate_network(labelled: Corpus, prepared: Shards, fitted: Fitted, data_dir: Path) -> Evaluation:
    """Scores the test reviews with the code that scores new ones, and measures the result.

    Keras scores them too, on the device of the training: a model whose scores differ is an error.
    """
    with environment.quiet_import():
        from tasks.lib.corpus import dataset
        from tasks.lib.network import model
    from tasks.lib.network import metrics  # scikit-learn takes a second to load

    scorer = Scorer(data_dir / fitted.model)
    folder = data_dir / prepared.folder
    blocks = [
        (scorer(ids), labels) for ids, labels in shards.read_row_groups(shards.row_groups(shards.paths(folder, "test")))
    ]
    probabilities = np.concatenate([block for block, _ in blocks])
    labels = np.concatenate([block for _, block in blocks])
    model.choose_device(fitted.config.device)
    expected = model.predict(model.load(data_dir / fitted.model), dataset.batches(folder, "test", BATCH_SIZE))
    if (difference := float(np.abs(probabilities - expected).max())) > TOLERANCE:
        raise errors.ModelError(
            f"{fitted.model}: Keras and the scorer differ by {difference:.4f}, at most {TOLERANCE} was expected. "
            "The model is not released; please report it with its configuration."
        )
    measured = metrics.evaluate(labels, probabilities, THRESHOLD) | {"keras_difference": difference}
    log.info("test accuracy %.2f%%, loss %.4f", 100 * measured["accuracy"], measured["loss"])
    curves = metrics.curves(labels, probabilities)
    _, test = imdb.load(data_dir / labelled.archive)
    word_index = tokens.read_word_index(data_dir / labelled.word_index)
    facts = slices.facts(test.ranks, word_index, prepared.config.num_words)
    identity = files.digest(measured, curves, files.arrays_digest([labels, probabilities, *facts]))
    data = Layout(data_dir)
    path = data.work / f"predictions-{identity[:16]}.parquet"
    with files.new_file(path) as temporary:
        predictions.write(temporary, Predictions(labels, probabilities, facts))
    return Evaluation(
        identity=identity,
        made_files={data.relative(path): files.sha256(path)},
        predictions=data.relative(path),
        metrics=measured,
        curves=curves,
    )
