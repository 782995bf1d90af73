"""Records out of physical lines, as the standard library's `csv` reads them with `strict=True`."""

import csv
import io
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from operator import methodcaller

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
    """What stands in the lines up to `end`. `fault` is the code of what is wrong with its form."""

    end: int
    fields: list[str] = field(default_factory=list)  # none if the line is blank
    fault: str = ""
    undecodable: str = ""  # where the first bytes are that the encoding does not have


class Records:
    """The physical lines from `number` on, those read so far being `items`, and the records in them."""

    def __init__(
        self, pieces: Iterable[bytes], number: int, cr: bool, limit: int, encoding: str, delimiter: str, width: int
    ) -> None:
        self.items: list[bytes] = []
        self.number = number  # of items[0]
        self.limit = limit
        self._lines = _split(pieces, cr, limit)
        self.decode = methodcaller("decode", encoding)
        self._encoding = encoding
        self._delimiter = delimiter
        self._width = width
        self._open = range(0)  # physical lines at whose start a broken record was inside quotes

    def at(self, index: int) -> bytes | None:
        """Line `index`, or None behind the last one."""
        while index >= len(self.items) and (lines := next(self._lines, None)):
            self.items += lines
        return self.items[index] if index < len(self.items) else None

    def drop(self, count: int) -> None:
        """Forgets the first `count` lines."""
        del self.items[:count]
        self.number += count

    def read(self, start: int) -> Record:
        """The record at line `start`, which has to be there."""
        record = Record(start)
        try:
            record.fields = next(csv.reader(self._feed(record), delimiter=self._delimiter, strict=True), [])
            if record.fields and len(record.fields) != self._width:
                record.fault = "too_few_fields" if len(record.fields) < self._width else "too_many_fields"
        except csv.Error as error:
            record.fault = record.fault or ("lone_line_break" if "new-line" in str(error) else "malformed_quote")
        if record.fault and self.number + record.end > self._open.stop:
            self._open = range(self.number + start + 1, self.number + record.end)
        return record

    def _feed(self, record: Record) -> Iterator[str]:
        """The lines of the record, as the parser asks for them: at any but the first it is inside quotes."""
        start, length = record.end, 0
        while (line := self.at(record.end)) is not None:
            length += size(line)
            if length > self.limit and record.end == start:
                record.fault, record.end = "field_too_large", start + 1
                return
            if length > self.limit or record.end - start == LINES_LIMIT or self._is_open(start, record.end):
                break
            record.end += 1
            try:
                text = line.decode(self._encoding)
            except UnicodeDecodeError as error:
                found = f"line {self.number + record.end - 1}: not valid {self._encoding} at its byte {error.start + 1}"
                record.undecodable = record.undecodable or found
                text = line.decode("latin-1")  # quotes and delimiters stay where they are
            yield text
        record.fault = "unterminated_quote"

    def _is_open(self, start: int, at: int) -> bool:
        """Whether a record from line `start` on is inside quotes at line `at`, as a broken one before it was.

        It would end as that did: without this, many stray quotes in a large file would each read it to its end.
        """
        return start < at and self._open.start <= self.number + start and self.number + at < self._open.stop

    def is_within_limits(self, start: int, end: int) -> bool:
        """Whether `read` would take these lines for one record, if the parser does."""
        return sum(map(len, self.items[start:end])) <= self.limit and not self._is_open(start, start + 1)

    def sound(self, index: int, count: int) -> bool:
        """Whether the `count` records from line `index` on have no fault, or as many as there are."""
        while count and self.at(index) is not None:
            record = self.read(index)
            if record.fault:
                return False
            count -= bool(record.fields)
            index = record.end
        return True


def _split(pieces: Iterable[bytes], cr: bool, limit: int) -> Iterator[list[bytes]]:
    """The physical lines, as many at a time as a piece completes. Of a line over the limit, no more is kept."""
    parts: list[bytes] = []  # of the line that is not complete
    length = 0
    for piece in filter(None, pieces):
        lines = _CR_LINES.findall(piece) if cr else io.BytesIO(piece).readlines()
        rest = [] if lines[-1].endswith(b"\r" if cr else b"\n") else [lines.pop()]
        if lines:
            lines[0] = _line([*parts, lines[0]], length + len(lines[0]), limit)
            if len(piece) > limit:
                lines[1:] = [_line([line], len(line), limit) for line in lines[1:]]
            yield lines
            parts, length = [], 0
        parts += rest
        length += sum(map(len, rest))
        if sum(map(len, parts)) > limit:
            parts = [b"".join(parts)[:RAW_LIMIT]]
    if parts:
        yield [_line(parts, length, limit)]


def _line(parts: list[bytes], length: int, limit: int) -> bytes:
    if length <= limit:
        return b"".join(parts)
    cut = CutLine(b"".join(parts)[:RAW_LIMIT])
    cut.length = length
    return cut
