"""How many faults in score tables `flows/verify.py` finds, and how many sound tables it takes for unsound.

    python -m tests.tools.faults [--faults 300] [--sound 1000]

Trains a small model on the bundled sample, scores dumps made of its reviews, spoils one table at a time in one of the
ways below, puts the ledger right so that no checksum gives it away, and verifies every row. Takes a few minutes.
"""

from __future__ import annotations

import csv
import gzip
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from cyclopts import App, Parameter

from tasks.running import environment

environment.prepare(command_line=False)

from tasks.lib import files, profiles, scoring, verification
from tasks.lib.config import ScoreConfig
from tasks.lib.layout import SAMPLE, Layout
from tasks.lib.models import releases
from tasks.lib.scores import ledger, scored, tables
from tasks.lib.scores.inbox import Dump
from tasks.lib.scores.ledger import Ledger
from tests.support.tables import alter, flip, put_right, rewrite
from tests.support.training import train_small

app = App(name="python -m tests.tools.faults", help=__doc__, version_flags=[])
Chance = random.Random
Spoil = Callable[[Path, Path, Chance], None]


def write_dumps(folder: Path, count: int, chance: Chance) -> None:
    """Dumps of 5 to 60 reviews of the sample, some records of which lack a field."""
    with gzip.open(SAMPLE / "reviews-test.csv.gz", "rt", newline="", encoding="utf-8") as file:
        header, *records = csv.reader(file)
    folder.mkdir()
    for number in range(count):
        with (folder / f"dump-{number:04}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow([*header, "number"])
            for row in chance.choices(records, k=chance.randint(5, 60)):
                writer.writerow(row if chance.random() < 0.05 else [*row, number])
            writer.writerow([*records[0], number])


def score(data: Layout, folder: Path) -> None:
    model = scoring.Model.open(data.models, releases.current_id(data.models))
    with Ledger.open(data) as known:
        for path in sorted(folder.iterdir()):
            sha256 = files.sha256(path)
            name = tables.table_name(path.name, sha256)
            table = data.relative(tables.folder(data.scores, model.model_id) / name)
            dump = Dump(str(path), path.name, "new", sha256=sha256, table=table)
            known.enter_tables([scoring.score(dump, model, ScoreConfig(), data)])


def values(table: Path, column: str) -> list[Any]:
    found: list[Any] = pq.read_table(table)[column].to_pylist()
    return found


def flip_in_page(path: Path, chance: Chance) -> None:
    """Flips a bit of a column; one that nobody who reads the file would notice does not count."""
    stored, before = pq.read_metadata(path), pq.read_table(path)
    while True:
        one = stored.row_group(0).column(chance.randrange(stored.num_columns))
        start = one.dictionary_page_offset or one.data_page_offset
        at = chance.randrange(start, start + one.total_compressed_size)
        flip(path, at)
        try:
            if not pq.read_table(path).equals(before):
                return
        except (OSError, ValueError, pa.ArrowException):
            return
        flip(path, at)


def page_bit(table: Path, quarantine: Path, chance: Chance) -> None:
    flip_in_page(table, chance)


def quarantine_bit(table: Path, quarantine: Path, chance: Chance) -> None:
    flip_in_page(quarantine, chance)


def missing_quarantine(table: Path, quarantine: Path, chance: Chance) -> None:
    quarantine.unlink()


def shorter_quarantine(table: Path, quarantine: Path, chance: Chance) -> None:
    stored = pq.read_table(quarantine)
    rewrite(quarantine, stored.slice(0, len(stored) - 1))


def probability(table: Path, quarantine: Path, chance: Chance) -> None:
    """Another probability, with the label and the histogram that go with it."""
    found = np.array(values(table, "positive_probability"), np.float32)
    threshold = float((tables.read_footer(table) or {})["threshold"])
    at = chance.randrange(len(found))
    moved = np.float32(chance.choice([-1, 1]) * 10 ** chance.uniform(-5, -0.5))
    found[at] = found[at] + moved if 0 <= found[at] + moved <= 1 else found[at] - moved
    labels = ["positive" if value >= threshold else "negative" for value in found]
    columns = {"positive_probability": found.tolist(), "predicted_label": labels}
    footer = {"rows_positive": labels.count("positive"), "histogram": profiles.histogram(found).tolist()}
    alter(table, columns, **footer)


def known_tokens(table: Path, quarantine: Path, chance: Chance) -> None:
    found = values(table, "known_tokens")
    found[chance.randrange(len(found))] += 1
    alter(table, {"known_tokens": found})


def label(table: Path, quarantine: Path, chance: Chance) -> None:
    found = values(table, "predicted_label")
    at = chance.randrange(len(found))
    found[at] = "negative" if found[at] == "positive" else "positive"
    alter(table, {"predicted_label": found}, rows_positive=found.count("positive"))


def lost_row(table: Path, quarantine: Path, chance: Chance) -> None:
    """A row less, which the footer leaves out, too."""
    footer = tables.read_footer(table) or {}
    stored = pq.read_table(table)
    kept = stored.filter(np.arange(len(stored)) != chance.randrange(len(stored)))
    rewrite(table, kept)
    positive = values(table, "predicted_label").count("positive")
    shown = profiles.histogram(np.array(values(table, "positive_probability"), np.float32)).tolist()
    rows = [int(footer[name]) - 1 for name in ("rows_in", "rows_scored")]
    alter(table, rows_positive=positive, histogram=shown, rows_in=rows[0], rows_scored=rows[1])


def row_ids(table: Path, quarantine: Path, chance: Chance) -> None:
    found = values(table, "row_id")
    first, second = chance.sample(range(len(found)), 2)
    found[first], found[second] = found[second], found[first]
    alter(table, {"row_id": found})


def reviews(table: Path, quarantine: Path, chance: Chance) -> None:
    """Another review beside the scores of this one."""
    found = values(table, "review")
    first = chance.randrange(len(found))
    second = chance.choice([at for at, review in enumerate(found) if review != found[first]])
    found[first] = found[second]
    alter(table, {"review": found})


def threshold(table: Path, quarantine: Path, chance: Chance) -> None:
    """Another threshold, by which one row has another label."""
    at = chance.choice(values(table, "positive_probability"))
    alter(table, threshold=at + 1e-5 if at >= float((tables.read_footer(table) or {})["threshold"]) else at)


def count(table: Path, quarantine: Path, chance: Chance) -> None:
    footer = tables.read_footer(table) or {}
    name = chance.choice(["rows_in", "rows_scored", "rows_quarantined", "rows_positive"])
    rewrite(table, pq.read_table(table), **{name: int(footer[name]) + 1})


KINDS: list[Spoil] = [
    page_bit, quarantine_bit, missing_quarantine, shorter_quarantine, probability, known_tokens, label, lost_row,
    row_ids, reviews, threshold, count,
]  # fmt: skip


@app.default
def main(
    *,
    faults: Annotated[int, Parameter(help="Tables to spoil.")] = 300,
    sound: Annotated[int, Parameter(help="Sound tables to verify.")] = 1_000,
    seed: Annotated[int, Parameter(help="Seed of the dumps and the faults.")] = 0,
) -> None:
    """Spoil tables and verify them; the exit status is 1 if a fault is missed or a sound table is taken for unsound."""
    from prefect.testing.utilities import prefect_test_harness

    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        with prefect_test_harness(server_startup_timeout=120):
            data = train_small(Path(folder) / "data")
        write_dumps(Path(folder) / "dumps", sound, chance)
        score(data, Path(folder) / "dumps")
        model = scoring.Model.open(data.models, releases.current_id(data.models))
        paths = scored.find(data)
        started = time.perf_counter()
        found = verification.verify(data, model, paths, ledger.published(data, paths), None)
        seconds = time.perf_counter() - started
        print(
            f"{len(paths):,} sound tables, {found.scored_again:,} rows, {seconds:.1f} s: {len(found.faults)} at fault",
            flush=True,
        )
        false_alarms = len(found.faults)
        tried, missed = spoil(data, model, paths, faults, chance)
    for kind in sorted(tried):
        print(f"{kind:<20} {tried[kind] - missed[kind]} of {tried[kind]} found")
    print(f"{tried.total():,} faults: {missed.total()} missed")
    sys.exit(1 if false_alarms or missed.total() else 0)


def spoil(
    data: Layout, model: scoring.Model, paths: list[str], faults: int, chance: Chance
) -> tuple[Counter[str], Counter[str]]:
    """Spoils one table after the other, and puts it back: how many of each kind were tried, and how many missed."""
    tried, missed = Counter[str](), Counter[str]()
    with_quarantine = [path for path in paths if (data.quarantine / Path(path).name).exists()]
    for number in range(faults):
        kind = KINDS[number % len(KINDS)]
        path = chance.choice(with_quarantine)
        table, quarantine = data.root / path, data.quarantine / Path(path).name
        whole = [(each, each.read_bytes()) for each in (table, quarantine)]
        kind(table, quarantine, chance)
        put_right(data, [path])
        found = verification.verify(data, model, [path], ledger.published(data, [path]), None)
        tried[kind.__name__] += 1
        missed[kind.__name__] += list(found.faults) != [path]
        for each, content in whole:
            each.write_bytes(content)
    return tried, missed


if __name__ == "__main__":
    app()
