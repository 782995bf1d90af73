"""Review dumps: delimited files with a header, read record by record, with nothing lost and nothing altered.

What counts as what, where files leave it open:

- A record is one by RFC 4180, as the standard library's `csv` reads it with `strict=True`: quotes open a field only
  at its very start, are doubled within, and nothing but a delimiter or a line end follows the closing one. All other
  quotes (`5" screen`, a quote after a space) are text. Fields are kept to the letter, padding included.
- A physical line ends at LF or CRLF or, in a file whose header does, at CR. Inside quotes nothing ends a record.
- A line with nothing before its end is blank. A line of spaces is a record, and as such mostly too short.
- A record is sound if it is well-formed and has as many fields as the header. A broken one that ends where the next
  one begins costs itself; else reading goes on at the first line from which this record and the next two are sound.
- A record with a NUL is damaged. A review of white space is empty.
- A record that is the header once more, of two columns or more, is none of the reviews: files were put together.
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
from tasks.lib.errors import InputError, OutputError

BATCH_LINES = 2_000  # given to the parser at a time
SHORT_BATCH = 16

UNPARSED = {
    "malformed_quote": "expected a delimiter or a line end behind a closing quote, found text",
    "unterminated_quote": "an opening quote is not closed",
    "lone_line_break": "a line break of another kind than the file's, outside quotes",
    "field_too_large": "a line longer than the limit",
}


@dataclass(frozen=True, slots=True)
class Span:
    """A quarantined record, or lines that hold no record to be trusted; it counts as one row.

    Lines are physical ones, the file's first being 1. `raw` are the bytes of the file, RAW_LIMIT at most of the
    `raw_bytes` there are. `detail` says what was expected and found, and never holds text of the record.
    `reason` is a key of UNPARSED, `too_few_fields`, `too_many_fields`, `undecodable`, `nul_byte`, `empty_review` or
    `repeated_header`.
    """

    ordinal: int  # among all records, good and bad, from 1
    first_line: int
    last_line: int
    reason: str
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
    """Good records, spans and blank lines; the lines and bytes read, and those of them that these account for."""

    good: int = 0
    quarantined: int = 0
    blank: int = 0
    lines: int = 0
    bytes: int = 0  # decompressed
    lines_accounted: int = 0
    bytes_accounted: int = 0

    @property
    def rows(self) -> int:
        return self.good + self.quarantined

    def check(self, name: str) -> None:
        """Raises OutputError unless every line and byte is accounted for exactly once."""
        if (self.lines, self.bytes) != (self.lines_accounted, self.bytes_accounted):
            raise OutputError(
                f"{name}: {self.lines} lines of {self.bytes} bytes read, but {self.lines_accounted} lines of "
                f"{self.bytes_accounted} bytes accounted for. Nothing is published."
            )


class Dump:
    """An open review dump; iterate once over its blocks. `open_dump` makes one.

    `header`: the column names as they stand, `name_2` for the second of one name. `review_index`: the column that
    holds the review. `counts` and the file's `sha256` are final when the iteration has ended.
    """

    def __init__(
        self, stream: packing.Stream, found: header.Header, lines: Records, block_rows: int, block_bytes: int
    ) -> None:
        self.header = _unique(found.names)
        self.review_index = found.matches[0]
        self.delimiter = found.delimiter
        self.counts = Counts(lines_accounted=lines.number - 1, bytes_accounted=found.end)
        self.stream = stream
        # Files put together by their bytes leave the second one's mark where it is.
        names = list(found.names)
        self._repeated = [names, ["\ufeff" + names[0], *names[1:]]] if len(names) > 1 else []
        self._lines = lines
        self._block, self._size = Block(), 0  # size: bytes of its records and spans
        self._block_rows, self._block_bytes = block_rows, block_bytes
        self._batch_lines = BATCH_LINES
        self._lost = "", ""  # reason and detail, while no sound record has been found behind a broken one
        self._begun = False

    @property
    def sha256(self) -> str:
        return self.stream.sha256

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.stream.close()

    def __iter__(self) -> Iterator[Block]:
        """The blocks, none of them empty. Raises InputError when the file turns out to be damaged, too large, or
        changed meanwhile, and OutputError when the counts do not balance at its end."""
        if self._begun:
            raise InputError(f"{self.stream.name}: a dump can be read only once. Open it again.")
        self._begun = True
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
        self.counts.lines = lines.number - 1
        self.counts.bytes = self.stream.bytes
        self.counts.check(self.stream.name)
        self.stream.check_unchanged()

    def _is_full(self) -> bool:
        return len(self._block.rows) + len(self._block.spans) >= self._block_rows or self._size >= self._block_bytes

    def _take_good(self, start: int) -> int:
        """Takes good records and blank lines from line `start` on, up to a full block, the end of a batch of lines, or
        anything that needs a closer look; returns the line at which it stopped."""
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
                    if len(row) != width or _is_empty(row[review]) or row in self._repeated:
                        break
                    if end - begin > 1 and not lines.is_within_limits(start + begin, start + end):
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
        self._batch_lines = min(self._batch_lines * 2 if begin else SHORT_BATCH, BATCH_LINES)
        self._count(starts, blank, batch[:begin])
        return start + begin

    def _take_one(self, index: int) -> int:
        """Takes one blank line, record or span from line `index` on; returns the line behind it."""
        lines = self._lines
        record = lines.read(index)
        raw = lines.items[index : record.end]
        reason, detail = self._complaint(record, raw)
        # A single line ends where the next record begins, whatever that is like. Where a fifth of the rows are ragged,
        # asking for a sound one behind it would take along GAIN good rows of a million; at random damage it is 0.
        if reason in UNPARSED or (record.fault and len(raw) > 1 and not lines.sound(record.end, 1)):
            self._lost = reason, detail
            return self._skip(index, index + 1)
        if reason:
            self._add_span(index, record.end, reason, detail)
        elif record.fields:
            self._block.rows.append(record.fields)
            self._count([lines.number + index], 0, raw)
        else:
            self._count([], 1, raw)
        return record.end

    def _skip(self, index: int, end: int) -> int:
        """Quarantines lines from `index` on, up to `end` at least and to where records are sound again.

        It takes RAW_LIMIT bytes at a time: memory stays flat, and a span keeps all that its lines have.
        """
        lines, (reason, detail) = self._lines, self._lost
        length = sum(map(records.size, lines.items[index:end]))
        self._lost = "", ""
        while (line := lines.at(end)) is not None and not (line.strip(b"\r\n") and lines.sound(end, 3)):
            length += records.size(line)
            if length > RAW_LIMIT and end > index:
                self._lost = reason, "continues the span before"
                break
            end += 1
        if end > index:
            self._add_span(index, end, reason, detail)
        return end

    def _complaint(self, record: Record, raw: list[bytes]) -> tuple[str, str]:
        """Why the record cannot be scored, as a code and in words; both empty if it can, or is a blank line."""
        if record.fault in UNPARSED:
            return record.fault, UNPARSED[record.fault]
        if any(b"\0" in line for line in raw):
            return "nul_byte", "expected text, found a NUL byte"
        if record.fault:
            return record.fault, f"expected {len(self.header)} fields, found {len(record.fields)}"
        if record.undecodable:
            return "undecodable", record.undecodable
        if record.fields in self._repeated:
            return "repeated_header", "the header once more: files were put together"
        if record.fields and _is_empty(record.fields[self.review_index]):
            return "empty_review", f"field {self.review_index + 1}: expected a review, found none"
        return "", ""

    def _count(self, starts: list[int], blank: int, lines: list[bytes]) -> None:
        """Counts the rows that start on these lines of the file, and the blank lines beside them."""
        first = self.counts.rows + 1
        self._block.ordinals.extend(range(first, first + len(starts)))
        self._block.lines.extend(starts)
        self.counts.good += len(starts)
        self.counts.blank += blank
        self._size += self._account(lines)

    def _add_span(self, start: int, end: int, reason: str, detail: str) -> None:
        raw, first = self._lines.items[start:end], self._lines.number + start
        kept, length = b"".join(raw)[:RAW_LIMIT], self._account(raw)
        self._size += len(kept)
        self.counts.quarantined += 1
        self._block.spans.append(Span(self.counts.rows, first, first + len(raw) - 1, reason, detail, kept, length))

    def _account(self, lines: list[bytes]) -> int:
        length = sum(map(records.size, lines))
        self.counts.lines_accounted += len(lines)
        self.counts.bytes_accounted += length
        return length


def open_dump(
    path: str | os.PathLike[str],
    *,
    review_column: str = "review",
    encoding: str = "utf-8",
    delimiter: str | None = None,
    max_bytes: int | None = None,
    block_rows: int = 2048,
    block_bytes: int = 8 << 20,
    record_limit: int = RECORD_LIMIT,
) -> Dump:
    """Opens a review dump and reads its header; use it as a context manager.

    The delimiter is found out if not given. `max_bytes` bounds the decompressed size; `block_rows` rows or about
    `block_bytes` bytes make a block; a line or record of more than `record_limit` bytes is quarantined unread.
    Raises InputError for what cannot be read as a whole: no regular file, no text, no header, no such column.
    """
    encoding = header.check_options(encoding, delimiter)
    stream = packing.Stream(Path(path), max_bytes=max_bytes)
    try:
        pieces, head = stream.pieces(), b""
        while len(head) < header.HEAD_LIMIT and (piece := next(pieces, b"")):
            head += piece
        found = header.find(stream.name, head, review_column, encoding, delimiter)
        body = chain([head[found.end :]], pieces)
        lines = Records(body, found.lines + 1, found.cr, record_limit, encoding, found.delimiter, len(found.names))
        return Dump(stream, found, lines, block_rows, block_bytes)
    except BaseException:
        stream.close()
        raise


def _is_empty(review: str) -> bool:
    return not review or review.isspace()


def _unique(names: tuple[str, ...]) -> tuple[str, ...]:
    """The names, the later ones of the same name numbered: name, name_2."""
    taken, unique = set(names), dict[str, None]()
    for name in names:
        new, number = name, 2
        while new in unique or (new != name and new in taken):
            new, number = f"{name}_{number}", number + 1
        unique[new] = None
    return tuple(unique)
