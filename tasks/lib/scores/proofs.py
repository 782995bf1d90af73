"""Whether a published score table holds: its checksums, its counts, its rows, and the scores of these once more.

Whatever a table says twice has to agree: the ledger and the files, the footer, the rows and the quarantine. Whether a
probability is that of its review cannot be seen from the table. So `check` also yields rows with their reviews, for the
caller to score them again, and `difference` compares.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.lib import arrow, errors, files, profiles
from tasks.lib.layout import Layout
from tasks.lib.profiles import Counts
from tasks.lib.scores import reports, scored, tables
from tasks.lib.scores.reports import FileReport

Floats = npt.NDArray[np.floating[Any]]

ADVICE = "Remove it and run flows/score.py on its dump again."
# The same row scored among others may differ in its last bits: see tasks/lib/network/forward.py. With the default
# network, two of the 25,000 IMDB test reviews do so by 1.5e-6; hence the second try in tasks/lib/verification.py.
TOLERANCE = 1e-6
QUARANTINE_ROWS = 256  # at a time: each may have 64 KiB
Lines = npt.NDArray[np.int64]


class Proof(NamedTuple):
    """What a table that holds has: scored and quarantined rows, and whether its reviews are in it."""

    scored: int
    quarantined: int
    has_reviews: bool


class _Unsound(Exception):
    """What does not agree: expected and found."""


def check(
    data: Layout, path: str, published: Mapping[str, str], sample: int | None
) -> Generator[scored.Rows, None, Proof]:
    """Checks the table at `path` below the data folder; yields rows to be scored again, and returns what it has.

    `published` has the sha256 of tables and quarantines by path, so far as they are known. `sample` is how many rows to
    yield, drawn by the sha256 of the table; None yields all. Every page is read, and memory does not grow with the
    table, but for 8 bytes for each quarantined record. Raises `InputError` at the first thing that does not hold.
    """
    try:
        return (yield from _check(data, path, published, sample))
    except _Unsound as found:
        raise errors.InputError(f"{path}: {found}. {ADVICE}") from None
    except scored.DAMAGED as error:
        reason = error.strerror if isinstance(error, OSError) else None
        problem = f"cannot be read: {reason}" if reason else "damaged: a page or the footer of it or its quarantine"
        raise errors.InputError(f"{path}: {problem}. {ADVICE}") from error


def _check(
    data: Layout, path: str, published: Mapping[str, str], sample: int | None
) -> Generator[scored.Rows, None, Proof]:
    table = data.root / path
    sha256 = files.sha256(table)
    _expect("sha256 as it was published", published.get(path, sha256), sha256)
    footer = tables.read_footer(table)
    if footer is None:
        raise _Unsound("expected a score table, found a file that is not Parquet or is cut off")
    quarantine = data.quarantine / table.name
    report = reports.of_footer(path, footer, reports.quarantined(footer, quarantine))
    _balance(table, footer, report)
    lines = _quarantined_lines(data, quarantine, report, published) if report.quarantined else np.empty(0, np.int64)
    # A header stands on the first line of a dump that has one, or below.
    tally = _Tally(report, lines, header=1 if footer.get("delimiter", ",") else 0)
    with pq.ParquetFile(table) as file:
        names, rows = file.schema_arrow.names, file.metadata.num_rows
        own = {name: file.schema_arrow.field(name).type for name in tables.OWN_COLUMNS if name in names}
    _expect("columns", list(tables.OWN_COLUMNS), list(own))
    _expect("types of these columns", [*map(str, tables.OWN_COLUMNS.values())], [*map(str, own.values())])
    _expect("rows", report.scored, rows)
    review_column = scored.review_column(footer, names)
    chosen = _chosen(sha256, rows, sample)
    for batch in scored.batches(table):
        start = tally.rows
        tally.add(batch)
        if review_column:
            if chosen is not None:
                first, last = np.searchsorted(chosen, (start, tally.rows))
                batch = batch.take(arrow.numbers(chosen[first:last] - start, pa.int64()))
            if len(batch):
                yield scored.of(path, batch, review_column)
    tally.close()
    return Proof(report.scored, report.rows_quarantined, review_column is not None)


def _chosen(sha256: str, rows: int, sample: int | None) -> Lines | None:
    """The positions of the rows to score again, ascending; None for all."""
    if sample is None or sample >= rows:
        return None
    return np.sort(np.random.default_rng(int(sha256, 16)).choice(rows, sample, replace=False, shuffle=False))


def _balance(table: Path, footer: Mapping[str, str], report: FileReport) -> None:
    """What the footer says twice, and the names of the file and its folder."""
    _expect("its folder", f"model={report.model_id}", table.parent.name)
    _expect("the last digits of its name", report.sha256[:16], table.stem[-16:])
    _expect("rows quarantined", int(footer["rows_quarantined"]), report.rows_quarantined)
    _expect("rows in = rows scored + rows quarantined", report.rows, report.scored + report.rows_quarantined)


def _quarantined_lines(data: Layout, quarantine: Path, report: FileReport, published: Mapping[str, str]) -> Lines:
    """The first lines of the quarantined records, in their order, once their table was checked."""
    where = data.relative(quarantine)
    if not quarantine.is_file():
        raise _Unsound(f"{report.rows_quarantined} rows were quarantined: expected {where}, found no such file")
    sha256 = files.sha256(quarantine)
    _expect(f"sha256 of {where} as it was published", published.get(where, sha256), sha256)
    of_dump = (tables.read_footer(quarantine) or {}).get("input_sha256", "none")
    _expect(f"sha256 of the dump in {where}", report.sha256, of_dump)
    first, reasons, count = [np.empty(0, np.int64)], Counter[str](), 0
    for batch in scored.batches(quarantine, rows=QUARANTINE_ROWS):
        first.append(batch["first_line"].to_numpy())
        reasons.update(batch["reason"].to_pylist())
        count += int(np.sum(batch["last_line"].to_numpy() - first[-1] + 1))
    _expect(f"reasons in {where}", report.quarantined, dict(reasons))
    _expect(f"lines quarantined in {where}", report.lines_quarantined or count, count)  # 0: made by version 0.1
    return np.concatenate(first)


class _Tally:
    """The rows of a table as they come: each is checked, and together they have to be what the footer says."""

    def __init__(self, report: FileReport, quarantined: Lines, header: int) -> None:
        self.report, self._quarantined = report, quarantined
        self.rows = self._positive = 0
        self._last_line = header
        self._histogram = np.zeros(profiles.PROBABILITY_BINS, np.int64)

    def add(self, batch: pa.RecordBatch) -> None:
        if any(column.null_count for column in batch.columns):
            raise _Unsound("expected a value in every column of every row, found a null")
        report, lines = self.report, batch["source_line"].to_numpy()
        probabilities = batch["positive_probability"].to_numpy()
        positive = probabilities >= report.threshold
        labels = [_equal(batch["predicted_label"], label) for label in ("positive", "negative")]
        # Rows and quarantined records together are numbered in the order of their lines.
        numbers = np.arange(self.rows + 1, self.rows + len(batch) + 1) + np.searchsorted(self._quarantined, lines)
        ids = pc.binary_join_element_wise(
            report.sha256[:16], arrow.numbers(numbers, pa.int64()).cast(pa.string()), "-"
        )  # fmt: skip
        rules = {
            "a line after that of the row before it": np.diff(lines, prepend=self._last_line) > 0,
            f"a line of the dump's {report.lines:,}": lines <= report.lines,
            "the row_id that its place in the dump gives": _equal(batch["row_id"], ids),
            "the source_file of the footer": _equal(batch["source_file"], report.file),
            "the model_id of the footer": _equal(batch["model_id"], report.model_id),
            "a probability from 0 to 1": (probabilities >= 0) & (probabilities <= 1),
            f"the label that threshold {report.threshold:g} gives": np.where(positive, *labels),
            "known_tokens of 0 or more": batch["known_tokens"].to_numpy() >= 0,
        }
        for rule, holds in rules.items():
            if not holds.all():
                raise _Unsound(f"row {self.rows + int(holds.argmin()) + 1:,}: expected {rule}, found another value")
        self.rows += len(batch)
        self._positive += int(np.count_nonzero(positive))
        self._histogram += profiles.histogram(probabilities)
        self._last_line = int(lines[-1]) if len(lines) else self._last_line

    def close(self) -> None:
        """Compares the sums with the footer."""
        report = self.report
        _expect("rows scored", report.scored, self.rows)
        _expect("positive rows", report.positive, self._positive)
        if report.profile.probabilities:  # version 0.1 has none
            _expect("histogram of the probabilities", report.profile.probabilities, self._histogram.tolist())


def _equal(column: pa.Array, value: pa.Array | str) -> npt.NDArray[np.bool_]:
    return pc.equal(column, value).to_numpy(zero_copy_only=False)


def _expect(what: str, expected: object, found: object) -> None:
    if expected != found:
        raise _Unsound(f"{what}: expected {expected}, found {found}")


def wrong(rows: scored.Rows, probabilities: Floats, known_tokens: Counts) -> npt.NDArray[np.int64]:
    """Which rows have other scores than these, which their model gives now.

    A label needs no comparison of its own: `check` holds every label to its probability.
    """
    moved = np.abs(probabilities.astype(np.float64) - rows.probabilities)
    return np.flatnonzero((moved > TOLERANCE) | (known_tokens != rows.known_tokens))


def difference(rows: scored.Rows, probabilities: Floats, known_tokens: Counts) -> str:
    """The rows that are wrong, in one line; empty if none is."""
    found = wrong(rows, probabilities, known_tokens)
    if not len(found):
        return ""
    at = found[0]
    return (
        f"{rows.table}: {len(found):,} of {len(rows.reviews):,} rows scored again differ, first {rows.row_ids[at]}: "
        f"its model gives {probabilities[at]:.7f} with {known_tokens[at]} known tokens, the table has "
        f"{rows.probabilities[at]:.7f} with {rows.known_tokens[at]}. {ADVICE}"
    )
