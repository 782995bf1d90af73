"""Slices of the test reviews: long and short ones, those with rare words, those with a negation."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tasks.lib.tokens import INDEX_FROM

Counts = npt.NDArray[np.int32]
Mask = npt.NDArray[np.bool_]

# The common words that turn the meaning of others, as the word index spells them; all contractions with "n't" beside
# them. 87 % of the IMDB reviews have "not", "no", "never" or a contraction, 59 % have "not".
NEGATIONS = frozenset({"not", "no", "never", "cannot"})
CONTRACTION = "n't"

SHORT, LONG = 150, 250  # words: about a third of the IMDB reviews on each side
KNOWN = 95  # percent: 41 % of the IMDB reviews are below it with 10,000 words, 1 % with 30,000


class Facts(NamedTuple):
    """Of each whole test review: its words, those in the vocabulary of the model, and those that negate."""

    words: Counts
    known_words: Counts
    negations: Counts


def facts(ranks: npt.NDArray[np.object_], word_index: Mapping[str, int], num_words: int) -> Facts:
    """The facts of reviews that are lists of word ranks. Known are ranks whose token id is below `num_words`."""
    negating = [rank for word, rank in word_index.items() if word in NEGATIONS or word.endswith(CONTRACTION)]
    lengths = np.fromiter(map(len, ranks), np.int64, len(ranks))
    words = np.fromiter(chain.from_iterable(ranks), np.int32, int(lengths.sum()))
    ends = np.cumsum(lengths)

    def count(chosen: Mask) -> Counts:
        before = np.concatenate([[0], np.cumsum(chosen)])
        return (before[ends] - before[ends - lengths]).astype(np.int32)

    known = (words >= 0) & (words + INDEX_FROM < num_words)
    return Facts(lengths.astype(np.int32), count(known), count(np.isin(words, negating)))


def slices(first: Facts, second: Facts) -> dict[str, Mask]:
    """The slices that have reviews: name -> which ones. A word is known if both models know it.

    The reviews are the same, so their words and negations are, too.
    """
    words, known_words = first.words, np.minimum(first.known_words, second.known_words)
    rare = 100 * known_words.astype(np.int64) < KNOWN * words.astype(np.int64)
    negated = first.negations > 0
    found = {
        f"up to {SHORT} words": words <= SHORT,
        f"{SHORT + 1} to {LONG} words": (words > SHORT) & (words <= LONG),
        f"over {LONG} words": words > LONG,
        f"below {KNOWN}% known": rare,
        f"{KNOWN}% known or more": ~rare,
        "with negation": negated,
        "without negation": ~negated,
    }
    return {name: rows for name, rows in found.items() if rows.any()}
