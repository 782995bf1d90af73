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
from tasks.lib.corpus import reviews, shards
from tasks.lib.layout import Layout
from tasks.lib.models import predictions, slices
from tasks.lib.models.predictions import OwnPredictions, Predictions
from tasks.lib.network import ngrams
from tasks.lib.network.forward import Scorer
from tasks.lib.network.ngrams import Ranks
from tasks.lib.tokens import Ids
from tasks.running import environment
from tasks.training.artifacts import Calibrated, Corpus, Evaluation, Fitted, Labels, Shards
from tasks.training.caching import MadeFrom

Probabilities = npt.NDArray[np.float32]

log = logging.getLogger(environment.LOGGER)

THRESHOLD = 0.5
BLOCK_ROWS = 5000
SHORT_WORDS = 20  # many users have a sentence, not a page
OWN_METRICS = ("accuracy", "loss", "auc", "calibration_error")
TOLERANCE = 0.01  # between Keras, on a GPU in TF32, and the scorer: rounding alone stays below it


@task(
    name="evaluate",
    task_run_name="evaluate {calibrated.model}",
    cache_policy=MadeFrom(libraries=("numpy", "pyarrow", "scipy", "scikit-learn", "keras", "tensorflow")),
)
def evaluate_network(
    labelled: Corpus, labels: Labels | None, prepared: Shards, fitted: Fitted, calibrated: Calibrated, data_dir: Path
) -> Evaluation:
    """Scores the test reviews with the code that scores new ones, and measures the result; one's own ones apart.

    Keras scores them too, on the device of the training: a model whose scores differ is an error.
    """
    with environment.quiet_import():
        from tasks.lib.network import model
    from tasks.lib.network import metrics  # scikit-learn takes a second to load

    data = Layout(data_dir)
    ids, truth, _ = shards.read(data_dir / prepared.folder, "test")
    ranks = reviews.test(labelled.corpus, data_dir / labelled.archive).ranks
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
    measured = metrics.evaluate(truth, probabilities, THRESHOLD) | {"keras_difference": difference}
    before = metrics.uncalibrated(probabilities, calibrated.temperature)
    measured |= {
        "temperature": calibrated.temperature,
        "calibration_error_before": metrics.calibration_error(truth, before),
    }

    def score(some: Ranks) -> Probabilities:
        return _in_blocks(
            scorer, tokens.padded(some, prepared.config.num_words, prepared.config.maxlen), some, vocabulary
        )

    short = score(_cut(ranks, SHORT_WORDS))
    measured["short_reviews"] = {"words": SHORT_WORDS} | metrics.evaluate(truth, short, THRESHOLD)
    log.info("test accuracy %.2f%%, loss %.4f", 100 * measured["accuracy"], measured["loss"])
    mine = reviews.own_test(labelled.corpus, data_dir / labelled.archive, data_dir / labels.path if labels else None)
    others = None
    if mine is not None and len(mine.labels):
        others = OwnPredictions(mine.identities, mine.labels, score(mine.split().ranks))
        found = metrics.evaluate(others.labels, others.probabilities, THRESHOLD)
        measured["own"] = {"reviews": len(mine.labels)} | {name: found[name] for name in OWN_METRICS}
        log.info("own test reviews: %s, accuracy %.2f%%", f"{len(mine.labels):,}", 100 * found["accuracy"])
    curves = metrics.curves(truth, probabilities)
    word_index = tokens.read_word_index(data_dir / labelled.word_index)
    facts = slices.facts(ranks, word_index, prepared.config.num_words)
    identity = files.digest(measured, curves, files.arrays_digest([truth, probabilities, *facts]))
    made = [_written(data, f"predictions-{identity[:16]}.parquet", Predictions(truth, probabilities, facts))]
    if others:
        identity = files.digest(identity, files.arrays_digest(others))
        made.append(_written(data, f"predictions-own-{identity[:16]}.parquet", others))
    return Evaluation(
        identity=identity,
        made_files={path: files.sha256(data_dir / path) for path in made},
        predictions=made[0],
        own_predictions=made[1] if others else "",
        metrics=measured,
        curves=curves,
    )


def _written(data: Layout, name: str, made: Predictions | OwnPredictions) -> str:
    with files.new_file(data.work / name) as temporary:
        predictions.write(temporary, made)
    return data.relative(data.work / name)


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
