"""Which n-grams a review has: its single words, pairs and triples that occur often enough in the training reviews.

An n-gram can only be frequent if the shorter ones in it are. So its key is made of the id of its beginning and the id
of its last word, and longer n-grams are looked for only where the beginning was found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tasks.lib import errors
from tasks.lib.network.table import Table
from tasks.lib.tokens import Ids

Numbers = npt.NDArray[np.int64]

Words = npt.NDArray[np.integer[Any]]
Ranks = npt.NDArray[np.object_]  # a list of word ranks for each review
LONGEST = 3
NUMBER_BITS = 32  # of an n-gram's number, where it stands beside that of its review
NONE: Numbers = np.zeros(0, np.int64)
FEWEST = 5  # occurrences; from 2 on there are 3.5 times as many n-grams, and 0.1 points less of accuracy


class Found(NamedTuple):
    """The n-grams of some reviews: each one of a review once, by number from 0, sorted; and how many each has."""

    numbers: Numbers
    counts: Numbers

    def sums(self, weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """The sum of the weights of each review's n-grams."""
        review = np.repeat(np.arange(len(self.counts)), self.counts)
        return np.asarray(np.bincount(review, weights[self.numbers], len(self.counts)), np.float64)


def padded(parts: Sequence[Found]) -> Ids:
    """The ids of n-grams, (reviews, most n-grams of one) int32: the number plus 1, with zeros on the right."""
    numbers = np.concatenate([NONE, *(part.numbers for part in parts)])
    counts = np.concatenate([NONE, *(part.counts for part in parts)])
    width = max(1, int(counts.max(initial=0)))
    ids = np.zeros((len(counts), width), np.int32)
    ids[np.arange(width) < counts[:, np.newaxis]] = numbers + 1
    return ids


@dataclass(frozen=True)
class Vocabulary:
    """The sorted keys of all n-grams that count, for each length from 1; they are numbered in this order."""

    keys: tuple[Numbers, ...]

    def __len__(self) -> int:
        return sum(map(len, self.keys))

    @classmethod
    def learn(cls, ranks: Words, lengths: Numbers) -> tuple[Vocabulary, Found]:
        """The vocabulary of these reviews, and what they have of it; their words come one after the other."""
        return _scan(ranks, lengths, None)

    def find(self, ranks: Words, lengths: Numbers) -> Found:
        """What reviews have of the vocabulary; their words come one after the other."""
        return _scan(ranks, lengths, self)[1]

    @cached_property
    def tables(self) -> tuple[Table, ...]:
        """The numbers of the n-grams of each length, by their keys."""
        return tuple(map(_table, self.keys))


def flat(ranks: Ranks) -> tuple[Numbers, Numbers]:
    """The words of all reviews, one after the other, and the length of each review."""
    lengths = np.fromiter(map(len, ranks), np.int64, len(ranks))
    return np.fromiter((rank for review in ranks for rank in review), np.int64, lengths.sum()), lengths


def save(path: Path, vocabulary: Vocabulary) -> None:
    """Writes the vocabulary as .npz."""
    with path.open("wb") as file:
        np.savez_compressed(file, *vocabulary.keys)


def load(path: Path) -> Vocabulary:
    """The vocabulary from its .npz. Raises `ModelError`."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return Vocabulary(tuple(arrays[name] for name in arrays.files))
    except Exception as error:  # NumPy and zipfile raise whatever a damaged file makes them
        raise errors.ModelError(f"{path}: cannot be read as n-grams. Run the training again to repair it.") from error


def _scan(ranks: Words, lengths: Numbers, known: Vocabulary | None) -> tuple[Vocabulary, Found]:
    """Finds the n-grams of each length; without a vocabulary, each length's frequent ones become it."""
    review = np.repeat(np.arange(len(lengths)), lengths)
    keys = ranks.astype(np.int64)
    ends = np.arange(len(keys))  # positions of the last words of the n-grams looked for
    words = np.full(len(keys), -1)
    vocabularies: list[Numbers] = []
    found = []
    width = 0
    for length in range(LONGEST):
        vocabulary = known.keys[length] if known else _frequent(keys)
        table = known.tables[length] if known else _table(vocabulary)
        numbers = table.look_up(keys.view(np.uint64)).astype(np.int64) - 1
        ends, numbers = ends[numbers >= 0], numbers[numbers >= 0]
        if length == 0:
            words[ends] = numbers
        found.append((review[ends] << NUMBER_BITS) + numbers + width)
        width += len(vocabulary)
        vocabularies.append(vocabulary)
        following = np.minimum(ends + 1, len(words) - 1)
        longer = (following > ends) & (review[following] == review[ends]) & (words[following] >= 0)
        ends = following[longer]
        keys = numbers[longer] * len(vocabularies[0]) + words[ends]
    once = np.concatenate(found)
    once.sort()  # np.unique would hash them, in ten times the time
    once = once[_first(once)]
    counts = np.bincount(once >> NUMBER_BITS, minlength=len(lengths))
    return Vocabulary(tuple(vocabularies)), Found(once & ((1 << NUMBER_BITS) - 1), counts)


def _table(keys: Numbers) -> Table:
    return Table(keys.view(np.uint64)[np.newaxis], np.arange(1, len(keys) + 1, dtype=np.int32))


def _frequent(keys: Numbers) -> Numbers:
    ordered = np.sort(keys)
    starts = np.flatnonzero(_first(ordered))
    return ordered[starts[np.diff(starts, append=len(ordered)) >= FEWEST]]


def _first(ordered: Numbers) -> npt.NDArray[np.bool_]:
    """Which of the sorted numbers are the first of their kind."""
    first = np.ones(len(ordered), bool)
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    return first
