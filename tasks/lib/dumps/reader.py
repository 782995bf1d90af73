"""Review dumps: delimited files with a header, read record by record, with nothing lost and nothing altered.

- Records are those of RFC 4180, as `csv` reads them with `strict=True`: quotes open a field only at its very start, are
  doubled within, and a delimiter or a line end follows the closing one. All other quotes (`5" screen`) are text. Fields
  are kept to the letter.
- Lines end at LF or CRLF or, in a file whose header does, at CR. An empty line is blank; one of spaces is a record.
- A record is sound if it is well-formed and has as many fields as the header. A broken one that ends where the next
  one begins costs itself; else reading resumes at the first line from which this record and the next one are sound.
- A record with a NUL is damaged. A review of white space is empty. A repeated header is no review.
"""

import csv
import os
from collections import defaultdict
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, count
from pathlib import Path
from typing import Self

from tasks.lib.dumps import header, packing
from tasks.lib.dumps.records import RAW_LIMIT, RECORD_LIMIT, Fault, Record, Records
from tasks.lib.errors import OutputError

BATCH_LINES = 2_000  # given to the parser at a time


@dataclass(frozen=True, slots=True)
class Span:
    """A quarantined record, or lines that hold no record to be trusted; it counts as one row."""

    ordinal: int  # among all records, good and bad, from 1
    first_line: int  # a physical one, the file's first being 1
    last_line: int
    reason: str  # a code
    detail: str  # what was expected and found; never text of the record
    raw: bytes  # as they are in the file, RAW_LIMIT at most
    raw_bytes: int  # how many there are


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
    `counts` and the file's `sha256` are there when the iteration has ended."""

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
        self.header, self.review_index, self.delimiter = _unique(found.names), found.matches[0], found.delimiter
        self.counts = Counts(lines=found.lines, bytes=found.end)
        self._records = Records(chain([head[found.end :]], pieces), found, encoding, record_limit)
        self.sha256 = ""
        self._block, self._block_rows, self._block_bytes = Block(), block_rows, block_bytes
        self._batch_lines = BATCH_LINES

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.stream.close()

    def __iter__(self) -> Iterator[Block]:
        """The blocks, none of them empty. Raises InputError if the file is damaged, too large or changed meanwhile."""
        begun = self.counts.bytes
        for line in self._steps():
            self._records.drop(line)
            if self._room() <= 0 or self.counts.bytes - begun >= self._block_bytes:
                yield self._block
                self._block, begun = Block(), self.counts.bytes
        if self._block.rows or self._block.spans:
            yield self._block
        self.counts.check(self.stream.name, self._records.end - 1, self.stream.bytes)
        self.stream.check_unchanged()
        self.sha256 = self.stream.hash.hexdigest()

    def _room(self) -> int:
        return self._block_rows - len(self._block.rows) - len(self._block.spans)

    def _steps(self) -> Iterator[int]:
        """Adds rows and spans to the block; yields the next line wherever the block may be full."""
        records, line = self._records, self._records.first
        while records.at(line) is not None:
            line = self._take_good(line)
            yield line
            if line == records.end:
                continue
            record = records.read(line)
            if record.fault is None:
                self._add_rows({line: record.fields}, line, record.end)
                line = record.end
            elif record.sound or (record.fields and self._ends_where_one_begins(record, line)):
                line = self._add_span(line, record.end, record.fault)
            elif records.raw(line, line + 1)[0].count(b'"') % 2 == 0 and records.sound(line + 1):
                # Quotes that were not doubled come in pairs, so that the line is whole: saves 42,000 good rows of a
                # million where a third of the rows have such a pair.
                line = self._add_span(line, line + 1, record.fault)
            else:
                line = yield from self._skip(line, record.fault)
            yield line

    def _take_good(self, start: int) -> int:
        """Adds good records from line `start` on, a batch at most; returns the next line.

        `Records.read` alone would do, but takes 340 ms for 25,000 reviews, and with this it is 210 ms.
        """
        records, rows, line = self._records, dict[int, list[str]](), start
        batch = records.raw(start, start + min(self._batch_lines, self._room()))
        if b"\0" in b"".join(batch) or sum(map(len, batch)) > records.limit:
            batch = []
        parser = csv.reader(map(records.decode, batch), delimiter=self.delimiter, strict=True)
        try:
            for row in parser:
                end = start + parser.line_num
                if row and (records.fault(row) or (end - line > 1 and line in records.open)):
                    break
                rows[line] = row
                line = end
        except (csv.Error, UnicodeDecodeError):
            pass  # `Records.read` finds out what it is
        # A record that breaks may take the parser through the whole batch: where many do, batches are short.
        self._batch_lines = min(2 * (line - start) + 16, BATCH_LINES)
        self._add_rows(rows, start, line)
        return line

    def _ends_where_one_begins(self, record: Record, start: int) -> bool:
        """Whether a well-formed record with another number of fields than the header costs itself alone."""
        if record.end - start == 1:
            # A line ends where the next record begins, sound or not: saves 410 good rows of a million where a
            # twentieth of the rows are ragged, and 29,000 where a fifth are.
            return True
        # One record in 8 million began on the last line: its opening quote had closed the one before.
        last = self._records.read(record.end - 1)
        return self._records.sound(record.end) and not (last.sound and last.end > record.end)

    def _skip(self, start: int, fault: Fault) -> Generator[int, None, int]:
        """Adds spans of line `start` and those up to where records are sound again, RAW_LIMIT bytes each, so that
        memory stays flat and spans keep all that their lines have."""
        records, end, length = self._records, start + 1, len(self._records.raw(start, start + 1)[0])
        while (line := records.at(end)) is not None and not (line.strip(b"\r\n") and records.sound(end, 2)):
            length += len(line)
            if length > RAW_LIMIT:
                yield self._add_span(start, end, fault)
                start, length, fault = end, len(line), (fault[0], "continues the span before")
            end += 1
        return self._add_span(start, end, fault)

    def _add_rows(self, rows: dict[int, list[str]], start: int, end: int) -> None:
        """Adds the rows in these lines, by the lines they begin on; those of no fields are blank lines."""
        good = {line: row for line, row in rows.items() if row}
        self._block.ordinals += range(self.counts.rows + 1, self.counts.rows + len(good) + 1)
        self._block.lines += good
        self._block.rows += good.values()
        self.counts.good += len(good)
        self.counts.blank += len(rows) - len(good)
        self._count(start, end)

    def _add_span(self, start: int, end: int, fault: Fault) -> int:
        raw = b"".join(self._records.raw(start, end))[:RAW_LIMIT]
        self.counts.quarantined += 1
        self._block.spans.append(Span(self.counts.rows, start, end - 1, *fault, raw, self._count(start, end)))
        return end

    def _count(self, start: int, end: int) -> int:
        """Counts these lines as accounted for; returns their bytes."""
        lines = self._records.raw(start, end)
        length = sum(map(len, lines))
        self.counts.lines += len(lines)
        self.counts.bytes += length
        return length


open_dump = Dump  # `with open_dump(path) as dump`


def _unique(names: Sequence[str]) -> tuple[str, ...]:
    """The names, the later ones of the same name numbered: name, name_2."""
    numbers = defaultdict[str, Iterator[int]](lambda: count(2))
    taken, unique = set(names), dict[str, None]()
    for name in names:
        new = name
        while new in unique or (new != name and new in taken):
            new = f"{name}_{next(numbers[name])}"
        unique[new] = None
    return tuple(unique)
