"""Review dumps: delimited files with a header, read record by record, with nothing lost and nothing altered.

- Records are those of RFC 4180, as `csv` reads them with `strict=True`: quotes open a field only at its very start, are
  doubled within, and a delimiter or a line end follows the closing one. All other quotes (`5" screen`) are text. Fields
  are kept to the letter.
- Lines end at LF or CRLF or, in a file whose header does, at CR. An empty line is blank; one of spaces is a record.
- A record is sound if it is well-formed and has as many fields as the header. A broken one that ends where the next
  one begins costs itself; else reading goes on at the first line from which this record and the next two are sound.
- A record with a NUL is damaged. A review of white space is empty. A repeated header is no review.
"""

import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain, takewhile
from pathlib import Path
from typing import Self

from tasks.lib.dumps import header, packing, records
from tasks.lib.dumps.records import RAW_LIMIT, RECORD_LIMIT, CutLine, Record, Records
from tasks.lib.errors import OutputError

BATCH_LINES = 2_000  # given to the parser at a time


@dataclass(frozen=True, slots=True)
class Span:
    """A quarantined record, or lines that hold no record to be trusted; it counts as one row.

    Lines are physical ones, the file's first being 1. `raw` are the bytes of the file, RAW_LIMIT at most of the
    `raw_bytes` there are. `detail` says what was expected and found, and never holds text of the record.
    """

    ordinal: int  # among all records, good and bad, from 1
    first_line: int
    last_line: int
    reason: str  # a code
    detail: str
    raw: bytes
    raw_bytes: int


@dataclass(slots=True)
class Block:
    """Good records with their ordinals and first lines, and the spans met among them; all in the file's order."""

    ordinals: list[int] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)


@dataclass(slots=True)
class Counts:
    """Good records, spans and blank lines, and the lines and bytes that they and the header account for."""

    good: int = 0
    quarantined: int = 0
    blank: int = 0
    lines: int = 0
    bytes: int = 0

    @property
    def rows(self) -> int:
        return self.good + self.quarantined

    def check(self, name: str, lines: int, length: int) -> None:
        """Raises OutputError unless every line and byte that was read is accounted for exactly once."""
        if (lines, length) != (self.lines, self.bytes):
            accounted = f"{self.lines} of {self.bytes} accounted for"
            raise OutputError(f"{name}: {lines} lines of {length} bytes read, but {accounted}. Nothing is published.")


class Dump:
    """An open review dump; iterate once over its blocks. `header` has `name_2` for the second column of one name;
    `counts` and the file's `sha256` are final when the iteration has ended."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        review_column: str = "review",
        encoding: str = "utf-8",
        delimiter: str | None = None,
        max_bytes: int | None = None,
        block_rows: int = 2048,
        block_bytes: int = 8 << 20,
        record_limit: int = RECORD_LIMIT,
    ) -> None:
        """Opens the dump and reads its header. The delimiter is found out if not given.

        `max_bytes` bounds the decompressed size; `block_rows` rows or about `block_bytes` bytes make a block; a line or
        record of more than `record_limit` bytes is quarantined. Raises InputError for what is no dump as a whole.
        """
        encoding = header.check_options(encoding, delimiter)
        self.stream = packing.Stream(Path(path), max_bytes=max_bytes)
        try:
            pieces, head = self.stream.pieces(), b""
            while len(head) < header.HEAD_LIMIT and (piece := next(pieces, b"")):
                head += piece
            found = header.find(self.stream.name, head, review_column, encoding, delimiter)
        except BaseException:
            self.stream.close()
            raise
        names = list(found.names)
        self.header = _unique(names)
        self.review_index = found.matches[0]
        self.delimiter = found.delimiter
        self._spare = found.spare
        self.counts = Counts(lines=found.lines, bytes=found.end)
        # Of two files put together, the second may bring its byte order mark.
        self._repeated = [names, ["\ufeff" + names[0], *names[1:]]] if len(names) > 1 else []
        self._lines = Records(chain([head[found.end :]], pieces), found, encoding, record_limit)
        self._block, self._size = Block(), 0  # and its bytes
        self._block_rows, self._block_bytes = block_rows, block_bytes
        self._batch_lines = BATCH_LINES
        self._lost = "", ""  # reason and detail, while no sound record has been found behind a broken one

    @property
    def sha256(self) -> str:
        return self.stream.sha256

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.stream.close()

    def __iter__(self) -> Iterator[Block]:
        """The blocks, none of them empty. Raises InputError if the file is damaged, too large or changed meanwhile."""
        lines, index = self._lines, 0
        while lines.at(index) is not None:
            if self._lost[0]:
                index = self._skip(index, index)
            else:
                index = self._take_good(index)
                if index < len(lines.items) and not self._is_full():
                    index = self._take_one(index)
            if self._is_full():
                yield self._block
                self._block, self._size = Block(), 0
            if index * 2 > len(lines.items):
                lines.drop(index)
                index = 0
        if self._block.rows or self._block.spans:
            yield self._block
        self.counts.check(self.stream.name, lines.number - 1, self.stream.bytes)
        self.stream.check_unchanged()

    def _is_full(self) -> bool:
        return len(self._block.rows) + len(self._block.spans) >= self._block_rows or self._size >= self._block_bytes

    def _take_good(self, start: int) -> int:
        """Takes good records and blank lines from line `start` on, a batch or block at most; returns the next line."""
        lines, block, width, review = self._lines, self._block, len(self.header), self.review_index
        batch = lines.items[start : start + self._batch_lines]
        if b"\0" in b"".join(batch) or CutLine in map(type, batch):
            batch = list(takewhile(lambda line: b"\0" not in line and type(line) is not CutLine, batch))
        begin = blank = 0  # begin: in the batch, of the next record
        starts = []
        parser = csv.reader(map(lines.decode, batch), delimiter=self.delimiter, strict=True)
        try:
            for row in parser:
                end = parser.line_num
                if row:
                    if len(row) != width and not (self._spare and len(row) == width + 1 and not row.pop()):
                        break
                    if _is_empty(row[review]) or row in self._repeated:
                        break
                    if end - begin > 1 and not lines.may_span(start + begin, start + end):
                        break
                    starts.append(lines.number + start + begin)
                    block.rows.append(row)
                else:
                    blank += 1
                begin = end
                if len(block.rows) + len(block.spans) >= self._block_rows:
                    break
        except (csv.Error, UnicodeDecodeError):
            pass  # `_take_one` finds out what it is
        # A record that breaks may take the parser through the whole batch: where many do, batches are short.
        self._batch_lines = min(2 * begin + 16, BATCH_LINES)
        self._count(starts, batch[:begin], blank)
        return start + begin

    def _take_one(self, index: int) -> int:
        """Takes one blank line, record or span from line `index` on; returns the next line."""
        lines = self._lines
        record = lines.read(index)
        raw, row = lines.items[index : record.end], record.fields
        reason, detail = record.reason, record.detail
        if not (record.sound or (record.well_formed and self._ends_where_one_begins(record, index))):
            # Quotes that were not doubled come in pairs, so that the line is whole: saves 42,000 good rows of a
            # million where a third of the rows have such a pair.
            if raw[0].count(b'"') % 2 == 0 and lines.sound(index + 1):
                self._add_span(index, index + 1, reason, detail)
                return index + 1
            self._lost = reason, detail
            return self._skip(index, index + 1)
        if row and not reason and row in self._repeated:
            reason, detail = "repeated_header", "the header once more: files were put together"
        elif row and not reason and _is_empty(row[self.review_index]):
            reason, detail = "empty_review", f"field {self.review_index + 1}: expected a review, found none"
        if reason:
            self._add_span(index, record.end, reason, detail)
        else:
            self._block.rows += [row] if row else []
            self._count([lines.number + index] if row else [], raw, not row)
        return record.end

    def _ends_where_one_begins(self, record: Record, start: int) -> bool:
        """Whether a well-formed record with another number of fields than the header costs itself alone."""
        if record.end - start == 1:
            # A line ends where the next record begins, sound or not: saves 410 good rows of a million where a
            # twentieth of the rows are ragged, and 29,000 where a fifth are.
            return True
        # One record in 8 million began on the last line: its opening quote had closed the one before.
        last = self._lines.read(record.end - 1)
        return self._lines.sound(record.end) and not (last.sound and last.end > record.end)

    def _skip(self, index: int, end: int) -> int:
        """Quarantines lines from `index` on, to `end` at least and to where records are sound again; RAW_LIMIT bytes at
        a time, so that memory stays flat and spans keep all that their lines have."""
        lines, (reason, detail) = self._lines, self._lost
        length = sum(map(records.size, lines.items[index:end]))
        self._lost = "", ""
        while (line := lines.at(end)) is not None and not (line.strip(b"\r\n") and lines.sound(end, 2)):
            length += records.size(line)
            if length > RAW_LIMIT and end > index:
                self._lost = reason, "continues the span before"
                break
            end += 1
        if end > index:
            self._add_span(index, end, reason, detail)
        return end

    def _count(self, starts: list[int], lines: list[bytes], blank: int) -> None:
        """Counts the rows that start on these lines of the file, and the blank lines beside them."""
        first = self.counts.rows + 1
        self._block.ordinals.extend(range(first, first + len(starts)))
        self._block.lines.extend(starts)
        self.counts.good += len(starts)
        self.counts.blank += blank
        length = sum(map(len, lines))
        self._size += length
        self.counts.lines += len(lines)
        self.counts.bytes += length

    def _add_span(self, start: int, end: int, reason: str, detail: str) -> None:
        raw, first = self._lines.items[start:end], self._lines.number + start
        kept, length = b"".join(raw)[:RAW_LIMIT], sum(map(records.size, raw))
        self._size += len(kept)
        self.counts.quarantined += 1
        self.counts.lines += len(raw)
        self.counts.bytes += length
        self._block.spans.append(Span(self.counts.rows, first, first + len(raw) - 1, reason, detail, kept, length))


open_dump = Dump  # `with open_dump(path) as dump`


def _is_empty(review: str) -> bool:
    return not review or review.isspace()


def _unique(names: list[str]) -> tuple[str, ...]:
    """The names, the later ones of the same name numbered: name, name_2."""
    taken, unique = set(names), dict[str, None]()
    for name in names:
        new, number = name, 2
        while new in unique or (new != name and new in taken):
            new, number = f"{name}_{number}", number + 1
        unique[new] = None
    return tuple(unique)
