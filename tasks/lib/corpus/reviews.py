"""The labelled reviews of a training, wherever they come from, in their splits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from tasks.lib.corpus import imdb, own, shards
from tasks.lib.corpus.imdb import Split

OWN = "own"  # the corpus of one's own labels alone


def splits(corpus: str, archive: Path, validation_split: float, labels: Path | None = None) -> dict[str, Split]:
    """`train`, `validation` and `test` of the corpus, with the reviews of `labels` in the first two.

    Reviews of one's own are split by their words and not by `validation_split`. Raises `InputError` if a file is
    damaged.
    """
    if corpus == OWN:
        found = own.load(archive)
        return {name: found.side(name).split() for name in own.SIDES}
    found_splits = shards.splits(*imdb.load(archive), validation_split)
    return own.join(found_splits, own.load(labels)) if labels else found_splits


def usual(corpus: str, archive: Path, validation: int, labels: Path | None) -> npt.NDArray[np.bool_]:
    """Which of the reviews of the validation split, so many, are like those that come.

    All are, but for those of one's own that were chosen because a model was in doubt.
    """
    found = _own(corpus, archive, labels)
    doubted = found.side("validation").doubted if found else np.zeros(0, np.bool_)
    return ~np.concatenate([np.zeros(validation - len(doubted), np.bool_), doubted])


def usual_test(corpus: str, archive: Path, labels: Path | None) -> Split | None:
    """The test reviews of one's own that are like those that come, or None if there are no own ones."""
    found = own_test(corpus, archive, labels)
    return found.only(~found.doubted).split() if found else None


def usual_own(corpus: str, archive: Path, labels: Path | None) -> own.Own | None:
    """The reviews of one's own that were not trained on and are like those that come, or None if there are none."""
    found = _own(corpus, archive, labels)
    return found.only((found.sides != own.SIDES.index("train")) & ~found.doubted) if found else None


def test(corpus: str, archive: Path) -> Split:
    """The test reviews of the corpus."""
    return own.load(archive).side("test").split() if corpus == OWN else imdb.load(archive)[1]


def own_test(corpus: str, archive: Path, labels: Path | None) -> own.Own | None:
    """The test reviews of one's own, or None if there are none."""
    found = _own(corpus, archive, labels)
    return found.side("test") if found else None


def _own(corpus: str, archive: Path, labels: Path | None) -> own.Own | None:
    path = archive if corpus == OWN else labels
    return own.load(path) if path else None
