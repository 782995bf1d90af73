"""Which scored rows to ask labels for: half of them at random, half where the model doubts most.

The random half is drawn from all rows, also from those that were asked for before: without them it would lack those in
doubt, and the model would look better than it is. They are not asked for again; the labels that they have count.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Callable, Container, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.lib import errors
from tasks.lib.network import words
from tasks.lib.scores import tables

COLUMNS = ["row_id", "positive_probability", "predicted_label", "model_id"]


class Chosen(NamedTuple):
    """A row to ask for; `identity` is the digest of the review's words."""

    row_id: str
    review: str
    identity: str
    model_id: str
    predicted_label: str
    at_random: bool


class Drawn(NamedTuple):
    """The rows to ask for, and those drawn at random that need no asking: asked for before, known, or there twice."""

    rows: list[Chosen]
    again: list[Chosen]


class Batch(NamedTuple):
    """Rows of a table: how far each probability is from the threshold, and the row at a position, which takes time."""

    doubts: npt.NDArray[np.float32]
    row: Callable[[int], Chosen]


def one_of_each(paths: Sequence[str], model_id: str | None) -> list[str]:
    """One table of each dump: that of the model if there is one, else the last. `paths` are in the order of time."""
    chosen: dict[str, str] = {}
    for path in sorted(paths, key=lambda path: Path(path).parent.name == f"model={model_id}"):  # a stable sort
        chosen[Path(path).stem[-16:]] = path
    return sorted(chosen.values())


def draw(
    paths: Sequence[Path],
    count: int,
    random: np.random.Generator,
    asked: Container[str] = (),
    known: Container[str] = (),
) -> Drawn:
    """At most `count` rows of the tables to ask for, in random order, no review twice.

    Half as many are drawn at random from all rows. Of these, a row whose `row_id` was asked for is not to be asked for
    again, nor is a review whose identity is known. The rows nearest the threshold fill up the count. Memory does not
    grow with the tables. Raises `InputError` if a table is damaged.
    """

    def is_new(row: Chosen) -> bool:
        return row.row_id not in asked and row.identity not in known

    by_chance, in_doubt = _Best((count + 1) // 2), _Best(count, is_new, once=True)
    for path in paths:
        for batch in _batches(path):
            by_chance.offer(random.random(len(batch.doubts)), batch.row)
            in_doubt.offer(batch.doubts, batch.row)
    drawn = [row._replace(at_random=True) for row in by_chance.rows()]
    firsts = {row.identity: row for row in reversed(drawn) if is_new(row)}
    rows = list(firsts.values())
    again = [row for row in drawn if firsts.get(row.identity) is not row]
    rows += [row for row in in_doubt.rows() if row.identity not in firsts][: count - len(rows)]
    return Drawn([rows[position] for position in random.permutation(len(rows))], again)


class _Best:
    """The rows with the smallest values, `size` at most, of those that are wanted; with `once`, no review twice."""

    def __init__(self, size: int, wanted: Callable[[Chosen], bool] = lambda row: True, once: bool = False) -> None:
        self._size, self._wanted, self._once = size, wanted, once
        self._heap: list[tuple[float, str, Chosen]] = []  # the largest value first: heapq has the smallest there
        self._held: set[str] = set()

    def offer(self, values: npt.NDArray[Any], row: Callable[[int], Chosen]) -> None:
        for position in np.argsort(values, kind="stable").tolist():
            value = float(values[position])
            if len(self._heap) == self._size and value >= -self._heap[0][0]:
                return
            found = row(position)
            if (self._once and found.identity in self._held) or not self._wanted(found):
                continue
            heapq.heappush(self._heap, (-value, found.row_id, found))
            self._held.add(found.identity)
            if len(self._heap) > self._size:
                self._held.discard(heapq.heappop(self._heap)[2].identity)

    def rows(self) -> list[Chosen]:
        """The rows, that of the smallest value first."""
        return [found for _, _, found in sorted(self._heap, reverse=True)]


def _batches(table: Path) -> Iterator[Batch]:
    """The rows of a table; none if it has no column with the reviews, as after `--keep`."""
    try:
        with pq.ParquetFile(table, page_checksum_verification=True) as file:
            footer = {name.decode(): value.decode() for name, value in (file.metadata.metadata or {}).items()}
            column = review_column(footer)
            if column not in file.schema_arrow.names:
                return
            for batch in file.iter_batches(columns=[*COLUMNS, column]):
                yield _batch(batch, column, float(footer["threshold"]))
    except (OSError, LookupError, ValueError, pa.ArrowException) as error:
        raise errors.InputError(f"{table}: missing or damaged. Score its dump again with --rescore.") from error


def _batch(batch: pa.RecordBatch, column: str, threshold: float) -> Batch:
    def row(position: int) -> Chosen:
        row_id, _, label, model_id, review = (values[position].as_py() for values in batch.columns)
        return Chosen(row_id, review, words.identity(review), model_id, label, at_random=False)

    batch = batch.select([*COLUMNS, column])
    return Batch(np.abs(batch["positive_probability"].to_numpy() - np.float32(threshold)), row)


def review_column(footer: dict[str, str]) -> str:
    """The name that the column of the reviews has in the table of this footer."""
    header = json.loads(footer["header"])
    return tables.carried_columns(header, None, footer["source_file"])[header.index(footer["review_column"])]
