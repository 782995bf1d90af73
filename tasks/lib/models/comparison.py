"""Two models on the same test reviews: the difference of their accuracies, and how much of it chance could make.

Over all reviews by an interval, over each slice of them by a test of whether the first model is worse.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tasks.lib import errors
from tasks.lib.models import bundles, predictions, slices

DRAWS = 10_000
SEED = 0
LEVELS = (0.025, 0.975)
ALPHA = 0.05  # how often chance alone may call any slice significantly worse


@dataclass(frozen=True)
class Tested:
    """A model and its results on the test reviews, and on one's own ones if it was tested on some.

    `labels` has the label of each review, and `positive` whether the model calls it positive. Both are empty if the
    bundle has no predictions, and `facts` is None if it has none of these, as those of earlier versions.
    """

    model_id: str
    corpus: str
    metrics: dict[str, Any]
    labels: npt.NDArray[np.uint8]
    positive: npt.NDArray[np.bool_]
    facts: slices.Facts | None
    own: Own | None = None


class Own(NamedTuple):
    """The same of one's own test reviews, and the identity of each; in ascending order."""

    identities: npt.NDArray[np.str_]
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


class OwnComparison(NamedTuple):
    """The difference of two models on one's own test reviews, and the accuracy of either."""

    difference: Comparison
    accuracy: float
    other: float


@dataclass(frozen=True)
class Slice:
    """How much better the first model is on one slice of the test reviews.

    It alone is right on `better` of the `reviews`, and alone wrong on `worse`. `p` is how likely chance makes a model
    that is no worse look so bad there, after Holm's correction for the number of slices.
    """

    name: str
    reviews: int
    better: int
    worse: int
    p: float

    @property
    def points(self) -> float:
        """The difference of the accuracies in percentage points."""
        return 100 * (self.better - self.worse) / self.reviews

    @property
    def is_worse(self) -> bool:
        """Whether the first model is significantly worse there."""
        return self.p <= ALPHA

    def __str__(self) -> str:
        return f"{self.name} ({self.points:+z.2f} points, p = {self.p:.2g})"


def read(models: Path, wanted: str) -> Tested:
    """The results of a model. Raises `ModelError` if it does not exist or is damaged."""
    manifest = bundles.read_bundle(models, wanted)
    labels, positive, facts = np.empty(0, np.uint8), np.empty(0, np.bool_), None
    if bundles.PREDICTIONS in manifest["sha256"]:
        labels, probabilities, facts = predictions.read(models / wanted / bundles.PREDICTIONS)
        positive = probabilities >= manifest["threshold"]
    metrics = bundles.read_metrics(models, wanted)
    return Tested(wanted, manifest["corpus"], metrics, labels, positive, facts, _own(models, wanted, manifest))


def _own(models: Path, wanted: str, manifest: dict[str, Any]) -> Own | None:
    if bundles.OWN_PREDICTIONS not in manifest["sha256"]:
        return None
    identities, labels, probabilities = predictions.read_own(models / wanted / bundles.OWN_PREDICTIONS)
    return Own(identities, labels, probabilities >= manifest["threshold"])


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
    better, worse = _disagreements(first, second)
    return difference(int(better.sum()), int(worse.sum()), len(better))


def compare_own(first: Tested, second: Tested) -> OwnComparison | None:
    """Compares two models on one's own test reviews that both were tested on, by the labels that the first one knows.

    None if there are no such reviews.
    """
    if first.own is None or second.own is None:
        return None
    _, ours, theirs = np.intersect1d(
        first.own.identities, second.own.identities, assume_unique=True, return_indices=True
    )  # fmt: skip
    if not len(ours):
        return None
    labels = first.own.labels[ours]
    right, other = first.own.positive[ours] == labels, second.own.positive[theirs] == labels
    found = difference(int((right & ~other).sum()), int((other & ~right).sum()), len(ours))
    return OwnComparison(found, float(right.mean()), float(other.mean()))


def compare_slices(first: Tested, second: Tested) -> list[Slice]:
    """Compares two models on each slice of the test reviews, by an exact one-sided McNemar test.

    `compare` has to find them comparable. Raises `ModelError` if one has no facts of the reviews.
    """
    if first.facts is None or second.facts is None:
        lacking = first if first.facts is None else second
        raise errors.ModelError(
            f"{lacking.model_id} does not say what reviews it was tested on; run its training again to add it"
        )
    better, worse = _disagreements(first, second)
    rows = slices.slices(first.facts, second.facts)
    counts = [(int(better[chosen].sum()), int(worse[chosen].sum())) for chosen in rows.values()]
    likely = _holm(np.array([_chance(*count) for count in counts]))
    return [
        Slice(name, int(chosen.sum()), *count, float(p))
        for (name, chosen), count, p in zip(rows.items(), counts, likely, strict=True)
    ]


def _disagreements(first: Tested, second: Tested) -> tuple[slices.Mask, slices.Mask]:
    """On which reviews the first model alone is right, and on which it alone is wrong."""
    differ, right = first.positive != second.positive, first.positive == first.labels
    return differ & right, differ & ~right


def _chance(better: int, worse: int) -> float:
    """How likely a fair coin shows `worse` heads or more in all the disagreements."""
    from scipy.special import bdtrc  # it takes a fifth of a second to load, and scoring has no use for it

    return float(bdtrc(worse - 1, better + worse, 0.5))


def _holm(likely: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Corrects the p-values of several tests, so that `ALPHA` holds for all of them together."""
    order = np.argsort(likely)
    corrected = np.empty_like(likely)
    corrected[order] = np.maximum.accumulate(likely[order] * np.arange(len(likely), 0, -1)).clip(max=1)
    return corrected


def difference(better: int, worse: int, reviews: int) -> Comparison:
    """The comparison of two models, one of which alone is right on `better` reviews and wrong on `worse`.

    A review counts 1, -1 or 0, so drawing `reviews` of them with replacement is one draw of the three counts.
    """
    shares = np.array([better, worse, reviews - better - worse]) / reviews
    drawn = np.random.default_rng(SEED).multinomial(reviews, shares, DRAWS)
    lower, upper = 100 * np.quantile(drawn[:, 0] - drawn[:, 1], LEVELS) / reviews
    return Comparison(100 * (better - worse) / reviews, float(lower), float(upper), better + worse, reviews)
