"""Rows that two models scored, and how many of them have another label by the one than by the other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.lib import errors
from tasks.lib.scores import tables


class Flips(NamedTuple):
    """How many dumps and rows both models scored, and how many of these rows have another label."""

    dumps: int = 0
    rows: int = 0
    flipped: int = 0


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
        with pq.ParquetFile(table, page_checksum_verification=True) as file:
            for batch in file.iter_batches(columns=["row_id", "predicted_label"]):
                ordinals = pc.utf8_slice_codeunits(batch["row_id"], 17).cast(pa.int64())  # after the sha256 and a dash
                positive = pc.equal(batch["predicted_label"], "positive")
                yield _Block(ordinals.to_numpy(), positive.to_numpy(zero_copy_only=False))
    except (OSError, KeyError, pa.ArrowException) as error:
        raise errors.InputError(f"{table}: missing or damaged. Score its dump again with --rescore.") from error
