"""What a preview says, against what scoring with both models finds; and that it writes nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tasks.lib import errors, previews, scoring
from tasks.lib.config import ScoreConfig
from tasks.lib.layout import Layout
from tasks.lib.scores import scored
from tests.support import dumps
from tests.support.folders import contents


class Other(dumps.Fake):
    """A network that sees half as much in each review."""

    def __call__(self, ids: np.ndarray, ngram_ids: None) -> np.ndarray:
        return super().__call__(ids // 2, ngram_ids)


def other() -> scoring.Model:
    return scoring.Model("gru-000000000001", dumps.model().encoder, Other(), 0.12)  # type: ignore[arg-type]


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    return [dumps.write(tmp_path / f"{number}.csv", 3_000, 7, seed=number) for number in range(3)]


@pytest.fixture
def data(tmp_path: Path, paths: list[Path]) -> Layout:
    """A data folder with the tables of the dumps."""
    for path in paths:
        dumps.score(path, tmp_path / "data", ScoreConfig(threshold=0.25))
    return Layout(tmp_path / "data")


def rows_of(data: Layout) -> dict[str, tuple[str, float, bool]]:
    """What the tables say of each row: its review, its probability, whether it is positive."""
    return {
        row["row_id"]: (row["review"], row["positive_probability"], row["predicted_label"] == "positive")
        for path in scored.find(data)
        for batch in scored.batches(data.root / path)
        for row in batch.to_pylist()
    }


def check(found: previews.Preview, data: Layout) -> None:
    """Compares with the rows one by one."""
    rows = rows_of(data)
    after, *_ = other()([review for review, *_ in rows.values()])
    distances = np.abs(after - np.array([probability for _, probability, _ in rows.values()]))
    flipped = [(new >= np.float32(0.12)) != old for new, (*_, old) in zip(after, rows.values(), strict=True)]
    assert found.flips == (3, len(rows), sum(flipped))
    assert 0 < sum(flipped) < len(rows)
    assert found.mean == pytest.approx(distances.mean())
    assert found.percentile(0.95) == pytest.approx(np.percentile(distances, 95, method="inverted_cdf"), abs=1e-5)
    assert [row.distance for row in found.most] == pytest.approx(sorted(distances, reverse=True)[:20])
    for row in found.most:
        at = list(rows).index(row.row_id)
        assert row.before == rows[row.row_id][1]
        assert row.after == pytest.approx(after[at])


def test_a_preview_of_tables_that_is_not_what_scoring_gives(data: Layout) -> None:
    tables = [data.root / path for path in scored.find(data)]
    before = contents(data.root)
    check(previews.of_tables(tables, other(), ScoreConfig()), data)
    assert contents(data.root) == before


def test_a_preview_of_dumps_that_is_not_what_scoring_gives(data: Layout, paths: list[Path]) -> None:
    before = replace(dumps.model(), threshold=0.25)
    check(previews.of_dumps(paths, before, other(), ScoreConfig()), data)


def test_tables_without_reviews_that_stop_a_preview_or_count(data: Layout, tmp_path: Path) -> None:
    dumps.score(dumps.write(tmp_path / "more.csv", 50, 0, seed=9), data.root, ScoreConfig(keep=("id",)))
    found = previews.of_tables([data.root / path for path in scored.find(data)], other(), ScoreConfig())
    assert (found.dumps, found.without_reviews) == (3, 1)


def test_a_damaged_table_that_is_previewed(data: Layout) -> None:
    table = data.root / scored.find(data)[0]
    table.write_bytes(b"PAR1")
    with pytest.raises(errors.InputError, match=r"0-\w+\.parquet: missing or damaged"):
        previews.of_tables([table], other(), ScoreConfig())
