"""The header of a review dump: where it stands, its delimiter and its review column, or why the file has none."""

import codecs
import contextlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from tasks.lib.dumps import records
from tasks.lib.dumps.packing import foreign_format
from tasks.lib.dumps.records import Lines
from tasks.lib.errors import InputError

DELIMITERS = (",", ";", "\t")
HEAD_LIMIT = 1 << 20  # bytes; the header is within them, and so are the records that the layout is learnt from
NAMES_SHOWN = 20

_DECLARED = re.compile(rb"sep=([,;\t])[\r\n]*\Z")
_CONTROLS = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
# What a file without a header begins with is a review, so a message shows only names made of these words.
_USUAL = frozenset(
    re.findall(
        r"\w+",
        """
        id ids uid uuid guid key code ref no nr num number index idx row line rank count order seq version hash
        text txt body content contents comment comments feedback message msg sentence summary description note notes
        title headline subject name names label labels tag tags category type kind class sentiment polarity target
        score scores rating ratings stars star vote votes helpful date time datetime timestamp day month year
        created updated posted published user users author reviewer reviewers customer client account member profile
        email country city state region language lang locale source channel platform url link product item sku asin
        brand film movie book store shop hotel restaurant business company app price currency amount status flag
        verified purchase parent review reviews data value values column field unnamed
        bewertung bewertungen kommentar datum titel sprache kunde produkt sterne avis commentaire titre langue produit
        resena comentario fecha titulo idioma cliente producto
        """,
    )
)
_NAME = re.compile(r"[\w .:/#()-]+")
_WORD = re.compile(r"[A-Z]?[^\W\d_A-Z]+|[A-Z]+|\d+|[^\W\d_]+")
# These extend ASCII as far as single characters go, but give some of them another meaning in a row.
_STATEFUL = re.compile(r"utf.?7|hz|iso.?2022|punycode|idna|.*escape", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Rule:
    """What the caller knows of the header; `tabs` says that the file's name speaks of tabs."""

    review_column: str
    encoding: str
    delimiter: str | None
    tabs: bool


@dataclass(frozen=True, slots=True)
class Header:
    """`names` as they stand; `end` is the offset of the first byte behind the header, `lines` what it takes."""

    names: tuple[str, ...]
    review: int
    delimiter: str
    end: int
    lines: int


def check_options(encoding: str, delimiter: str | None) -> str:
    """The encoding by its usual name. Raises InputError for a delimiter or an encoding that dumps cannot have."""
    if delimiter is not None and delimiter not in DELIMITERS:
        raise InputError(f"--delimiter: expected a comma, a semicolon or a tab, found {delimiter!r}.")
    ascii_text = "".join(map(chr, range(128)))
    try:
        # Lines and fields are parted before they are decoded, so ASCII has to stand for itself.
        usable = ascii_text.encode().decode(encoding) == ascii_text and not _STATEFUL.match(encoding)
    except (LookupError, ValueError):
        usable = False
    if not usable:
        raise InputError(
            f"--encoding: expected one that extends ASCII, such as utf-8 or cp1252, found {encoding!r}. "
            "Convert the file to UTF-8."
        )
    # The mark is read with the header; this would take one off every line.
    return codecs.lookup(encoding).name.removesuffix("-sig")


def find(name: str, head: bytes, rule: Rule) -> Header:
    """The header at the start of `head`, the first HEAD_LIMIT bytes of the file called `name`.

    Blank lines, comments and `sep=;` may stand before it. Raises InputError if there is none with one review column.
    """
    _refuse_foreign(name, head, rule.encoding)
    end = len(codecs.BOM_UTF8) if head.startswith(codecs.BOM_UTF8) else 0
    lines = Lines.of(records.ANY_LINE.findall(head, end))
    delimiter = rule.delimiter
    for index, line in enumerate(lines.items):
        declared = _DECLARED.match(line)
        if declared:
            delimiter = delimiter or declared[1].decode()
        elif line.strip():
            _refuse_binary(name, line, rule.encoding)
            if len(head) == HEAD_LIMIT and index == len(lines.items) - 1:
                raise InputError(f"{name}: no header line within the first {HEAD_LIMIT} bytes. Is it a review dump?")
            tried = [_parse(lines, index, end, candidate, rule) for candidate in _candidates(delimiter, rule.tabs)]
            best = max(tried, key=lambda parsed: (bool(parsed.matches), len(parsed.names)))
            if len(best.matches) == 1:
                return Header(best.names, best.matches[0], best.delimiter, best.end, best.lines)
            if best.matches or not line.startswith(b"#"):
                raise InputError(f"{name}: {_complaint(best, rule.review_column)}")
        end += len(line)
    raise InputError(f"{name}: is empty, expected a header with a column {rule.review_column!r}.")


@dataclass(frozen=True, slots=True)
class _Parsed:
    names: tuple[str, ...]
    matches: tuple[int, ...]  # the columns that may be meant
    delimiter: str
    end: int
    lines: int


def _candidates(delimiter: str | None, tabs: bool) -> tuple[str, ...]:
    if delimiter is not None:
        return (delimiter,)
    return ("\t", ",", ";") if tabs else DELIMITERS


def _parse(lines: Lines, index: int, offset: int, delimiter: str, rule: Rule) -> _Parsed:
    parse = records.scan(lines, index, delimiter.encode(), HEAD_LIMIT)
    names: tuple[str, ...] = ()
    if not parse.fault:
        with contextlib.suppress(UnicodeDecodeError):
            names = tuple(value.decode(rule.encoding) for value in parse.fields)
    end = offset + sum(map(len, lines.items[index : parse.end]))
    return _Parsed(names, _matches(names, rule.review_column), delimiter, end, parse.end)


def _matches(names: tuple[str, ...], wanted: str) -> tuple[int, ...]:
    """The columns of that very name, or else those that differ from it in case and surrounding spaces only."""
    exact = tuple(index for index, name in enumerate(names) if name == wanted)
    plain = wanted.strip().casefold()
    return exact or tuple(index for index, name in enumerate(names) if name.strip().casefold() == plain)


def _complaint(parsed: _Parsed, wanted: str) -> str:
    names = parsed.names
    if not names:
        return "the first line is no valid CSV, expected a header with column names."
    if parsed.matches:
        return f"{len(parsed.matches)} columns may be meant by {wanted!r}. Rename all but one of them."
    return f"no column {wanted!r} (found: {listed(names)}). Name it with --review-column; is the first line a header?"


def listed(names: Sequence[str]) -> str:
    """The column names as a message may show them: without those that could be text of a review."""
    usual = [name.strip() for name in names if _is_usual(name)]
    others = len(names) - len(usual)
    shown = [*usual[:NAMES_SHOWN], *["..."] * (len(usual) > NAMES_SHOWN)]
    if others:
        shown.append(f"{others} {'more ' if usual else ''}with names not shown here, as they may be text of a review")
    return ", ".join(shown)


def _is_usual(name: str) -> bool:
    words = [word for word in _WORD.findall(name) if not (word.isdecimal() and len(word) < 4)]
    return 0 < len(words) < 4 and all(word.casefold() in _USUAL for word in words) and bool(_NAME.fullmatch(name))


def _refuse_foreign(name: str, head: bytes, encoding: str) -> None:
    """Raises InputError for what is no text in an encoding that extends ASCII."""
    wide = _wide_encoding(head)
    if wide:
        raise InputError(f"{name}: is {wide}, expected UTF-8. Convert it: iconv -f {wide} -t UTF-8.")
    known = foreign_format(head)
    if known:
        raise InputError(f"{name}: is {known}, expected delimited text.")
    if head.startswith(codecs.BOM_UTF8) and encoding != "utf-8":
        raise InputError(f"{name}: starts with UTF-8's byte order mark, but --encoding says {encoding}. Leave it out.")


def _wide_encoding(head: bytes) -> str | None:
    if head.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "UTF-32"
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "UTF-16"
    # Without a mark, the column names give it away: ASCII with NULs between.
    start = head[:16]
    if len(start) >= 8:
        nul = [byte == 0 for byte in start]
        if nul[:8] in ([False, True, True, True] * 2, [True, True, True, False] * 2):
            return "UTF-32"
        if all(nul[1::2]) and not any(nul[::2]):
            return "UTF-16LE"
        if all(nul[::2]) and not any(nul[1::2]):
            return "UTF-16BE"
    return None


def _refuse_binary(name: str, line: bytes, encoding: str) -> None:
    """Raises InputError if the line cannot be a header for what its bytes are."""
    if _CONTROLS.search(line):
        raise InputError(f"{name}: is no text, expected a header with column names.")
    try:
        line.decode(encoding)
    except UnicodeDecodeError as error:
        raise InputError(
            f"{name}: the header is not valid {encoding} at its byte {error.start + 1}. "
            "Name the file's encoding with --encoding, such as cp1252."
        ) from error
