"""Metrics: what they say of scores that are known."""

from __future__ import annotations

import numpy as np

from tasks.lib.network import metrics

LABELS = np.array([0, 0, 1, 1], np.uint8)
PROBABILITIES = np.array([0.05, 0.95, 0.91, 1.0], np.float32)


def test_counts_that_are_not_those_of_the_labels() -> None:
    found = metrics.evaluate(LABELS, PROBABILITIES, 0.5)
    expected = {"true_negative": 1, "false_positive": 1, "false_negative": 0, "true_positive": 2}
    assert (found["confusion"], found["accuracy"], found["auc"]) == (expected, 0.75, 0.75)


def test_a_calibration_bin_that_is_not_that_of_the_count() -> None:
    found = metrics.curves(LABELS, PROBABILITIES)
    assert found["count"] == [1, *[0] * 8, 3]
    np.testing.assert_allclose(found["predicted"], [0.05, (0.95 + 0.91 + 1.0) / 3], rtol=1e-6)
    np.testing.assert_allclose(found["observed"], [0, 2 / 3])


def test_one_class_that_has_a_roc_curve() -> None:
    ones = np.ones(4, np.uint8)
    assert metrics.evaluate(ones, PROBABILITIES, 0.5)["auc"] is None
    found = metrics.curves(ones, PROBABILITIES)
    assert (found["fpr"], found["observed"]) == ([], [1.0, 1.0])
