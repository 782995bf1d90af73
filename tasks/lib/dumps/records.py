"""Records out of physical lines, as the standard library's `csv` reads them with `strict=True`."""

import csv
import io
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from operator import methodcaller

from tasks.lib.dumps.header import Header

RAW_LIMIT = 64 << 10
RECORD_LIMIT = 64 << 20
LINES_LIMIT = 1_000_000  # of one record: its lines are held in memory

_CR_LINES = re.compile(rb"[^\r]*\r|[^\r]+")
csv.field_size_limit(sys.maxsize)  # the limits above are those of a record


class CutLine(bytes):
    """The first RAW_LIMIT bytes of a line over the limit; `length` is that of the whole line."""

    length: int


def size(line: bytes) -> int:
    """Bytes of the line in the file, its line end included."""
    return line.length if isinstance(line, CutLine) else len(line)


@dataclass(slots=True)
class Record:
    """What stands in the lines up to `end`. `reason` is the code of what is wrong with it."""

    end: int
    fields: list[str] = field(default_factory=list)  # none if the line is blank
    reason: str = ""
    detail: str = ""
    well_formed: bool = True
    sound: bool = True  # and with as many fields as the header


class Records:
    """The physical lines from `number` on, those read so far being `items`, and the records in them."""

    def __init__(self, pieces: Iterable[bytes], header: Header, encoding: str, limit: int) -> None:
        self.items: list[bytes] = []
        self.number = header.lines + 1  # of items[0]
        self.limit = limit
        self.decode = methodcaller("decode", encoding)
        self._lines = _split(pieces, header.cr, limit)
        self._delimiter = header.delimiter
        self._width, self._spare = len(header.names), header.spare
        self._open = range(0)  # physical lines at whose start a broken record was inside quotes

    def at(self, index: int) -> bytes | None:
        """Line `index`, or None behind the last one."""
        while index >= len(self.items) and (lines := next(self._lines, None)):
            self.items += lines
        return self.items[index] if index < len(self.items) else None

    def drop(self, count: int) -> None:
        del self.items[:count]
        self.number += count

    def read(self, start: int) -> Record:
        """The record at line `start`, which has to be there."""
        record, width = Record(start), self._width
        try:
            record.fields = next(csv.reader(self._feed(record), delimiter=self._delimiter, strict=True), [])
            if self._spare and len(record.fields) == width + 1 and not record.fields[-1]:
                record.fields.pop()
            found = len(record.fields)
            record.sound = record.well_formed and found in (0, width)
            if found not in (0, width) and record.reason != "nul_byte":
                record.reason = "too_few_fields" if found < width else "too_many_fields"
                record.detail = f"expected {width} fields, found {found}"
        except csv.Error as error:
            if record.well_formed:
                record.reason = "lone_line_break" if "new-line" in str(error) else "malformed_quote"
                record.detail = "expected a delimiter or the file's line end behind a field, found something else"
            record.well_formed = record.sound = False
        if not record.sound and self.number + record.end > self._open.stop:
            self._open = range(self.number + start + 1, self.number + record.end)
        return record

    def _feed(self, record: Record) -> Iterator[str]:
        """The lines of the record, as the parser asks for them: at any but the first it is inside quotes."""
        start, length = record.end, 0
        while (line := self.at(record.end)) is not None:
            length += size(line)
            if length > self.limit or record.end - start == LINES_LIMIT or self._is_open(start, record.end):
                break
            record.end += 1
            if b"\0" in line:
                record.reason, record.detail = "nul_byte", "expected text, found a NUL byte"
            try:
                text = self.decode(line)
            except UnicodeDecodeError as error:
                record.reason = record.reason or "undecodable"
                record.detail = record.detail or f"line {self.number + record.end - 1}, byte {error.start + 1}"
                text = line.decode("latin-1")  # quotes and delimiters stay where they are
            yield text
        record.well_formed = False
        record.reason, record.detail = "unterminated_quote", "an opening quote is not closed"
        if record.end == start:
            record.end += 1
            record.reason, record.detail = "field_too_large", f"a line of more than {self.limit} bytes"

    def _is_open(self, start: int, at: int) -> bool:
        """Whether a record from line `start` on is inside quotes at line `at`, as a broken one before it was.

        It would end as that did: without this, many stray quotes in a large file would each read it to its end.
        """
        return start < at and self._open.start <= self.number + start and self.number + at < self._open.stop

    def may_span(self, start: int, end: int) -> bool:
        """Whether `read` would take several lines for one record, if the parser does."""
        return sum(map(len, self.items[start:end])) <= self.limit and not self._is_open(start, start + 1)

    def sound(self, index: int, count: int = 1) -> bool:
        """Whether the `count` records from line `index` on are sound, or as many as there are."""
        while count and self.at(index) is not None:
            record = self.read(index)
            if not record.sound:
                return False
            count -= bool(record.fields)
            index = record.end
        return True


def _split(pieces: Iterable[bytes], cr: bool, limit: int) -> Iterator[list[bytes]]:
    """The physical lines, as many at a time as a piece completes; they end at LF or, if `cr`, at CR."""
    parts: list[bytes] = []  # of the line that is not complete; no more of it is held than the limit
    length = 0
    for piece in filter(None, pieces):
        lines = _CR_LINES.findall(piece) if cr else io.BytesIO(piece).readlines()
        rest = [] if lines[-1].endswith(b"\r" if cr else b"\n") else [lines.pop()]
        if lines:
            length += len(lines[0])
            lines[0] = _line(b"".join([*parts, lines[0]]), length, limit)
            yield lines if len(piece) <= limit else [lines[0], *(_line(line, len(line), limit) for line in lines[1:])]
            parts, length = [], 0
        parts += rest
        length += sum(map(len, rest))
        if sum(map(len, parts)) > limit:
            parts = [b"".join(parts)[:RAW_LIMIT]]
    if parts:
        yield [_line(b"".join(parts), length, limit)]


def _line(line: bytes, length: int, limit: int) -> bytes:
    if length > limit:
        line = CutLine(line[:RAW_LIMIT])
        line.length = length
    return line
