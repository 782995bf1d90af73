"""Review dumps of JSON lines: an object a line, with nothing lost and nothing altered.

- Lines end at LF; one of white space is blank. What is wrong with a line costs that line alone.
- The columns are the keys of objects within the look-ahead. A key that an object lacks is an empty cell; so is null.
- Keys that come later, and those over MOST_COLUMNS, are kept with their values as JSON in one more column, OTHER_KEYS.
  A file that ends within the look-ahead has no such column.
- Strings are carried as their text, and all other values as they are written: `1.0`, `true`, `["a", "b"]`.
- An object with a NUL or half of a surrogate pair, escaped or not, is damaged. So is one with the same key twice.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from json import JSONDecodeError, JSONDecoder
from typing import Any

from tasks.lib.dumps import header, records
from tasks.lib.dumps.blocks import RAW_LIMIT, Block, Fault, OpenDump, Options, RowBlock, Span
from tasks.lib.dumps.packing import Stream
from tasks.lib.dumps.records import Line
from tasks.lib.errors import InputError

LOOK_AHEAD_LINES, LOOK_AHEAD_BYTES = 10_000, 16 << 20
MOST_COLUMNS = 1_000
OTHER_KEYS = "other_keys"

_SPACE = re.compile(r"[ \t\r\n]*")
_CONSTANTS = {True: "true", False: "false", None: ""}


class _DuplicateKey(ValueError):
    pass


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _DuplicateKey
    return found


_DECODER = JSONDecoder(object_pairs_hook=_object, parse_int=str, parse_float=str, parse_constant=str)


class JsonLinesDump(OpenDump):
    """An open dump of JSON lines."""

    def __init__(self, stream: Stream, options: Options) -> None:
        super().__init__(stream, options)
        lines = chain.from_iterable(records.split(stream.pieces(), b"\n", options.record_limit))
        ahead = list(_first(lines))
        after = list(islice(lines, 1))
        names = self._names(ahead)
        self._columns = dict.fromkeys(names[:MOST_COLUMNS])
        self._has_others = bool(after) or len(names) > MOST_COLUMNS
        self._lines = chain(ahead, after, lines)
        self.review_index = header.review_column(stream.name, names[:MOST_COLUMNS], options.review_column)
        self.header = (*self._columns, OTHER_KEYS) if self._has_others else tuple(self._columns)

    def __iter__(self) -> Iterator[Block]:
        block, begun, counts = RowBlock(), 0, self.counts
        for line in self._lines:
            counts.lines += 1
            counts.bytes += len(line)
            if line.isspace() and len(line) <= self.options.record_limit:
                counts.blank += 1
                continue
            counts.rows += 1
            fields = self._read(line)
            if isinstance(fields, tuple):
                raw = bytes(line[:RAW_LIMIT])
                block.spans.append(Span(counts.rows, counts.lines, counts.lines, *fields, raw, len(line)))
            else:
                block.ordinals.append(counts.rows)
                block.lines.append(counts.lines)
                block.good.append(fields)
            if block.records >= self.options.block_rows or counts.bytes - begun >= self.options.block_bytes:
                yield block
                block, begun = RowBlock(), counts.bytes
        if block.records:
            yield block
        self.balance(counts.lines, self.stream.bytes)
        self.sha256 = self.stream.hash.hexdigest()

    def _names(self, ahead: Iterable[bytes | Line]) -> list[str]:
        """The keys of the objects in these lines. Raises InputError if no line is an object."""
        names: dict[str, None] = {}
        text = [line for line in ahead if not line.isspace()]
        objects = 0
        for line in text:
            found = self._parse(line)[1]
            if isinstance(found, dict):
                objects += 1
                names.update(dict.fromkeys(found))
        if not text:
            raise InputError(f"{self.stream.name}: is empty, expected an object of JSON on each line.")
        if not objects:
            where = f"{self.stream.name}: expected an object of JSON on each line, found none in {len(text)} lines"
            raise InputError(f"{where}. Is it UTF-8? One array is parted into lines by: jq -c '.[]'.")
        return list(names)

    def _read(self, line: bytes | Line) -> list[str] | Fault:
        """The fields of the object on a line, or what is wrong with it."""
        text, found = self._parse(line)
        if isinstance(found, tuple):
            return found
        fields = [found.get(name, "") for name in self._columns]
        if isinstance(fields[self.review_index], dict | list):
            return "nested_review", f"field {self.review_index + 1}: expected text, found a list or an object"
        others = self._has_others and not found.keys() <= self._columns.keys()
        if others or set(map(type, fields)) != {str}:
            fields = self._written(text, fields, others)
        elif self._has_others:
            fields.append("")
        if not (review := fields[self.review_index]) or review.isspace():
            return "empty_review", f"field {self.review_index + 1}: expected a review, found none"
        return (self.check and self.check(fields)) or fields

    def _parse(self, line: bytes | Line) -> tuple[str, dict[str, Any] | Fault]:
        """The text of a line, and the object on it or what is wrong."""
        if len(line) > self.options.record_limit:
            return "", ("field_too_large", "a line over the limit")
        if b"\0" in line:
            return "", ("nul_byte", "expected text, found a NUL byte")
        try:
            text = line.decode(self.options.encoding).removeprefix("\ufeff")  # files that were put together may have it
            found = _DECODER.decode(text)
        except UnicodeDecodeError as error:
            return "", ("undecodable", f"byte {error.start + 1}")
        except JSONDecodeError as error:
            return "", ("malformed_json", f"expected an object of JSON, found an error at character {error.pos + 1}")
        except _DuplicateKey:
            return "", ("duplicate_key", "the same key stands twice in an object")
        except RecursionError:
            return "", ("malformed_json", "expected an object of JSON, found one that is nested too deeply")
        if not isinstance(found, dict):
            return "", ("malformed_json", "expected an object of JSON, found another value")
        # One character is found ten times as fast as two.
        return text, ("\\" in text and "\\u" in text and _escaped(found)) or found

    def _written(self, text: str, fields: list[Any], others: bool) -> list[str]:
        """The fields as they are written in the text, where some are no strings or there are `others` behind them."""
        is_nested = any(isinstance(field, dict | list) for field in fields)
        pieces = list(_pieces(text)) if others or is_nested else []
        values = {key: value for key, _, value in pieces}
        cells = [
            field if isinstance(field, str) else values[name] if isinstance(field, dict | list) else _CONSTANTS[field]
            for name, field in zip(self._columns, fields, strict=True)
        ]
        if self._has_others:
            rest = ", ".join(f"{name}: {value}" for key, name, value in pieces if key not in self._columns)
            cells.append(f"{{{rest}}}" if rest else "")
        return cells


def _escaped(found: dict[str, Any]) -> Fault | None:
    """What is wrong with characters that are written as escapes."""
    text = "".join([*found, *(value for value in found.values() if isinstance(value, str))])
    if "\0" in text:
        return "nul_byte", "expected text, found an escaped NUL"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "undecodable", "expected text, found half of a surrogate pair"
    return None


def _first(lines: Iterator[bytes | Line]) -> Iterator[bytes | Line]:
    """The lines within the look-ahead."""
    length = 0
    for line in islice(lines, LOOK_AHEAD_LINES):
        yield line
        length += len(line)
        if length >= LOOK_AHEAD_BYTES:
            return


def _pieces(text: str) -> Iterator[tuple[str, str, str]]:
    """Each key of a sound object, the same as it is written, and its value as it is written."""
    at = text.index("{") + 1
    while text[start := _behind(text, at)] != "}":
        key, end = _DECODER.raw_decode(text, start)
        value = _behind(text, _behind(text, end) + 1)
        _, value_end = _DECODER.raw_decode(text, value)
        yield key, text[start:end], text[value:value_end]
        at = _behind(text, value_end)
        at += text[at] == ","


def _behind(text: str, at: int) -> int:
    """The position behind white space."""
    match = _SPACE.match(text, at)
    return match.end() if match else at
