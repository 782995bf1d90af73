"""The difference of two models and its interval, against what other methods give."""

from __future__ import annotations

from dataclasses import astuple
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from tasks.lib import errors
from tasks.lib.models import comparison, slices
from tests.support.models import add, add_tested, facts


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


def sliced(models: Path, first: npt.NDArray[np.bool_], second: npt.NDArray[np.bool_]) -> list[comparison.Slice]:
    """The slices of two models: of a third of the reviews each by length, and of every second one with a negation."""
    reviews = len(first)
    counts = np.repeat([10, 200, 300], reviews // 3).astype(np.int32)
    made = slices.Facts(counts, counts, np.arange(reviews, dtype=np.int32) % 2)
    tested = [add_tested(models, number, right, facts=made) for number, right in enumerate((first, second), start=1)]
    return comparison.compare_slices(*(comparison.read(models, model_id) for model_id in tested))


def test_slices_that_are_counted_wrongly(tmp_path: Path) -> None:
    """The first model is wrong on reviews 0 to 39, the second on 30 to 49 and 250 to 269; both on 30 to 39."""
    found = sliced(tmp_path, answers(300, range(40)), answers(300, range(30, 50), range(250, 270)))
    assert [(one.name, one.reviews, one.better, one.worse) for one in found] == [
        ("up to 150 words", 100, 10, 30),
        ("151 to 250 words", 100, 0, 0),
        ("over 250 words", 100, 20, 0),
        ("95% known or more", 300, 30, 30),
        ("with negation", 150, 15, 15),
        ("without negation", 150, 15, 15),
    ]
    assert [one.points for one in found] == [-20, 0, 20, 0, 0, 0]
    exact = stats.binomtest(30, 40, alternative="greater").pvalue
    assert [one.p for one in found] == pytest.approx([6 * exact, 1, 1, 1, 1, 1])
    assert [one.is_worse for one in found] == [True, False, False, False, False, False]
    assert str(found[0]) == f"up to 150 words (-20.00 points, p = {6 * exact:.2g})"


@pytest.mark.parametrize(("better", "worse"), [(0, 0), (5, 0), (0, 5), (3, 9), (900, 1000), (2500, 2400), (0, 3000)])
def test_a_chance_that_is_not_the_exact_one(better: int, worse: int) -> None:
    exact = stats.binomtest(worse, better + worse, alternative="greater").pvalue if better + worse else 1
    assert comparison._chance(better, worse) == pytest.approx(exact, rel=1e-9)


@pytest.mark.parametrize(
    ("likely", "corrected"),
    [
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),  # the example of R's p.adjust and of statsmodels
        ([0.6, 0.2, 0.9], [1, 0.6, 1]),
        ([0.05], [0.05]),
        ([0.02, 0.02], [0.04, 0.04]),
    ],
)
def test_a_correction_that_is_not_that_of_holm(likely: list[float], corrected: list[float]) -> None:
    assert comparison._holm(np.array(likely)).tolist() == pytest.approx(corrected)


def test_equal_models_that_are_called_worse_more_often_than_promised() -> None:
    """Of pairs of equally good models, 5 % at most are called worse in any of three slices."""
    totals = np.array([300, 200, 100])  # disagreements in each
    called = 0
    for drawn in np.random.default_rng(5).binomial(totals, 0.5, (2000, 3)):
        likely = [comparison._chance(total - worse, worse) for total, worse in zip(totals, drawn, strict=True)]
        called += bool(comparison._holm(np.array(likely)).min() <= comparison.ALPHA)
    assert 0.02 < called / 2000 < 0.06


@pytest.mark.parametrize("older", [1, 2])
def test_a_model_without_facts_whose_slices_are_compared(tmp_path: Path, older: int) -> None:
    known = facts(np.full(100, 10, np.int32))
    pair = [add_tested(tmp_path, number, answers(100), facts=None if number == older else known) for number in (1, 2)]
    first, second = (comparison.read(tmp_path, model_id) for model_id in pair)
    assert comparison.compare(first, second).points == 0
    with pytest.raises(errors.ModelError, match=rf"{pair[older - 1]} does not say what reviews"):
        comparison.compare_slices(first, second)


def own(first: int, last: int, *wrong: int) -> dict[str, bool]:
    """One's own test reviews of these numbers, right on all but some."""
    return {f"{number:064x}": number not in wrong for number in range(first, last)}


def test_own_test_reviews_that_one_model_alone_has(tmp_path: Path) -> None:
    pair = [
        add_tested(tmp_path, number, answers(10), own=own(*reviews))
        for number, reviews in enumerate([(0, 150, 0, 60, 70), (50, 250, 60, 80, 81, 200)], start=1)
    ]
    first, second = (comparison.read(tmp_path, model_id) for model_id in pair)
    found = comparison.compare_own(first, second)
    assert found is not None
    assert (found.difference.reviews, found.difference.disagreements) == (100, 3)
    assert (found.accuracy, found.other) == (0.98, 0.97)
    assert found.difference.points == pytest.approx(1)


@pytest.mark.parametrize("other", [None, own(300, 500)])
def test_own_test_reviews_that_one_model_lacks_and_are_compared(tmp_path: Path, other: dict[str, bool] | None) -> None:
    pair = add_tested(tmp_path, 1, answers(10), own=own(0, 150)), add_tested(tmp_path, 2, answers(10), own=other)
    first, second = (comparison.read(tmp_path, model_id) for model_id in pair)
    assert comparison.compare_own(first, second) is None
    assert comparison.compare_own(second, first) is None
