"""The dumps of each day and what is true of them: which rows each has, and what of it cannot be scored.

A line of the truth is a content: its sha256, its rows as [number in the dump, id, digest of the review, label,
subject], and how many records have to end in quarantine for each reason.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

from tests.tools.year.reviews import Row

SMALLEST, LARGEST = 5, 60  # rows of a dump
HEADER = ["id", "review", "source"]
CORRECTION = " I have corrected this review."
DAMAGE = {
    "too_many_fields": b"x,It was long, but I liked it.,web",
    "too_few_fields": b"x,There is no third field here.",
    "malformed_quote": b'x,"They call it "the best" of the year.",web',
    "undecodable": b"x,A caf\xe9 in the rain and a very good ending.,web",
    "empty_review": b"x,,web",
    "nul_byte": b"x,It ends in the middle of\0,web",
}


class Content(NamedTuple):
    """What is true of a dump: its name, its sha256, its rows, its records that cannot be scored."""

    day: str
    name: str
    kind: str
    sha256: str
    rows: list[list[Any]]
    quarantined: dict[str, int]


class Dump(NamedTuple):
    """A file to deliver: its name, its bytes, and what is true of them."""

    name: str
    content: bytes
    truth: Content


def of_day(day: date, rows: Sequence[Row], count: int, chance: random.Random) -> list[Dump]:
    """`count` dumps of the rows of a day, of 5 to 60 rows each; some are packed, two are damaged."""
    made, start = [], 0
    damaged = set(chance.sample(range(count), min(2, count)))
    for number, size in enumerate(sizes(day, count)):
        part = rows[start : start + size]
        start += size
        name = f"reviews-{day:%Y%m%d}-{number:02}.csv"
        if number in damaged:
            made.append(_damaged(day, name, part, chance))
        elif number % 10 == 7:
            plain = _written(part)
            made.append(_dump(day, f"{name}.gz", "packed", gzip.compress(plain, mtime=0), _numbered(part)))
        elif number % 10 == 3:
            content = _written(part, delimiter="\t")
            made.append(_dump(day, f"{name.removesuffix('.csv')}.tsv", "usual", content, _numbered(part)))
        else:
            made.append(_dump(day, name, "usual", _written(part), _numbered(part)))
    return made


def sizes(day: date, count: int) -> list[int]:
    """The rows of each dump of a day."""
    chance = random.Random(day.toordinal())
    return [chance.randint(SMALLEST, LARGEST) for _ in range(count)]


def halved(dump: Dump, rows: Sequence[Row], chance: random.Random) -> tuple[Dump, Dump]:
    """A dump as it stands while it is still being written, cut within a review, and the whole of it."""
    name, day = dump.name, date.fromisoformat(dump.truth.day)
    whole = _written(rows, quoting=csv.QUOTE_ALL)
    at = chance.randrange(len(rows) // 2, len(rows))
    start = len(_written(rows[:at], quoting=csv.QUOTE_ALL)) + len(f'"{rows[at].id}","')
    end = start + next(
        number for number, letter in enumerate(rows[at].text) if number > 8 and letter.isascii() and letter.isalpha()
    )
    half = _dump(day, name, "half", whole[:end], _numbered(rows[:at]), {"unterminated_quote": 1})
    return half, _dump(day, name, "usual", whole, _numbered(rows))


def corrected(day: date, path: Path, before: Content) -> Dump:
    """A usual dump of an earlier day with another text in its first row."""
    delimiter = "\t" if path.suffix == ".tsv" else ","
    header, *records = csv.reader(io.StringIO(path.read_text(), newline=""), delimiter=delimiter)
    if not records[0][1].endswith(CORRECTION):
        records[0][1] += CORRECTION
    rows = [
        [number, id_, digest_of(record[1]), *rest]
        for (number, id_, _, *rest), record in zip(before.rows, records, strict=True)
    ]
    return _dump(day, path.name, "corrected", _csv([header, *records], delimiter=delimiter), rows)


def _damaged(day: date, name: str, rows: Sequence[Row], chance: random.Random) -> Dump:
    """Records that cannot be scored between sound ones: at most one in five."""
    lines = _written(rows).splitlines()
    reasons = chance.sample(sorted(DAMAGE), max(1, min(len(rows) // 10, 3)))
    places = sorted(chance.sample(range(2, len(rows) - 1, 3), min(len(reasons), len(range(2, len(rows) - 1, 3)))))
    numbers = _numbered(rows)
    for reason, place in reversed(list(zip(reasons, places, strict=False))):
        lines.insert(place + 1, DAMAGE[reason])
        numbers = [[number + (at >= place), *rest] for at, (number, *rest) in enumerate(numbers)]
    quarantined = Counter(reason for reason, _ in zip(reasons, places, strict=False))
    return _dump(day, name, "damaged", b"\n".join(lines) + b"\n", numbers, dict(quarantined))


def _numbered(rows: Sequence[Row]) -> list[list[Any]]:
    return [[at, row.id, digest_of(row.text), row.label, row.subject] for at, row in enumerate(rows, start=1)]


def digest_of(review: str) -> str:
    """What the truth has of a review in place of its text."""
    return hashlib.blake2b(review.encode(), digest_size=8).hexdigest()


def sha256_of(path: Path) -> str:
    """The sha256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _written(rows: Sequence[Row], **form: Any) -> bytes:
    return _csv([HEADER, *([row.id, row.text, row.subject] for row in rows)], **form)


def _csv(records: Sequence[Sequence[str]], **form: Any) -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n", **form).writerows(records)
    return out.getvalue().encode()


def _dump(
    day: date, name: str, kind: str, content: bytes, rows: list[list[Any]], quarantined: dict[str, int] | None = None
) -> Dump:
    sha256 = hashlib.sha256(content).hexdigest()
    return Dump(name, content, Content(day.isoformat(), name, kind, sha256, rows, quarantined or {}))


class Truth:
    """What is true of all contents that were delivered so far, a file of JSON lines a day."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, contents: Sequence[Content]) -> None:
        """Enters contents, before they are delivered; entering one again changes nothing."""
        for content in contents:
            with (self.folder / f"dumps-{content.day}.jsonl").open("a") as file:
                file.write(json.dumps(content) + "\n")

    def days(self, first: date, last: date) -> Iterator[Content]:
        """Each content that was delivered from the first to the last of these days, once."""
        seen = set()
        for path in sorted(self.folder.glob("dumps-*.jsonl")):
            if f"{first}" <= path.stem[6:] <= f"{last}":
                for line in path.read_text().splitlines():
                    content = Content(*json.loads(line))
                    if content.sha256 not in seen:
                        seen.add(content.sha256)
                        yield content
