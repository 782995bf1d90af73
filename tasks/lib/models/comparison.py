"""Two models on the same test reviews: the difference of their accuracies, and how much of it chance could make."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tasks.lib import errors
from tasks.lib.models import bundles, predictions

DRAWS = 10_000
SEED = 0
LEVELS = (0.025, 0.975)


@dataclass(frozen=True)
class Tested:
    """A model and its results on the test reviews.

    `labels` has the label of each review, and `positive` whether the model calls it positive. Both are empty if the
    bundle has no predictions, as those of earlier versions.
    """

    model_id: str
    corpus: str
    metrics: dict[str, Any]
    labels: npt.NDArray[np.uint8]
    positive: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Comparison:
    """How much better the first model is than the second, in percentage points of accuracy, with the 95 % interval.

    On `disagreements` of the `reviews` the two give different labels.
    """

    points: float
    lower: float
    upper: float
    disagreements: int
    reviews: int

    def __str__(self) -> str:
        return f"{self.points:+z.2f} points, 95% interval {self.lower:+z.2f} to {self.upper:+z.2f}"


def read(models: Path, wanted: str) -> Tested:
    """The results of a model. Raises `ModelError` if it does not exist or is damaged."""
    manifest = bundles.read_bundle(models, wanted)
    labels, positive = np.empty(0, np.uint8), np.empty(0, np.bool_)
    if bundles.PREDICTIONS in manifest["sha256"]:
        labels, probabilities = predictions.read(models / wanted / bundles.PREDICTIONS)
        positive = probabilities >= manifest["threshold"]
    return Tested(wanted, manifest["corpus"], bundles.read_metrics(models, wanted), labels, positive)


def compare(first: Tested, second: Tested) -> Comparison:
    """Compares two models by a paired bootstrap over the test reviews, each model at its own threshold.

    Raises `ModelError` if one has no predictions, or if they were tested on different reviews.
    """
    for model in (first, second):
        if not len(model.labels):
            raise errors.ModelError(f"{model.model_id} has no {bundles.PREDICTIONS}; run its training again to add it")
    if not np.array_equal(first.labels, second.labels):
        raise errors.ModelError(
            f"{first.model_id} and {second.model_id} were tested on different reviews; compare models of one corpus"
        )
    differ = first.positive != second.positive
    better = int(np.count_nonzero(differ & (first.positive == first.labels)))
    return difference(better, int(np.count_nonzero(differ)) - better, len(differ))


def difference(better: int, worse: int, reviews: int) -> Comparison:
    """The comparison of two models, one of which alone is right on `better` reviews and wrong on `worse`.

    A review counts 1, -1 or 0, so drawing `reviews` of them with replacement is one draw of the three counts.
    """
    shares = np.array([better, worse, reviews - better - worse]) / reviews
    drawn = np.random.default_rng(SEED).multinomial(reviews, shares, DRAWS)
    lower, upper = 100 * np.quantile(drawn[:, 0] - drawn[:, 1], LEVELS) / reviews
    return Comparison(100 * (better - worse) / reviews, float(lower), float(upper), better + worse, reviews)
