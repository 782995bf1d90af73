"""The files that ask for labels, and which of their rows were drawn at random.

`to-label-<date>.csv` is for people. `.asked/to-label-<date>.json` has what they must not see: the label that the model
gave each row, and whether the row was drawn at random. It also has the rows that were drawn at random and not asked for
again, since they have a label, or will have one. They must not count before the new rows do, or the accuracy would be
that of rows asked for before. So each goes with one of the new rows, named in `with`, and counts once that is labelled.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import cycle
from pathlib import Path
from statistics import NormalDist
from typing import Any

from tasks.lib import errors, files
from tasks.lib.config import LabelsConfig
from tasks.lib.labels import answers
from tasks.lib.labels.sample import Chosen
from tasks.lib.network import words
from tasks.lib.scores import exports

FOLDER = ".asked"
HEADER = ("row_id", "review", "model_id", "label")
ANY_ENCODING = LabelsConfig(labels_encoding="latin-1")  # row ids and labels are ASCII, and reviews are not shown
Z = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True)
class Accuracy:
    """On how many of the rows that were drawn at random, and labelled, the model was right; each counts once a draw."""

    right: int
    rows: int

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of Wilson (1927), from 0 to 1."""
        share, spread = self.right / self.rows, Z * Z / self.rows
        middle = share + spread / 2
        width = Z * (share * (1 - share) / self.rows + spread / (4 * self.rows)) ** 0.5
        return max(0.0, (middle - width) / (1 + spread)), min(1.0, (middle + width) / (1 + spread))

    def __str__(self) -> str:
        lower, upper = self.interval
        share = f"{self.right / self.rows:.1%} of {self.rows:,} rows drawn at random"
        return f"{share}, 95% interval {lower:.1%} to {upper:.1%}"


def write(folder: Path, day: date, rows: Sequence[Chosen], again: Sequence[Chosen] = ()) -> Path:
    """Writes the rows to a new `to-label-<date>.csv` in the folder, readable by its owner only; returns its path.

    The rows `again` were drawn at random, too, and are not asked for.
    What people must not see is written first: after a kill between the two files, no row is asked for twice. Raises
    `OutputError`.
    """
    for private in (folder, folder / FOLDER):
        files.make_folder(private, files.PRIVATE_FOLDER)
    path = _free(folder, day)
    hidden = [_facts(row) for row in rows]
    # Partners of the same kind, so that as large a part of either is labelled; in random order already.
    partners = [row.row_id for row in rows if row.at_random] or [row.row_id for row in rows]
    hidden += [_facts(row) | {"with": partner} for row, partner in zip(again, cycle(partners), strict=False)]
    files.write(_hidden(path), files.json_bytes({"rows": hidden}), files.PRIVATE_FILE)
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(HEADER)
    for row in rows:
        review = row.review.replace("\t", " ")  # a spreadsheet loses it, and makes one word of two
        writer.writerow([exports.as_text(row.row_id), exports.as_text(review), row.model_id, ""])
    content = text.getvalue().encode("utf-8-sig")  # without the mark, Excel takes it for cp1252
    files.write(path, content, files.PRIVATE_FILE)
    return path


def _facts(row: Chosen) -> dict[str, Any]:
    return {name: value for name, value in row._asdict().items() if name != "review"}


def _free(folder: Path, day: date) -> Path:
    path, number = folder / f"to-label-{day}.csv", 1
    while path.exists() or _hidden(path).exists():
        number += 1
        path = folder / f"to-label-{day}-{number}.csv"
    return path


def _hidden(path: Path) -> Path:
    return path.parent / FOLDER / f"{path.stem}.json"


def row_ids(folder: Path) -> set[str]:
    """The rows that have been asked for, or need no asking."""
    return {row["row_id"] for row in _rows(folder)}


def doubted(folder: Path) -> set[str]:
    """The identities of the reviews that were asked for because a model was in doubt, and never drawn at random."""
    rows = [row for row in _rows(folder) if "identity" in row]
    by_chance = {row["identity"] for row in rows if row["at_random"]}
    return {row["identity"] for row in rows} - by_chance


def accuracies(folder: Path) -> dict[str, Accuracy]:
    """How good each model was on the rows that were drawn at random from its tables, by what people say.

    Files that cannot be read say nothing here: training reports what is wrong with them.
    """
    drawn = [row for row in _rows(folder) if row["at_random"]]
    labels = _labels(folder) if drawn else {}
    found: dict[str, Accuracy] = {}
    for row in drawn:
        label = labels.get(row["row_id"]) or labels.get(row.get("identity", ""))
        if label is None or row.get("with", row["row_id"]) not in labels:
            continue
        before = found.get(row["model_id"], Accuracy(0, 0))
        found[row["model_id"]] = Accuracy(before.right + (row["predicted_label"] == label), before.rows + 1)
    return found


def _labels(folder: Path) -> dict[str, str]:
    """The labels by row id, and by the identity of the review; that of the file that was modified last counts."""
    found: dict[str, str] = {}
    for path in answers.paths(folder):
        try:
            content = answers.read(path, "review", ANY_ENCODING)
        except errors.PipelineError:
            continue
        for row in content.rows:
            if row.label in (answers.POSITIVE, answers.NEGATIVE):
                found |= {name: row.label for name in (row.row_id, words.identity(row.review)) if name}
    return found


def _rows(folder: Path) -> Iterator[dict[str, Any]]:
    for path in sorted((folder / FOLDER).glob("*.json")):
        try:
            rows = json.loads(path.read_bytes())["rows"]
            yield from (row for row in rows if row.keys() >= {"row_id", "model_id", "predicted_label", "at_random"})
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            continue  # a damaged file says nothing; its rows stand in the .csv beside
