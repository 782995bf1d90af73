"""The history of the last days: rows that count twice, reports that are damaged or old, days without a dump."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from tasks.lib.scores import history

TODAY = date(2026, 5, 20)


def entry(name: str, **facts: Any) -> dict[str, Any]:
    counts = {"rows": 100, "scored": 90, "positive": 45, "quarantined": {"empty_review": 10}}
    words = {"words": 1_000, "words_known": 980, "drift": {}}
    return {"file": name, "status": "scored", "sha256": name, "model_id": "gru-1"} | counts | words | facts


def report(folder: Path, time: str, *entries: dict[str, Any], **found: Any) -> Path:
    """A report of a run at this time, with what it found of drift for each model."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{time}.json"
    path.write_text(json.dumps({"files": entries, "drift": {"found": found}}))
    return path


def last_day(folder: Path) -> history.Day:
    return history.read(folder, TODAY, 3).days[-1]


def test_a_dump_that_counts_twice_on_a_day(tmp_path: Path) -> None:
    report(tmp_path, "20260520T100000.0Z", entry("a"), entry("b"))
    report(tmp_path, "20260520T110000.0Z", entry("a", positive=60, model_id="gru-2"), entry("c", status="exported"))
    day = last_day(tmp_path)
    assert (day.dumps, day.rows, day.scored, day.positive, day.quarantined) == (2, 200, 180, 105, 20)
    assert (day.words, day.words_known) == (2_000, 1_960)


def test_a_failure_that_was_mended_or_counts_with_each_run(tmp_path: Path) -> None:
    for hour in (10, 11):
        failed = {"status": "failed", "sha256": ""}
        report(tmp_path, f"20260520T{hour}0000.0Z", entry("a", **failed), entry("b", **failed))
    report(tmp_path, "20260520T120000.0Z", entry("a"))
    assert (last_day(tmp_path).failed, last_day(tmp_path).dumps) == (1, 1)


def test_days_that_are_missing_or_of_another_time(tmp_path: Path) -> None:
    report(tmp_path, "20260517T235959.0Z", entry("too old"))
    report(tmp_path, "20260518T000000.0Z", entry("a"))
    report(tmp_path, "20260521T000000.0Z", entry("to come"))
    found = history.read(tmp_path, TODAY, 3)
    assert [(day.day, day.dumps) for day in found.days] == [
        (TODAY - timedelta(days=2), 1), (TODAY - timedelta(days=1), 0), (TODAY, 0)
    ]  # fmt: skip


def test_no_reports_at_all(tmp_path: Path) -> None:
    assert [day.dumps for day in history.read(tmp_path / "none", TODAY, 2).days] == [0, 0]


DAMAGED = [b"", b"[]", b"{}", b'{"files": [{}]}', b"\xff", b'{"files": [{"status": "scored"}]}']


@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_report_that_takes_others_along(tmp_path: Path, content: bytes) -> None:
    report(tmp_path, "20260520T100000.0Z", entry("a"))
    (tmp_path / "20260520T110000.0Z.json").write_bytes(content)
    found = history.read(tmp_path, TODAY, 1)
    assert (found.days[0].dumps, found.unreadable) == (1, 1)


def test_a_report_of_an_earlier_version(tmp_path: Path) -> None:
    old = {name: value for name, value in entry("a").items() if not name.startswith("words") and name != "drift"}
    path = report(tmp_path, "20260520T100000.0Z")
    path.write_text(json.dumps({"files": [old]}))
    day = last_day(tmp_path)
    assert (day.dumps, day.rows, day.words, day.drift, day.drifted) == (1, 100, 0, {}, [])


def test_drift_of_another_time_or_model(tmp_path: Path) -> None:
    length = {"length": {"value": 0.3, "limit": 0.1}}
    report(tmp_path, "20260520T100000.0Z", entry("a", drift=length), **{"gru-1": {"length": {"value": 0, "limit": 1}}})
    report(tmp_path, "20260520T110000.0Z", entry("b"), **{"gru-1": length, "gru-2": {}})
    day = last_day(tmp_path)
    assert (day.drift, day.drifted, day.dumps_drifted) == ({"length": (0.3, 0.1)}, ["length"], 1)


def test_another_model_that_is_not_seen(tmp_path: Path) -> None:
    report(tmp_path, "20260518T100000.0Z", entry("a"))
    report(tmp_path, "20260520T100000.0Z", entry("b"), entry("c", model_id="gru-2", rows=500))
    found = history.read(tmp_path, TODAY, 3)
    assert [day.model_id for day in found.days] == ["gru-1", "", "gru-2"]
    assert found.changes == {TODAY: "gru-2"}
