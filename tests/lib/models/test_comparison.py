"""The difference of two models and its interval, against what other methods give."""

from __future__ import annotations

from dataclasses import astuple
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from tasks.lib import errors
from tasks.lib.models import comparison
from tests.support.models import add, add_tested


def answers(reviews: int, *wrong: range) -> npt.NDArray[np.bool_]:
    """Right on all reviews but these."""
    right = np.ones(reviews, np.bool_)
    for some in wrong:
        right[some] = False
    return right


@pytest.mark.parametrize(("better", "worse"), [(150, 120), (0, 40), (3, 1)])
def test_an_interval_that_is_not_that_of_drawing_the_reviews_themselves(better: int, worse: int) -> None:
    reviews = 1000  # one of them is 0.1 points
    found = comparison.difference(better, worse, reviews)
    values = np.repeat([1, -1, 0], [better, worse, reviews - better - worse])
    drawn = stats.bootstrap((values,), np.mean, n_resamples=10_000, method="percentile", rng=np.random.default_rng(9))
    expected = drawn.confidence_interval
    assert found.points == pytest.approx(100 * values.mean())
    assert (found.lower, found.upper) == pytest.approx((100 * expected.low, 100 * expected.high), abs=0.15)


@pytest.mark.parametrize("better", [50, 250, 2500, 20_000])
def test_an_interval_that_is_not_the_exact_one(better: int) -> None:
    """If one model is never worse, the number of reviews on which it is better is binomial."""
    reviews = 25_000
    found = comparison.difference(better, 0, reviews)
    exact = stats.binom.ppf([0.025, 0.975], reviews, better / reviews)
    spread = np.sqrt(better * (1 - better / reviews))
    assert np.abs(np.array([found.lower, found.upper]) * reviews / 100 - exact).max() <= 1 + 0.1 * spread
    mirrored = comparison.difference(0, better, reviews)
    assert (mirrored.lower, mirrored.upper) == pytest.approx((-found.upper, -found.lower), abs=10 * spread / reviews)


@pytest.mark.parametrize(
    ("better", "worse", "expected"),
    [(0, 0, (0, 0, 0, 0, 200)), (200, 0, (100, 100, 100, 200, 200)), (0, 200, (-100, -100, -100, 200, 200))],
)
def test_a_difference_without_chance_that_has_a_width(better: int, worse: int, expected: tuple[int, ...]) -> None:
    assert astuple(comparison.difference(better, worse, 200)) == expected


def test_figures_that_change_from_call_to_call() -> None:
    first = comparison.difference(1500, 1350, 25_000)
    np.random.seed(7)
    assert comparison.difference(1500, 1350, 25_000) == first


@pytest.mark.parametrize(
    ("figures", "text"),
    [
        ((0.6, -0.05, 1.25), "+0.60 points, 95% interval -0.05 to +1.25"),
        ((-0.001, -0.004, 0.0), "+0.00 points, 95% interval +0.00 to +0.00"),
    ],
)
def test_figures_that_are_hard_to_read(figures: tuple[float, float, float], text: str) -> None:
    assert str(comparison.Comparison(*figures, 3, 100)) == text


def test_reviews_that_are_counted_wrongly(tmp_path: Path) -> None:
    """Both are wrong on reviews 20 to 29; each has its own threshold."""
    first = add_tested(tmp_path, 1, answers(100, range(20, 35)), threshold=0.9)
    second = add_tested(tmp_path, 2, answers(100, range(0, 30)), threshold=0.3)
    found = comparison.compare(comparison.read(tmp_path, first), comparison.read(tmp_path, second))
    assert found == comparison.difference(20, 5, 100)
    assert (found.points, found.disagreements, found.reviews) == (15, 25, 100)


def test_a_model_without_predictions_that_is_compared(tmp_path: Path) -> None:
    old = comparison.read(tmp_path, add(tmp_path, 1, 0.8))
    new = comparison.read(tmp_path, add_tested(tmp_path, 2, answers(100)))
    for pair in ((old, new), (new, old), (old, old)):
        with pytest.raises(errors.ModelError, match=rf"{old.model_id} has no predictions\.parquet"):
            comparison.compare(*pair)


@pytest.mark.parametrize(("reviews", "first_label"), [(99, 0), (100, 1)])
def test_other_test_reviews_that_are_compared(tmp_path: Path, reviews: int, first_label: int) -> None:
    first = comparison.read(tmp_path, add_tested(tmp_path, 1, answers(100)))
    second = comparison.read(tmp_path, add_tested(tmp_path, 2, answers(reviews), first_label=first_label))
    with pytest.raises(errors.ModelError, match="were tested on different reviews"):
        comparison.compare(first, second)
