"""Stage 5 of training: how good the network is on the test reviews."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from prefect import task

from tasks.lib import errors, files, tokens
from tasks.lib.corpus import imdb, shards
from tasks.lib.layout import Layout
from tasks.lib.models import predictions, slices
from tasks.lib.models.predictions import Predictions
from tasks.lib.network import ngrams
from tasks.lib.network.forward import Scorer
from tasks.lib.network.ngrams import Ranks
from tasks.lib.tokens import Ids
from tasks.running import environment
from tasks.training.artifacts import Calibrated, Corpus, Evaluation, Fitted, Shards
from tasks.training.caching import MadeFrom

Probabilities = npt.NDArray[np.float32]

log = logging.getLogger(environment.LOGGER)

THRESHOLD = 0.5
BLOCK_ROWS = 5000
SHORT_WORDS = 20  # many users have a sentence, not a page
TOLERANCE = 0.01  # between Keras, on a GPU in TF32, and the scorer: rounding alone stays below it


@task(
    name="evaluate",
    task_run_name="evaluate {calibrated.model}",
    cache_policy=MadeFrom(libraries=("numpy", "pyarrow", "scipy", "scikit-learn", "keras", "tensorflow")),
)
def evaluate_network(
    labelled: Corpus, prepared: Shards, fitted: Fitted, calibrated: Calibrated, data_dir: Path
) -> Evaluation:
    """Scores the test reviews with the code that scores new ones, and measures the result.

    Keras scores them too, on the device of the training: a model whose scores differ is an error.
    """
    with environment.quiet_import():
        from tasks.lib.network import model
    from tasks.lib.network import metrics  # scikit-learn takes a second to load

    data = Layout(data_dir)
    blocks = list(shards.read_row_groups(shards.row_groups(shards.paths(data_dir / prepared.folder, "test"))))
    ids, labels = (np.concatenate(part) for part in zip(*blocks, strict=True))
    ranks = imdb.load(data_dir / labelled.archive)[1].ranks
    vocabulary = ngrams.load(data_dir / calibrated.ngrams) if calibrated.ngrams else None
    scorer = Scorer(data_dir / calibrated.model)
    model.choose_device(fitted.config.device)
    network = model.load(data_dir / calibrated.model)
    probabilities = _in_blocks(scorer, ids, ranks, vocabulary)
    expected = _in_blocks(partial(model.predict, network), ids, ranks, vocabulary)
    if (difference := float(np.abs(probabilities - expected).max())) > TOLERANCE:
        raise errors.ModelError(
            f"{calibrated.model}: Keras and the scorer differ by {difference:.4f}, at most {TOLERANCE} was expected. "
            "The model is not released; please report it with its configuration."
        )
    measured = metrics.evaluate(labels, probabilities, THRESHOLD) | {"keras_difference": difference}
    before = metrics.uncalibrated(probabilities, calibrated.temperature)
    measured |= {
        "temperature": calibrated.temperature,
        "calibration_error_before": metrics.calibration_error(labels, before),
    }
    ends = _cut(ranks, SHORT_WORDS)
    short = _in_blocks(scorer, tokens.padded(ends, prepared.config.num_words, prepared.config.maxlen), ends, vocabulary)
    measured["short_reviews"] = {"words": SHORT_WORDS} | metrics.evaluate(labels, short, THRESHOLD)
    log.info("test accuracy %.2f%%, loss %.4f", 100 * measured["accuracy"], measured["loss"])
    curves = metrics.curves(labels, probabilities)
    word_index = tokens.read_word_index(data_dir / labelled.word_index)
    facts = slices.facts(ranks, word_index, prepared.config.num_words)
    identity = files.digest(measured, curves, files.arrays_digest([labels, probabilities, *facts]))
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


def _in_blocks(
    score: Callable[..., Probabilities], ids: Ids, ranks: Ranks, vocabulary: ngrams.Vocabulary | None
) -> Probabilities:
    """The scores of all reviews; a block has as many n-gram ids a row as its richest review has."""
    scores = []
    for start in range(0, len(ids), BLOCK_ROWS):
        rows = slice(start, start + BLOCK_ROWS)
        found = ngrams.padded([vocabulary.find(*ngrams.flat(ranks[rows]))]) if vocabulary else None
        scores.append(score(ids[rows], found))
    return np.concatenate(scores)


def _cut(ranks: Ranks, words: int) -> Ranks:
    """The last words of each review."""
    ends = np.empty(len(ranks), object)
    ends[:] = [review[-words:] for review in ranks]
    return ends
