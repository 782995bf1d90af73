"""What reviews look like, in counts: how positive they are, how long, how rare their words. Never their text.

The bins are the same for every model and every dump. So the counts of dumps add up to those of a day, and those of a
model's validation reviews can be compared with both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

Counts = npt.NDArray[np.integer[Any]]

PROBABILITY_BINS = 20  # of the same width, so that one half of them is positive
LENGTHS = np.unique(np.round(2 ** (np.arange(53) / 4)))  # known words at which a bin begins: 1 to 8,192
# Shares of the words of a review: the last value of each bin but one.
SHARES = np.array([0, 0.25, 0.5, 1, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 50]) / 100


class Scores(NamedTuple):
    """What is known of some reviews once they are scored: arrays (rows,)."""

    probabilities: npt.NDArray[np.floating[Any]]
    """of being positive"""
    known_tokens: Counts
    """its words that are in the word index"""
    rare_tokens: Counts
    """those of its known words that are outside the model's vocabulary"""
    words: Counts
    """its words, known or not"""


class Profile(BaseModel):
    """How many reviews there are in each bin, and how many words all of them have. Tables of old have less."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    probabilities: list[int] = []
    """of being positive, in bins of the same width from 0 to 1"""
    lengths: list[int] = []
    """in known words, by `LENGTHS`"""
    rare: list[int] = []
    """the share of the known words that are outside the model's vocabulary, by `SHARES`"""
    unknown: list[int] = []
    """the share of the words that are not in the word index, by `SHARES`; none where they were not kept"""
    words: int = 0
    known: int = 0
    """of the words, those that are in the word index"""

    @property
    def rows(self) -> int:
        """The number of reviews."""
        return sum(self.probabilities)

    @property
    def halves(self) -> list[int]:
        """Reviews that are more likely negative, and positive; whatever the threshold of the labels is."""
        middle = len(self.probabilities) // 2
        return [sum(self.probabilities[:middle]), sum(self.probabilities[middle:])]

    @property
    def positive_share(self) -> float:
        """The share of the reviews that are more likely positive."""
        return self.halves[1] / max(self.rows, 1)

    def __add__(self, other: Profile) -> Profile:
        return Profile(
            probabilities=_sum(self.probabilities, other.probabilities),
            lengths=_sum(self.lengths, other.lengths),
            rare=_sum(self.rare, other.rare),
            unknown=_sum(self.unknown, other.unknown),
            words=self.words + other.words,
            known=self.known + other.known,
        )


def count(scores: Scores) -> Profile:
    """The profile of these reviews. One without a known word counts as one whose words are all rare and unknown."""
    known = scores.known_tokens
    return Profile(
        probabilities=histogram(scores.probabilities).tolist(),
        lengths=np.bincount(np.searchsorted(LENGTHS, known, "right"), minlength=len(LENGTHS) + 1).tolist(),
        rare=_shares(scores.rare_tokens, known),
        unknown=unknown(scores.words, known),
        words=int(scores.words.sum()),
        known=int(known.sum()),
    )


def histogram(probabilities: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.int64]:
    """The number of probabilities in each of the bins."""
    bins = np.minimum((probabilities * PROBABILITY_BINS).astype(np.intp), PROBABILITY_BINS - 1)
    return np.bincount(bins, minlength=PROBABILITY_BINS)


def unknown(words: Counts, known: Counts) -> list[int]:
    """How many reviews have which share of unknown words."""
    return _shares(words - known, words)


def _shares(some: Counts, of: Counts) -> list[int]:
    shares = np.where(of > 0, some / np.maximum(of, 1), 1.0)
    return np.bincount(np.searchsorted(SHARES, shares, "left"), minlength=len(SHARES) + 1).tolist()


def _sum(one: Sequence[int], other: Sequence[int]) -> list[int]:
    if not one or not other:
        return list(one or other)
    return [a + b for a, b in zip(one, other, strict=True)]
