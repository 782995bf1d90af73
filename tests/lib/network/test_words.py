"""The words of a review: what makes two the same, and a word index of one's own."""

from __future__ import annotations

import numpy as np

from tasks.lib.network import words
from tasks.lib.network.encoder import Encoder


def test_a_review_that_an_editor_makes_another_one() -> None:
    review = "It's GREAT,\r\nsee it! <br />"
    assert words.identity(review) == words.identity(" it's great see\nit br ")
    assert words.identity(review) != words.identity("it's great see it")
    assert words.identity("great see it's it br") != words.identity(review)


def test_a_word_index_that_is_not_that_of_the_counts() -> None:
    index = words.index(["Böse b a a", "a! B; once böse", "b"])
    assert index == {"a": 1, "b": 2, "böse": 3}
    ranks, counts, all_words = Encoder(index, num_words=10, maxlen=1).ranks(["böse, once b"])
    np.testing.assert_array_equal(ranks, [3, 2])
    np.testing.assert_array_equal(counts, [2])
    np.testing.assert_array_equal(all_words, [3])
