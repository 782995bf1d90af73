"""Score tables and quarantine tables: one of each per dump and model, published complete or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.lib import arrow, errors, files, profiles
from tasks.lib.dumps import reader
from tasks.lib.dumps.blocks import Block, Counts, Span
from tasks.lib.dumps.header import listed
from tasks.lib.profiles import Scores

OWN_COLUMNS = {
    "row_id": pa.string(),
    "source_file": pa.string(),
    "source_line": pa.int64(),
    "positive_probability": pa.float32(),
    "predicted_label": pa.string(),
    "known_tokens": pa.int32(),
    "model_id": pa.string(),
}
PARTITION_COLUMN = "model"  # readers make it from the folder's name

QUARANTINE_SCHEMA = pa.schema(
    {
        "source_file": pa.string(),
        "first_line": pa.int64(),
        "last_line": pa.int64(),
        "reason": pa.string(),
        "detail": pa.string(),
        "raw": pa.binary(),
        "raw_bytes": pa.int64(),
    }
)
# What is known of each row group is held till the file is closed: many small ones would make memory grow with the dump.
ROW_GROUP_ROWS, ROW_GROUP_BYTES = 8_192, 16 << 20
STEM_BYTES = 120  # a file name has room for 255 bytes, and hidden, requeued and report names are longer
REQUEUED = re.compile(r"-[0-9a-f]{16}-requeued$")  # how the stem of a repaired dump ends: whose rows it holds


def table_name(source_file: str, input_sha256: str) -> str:
    """The name of the tables of a dump: its stem, and the first 16 digits of the sha256 of its bytes."""
    stem = re.sub(r"[^\w .()+,@-]", "_", reader.SUFFIXES.sub("", source_file))
    requeued = REQUEUED.search(stem)
    end = requeued[0] if requeued else ""
    stem = stem.removesuffix(end).lstrip("._ ")  # readers of a folder of tables skip names that begin with . or _
    stem = stem.encode()[:STEM_BYTES].decode(errors="ignore") or "dump"
    return f"{stem}{end}-{input_sha256[:16]}.parquet"


def folder(scores: Path, model_id: str) -> Path:
    """Where the score tables of a model are."""
    return scores / f"model={model_id}"


def carried_columns(header: Sequence[str], keep: Sequence[str] | None, source_file: str) -> dict[int, str]:
    """Which input columns go into the table: position in the input -> name in the table.

    Of columns of one name, the later ones are numbered: `name_2`. `keep` are these names, each alone or several
    separated by commas; None keeps all. A name that one of our columns has gets `input_` in front, and a column
    without a name is called by its position. Raises `InputError` for a name that the header does not have.
    """
    header = _numbered(header)
    wanted = set(header) if keep is None else set(_split_names(header, keep))
    if missing := sorted(wanted.difference(header)):
        raise errors.InputError(
            f"{source_file}: no column {missing[0]!r} to keep (found: {listed(header)}). Mend --keep."
        )
    taken = {*OWN_COLUMNS, PARTITION_COLUMN}
    carried = {}
    for position, name in enumerate(header):
        if name not in wanted:
            continue
        unique = name or f"column_{position + 1}"
        while unique in taken:
            unique = f"input_{unique}"
        taken.add(unique)
        carried[position] = unique
    return carried


def _numbered(names: Sequence[str]) -> list[str]:
    """The names, the later ones of the same name numbered as no other column is."""
    numbers, unique = Counter(set(names)), dict[str, None]()
    for name in names:
        new = name
        while new in unique or (new != name and new in numbers):
            numbers[name] += 1
            new = f"{name}_{numbers[name]}"
        unique[new] = None
    return list(unique)


def _split_names(header: Sequence[str], keep: Sequence[str]) -> list[str]:
    names: list[str] = []
    for item in keep:
        names += [item] if item in header else [part.strip() for part in item.split(",")]
    return names


@dataclass(frozen=True)
class Origin:
    """What a pair of tables is made from, and with which options."""

    source_file: str
    input_sha256: str
    model_id: str
    threshold: float
    review_column: str
    header: tuple[str, ...]
    delimiter: str


class Tables:
    """Writes both tables of one dump under hidden names; `publish` puts them in place, the score table last.

    A dump counts as scored when its score table stands, so that is the moment of commitment. Leaving the
    `with` block without `publish` removes what was written. Memory does not grow with the number of rows.
    """

    def __init__(self, table: Path, quarantine: Path, origin: Origin, carried: dict[int, str]) -> None:
        self.table, self.quarantine, self.origin, self.carried = table, quarantine, origin, carried
        self.schema = pa.schema(OWN_COLUMNS | {name: pa.string() for name in carried.values()})
        self.scored = self.positive = 0
        self.profile = profiles.Profile()
        self.table_sha256 = self.quarantine_sha256 = ""  # known when they are published
        self.reasons: Counter[str] = Counter()
        self.lines_quarantined = 0
        self.quarantined = hashlib.sha256()  # of which records, and why
        self._row_group: list[pa.RecordBatch] = []
        self._score_writer: Any = None
        self._quarantine_writer: Any = None

    def __enter__(self) -> Self:
        files.make_folder(self.table.parent)
        with files.output_errors(self.table), files.removed_on_error(files.partial(self.table)):
            self._score_writer = _writer(files.partial(self.table), self.schema)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for writer in (self._score_writer, self._quarantine_writer):
            if writer is not None and writer.is_open:
                with suppress(OSError):  # closing writes, too: on a full disk it fails as what failed before it
                    writer.close()
        for final in (self.table, self.quarantine):
            with suppress(OSError):  # what stays is hidden, and swept by the next run
                files.remove(files.partial(final))

    def add(self, block: Block, scores: Scores) -> None:
        """Writes the rows of a block with their scores, and its spans. Raises `OutputError`."""
        if block.ordinals:
            with files.output_errors(self.table):
                self._write_scores(block, scores)
        if block.spans:
            with files.output_errors(self.quarantine):
                self._write_quarantine(block.spans)

    def _write_scores(self, block: Block, scores: Scores) -> None:
        origin, count = self.origin, len(block.ordinals)
        positive = scores.probabilities >= origin.threshold
        arrays = [
            arrow.text([f"{origin.input_sha256[:16]}-{ordinal}" for ordinal in block.ordinals]),
            arrow.text([origin.source_file] * count),
            arrow.numbers(block.lines, pa.int64()),
            arrow.numbers(scores.probabilities, pa.float32()),
            arrow.text(["positive" if is_positive else "negative" for is_positive in positive.tolist()]),
            arrow.numbers(scores.known_tokens, pa.int32()),
            arrow.text([origin.model_id] * count),
        ]
        arrays += [arrow.text(block.column(position)) for position in self.carried]
        self._row_group.append(pa.RecordBatch.from_arrays(arrays, schema=self.schema))
        self.positive += int(positive.sum())
        self.profile += profiles.count(scores)
        if (
            sum(len(batch) for batch in self._row_group) >= ROW_GROUP_ROWS
            or sum(batch.nbytes for batch in self._row_group) >= ROW_GROUP_BYTES
        ):
            self._write_row_group()

    def _write_row_group(self) -> None:
        if self._row_group:
            group, self._row_group = pa.Table.from_batches(self._row_group), []
            self._score_writer.write_table(group)
            self.scored += len(group)

    def _write_quarantine(self, spans: Sequence[Span]) -> None:
        if self._quarantine_writer is None:
            files.make_folder(self.quarantine.parent, mode=files.PRIVATE_FOLDER)
            temporary = files.partial(self.quarantine)
            os.close(os.open(temporary, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, files.PRIVATE_FILE))
            self._quarantine_writer = _writer(temporary, QUARANTINE_SCHEMA)
        self._quarantine_writer.write_table(quarantine_rows(self.origin.source_file, spans))
        self.reasons.update(span.reason for span in spans)
        self.lines_quarantined += sum(span.last_line - span.first_line + 1 for span in spans)
        for span in spans:
            self.quarantined.update(record_key(span.first_line, span.last_line, span.reason))

    def publish(self, counts: Counts, superseded: Sequence[Path] = ()) -> None:
        """Checks that every row that was read is in one of the tables, and puts both in place of `superseded`.

        The caller syncs the folder of the score table, once for many small dumps: a name that is lost with the power is
        a dump that the next run scores. Raises `OutputError` if it does not add up or cannot be written; then nothing
        is published.
        """
        with files.output_errors(self.table):
            self._write_row_group()
        quarantined = sum(self.reasons.values())
        if counts.rows != self.scored + quarantined:
            raise errors.OutputError(
                f"{self.origin.source_file}: {counts.rows} rows in, but {self.scored} scored and {quarantined} "
                "quarantined. Nothing was published; this is a bug, please report it with the counts."
            )
        footer = {
            "rows_in": counts.rows,
            "rows_scored": self.scored,
            "rows_quarantined": quarantined,
            "rows_positive": self.positive,
            "blank_lines": counts.blank,
            "lines_in": counts.lines,
            "lines_quarantined": self.lines_quarantined,
            "bytes_in": counts.bytes,
            "source_file": self.origin.source_file,
            "input_sha256": self.origin.input_sha256,
            "model_id": self.origin.model_id,
            "threshold": self.origin.threshold,
            "review_column": self.origin.review_column,
            "header": json.dumps(self.origin.header),
            "delimiter": self.origin.delimiter,
            "quarantined": json.dumps(self.reasons),
            "histogram": json.dumps(self.profile.probabilities),
            "lengths": json.dumps(self.profile.lengths),
            "rare": json.dumps(self.profile.rare),
            "unknown": json.dumps(self.profile.unknown),
            "words": self.profile.words,
            "words_known": self.profile.known,
        }
        with files.output_errors(self.table):
            for writer, final in ((self._quarantine_writer, self.quarantine), (self._score_writer, self.table)):
                if writer is not None:
                    writer.add_key_value_metadata({name: str(value) for name, value in footer.items()})
                    writer.close()
                    files.sync(files.partial(final))
            self.table_sha256 = files.sha256(files.partial(self.table))
            self.quarantine_sha256 = files.sha256(files.partial(self.quarantine)) if quarantined else ""
            # Were it killed now, a table of an earlier scoring must not stand beside the quarantine of this one, nor
            # rows of it twice: without a table, the next run scores the dump again.
            for older in (*superseded, self.table):
                if older.exists():
                    files.remove(older)
                    files.sync(older.parent)
            if self._quarantine_writer is None:
                files.remove(self.quarantine)
            else:
                files.place(files.partial(self.quarantine), self.quarantine)
            files.partial(self.table).replace(self.table)


def quarantine_rows(source_file: str, spans: Sequence[Span]) -> pa.Table:
    """The rows of a quarantine table for these spans."""
    names = [name for name in QUARANTINE_SCHEMA.names if name != "source_file"]
    rows = [{"source_file": source_file} | {name: getattr(span, name) for name in names} for span in spans]
    return pa.Table.from_pylist(rows, schema=QUARANTINE_SCHEMA)


def record_key(first_line: int, last_line: int, reason: str) -> bytes:
    """What tells a quarantined record from the others of its dump, and the same one read in another way."""
    return f"{first_line}-{last_line} {reason}\n".encode()


def _writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    # Without a copy of the Arrow schema, readers show the footer's counts as the schema's metadata.
    return pq.ParquetWriter(path, schema, write_page_checksum=True, store_schema=False)


def read_footer(table: Path) -> dict[str, str] | None:
    """What a published table says of itself (row counts, sha256, model), or None if it is missing or damaged."""
    try:
        return _words(pq.read_metadata(table))
    except (OSError, ValueError, pa.ArrowException):
        return None


def is_one(path: Path) -> bool:
    """Whether a file is a score table or a quarantine table, by its footer."""
    return (read_footer(path) or {}).keys() >= {"rows_in", "input_sha256", "model_id"}


def footer(tail: bytes) -> tuple[dict[str, str], int]:
    """The same from the last bytes of a table, with its number of rows. Raises `ValueError` if it is damaged."""
    try:
        found = pq.read_metadata(pa.BufferReader(tail))
        return _words(found), found.num_rows
    except (OSError, pa.ArrowException) as error:
        raise ValueError(str(error)) from error


def _words(found: pq.FileMetaData) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in (found.metadata or {}).items()}
