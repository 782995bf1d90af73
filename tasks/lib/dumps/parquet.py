"""Review dumps in Parquet, some rows at a time, with nothing lost and nothing altered.

- Every page that has a checksum is verified. A damaged page is no row to be quarantined: the file fails as a whole.
- The reviews are text, in any type that Arrow has for it. Other columns are carried as text: numbers, dates and times
  as Arrow casts them, nulls as empty cells. A column that has no such cast, or is nested, is refused.
- A row with text that is not UTF-8, or that has a NUL, is damaged, as in other forms.
- Rows take the place of lines. What a quarantine keeps of one is an object of JSON, as of a dump of JSON lines.
"""

import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.lib import arrow
from tasks.lib.dumps import header
from tasks.lib.dumps.blocks import RAW_LIMIT, Block, Fault, OpenDump, Options, Span
from tasks.lib.dumps.packing import Stream
from tasks.lib.errors import InputError, printable

BATCH_ROWS = 256  # decoded at a time: what a page has once, many rows may repeat
BUFFER = 1 << 20  # bytes of a column that are read at a time: unbuffered, those of a row group are read as a whole
NAMES_SHOWN = 20

# What pyarrow raises on a file that is not what it should be.
_DAMAGED = (OSError, LookupError, TypeError, ValueError, pa.ArrowException)
_AS_TEXT = pc.CastOptions(pa.string(), allow_invalid_utf8=True)


@dataclass
class ColumnBlock(Block):
    """A block of a form that has a column after the other."""

    columns: list[pa.StringArray] = field(default_factory=list)

    @property
    def rows(self) -> list[list[str]]:
        """The fields of the good records."""
        return list(map(list, zip(*(column.to_pylist() for column in self.columns), strict=True)))

    def strings(self, index: int) -> list[str]:
        """The good records' fields in one column."""
        if index not in self._strings:
            self._strings[index] = self.columns[index].to_pylist()
        return self._strings[index]

    def column(self, index: int) -> pa.StringArray:
        """The same as an Arrow array."""
        return self.columns[index]

    _strings: dict[int, list[str]] = field(default_factory=dict)


class ParquetDump(OpenDump):
    """An open dump in Parquet."""

    def __init__(self, stream: Stream, options: Options) -> None:
        super().__init__(stream, options)
        file = stream.file()
        with self._errors("expected Parquet, found something else, or a part of it"):
            self._file = pq.ParquetFile(file, buffer_size=BUFFER, pre_buffer=False, page_checksum_verification=True)
            schema = self._file.schema_arrow
        self.header = tuple(schema.names)
        self.review_index = header.review_column(stream.name, self.header, options.review_column)
        self._batch_rows = self._rows_at_once()
        types = {field.name: _plain(field.type) for field in schema}
        review = self.header[self.review_index]
        self._refuse([name for name in types if self.header.count(name) > 1], "more than one column of that name")
        self._refuse([name for name, kind in types.items() if pa.types.is_nested(kind)], "nested columns")
        self._refuse([name for name, kind in types.items() if not _has_text(kind)], "columns that cannot be text")
        self._refuse([] if _is_text(types[review]) else [review], f"reviews of type {types[review]}")

    def __iter__(self) -> Iterator[Block]:
        counts, options = self.counts, self.options
        waiting, rows, length = list[list[pa.StringArray]](), 0, 0
        for columns in self._batches():
            waiting.append(columns)
            rows += len(columns[0])
            length += sum(pc.sum(pc.binary_length(column)).as_py() or 0 for column in columns)
            if options.max_bytes is not None and counts.bytes + length > options.max_bytes:
                found = f"{self.stream.name}: has more text than the limit of {options.max_bytes} bytes"
                raise InputError(f"{found}. Raise the limit if the file is to be trusted.")
            if rows + self._batch_rows > options.block_rows or length >= options.block_bytes:
                yield self._block(waiting)
                counts.bytes += length
                waiting, rows, length = [], 0, 0
        if rows:
            yield self._block(waiting)
        counts.bytes += length
        if counts.rows != (expected := self._file.metadata.num_rows):
            raise InputError(f"{self.stream.name}: expected {expected} rows, found {counts.rows}. Fetch it again.")
        with self._errors("could not be read again"):
            self.sha256 = self.stream.read_hash()

    def _rows_at_once(self) -> int:
        """As many as make a block at most, if they are as large as the footer says."""
        metadata = self._file.metadata
        size = sum(metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups))
        fitting = self.options.block_bytes * metadata.num_rows // max(size, 1)
        return max(1, min(BATCH_ROWS, self.options.block_rows, fitting))

    def _batches(self) -> Iterator[list[pa.StringArray]]:
        """Some rows at a time, as columns of text."""
        with self._errors("a page is damaged or cut off"):
            for batch in self._file.iter_batches(self._batch_rows, use_threads=False):
                yield [_text(column) for column in batch.columns]

    def _block(self, batches: Sequence[Sequence[pa.StringArray]]) -> Block:
        """The rows of some batches: good ones, and what is quarantined."""
        columns = [pa.concat_arrays(parts) for parts in zip(*batches, strict=True)]
        first = self.counts.rows + 1
        self.counts.rows += len(columns[0])
        self.counts.lines = self.counts.rows
        numbers = list(range(first, self.counts.rows + 1))
        block = ColumnBlock(numbers, numbers, [], [_filled(column) for column in columns])
        return block if self._is_sound(block) else self._parted(block, columns)

    def _is_sound(self, block: ColumnBlock) -> bool:
        """Whether surely no row of a block has a fault: to look at each takes as long as to decode it."""
        try:
            for column in block.columns:
                column.validate(full=True)  # is it UTF-8
        except pa.ArrowInvalid:
            return False
        reviews = block.strings(self.review_index)
        return (
            self.check is None
            and sum(column.nbytes for column in block.columns) <= self.options.record_limit
            and not any(b"\0" in (column.buffers()[2] or pa.py_buffer(b"")).to_pybytes() for column in block.columns)
            and "" not in reviews
            and not any(map(str.isspace, reviews))
        )

    def _parted(self, block: ColumnBlock, columns: Sequence[pa.StringArray]) -> Block:
        """The block without the rows that have a fault; these are its spans."""
        decoded = [_cells(column) for column in columns]
        is_utf8 = all(valid for _, valid in decoded)
        good = []
        for at, row in enumerate(zip(*(cells for cells, _ in decoded), strict=True)):
            fault = self._fault(["" if cell is None else cell for cell in row], is_utf8)
            if fault is None:
                good.append(at)
            else:
                block.spans.append(self._span(block.ordinals[at], row, fault))
        numbers = [block.ordinals[at] for at in good]
        kept = arrow.numbers(good, pa.int64())
        return ColumnBlock(numbers, numbers, block.spans, [column.take(kept) for column in block.columns])

    def _fault(self, fields: list[str], is_utf8: bool) -> Fault | None:
        """What is wrong with a row."""
        text = "".join(fields)
        if not is_utf8 and _has_bytes(text):
            return "undecodable", "expected UTF-8, found other bytes"
        if "\0" in text:
            return "nul_byte", "expected text, found a NUL"
        if len(text) > self.options.record_limit:
            return "field_too_large", "a row over the limit"
        review = fields[self.review_index]
        if not review or review.isspace():
            return "empty_review", f"field {self.review_index + 1}: expected a review, found none"
        return self.check(fields) if self.check else None

    def _span(self, number: int, row: Sequence[str | None], fault: Fault) -> Span:
        raw = json.dumps(dict(zip(self.header, row, strict=True)), ensure_ascii=False)
        content = raw.encode(errors="surrogateescape") + b"\n"
        return Span(number, number, number, *fault, content[:RAW_LIMIT], len(content))

    def _refuse(self, names: Collection[str], what: str) -> None:
        if names:
            shown = ", ".join(printable(name) for name in list(names)[:NAMES_SHOWN])
            more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
            found = f"{self.stream.name}: expected columns that can be text, found {what} ({shown}{more})"
            raise InputError(f"{found}. Write the file without them, or with text in them.")

    @contextmanager
    def _errors(self, problem: str) -> Iterator[None]:
        """Turns what pyarrow raises into an InputError."""
        try:
            yield
        except _DAMAGED as error:
            advice = "Fetch it again"
            if isinstance(error, OSError) and error.strerror:  # what pyarrow finds has none
                problem, advice = f"could not be read: {error.strerror}", "Fix that and run the same command again"
            raise InputError(f"{self.stream.name}: {problem}. {advice}.") from error


def _plain(kind: pa.DataType) -> pa.DataType:
    """The type of the values, however they are stored."""
    if isinstance(kind, pa.BaseExtensionType):
        return _plain(kind.storage_type)
    return _plain(kind.value_type) if pa.types.is_dictionary(kind) else kind


def _is_text(kind: pa.DataType) -> bool:
    """Whether a type holds text, or bytes that can be: some writers do not mark text as such."""
    return kind in (
        pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary(), pa.binary_view()
    )  # fmt: skip


def _has_text(kind: pa.DataType) -> bool:
    """Whether Arrow gives values of the type as text."""
    try:
        pa.nulls(0, kind).cast(pa.string())
    except pa.ArrowNotImplementedError:
        return False
    return _is_text(kind) or not pa.types.is_fixed_size_binary(kind)


def _text(column: pa.Array) -> pa.StringArray:
    """The values as text, which need not be UTF-8."""
    if isinstance(column.type, pa.BaseExtensionType):
        return _text(column.storage)
    if pa.types.is_dictionary(column.type):
        return _text(column.dictionary_decode())
    return pc.cast(column, options=_AS_TEXT)


def _filled(text: pa.StringArray) -> pa.StringArray:
    """The strings with an empty one in place of each null."""
    return pc.fill_null(text, "") if text.null_count else text


def _cells(text: pa.StringArray) -> tuple[list[str | None], bool]:
    """The strings, None where there is a null, and whether all of them are UTF-8; other bytes are escaped."""
    try:
        return text.to_pylist(), True
    except UnicodeDecodeError:
        values = text.cast(pa.binary()).to_pylist()
        return [value if value is None else value.decode(errors="surrogateescape") for value in values], False


def _has_bytes(text: str) -> bool:
    """Whether bytes that are not UTF-8 are escaped in the text."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False
