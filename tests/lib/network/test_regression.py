"""The n-gram baseline: what it learns, and what it does where there is nothing to learn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from tasks.lib.corpus import imdb, shards
from tasks.lib.network import ngrams, regression
from tasks.lib.tokens import Labels
from tests.support import corpora

Rows = list[list[int]]
GOOD, NOT, BAD, OTHER = 1, 2, 3, 4


def reviews(rows: Rows) -> ngrams.Ranks:
    ranks = np.empty(len(rows), object)
    ranks[:] = rows
    return ranks


def both_classes(positive: Rows, negative: Rows) -> tuple[ngrams.Ranks, Labels]:
    labels = np.array([1] * len(positive) + [0] * len(negative), np.uint8)
    return reviews(positive + negative), labels


def with_noise(patterns: Rows, count: int, seed: int) -> Rows:
    """Reviews that have all patterns in random places among random words."""
    chance = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        pieces = [[int(word)] for word in chance.integers(10, 60, 20)]
        for pattern in patterns:
            pieces.insert(chance.integers(len(pieces) + 1), pattern)
        rows.append([word for piece in pieces for word in piece])
    return rows


@pytest.mark.parametrize(
    ("decides_at", "positive", "negative"),
    [
        (1, [[GOOD]], [[BAD]]),
        (2, [[GOOD], [NOT, BAD]], [[BAD], [NOT, GOOD]]),
        (3, [[GOOD, NOT, BAD], [OTHER, NOT, OTHER]], [[GOOD, NOT, OTHER], [OTHER, NOT, BAD]]),
    ],
)
def test_words_in_a_row_that_decide_but_are_not_learned(
    monkeypatch: pytest.MonkeyPatch, decides_at: int, positive: Rows, negative: Rows
) -> None:
    """The reviews of both classes have the same shorter n-grams, so those alone cannot tell them apart."""
    train = both_classes(with_noise(positive, 200, 0), with_noise(negative, 200, 1))
    test = both_classes(with_noise(positive, 100, 2), with_noise(negative, 100, 3))
    assert regression.fit(*train).accuracy(*test) > 0.95
    monkeypatch.setattr(ngrams, "LONGEST", decides_at - 1 or 1)
    assert decides_at == 1 or regression.fit(*train).accuracy(*test) < 0.7


def test_ratios_that_are_not_those_of_the_counts() -> None:
    occurs = np.array([[1, 1, 0], [1, 0, 0], [1, 0, 0], [0, 1, 1], [0, 0, 1]], float)
    ratios = regression.log_count_ratios(sparse.csr_array(occurs), np.array([1, 1, 1, 0, 0], np.uint8))
    positive, negative = np.array([4, 2, 1]) / 7, np.array([1, 2, 3]) / 6
    np.testing.assert_allclose(ratios, np.log(positive / negative))


def test_another_run_with_other_weights() -> None:
    split = corpora.reviews(300)
    np.random.seed(1)
    first = regression.fit(split.ranks, split.labels)
    np.random.seed(2)
    second = regression.fit(split.ranks, split.labels)
    assert len(np.unique(first.weights)) > 100
    np.testing.assert_array_equal(first.weights, second.weights)
    assert first.intercept == second.intercept


def test_a_weight_that_does_not_count() -> None:
    """Reviews of one word, whose labels contradict each other: the heavier ones win."""
    split = reviews([[1, 1]] * 20)
    labels = np.array([0, 1] * 10, np.uint8)
    for heavy in (0, 1):
        weights = np.where(labels == heavy, 5, 1).astype(np.float32)
        assert regression.fit(split, labels, weights).accuracy(split, np.full(20, heavy, np.uint8)) == 1


@pytest.mark.parametrize(
    ("rows", "labels", "accuracy"),
    [
        ([[1, 2], [1, 2]], [1, 1], 0.75),
        ([[1, 2], [1, 2]], [0, 0], 0.25),
        ([[1], [2], [3]], [1, 1, 0], 0.75),
        ([[], [], []], [0, 0, 1], 0.25),
        ([[1]], [0], 0.25),
    ],
    ids=["all positive", "all negative", "no word often", "empty reviews", "one review"],
)
def test_too_little_to_fit_that_gives_no_accuracy(rows: Rows, labels: list[int], accuracy: float) -> None:
    classifier = regression.fit(reviews(rows), np.array(labels, np.uint8))
    test = reviews([[1, 2], [2], [1], []])
    assert classifier.accuracy(test, np.array([1, 1, 1, 0], np.uint8)) == accuracy


def test_real_reviews_that_the_baseline_gets_wrong(imdb_dir: Path) -> None:
    splits = shards.splits(*imdb.load(imdb_dir / "imdb.npz"), 0.2)
    classifier = regression.fit(splits["train"].ranks, splits["train"].labels)
    assert classifier.accuracy(splits["test"].ranks[:10_000], splits["test"].labels[:10_000]) > 0.915
