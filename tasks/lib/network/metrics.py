"""How good the probabilities are, and how good those of a bag of words are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import confusion_matrix, log_loss, roc_auc_score, roc_curve

from tasks.lib.tokens import START_ID, Ids, Labels

Probabilities = npt.NDArray[np.float32]
CALIBRATION_BINS = 10
CURVE_POINTS = 200


def evaluate(labels: Labels, probabilities: Probabilities, threshold: float) -> dict[str, Any]:
    """`accuracy`, `loss` (binary cross-entropy), `auc` (None with one class only), `threshold`, `confusion`.

    `confusion` counts `true_negative`, `false_positive`, `false_negative` and `true_positive` reviews.
    """
    predicted = probabilities >= threshold
    counts = confusion_matrix(labels, predicted, labels=[0, 1]).ravel().tolist()
    names = ("true_negative", "false_positive", "false_negative", "true_positive")
    return {
        "accuracy": float(np.mean(predicted == labels)),
        "loss": float(log_loss(labels, probabilities.astype(np.float64), labels=[0, 1])),
        "auc": float(roc_auc_score(labels, probabilities)) if len(np.unique(labels)) == 2 else None,
        "threshold": threshold,
        "confusion": dict(zip(names, counts, strict=True)),
    }


def curves(labels: Labels, probabilities: Probabilities) -> dict[str, list[float]]:
    """The points of the ROC curve (`fpr`, `tpr`) and of the calibration plot (`predicted`, `observed`, `count`).

    The ROC curve is thinned to 200 points at most, and empty with one class only. Calibration has ten bins of equal
    width from 0 to 1: `count` has one number for each, the other two leave out empty bins.
    """
    points: dict[str, list[float]] = {"fpr": [], "tpr": []}
    if len(np.unique(labels)) == 2:
        fpr, tpr, _ = roc_curve(labels, probabilities)
        thin = np.unique(np.linspace(0, len(fpr) - 1, CURVE_POINTS).astype(int))
        points = {"fpr": fpr[thin].tolist(), "tpr": tpr[thin].tolist()}
    observed, predicted = calibration_curve(labels, probabilities, n_bins=CALIBRATION_BINS)
    count, _ = np.histogram(probabilities, CALIBRATION_BINS, (0, 1))
    return points | {"predicted": predicted.tolist(), "observed": observed.tolist(), "count": count.tolist()}


def bag_of_words(blocks: Iterable[tuple[Ids, Labels]], num_words: int) -> tuple[sparse.csr_array, Labels]:
    """The words of each review as a sparse array (rows, words) of 0 and 1, and the labels (rows,)."""
    rows, labels = [], []
    for ids, block_labels in blocks:
        ones = np.ones(ids.size, np.float32)
        starts = np.arange(0, ids.size + 1, ids.shape[1])
        block = sparse.csr_array((ones, ids.reshape(-1), starts), shape=(len(ids), num_words))
        block.sum_duplicates()
        block.data[:] = 1
        rows.append(block[:, START_ID + 1 :])  # padding and the start id are no words
        labels.append(block_labels)
    return sparse.vstack(rows, format="csr"), np.concatenate(labels)


def baseline_accuracy(train: Iterable[tuple[Ids, Labels]], test: Iterable[tuple[Ids, Labels]], num_words: int) -> float:
    """Test accuracy of logistic regression on bags of words, trained on the same ids as the network."""
    words, labels = bag_of_words(train, num_words)
    if len(np.unique(labels)) < 2:
        return float(np.mean(np.concatenate([block for _, block in test]) == labels[0]))
    classifier = LogisticRegression(C=0.1, max_iter=500).fit(words, labels)
    return float(classifier.score(*bag_of_words(test, num_words)))
