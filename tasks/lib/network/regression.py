"""The linear baseline: logistic regression on n-grams, each weighted by its naive Bayes log-count ratio.

After Wang and Manning, "Baselines and Bigrams" (ACL 2012): the value of an n-gram is the log of how much more often it
occurs in positive reviews than in negative ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.linear_model import LogisticRegression

from tasks.lib.network import ngrams
from tasks.lib.network.ngrams import Found, Ranks, Vocabulary
from tasks.lib.tokens import Labels

Floats = npt.NDArray[np.float64]

C = 0.1  # regularisation; smaller is stronger


@dataclass(frozen=True)
class Classifier:
    """The fitted baseline: its n-grams, and one weight for each of them."""

    vocabulary: Vocabulary
    weights: Floats
    intercept: float

    def logits(self, ranks: Ranks) -> Floats:
        """The log-odds (reviews,) that each review is positive."""
        found = self.vocabulary.find(*ngrams.flat(ranks))
        return found.sums(self.weights) + self.intercept

    def accuracy(self, ranks: Ranks, labels: Labels) -> float:
        """The share of the reviews whose label it finds."""
        return float(np.mean((self.logits(ranks) > 0) == labels))


def fit(ranks: Ranks, labels: Labels, weights: npt.NDArray[np.float32] | None = None) -> Classifier:
    """The baseline fitted to whole reviews, which count as much as `weights` says.

    With one class only, or no word that occurs often, there is nothing to fit: it predicts the more frequent class.
    """
    vocabulary, found = Vocabulary.learn(*ngrams.flat(ranks))
    present = _matrix(found, len(vocabulary))
    if len(np.unique(labels)) < 2 or not len(vocabulary):
        return Classifier(vocabulary, np.zeros(len(vocabulary)), float(np.mean(labels)) - 0.5)
    ratios = log_count_ratios(present, labels)
    present.data = ratios[present.indices]
    regression = LogisticRegression(C=C, solver="liblinear", dual=True, random_state=0)
    regression.fit(present, labels, weights)
    return Classifier(vocabulary, ratios * regression.coef_[0], float(regression.intercept_[0]))


def _matrix(found: Found, width: int) -> sparse.csr_array:
    """Which n-grams each review has: a sparse (reviews, n-grams) array of ones."""
    starts = np.concatenate([[0], np.cumsum(found.counts)]).astype(np.int32)  # scikit-learn takes no wider index
    return sparse.csr_array(
        (np.ones(len(found.numbers)), found.numbers.astype(np.int32), starts), shape=(len(found.counts), width)
    )


def log_count_ratios(present: sparse.csr_array, labels: Labels) -> Floats:
    """For each n-gram: log of its share among those of positive reviews, over its share among negative ones.

    Each count starts at 1.
    """
    positive, negative = (1 + present.T @ (labels == label).astype(np.float64) for label in (1, 0))
    ratios: Floats = np.log(positive / positive.sum()) - np.log(negative / negative.sum())
    return ratios
