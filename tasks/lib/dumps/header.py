"""The header of a review dump: where it stands, its delimiter and its review column, or why the file has none."""

import codecs
import csv
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice

from tasks.lib.errors import InputError

DELIMITERS = ",;\t"
HEAD_LIMIT = 1 << 18  # bytes; the header is within them
NAMES_SHOWN = 20

_LINE = re.compile(rb"[^\r\n]*(?:\r{0,3}\n|\r)|[^\r\n]+")
_DECLARED = re.compile(rb"sep=([,;\t])[\r\n]*\Z")
_NO_TEXT = re.compile(rb"\A(?:\xff\xfe|\xfe\xff)|[\x00-\x08\x0e-\x1a\x1c-\x1f]")  # marks of UTF-16, and controls
_IDENTIFIER = re.compile(r"[A-Za-z_][\w.-]{0,31}")
_NUMBER = re.compile(r"[-+]?[\d.,]*\d")
# ASCII, and what UTF-7, HZ, escapes, ISO 2022 and IDNA read as something else.
_ASCII = "".join(map(chr, range(128))) + "+AGE-~{VP~}\\u0041\x1b$B0l\x1b(B.xn--bcher-kva"


@dataclass(frozen=True, slots=True)
class Header:
    """The column names, as they stand, and where they end; `lines` has those before them, too."""

    names: list[str]  # none if that line is no valid CSV
    delimiter: str
    matches: list[int]  # the columns that may hold the review
    end: int
    lines: int
    line_end: bytes
    below: list[str]  # the next record


def check_options(encoding: str, delimiter: str | None, option: str = "--encoding") -> str:
    """The encoding by its usual name. Raises InputError for a delimiter or an encoding that dumps cannot have."""
    if delimiter not in (None, *DELIMITERS):
        raise InputError(f"--delimiter: expected a comma, a semicolon or a tab, found {delimiter!r}.")
    with suppress(LookupError, ValueError):
        # Lines are parted before they are decoded, so ASCII has to stand for itself.
        if _ASCII.encode().decode(encoding) == _ASCII:
            # The mark is read with the header; this would take one off every line.
            return codecs.lookup(encoding).name.removesuffix("-sig")
    found = f"{option}: expected one that extends ASCII, such as utf-8 or cp1252, found {encoding!r}"
    raise InputError(f"{found}. Convert the file to UTF-8.")


def find(name: str, head: bytes, review_column: str, encoding: str, delimiter: str | None) -> Header:
    """The header within `head`, the first HEAD_LIMIT bytes or more of the file called `name`.

    Blank lines, comments (`#`) and `sep=;` may stand before it. Raises InputError if there is no such header.
    """
    start = len(codecs.BOM_UTF8) if head.startswith(codecs.BOM_UTF8) else 0
    if start and encoding != "utf-8":
        raise InputError(f"{name}: starts with UTF-8's byte order mark, but --encoding says {encoding}. Leave it out.")
    delimiters = DELIMITERS[::-1] if ".tsv" in name.lower() else DELIMITERS
    for match in _LINE.finditer(head, start):
        line = match[0]
        if declared := _DECLARED.match(line):
            delimiters = declared[1].decode()
        elif line.strip() and not line.startswith(b"# "):  # `#id,review` may be the header
            if _NO_TEXT.search(line):
                raise InputError(f"{name}: is UTF-16 or no text, expected UTF-8. Convert it: iconv -f UTF-16 -t UTF-8.")
            try:
                tried = [_parse(head, match.start(), each, encoding, review_column) for each in delimiter or delimiters]
            except UnicodeDecodeError as error:
                found = f"{name}: the header is not valid {encoding}"
                advice = "Name the file's encoding, such as cp1252, with --encoding (of labels: --labels-encoding)."
                raise InputError(f"{found}. {advice}") from error
            best = max(tried, key=lambda header: (bool(header.matches), len(header.names)))
            if best.end >= HEAD_LIMIT:
                raise InputError(f"{name}: no header line within the first {HEAD_LIMIT} bytes. Is it a review dump?")
            if len(best.matches) == 1:
                return best
            if best.matches or not line.startswith(b"#"):
                raise InputError(f"{name}: {_complaint(best, review_column)}")
    raise InputError(f"{name}: is empty, expected a header with a column {review_column!r}.")


def _parse(head: bytes, start: int, delimiter: str, encoding: str, wanted: str) -> Header:
    """The header that starts at that offset, if the delimiter is this one."""
    lines = (match[0].decode(encoding, "replace") for match in _LINE.finditer(head, start))
    parser = csv.reader(lines, delimiter=delimiter, strict=True)
    names, below, taken = list[str](), list[str](), 1
    with suppress(csv.Error):
        names = next(parser)
        taken = parser.line_num
        below = next(parser, [])
    *_, last = islice(_LINE.finditer(head, start), taken)
    whole = head[: last.end()]
    whole[start:].decode(encoding)
    if len(below) == len(names) - 1 and not names[-1]:  # here the header has one more
        names.pop()
    line_end = b"\r" if whole.endswith(b"\r") else b"\n"
    count = whole.count(line_end) + (not whole.endswith(line_end))
    return Header(names, delimiter, matching(names, wanted), len(whole), count, line_end, below)


def matching(names: Sequence[str], wanted: str) -> list[int]:
    """The columns of that very name, or else those that differ from it in case and surrounding spaces only."""
    exact = [index for index, name in enumerate(names) if name == wanted]
    folded = [name.strip().casefold() for name in [wanted, *names]]
    return exact or [index for index, name in enumerate(folded[1:]) if name == folded[0]]


def review_column(name: str, names: Sequence[str], wanted: str) -> int:
    """Which of the columns of the file called `name` has the reviews, where they are surely columns.

    Raises InputError unless it is one.
    """
    matches = matching(names, wanted)
    if not matches:
        raise InputError(f"{name}: no column {wanted!r} (found: {listed(names)}). Name it with --review-column.")
    if len(matches) > 1:
        raise InputError(f"{name}: {_several(matches, wanted)}")
    return matches[0]


def _several(matches: Sequence[int], wanted: str) -> str:
    return f"{len(matches)} columns may be meant by {wanted!r}. Rename all but one of them."


def _complaint(header: Header, wanted: str) -> str:
    if header.matches:
        return _several(header.matches, wanted)
    # Words in the first line may be a review where there is no header, but not if numbers are below them.
    found = listed(header.names if any(map(_NUMBER.fullmatch, header.below)) else [""] * len(header.names))
    return f"no column {wanted!r} (found: {found}). Name it with --review-column; is the first line a header?"


def listed(names: Sequence[str]) -> str:
    """The column names as a message may show them: only how many they are if one could be text of a review."""
    if 1 < len(names) <= NAMES_SHOWN and all(map(_IDENTIFIER.fullmatch, names)):
        return ", ".join(names)
    return "1 column" if len(names) == 1 else f"{len(names)} columns"
