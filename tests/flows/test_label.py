"""Asking for labels: from which tables, and what stands in data/labels afterwards."""

from __future__ import annotations

import csv
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from flows import label, release
from tasks.lib import errors, files
from tasks.lib.config import AskConfig
from tasks.lib.labels import asked
from tasks.lib.layout import Layout
from tasks.lib.models import releases
from tasks.lib.scores import reports
from tests.support import labels
from tests.support.models import add

REVIEWS = [f"review number {number}" for number in range(40)]


@pytest.fixture
def scored(tmp_path: Path) -> Callable[[str, float], Path]:
    """Makes a score table of a model, as a run so many days ago has it in its report."""

    def make(model_id: str, days: float) -> Path:
        table = labels.table(tmp_path, REVIEWS, [number / 40 for number in range(40)], model_id)
        finished = datetime.now(UTC) - timedelta(days=days)
        entries = [{"table": table.relative_to(tmp_path).as_posix(), "status": "scored"}]
        files.write(
            tmp_path / "scores" / "_reports" / f"{finished:{reports.NAME}}.json", files.json_bytes({"files": entries})
        )
        return table

    return make


def ask(folder: Path, rows: int, days: float = 7) -> None:
    label.main(options=AskConfig(rows=rows, days=days), data_dir=folder)


def written(folder: Path) -> list[dict[str, str]]:
    """The rows of all files that ask for labels."""
    rows = []
    for path in sorted((folder / "labels").glob("*.csv")):
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows += list(csv.DictReader(file))
    return rows


def test_a_row_that_a_second_file_asks_for_again(
    tmp_path: Path, scored: Callable[[str, float], Path], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "sentiment")
    scored("gru-1", 0)
    for rows in (10, 25, 100):
        ask(tmp_path, rows)
    assert sorted(row["review"] for row in written(tmp_path)) == sorted(REVIEWS)
    ask(tmp_path, 10)
    assert "Nothing to ask for" in caplog.messages[-1]
    assert len(written(tmp_path)) == 40
    assert not [line for line in caplog.messages if "review number" in line]


def test_a_review_that_is_labelled_and_asked_for(tmp_path: Path, scored: Callable[[str, float], Path]) -> None:
    scored("gru-1", 0)
    labels.write(tmp_path / "labels" / "mine.csv", [[review.upper(), "1"] for review in REVIEWS[5:]])
    ask(tmp_path, 40)
    assert {row["review"] for row in written(tmp_path) if "row_id" in row} == set(REVIEWS[:5])


def test_a_table_that_is_too_old(tmp_path: Path, scored: Callable[[str, float], Path]) -> None:
    with pytest.raises(errors.InputError, match=r"no score table of the last 7 days.*--days"):
        ask(tmp_path, 1)
    scored("gru-1", 8)
    with pytest.raises(errors.InputError, match="no score table"):
        ask(tmp_path, 1)
    ask(tmp_path, 5, days=9)
    assert len(written(tmp_path)) == 5


def test_the_table_of_another_model_than_the_current_one(tmp_path: Path, scored: Callable[[str, float], Path]) -> None:
    models = Layout(tmp_path).models
    ids = [add(models, number, 0.8) for number in (1, 2)]
    releases.release(models, ids[0])
    scored(ids[0], 2)
    scored(ids[1], 1)
    ask(tmp_path, 40)
    assert {row["model_id"] for row in written(tmp_path)} == {ids[0]}


def test_an_accuracy_that_the_list_of_models_does_not_show(
    tmp_path: Path,
    scored: Callable[[str, float], Path],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "sentiment")
    model_id = add(Layout(tmp_path).models, 1, 0.8)
    monkeypatch.setattr(release, "_facts", lambda models, model_id: "facts")
    scored(model_id, 0)
    ask(tmp_path, 40)
    rows = written(tmp_path)
    (path,) = (tmp_path / "labels").glob("*.csv")
    labels.write(path, [[*list(row.values())[:-1], "pos"] for row in rows], list(rows[0]))
    right = asked.accuracies(tmp_path / "labels")[model_id]
    assert right.rows == 20
    release.list_models(data_dir=tmp_path)
    assert caplog.messages[-1].endswith(f"facts  own reviews {right}")
