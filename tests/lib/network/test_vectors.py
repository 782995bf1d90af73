"""Word vectors from plain reviews."""

from __future__ import annotations

import numpy as np

from tasks.lib.network import vectors
from tasks.lib.network.ngrams import Numbers, flat
from tasks.lib.tokens import INDEX_FROM, PADDING_ID

CATS, DOGS, CARS, BIKES = 1, 2, 3, 4


def reviews(count: int = 400) -> tuple[Numbers, Numbers]:
    """Cats and dogs stand among words of their own, cars and bikes among others."""
    chance = np.random.default_rng(0)
    ranks = np.empty(count, object)
    for number in range(count):
        words = list(chance.integers(10, 20, 20) if number % 2 else chance.integers(20, 30, 20))
        words.insert(int(chance.integers(20)), int(chance.choice([CATS, DOGS] if number % 2 else [CARS, BIKES])))
        ranks[number] = [int(word) for word in words]
    return flat(ranks)


def test_words_of_like_company_with_unlike_vectors() -> None:
    learned = vectors.learn(*reviews(), 100, 8)
    assert learned.shape == (100, 8)
    assert learned.dtype == np.float32

    def likeness(one: int, other: int) -> float:
        a, b = learned[one + INDEX_FROM], learned[other + INDEX_FROM]
        return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))

    assert likeness(CATS, DOGS) > 0.7
    assert likeness(CARS, BIKES) > 0.7
    assert abs(likeness(CATS, CARS)) < 0.3
    assert not learned[PADDING_ID].any()
    assert not learned[50:].any()  # words that never occur


def test_the_same_reviews_with_other_vectors() -> None:
    first = vectors.learn(*reviews(), 100, 8)
    np.random.seed(1)
    np.testing.assert_array_equal(vectors.learn(*reviews(), 100, 8), first)


def test_too_few_words_for_so_many_numbers() -> None:
    learned = vectors.learn(*reviews(2), 8, 30)
    assert learned.shape == (8, 30)
    assert np.isfinite(learned).all()
    assert not vectors.learn(np.zeros(0, np.int64), np.zeros(1, np.int64), 8, 3).any()
