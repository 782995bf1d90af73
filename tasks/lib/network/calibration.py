"""Probabilities that mean what they say: the scale of a network's logits, fitted to the validation reviews.

After Guo et al., "On Calibration of Modern Neural Networks" (ICML 2017). No constant is added, so that by itself a
scale changes no label.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import expit, logit

from tasks.lib.tokens import Labels

Floats = npt.NDArray[np.float64]

SCALES = (0.05, 5.0)  # a network that is right on all of a few validation reviews would have a scale without end


def logits(probabilities: npt.NDArray[np.float32]) -> Floats:
    """The log-odds of probabilities; those of 0 and 1 are kept finite."""
    return np.asarray(logit(np.clip(probabilities.astype(np.float64), 1e-7, 1 - 1e-7)))


def scales(labels: Labels, *parts: Floats, weights: npt.NDArray[np.float32] | None = None) -> list[float]:
    """A factor for the logits of each part, so that their sum has the least cross-entropy on these reviews.

    `weights` is how much each review counts.
    """
    columns = np.stack(parts, axis=1)
    signs = np.where(labels == 1, 1.0, -1.0)

    def loss(factors: Floats) -> float:
        return float(np.average(np.logaddexp(0, -signs * (columns @ factors)), weights=weights))

    start = np.ones(len(parts)) / len(parts)
    found = minimize(loss, start, method="L-BFGS-B", bounds=[SCALES] * len(parts))
    return [float(factor) for factor in found.x]


def probabilities(factors: Sequence[float], *parts: Floats) -> Floats:
    """The probability of each review from the logits of the parts, each times its factor."""
    return np.asarray(expit(np.stack(parts, axis=1) @ np.array(factors)))
