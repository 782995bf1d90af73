"""Review dumps, each with its right answer known row by row; tests are named after the failure they catch."""

import bz2
import csv
import gzip
import hashlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

from tasks.lib.dumps import packing, reader
from tasks.lib.dumps.records import RAW_LIMIT
from tasks.lib.errors import InputError, OutputError

ROOT = Path(__file__).parents[3]
BLANK = object()
# A part of a file and what has to come of it: fields, the reason for which it is quarantined, or a blank line.
Part = tuple[bytes, Any]


def read(path: Path, **options: Any) -> tuple[reader.Dump, list[reader.Block]]:
    with reader.open_dump(path, **options) as dump:
        return dump, list(dump)


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


def check(tmp_path: Path, header: bytes, parts: list[Part], end: bytes = b"\n", **options: Any) -> reader.Dump:
    path = tmp_path / "reviews.csv"
    path.write_bytes(header + b"".join(raw for raw, _ in parts))
    assert outcome(path, **options) == expected(header.count(end) + 1, parts, end)
    dump, _ = read(path, **options)
    assert dump.counts.blank == sum(right is BLANK for _, right in parts)
    assert dump.counts.bytes == dump.input_bytes == path.stat().st_size
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
        [*rows(1, 3), (b'4,"he said\n\\"hi, you\\" and\nleft, late",pos\n', "malformed_quote"), *rows(5, 6)],
    ),
    "inner quotes over several lines": (
        THREE,
        [*rows(1, 3), (b'4,"he said\nit was "great" and\nleft, late",pos\n', "malformed_quote"), *rows(5, 6)],
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
    "unterminated quotes in row": (
        THREE,
        [
            *rows(1, 3),
            (b'4,"a,pos\n', "malformed_quote"),
            (b'5,"b,pos\n', "malformed_quote"),
            (b'6,"c,pos\n', "unterminated_quote"),
            *rows(7, 9),
        ],
    ),
    "a stray quote that a bare quote closes": (
        THREE,
        [
            *rows(1, 3),
            (b'4,"open,pos\n', "unterminated_quote"),
            *rows(5, 7),
            (b'8,TV of 40",neg\n', ["8", 'TV of 40"', "neg"]),
            *rows(9, 12),
        ],
    ),
    "a stray quote that the next row's bare quote closes": (
        THREE,
        [
            *rows(1, 3),
            (b'4,"open,pos\n', "unterminated_quote"),
            (b'5,TV of 40",neg\n', ["5", 'TV of 40"', "neg"]),
            *rows(6, 9),
        ],
    ),
    "a stray quote that a review's first newline closes": (
        THREE,
        [
            *rows(1, 3),
            (b'4,"open,pos\n', "unterminated_quote"),
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
    "a newline outside quotes": (
        THREE,
        [
            *rows(1, 3),
            (b"4,one\n", "too_few_fields"),
            (b"two, three,pos\n", "fragment"),
            *rows(5, 9),
        ],
    ),
    "a closing quote missing before a review that starts with a newline": (
        b"id,review\n",
        [
            *[row(str(i), "fine") for i in range(1, 4)],
            (b'4,"one\ntwo\n', "unterminated_quote"),
            (b'5,"\nthree"\n', ["5", "\nthree"]),
            *[row(str(i), "fine") for i in range(6, 9)],
        ],
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
    "counting that starts anew": (
        THREE,
        [*rows(1, 30), (b'31,"open,pos\n', "unterminated_quote"), *rows(1, 9)],
    ),
    "columns that look otherwise from some row on": (
        THREE,
        [
            *rows(1, 300),
            (b'301,"open\n', "unterminated_quote"),
            *[row(f"no. {i}", "fine", "positive, so far"[:8]) for i in range(100)],
        ],
    ),
    "bad rows where the columns look otherwise": (
        THREE,
        [
            *rows(1, 300),
            *[row(f"no. {i}", "fine", "positive") for i in range(10)],
            (b"short\n", "too_few_fields"),
            *[row(f"no. {i}", "fine", "positive") for i in range(10)],
            (b'no. 11,"open,positive\n', "malformed_quote"),
            *[row(f"no. {i}", "fine", "positive") for i in range(100)],
            (b'no. 11,"in"ner,positive\n', "malformed_quote"),
            *[row(f"no. {i}", "fine", "positive") for i in range(3)],
        ],
    ),
    "a quote and a comma at the end of many rows": (
        THREE,
        [
            *rows(1, 3),
            *[(b'%d,"open,pos\n' % i, "malformed_quote") for i in range(4, 60)],
            (b'60,"open,pos\n', "unterminated_quote"),
            *rows(61, 63),
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
    "a NUL": (THREE, [*rows(1, 3), (b"4,one\0two,pos\n", ["4", "one\0two", "pos"]), *rows(5, 6)]),
    "a run of NULs in a review": (
        THREE,
        [*rows(1, 3), (b"4,one" + b"\0" * 500 + b",pos\n", ["4", "one" + "\0" * 500, "pos"]), *rows(5, 6)],
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
        [*[(b'"a%d\nb"\n' % i, [f"a{i}\nb"]) for i in range(5)], (b'"one\ntwo\nthr', "unterminated_quote")],
    ),
    "one column, inner quotes over several lines": (
        b"review\n",
        [row("a"), row("b"), (b'"he said\nit "rocks", so\nbye"\n', "malformed_quote"), row("c"), row("d")],
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
            (b'"one\ntwo,pos\n', "malformed_quote"),
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
    "the review last, a stray quote that a bare one closes": (
        b"id,review\n",
        [
            row("1", "a"),
            row("2", "b"),
            row("3", "c"),
            (b'4,"open\n', "unterminated_quote"),
            row("5", "d"),
            row("6", 'TV of 5"'),
            row("7", "e"),
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
    "labels first, a stray quote that a later row closes": (
        b"label,review\n",
        [
            *[row("pos", "fine film"), row("neg", "poor film")] * 3,
            (b'pos,"open\n', "unterminated_quote"),
            row("neg", "so so"),
            (b'neg,"\n', "unterminated_quote"),
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
    "all quoted, names of one word and of two": (
        b'"name","review"\n',
        [
            *[(b'"%b","film, so so"\n' % name, [name.decode(), "film, so so"]) for name in (b"Ann", b"Eve") * 3],
            (b'"Ann","open\n', "malformed_quote"),
            *[(b'"%b","fine"\n' % name, [name.decode(), "fine"]) for name in (b"Bob Lee", b"Dan Li", b"Ann")],
        ],
    ),
    "a name of two words behind a short row": (
        b"id,review,name\n",
        [
            *[row(str(i), "fine film", name) for i, name in enumerate(("Ann", "Chloe", "Eve", "Tom"), 1)],
            (b"5,good\n", "too_few_fields"),
            (b'6,"bad, so bad",Bob Lee\n', ["6", "bad, so bad", "Bob Lee"]),
            row("7", "fine", "Ann"),
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


@pytest.mark.parametrize("name", CASES)
def test_row_by_row(name: str, tmp_path: Path) -> None:
    header, parts = CASES[name]
    check(tmp_path, header, parts)


def test_bad_rows_take_no_neighbours_along(tmp_path: Path) -> None:
    broken = [
        b'%d,"open,pos\n',
        b'%d,"abc"def,pos\n',
        b"%d,short\n",
        b"%d,one,too,many\n",
        b"%d,caf\xe9,pos\n",
        b"%d,,pos\n",
    ]
    parts: list[Part] = []
    for number in range(1, 20_001):
        if number % 100 == 50:
            parts.append((broken[number // 100 % len(broken)] % number, None))
        elif number % 3:
            parts.append(row(str(number), "A film", "pos"))
        else:
            parts.append((b'%d,"A ""film"",\nso",pos\n' % number, [str(number), 'A "film",\nso', "pos"]))
    path = tmp_path / "reviews.csv"
    path.write_bytes(THREE + b"".join(raw for raw, _ in parts))
    dump, blocks = read(path)
    assert [fields for block in blocks for fields in block.rows] == [right for _, right in parts if right]
    assert [span.raw for block in blocks for span in block.spans] == [raw for raw, right in parts if not right]
    assert (dump.counts.good, dump.counts.quarantined) == (19_800, 200)


@pytest.mark.parametrize("line", [b'%d,"open,pos\n', b'"open %d\n', b'b",%d,"d\n', b'"abc"%d\n'])
def test_stray_quotes_cost_no_quadratic_time(line: bytes, tmp_path: Path) -> None:
    def seconds(lines: int) -> float:
        good = b"".join(raw for raw, _ in rows(1, 100))
        path.write_bytes(THREE + good + b"".join(line % i for i in range(101, 101 + lines)))
        started = time.process_time()
        dump, _ = read(path)
        assert dump.counts.good == 100
        return time.process_time() - started

    path = tmp_path / "reviews.csv"
    few, many = (min(taken) for taken in zip(*((seconds(500), seconds(2_000)) for _ in range(5)), strict=True))
    assert many < 6 * few, "four times the lines"


# --- encodings


@pytest.mark.parametrize("encoding", ["utf-8", "UTF8", "utf-8-sig"])
def test_byte_order_mark_is_no_part_of_the_first_name(encoding: str, tmp_path: Path) -> None:
    parts: list[Part] = [("\ufeff1,a,pos\n".encode(), ["\ufeff1", "a", "pos"]), *rows(2, 3)]
    dump = check(tmp_path, b"\xef\xbb\xbfid,review,label\n", parts, encoding=encoding)
    assert dump.header == ("id", "review", "label")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"])
def test_wide_encodings_are_refused_as_a_file(encoding: str, tmp_path: Path) -> None:
    message = refused(tmp_path, "id,review\n1,電影\n".encode(encoding))
    assert "is UTF-" in message
    assert "iconv" in message


def test_encoding_reads_what_utf_8_cannot(tmp_path: Path) -> None:
    parts: list[Part] = [
        (b"1,caf\xe9 \x93so\x94 \x85,pos\n", ["1", "café “so” …", "pos"]),
        (b"2,\x81,pos\n", "undecodable"),
    ]
    check(tmp_path, THREE, parts, encoding="cp1252")


def test_multibyte_encoding_is_not_parted_within_a_character(tmp_path: Path) -> None:
    text = "表示ソ能、\nある"
    check(tmp_path, THREE, [(f'1,"{text}",pos\n'.encode("shift_jis"), ["1", text, "pos"])], encoding="shift_jis")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-7", "hz", "iso2022_jp", "cp037", "no-such", "base64", "idna", ""])
def test_encodings_that_do_not_extend_ascii_are_refused(encoding: str, tmp_path: Path) -> None:
    assert "--encoding" in refused(tmp_path, THREE, encoding=encoding)


def test_mark_and_encoding_that_disagree_are_refused(tmp_path: Path) -> None:
    assert "byte order mark" in refused(tmp_path, b"\xef\xbb\xbf" + THREE, encoding="cp1252")


# --- line ends


def test_cr_only(tmp_path: Path) -> None:
    parts: list[Part] = [
        (b"1,a,pos\r", ["1", "a", "pos"]),
        (b'2,"b\nb\r\rb",neg\r', ["2", "b\nb\r\rb", "neg"]),
        (b"\r", BLANK),
        (b"3,short\r", "too_few_fields"),
        (b"4,c\nd,pos\r", "lone_line_break"),
        (b"5,d,pos", ["5", "d", "pos"]),
    ]
    check(tmp_path, b"id,review,label\r", parts, end=b"\r")


def test_cr_only_behind_a_header_with_lf(tmp_path: Path) -> None:
    path = tmp_path / "reviews.csv"
    path.write_bytes(b"id,review,label\n1,a,pos\r2,b,neg\r3,c,pos\r")
    assert outcome(path) == [(2, ["1", "a", "pos"]), (3, ["2", "b", "neg"]), (4, ["3", "c", "pos"])]


def test_cr_and_crlf_at_the_end_of_pieces_are_one_line_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "PACKED_PIECE", 1)
    monkeypatch.setattr(packing, "PIECE", 1)
    path = tmp_path / "reviews.csv"
    path.write_bytes(b'id,review\r1,a\r\n2,"b\r\n\r"\r\r\n3,c\r')
    assert outcome(path) == [(2, ["1", "a"]), (3, ["2", "b\r\n\r"]), (7, ["3", "c"])]


def test_mixed_line_ends_part_rows_only_where_all_parts_are_rows(tmp_path: Path) -> None:
    path = tmp_path / "reviews.csv"
    path.write_bytes(THREE + b'1,a,pos\n2,b,neg\r3,"c\nc",pos\r4,d,neg\n5,e,pos\r\n6,f\rg,pos\n7,h,neg\r\n')
    assert outcome(path) == [
        (2, ["1", "a", "pos"]),
        (3, ["2", "b", "neg"]),
        (3, ["3", "c\nc", "pos"]),
        (4, ["4", "d", "neg"]),
        (5, ["5", "e", "pos"]),
        (6, 6, "lone_line_break", b"6,f\rg,pos\n"),
        (7, ["7", "h", "neg"]),
    ]


# --- delimiters


@pytest.mark.parametrize(
    ("delimiter", "name"), [(";", "r.csv"), ("\t", "r.tsv"), ("\t", "r.csv"), (",", "r.tsv"), (",", "r.csv")]
)
def test_delimiter_is_found(delimiter: str, name: str, tmp_path: Path) -> None:
    lines = [["id", "review", "a;b"], ["1", 'x, "y"; z', "\u00e9"], ["2", "a\tb", ""]]
    text = "".join(delimiter.join('"' + field.replace('"', '""') + '"' for field in line) + "\n" for line in lines)
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    dump, blocks = read(path)
    assert (dump.delimiter, dump.header) == (delimiter, ("id", "review", "a;b"))
    assert blocks[0].rows == lines[1:]


def test_other_delimiters_are_text(tmp_path: Path) -> None:
    assert check(tmp_path, b"id;review\n", [(b"1;a, b,\tc\n", ["1", "a, b,\tc"])]).delimiter == ";"


def test_delimiter_given_overrides(tmp_path: Path) -> None:
    check(tmp_path, b"review\n", [(b"a; b\n", ["a; b"]), (b"a, b\n", ["a, b"])], delimiter="\t")
    assert "--delimiter" in refused(tmp_path, b"review|id\n", delimiter="|")


def test_excel_declaration_of_the_delimiter(tmp_path: Path) -> None:
    dump = check(tmp_path, b"sep=;\nid;review\n", [(b"1;a, b\n", ["1", "a, b"])])
    assert dump.counts.header_lines == 2


# --- one delimiter more at the end


@pytest.mark.parametrize("header", [b"id,review,label\n", b"id,review,label,\n"])
def test_delimiter_at_the_end_of_every_row(header: bytes, tmp_path: Path) -> None:
    values = [["1", "a", "pos"], ["2", "b, c", "neg"], ["3", "d", ""], ["4", "e\nf", "pos"]]
    raws = [b"1,a,pos,\n", b'2,"b, c",neg,\n', b"3,d,,\n", b'4,"e\nf",pos,\n']
    extra = [""] if header.endswith(b",\n") else []
    parts: list[Part] = [(raw, fields + extra) for raw, fields in zip(raws, values, strict=True)]
    parts.append((b"5,x,pos,y,\n", "too_many_fields"))
    if not extra:
        parts += [(b"6,x,pos,y\n", "too_many_fields"), (b"7,without,pos\n", ["7", "without", "pos"])]
    check(tmp_path, header, parts)


def test_delimiter_at_the_end_of_the_header_only(tmp_path: Path) -> None:
    assert check(tmp_path, b"id,review,label,\n", [*rows(1, 4), (b"5,a,pos,x\n", "too_many_fields")]).header == (
        "id",
        "review",
        "label",
    )


# --- headers


def test_header_only(tmp_path: Path) -> None:
    for header in (b"id,review,label\n", b"id,review,label", b"\xef\xbb\xbfreview\r\n"):
        dump = check(tmp_path, header, [])
        assert (dump.counts.rows, dump.counts.header_bytes) == (0, len(header))


@pytest.mark.parametrize(
    "data", [b"", b"\n\n", b"\xef\xbb\xbf", b"  \r\n", b"# a comment\n", gzip.compress(b""), bz2.compress(b"")]
)
def test_empty_file_is_said_to_be_empty(data: bytes, tmp_path: Path) -> None:
    assert "is empty" in refused(tmp_path, data)


def test_missing_review_column_names_those_found(tmp_path: Path) -> None:
    message = refused(tmp_path, b"id,text,Film Title\n1,a,b\n")
    assert (
        message
        == "reviews.csv: no column 'review' (found: id, text, Film Title). Name it with --review-column; \
is the first line a header?"
    )
    path = tmp_path / "reviews.csv"
    dump, blocks = read(path, review_column="text")
    assert (dump.review_index, blocks[0].rows) == (1, [["1", "a", "b"]])


@pytest.mark.parametrize(
    "line",
    [
        b"1,SECRET film,pos",
        b"SECRET is the best film that I have ever seen",
        b'"SECRET, and how."',
        b"SECRET!",
        b"good SECRET film here,pos",
        b"pos,pos,SECRET",
        b'"SECRET "x" y"',
        b"SECRET",
        b"SECRET\nanother",
        b"bad SECRET\ngood film\nthird",
        b"SECRET,positive",
        b"id,SECRET",
        b"1,SECRET,2024-05-06\n2,good,2024-05-07\n3,fine,2024-05-08",
        b"secret_SECRET;SECRET.secret",
        b"text: SECRET,pos",
    ],
)
def test_missing_header_does_not_show_a_review(line: bytes, tmp_path: Path) -> None:
    assert "SECRET" not in refused(tmp_path, line + b"\n" + line + b"\n")


@pytest.mark.parametrize(
    ("header", "found"),
    [
        (b"id;review_text;Bewertung\n1;a;5\n", "(found: id, review_text, Bewertung)"),
        (b"Unnamed: 0,reviewText,userID,date\n", "(found: Unnamed: 0, reviewText, userID, date)"),
        (b"id,words of mine,date\n", "(found: id, date, 1 more with names not shown"),
        (b"words of mine\nand more\n", "(found: 1 with names not shown"),
        (b"1,2,3\n", "(found: 3 with names not shown"),
        (b"id,\n1,a\n", "(found: id, 1 more with names"),
        (b"id," * 30 + b"x", "id, ..., 1 more"),
    ],
)
def test_missing_review_column_without_a_word_of_what_there_is(header: bytes, found: str, tmp_path: Path) -> None:
    assert found in refused(tmp_path, header)


@pytest.mark.parametrize("name", [b"Review", b"REVIEW", b" review ", b"\treview", b"reVIEW  "])
def test_names_in_other_case_and_with_spaces(name: bytes, tmp_path: Path) -> None:
    dump = check(tmp_path, b"id," + name + b"\n", [row("1", "a")], delimiter=",")
    assert (dump.review_index, dump.header) == (1, ("id", name.decode()))


def test_the_exact_name_wins(tmp_path: Path) -> None:
    assert check(tmp_path, b"Review,review\n", [row("1", "a")]).review_index == 1


@pytest.mark.parametrize("header", [b"review,review", b"Review, review", b"id,REVIEW,Review"])
def test_two_review_columns_are_refused(header: bytes, tmp_path: Path) -> None:
    assert "2 columns may be meant" in refused(tmp_path, header + b"\na,b,c\n")


def test_other_columns_of_one_name_are_all_kept(tmp_path: Path) -> None:
    dump = check(tmp_path, b"a,review,a,a_2,a,,\n", [row("1", "x", "2", "3", "4", "5", "6")])
    assert dump.header == ("a", "review", "a_3", "a_2", "a_4", "", "_2")


@pytest.mark.parametrize("before", [b"# exported 2024-01-01\n", b'#\n# a, b; "c\n\n', b"\n\r\n", b"\xef\xbb\xbf# x\n"])
def test_lines_before_the_header(before: bytes, tmp_path: Path) -> None:
    dump = check(tmp_path, before + THREE, [*rows(1, 2), (b"# no comment\n", "too_few_fields"), *rows(3, 4)])
    assert dump.counts.header_bytes == len(before) + len(THREE)


def test_header_that_starts_with_a_number_sign(tmp_path: Path) -> None:
    assert check(tmp_path, b"#,review\n", [row("1", "a")]).header == ("#", "review")


def test_header_of_several_lines(tmp_path: Path) -> None:
    assert check(tmp_path, b'"id\nof it",review\n', [row("1", "a")]).header == ("id\nof it", "review")


def test_header_that_cannot_be_decoded(tmp_path: Path) -> None:
    assert "--encoding" in refused(tmp_path, b"pr\xe9nom,review\n1,a\n")
    path = tmp_path / "reviews.csv"
    assert read(path, encoding="cp1252")[0].header == ("prénom", "review")


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"PK\x03\x04" + bytes(range(256)), "ZIP"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "PNG"),
        (b"PAR1" + bytes(100), "Parquet"),
        (b"%PDF-1.4\n%\xe2\xe3", "PDF"),
        (b"SQLite format 3\0", "SQLite"),
        (b"\xfd7zXZ\0", "xz"),
        (bytes(range(256)) * 50, "no text"),
        (b"\0" * 5000, "no text"),
        (gzip.compress(gzip.compress(THREE)), "packed twice"),
        (gzip.compress(b"reviews.csv" + bytes(89) + b"0000644\0" + THREE), "no text"),
    ],
)
def test_binary_file_is_refused(data: bytes, found: str, tmp_path: Path) -> None:
    assert found in refused(tmp_path, data)


def test_random_bytes_are_refused_or_quarantined(tmp_path: Path) -> None:
    assert refused(tmp_path, b"".join(bytes([i * 7 % 256, i * 13 % 251]) for i in range(5000)))


def test_file_of_one_endless_line_is_refused(tmp_path: Path) -> None:
    assert "no header line" in refused(tmp_path, b"review," * 200_000)


# --- packed files

PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bz2": bz2.compress,
    "zstd": zstandard.ZstdCompressor(write_checksum=True).compress,
}
TEXT = THREE + b"".join(b'%d,"Film, %d ""so""\nand so %x",pos\n' % (i, i * i, i**5) for i in range(3000))


@pytest.mark.parametrize("kind", PACKERS)
def test_packed_file_is_known_by_its_bytes(kind: str, tmp_path: Path) -> None:
    plain = tmp_path / "reviews.csv"
    plain.write_bytes(TEXT)
    packed = tmp_path / "misnamed.csv"
    packed.write_bytes(PACKERS[kind](TEXT))
    assert outcome(packed) == outcome(plain)
    dump, _ = read(packed)
    assert (dump.compression, dump.counts.bytes, dump.input_bytes) == (kind, len(TEXT), packed.stat().st_size)
    assert dump.sha256 == hashlib.sha256(packed.read_bytes()).hexdigest()
    plain.rename(tmp_path / "plain.csv.gz")
    assert read(tmp_path / "plain.csv.gz")[0].compression is None


@pytest.mark.parametrize("kind", PACKERS)
def test_no_member_is_left_out(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "reviews.csv"
    pack = PACKERS[kind]
    path.write_bytes(pack(TEXT[:1000]) + pack(b"") + pack(TEXT[1000:1001]) + pack(TEXT[1001:]))
    dump, _ = read(path)
    assert (dump.counts.good, dump.counts.bytes) == (3000, len(TEXT))


@pytest.mark.parametrize("kind", PACKERS)
def test_cut_file_is_never_read_to_its_end(kind: str, tmp_path: Path) -> None:
    packed = PACKERS[kind](TEXT)
    for length in [11, 20, len(packed) // 2, *range(len(packed) - 12, len(packed))]:
        assert kind in refused(tmp_path, packed[:length])
    assert kind in refused(tmp_path, packed + packed[:-1])


@pytest.mark.parametrize("kind", PACKERS)
def test_damaged_file_is_never_read_to_its_end(kind: str, tmp_path: Path) -> None:
    packed = PACKERS[kind](TEXT)
    path = tmp_path / "reviews.csv"
    right = hashlib.sha256(TEXT).digest()
    for place in range(0, len(packed), len(packed) // 60):
        damaged = bytearray(packed)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        try:
            _, blocks = read(path)
        except InputError:
            continue
        # A flip in what no checksum covers, such as a time stamp, alters nothing.
        found = "".join(f'{a},"{b.replace(chr(34), chr(34) * 2)}",{c}\n' for block in blocks for a, b, c in block.rows)
        assert hashlib.sha256(THREE + found.encode()).digest() == right


@pytest.mark.parametrize("kind", PACKERS)
def test_what_follows_packed_data_is_not_left_out(kind: str, tmp_path: Path) -> None:
    assert kind in refused(tmp_path, PACKERS[kind](TEXT) + b"4,lost,pos\n")
    assert kind in refused(tmp_path, PACKERS[kind](TEXT) + b"\0\0x")


def test_gzip_padding_is_no_data(tmp_path: Path) -> None:
    path = tmp_path / "reviews.csv.gz"
    path.write_bytes(gzip.compress(TEXT) + bytes(1000))
    assert read(path)[0].counts.good == 3000


def test_size_limit_holds_for_what_a_file_opens_to(tmp_path: Path) -> None:
    packed = gzip.compress(TEXT)
    assert "limit of 2000 bytes" in refused(tmp_path, packed, max_bytes=2000)
    assert "limit" in refused(tmp_path, TEXT, max_bytes=len(TEXT) - 1)
    path = tmp_path / "reviews.csv"
    path.write_bytes(packed)
    assert read(path, max_bytes=len(TEXT))[0].counts.good == 3000


BOMB = """
import resource, sys
from tasks.lib.dumps import reader
with reader.open_dump(sys.argv[1]) as dump:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    spans = [span for block in dump for span in block.spans]
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print((after - before) // 1024, dump.counts.good, [(span.reason, span.raw_bytes) for span in spans], dump.counts.bytes)
"""


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_memory_stays_flat_while_a_bomb_is_read(kind: str, tmp_path: Path) -> None:
    million = bytes(1_000_000).replace(b"\0", b"a")
    path = tmp_path / "bomb.csv"
    if kind == "gzip":
        member = gzip.compress(million * 100, 1)
        path.write_bytes(gzip.compress(b"review\nfine\n") + member * 5 + gzip.compress(b"\nfine\n"))
    else:
        packer = zstandard.ZstdCompressor(level=1).compressobj()
        parts = [packer.compress(b"review\nfine\n"), *(packer.compress(million) for _ in range(500))]
        path.write_bytes(b"".join([*parts, packer.compress(b"\nfine\n"), packer.flush()]))
    done = subprocess.run([sys.executable, "-c", BOMB, path], cwd=ROOT, capture_output=True, text=True, check=True)
    memory, rest = done.stdout.split(maxsplit=1)
    assert rest.strip() == f"2 [('field_too_large', {500_000_001})] {500_000_018}"
    assert int(memory) < 300


# --- what is no file, and what is too large


def test_missing_file_folder_and_devices_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"missing\.csv: could not be opened: No such file"):
        reader.open_dump(tmp_path / "missing.csv")
    with pytest.raises(InputError, match="found a folder"):
        reader.open_dump(tmp_path)
    with pytest.raises(InputError, match="found a device"):
        reader.open_dump("/dev/null")


def test_fifo_and_socket_are_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.csv")
    with pytest.raises(InputError, match="found a FIFO"):
        reader.open_dump(tmp_path / "fifo.csv")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(tmp_path / "s.csv"))
        with pytest.raises(InputError, match="could not be opened"):
            reader.open_dump(tmp_path / "s.csv")


def test_link_is_followed_only_if_allowed(tmp_path: Path) -> None:
    (tmp_path / "real.csv").write_bytes(THREE)
    (tmp_path / "link.csv").symlink_to("real.csv")
    assert read(tmp_path / "link.csv")[0].counts.rows == 0
    with pytest.raises(InputError, match="could not be opened"):
        reader.open_dump(tmp_path / "link.csv", follow_symlinks=False)


def test_file_name_cannot_break_a_message(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        reader.open_dump(tmp_path / "a\n\x1b[31m\udcff.csv")
    assert str(caught.value).startswith("a??[31m?.csv: ")


def test_refused_file_is_closed(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path, os.O_RDONLY)  # the lowest free number
    os.close(descriptor)
    refused(tmp_path, b"id,text\n")
    refused(tmp_path, gzip.compress(TEXT)[:-1])
    again = os.open(tmp_path, os.O_RDONLY)
    os.close(again)
    assert again == descriptor


def test_file_that_grows_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "reviews.csv"
    path.write_bytes(TEXT)
    with reader.open_dump(path, block_rows=10) as dump, pytest.raises(InputError, match="changed while it was read"):
        for number, _ in enumerate(dump):
            if number == 0:
                with path.open("ab") as file:
                    file.write(b"9999,late,pos\n")


def test_field_of_50_mb(tmp_path: Path) -> None:
    text = 'It was "so" good, and it went on and on and on for ever. Then it went on again.' * 10 + "\n"
    text *= 62_500
    path = tmp_path / "reviews.csv"
    path.write_bytes(THREE + b'1,"' + text.replace('"', '""').encode() + b'",pos\n2,b,neg\n')
    dump, blocks = read(path)
    assert [block.rows[0][0] for block in blocks] == ["1", "2"]
    assert blocks[0].rows[0][1] == text
    assert (dump.counts.lines, dump.counts.good) == (62_503, 2)


@pytest.mark.parametrize("size", [999, 1000, 1001, 5000, 300_000])
@pytest.mark.parametrize("end", [b"\n", b"\r"])
def test_line_over_the_limit_is_skipped_and_counted(size: int, end: bytes, tmp_path: Path) -> None:
    long = b"3," + b"x" * (size - 7) + b",pos" + end
    parts = [(raw.replace(b"\n", end), right) for raw, right in [*rows(1, 2), (long, None), *rows(4, 5)]]
    path = tmp_path / "reviews.csv"
    path.write_bytes(b"id,review,label" + end + b"".join(raw for raw, _ in parts))
    found = outcome(path, record_limit=1000)
    assert [fields for _, fields, *_ in found if isinstance(fields, list)] == [
        right or ["3", "x" * (size - 7), "pos"] for _, right in parts if right or size <= 1000
    ]
    if size > 1000:
        assert found[2] == (4, 4, "field_too_large", long[:RAW_LIMIT])
        span = next(span for block in read(path, record_limit=1000)[1] for span in block.spans)
        assert span.raw_bytes == size


def test_record_over_the_limit_takes_no_neighbours_along(tmp_path: Path) -> None:
    parts: list[Part] = [*rows(1, 3), (b'4,"open,pos\n', "unterminated_quote"), *rows(5, 400)]
    check(tmp_path, THREE, parts, record_limit=1000)


def test_long_spans_keep_all_their_bytes(tmp_path: Path) -> None:
    path = tmp_path / "reviews.csv"
    tail = b'9,"open\n' + b"some text\n" * 20_000
    path.write_bytes(THREE + b"".join(raw for raw, _ in rows(1, 8)) + tail)
    dump, blocks = read(path)
    spans = [span for block in blocks for span in block.spans]
    assert b"".join(span.raw for span in spans) == tail
    assert len(spans) == dump.counts.quarantined == 4


# --- blocks and counts


@pytest.mark.parametrize("block_rows", [1, 2, 7, 2048])
def test_blocks_are_small_and_in_order(block_rows: int, tmp_path: Path) -> None:
    parts: list[Part] = [*rows(1, 9), (b"10,short\n", "too_few_fields"), *rows(11, 30), (b"31\n", "too_few_fields")]
    check(tmp_path, THREE, parts, block_rows=block_rows)
    _, blocks = read(tmp_path / "reviews.csv", block_rows=block_rows)
    assert all(0 < len(block.rows) + len(block.spans) <= block_rows for block in blocks)


def test_block_bytes_bound_a_block(tmp_path: Path) -> None:
    parts: list[Part] = [(b"%d," % i + b"x" * 100_000 + b",pos\n", [str(i), "x" * 100_000, "pos"]) for i in range(40)]
    check(tmp_path, THREE, parts, block_bytes=1 << 20)
    _, blocks = read(tmp_path / "reviews.csv", block_bytes=1 << 20)
    assert all(len(block.rows) < 30 for block in blocks)


def test_spans_count_towards_a_block(tmp_path: Path) -> None:
    path = tmp_path / "reviews.csv"
    path.write_bytes(THREE + (b"x" * 50_000 + b"\n") * 100)
    _, blocks = read(path, block_bytes=1 << 20)
    assert max(sum(len(span.raw) for span in block.spans) for block in blocks) < 3 << 20


def test_a_dump_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "reviews.csv"
    path.write_bytes(TEXT)
    with reader.open_dump(path) as dump:
        assert sum(len(block.rows) for block in dump) == 3000
        with pytest.raises(InputError, match="only once"):
            list(dump)


def test_counts_that_do_not_balance_are_no_result(tmp_path: Path) -> None:
    path = tmp_path / "reviews.csv"
    path.write_bytes(TEXT)
    for name in ("good", "blank", "record_bytes", "span_lines", "header_bytes"):
        with reader.open_dump(path) as dump, pytest.raises(OutputError, match=r"reviews\.csv: .* accounted for"):
            for _ in dump:
                setattr(dump.counts, name, getattr(dump.counts, name) + 1)
                if name == "good":
                    dump.counts.check("reviews.csv")


def test_no_detail_holds_text_of_the_record(tmp_path: Path) -> None:
    path = tmp_path / "reviews.csv"
    for name, (header, parts) in CASES.items():
        if sum(len(raw) for raw, _ in parts) > 50_000:
            continue
        path.write_bytes(
            header + b"".join(raw.replace(b"open", b"SECRET").replace(b"abc", b"SECRET") for raw, _ in parts)
        )
        _, blocks = read(path)
        assert not [span.detail for block in blocks for span in block.spans if "SECRET" in span.detail], name


def test_real_reviews_are_read_as_the_standard_library_reads_them(imdb_dir: Path) -> None:
    path = imdb_dir / "reviews_test.csv.gz"
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        header, *right = csv.reader(file, strict=True)
    dump, blocks = read(path)
    assert [fields for block in blocks for fields in block.rows] == right
    assert (list(dump.header), dump.counts.quarantined) == (header, 0)
