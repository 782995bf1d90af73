"""How good the probabilities are."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit
from sklearn.calibration import calibration_curve
from sklearn.metrics import confusion_matrix, log_loss, roc_auc_score, roc_curve

from tasks.lib.tokens import Labels

Probabilities = npt.NDArray[np.float32]
CALIBRATION_BINS = 10
ERROR_BINS = 15
CURVE_POINTS = 200


def evaluate(labels: Labels, probabilities: Probabilities, threshold: float) -> dict[str, Any]:
    """`accuracy`, `loss`, `auc` (None with one class only), `calibration_error`, `threshold`, `confusion`.

    The loss is the binary cross-entropy. `calibration_error` is the expected one: how far the probabilities in each of
    15 bins of equal width are from its share of positive reviews, on average over the reviews (Guo et al., ICML 2017).
    `confusion` counts `true_negative`, `false_positive`, `false_negative` and `true_positive` reviews.
    """
    predicted = probabilities >= threshold
    counts = confusion_matrix(labels, predicted, labels=[0, 1]).ravel().tolist()
    names = ("true_negative", "false_positive", "false_negative", "true_positive")
    return {
        "accuracy": float(np.mean(predicted == labels)),
        "loss": float(log_loss(labels, probabilities.astype(np.float64), labels=[0, 1])),
        "auc": float(roc_auc_score(labels, probabilities)) if len(np.unique(labels)) == 2 else None,
        "calibration_error": calibration_error(labels, probabilities),
        "threshold": threshold,
        "confusion": dict(zip(names, counts, strict=True)),
    }


def calibration_error(labels: Labels, probabilities: Probabilities) -> float:
    """The expected calibration error, from 0 to 1."""
    bins = np.minimum((probabilities * ERROR_BINS).astype(int), ERROR_BINS - 1)
    surplus = np.bincount(bins, probabilities.astype(np.float64) - labels, ERROR_BINS)
    return float(np.abs(surplus).sum() / len(labels))


def uncalibrated(probabilities: Probabilities, temperature: float) -> Probabilities:
    """The probabilities that a network of this temperature had before it was calibrated."""
    return np.asarray(expit(logit(probabilities.astype(np.float64)) * temperature), np.float32)


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
