"""Bundles without a network, for what looks at names, metrics, predictions and checksums alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tasks.lib import files
from tasks.lib.models import bundles, predictions, slices


def add(models: Path, number: int, accuracy: float, corpus: str = "imdb", baseline: float = 0.0) -> str:
    """A bundle with the least that releases look at, without predictions."""
    metrics = {"accuracy": accuracy, "baseline_accuracy": baseline}
    return _write(models, {"number": number}, {bundles.METRICS: files.json_bytes(metrics)}, corpus)


def add_tested(
    models: Path,
    number: int,
    right: npt.NDArray[np.bool_],
    *,
    threshold: float = 0.5,
    first_label: int = 0,
    facts: slices.Facts | None = None,
    own: dict[str, bool] | None = None,
    corpus: str = "imdb",
) -> str:
    """A bundle with predictions: `right` says on which test reviews. Their labels alternate, from `first_label` on.

    `own` has the identities of one's own test reviews, all of them positive, and whether it is right on each.
    """
    labels = ((np.arange(len(right)) + first_label) % 2).astype(np.uint8)
    positive = (labels == 1) == right
    probabilities = np.where(positive, threshold, threshold / 2).astype(np.float32)
    files.make_folder(models)
    path = models / ".predictions"
    predictions.write(path, predictions.Predictions(labels, probabilities, facts))
    contents = {
        bundles.METRICS: files.json_bytes({"accuracy": float(right.mean()), "loss": 0.4321, "auc": None}),
        bundles.PREDICTIONS: path.read_bytes(),
    }
    if own is not None:
        scores = np.where(list(own.values()), threshold, threshold / 2).astype(np.float32)
        identities = np.array(list(own), "U64")
        predictions.write(path, predictions.OwnPredictions(identities, np.ones(len(own), np.uint8), scores))
        contents[bundles.OWN_PREDICTIONS] = path.read_bytes()
    path.unlink()
    return _write(models, {"number": number, "threshold": threshold}, contents, corpus)


def facts(words: npt.NDArray[np.int32]) -> slices.Facts:
    """Reviews of so many words, all of them known, without a negation."""
    return slices.Facts(words, words, np.zeros(len(words), np.int32))


def _write(models: Path, made_of: dict[str, Any], contents: dict[str, bytes], corpus: str) -> str:
    model_id = bundles.model_id("gru", made_of)
    facts = {"model_id": model_id, "cell": "gru", "corpus": corpus, "made_of": made_of}
    facts |= {name: value for name, value in made_of.items() if name == "threshold"}
    bundles.write_bundle(models / model_id, contents | {bundles.MODEL: b"weights"}, facts)
    return model_id
