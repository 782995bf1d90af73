"""Scoring one dump: inputs that change while they are read, and networks that give no numbers."""

from __future__ import annotations

import csv
import dataclasses
import errno
import gzip
import json
import os
from collections.abc import Callable
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.lib import errors, files, scoring
from tasks.lib.config import ScoreConfig
from tasks.lib.dumps import packing
from tasks.lib.layout import Layout
from tasks.lib.network.encoder import Encoder
from tasks.lib.scores import reports, tables
from tasks.lib.scores.reports import FileReport
from tests.support import dumps
from tests.support.dumps import MODEL_ID, model, new
from tests.support.folders import contents

Change = Callable[[Path], None]


def score(path: Path, root: Path, *, at_block: int = 0, change: Change = lambda path: None) -> FileReport:
    """Scores the dump, and lets `change` happen to it after a number of blocks."""
    blocks = 0

    def on_rows(rows: int) -> None:
        nonlocal blocks
        blocks += 1
        if blocks == at_block:
            change(path)

    return scoring.score(new(path), model(), ScoreConfig(), Layout(root), on_rows=on_rows)


def grow(path: Path) -> None:
    with path.open("a") as file:
        file.write("999999,one more\n")


def shrink(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def replace_by_another(path: Path) -> None:
    other = path.with_name("other")
    other.write_text(path.read_text().replace("good", "fine"))
    other.replace(path)


def replace_by_the_same(path: Path) -> None:
    """By a file of the same bytes and times: nothing has changed that could matter, but who could tell."""
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())
    other.replace(path)


def rewrite(path: Path) -> None:
    """In place, with the same size, and the time set back."""
    before = path.stat()
    path.write_text(path.read_text().replace("good", "gaad"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def vanish(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("at_block", [1, 2, 10], ids=["at the start", "on the way", "at the end"])
@pytest.mark.parametrize("change", [grow, shrink, replace_by_another, replace_by_the_same, vanish])
def test_an_input_that_changes_while_it_is_read(tmp_path: Path, change: Change, at_block: int) -> None:
    path = dumps.write(tmp_path / "d.csv", rows=20_000, bad=5)
    with pytest.raises(errors.InputError, match=r"d\.csv: changed while it was read"):
        score(path, tmp_path / "data", at_block=at_block, change=change)
    assert contents(tmp_path / "data") == {}
    if path.exists():
        taken_up = score(path, tmp_path / "data")
        assert taken_up.rows == len(path.read_text().splitlines()) - 1


def test_an_input_that_is_rewritten_before_it_is_read(tmp_path: Path) -> None:
    """Its sha256 was taken, then the bytes changed; neither size nor time shows it."""
    path = dumps.write(tmp_path / "d.csv", rows=100, bad=1)
    found = new(path)
    rewrite(path)
    with pytest.raises(errors.InputError, match="changed while it was read"):
        scoring.score(found, model(), ScoreConfig(), Layout(tmp_path))
    assert not (tmp_path / found.table).exists()


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize(("call", "at"), [("read", 1), ("read", 3), ("fstat", 1)])
def test_a_disk_that_stops_reading_in_the_middle_of_a_dump(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pack: Callable[[bytes], bytes], call: str, at: int
) -> None:
    path = dumps.write(tmp_path / "d.csv", rows=5_000, bad=5)
    path.write_bytes(pack(path.read_bytes()))
    found, calls = new(path), 0

    def fail(descriptor: int, *size: int) -> Any:
        nonlocal calls
        calls += 1
        if calls == at:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return right(descriptor, *size)

    right = getattr(os, call)
    monkeypatch.setattr(packing, "PIECE", 1 << 12)
    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(errors.InputError, match=r"^d\.csv: could not be read: Input/output error\.") as caught:
            scoring.score(found, model(), ScoreConfig(), Layout(tmp_path / "data"))
    assert "\n" not in str(caught.value)
    assert contents(tmp_path / "data") == {}


class Sick:
    """A network whose weights have become so large that it gives no number."""

    calls = 1

    def __call__(self, ids: npt.NDArray[np.int32], ngram_ids: None) -> npt.NDArray[np.float32]:
        return np.full(len(ids), np.nan, np.float32)


def test_a_probability_that_is_no_number(tmp_path: Path) -> None:
    path = dumps.write(tmp_path / "d.csv", rows=10, bad=1)
    sick = scoring.Model(MODEL_ID, model().encoder, Sick(), 0.5)  # type: ignore[arg-type]
    with pytest.raises(errors.ModelError, match="no numbers"):
        scoring.score(new(path), sick, ScoreConfig(), Layout(tmp_path))
    assert not list(tmp_path.rglob("*.parquet*"))


class LastWord:
    """A network whose probability is the rank of a review's last word: no two rows of the dump below share one."""

    calls = 1

    def __call__(self, ids: npt.NDArray[np.int32], ngram_ids: None) -> npt.NDArray[np.float32]:
        return ((ids[:, -1] - 3) / 10_000).astype(np.float32)


def last_word() -> scoring.Model:
    encoder = Encoder({f"w{rank}": rank for rank in range(1, 8_000)}, num_words=9_000, maxlen=4)
    return scoring.Model(MODEL_ID, encoder, LastWord(), 0.5)  # type: ignore[arg-type]


def mixed_dump(path: Path, rows: int) -> tuple[list[tuple[int, int, int, int]], list[int], list[tuple[int, int]]]:
    """Good rows as (number, first line, last line, words), the blank lines, and the bad ones as (first, last line)."""
    good, blank, bad = [], [], []
    content, line = [b"id,review\n"], 2
    for number in range(1, rows + 1):
        words = number % 13 + 1
        review = " ".join([f"w{number}"] * words)
        raw = f"{number},{review}\n".encode()
        if number % 30 == 4:
            raw = f'{number},"{review}\n\nno more\n"\n'.encode()
        if number % 50 == 7:
            raw = b"%d\n" % number
        if number % 300 == 5:
            raw = b"%d,caf\xe9 %s\n" % (number, review.encode())
        if number % 400 == 11:
            raw = f'{number},"{review}\ntwo\nthree",more\n'.encode()
        if number % 70 == 9:
            raw, line = b"\n" + raw, line + 1
            blank.append(line - 1)
        last = line + raw.lstrip(b"\n").count(b"\n") - 1
        if number % 50 == 7 or number % 300 == 5 or number % 400 == 11:
            bad.append((line, last))
        else:
            good.append((number, line, last, words))
        content.append(raw)
        line = last + 1
    path.write_bytes(b"".join(content))
    return good, blank, bad


def test_a_score_that_stands_beside_another_row_than_its_own(tmp_path: Path) -> None:
    path, table = tmp_path / "d.csv", tmp_path / "scores" / "t.parquet"
    good, _, _ = mixed_dump(path, rows=7_000)  # of several blocks
    sha256 = files.sha256(path)
    scoring.score(new(path), last_word(), ScoreConfig(), Layout(tmp_path))
    scored = pq.read_table(table)
    assert scored["id"].to_pylist() == [str(number) for number, *_ in good]
    assert scored["row_id"].to_pylist() == [f"{sha256[:16]}-{number}" for number, *_ in good]
    assert scored["source_line"].to_pylist() == [line for _, line, *_ in good]
    assert scored["known_tokens"].to_pylist() == [words for *_, words in good]
    expected = np.array([number for number, *_ in good])
    np.testing.assert_array_equal(scored["positive_probability"], (expected / 10_000).astype(np.float32))
    assert scored["predicted_label"].to_pylist() == [
        "positive" if number >= 5_000 else "negative" for number in expected
    ]


def test_a_line_that_is_in_no_table_or_in_two(tmp_path: Path) -> None:
    path, table = tmp_path / "d.csv", tmp_path / "scores" / "t.parquet"
    _, blank, bad = mixed_dump(path, rows=7_000)
    quarantined = tmp_path / "quarantine" / table.name
    scoring.score(new(path), last_word(), ScoreConfig(), Layout(tmp_path))
    scored, spans = pq.read_table(table), pq.read_table(quarantined)
    found = list(zip(spans["first_line"].to_pylist(), spans["last_line"].to_pylist(), strict=True))
    assert found == bad
    covered = blank + [line for first, last in found for line in range(first, last + 1)]
    for first, review in zip(scored["source_line"].to_pylist(), scored["review"].to_pylist(), strict=True):
        covered += range(first, first + review.count("\n") + 1)
    assert sorted(covered) == list(range(2, path.read_bytes().count(b"\n") + 1))


def test_a_footer_that_counts_other_rows_lines_or_bytes(tmp_path: Path) -> None:
    path, table = tmp_path / "d.csv", tmp_path / "scores" / "t.parquet"
    good, blank, bad = mixed_dump(path, rows=7_000)
    scoring.score(new(path), last_word(), ScoreConfig(), Layout(tmp_path))
    footer = tables.read_footer(table) or {}
    counts = {name: int(value) for name, value in footer.items() if name.endswith(("_in", "_lines")) or "rows_" in name}
    assert counts == {
        "rows_in": 7_000,
        "rows_scored": len(good),
        "rows_quarantined": len(bad),
        "rows_positive": sum(number >= 5_000 for number, *_ in good),
        "blank_lines": len(blank),
        "lines_in": path.read_bytes().count(b"\n"),
        "bytes_in": path.stat().st_size,
    }


@pytest.mark.parametrize(
    "review", ["\N{PILE OF POO}\N{THUMBS UP SIGN}", "這部電影很好看", "<br /><br /><p></p>", "...", "0"]
)
def test_a_review_without_a_known_word_that_gets_no_score(tmp_path: Path, review: str) -> None:
    path, table = tmp_path / "d.csv", tmp_path / "scores" / "t.parquet"
    path.write_text(f"id,review\n1,good film\n2,{review}\n3,bad film\n")
    scoring.score(new(path), model(), ScoreConfig(), Layout(tmp_path))
    scored = pq.read_table(table)
    assert scored["known_tokens"].to_pylist() == [2, 0, 2]
    assert scored["review"][1].as_py() == review
    assert scored["positive_probability"][1].as_py() == pytest.approx(1 / 97)  # that of the start id alone


def scored_with(path: Path, config: ScoreConfig) -> dict[str, list[Any]]:
    """The columns of the table that the dump gets with these options."""
    table = path.parent / "scores" / "t.parquet"
    scoring.score(new(path), last_word(), config, Layout(path.parent))
    found: dict[str, list[Any]] = pq.read_table(table).to_pydict()
    return found


CHARACTERS = {"comma": ",", "semicolon": ";", "tab": "\t"}


@pytest.mark.parametrize(("delimiter", "found_first"), list(permutations(CHARACTERS, 2)))
def test_a_delimiter_that_is_asked_for_and_not_used(tmp_path: Path, delimiter: Any, found_first: str) -> None:
    """The other one finds a column of that name, too, and more columns."""
    right, other = CHARACTERS[delimiter], CHARACTERS[found_first]
    path = tmp_path / "d.csv"
    path.write_text(f"review{right}x{other}y{other}review\nw7{right}1{other}2{other}w9\n")
    found = scored_with(path, ScoreConfig(delimiter=delimiter))
    assert found["review"] == ["w7"]
    assert found[f"x{other}y{other}review"] == [f"1{other}2{other}w9"]
    assert found["positive_probability"] == [pytest.approx(7 / 10_000)]


def test_another_column_than_the_one_asked_for_that_is_scored(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_text("review,text\nw100,w9 w200\n")
    found = scored_with(path, ScoreConfig(review_column="text"))
    assert found["positive_probability"] == [pytest.approx(200 / 10_000)]
    assert found["known_tokens"] == [2]


def test_a_limit_of_bytes_that_is_passed_over_or_reached_too_early(tmp_path: Path) -> None:
    path = tmp_path / "d.csv.gz"
    content = b"id,review\n" + b"1,w100\n" * 100
    path.write_bytes(gzip.compress(content))
    with pytest.raises(errors.InputError, match=f"limit of {len(content) - 1} bytes"):
        scored_with(path, ScoreConfig(max_bytes=len(content) - 1))
    assert not list(tmp_path.rglob("*.parquet"))
    assert len(scored_with(path, ScoreConfig(max_bytes=len(content)))["id"]) == 100


def test_another_score_for_the_same_review_in_another_form(tmp_path: Path) -> None:
    rows = [(str(row), f"w{row} w{row % 7}", "x" if row % 5 else "") for row in range(1, 5_000)]
    names = ("id", "review", "note")
    with (tmp_path / "d.csv").open("w", newline="") as file:
        csv.writer(file).writerows([names, *rows])
    (tmp_path / "d.jsonl").write_text("".join(json.dumps(dict(zip(names, row, strict=True))) + "\n" for row in rows))
    columns = [list(column) for column in zip(*rows, strict=True)]
    numbers = pa.array(map(int, columns[0]), pa.int64())
    pq.write_table(pa.table([numbers, *columns[1:]], names), tmp_path / "d.parquet", row_group_size=700)
    found = []
    for form in ("csv", "jsonl", "parquet"):
        report = scoring.score(new(tmp_path / f"d.{form}"), last_word(), ScoreConfig(), Layout(tmp_path))
        table = pq.read_table(tmp_path / "scores" / "t.parquet")
        assert table["source_line"].to_pylist() == list(range(1 + (form == "csv"), 5_000 + (form == "csv")))
        assert (report.rows, report.lines) == (4_999, 4_999 + (form == "csv"))
        found.append(table.drop_columns(["row_id", "source_file", "source_line"]))
    assert found[0].equals(found[1])
    assert found[0].equals(found[2])


def test_a_damaged_page_of_which_the_rest_is_published(tmp_path: Path) -> None:
    path = tmp_path / "d.parquet"
    reviews = pa.table({"review": [f"w{row}" for row in range(9_000)]})
    pq.write_table(reviews, path, write_page_checksum=True, row_group_size=3_000)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(errors.InputError, match=r"^d\.parquet: a page is damaged or cut off\. Fetch it again\.$"):
        scoring.score(new(path), last_word(), ScoreConfig(), Layout(tmp_path / "data"))
    assert contents(tmp_path / "data") == {}


def test_one_of_our_own_tables_that_is_scored(tmp_path: Path) -> None:
    dumps.score(dumps.write(tmp_path / "d.csv", 100, 3), tmp_path / "data")
    (table,) = (tmp_path / "data" / "scores").rglob("*.parquet")
    for path in (table, tmp_path / "data" / "quarantine" / table.name):
        with pytest.raises(errors.InputError, match=f"{table.name}: expected a dump, found a table that a run has"):
            scoring.open_dump(path, ScoreConfig())


@pytest.mark.parametrize("change", [replace_by_another, vanish, shrink])
def test_a_parquet_file_that_changes_while_it_is_read(tmp_path: Path, change: Change) -> None:
    path = tmp_path / "d.parquet"
    pq.write_table(pa.table({"review": [f"good {row}" for row in range(20_000)]}), path)
    path.with_name("other").write_bytes(path.read_bytes())

    def replaced(path: Path) -> None:
        path.with_name("other").replace(path)

    with pytest.raises(errors.InputError, match=r"^d\.parquet: "):
        score(path, tmp_path / "data", at_block=2, change=replaced if change is replace_by_another else change)
    assert contents(tmp_path / "data") == {}


def test_a_damaged_table_of_another_model_that_stays_beside_the_new_one(tmp_path: Path) -> None:
    data = Layout(tmp_path / "data")
    damaged = data.scores / "model=gru-ffffffffffff" / "t.parquet"
    files.write(damaged, b"PAR1")
    dump = dataclasses.replace(new(dumps.write(tmp_path / "d.csv", rows=9, bad=1)), replaces=data.relative(damaged))
    scoring.score(dump, model(), ScoreConfig(), data)
    assert (data.root / dump.table).exists()
    assert not damaged.exists()


MODELS = [dataclasses.replace(model(), model_id=f"gru-{digit * 12}") for digit in "01"]


def scored_by(which: int, path: Path, data: Layout, **options: Any) -> str:
    """Scores the dump with one of the models; the path of the table below the data folder."""
    table = data.relative(
        tables.folder(data.scores, MODELS[which].model_id) / tables.table_name(path.name, files.sha256(path))
    )
    scoring.score(new(path, table), MODELS[which], ScoreConfig(**options), data)
    return table


SHARED = "id,review,text\n1,good,\n2,,bad\n3\n4,bad,good\n"


def test_a_quarantine_that_two_models_cannot_share(tmp_path: Path) -> None:
    path, data = tmp_path / "d.csv", Layout(tmp_path / "data")
    path.write_text(SHARED)
    made = [scored_by(which, path, data) for which in (0, 1, 0)]
    for table in made:
        report = reports.read(data, table)
        assert report is not None
        assert report.quarantined == {"empty_review": 1, "too_few_fields": 1}


@pytest.mark.parametrize(
    ("content", "options"),
    [
        (SHARED, {"review_column": "text"}),  # as many rows, and others
        ("id,review,text\n1,,good\n2,good,bad\n", {"review_column": "text"}),  # none
        ("id,review,text\n1,,good\n2,caf\xe9,bad\n", {"encoding": "ascii"}),  # more
    ],
)
def test_a_quarantine_that_is_lost_to_another_model(tmp_path: Path, content: str, options: dict[str, str]) -> None:
    path, data = tmp_path / "d.csv", Layout(tmp_path / "data")
    path.write_text(content)
    table = scored_by(0, path, data)
    before = contents(data.root)
    with pytest.raises(
        errors.InputError,
        match=rf"^d\.csv: {table.removeprefix('scores/')} has quarantined other rows .*--review-column",
    ):
        scored_by(1, path, data, **options)
    assert contents(data.root) == before
    (data.root / table).unlink()
    scored_by(1, path, data, **options)


def test_another_reading_of_a_dump_without_quarantined_rows_that_is_refused(tmp_path: Path) -> None:
    path, data = tmp_path / "d.csv", Layout(tmp_path / "data")
    path.write_text("id,review,text\n1,good,\n2,bad,good\n")
    first = scored_by(0, path, data)
    scored_by(1, path, data, review_column="text")
    report = reports.read(data, first)
    assert report is not None
    assert report.quarantined == {}
    with pytest.raises(errors.InputError, match="has quarantined other rows"):
        scored_by(0, path, data)  # it would take that of the other away


def test_a_model_that_reads_its_own_dump_in_another_way_and_is_refused(tmp_path: Path) -> None:
    path, data = tmp_path / "d.csv", Layout(tmp_path / "data")
    path.write_text(SHARED)
    scored_by(0, path, data)
    table = scored_by(0, path, data, review_column="text")
    assert (tables.read_footer(data.root / table) or {})["review_column"] == "text"
