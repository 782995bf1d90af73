"""The people who label: a file of labels to begin with, then some of the rows that were asked for, day by day."""

from __future__ import annotations

import csv
import io
import json
import random
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

from tasks.lib.network import words
from tasks.lib.scores import exports
from tests.tools.year import dumps, reviews
from tests.tools.year.reviews import Row

WORDS = ("negative", "positive")
UNREADABLE = 0.005  # of the labels that people give are none of the known values
NO_LABEL = "maybe"
FIRST = "to-begin-with.csv"
RECENT = 21  # days, in which most of what is asked for came


class People:
    """Fills in labels by the truth, one in fifty wrong, and notes each label in `<truth>/labels.jsonl`."""

    def __init__(self, labels: Path, truth: dumps.Truth) -> None:
        self.labels, self.notes = labels, truth.folder / "labels.jsonl"
        self.truth = truth

    def begin(self, day: date, rows: Sequence[Row], chance: random.Random) -> None:
        """Writes a file of labels from elsewhere, which the first training needs."""
        self.labels.mkdir(parents=True, exist_ok=True)
        given = [[row.id, row.text, self._word(row.label, chance)] for row in rows]
        _replace(self.labels / FIRST, [["id", "review", "label"], *given])
        self._note(day, FIRST, [(text, word) for _, text, word in given])

    def answer(self, day: date, count: int, chance: random.Random) -> int:
        """Labels so many of the rows that were asked for and have no label yet; returns how many there were."""
        left = count
        for path in sorted(self.labels.glob("to-label-*.csv")):
            header, *records = csv.reader(io.StringIO(path.read_text("utf-8-sig"), newline=""))
            open_ones = [record for record in records if not record[3]][:left]
            if not open_ones:
                continue
            row_ids = [exports.restored(record[0]) for record in open_ones]  # 57e35-14 stands there as '57e35-14
            known = self._labels_of(set(row_ids), day)
            for record, row_id in zip(open_ones, row_ids, strict=True):
                record[3] = self._word(known[row_id], chance)
            _replace(path, [header, *records], "utf-8-sig")  # first: a label that is noted has to stand
            self._note(day, path.name, [(record[1], record[3]) for record in open_ones])
            left -= len(open_ones)
        return count - left

    def given(self) -> int:
        """How many labels have been given so far."""
        return len(self.notes.read_text().splitlines())

    def _labels_of(self, row_ids: set[str], day: date) -> dict[str, int]:
        """The true labels of scored rows: an id has digits of the sha256 of the dump and the number of the record."""
        wanted = {row_id.partition("-")[0] for row_id in row_ids}
        found: dict[str, int] = {}
        for first in (day - timedelta(RECENT), date.min):  # the dump of a table that was made again may be older
            for content in self.truth.days(first, day):
                if (digits := content.sha256[:16]) in wanted:
                    found |= {f"{digits}-{number}": label for number, _, _, label, _ in content.rows}
            if row_ids <= found.keys():
                break
        return {row_id: found[row_id] for row_id in row_ids}

    def _word(self, label: int, chance: random.Random) -> str:
        if chance.random() < UNREADABLE:
            return NO_LABEL
        return WORDS[1 - label if chance.random() < reviews.MISREAD else label]

    def _note(self, day: date, name: str, given: Sequence[tuple[str, str]]) -> None:
        with self.notes.open("a") as file:
            for text, word in given:
                note = {"day": day.isoformat(), "file": name, "label": word}
                note |= {"digest": dumps.digest_of(text), "identity": words.identity(text)}
                file.write(json.dumps(note) + "\n")


def _replace(path: Path, records: Sequence[Sequence[str]], encoding: str = "utf-8") -> None:
    """Saves as an editor does: a new file in place of the old one."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows(records)
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_bytes(text.getvalue().encode(encoding))
    temporary.replace(path)
