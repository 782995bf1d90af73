"""What people said of reviews: dumps with a column for the label, those that asked for it or any others."""

from __future__ import annotations

import codecs
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from tasks.lib import errors, files
from tasks.lib.config import LabelsConfig
from tasks.lib.dumps import header, reader
from tasks.lib.dumps.blocks import Options, Span
from tasks.lib.dumps.packing import Stream
from tasks.lib.network import words
from tasks.lib.scores import exports

COLUMNS = ("label", "sentiment")
ROW_ID = "row_id"
POSITIVE, NEGATIVE, MIDDLE, EMPTY = "positive", "negative", "middle", ""
VALUES = {
    "": EMPTY,
    "positive": POSITIVE, "pos": POSITIVE, "1": POSITIVE,
    "negative": NEGATIVE, "neg": NEGATIVE, "0": NEGATIVE,
}  # fmt: skip
NUMBER = re.compile(r"(\d)\.0\Z")  # a column of numbers with gaps becomes one of floats in pandas and spreadsheets
UNKNOWN_LABEL = "unknown_label"


class LabelFile(BaseModel):
    """One file: its path below the folder, and its sha256."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    sha256: str


class LabelFiles(BaseModel):
    """The files of a folder, the one that was modified last at the end, and the name of their review column."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    review_column: str
    files: tuple[LabelFile, ...]

    @property
    def identity(self) -> str:
        """The digest of what the files are, and of their order."""
        return files.digest(self.review_column, [file.sha256 for file in self.files])


class Row(NamedTuple):
    """A review with its label: `positive`, `negative`, `middle` (of so many stars), or "" if it is not labelled yet.

    `row_id` is that of the score table, or "" if the file has no such column.
    """

    row_id: str
    review: str
    label: str


class Content(NamedTuple):
    """What a file holds: its rows, and the spans to be quarantined."""

    rows: list[Row]
    spans: list[Span]

    def __str__(self) -> str:
        counts = Counter(row.label for row in self.rows)
        shown = [f"{len(self.rows) + len(self.spans):,} rows", f"{counts[POSITIVE]:,} positive"]
        shown += [f"{counts[NEGATIVE]:,} negative", f"{counts[EMPTY]:,} not labelled yet"]
        shown += [f"{counts[MIDDLE]:,} in the middle"] if counts[MIDDLE] else []
        reasons = Counter(span.reason for span in self.spans)
        quarantined = ", ".join(f"{count:,} {reason}" for reason, count in sorted(reasons.items()))
        return ", ".join(shown) + f", {len(self.spans):,} quarantined" + (f" ({quarantined})" if quarantined else "")


class Review(NamedTuple):
    """A labelled review of all files: the digest of its words, its text, and its label, 0 or 1."""

    identity: str
    text: str
    label: int


def paths(folder: Path) -> list[Path]:
    """The dumps in the folder, the one that was modified last at the end; none if there is no folder.

    Raises `InputError` if the disk does not give them.
    """
    with files.input_errors(folder):
        found = [path for path in folder.glob("[!.]*") if path.is_file() and reader.is_dump(path.name)]
        return sorted(found, key=_age)


def refused(folder: Path) -> dict[str, str]:
    """The files of the folder that are likely to hold labels in a form that is not read, and what to do with each.

    Raises `InputError` if the disk does not give them.
    """
    with files.input_errors(folder):
        names = sorted(errors.printable(path.name) for path in folder.glob("[!.]*") if path.is_file())
    return {name: advice for name in names if (advice := reader.refusal(name))}


def find(folder: Path, review_column: str, copies: Sequence[Path] = ()) -> LabelFiles | None:
    """The files of the folder as they are now, and the copies below it, or None if there are none.

    Raises `InputError`.
    """
    with files.input_errors(folder):
        both = sorted([*paths(folder), *copies], key=_age)
        found = tuple(LabelFile(name=str(path.relative_to(folder)), sha256=files.sha256(path)) for path in both)
    return LabelFiles(review_column=review_column, files=found) if found else None


def _age(path: Path) -> tuple[int, str]:
    return path.stat().st_mtime_ns, path.name


def read(path: Path, review_column: str, config: LabelsConfig, sha256: str = "") -> Content:
    """Reads a file of labels; a row whose label is none of the known values is quarantined as `unknown_label`.

    `config.labels_encoding` is for files that are not in UTF-8: those that are may stand beside them.
    Raises `InputError` if it is no dump with these columns, or not the file of that sha256; `OutputError` if not every
    row is accounted for.
    """
    with reader.open(path, Options(review_column, _encoding(path, config.labels_encoding))) as dump:
        column = _column(path.name, dump.header, config.label_column)
        dump.quarantine(lambda fields: _fault(fields[column], column, config.stars))
        content = Content([], [])
        for block in dump:
            content.spans.extend(block.spans)
            for ids, row in zip(_row_ids(dump.header, block.rows), block.rows, strict=True):
                label = meaning(row[column], config.stars) or EMPTY
                content.rows.append(Row(ids, exports.restored(row[dump.review_index]), label))
    if sha256 not in ("", dump.sha256):
        raise errors.InputError(f"{path.name}: changed while it was read. Run the same command again.")
    if dump.counts.rows != len(content.rows) + len(content.spans):
        raise errors.OutputError(
            f"{path.name}: {dump.counts.rows} rows in, but {len(content.rows)} read and {len(content.spans)} "
            "quarantined. Nothing was published; this is a bug, please report it with the counts."
        )
    return content


def texts(path: Path) -> Iterator[tuple[str, str]]:
    """The row id, or "", and the review of each sound row, labelled or not. Raises `InputError` if it is no dump."""
    with reader.open(path) as dump:
        for block in dump:
            for row_id, row in zip(_row_ids(dump.header, block.rows), block.rows, strict=True):
                yield row_id, exports.restored(row[dump.review_index])


def meaning(cell: str, stars: int | None) -> str | None:
    """The label that a cell gives, "" if it is empty, None if it is no known value.

    With `stars`, 5 or 10, cells hold so many stars at most; half of them, one or the two next to it, are the middle.
    """
    text = NUMBER.sub(r"\1", cell.strip().casefold())
    if stars is None or not text:
        return VALUES.get(text)
    if text not in map(str, range(1, stars + 1)):
        return None
    above = int(text) - (stars + 1) / 2
    return MIDDLE if abs(above) < 1 else POSITIVE if above > 0 else NEGATIVE


def merged(contents: Iterable[Content]) -> tuple[list[Review], int]:
    """The labelled reviews of all files, each once, in the order of their identities; and how many had two labels.

    The same review is one with the same words. The last row counts; without a label, or in the middle, it is left out.
    """
    found: dict[str, Row] = {}
    conflicts = set()
    for row in (row for content in contents for row in content.rows if row.label != EMPTY):
        identity = words.identity(row.review)
        before = found.get(identity)
        if before and before.label != row.label:
            conflicts.add(identity)
        found[identity] = row
    kept = [
        Review(identity, row.review, int(row.label == POSITIVE))
        for identity, row in sorted(found.items())
        if row.label != MIDDLE
    ]
    return kept, len(conflicts)


def _encoding(path: Path, other: str | None) -> str:
    """UTF-8, or the other encoding if there is one and the file is not in UTF-8."""
    if other is None:
        return "utf-8"
    other = header.check_options(other, None, "--labels-encoding")
    decoder = codecs.getincrementaldecoder("utf-8")()
    stream = Stream(path)
    try:
        for number, piece in enumerate(stream.pieces()):
            if number == 0 and piece.startswith(codecs.BOM_UTF8):
                break  # it says so itself: other bytes in it are damage
            decoder.decode(piece)
        else:
            decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return other
    finally:
        stream.close()
    return "utf-8"


def _fault(cell: str, column: int, stars: int | None) -> tuple[str, str] | None:
    if meaning(cell, stars) is not None:
        return None
    expected = f"1 to {stars} stars" if stars else "positive, pos, 1, negative, neg or 0"
    return UNKNOWN_LABEL, f"field {column + 1}: expected {expected}, or none yet; found another value"


def _row_ids(names: Sequence[str], rows: Sequence[list[str]]) -> list[str]:
    if ROW_ID not in names:
        return [""] * len(rows)
    column = names.index(ROW_ID)
    return [exports.restored(row[column]) for row in rows]


def _column(name: str, names: Sequence[str], wanted: str | None) -> int:
    """Which column has the labels: one of that name, or else one that differs in case and surrounding spaces only."""
    folded = [each.strip().casefold() for each in names]
    for candidate in [wanted] if wanted else COLUMNS:
        if candidate in names:
            return names.index(candidate)
        if (other := candidate.strip().casefold()) in folded:
            return folded.index(other)
    expected = repr(wanted) if wanted else " or ".join(map(repr, COLUMNS))
    raise errors.InputError(
        f"{name}: no column {expected} with labels (found: {header.listed(names)}). Name it with --label-column."
    )
