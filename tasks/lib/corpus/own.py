"""Labelled reviews of one's own: on which side each stands, and their words in a file."""

from __future__ import annotations

from collections.abc import Container, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tasks.lib import errors, files
from tasks.lib.corpus.imdb import Split
from tasks.lib.corpus.unlabelled import Texts

SIDES = ("train", "validation", "test")
SHARES = (70, 80, 100)  # percent of all reviews: where each side ends
FEWEST = 200  # labels that a corpus of one's own needs


class Own(NamedTuple):
    """Labelled reviews as word ranks, one after the other, and of each its length, label, side and identity.

    `words` are how many each has, with those that are not in the word index and so not among the ranks.

    `sides` are numbers into `SIDES`. `doubted` says which were chosen because a model was in doubt: together they are
    not like the reviews that come. `weight` is how much one of them counts beside one of the corpus.
    """

    ranks: npt.NDArray[np.int32]
    lengths: npt.NDArray[np.int64]
    words: npt.NDArray[np.int64]
    labels: npt.NDArray[np.uint8]
    sides: npt.NDArray[np.uint8]
    identities: npt.NDArray[np.str_]
    doubted: npt.NDArray[np.bool_]
    weight: npt.NDArray[np.float32]

    @property
    def texts(self) -> Texts:
        """The words of all reviews."""
        return Texts(self.ranks, self.lengths)

    def only(self, kept: npt.NDArray[np.bool_]) -> Own:
        """The reviews that are kept."""
        ranks = self.ranks[np.repeat(kept, self.lengths)]
        each = (values[kept] for values in self[1:-1])
        return Own(ranks, *each, self.weight)  # type: ignore[call-arg,arg-type]

    def side(self, name: str) -> Own:
        """The reviews of one side."""
        return self.only(self.sides == SIDES.index(name))

    def testing(self, which: npt.NDArray[np.bool_]) -> Own:
        """The same reviews, with these on the test side, whatever their identity says."""
        return self._replace(sides=np.where(which, np.uint8(SIDES.index("test")), self.sides))

    def split(self) -> Split:
        """The reviews as a split of a corpus."""
        ranks = np.empty(len(self.lengths), object)
        ends = np.cumsum(self.lengths)
        ranks[:] = [self.ranks[end - size : end].tolist() for end, size in zip(ends, self.lengths, strict=True)]
        return Split(ranks, self.labels)


def side(identity: str) -> int:
    """The side of a review, by its identity alone: it stays there, whatever reviews come to it."""
    percent = int(identity[:16], 16) % 100
    return next(number for number, end in enumerate(SHARES) if percent < end)


def collected(
    texts: Texts,
    words: npt.NDArray[np.int64],
    labels: Sequence[int],
    identities: Sequence[str],
    weight: float = 1.0,
    doubted: Container[str] = (),
) -> Own:
    """The reviews, each on its side. `doubted` are the identities of those that were chosen in doubt."""
    return Own(
        texts.ranks.astype(np.int32),
        texts.lengths.astype(np.int64),
        words.astype(np.int64),
        np.array(labels, np.uint8),
        np.array([side(identity) for identity in identities], np.uint8),
        np.array(identities, "U64"),
        np.array([identity in doubted for identity in identities], np.bool_),
        np.array(weight, np.float32),
    )


def save(path: Path, own: Own) -> None:
    """Writes the reviews as .npz."""
    with path.open("wb") as file:
        np.savez(file, **own._asdict())


def load(path: Path) -> Own:
    """The reviews of an .npz. Raises `InputError` if it cannot be read."""
    try:
        with files.input_errors(path), np.load(path, allow_pickle=False) as arrays:
            return Own(*(arrays[name] for name in Own._fields))
    except (ValueError, LookupError) as error:
        raise errors.InputError(f"{path}: damaged. Run the training again to repair it.") from error


def join(splits: dict[str, Split], own: Own) -> dict[str, Split]:
    """The splits of a corpus with those reviews behind its own ones, but for its test split, which stays as it is.

    The reviews get weights: 1 for those of the corpus, `own.weight` for the others.
    """
    joined = {name: _weighted(splits[name], own.side(name)) for name in ("train", "validation")}
    return splits | joined


def _weighted(corpus: Split, own: Own) -> Split:
    more = own.split()
    weights = np.repeat(np.array([1, own.weight], np.float32), [len(corpus), len(more)])
    return Split(np.concatenate([corpus.ranks, more.ranks]), np.concatenate([corpus.labels, more.labels]), weights)
