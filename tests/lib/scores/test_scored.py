"""Score tables read back: where they are, and which of their columns holds the reviews."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tasks.lib import errors
from tasks.lib.layout import Layout
from tasks.lib.scores import scored, tables
from tests.support import dumps


@pytest.fixture
def data(tmp_path: Path) -> Layout:
    data = Layout(tmp_path / "data")
    for seed in range(3):
        dumps.score(dumps.write(tmp_path / f"{seed}.csv", 9, 1, seed), data.root)
    return data


def test_a_hidden_file_an_export_or_a_report_taken_for_a_table(data: Layout) -> None:
    found = scored.find(data)
    assert [Path(path).name[0] for path in found] == ["0", "1", "2"]
    folder = (data.root / found[0]).parent
    for path in (folder / ".0.parquet", data.csv / folder.name / "0.parquet", data.scores / "0.parquet"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert scored.find(data) == scored.find(data, [data.scores]) == found


def test_a_place_that_is_passed_over(data: Layout, tmp_path: Path) -> None:
    first, second, _ = scored.find(data)
    assert scored.find(data, [data.root / second, data.root / first, data.root / second]) == [second, first]
    shutil.copy(data.root / first, tmp_path)
    for place in (tmp_path / Path(first).name, tmp_path / "nowhere", data.quarantine):
        with pytest.raises(errors.InputError, match="expected a score table below .*, found none"):
            scored.find(data, [place])


@pytest.mark.parametrize(
    ("header", "review", "keep", "expected"),
    [
        (["id", "review"], "review", None, "review"),
        (["id", " Review"], " Review", None, " Review"),
        (["id", "review"], "review", ("id",), None),
        (["id", "review"], "review", ("review",), "review"),
        (["id", "id", "review"], "review", None, "review"),
        (["model_id", "text"], "model_id", None, "input_model_id"),
        (["model_id", "input_model_id", "text"], "model_id", None, "input_model_id"),
        (["model_id", "input_model_id", "text"], "model_id", ("input_model_id",), None),
    ],
)
def test_another_column_than_that_of_the_reviews(
    header: list[str], review: str, keep: tuple[str, ...] | None, expected: str | None
) -> None:
    names = [*tables.OWN_COLUMNS, *tables.carried_columns(header, keep, "d.csv").values()]
    footer = {"header": json.dumps(header), "review_column": review, "source_file": "d.csv"}
    assert scored.review_column(footer, names) == expected
