"""The linear baseline: logistic regression on n-grams, each weighted by its naive Bayes log-count ratio.

After Wang and Manning, "Baselines and Bigrams" (ACL 2012). A review is the set of its single words, pairs and triples
that occur at least twice in the training reviews. The value of an n-gram is the log of how much more often it occurs
in positive reviews than in negative ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain

import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.linear_model import LogisticRegression

from tasks.lib.tokens import Labels

Ranks = npt.NDArray[np.object_]  # a list of word ranks for each review
Keys = npt.NDArray[np.int64]

LONGEST = 3
C = 0.1  # regularisation; smaller is stronger


@dataclass(frozen=True)
class Classifier:
    """The fitted baseline: the vocabulary of each length, and one weight for each of their n-grams."""

    vocabularies: list[Keys]
    weights: npt.NDArray[np.float64]
    intercept: float

    def accuracy(self, ranks: Ranks, labels: Labels) -> float:
        """The share of the reviews whose label it finds."""
        present, _ = occurrences(ranks, self.vocabularies)
        return float(np.mean((present @ self.weights + self.intercept > 0) == labels))


def fit(ranks: Ranks, labels: Labels) -> Classifier:
    """The baseline fitted to whole reviews.

    With one class only, or no word that occurs twice, there is nothing to fit: it predicts the more frequent class.
    """
    present, vocabularies = occurrences(ranks)
    if len(np.unique(labels)) < 2 or not present.shape[1]:
        return Classifier(vocabularies, np.zeros(present.shape[1]), float(np.mean(labels)) - 0.5)
    ratios = log_count_ratios(present, labels)
    present.data = ratios[present.indices]
    regression = LogisticRegression(C=C, solver="liblinear", dual=True, random_state=0).fit(present, labels)
    return Classifier(vocabularies, ratios * regression.coef_[0], float(regression.intercept_[0]))


def occurrences(ranks: Ranks, vocabularies: list[Keys] | None = None) -> tuple[sparse.csr_array, list[Keys]]:
    """Which n-grams each review has: a sparse (reviews, n-grams) array of bool, and their vocabularies.

    A vocabulary holds the sorted keys of all n-grams of one length. Without `vocabularies` they are made of the n-grams
    that occur at least twice in `ranks`. An n-gram can only do so if the shorter ones in it do, so its key is that of
    its beginning beside the id of its last word, and longer n-grams are looked for only where the beginning was found.
    """
    lengths = np.fromiter(map(len, ranks), np.int64, len(ranks))
    keys = np.fromiter(chain.from_iterable(ranks), np.int64, lengths.sum())
    review = np.repeat(np.arange(len(ranks), dtype=np.int32), lengths)
    ends = np.arange(len(keys))  # positions of the last words
    known, rows, columns, width = [], [], [], 0
    for length in range(LONGEST):
        known.append(_repeated(keys) if vocabularies is None else vocabularies[length])
        ids = _ids(keys, known[-1])
        if length == 0:
            words = ids
        ends, ids = ends[ids >= 0], ids[ids >= 0]
        rows.append(review[ends])
        columns.append((ids + width).astype(np.int32))
        width += len(known[-1])
        following = np.minimum(ends + 1, len(words) - 1)
        longer = (following > ends) & (review[following] == review[ends]) & (words[following] >= 0)
        ends = following[longer]
        keys = ids[longer] * len(known[0]) + words[ends]
    row, column = np.concatenate(rows), np.concatenate(columns)
    once = np.ones(len(row), bool)  # duplicates are added up, to True
    return sparse.csr_array((once, (row, column)), shape=(len(ranks), width)), known


def _repeated(keys: Keys) -> Keys:
    ordered = np.sort(keys)
    return np.unique(ordered[1:][ordered[1:] == ordered[:-1]])


def _ids(keys: Keys, vocabulary: Keys) -> Keys:
    """The place of each key in the vocabulary, or -1."""
    if not len(vocabulary):
        return np.full(len(keys), -1)
    places = np.minimum(np.searchsorted(vocabulary, keys), len(vocabulary) - 1)
    return np.where(vocabulary[places] == keys, places, -1)


def log_count_ratios(present: sparse.csr_array, labels: Labels) -> npt.NDArray[np.float64]:
    """For each n-gram: log of its share among those of positive reviews, over its share among negative ones.

    Each count starts at 1.
    """
    positive, negative = (1 + present.T @ (labels == label).astype(np.float64) for label in (1, 0))
    ratios: npt.NDArray[np.float64] = np.log(positive / positive.sum()) - np.log(negative / negative.sum())
    return ratios
