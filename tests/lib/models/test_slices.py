"""Slices of the test reviews: the facts that they are made of, and who is in which."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tasks.lib import tokens
from tasks.lib.corpus import imdb
from tasks.lib.models import slices
from tests.support.corpora import reviews

WORD_INDEX = {"the": 1, "not": 2, "film": 3, "don't": 4, "nothing": 5, "never": 6, "note": 7, "can't": 8}


def lists(*ranks: list[int]) -> np.ndarray:
    found = np.empty(len(ranks), object)
    found[:] = ranks
    return found


def made(words: int, known: int, negations: int = 0) -> slices.Facts:
    """The facts of one review."""
    return slices.Facts(*(np.array([number], np.int32) for number in (words, known, negations)))


def test_reviews_whose_words_are_counted_wrongly() -> None:
    ranks = lists([], [1, 3, 900], [2, 1, 8, 2], [5, 7], [], [6], [4, 4], [])
    found = slices.facts(ranks, WORD_INDEX, num_words=9)
    assert found.words.tolist() == [0, 3, 4, 2, 0, 1, 2, 0]
    assert found.known_words.tolist() == [0, 2, 3, 1, 0, 0, 2, 0]
    assert found.negations.tolist() == [0, 0, 3, 0, 0, 1, 2, 0]
    assert {counts.dtype for counts in found} == {np.dtype(np.int32)}


@pytest.mark.parametrize("num_words", [1, 4, 100, 303, 1000])
def test_known_words_that_the_network_does_not_see(num_words: int) -> None:
    ranks = reviews(50).ranks
    ids = tokens.padded(ranks, num_words, maxlen=40)  # longer than any of them
    seen = (ids >= tokens.INDEX_FROM).sum(axis=1)
    assert slices.facts(ranks, {}, num_words).known_words.tolist() == seen.tolist()


@pytest.mark.parametrize(
    ("facts", "names"),
    [
        (made(150, 150, 1), ["up to 150 words", "95% known or more", "with negation"]),
        (made(151, 150, 0), ["151 to 250 words", "95% known or more", "without negation"]),
        (made(250, 1, 9), ["151 to 250 words", "below 95% known", "with negation"]),
        (made(251, 251), ["over 250 words", "95% known or more", "without negation"]),
        (made(100, 95), ["up to 150 words", "95% known or more", "without negation"]),
        (made(100, 94), ["up to 150 words", "below 95% known", "without negation"]),
        (made(0, 0), ["up to 150 words", "95% known or more", "without negation"]),
    ],
)
def test_a_review_in_the_wrong_slice(facts: slices.Facts, names: list[str]) -> None:
    assert list(slices.slices(facts, facts)) == names


def test_slices_that_depend_on_which_model_comes_first() -> None:
    wide, narrow = made(100, 100), made(100, 50)
    for pair in ((wide, narrow), (narrow, wide)):
        assert list(slices.slices(*pair)) == ["up to 150 words", "below 95% known", "without negation"]


def test_slices_of_the_real_reviews_that_are_as_good_as_empty(imdb_dir: Path) -> None:
    _, test = imdb.load(imdb_dir / "imdb.npz")
    word_index = tokens.read_word_index(imdb_dir / "imdb_word_index.json")
    facts = slices.facts(test.ranks, word_index, num_words=10_000)
    shares = {name: float(rows.mean()) for name, rows in slices.slices(facts, facts).items()}
    assert len(shares) == 7
    assert min(shares.values()) > 0.1
