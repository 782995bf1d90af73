"""Records out of physical lines, as the standard library's `csv` reads them with `strict=True`."""

import csv
import io
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from operator import methodcaller
from typing import Self

from tasks.lib.dumps.blocks import RAW_LIMIT, Check, Fault
from tasks.lib.dumps.header import Header

LINES_LIMIT = 1_000_000  # of one record: its lines are held in memory

# What is wrong where an error of `csv`, or of `_feed`, has these words in it.
_MALFORMED: dict[str, Fault] = {
    "line of more than": ("field_too_large", "a line over the limit"),
    "end of data": ("unterminated_quote", "an opening quote is not closed"),
    "new-line": ("lone_line_break", "expected the file's line end behind a field, found another"),
    "expected after": ("malformed_quote", "expected a delimiter or a line end behind a closing quote, found text"),
}
_CR_LINES = re.compile(rb"[^\r]*\r|[^\r]+")
csv.field_size_limit(sys.maxsize)  # the limits above are those of a record


class Line(bytearray):
    """A line as pieces make it up. Its `len` is that in the file, but over the limit it keeps RAW_LIMIT bytes alone."""

    length = 0

    def add(self, piece: bytes, limit: int) -> Self:
        self.extend(piece)
        self.length += len(piece)
        if self.length > limit:
            del self[RAW_LIMIT:]
        return self

    def __len__(self) -> int:
        return self.length


@dataclass(slots=True)
class Record:
    """What stands in the lines before `end`."""

    end: int
    fields: list[str] = field(default_factory=list)  # none if the line is blank or the record malformed
    fault: Fault | None = None
    sound: bool = False  # well-formed and with as many fields as the header, or blank


class Records:
    """The records of a dump and its physical lines, numbered as in the file; these are kept until `drop`."""

    def __init__(self, pieces: Iterable[bytes], header: Header, encoding: str, limit: int) -> None:
        self.first = header.lines + 1  # of the lines that are kept
        self.decode = methodcaller("decode", encoding)
        self.open = range(0)  # lines at whose start a broken record was inside quotes
        self._delimiter, self._width, self._review = header.delimiter, len(header.names), header.matches[0]
        # Spreadsheets may end all records with one delimiter more than the header.
        self._spare = len(header.below) == self._width + 1 and not header.below[-1]
        first, *others = header.names
        # Of two files put together, the second may bring its byte order mark.
        self._repeated = [[mark + first, *others] for mark in ("", "\ufeff") if others]
        self.limit = limit
        self.check: Check = lambda fields: None
        self._kept: list[bytes | Line] = []
        self._unread = split(pieces, header.line_end, limit)

    @property
    def end(self) -> int:
        """The line behind the last one read so far."""
        return self.first + len(self._kept)

    def at(self, line: int) -> bytes | Line | None:
        """A line, or None behind the last one."""
        while line >= self.end and (lines := next(self._unread, None)):
            self._kept += lines
        return self._kept[line - self.first] if line < self.end else None

    def raw(self, start: int, end: int) -> list[bytes | Line]:
        """Those of the lines before `end` that have been read."""
        return self._kept[start - self.first : end - self.first]

    def drop(self, end: int) -> None:
        """Lines before `end` are not asked for again."""
        if (end - self.first) * 2 > len(self._kept):
            del self._kept[: end - self.first]
            self.first = end

    def read(self, start: int) -> Record:
        """The record at line `start`, which has to be there."""
        record = Record(start)
        parser = csv.reader(self._feed(record), delimiter=self._delimiter, strict=True)
        try:
            record.fields = next(parser)
        except csv.Error as error:
            record.fault = next(fault for words, fault in _MALFORMED.items() if words in str(error))
        else:
            fault = self.fault(record.fields) if record.fields else None
            record.sound = len(record.fields) in (0, self._width)
            if any(b"\0" in line for line in self.raw(start, record.end)):
                record.fault = "nul_byte", "expected text, found a NUL byte"
            elif not (record.fault and record.sound):  # here bytes that cannot be decoded are what is wrong
                record.fault = fault
        if not record.sound and record.end > self.open.stop:
            self.open = range(start + 1, record.end)
        return record

    def _feed(self, record: Record) -> Iterator[str]:
        """The lines of the record, as the parser asks for them: at any but the first it is inside quotes."""
        start, length = record.end, 0
        while (line := self.at(record.end)) is not None:
            length += len(line)
            if record.end > start and (
                length > self.limit
                or record.end - start == LINES_LIMIT
                # It would end as the broken one before it did: without this, many stray quotes in a large file would
                # each read it to its end.
                or (start in self.open and record.end in self.open)
            ):
                return
            record.end += 1
            if length > self.limit:
                raise csv.Error(f"a line of more than {self.limit} bytes")
            try:
                text = self.decode(line)
            except UnicodeDecodeError as error:
                record.fault = record.fault or ("undecodable", f"line {record.end - 1}, byte {error.start + 1}")
                text = line.decode("latin-1")  # quotes and delimiters stay where they are
            yield text

    def fault(self, fields: list[str]) -> Fault | None:
        """What is wrong with a well-formed record. Takes off the delimiter too many where all records have it."""
        if self._spare and len(fields) == self._width + 1 and not fields[-1]:
            fields.pop()
        if len(fields) != self._width:
            reason = "too_few_fields" if len(fields) < self._width else "too_many_fields"
            return reason, f"expected {self._width} fields, found {len(fields)}"
        if fields in self._repeated:
            return "repeated_header", "the header once more: files were put together"
        review = fields[self._review]
        if not review or review.isspace():
            return "empty_review", f"field {self._review + 1}: expected a review, found none"
        return self.check(fields)

    def sound(self, line: int, count: int = 1) -> bool:
        """Whether the `count` records from the line on are sound, or as many as there are."""
        while count and self.at(line) is not None:
            record = self.read(line)
            if not record.sound:
                return False
            count -= bool(record.fields)
            line = record.end
        return True


def split(pieces: Iterable[bytes], end: bytes, limit: int) -> Iterator[list[bytes | Line]]:
    """The physical lines, as many at a time as a piece completes."""
    begun = Line()
    for piece in pieces:
        lines = io.BytesIO(piece).readlines() if end == b"\n" else _CR_LINES.findall(piece)
        rest = b"" if piece.endswith(end) or not lines else lines.pop()
        if lines:
            yield [begun.add(lines[0], limit), *lines[1:]]
            begun = Line()
        begun.add(rest, limit)
    if begun:
        yield [begun]
