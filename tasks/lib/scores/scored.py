"""Scored rows, read back from their table with the checksum of every page verified: to be checked, or scored again."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.lib import errors
from tasks.lib.layout import Layout
from tasks.lib.profiles import Scores
from tasks.lib.scores import tables

ROWS = 2_048  # at a time, as when they were scored
CHARACTERS = 8 << 20  # of the reviews that are scored at a time
COLUMNS = ["row_id", "positive_probability", "predicted_label", "known_tokens"]
# What pyarrow and JSON raise on a table that is not what it should be.
DAMAGED = (OSError, LookupError, TypeError, ValueError, pa.ArrowException)


class Rows(NamedTuple):
    """Rows of one table with their reviews: what the table says of each."""

    table: str
    row_ids: list[str]
    reviews: list[str]
    probabilities: npt.NDArray[np.float32]
    positive: npt.NDArray[np.bool_]
    known_tokens: npt.NDArray[np.int32]


def find(data: Layout, places: Sequence[Path] | None = None) -> list[str]:
    """The score tables in the places, or all, as paths below the data folder. A place is a table or a folder of them.

    Raises `InputError` for a place that holds no score table of this data folder.
    """
    if places is None:
        return [data.relative(path) for path in sorted(data.scores.glob("model=*/[!.]*.parquet"))]
    found: dict[str, None] = {}
    for place in places:
        path = place.resolve()
        listed = sorted(path.rglob("[!.]*.parquet")) if path.is_dir() else [path]
        ours = [data.relative(table) for table in listed if _is_table(data, table)]
        if not ours:
            raise errors.InputError(
                f"{place}: expected a score table below {data.scores}, or a folder of them, found none. Name the "
                "folder of all data with --data-dir."
            )
        found |= dict.fromkeys(ours)
    return list(found)


def _is_table(data: Layout, path: Path) -> bool:
    in_place = path.parent.parent == data.scores and path.parent.name.startswith("model=")
    return in_place and path.suffix == ".parquet" and path.is_file()


def batches(table: Path, columns: Sequence[str] | None = None, rows: int = ROWS) -> Iterator[pa.RecordBatch]:
    """The rows of a table, so many at a time, or some of its columns. Raises what is in `DAMAGED`."""
    # Buffered ahead, all that was read would be held until the file is closed.
    with pq.ParquetFile(table, page_checksum_verification=True, pre_buffer=False) as file:
        yield from file.iter_batches(rows, columns=columns)


def column_names(table: Path) -> list[str]:
    """The names of a table's columns. Raises what is in `DAMAGED`."""
    names: list[str] = pq.read_schema(table).names
    return names


def damaged(table: Path | str) -> errors.InputError:
    """The error of a table that `batches` cannot read."""
    return errors.InputError(f"{table}: missing or damaged. Score its dump again with --rescore.")


def review_column(footer: Mapping[str, str], names: Sequence[str]) -> str | None:
    """Which column of a table holds the reviews that were scored; None if `--keep` left it out.

    `names` are the columns of the table, `footer` is what it says of itself.
    """
    header = json.loads(footer["header"])
    carried = tables.carried_columns(header, None, footer["source_file"])
    name = carried[header.index(footer["review_column"])]
    if name in names and (len(names) == len(tables.OWN_COLUMNS) + len(carried) or name == footer["review_column"]):
        return name
    return None  # with some columns left out, one that was renamed may be another one


def of(table: str, batch: pa.RecordBatch, review_column: str) -> Rows:
    """Rows of a table with their reviews, from a batch of it."""
    return Rows(
        table,
        batch["row_id"].to_pylist(),
        batch[review_column].to_pylist(),
        batch["positive_probability"].to_numpy(),
        is_positive(batch),
        batch["known_tokens"].to_numpy(),
    )


def blocks(table: Path, path: str, review_column: str, numbers: Collection[int]) -> Iterator[Rows]:
    """The rows of some blocks of the dump, each in one piece: those that were scored together. See `block_numbers`."""
    pieces: list[pa.RecordBatch] = []
    for batch in batches(table, [*COLUMNS, review_column]):
        found = block_numbers(batch["row_id"])
        edges = [0, *(np.flatnonzero(np.diff(found)) + 1).tolist(), len(batch)]
        for start, end in pairwise(edges):
            if pieces and block_numbers(pieces[0]["row_id"])[0] != found[start]:
                yield of(path, _joined(pieces), review_column)
                pieces = []
            if found[start] in numbers:
                pieces.append(batch.slice(start, end - start))
    if pieces:
        yield of(path, _joined(pieces), review_column)


def block_numbers(row_ids: pa.Array) -> npt.NDArray[np.int64]:
    """The block of the dump that each row was in: `ROWS` records each, quarantined ones among them.

    Unless they are longer than 4 KiB on average: the size of a block has a limit, too.
    """
    ordinals = pc.utf8_slice_codeunits(row_ids, 17).cast(pa.int64())  # after the sha256 and a dash
    return (ordinals.to_numpy() - 1) // ROWS


def _joined(pieces: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    return pa.Table.from_batches(pieces).combine_chunks().to_batches()[0]


def is_positive(batch: pa.RecordBatch) -> npt.NDArray[np.bool_]:
    """Which rows of a batch have the label `positive`."""
    return pc.equal(batch["predicted_label"], "positive").to_numpy(zero_copy_only=False)


def groups(pieces: Iterable[Rows]) -> Iterator[list[Rows]]:
    """The pieces in groups of as many rows as are scored at a time: many tables have only a few."""
    group: list[Rows] = []
    rows = characters = 0
    for piece in pieces:
        group.append(piece)
        rows += len(piece.reviews)
        characters += sum(map(len, piece.reviews))
        if rows >= ROWS or characters >= CHARACTERS:
            yield group
            group, rows, characters = [], 0, 0
    if group:
        yield group


def reviews(group: Iterable[Rows]) -> list[str]:
    """The reviews of a group, in order."""
    return [review for piece in group for review in piece.reviews]


def parted(
    group: Iterable[Rows], found: Scores
) -> Iterator[tuple[Rows, tuple[npt.NDArray[np.floating[Any]], npt.NDArray[np.integer[Any]]]]]:
    """Each piece of a group with its probabilities and known tokens, from the scores of the whole group."""
    start = 0
    for piece in group:
        end = start + len(piece.reviews)
        yield piece, (found.probabilities[start:end], found.known_tokens[start:end])
        start = end
