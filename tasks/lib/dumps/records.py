"""Records out of physical lines: an exact CSV parser, and the line to take up at after a broken record.

The parser is RFC 4180's, read as strictly as the standard library's `csv` with `strict=True`, and gives the same
fields; it works on bytes, so that a line which cannot be decoded still has its extent.

A record that breaks leaves open what the lines behind it are: records of their own (its quote was a stray one), or
the rest of its text. Nothing in the line itself says which. So the first records of the file are taken as a sample
(`Layout`): a column of numbers, dates, ids or single words has a shape that a line of prose does not have, and a
line is a record of its own if its columns have the shapes of theirs. Where the file has no such column, the number
of fields decides, and where that says nothing either, as little as possible is quarantined.
"""

import io
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise

RAW_LIMIT = 64 << 10
RECORD_LIMIT = 64 << 20
LINES_LIMIT = 2_000_000  # of one record: the list of its lines is held in memory
SAMPLE_RECORDS = 200
SAMPLE_LINES = 2_000
SAMPLE_DOUBT = 20  # lines behind a broken record
ENOUGH = 3  # records to learn from
LOOK_AHEAD = 200  # lines searched for the end of a broken record
FEW_LABELS = 5
SOME = 64  # of the lines inside a record, how many are asked what they look like

BREAKS = b"\r\n"
ANY_LINE = re.compile(rb"[^\r\n]*(?:\r{0,3}\n|\r)|[^\r\n]+")
WORD = frozenset([b"a"])  # the shape of a column of single words
FEW_WORDS = re.compile(
    rb"[A-Za-z\x80-\xff]+(?: [A-Za-z\x80-\xff]+){1,2}\Z"
)  # a name as well as prose: tells nothing there
_NUMBER = re.compile(rb"[-+.0-9]*\Z")
_CR_LINE = re.compile(rb"[^\r]*(?:\r\n|\r(?=[^\n]))")

IN_TEXT = ("malformed_quote", "lone_line_break")  # faults that show at a certain place of a line

# What a line looks like.
NONE = 0  # no record
MISFIT = 1  # the right number of fields, but columns that look otherwise than the sample's
PLAIN = 2  # the right number of fields, and no column of the sample to compare with
STRONG = 3  # columns that look like the sample's


class CutLine(bytes):
    """The first RAW_LIMIT bytes of a line longer than the limit; `length` is that of the whole line."""

    length: int


def size(line: bytes) -> int:
    """Bytes of the line in the file, its line end included."""
    return line.length if isinstance(line, CutLine) else len(line)


class Lines:
    """The physical lines from `first_number` on, with look-ahead: `items[i]` is there, `at(i)` may have to read.

    A line ends at LF; if `cr`, at CR or CRLF. A line over `limit` bytes is not kept, but stands as a CutLine.
    """

    def __init__(
        self, pieces: Iterable[bytes], first_number: int = 1, *, cr: bool = False, limit: int = RECORD_LIMIT
    ) -> None:
        self.items: list[bytes] = []
        self.number = first_number  # of items[0]
        self.loaded = 0
        self.any_cut = False
        self.barren = 0  # the physical line before which a search for a record found none
        self.limit = limit
        self._pieces = iter(pieces)
        self._cr = cr
        self._end = b"\r" if cr else b"\n"
        self._parts: list[bytes] = []  # of the line that is not complete
        self._held = 0
        self._cut: CutLine | None = None  # the line being skipped
        self._carry = b""

    @classmethod
    def of(cls, items: list[bytes]) -> "Lines":
        lines = cls(())
        lines.items = items
        return lines

    def at(self, index: int) -> bytes | None:
        """Line `index`, or None behind the last one."""
        while index >= len(self.items):
            if not self.load():
                return None
        return self.items[index]

    def ends(self, data: bytes) -> int:
        """How many line ends of the file's own kind there are in the data."""
        return data.count(self._end)

    def drop(self, count: int) -> None:
        """Forgets the first `count` lines."""
        del self.items[:count]
        self.number += count

    def load(self) -> bool:
        """Appends some more lines; False at the end of the input."""
        while True:
            piece = next(self._pieces, None)
            new = self._rest() if piece is None else self._split(piece)
            if new:
                self.items += new
                self.loaded += len(new)
                return True
            if piece is None:
                return False

    def _split(self, piece: bytes) -> list[bytes]:
        if self._cr:  # whether a CR at the end is the first half of CRLF is for the next piece to say
            piece = self._carry + piece
            self._carry = b"\r" if piece.endswith(b"\r") else b""
            piece = piece[: len(piece) - len(self._carry)]
        new: list[bytes] = []
        if self._cut is not None:
            piece = self._skip(piece, self._cut, new)
        if self._end not in piece:
            if piece:
                self._hold(piece)
            return new
        self._parts.append(piece)
        data = b"".join(self._parts)
        self._parts, self._held = [], 0
        if self._cr:
            lines = _CR_LINE.findall(data)
            rest = data[sum(map(len, lines)) :]
        else:
            lines = io.BytesIO(data).readlines()
            rest = b"" if lines[-1].endswith(b"\n") else lines.pop()
        if rest:
            self._hold(rest)
        if len(data) > self.limit:
            self.any_cut = True
            lines = [cut(line) if len(line) > self.limit else line for line in lines]
        return new + lines

    def _hold(self, part: bytes) -> None:
        self._parts.append(part)
        self._held += len(part)
        if self._held > self.limit:
            self.any_cut = True
            self._cut = cut(b"".join(self._parts))
            self._parts, self._held = [], 0

    def _skip(self, piece: bytes, line: CutLine, new: list[bytes]) -> bytes:
        end = piece.find(self._end) + 1
        if end and self._cr and piece[end : end + 1] == b"\n":
            end += 1
        line.length += end or len(piece)
        if not end:
            return b""
        new.append(line)
        self._cut = None
        return piece[end:]

    def _rest(self) -> list[bytes]:
        carry, self._carry = self._carry, b""
        if self._cut is not None:
            line, self._cut = self._cut, None
            line.length += len(carry)
            return [line]
        rest = b"".join(self._parts) + carry
        self._parts, self._held = [], 0
        if len(rest) > self.limit:
            self.any_cut = True
            return [cut(rest)]
        return [rest] if rest else []


def cut(line: bytes) -> CutLine:
    """The line without what is behind its first RAW_LIMIT bytes."""
    short = CutLine(line[:RAW_LIMIT])
    short.length = len(line)
    return short


@dataclass(slots=True)
class Parse:
    """What stands at line `start`: a record if `fault` is empty. `end` is the line behind the last one looked at."""

    start: int
    end: int
    fields: list[bytes] = field(default_factory=list)
    quoted: list[bool] = field(default_factory=list)
    fault: str = ""  # the reason's code
    at_opening: bool = False  # the quote that broke it stands where a quote opens a field
    # Column and offset of the quote which the first line opens and does not properly close.
    opened: tuple[int, int] | None = None


def scan(lines: Lines, start: int, delimiter: bytes, most: int) -> Parse:
    """Parses the record that starts at line `start`, which has to be there.

    A record with more than `most` fields is not followed beyond the line on which that shows, so that a stray
    quote costs no more than the way to the quotes behind it.
    """
    parse = Parse(start, start + 1)
    line = lines.items[start]
    if isinstance(line, CutLine):
        parse.fault = "field_too_large"
        return parse
    stop = len(line.rstrip(BREAKS))
    fields, quoted = parse.fields, parse.quoted
    position = total = 0
    while True:
        if line[position : position + 1] != b'"':
            end = line.find(delimiter, position, stop)
            content = line[position : stop if end < 0 else end]
            if b"\r" in content or b"\n" in content:
                parse.fault = "lone_line_break"
                return parse
            fields.append(content)
            quoted.append(False)
            if end < 0:
                return parse
            position = end + 1
            continue
        opening = position
        parts: list[bytes] = []
        piece = position = position + 1
        while True:  # to the closing quote
            quote = line.find(b'"', position)
            if quote >= 0:
                if line[quote + 1 : quote + 2] != b'"':
                    break
                position = quote + 2
                continue
            if parse.end == start + 1:
                parse.opened = len(fields), opening
            parts.append(line[piece:])
            total += len(line)
            if len(fields) > most:
                parse.fault = "too_many_fields"
                return parse
            if total > lines.limit or parse.end - start >= LINES_LIMIT:
                parse.fault = "field_too_large"
                return parse
            following = lines.at(parse.end)
            if following is None or isinstance(following, CutLine):
                parse.fault = "unterminated_quote" if following is None else "field_too_large"
                return parse
            line = following
            stop = len(line.rstrip(BREAKS))
            parse.end += 1
            piece = position = 0
        parts.append(line[piece:quote])
        position = quote + 1
        if position < stop and line[position : position + 1] != delimiter:
            parse.fault = "lone_line_break" if line[position : position + 1] in (b"\r", b"\n") else "malformed_quote"
            run = quote
            while run > 0 and line[run - 1 : run] == b'"':
                run -= 1
            parse.at_opening = parse.end > start + 1 and (run == 0 or line[run - 1 : run] == delimiter)
            if parse.end == start + 1:
                parse.opened = len(fields), opening
            return parse
        fields.append(b"".join(parts).replace(b'""', b'"'))
        quoted.append(True)
        if position >= stop:
            return parse
        position += 1


@dataclass(frozen=True)
class Layout:
    """What the records of a file have in common, learnt from its first ones.

    `shapes[column]` are the shapes that its values have, None where they tell nothing; `quoted[column]` says that
    every value stands in quotes; `known[column]` are all its values where those are a few words. `counter` is a column
    before the review whose number goes up by one. `several`: many records take several lines. `spare`: records may
    have one empty field more than the header has names.
    """

    delimiter: bytes
    width: int
    review: int
    spare: bool
    shapes: tuple[frozenset[bytes] | None, ...]
    quoted: tuple[bool, ...]
    known: tuple[frozenset[bytes] | None, ...]
    counter: int | None
    several: bool

    @cached_property
    def shaped(self) -> bool:
        return any(shapes is not None for shapes in self.shapes)

    @cached_property
    def best(self) -> int:
        """The most that a line can look like a record in this file."""
        return STRONG if self.shaped or any(self.quoted) else PLAIN

    def trim(self, fields: list[bytes]) -> list[bytes]:
        """The fields without the empty one behind the last column, where that is the file's habit."""
        if self.spare and len(fields) == self.width + 1 and not fields[-1]:
            return fields[:-1]
        return fields

    def compare(self, fields: list[bytes], quoted: list[bool]) -> int:
        """How much the first columns of a line look like those of a record: MISFIT, PLAIN or STRONG.

        The first column that tells anything decides: the end of a text that goes on with the columns behind it has
        all of those right.
        """
        votes: list[bool] = []
        for value, in_quotes, shapes, always_quoted in zip(fields, quoted, self.shapes, self.quoted, strict=False):
            if shapes is not None and value and not (shapes == WORD and FEW_WORDS.match(value)):
                votes.append(shape(value) in shapes and (in_quotes or not always_quoted))
            if always_quoted and not votes:
                votes.append(in_quotes)
            if (votes and not votes[0]) or (not votes and not in_quotes and value.count(b'"') % 2):
                return MISFIT
        if not votes:
            return PLAIN
        return STRONG if sum(votes) * 2 > len(votes) else MISFIT

    def holds(self, row: list[bytes]) -> bool:
        """Whether a record that is known to be good looks like the sample's; from where one does not, none may."""
        return self.compare(row, [True] * len(row)) != MISFIT

    def unlearnt(self) -> "Layout":
        """The layout with nothing known of the columns but their number."""
        return replace(
            self, shapes=(None,) * self.width, quoted=(False,) * self.width, known=(None,) * self.width, counter=None
        )

    def is_familiar(self, line: bytes) -> bool:
        """Whether a line, were it a record, has none but the sample's values where those are a few words."""
        fields = scan(Lines.of([line]), 0, self.delimiter, self.width).fields
        return all(known is None or value in known for value, known in zip(fields, self.known, strict=False))

    def number(self, line: bytes) -> int | None:
        """What a line has in the column that counts the records, were it one; None if there is no such number."""
        if self.counter is None:
            return None
        values = line.rstrip(BREAKS).split(self.delimiter, self.counter + 1)
        value = values[self.counter].strip(b'"') if self.counter < len(values) else b""
        return int(value) if value.isdigit() and len(value) < 20 else None


def shape(value: bytes) -> bytes | None:
    """The pattern of a short value: digits as 9, letters as a, the rest as it stands; None for free text."""
    spaced = b" " in value
    if not spaced and 16 <= len(value) <= 64:
        return b"length %d" % len(value)
    pattern = re.sub(rb"[A-Za-z_\x80-\xff]+", b"a", re.sub(rb"[0-9]+", b"9", value))
    return None if len(value) > 40 or (spaced and b"a" in pattern) else pattern


def sample(lines: Lines, delimiter: bytes, most: int) -> list[Parse]:
    """The first well-formed records, whatever the number of their fields.

    Lines that a broken record might reach to are left out, as they may be no records, if others are enough.
    """
    firm: list[Parse] = []
    doubtful: list[Parse] = []
    index = reached = 0
    while index < min(len(lines.items), SAMPLE_LINES) and len(firm) < SAMPLE_RECORDS:
        if not lines.items[index].rstrip(BREAKS):
            index += 1
            continue
        parse = scan(lines, index, delimiter, most)
        if parse.fault:
            index += 1
            reached = max(reached, parse.end, index + SAMPLE_DOUBT)
        else:
            (doubtful if index < reached else firm).append(parse)
            index = parse.end
    return firm if len(firm) >= ENOUGH else firm + doubtful


def learn(records: list[Parse], delimiter: bytes, width: int, review: int, spare: bool) -> Layout:
    """The layout that the sampled records have."""
    bare = Layout(delimiter, width, review, spare, (None,) * width, (False,) * width, (None,) * width, None, False)
    rows = [(bare.trim(record.fields), record.quoted) for record in records]
    rows = [(fields, quoted) for fields, quoted in rows if len(fields) == width]
    if len(rows) < ENOUGH:
        return bare
    shapes = [None if column == review else _shapes([fields[column] for fields, _ in rows]) for column in range(width)]
    known = [None if column == review else _known([fields[column] for fields, _ in rows]) for column in range(width)]
    quoted = [all(quoted[column] for _, quoted in rows) for column in range(width)]
    words = [not all(_NUMBER.match(fields[column]) for fields, _ in rows) for column in range(width)]
    if any(word and not always for word, always in zip(words, quoted, strict=True)):
        quoted = [False] * width  # only what needs quotes has them, so the next value may have none
    counter = next((column for column in range(review) if _counts([fields[column] for fields, _ in rows])), None)
    several = sum(record.end - record.start > 1 for record in records) * 3 >= len(records)
    return Layout(delimiter, width, review, spare, tuple(shapes), tuple(quoted), tuple(known), counter, several)


def _counts(values: list[bytes]) -> bool:
    """Whether this is a column of numbers that go up by one, but for a few."""
    numbers = [int(value) for value in values if value.isdigit() and len(value) < 20]
    steps = [after - before for before, after in pairwise(numbers)]
    back = sum(step <= 0 for step in steps)
    return len(numbers) * 3 >= 2 * len(values) and steps.count(1) * 3 >= 2 * len(steps) > 0 and back * 6 <= len(steps)


def _shapes(values: list[bytes]) -> frozenset[bytes] | None:
    filled = [value for value in values if value]
    common = Counter(map(shape, filled)).most_common(4)
    usual = {found: count for found, count in common if found is not None and count >= max(2, len(filled) // 20)}
    # Some of the sample may be no records but lines of prose, which have words in this column, yet no numbers.
    needed = 0.6 if all(b"9" in found for found in usual) else 0.8
    told = len(filled) >= ENOUGH and len(usual) <= 3 and sum(usual.values()) >= needed * len(filled)
    return frozenset(usual) if told else None


def _known(values: list[bytes]) -> frozenset[bytes] | None:
    """All values of a column, if they are a few words that come again and again: labels."""
    distinct = frozenset(values)
    few = len(distinct) <= FEW_LABELS and len(distinct) * 2 <= len(values)
    return distinct if few and all(shape(value) in WORD for value in distinct) else None


def level(lines: Lines, index: int, layout: Layout) -> int:
    """How much line `index` looks like the start of a record: NONE, MISFIT, PLAIN or STRONG."""
    if not lines.items[index].rstrip(BREAKS):
        return NONE
    parse = scan(lines, index, layout.delimiter, layout.width + 1)
    if parse.fault:  # a broken record is one, too, if it begins as they do
        begins = layout.compare(parse.fields[: layout.width], parse.quoted)
        return STRONG if begins == STRONG else NONE
    fields = layout.trim(parse.fields)
    return layout.compare(fields, parse.quoted) if len(fields) == layout.width else NONE


def complete(parse: Parse, line: bytes, layout: Layout) -> int:
    """Whether the record's first line would be a whole record if the quote that it opens were none.

    NONE: it would be too short. PLAIN: nothing speaks against it. STRONG: the columns behind that quote are there
    and look like the sample's.
    """
    if parse.opened is None:
        return NONE
    column, offset = parse.opened
    behind = layout.width - 1 - column
    rest = line.rstrip(BREAKS)[offset + 1 :].split(layout.delimiter)
    if layout.spare and not rest[-1]:
        rest.pop()
    if behind < 0 or len(rest) <= behind:
        return NONE
    told = PLAIN
    for value, shapes in zip(rest[len(rest) - behind :], layout.shapes[column + 1 :], strict=True):
        if shapes is not None and value:
            if shape(value.strip(b'"')) not in shapes:
                return NONE
            told = STRONG
    return told


def may_swallow(closing: bytes, layout: Layout) -> bool:
    """Whether a record of several lines needs a `verdict`: mostly its last line is too short for a record."""
    if layout.width == 1:  # every line looks like a record, and nothing can be told
        return False
    opens = closing.startswith(b'"') or layout.delimiter + b'"' in closing
    return opens or closing.count(layout.delimiter) >= layout.width - 1


def verdict(lines: Lines, start: int, end: int, ragged: bool, layout: Layout) -> str:
    """What to make of a record of several lines, `start` to `end`, whose quotes are well-formed: "" if it is one.

    A stray quote can close by accident, at a later row's quote, and swallow the rows between. Then each of its
    lines looks like a record: the first as if its quote were none, those within, and the last. "stray" says that
    this is so; "ambiguous" that it may be. `ragged`: its number of fields is wrong.
    """
    last = end - 1
    first = lines.items[start]
    if not may_swallow(lines.items[last], layout):
        return ""
    if layout.best == STRONG and _starts(lines, last, layout):
        number, after = layout.number(first), layout.number(lines.items[last])
        if number is None or after is None or number < after <= number + last - start:
            return "stray"  # its closing quote is the one that opens the text of the next record
    if level(lines, last, layout) < layout.best or not layout.is_familiar(lines.items[last]):
        return ""
    whole = complete(scan(Lines.of([first]), 0, layout.delimiter, layout.width), first, layout)
    if whole == NONE and not (ragged and layout.best == STRONG):
        return ""
    within = range(start + 1, min(last, start + 1 + SOME))
    alike = sum(level(lines, index, layout) >= layout.best for index in within)
    if alike * 2 < len(within):
        return ""
    if ragged:
        return "stray"
    if layout.best < STRONG:  # the number of fields alone says much only if it is right many times
        return "ambiguous" if len(within) >= 4 and alike == len(within) else ""
    if whole == STRONG or len(within) >= 8:
        return "stray"
    if layout.counter is None:
        return "ambiguous"
    numbers = [layout.number(line) for line in lines.items[start : min(end, start + SOME)]]
    counts_on = all(
        before is not None and after is not None and after == before + 1 for before, after in pairwise(numbers)
    )
    return "stray" if counts_on else ""


def _starts(lines: Lines, index: int, layout: Layout) -> bool:
    """Whether a record starts on the line as others do, and its review, which is in quotes, does not end there."""
    parse = scan(Lines.of([lines.items[index]]), 0, layout.delimiter, layout.width)
    opens = parse.fault == "unterminated_quote" and len(parse.fields) == layout.review
    return opens and layout.compare(parse.fields, parse.quoted) == STRONG


def resume(lines: Lines, parse: Parse, layout: Layout, before: tuple[int, int] | None) -> int:
    """The line at which to take up after the broken record: behind its start, and at most behind what was looked at
    or LOOK_AHEAD lines. `before` is the last good record, if there is one: its line, and the layout's `number` of it.
    """
    following = parse.start + 1
    line = lines.items[parse.start]
    if parse.fault == "lone_line_break" and parse.opened is None:  # the rest of its line may open a quote, too
        plain = line.rstrip(BREAKS).replace(b"\r", b" ").replace(b"\n", b" ")
        parse.opened = scan(Lines.of([plain]), 0, layout.delimiter, layout.width).opened
    if parse.opened is None or lines.at(following) is None:
        return parse.end
    whole = complete(parse, line, layout)
    if whole == STRONG:
        return following
    if layout.best == STRONG:
        found = _shaped_line(lines, parse, layout, whole, before)
    else:
        found = _plain_line(lines, parse, layout, whole)
    while found - 1 > parse.start and not lines.items[found - 1].rstrip(BREAKS):
        found -= 1  # a blank line is one of its own
    return found


def _even(line: bytes) -> bool:
    """Whether the quotes of a line seem to be complete, though misplaced."""
    return line.count(b'"') % 2 == 0 or line.rstrip(BREAKS).endswith(b'"')


def _shaped_line(lines: Lines, parse: Parse, layout: Layout, whole: int, before: tuple[int, int] | None) -> int:
    """Where the sample has shapes: the first line behind the broken one whose columns look like its."""
    column, _ = parse.opened or (0, 0)
    following = parse.start + 1
    told_before = any(layout.shapes[: column + 1]) or any(layout.quoted[: column + 1])
    broken = parse.fault in IN_TEXT or parse.at_opening
    end = max(parse.end, following + LOOK_AHEAD) if broken else parse.end
    if following + lines.number < lines.barren:  # many broken records must not each search the same lines
        return max(following, parse.end - 1 if parse.at_opening else parse.end)
    closed = 0  # the line behind the first one that could be the broken record's last
    index = following
    fitting = 0  # lines with the right number of fields
    astray: tuple[int, int] | None = None  # a line like a record, but for its number
    while index < end and (line := lines.at(index)) is not None:
        found = level(lines, index, layout)
        if found == STRONG:
            number = layout.number(line)
            if _in_order(before, index, number):
                # Columns behind the text alone do not tell a record from the end of the broken one.
                return index if told_before or whole or line.startswith(b'"') else index + 1
            if astray and _in_order(astray, index, number):
                return astray[0]  # counting has started anew
            astray = (index, number) if number is not None else None
        if broken and not closed and _closes(line, column, layout):
            closed = index + 1
        fitting += found != NONE
        index += 1
        if index - following == SOME and fitting * 2 >= SOME:
            return closed or following  # the file no longer looks as the sample does
    if closed:
        return closed
    if index - following >= 3 and fitting * 2 >= index - following:
        return following
    if index < end:  # nothing in the rest of the file looks like a record
        return index
    lines.barren = index + lines.number
    return max(following, parse.end - 1 if parse.at_opening else parse.end)


def _in_order(before: tuple[int, int] | None, index: int, number: int | None) -> bool:
    """Whether a record that counts as `number` can stand on line `index`, each record taking a line at least."""
    return before is None or number is None or before[1] < number <= before[1] + index - before[0]


def _plain_line(lines: Lines, parse: Parse, layout: Layout, whole: int) -> int:
    """Where the number of fields is all that is known."""
    column, _ = parse.opened or (0, 0)
    following = parse.start + 1
    if layout.width == 1 and layout.several:
        return _quoted_line(lines, following, layout)
    if parse.end == following and whole and _even(lines.items[parse.start]):
        return following
    if _in_text(parse):
        short = layout.width == 1  # of one column, no line is too short to be a record
        for index in range(following, following + LOOK_AHEAD // 10):
            line = lines.at(index)
            if line is None or line.startswith(b'"'):
                break
            short |= level(lines, index, layout) == NONE
            if (short or index == following) and _closes(line, column, layout):
                return index + 1
        return following
    if whole:
        return following
    end = min(parse.end, following + LOOK_AHEAD)
    for index in range(following, end):
        if lines.at(index) is not None and level(lines, index, layout) >= PLAIN:
            # If the text is the first column, the end of its record has as many fields as a record.
            return index if column or lines.items[index].startswith(b'"') else index + 1
    return max(following, end - 1 if parse.at_opening else end)


def _quoted_line(lines: Lines, following: int, layout: Layout) -> int:
    """Where there is one column, mostly of several lines: any line may be text, but one in quotes that are right."""
    for index in range(following, following + LOOK_AHEAD):
        line = lines.at(index)
        if line is None or (line.startswith(b'"') and level(lines, index, layout)):
            return index
        if _closes(line, 0, layout):
            return index + 1
    return following


def _in_text(parse: Parse) -> bool:
    """Whether the record broke at a quote within a text, rather than at one that opens a later row's field."""
    return parse.fault in IN_TEXT and not parse.at_opening


def _closes(line: bytes, column: int, layout: Layout) -> bool:
    """Whether the line could be the last one of a record whose text in `column` began on an earlier line."""
    behind = layout.width - 1 - column
    body = line.rstrip(BREAKS)
    quote = len(body)
    for _ in range(2 * behind + 1):
        quote = body.rfind(b'"', 0, quote)
        if quote < 0:
            return False
        if body[quote - 1 : quote] == b"\\":  # escaped as programs do that know no doubled quotes
            continue
        rest = body[quote + 1 :]
        if not rest and not behind:
            return True
        if rest.startswith(layout.delimiter):
            parse = scan(Lines.of([rest[1:]]), 0, layout.delimiter, layout.width)
            if not parse.fault and len(parse.fields) == behind:
                return True
    return False


def mixed(lines: Lines, parse: Parse, layout: Layout) -> list[tuple[Parse, bytes]]:
    """The records, each with its bytes, of lines in which some end in the other way, as where two files were joined.

    They are the whole of the lines from `parse.start` to `parse.end`, which is moved if the last one takes more.
    Empty unless every part is a record that looks like the others: a line break may as well be a stray one.
    """
    end = parse.end
    while lines.at(end - 1) is not None and end - parse.start <= SOME:
        found, open_end = _parts(b"".join(lines.items[parse.start : end]), layout)
        if not open_end:
            parse.end = end
            return found
        end += 1
    return []


def _parts(data: bytes, layout: Layout) -> tuple[list[tuple[Parse, bytes]], bool]:
    """The records that the data hold, or none; and whether a quote was open at their end."""
    parts = ANY_LINE.findall(data)
    apart = Lines.of(parts)
    needed = STRONG if layout.best == STRONG or layout.width < 3 else PLAIN
    found: list[tuple[Parse, bytes]] = []
    index = taken = 0
    while index < len(parts):
        if not parts[index].rstrip(BREAKS):  # between CR and CR, or LF and CR
            index += 1
            continue
        part = scan(apart, index, layout.delimiter, layout.width + 1)
        part.fields = layout.trim(part.fields)
        fits = not part.fault and len(part.fields) == layout.width
        if not fits or layout.compare(part.fields, part.quoted) < needed:
            return [], part.fault == "unterminated_quote"
        found.append((part, b"".join(parts[taken : part.end])))
        index = taken = part.end
    if found and taken < len(parts):
        found[-1] = found[-1][0], found[-1][1] + b"".join(parts[taken:])
    return found, False
