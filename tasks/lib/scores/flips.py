"""Rows that two models scored: how many have another label by the one than by the other, and how scores move."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tasks.lib.scores import scored, tables

SHOWN = 20  # rows that move most
BLOCK_ROWS = 65_536
BINS = 100_000  # of how far a probability moves: a percentile is known to 1e-5


class Flips(NamedTuple):
    """How many dumps and rows both models scored, and how many of these rows have another label."""

    dumps: int = 0
    rows: int = 0
    flipped: int = 0

    def __str__(self) -> str:
        dumps = f"{self.dumps:,} dump{'' if self.dumps == 1 else 's'}"
        return f"{self.flipped:,} of {self.rows:,} rows that both scored, in {dumps}"


class Moved(NamedTuple):
    """A row whose probability moves: how far, its id, and the probabilities by both models."""

    distance: float
    row_id: str
    before: float
    after: float


class Moves:
    """How the scores of rows move from one model to another. Memory does not grow with the rows."""

    def __init__(self) -> None:
        self.dumps = self.rows = self.flipped = 0
        self.most: list[Moved] = []  # the `SHOWN` rows that move most, those first
        self._sum = 0.0
        self._bins = np.zeros(BINS + 1, np.int64)

    @property
    def flips(self) -> Flips:
        """The dumps and rows so far, and the flipped ones among them."""
        return Flips(self.dumps, self.rows, self.flipped)

    @property
    def mean(self) -> float:
        """How far probabilities move on average."""
        return self._sum / max(self.rows, 1)

    def percentile(self, share: float) -> float:
        """How far at most this share of the rows moves, from 0 to 1, to 1e-5."""
        return float(np.searchsorted(self._bins.cumsum(), share * self.rows)) / BINS if self.rows else 0.0

    def add(
        self,
        row_ids: Sequence[str],
        before: npt.NDArray[np.float32],
        after: npt.NDArray[np.float32],
        flipped: npt.NDArray[np.bool_],
    ) -> None:
        """Adds rows with their probabilities by both models, and whether each has another label."""
        distances = np.abs(after.astype(np.float64) - before)
        self.rows += len(row_ids)
        self.flipped += int(np.count_nonzero(flipped))
        self._sum += float(distances.sum())
        self._bins += np.bincount(np.rint(distances * BINS).astype(np.intp), minlength=BINS + 1)
        farthest = np.argsort(-distances, kind="stable")[:SHOWN].tolist()
        found = [Moved(float(distances[at]), row_ids[at], float(before[at]), float(after[at])) for at in farthest]
        self.most = heapq.nlargest(SHOWN, self.most + found, key=lambda row: row.distance)


class _Block(NamedTuple):
    """Rows of a table: their numbers in the dump, ascending, and whether each is positive."""

    ordinals: npt.NDArray[np.int64]
    positive: npt.NDArray[np.bool_]

    def behind(self, ordinal: int) -> _Block:
        rows = np.searchsorted(self.ordinals, ordinal, "right")
        return _Block(self.ordinals[rows:], self.positive[rows:])


def count(scores: Path, first: str, second: str) -> Flips:
    """Compares the score tables of two models, table by table. Raises `InputError` if one is damaged.

    Memory does not grow with the tables.
    """
    ours, theirs = (_tables(tables.folder(scores, model_id)) for model_id in (first, second))
    dumps = sorted(ours.keys() & theirs.keys())
    counts = [_count(ours[dump], theirs[dump]) for dump in dumps]
    return Flips(len(dumps), sum(rows for rows, _ in counts), sum(flipped for _, flipped in counts))


def _tables(folder: Path) -> dict[str, Path]:
    """The tables of a model by the digits of the sha256 in their name: a dump may have got another name meanwhile."""
    return {path.stem[-16:]: path for path in sorted(folder.glob("[!.]*.parquet"))}


def _count(first: Path, second: Path) -> tuple[int, int]:
    """How many rows both tables have, and how many of these differ; both are in the order of the dump."""
    rows = flipped = 0
    left, right = _blocks(first), _blocks(second)
    ours, theirs = next(left, None), next(right, None)
    while ours and theirs:
        _, mine, other = np.intersect1d(ours.ordinals, theirs.ordinals, assume_unique=True, return_indices=True)
        rows += len(mine)
        flipped += int(np.count_nonzero(ours.positive[mine] != theirs.positive[other]))
        end = min(ours.ordinals[-1], theirs.ordinals[-1])
        ours, theirs = _behind(ours, end, left), _behind(theirs, end, right)
    return rows, flipped


def _behind(block: _Block, ordinal: int, following: Iterator[_Block]) -> _Block | None:
    rest = block.behind(ordinal)
    return rest if len(rest.ordinals) else next(following, None)


def _blocks(table: Path) -> Iterator[_Block]:
    try:
        for batch in scored.batches(table, ["row_id", "predicted_label"], BLOCK_ROWS):
            ordinals = pc.utf8_slice_codeunits(batch["row_id"], 17).cast(pa.int64())  # after the sha256 and a dash
            yield _Block(ordinals.to_numpy(), scored.is_positive(batch))
    except scored.DAMAGED as error:
        raise scored.damaged(table) from error
