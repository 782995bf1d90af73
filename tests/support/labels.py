"""Made-up score tables to ask labels for, and files of labels."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tasks.lib import files
from tasks.lib.dumps import reader
from tasks.lib.profiles import Scores
from tasks.lib.scores import tables


def table(folder: Path, reviews: Sequence[str], probabilities: Sequence[float], model_id: str = "gru-1") -> Path:
    """The score table of a dump of these reviews, with these probabilities."""
    dump = folder / "d.csv"
    with dump.open("w", newline="") as file:
        csv.writer(file).writerows([["id", "Review"], *enumerate(reviews)])
    sha256 = files.sha256(dump)
    made = tables.folder(folder / "scores", model_id) / tables.table_name(dump.name, sha256)
    with reader.open(dump) as rows:
        origin = tables.Origin(dump.name, sha256, model_id, 0.5, "Review", rows.header, rows.delimiter)
        carried = tables.carried_columns(rows.header, None, dump.name)
        with tables.Tables(made, folder / "quarantine" / made.name, origin, carried) as out:
            for block in rows:
                part = np.array(probabilities, np.float32)[np.array(block.ordinals) - 1]
                words = np.zeros(len(part), np.int32)
                out.add(block, Scores(part, words, words, words))
            out.publish(rows.counts)
    return made


def write(path: Path, rows: Sequence[Sequence[str]], header: Sequence[str] = ("review", "label"), age: int = 0) -> Path:
    """A file of labels that was modified `age` seconds before the year 2000 plus a day."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    os.utime(path, (946771200 - age, 946771200 - age))
    return path
