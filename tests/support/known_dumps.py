"""Review dumps, each with its right answer known row by row, and what reads and compares them."""

from __future__ import annotations

import bz2
import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from backports import zstd

from tasks.lib.dumps import reader
from tasks.lib.dumps.blocks import RAW_LIMIT, Block, OpenDump, Options
from tasks.lib.errors import InputError

BLANK = object()
# A part of a file and what has to come of it: fields, the reason for which it is quarantined, or a blank line.
Part = tuple[bytes, Any]


def read(path: Path, **options: Any) -> tuple[OpenDump, list[Block]]:
    with reader.open(path, Options(**options)) as dump:
        return dump, list(dump)


def counted(blocks: list[Block]) -> tuple[int, int]:
    """The good rows and the spans."""
    return sum(len(block.rows) for block in blocks), sum(len(block.spans) for block in blocks)


def outcome(path: Path, **options: Any) -> list[tuple[Any, ...]]:
    """Good rows and spans in the file's order, as (first line, fields) and (first line, last line, reason, raw)."""
    dump, blocks = read(path, **options)
    found: dict[int, tuple[Any, ...]] = {}
    for block in blocks:
        assert min([*block.ordinals, *(span.ordinal for span in block.spans)]) == len(found) + 1
        for ordinal, line, row in zip(block.ordinals, block.lines, block.rows, strict=True):
            assert len(row) == len(dump.header)
            assert ordinal not in found
            found[ordinal] = (line, row)
        for span in block.spans:
            assert span.ordinal not in found
            assert span.raw_bytes >= len(span.raw) <= RAW_LIMIT
            found[span.ordinal] = (span.first_line, span.last_line, span.reason, span.raw)
    assert sorted(found) == list(range(1, dump.counts.rows + 1))
    return [found[ordinal] for ordinal in sorted(found)]


def expected(first_line: int, parts: list[Part], end: bytes) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = []
    line = first_line
    for raw, right in parts:
        lines = raw.count(end) + (not raw.endswith(end))
        if isinstance(right, list):
            found.append((line, right))
        elif right is not BLANK:
            found.append((line, line + lines - 1, right, raw[:RAW_LIMIT]))
        line += lines
    return found


def check(tmp_path: Path, header: bytes, parts: list[Part], end: bytes = b"\n", **options: Any) -> OpenDump:
    path = tmp_path / "reviews.csv"
    path.write_bytes(header + b"".join(raw for raw, _ in parts))
    assert outcome(path, **options) == expected(header.count(end) + 1, parts, end)
    dump, _ = read(path, **options)
    assert dump.counts.blank == sum(right is BLANK for _, right in parts)
    assert dump.counts.bytes == dump.stream.bytes == path.stat().st_size
    return dump


def refused(tmp_path: Path, data: bytes, name: str = "reviews.csv", **options: Any) -> str:
    """The message with which the file is refused, when it is opened or while it is read."""
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(InputError) as caught:
        read(path, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith((f"{name}: ", "--"))
    return message


def row(*fields: str, end: str = "\n") -> Part:
    """A good row, written without quotes."""
    return (",".join(fields) + end).encode(), list(fields)


def rows(first: int, last: int) -> list[Part]:
    """Good rows of the columns id, review, label."""
    labels = ["pos", "neg"]
    return [row(str(i), f"Film number {i} was fine", labels[i % 2]) for i in range(first, last + 1)]


THREE = b"id,review,label\n"

# Each name says what would be lost or altered.
CASES: dict[str, tuple[bytes, list[Part]]] = {
    # --- ragged rows
    "a short first row": (THREE, [(b"1,too short\n", "too_few_fields"), *rows(2, 5)]),
    "a long first row": (THREE, [(b"1,too,long,pos\n", "too_many_fields"), *rows(2, 5)]),
    "a short last row": (THREE, [*rows(1, 5), (b"6,cut o", "too_few_fields")]),
    "a short row among good ones": (THREE, [*rows(1, 5), (b"6,short\n", "too_few_fields"), *rows(7, 9)]),
    "a row of one field": (THREE, [*rows(1, 5), (b"alone\n", "too_few_fields"), *rows(7, 9)]),
    "a row of spaces": (THREE, [*rows(1, 5), (b"   \n", "too_few_fields"), *rows(7, 9)]),
    "100,000 commas": (THREE, [*rows(1, 5), (b"," * 100_000 + b"\n", "too_many_fields"), *rows(7, 9)]),
    "only delimiters": (THREE, [*rows(1, 5), (b",,\n", "empty_review"), *rows(7, 9)]),
    "an unquoted comma in the review": (THREE, [*rows(1, 5), (b"6,a, b,pos\n", "too_many_fields"), *rows(7, 9)]),
    "one empty field more in a single row": (THREE, [*rows(1, 5), (b"6,a,pos,\n", "too_many_fields"), *rows(7, 9)]),
    "a ragged record of several lines": (
        THREE,
        [*rows(1, 5), (b'6,"one\ntwo, three\nfour",pos,extra\n', "too_many_fields"), *rows(7, 9)],
    ),
    "a short record of several lines": (
        THREE,
        [*rows(1, 5), (b'6,"one\ntwo\nthree"\n', "too_few_fields"), *rows(7, 9)],
    ),
    "the header in the middle": (THREE, [*rows(1, 5), (THREE, "repeated_header"), *rows(6, 9)]),
    "the header in the middle, with a mark": (
        THREE,
        [*rows(1, 5), (b"\xef\xbb\xbf" + THREE, "repeated_header"), *rows(6, 9)],
    ),
    "a review called review in the only column": (b"review\n", [row("fine"), row("review"), row("good")]),
    "a row that is the header but for one word": (THREE, [*rows(1, 5), row("id", "review", "pos"), *rows(6, 9)]),
    # --- blank lines and ends
    "blank lines": (
        THREE,
        [(b"\n", BLANK), *rows(1, 3), (b"\n", BLANK), (b"\r\n", BLANK), *rows(4, 5), (b"\n", BLANK)],
    ),
    "no newline at the end": (THREE, [*rows(1, 3), (b"4,Last one,pos", ["4", "Last one", "pos"])]),
    "CRLF": (b"id,review,label\r\n", [row(str(i), "Fine", "pos", end="\r\n") for i in range(1, 5)]),
    "CRLF and LF mixed": (THREE, [row("1", "a b", "pos", end="\r\n"), *rows(2, 3), row("4", "c d", "neg", end="\r\n")]),
    "CR CR LF": (b"id,review,label\r\r\n", [row(str(i), "Fine", "pos", end="\r\r\n") for i in range(1, 5)]),
    "a newline in a quoted field": (
        THREE,
        [*rows(1, 3), (b'4,"one\ntwo",pos\n', ["4", "one\ntwo", "pos"]), *rows(5, 6)],
    ),
    "CRLF in a quoted field": (
        b"id,review,label\r\n",
        [(b'1,"one\r\ntwo\nthree\r\n",pos\r\n', ["1", "one\r\ntwo\nthree\r\n", "pos"])],
    ),
    "a quoted lone CR": (THREE, [*rows(1, 3), (b'4,"one\rtwo",pos\n', ["4", "one\rtwo", "pos"]), *rows(5, 6)]),
    "a lone CR outside quotes": (THREE, [*rows(1, 3), (b"4,one\rtwo,pos\n", "lone_line_break"), *rows(5, 6)]),
    "a lone CR at the end of a field": (THREE, [*rows(1, 3), (b"4,one\r,pos\n", "lone_line_break"), *rows(5, 6)]),
    "a lone CR behind a quoted field": (THREE, [*rows(1, 3), (b'4,"one"\r,pos\n', "lone_line_break"), *rows(5, 6)]),
    "blank lines in a quoted field": (
        THREE,
        [*rows(1, 3), (b'4,"one\n\n\n\ntwo\n",pos\n', ["4", "one\n\n\n\ntwo\n", "pos"]), *rows(5, 6)],
    ),
    # --- quotes that are text
    "doubled quotes": (THREE, [(b'1,"He said ""wow"" twice",pos\n', ["1", 'He said "wow" twice', "pos"]), *rows(2, 3)]),
    "only a doubled quote": (THREE, [(b'1,"""",pos\n', ["1", '"', "pos"]), *rows(2, 3)]),
    "bare quotes": (
        THREE,
        [
            *rows(1, 3),
            (b'4,a 5" screen,pos\n', ["4", 'a 5" screen', "pos"]),
            (b'5,say "hi" now,pos\n', ["5", 'say "hi" now', "pos"]),
            (b'6,TV of 40",neg\n', ["6", 'TV of 40"', "neg"]),
            *rows(7, 9),
        ],
    ),
    "a quote after a space": (THREE, [*rows(1, 3), (b'4, "abc",pos\n', ["4", ' "abc"', "pos"]), *rows(5, 6)]),
    "delimiters and newlines between quotes": (
        THREE,
        [(b'1,"a,b,,c\n,,\n1,2,3,4",pos\n', ["1", "a,b,,c\n,,\n1,2,3,4", "pos"]), *rows(2, 9)],
    ),
    "rows within a quoted review": (
        THREE,
        [
            *rows(1, 3),
            (
                b'4,"as CSV:\n5,looks like a row,pos\n6,so does this,neg\nthe end",pos\n',
                ["4", "as CSV:\n5,looks like a row,pos\n6,so does this,neg\nthe end", "pos"],
            ),
            *rows(5, 9),
        ],
    ),
    "a review that starts with a newline": (
        THREE,
        [*rows(1, 3), (b'4,"\nFine",pos\n', ["4", "\nFine", "pos"]), *rows(5, 6)],
    ),
    # --- broken quotes
    "text behind a closing quote": (THREE, [*rows(1, 3), (b'4,"abc"def,pos\n', "malformed_quote"), *rows(5, 6)]),
    "text behind a closing quote, first": (THREE, [(b'1,"abc"def,pos\n', "malformed_quote"), *rows(2, 6)]),
    "a space behind a closing quote": (THREE, [*rows(1, 3), (b'4,"abc" ,pos\n', "malformed_quote"), *rows(5, 6)]),
    "inner quotes not doubled": (
        THREE,
        [*rows(1, 3), (b'4,"He said "wow" twice",pos\n', "malformed_quote"), *rows(5, 6)],
    ),
    "one inner quote": (THREE, [*rows(1, 3), (b'4,"a 5" screen",pos\n', "malformed_quote"), *rows(5, 6)]),
    "backslash escapes": (THREE, [*rows(1, 3), (b'4,"he said \\"hi\\" ok",pos\n', "malformed_quote"), *rows(5, 6)]),
    "a backslash before the closing quote": (
        THREE,
        [*rows(1, 3), (b'4,"he said \\"hi\\"",pos\n', "malformed_quote"), *rows(5, 6)],
    ),
    "backslash escapes over several lines": (
        THREE,
        [*rows(1, 3), (b'4,"he said\n\\"hi, you\\" and\nleft, late, tired",pos\n', "malformed_quote"), *rows(5, 6)],
    ),
    "inner quotes over several lines": (
        THREE,
        [*rows(1, 3), (b'4,"he said\nit was "great" and\nleft, late, tired",pos\n', "malformed_quote"), *rows(5, 6)],
    ),
    "inner quotes on the first of several lines": (
        THREE,
        [*rows(1, 3), (b'4,"He said "wow" and\nleft, late\nfor home",pos\n', "malformed_quote"), *rows(5, 6)],
    ),
    "an unterminated quote, first": (THREE, [(b'1,"open,pos\n', "unterminated_quote"), *rows(2, 9)]),
    "an unterminated quote, early": (THREE, [*rows(1, 3), (b'4,"open,pos\n', "unterminated_quote"), *rows(5, 900)]),
    "an unterminated quote, last": (THREE, [*rows(1, 8), (b'9,"open,pos\n', "unterminated_quote")]),
    "an unterminated quote, last, without newline": (THREE, [*rows(1, 8), (b'9,"open', "unterminated_quote")]),
    "an unterminated quote before a quoted row": (
        THREE,
        [*rows(1, 3), (b'4,"open,pos\n', "malformed_quote"), (b'5,"a, b",neg\n', ["5", "a, b", "neg"]), *rows(6, 9)],
    ),
    "an unterminated quote far before a quoted row": (
        THREE,
        [
            *rows(1, 3),
            (b'4,"open,pos\n', "malformed_quote"),
            *rows(5, 300),
            (b'301,"a, b",neg\n', ["301", "a, b", "neg"]),
            *rows(302, 309),
        ],
    ),
    "an unterminated quote before a row of several lines": (
        THREE,
        [*rows(1, 3), (b'4,"open,pos\n', "malformed_quote"), (b'5,"a\nb",neg\n', ["5", "a\nb", "neg"]), *rows(6, 9)],
    ),
    "an unterminated quote with commas": (
        THREE,
        [*rows(1, 3), (b'4,"a, b, and c,pos\n', "unterminated_quote"), *rows(5, 9)],
    ),
    "an unterminated quote in the first column": (
        THREE,
        [*rows(1, 3), (b'"4,open,pos\n', "unterminated_quote"), *rows(5, 9)],
    ),
    "an unterminated quote in the last column": (
        THREE,
        [*rows(1, 3), (b'4,fine,"pos\n', "unterminated_quote"), *rows(5, 9)],
    ),
    "unterminated quotes in row, which take each other for the closing one": (
        THREE,
        [*rows(1, 3), (b'4,"a,pos\n5,"b,pos\n6,"c,pos\n', "malformed_quote"), *rows(7, 9)],
    ),
    "a stray quote that a bare quote closes, which makes one record by RFC 4180": (
        THREE,
        [
            *rows(1, 3),
            (b'4,"open,pos\n5,fine,neg\n6,TV of 40",neg\n', ["4", "open,pos\n5,fine,neg\n6,TV of 40", "neg"]),
            *rows(7, 9),
        ],
    ),
    "a newline outside quotes": (
        THREE,
        [*rows(1, 3), (b"4,one\n", "too_few_fields"), (b"two,pos\n", "too_few_fields"), *rows(5, 9)],
    ),
    "short rows in a row, a good one between them": (
        THREE,
        [
            (b"1,short\n", "too_few_fields"),
            (b"2\n", "too_few_fields"),
            *rows(3, 3),
            (b"4,short\n", "too_few_fields"),
            (b"5,a,b,c\n", "too_many_fields"),
            *rows(6, 6),
        ],
    ),
    "a stray quote far from the next one": (
        THREE,
        [*rows(1, 3), (b'4,"open\n', "malformed_quote"), *rows(5, 3000), (b'3001,"a",neg\n', ["3001", "a", "neg"])],
    ),
    "a stray quote that a review's first newline closes": (
        THREE,
        [
            *rows(1, 3),
            (b'4,"open,pos\n', "too_few_fields"),
            *rows(5, 6),
            (b'7,"\nFine",neg\n', ["7", "\nFine", "neg"]),
            *rows(8, 9),
        ],
    ),
    "a record of several lines that is never closed": (
        THREE,
        [*rows(1, 3), (b'4,"one\ntwo, three\nfour,pos\n', "unterminated_quote"), *rows(5, 9)],
    ),
    "a record cut off in its review": (THREE, [*rows(1, 3), (b'4,"one\ntwo, thr', "unterminated_quote")]),
    "a row cut off behind its opening quote": (
        THREE,
        [*rows(1, 3), (b'4,"one and\n', "unterminated_quote"), *rows(5, 9)],
    ),
    "a line of text that starts with a number": (
        b"id,review\n",
        [
            *[row(str(i), "fine") for i in range(1, 4)],
            (b'4,"one\n10,000 people ""saw"" it\n2, at most"\n', ["4", 'one\n10,000 people "saw" it\n2, at most']),
            (b'5,"he said "no" and\n10,000 people left\nat once"\n', "malformed_quote"),
            *[row(str(i), "fine") for i in range(6, 9)],
        ],
    ),
    # --- bytes
    "a row in cp1252": (THREE, [*rows(1, 3), (b"4,caf\xe9,pos\n", "undecodable"), *rows(5, 6)]),
    "a quoted row in cp1252": (
        THREE,
        [*rows(1, 3), (b'4,"one\ncaf\xe9, \x93so\x94",pos\n', "undecodable"), *rows(5, 6)],
    ),
    "a cut UTF-8 sequence": (THREE, [*rows(1, 3), ("4,é".encode()[:-1] + b",pos\n", "undecodable"), *rows(5, 6)]),
    "a UTF-8 surrogate": (THREE, [*rows(1, 3), (b"4,\xed\xa0\x80,pos\n", "undecodable"), *rows(5, 6)]),
    "a NUL": (THREE, [*rows(1, 3), (b"4,one\0two,pos\n", "nul_byte"), *rows(5, 6)]),
    "NULs in a review of several lines": (
        THREE,
        [*rows(1, 3), (b'4,"one\ntwo' + b"\0" * 500 + b'",pos\n', "nul_byte"), *rows(5, 6)],
    ),
    "a line of NULs": (THREE, [*rows(1, 3), (b"\0" * 4096 + b"\n", "nul_byte"), *rows(5, 6)]),
    "NULs at the end": (THREE, [*rows(1, 3), (b"\0" * 4096, "nul_byte")]),
    "a review of NULs": (THREE, [*rows(1, 3), (b"4,\0\0\0,pos\n", "nul_byte"), *rows(5, 6)]),
    "control characters": (
        THREE,
        [
            *rows(1, 3),
            (
                b"4,a\x01\x07\x08\x0b\x0c\x1a\x1b\x1c\x1d\x1e\x1f\x7fb,pos\n",
                ["4", "a\x01\x07\x08\x0b\x0c\x1a\x1b\x1c\x1d\x1e\x1f\x7fb", "pos"],
            ),
            *rows(5, 6),
        ],
    ),
    "line separators of Unicode": (
        THREE,
        [*rows(1, 3), ("4,a\u0085b\u2028c\u2029d,pos\n".encode(), ["4", "a\u0085b\u2028c\u2029d", "pos"]), *rows(5, 6)],
    ),
    "a byte order mark within": (
        THREE,
        [*rows(1, 3), ("\ufeff4,a,pos\n".encode(), ["\ufeff4", "a", "pos"]), *rows(5, 6)],
    ),
    # --- values to the letter
    "values that readers take for missing": (
        THREE,
        [row("007", "NA", "null"), row("NA", "None", "NaN"), row("1e5", "nan", "#N/A"), row("-0", "TRUE", "01.50")],
    ),
    "padded fields": (THREE, [row(" 1 ", "  padded  ", "\tpos ")]),
    "an emoji": (THREE, [row("1", "\U0001f600", "pos"), row("2", "\u200d\ufe0f", "neg")]),
    "Chinese": (THREE, [row("1", "這部電影很好看", "pos")]),
    "HTML only": (THREE, [row("1", "<br /><br />", "pos")]),
    "formulas": (THREE, [row("1", "=1+1", "@x")]),
    "empty reviews": (
        THREE,
        [
            *rows(1, 3),
            (b"4,,pos\n", "empty_review"),
            (b'5,"",pos\n', "empty_review"),
            (b"6,  ,pos\n", "empty_review"),
            (b'7,"\n\t\n",pos\n', "empty_review"),
            ("8,\u3000\u00a0,pos\n".encode(), "empty_review"),
            *rows(9, 9),
        ],
    ),
    "200,000 words": (THREE, [(b"1," + b"word " * 200_000 + b",pos\n", ["1", "word " * 200_000, "pos"]), *rows(2, 3)]),
    "a field of 3 MB": (
        THREE,
        [
            (
                b'1,"' + b'A ""film"", so long. ' * 150_000 + b'\n",pos\n',
                ["1", 'A "film", so long. ' * 150_000 + "\n", "pos"],
            ),
            *rows(2, 3),
        ],
    ),
    # --- one column, where every line looks like a record
    "one column": (
        b"review\n",
        [row("Fine"), (b'"a, b"\n', ["a, b"]), (b'"a\nb"\n', ["a\nb"]), (b"a, b\n", "too_many_fields")],
    ),
    "one column, unterminated": (
        b"review\n",
        [row("a"), row("b"), (b'"open\n', "unterminated_quote"), row("c"), row("d")],
    ),
    "one column, text behind a quote": (
        b"review\n",
        [row("a"), row("b"), (b'"x"y\n', "malformed_quote"), row("c"), row("d")],
    ),
    "one column, unterminated before a quoted row": (
        b"review\n",
        [row("a"), row("b"), (b'"open\n', "malformed_quote"), row("c"), (b'"d, e"\n', ["d, e"]), row("f")],
    ),
    "one column, all quoted, cut off": (
        b'"review"\n',
        [*[(b'"a%d\nb"\n' % i, [f"a{i}\nb"]) for i in range(5)], (b'"one\ntwo, so\nthr, ee', "unterminated_quote")],
    ),
    "one column, inner quotes over several lines": (
        b"review\n",
        [row("a"), row("b"), (b'"he said\nit "rocks", so\nbye, now"\n', "malformed_quote"), row("c"), row("d")],
    ),
    "one column, empty": (
        b"review\n",
        [row("a"), (b'""\n', "empty_review"), (b" \n", "empty_review"), (b"\n", BLANK), row("b")],
    ),
    "one column, lines that end with a quote": (
        b"review\n",
        [row('TV of 40"'), (b'"a\nTV of 40"""\n', ['a\nTV of 40"']), row('x "y"')],
    ),
    # --- the review first, with nothing before it to tell a row by
    "the review first, unterminated": (
        b"review,label\n",
        [
            row("fine", "pos"),
            row("good", "neg"),
            row("bad", "neg"),
            (b'"open,pos\n', "unterminated_quote"),
            row("so so", "pos"),
            row("well", "neg"),
        ],
    ),
    "the review first, unterminated before a quoted row": (
        b"review,label\n",
        [
            row("fine", "pos"),
            row("good", "neg"),
            row("bad", "neg"),
            (b'"open,pos\n', "malformed_quote"),
            row("so so", "pos"),
            (b'"a, b",neg\n', ["a, b", "neg"]),
            row("well", "neg"),
        ],
    ),
    "the review first, never closed over several lines": (
        b"review,label\n",
        [
            row("fine", "pos"),
            row("good", "neg"),
            row("bad", "neg"),
            (b'"one\ntwo, so,pos\n', "malformed_quote"),
            (b'"a, b",neg\n', ["a, b", "neg"]),
            row("well", "neg"),
        ],
    ),
    "the review first, over several lines": (
        b"review,label\n",
        [
            row("fine", "pos"),
            row("good", "neg"),
            row("bad", "neg"),
            (b'"one, two\nthree,four",pos\n', ["one, two\nthree,four", "pos"]),
            row("well", "neg"),
        ],
    ),
    # --- the review last, so that no column can be missing behind it
    "the review last, over several lines with commas": (
        b"id,review\n",
        [
            row("1", "a"),
            row("2", "b"),
            row("3", "c"),
            (b'4,"I came, I saw\nI, too, won\nbye, all"\n', ["4", "I came, I saw\nI, too, won\nbye, all"]),
            row("5", "d"),
        ],
    ),
    "the review last, unterminated": (
        b"id,review\n",
        [
            row("1", "a"),
            row("2", "b"),
            row("3", "c"),
            (b'4,"open, so\n', "unterminated_quote"),
            row("5", "d"),
            row("6", "e"),
        ],
    ),
    "the review last, cut off": (
        b"id,review\n",
        [row("1", "a"), row("2", "b"), row("3", "c"), (b'4,"one\ntwo, three\nfour', "unterminated_quote")],
    ),
    "labels first, a review whose last line begins with a word and a comma": (
        b"label,review\n",
        [
            row("pos", "fine film"),
            row("neg", "poor film"),
            (b'pos,"I liked it.\nWell, what can I say?"\n', ["pos", "I liked it.\nWell, what can I say?"]),
            row("neg", "poor film"),
        ],
    ),
    # --- two columns of free text, where nothing but the number of fields tells
    "free text, over several lines with commas": (
        b"title,review\n",
        [
            row("The One", "a"),
            row("It came by night!", "b"),
            row("M", "c"),
            (b'Up,"I came, I saw\nI won, too\nbye"\n', ["Up", "I came, I saw\nI won, too\nbye"]),
            row("Big, the film"[:3], "d"),
        ],
    ),
    "free text, unterminated": (
        b"title,review\n",
        [
            row("The One", "a"),
            row("It came by night!", "b"),
            row("M", "c"),
            (b'Up,"open\n', "unterminated_quote"),
            row("Big one", "d"),
            row("Oh no", "e"),
        ],
    ),
    # --- all fields quoted
    "all quoted, a list of numbers in a review": (
        b'"stars","review"\n',
        [
            *[(b'"%d","film, so %d"\n' % (i, i), [str(i), f"film, so {i}"]) for i in (5, 2, 1)],
            (
                b'"4","For and against:\n1, the story\n2, the cast"\n',
                ["4", "For and against:\n1, the story\n2, the cast"],
            ),
            (b'"2","poor film"\n', ["2", "poor film"]),
        ],
    ),
    "all quoted, a closing quote missing": (
        b'"id","review","label"\n',
        [
            *[(b'"%d","film, so %d","pos"\n' % (i, i), [str(i), f"film, so {i}", "pos"]) for i in range(4)],
            (b'"4","open,"pos"\n', "malformed_quote"),
            *[(b'"%d","film, so %d","pos"\n' % (i, i), [str(i), f"film, so {i}", "pos"]) for i in range(5, 8)],
        ],
    ),
    "all quoted, the last closing quote missing": (
        b'"id","review","label"\n',
        [
            *[(b'"%d","film, so %d","pos"\n' % (i, i), [str(i), f"film, so {i}", "pos"]) for i in range(4)],
            (b'"4","film","pos\n', "malformed_quote"),
            *[(b'"%d","film, so %d","pos"\n' % (i, i), [str(i), f"film, so {i}", "pos"]) for i in range(5, 8)],
        ],
    ),
    "all quoted, an opening quote missing": (
        b'"id","review","label"\n',
        [
            *[(b'"%d","film, so %d","pos"\n' % (i, i), [str(i), f"film, so {i}", "pos"]) for i in range(4)],
            (b'"4",film, so 4","pos"\n', "too_many_fields"),
            *[(b'"%d","film, so %d","pos"\n' % (i, i), [str(i), f"film, so {i}", "pos"]) for i in range(5, 8)],
        ],
    ),
    "all quoted, over several lines, cut in the middle": (
        b'"id","review","label"\n',
        [
            *[(b'"%d","film,\nso %d","pos"\n' % (i, i), [str(i), f"film,\nso {i}", "pos"]) for i in range(4)],
            (b'"4","film,\nso\n', "malformed_quote"),
            *[(b'"%d","film,\nso %d","pos"\n' % (i, i), [str(i), f"film,\nso {i}", "pos"]) for i in range(5, 8)],
        ],
    ),
}

PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bz2": bz2.compress,
    "zstd": lambda data: zstd.compress(data, options={zstd.CompressionParameter.checksum_flag: 1}),
}
TEXT = THREE + b"".join(b'%d,"Film, %d ""so""\nand so %x",pos\n' % (i, i * i, i**5) for i in range(3000))
