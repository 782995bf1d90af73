"""Scales of logits, fitted to the validation reviews."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from tasks.lib.network import calibration, metrics
from tasks.lib.tokens import Labels


def drawn(logits: calibration.Floats) -> Labels:
    """A label for each review, positive with the probability that its log-odds say."""
    return (np.random.default_rng(1).random(len(logits)) < expit(logits)).astype(np.uint8)


def test_parts_that_do_not_count_by_their_factors() -> None:
    found = calibration.probabilities([2.0, 0.5], np.array([0.0, 1.0]), np.array([0.0, -2.0]))
    np.testing.assert_allclose(found, expit([0.0, 1.0]))


def test_a_confident_network_that_stays_so() -> None:
    honest = np.random.default_rng(0).normal(0, 2, 20_000)
    labels = drawn(honest)
    (scale,) = calibration.scales(labels, 3 * honest)
    assert scale == pytest.approx(1 / 3, rel=0.05)
    boasting, calibrated = (expit(each).astype(np.float32) for each in (3 * honest, 3 * honest * scale))
    assert metrics.calibration_error(labels, boasting) > 0.05
    assert metrics.calibration_error(labels, calibrated) < 0.015
    np.testing.assert_allclose(metrics.uncalibrated(calibrated, 1 / scale), boasting, atol=1e-4)


def test_the_better_part_that_does_not_count_more() -> None:
    chance = np.random.default_rng(0)
    honest = chance.normal(0, 2, 20_000)
    good, bad = honest + chance.normal(0, 0.5, 20_000), honest + chance.normal(0, 5, 20_000)
    factors = calibration.scales(drawn(honest), good, bad)
    assert factors[0] > 5 * factors[1]


def test_few_reviews_that_are_all_right_with_probabilities_of_0_and_1() -> None:
    probabilities = np.array([0, 0.2, 0.9, 1], np.float32)
    (scale,) = calibration.scales(np.array([0, 0, 1, 1], np.uint8), calibration.logits(probabilities))
    assert scale <= calibration.SCALES[1]


def test_a_calibration_error_that_is_not_the_mean_distance() -> None:
    probabilities = np.array([0.9, 0.9, 0.9, 0.9, 0.1, 1.0], np.float32)
    labels = np.array([1, 1, 0, 0, 0, 1], np.uint8)
    assert metrics.calibration_error(labels, probabilities) == pytest.approx((4 * 0.4 + 0.1) / 6)


def test_a_review_that_counts_twice_and_is_not_two() -> None:
    logits = np.random.default_rng(3).normal(0, 2, 300)
    labels = drawn(logits)
    weights = np.where(np.arange(300) < 100, 2, 1).astype(np.float32)
    twice = np.concatenate([np.arange(300), np.arange(100)])
    expected = calibration.scales(labels[twice], logits[twice])
    assert calibration.scales(labels, logits, weights=weights) == pytest.approx(expected, rel=1e-4)
    assert calibration.scales(labels, logits) != pytest.approx(expected, rel=1e-4)
