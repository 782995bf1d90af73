"""Which rows are asked for: half at random, half in doubt, none twice."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tasks.lib import errors
from tasks.lib.labels import sample
from tasks.lib.network import words
from tests.support import labels

COUNT = 400
REVIEWS = [f"review number {number}" for number in range(COUNT)]
PROBABILITIES = np.linspace(0, 0.9, COUNT).tolist()


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return labels.table(tmp_path_factory.mktemp("scored"), REVIEWS, PROBABILITIES)


def draw(table: Path, count: int, seed: int = 0, **left_out: set[str]) -> list[sample.Chosen]:
    return sample.draw([table], count, np.random.default_rng(seed), **left_out).rows


def number(row: sample.Chosen) -> int:
    return int(row.review.split()[-1])


def test_a_half_in_doubt_that_is_not_next_to_the_threshold(table: Path) -> None:
    rows = draw(table, 40)
    drawn = {number(row) for row in rows if row.at_random}
    doubtful = {number(row) for row in rows if not row.at_random}
    assert (len(drawn), len(doubtful)) == (20, 20)
    nearest = sorted(set(range(COUNT)) - drawn, key=lambda each: abs(PROBABILITIES[each] - 0.5))[:20]
    assert doubtful == set(nearest)


def test_a_random_half_that_prefers_some_rows(table: Path) -> None:
    counts = Counter(number(row) for seed in range(300) for row in draw(table, 40, seed) if row.at_random)
    expected = 300 * 20 / COUNT
    chi_squared = sum((counts[each] - expected) ** 2 / expected for each in range(COUNT))
    assert chi_squared < COUNT + 4 * (2 * COUNT) ** 0.5


def test_an_order_that_shows_which_half_a_row_is_of(table: Path) -> None:
    positions = [at for seed in range(300) for at, row in enumerate(draw(table, 10, seed)) if row.at_random]
    assert np.mean(positions) == pytest.approx(4.5, abs=0.3)


def test_a_row_that_is_asked_for_again(table: Path) -> None:
    first = draw(table, COUNT // 2)
    rest = draw(table, COUNT, asked={row.row_id for row in first})
    assert sorted(number(row) for row in first + rest) == list(range(COUNT))
    known = {words.identity(text.upper()) for text in REVIEWS[10:]}
    assert {number(row) for row in draw(table, COUNT, known=known)} == set(range(10))
    assert draw(table, 5, known={words.identity(text) for text in REVIEWS}) == []


def test_rows_asked_for_before_that_are_never_drawn(table: Path) -> None:
    first = draw(table, 100)
    before, known = {row.row_id for row in first}, {words.identity(text) for text in REVIEWS[:50]}
    counts = Counter[int]()
    for seed in range(150):
        rows, again = sample.draw([table], 40, np.random.default_rng(seed), before, known)
        drawn = [number(row) for row in [*rows, *again] if row.at_random]
        assert (len(rows), len(set(drawn)), len(drawn)) == (40, 20, 20)
        assert {row.row_id in before or number(row) < 50 for row in again} <= {True}
        assert not [row for row in rows if row.row_id in before or number(row) < 50]
        counts.update(drawn)
    expected = 150 * 20 / COUNT
    chi_squared = sum((counts[each] - expected) ** 2 / expected for each in range(COUNT))
    assert chi_squared < COUNT + 4 * (2 * COUNT) ** 0.5


def test_the_same_review_twice(tmp_path: Path) -> None:
    table = labels.table(tmp_path, ["Good!", "good", "bad", "GOOD"], [0.5, 0.5, 0.9, 0.51])
    rows, again = sample.draw([table], 8, np.random.default_rng(0))
    assert sorted(row.review.lower()[:3] for row in rows) == ["bad", "goo"]
    assert [row.review.lower()[:4] for row in again] == ["good", "good"]
    assert {row.at_random for row in [*rows, *again]} == {True}


def test_facts_of_another_row(table: Path) -> None:
    for row in draw(table, 20):
        assert row.row_id == f"{table.stem[-16:]}-{number(row) + 1}"
        assert row.predicted_label == ("positive" if PROBABILITIES[number(row)] >= 0.5 else "negative")
        assert row.model_id == "gru-1"


def test_a_table_without_reviews_that_ends_the_run(table: Path, tmp_path: Path) -> None:
    kept = pq.read_table(table)
    footer = pq.read_metadata(table).metadata
    pq.write_table(kept.drop_columns(["Review"]).replace_schema_metadata(footer), tmp_path / "t.parquet")
    assert draw(tmp_path / "t.parquet", 5) == []


def test_a_damaged_table_that_is_drawn_from(tmp_path: Path) -> None:
    (tmp_path / "t.parquet").write_bytes(b"PAR1")
    with pytest.raises(errors.InputError, match=r"t\.parquet: missing or damaged.*--rescore"):
        draw(tmp_path / "t.parquet", 5)


def test_a_column_of_reviews_by_another_name() -> None:
    footer = {"header": json.dumps(["model_id", " ROW_ID ", "row_id"]), "review_column": "row_id", "source_file": "a"}
    assert sample.review_column(footer) == "input_row_id"


def test_two_tables_of_one_dump() -> None:
    digits = ["0" * 16, "1" * 16]
    paths = [f"scores/model={model}/{name}-{dump}.parquet" for model, name, dump in (
        ("gru-1", "a", digits[0]), ("gru-2", "a", digits[0]), ("gru-1", "b", digits[1]), ("gru-3", "b", digits[1]),
    )]  # fmt: skip
    assert sample.one_of_each(paths, "gru-1") == [paths[0], paths[2]]
    assert sample.one_of_each(paths, "gru-3") == [paths[1], paths[3]]
    assert sample.one_of_each(paths, None) == [paths[1], paths[3]]
