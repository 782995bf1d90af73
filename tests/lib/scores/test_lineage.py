"""From a row to its table and dump, and from a model to what it has scored."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tasks.lib import errors, files
from tasks.lib.layout import Layout
from tasks.lib.scores import lineage, scored
from tests.support import dumps
from tests.support.tables import flip


@pytest.fixture
def data(tmp_path: Path) -> Layout:
    """Three tables of a model, of 5,000 rows each, three of them quarantined."""
    for seed in range(3):
        dumps.score(dumps.write(tmp_path / f"{seed}.csv", 5_000, 3, seed), tmp_path / "data")
    return Layout(tmp_path / "data")


@pytest.mark.parametrize("at", [0, 17, 4_996])
def test_a_row_that_is_found_in_another_place(data: Layout, tmp_path: Path, at: int) -> None:
    path = scored.find(data)[1]
    expected = pq.read_table(data.root / path).slice(at, 1).to_pylist()[0]
    row = lineage.Row(*(expected[name] for name in lineage.COLUMNS[1:]))
    assert lineage.of_row(data, expected["row_id"]) == {path: row}
    report = lineage.of_table(data, path)
    assert (report.file, report.sha256) == ("1.csv", files.sha256(tmp_path / "1.csv"))
    assert (report.scored, report.rows_quarantined, report.model_id) == (4_997, 3, dumps.MODEL_ID)


def test_a_row_that_opens_the_tables_of_other_dumps(data: Layout) -> None:
    first, second, _ = scored.find(data)
    (data.root / first).write_bytes(b"damaged")
    row_id = pq.read_table(data.root / second)["row_id"][5].as_py()
    assert list(lineage.of_row(data, row_id)) == [second]


def test_a_quarantined_or_unknown_row_that_ends_in_a_traceback(data: Layout) -> None:
    path = scored.find(data)[0]
    ordinals = {int(row_id[17:]) for row_id in pq.read_table(data.root / path)["row_id"].to_pylist()}
    missing = min(set(range(1, 5_001)) - ordinals)
    with pytest.raises(errors.InputError, match=r"found none \(scores/model=.*0-.*\)\. .* the row is in quarantine"):
        lineage.of_row(data, f"{Path(path).stem[-16:]}-{missing}")
    with pytest.raises(errors.InputError, match="no table in .* has these digits in its name"):
        lineage.of_row(data, f"{'0' * 16}-1")
    flip(data.root / path, 40)
    with pytest.raises(errors.InputError, match="missing or damaged"):
        lineage.of_row(data, f"{Path(path).stem[-16:]}-1")


def test_a_model_whose_tables_are_counted_wrongly(data: Layout) -> None:
    assert lineage.of_model(data, dumps.MODEL_ID) == (3, 3 * 4_997, 9)
    assert lineage.of_model(data, "gru-000000000001") == (0, 0, 0)
