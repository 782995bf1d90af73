"""The labelled reviews of a training, wherever they come from, in their splits."""

from __future__ import annotations

from pathlib import Path

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


def test(corpus: str, archive: Path) -> Split:
    """The test reviews of the corpus."""
    return own.load(archive).side("test").split() if corpus == OWN else imdb.load(archive)[1]


def own_test(corpus: str, archive: Path, labels: Path | None) -> own.Own | None:
    """The test reviews of one's own, or None if there are none."""
    path = archive if corpus == OWN else labels
    return own.load(path).side("test") if path else None
