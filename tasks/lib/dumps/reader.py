"""Review dumps: delimited files with a header, read record by record, with nothing lost and nothing altered.

What counts as what, where files leave it open:

- A record is one by RFC 4180, as the standard library's `csv` reads it with `strict=True`: quotes open a field only
  at its very start, are doubled within, and nothing but a delimiter or a line end follows the closing one. All other
  quotes (`5" screen`, a quote after a space) are text. Fields are kept to the letter, padding and NULs included.
- A physical line ends at LF or CRLF. In a file without LF outside quotes it ends at CR. Nothing else ends a line;
  inside quotes nothing ends a record. A lone CR outside quotes breaks its line, unless all that it parts are records
  that look like the others: then the file mixes its line ends.
- A line with nothing before its end is blank. A line of spaces is a record, and as such mostly too short.
- A record has as many fields as the header; if most of the first ones have one empty field more, or the header ends
  with an empty name that most of the first ones lack, that delimiter is the file's habit and is left out.
- A review without a letter but white space is empty. A line, or a review, of nothing but NULs is quarantined.
- A record that is the header once more, of two columns or more, is none of the reviews: files were put together.
- Before the header there may be blank lines, comments (`#`) and Excel's `sep=;`; they count as part of it.
"""

import csv
import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain, takewhile
from operator import methodcaller
from pathlib import Path
from types import TracebackType
from typing import Self

from tasks.lib.dumps import header, packing, records
from tasks.lib.dumps.records import BREAKS, RAW_LIMIT, RECORD_LIMIT, CutLine, Layout, Lines, Parse
from tasks.lib.errors import InputError, OutputError

BATCH_LINES = 2_000  # given to the standard library's reader at a time
SHORT_BATCH = 16
SAMPLE_BYTES = 64 << 10  # to find the kind of line end in

_QUOTED = re.compile(rb'"[^"]*+(?:"|\Z)')
_LONE_CR = re.compile(rb"\r(?![\r\n])")


@dataclass(frozen=True, slots=True)
class Span:
    """A quarantined record, or a region that holds no record to be trusted; it counts as one row.

    Lines are physical ones, the file's first being 1. `raw` are the bytes of the file, RAW_LIMIT at most of the
    `raw_bytes` there are. `detail` says what was expected and found, and never holds text of the record.
    `reason` is one of: `too_few_fields`, `too_many_fields`, `fragment` (the rest of a short record, by its looks),
    `malformed_quote`, `unterminated_quote`, `ambiguous_quote` (one record, or several with a stray quote),
    `lone_line_break`, `undecodable`, `empty_review`, `nul_byte`, `field_too_large`, `repeated_header`.
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
    """What a dump holds. `rows` are the good records and the spans; `lines` and `bytes` are all that was read.

    Bytes are decompressed ones. The header's part includes what stands before it: byte order mark, comments.
    """

    rows: int = 0
    good: int = 0
    quarantined: int = 0
    blank: int = 0
    lines: int = 0
    bytes: int = 0
    header_lines: int = 0
    record_lines: int = 0
    span_lines: int = 0
    header_bytes: int = 0
    record_bytes: int = 0
    span_bytes: int = 0
    blank_bytes: int = 0

    def check(self, name: str) -> None:
        """Raises OutputError unless every row, line and byte is accounted for exactly once."""
        sums = {
            "rows": (self.rows, self.good + self.quarantined),
            "lines": (self.lines, self.header_lines + self.record_lines + self.span_lines + self.blank),
            "bytes": (self.bytes, self.header_bytes + self.record_bytes + self.span_bytes + self.blank_bytes),
        }
        for what, (read, accounted) in sums.items():
            if read != accounted:
                raise OutputError(f"{name}: {read} {what} read, but {accounted} accounted for. Nothing is published.")


class Dump:
    """An open review dump; iterate once over its blocks. `open_dump` makes one.

    `header`: the column names as they stand, `name_2` for the second of one name. `review_index`: the column that
    holds the review. `delimiter`: one character. `compression`: "gzip", "zstd", "bz2" or None. `counts`, `sha256`
    and `input_bytes` (both of the stored bytes) are final when the iteration has ended.
    """

    def __init__(
        self, stream: packing.Stream, rule: header.Rule, block_rows: int, block_bytes: int, record_limit: int
    ) -> None:
        self.counts = Counts()
        self.compression = stream.compression
        self._stream = stream
        self._encoding = rule.encoding
        self._decode = methodcaller("decode", rule.encoding)
        self._block_rows = block_rows
        self._block_bytes = block_bytes
        self._begun = False
        pieces = stream.pieces()
        head, ahead = _head(pieces)
        found = header.find(stream.name, head, rule)
        body = head[found.end :]
        cr = _ends_in_cr(head[: found.end], body)
        names, self._layout = _learn(found, body, len(head) < header.HEAD_LIMIT, cr)
        self.header = _unique(names)
        self._names = list(names)
        self.review_index = found.review
        self.delimiter = found.delimiter
        self.counts.header_lines = found.lines
        self.counts.header_bytes = found.end
        self._lines = Lines(chain([body, ahead], pieces), found.lines + 1, cr=cr, limit=record_limit)
        self._block = Block()
        self._recent: list[list[str]] = []  # the last three good records, in brief
        self._holding: Layout | None = None  # what `_known` says of them
        self._last_line = 0  # the first line of the last one
        self._after_short = False  # no good record since one with too few fields
        self._batch_lines = BATCH_LINES
        self._size = 0  # bytes of the records and spans in the block

    @property
    def name(self) -> str:
        return self._stream.name

    @property
    def sha256(self) -> str:
        return self._stream.sha256

    @property
    def input_bytes(self) -> int:
        return self._stream.input_bytes

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._stream.close()

    def __iter__(self) -> Iterator[Block]:
        """The blocks, none of them empty. Raises InputError when the file turns out to be damaged, too large, or
        changed meanwhile, and OutputError when the counts do not balance at its end."""
        if self._begun:
            raise InputError(f"{self.name}: a dump can be read only once. Open it again.")
        self._begun = True
        lines = self._lines
        index = 0
        while True:
            if index * 2 > len(lines.items):
                lines.drop(index)
                index = 0
            if index == len(lines.items) and not lines.load():
                break
            if not self._after_short:
                index = self._read_good(index)
            if index < len(lines.items) and not self._full():
                index = self._read_one(index)
            if self._full():
                yield self._take()
        if self._block.rows or self._block.spans:
            yield self._take()
        self.counts.rows = self.counts.good + self.counts.quarantined
        self.counts.lines = self.counts.header_lines + lines.loaded
        self.counts.bytes = self._stream.bytes
        self.counts.check(self.name)
        self._stream.check_unchanged()

    def _full(self) -> bool:
        rows = len(self._block.rows) + len(self._block.spans)
        return rows >= self._block_rows or self._size >= self._block_bytes

    def _take(self) -> Block:
        block, self._block, self._size = self._block, Block(), 0
        return block

    def _batch(self, start: int) -> list[bytes]:
        """Some lines from `start` on, none of them cut."""
        batch = self._lines.items[start : start + self._batch_lines]
        if self._lines.any_cut:
            batch = list(takewhile(lambda line: type(line) is not CutLine, batch))
        return batch

    def _read_good(self, start: int) -> int:
        """Takes the good records from line `start` on with the standard library's reader, up to a full block, the end
        of the batch, or anything that needs a closer look; returns the line at which it stopped."""
        layout, block, counts, lines = self._layout, self._block, self.counts, self._lines
        width, review = layout.width, layout.review
        first = counts.good + counts.quarantined + 1
        room = self._block_rows - len(block.spans)
        rows, starts = block.rows, []
        batch = self._batch(start)
        reader = csv.reader(map(self._decode, batch), delimiter=self.delimiter, strict=True)
        index = blank = blank_bytes = 0  # index: in the batch, the line behind the last record taken
        try:
            for row in reader:
                end = reader.line_num
                if len(row) != width:
                    if not row:
                        blank += 1
                        blank_bytes += len(batch[index])
                        index = end
                        continue
                    if not (layout.spare and len(row) == width + 1 and not row[-1]):
                        break
                    row.pop()
                text = row[review]
                if not text or text[0] == "\0" or text.isspace() or self._is_header(row):
                    break
                if end - index > 1 and (
                    sum(map(len, batch[index : end - 1])) > lines.limit
                    or records.verdict(lines, start + index, start + end, False, layout)
                ):
                    break
                starts.append(index)
                rows.append(row)
                index = end
                if len(rows) >= room:
                    break
        except (csv.Error, UnicodeDecodeError):
            pass  # `_read_one` finds out what it is
        if starts:
            self._recent = [*self._recent, *map(_brief, rows[-min(len(starts), 3) :])][-3:]
            self._holding = None
            self._last_line = lines.number + start + starts[-1]
        block.ordinals.extend(range(first, first + len(starts)))
        block.lines.extend(lines.number + start + line for line in starts)
        # A record that breaks may take the reader through the whole batch: where many do, batches are short.
        self._batch_lines = min(self._batch_lines * 2, BATCH_LINES) if index else min(SHORT_BATCH, BATCH_LINES)
        taken = sum(map(len, batch[:index])) - blank_bytes
        counts.good += len(starts)
        counts.blank += blank
        counts.blank_bytes += blank_bytes
        counts.record_bytes += taken
        counts.record_lines += index - blank
        self._size += taken
        return start + index

    def _read_one(self, index: int) -> int:
        """Takes one blank line, record or span from line `index` on; returns the line behind it."""
        layout = self._layout
        line = self._lines.items[index]
        if not line.rstrip(BREAKS):
            self.counts.blank += 1
            self.counts.blank_bytes += len(line)
            return index + 1
        if b"\0" in line and not line.strip(b"\0\r\n"):
            return self._quarantine(index, index + 1, "nul_byte", "expected a record, found NUL bytes only")
        parse = records.scan(self._lines, index, layout.delimiter, layout.width + 1)
        if parse.fault == "lone_line_break" and self._take_mixed(parse):
            return parse.end
        found = len(layout.trim(parse.fields))
        doubt = ""
        if not parse.fault and parse.end - index > 1:
            doubt = records.verdict(self._lines, index, parse.end, found != layout.width, layout)
        if doubt == "ambiguous":
            detail = f"{parse.end - index} lines within one pair of quotes look like records of their own"
            return self._quarantine(index, parse.end, "ambiguous_quote", detail)
        if doubt == "stray":
            parse.fault, parse.at_opening = "unterminated_quote", True
        if parse.fault:
            return self._break_off(parse)
        if found != layout.width:
            self._after_short |= found < layout.width
            reason = "too_few_fields" if found < layout.width else "too_many_fields"
            return self._quarantine(index, parse.end, reason, f"expected {layout.width} fields, found {found}")
        if self._after_short and self._known().compare(parse.fields, parse.quoted) == records.MISFIT:
            detail = "looks less like the file's records than like the rest of the short one before it"
            return self._quarantine(index, parse.end, "fragment", detail)
        self._settle(parse, self._lines.number + index, self._lines.items[index : parse.end], parse.end - index)
        return parse.end

    def _settle(self, parse: Parse, number: int, raw: list[bytes], lines: int) -> None:
        """Takes a record with the right number of fields: a row if it can be decoded and has a review, or a span."""
        row: list[str] = []
        try:
            for value in self._layout.trim(parse.fields):
                row.append(value.decode(self._encoding))
        except UnicodeDecodeError as error:
            detail = f"field {len(row) + 1}: not valid {self._encoding} at its byte {error.start + 1}"
            return self._add_span(number, raw, lines, "undecodable", detail)
        if self._is_header(row):
            detail = "the header once more: files were put together"
            return self._add_span(number, raw, lines, "repeated_header", detail)
        review = row[self.review_index]
        if _empty(review):
            reason, what = ("nul_byte", "NUL bytes only") if "\0" in review else ("empty_review", "none")
            detail = f"field {self.review_index + 1}: expected a review, found {what}"
            return self._add_span(number, raw, lines, reason, detail)
        self._recent = [*self._recent, _brief(row)][-3:]
        self._holding = None
        self._last_line = number
        self._after_short = False
        counts = self.counts
        counts.good += 1
        self._block.ordinals.append(counts.good + counts.quarantined)
        self._block.lines.append(number)
        self._block.rows.append(row)
        length = sum(map(len, raw))
        counts.record_bytes += length
        counts.record_lines += lines
        self._size += length

    def _is_header(self, row: list[str]) -> bool:
        names = self._names
        return row[-1] == names[-1] and len(row) > 1 and [row[0].removeprefix("\ufeff"), *row[1:]] == names

    def _take_mixed(self, parse: Parse) -> bool:
        found = records.mixed(self._lines, parse, self._layout)
        number = self._lines.number + parse.start
        left = parse.end - parse.start
        for part, raw in found:
            lines = left if part is found[-1][0] else self._lines.ends(raw)
            self._settle(part, number, [raw], lines)
            number += lines
            left -= lines
        return bool(found)

    def _break_off(self, parse: Parse) -> int:
        """Quarantines from the broken record up to where the next one starts."""
        end = records.resume(self._lines, parse, self._known(), self._before())
        reason = parse.fault
        column = (parse.opened[0] if parse.opened else len(parse.fields)) + 1
        if reason == "field_too_large" and end < parse.end:
            reason = "unterminated_quote"  # which is why it was too large
        detail = {
            "malformed_quote": f"field {column}: expected a delimiter behind the closing quote, found text",
            "unterminated_quote": f"field {column}: its opening quote is not closed",
            "lone_line_break": f"field {column}: a line break of another kind than the file's, outside quotes",
            "field_too_large": f"longer than the limit of {self._lines.limit} bytes or {records.LINES_LIMIT} lines",
            "too_many_fields": f"expected {self._layout.width} fields, found {len(parse.fields)} or more",
        }[reason]
        start = parse.start
        while start < end:  # the cap on raw bytes must not cost any that belong to lines of reasonable length
            stop, length = start + 1, records.size(self._lines.items[start])
            while stop < end and length + records.size(self._lines.items[stop]) <= RAW_LIMIT:
                length += records.size(self._lines.items[stop])
                stop += 1
            self._quarantine(start, stop, reason, detail)
            start, detail = stop, "continues the span before"
        return end

    def _known(self) -> Layout:
        """The layout, as far as the last good records show it to hold still."""
        if self._holding is None:
            held = [self._layout.holds([value.encode(self._encoding) for value in row]) for row in self._recent]
            self._holding = self._layout if sum(held) * 2 >= len(held) else self._layout.unlearnt()
        return self._holding

    def _before(self) -> tuple[int, int] | None:
        """The last good record, by its line and by its number in the column that counts."""
        counter = self._layout.counter
        if counter is None or not self._recent:
            return None
        value = self._recent[-1][counter]
        line = self._last_line - self._lines.number
        return (line, int(value)) if value.isdecimal() and len(value) < 20 else None

    def _quarantine(self, start: int, end: int, reason: str, detail: str) -> int:
        self._add_span(self._lines.number + start, self._lines.items[start:end], end - start, reason, detail)
        return end

    def _add_span(self, number: int, raw: list[bytes], lines: int, reason: str, detail: str) -> None:
        counts = self.counts
        counts.quarantined += 1
        length = sum(map(records.size, raw))
        kept = b"".join(raw)[:RAW_LIMIT]
        last = number + max(lines, 1) - 1
        ordinal = counts.good + counts.quarantined
        self._block.spans.append(Span(ordinal, number, last, reason, detail, kept, length))
        counts.span_bytes += length
        counts.span_lines += lines
        self._size += len(kept)


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
    follow_symlinks: bool = True,
) -> Dump:
    """Opens a review dump and reads its header; use it as a context manager.

    The delimiter is found out if not given. `max_bytes` bounds the decompressed size; `block_rows` rows or about
    `block_bytes` bytes make a block; a line or record of more than `record_limit` bytes is quarantined unread.
    Raises InputError for what cannot be read as a whole: no regular file, no text, no header, no such column.
    """
    encoding = header.check_options(encoding, delimiter)
    path = Path(path)
    stream = packing.Stream(path, max_bytes=max_bytes, follow_symlinks=follow_symlinks)
    try:
        tabs = any(suffix.lower() in (".tsv", ".tab") for suffix in path.suffixes)
        rule = header.Rule(review_column, encoding, delimiter, tabs)
        return Dump(stream, rule, block_rows, block_bytes, record_limit)
    except BaseException:
        stream.close()
        raise


def _empty(review: str) -> bool:
    return not review or review.isspace() or (review[0] == "\0" and not review.strip("\0 \t\r\n"))


def _brief(row: list[str]) -> list[str]:
    """The row with long values cut: no column that tells anything has them."""
    return [value[:100] for value in row]


def _head(pieces: Iterator[bytes]) -> tuple[bytes, bytes]:
    """The first header.HEAD_LIMIT bytes, whatever the pieces they come in, and what was read beyond them."""
    parts: list[bytes] = []
    length = 0
    while length <= header.HEAD_LIMIT and (piece := next(pieces, b"")):
        parts.append(piece)
        length += len(piece)
    head = b"".join(parts)
    return head[: header.HEAD_LIMIT], head[header.HEAD_LIMIT :]


def _ends_in_cr(header: bytes, body: bytes) -> bool:
    """Whether the lines behind the header end in CR; the header's own end decides where they do not tell."""
    unquoted = _QUOTED.sub(b"", body[:SAMPLE_BYTES])
    if b"\n" in unquoted:
        return header.endswith(b"\r") and _LONE_CR.search(unquoted) is not None
    return header.endswith(b"\r") or _LONE_CR.search(unquoted) is not None


def _learn(found: header.Header, body: bytes, whole: bool, cr: bool) -> tuple[tuple[str, ...], Layout]:
    """The column names, less an empty one that the records lack, and the layout of the first records."""
    lines = Lines([body], cr=cr)
    lines.load()
    while lines.load():
        pass
    if not whole and lines.items:
        lines.items.pop()  # it may go on
    names = found.names
    delimiter = found.delimiter.encode()
    first = records.sample(lines, delimiter, len(names) + 2)
    lengths = Counter(len(record.fields) for record in first)
    longer = sum(len(record.fields) == len(names) + 1 and record.fields[-1] == b"" for record in first)
    spare = longer > lengths[len(names)]
    if not names[-1] and found.review < len(names) - 1 and lengths[len(names) - 1] > lengths[len(names)]:
        names, spare = names[:-1], True
    return names, records.learn(first, delimiter, len(names), found.review, spare)


def _unique(names: tuple[str, ...]) -> tuple[str, ...]:
    """The names, the later ones of the same name numbered: name, name_2."""
    taken = set(names)
    seen: set[str] = set()
    unique = []
    for name in names:
        new, number = name, 2
        while new in seen or (new != name and new in taken):
            new, number = f"{name}_{number}", number + 1
        seen.add(new)
        unique.append(new)
    return tuple(unique)
