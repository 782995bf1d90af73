"""Drift in the flows: an alarm a day and kind, whatever happens to the ledger; none of it without a reference."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import SyncPrefectClient

from flows.report import report
from flows.score import score
from tasks.lib import clock, files
from tasks.lib.config import ReportConfig, ScoreConfig
from tasks.lib.layout import Layout
from tasks.lib.models import bundles
from tasks.running import events
from tests.support import german

NOW = datetime(2026, 5, 20, 12, tzinfo=UTC)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the events that the server is sent carry."""
    payloads: list[dict[str, Any]] = []
    pass_on = SyncPrefectClient.request

    def request(client: SyncPrefectClient, method: Any, path: Any, **what: Any) -> Any:
        if path == "/events":
            payloads.extend(event["payload"] for event in what["json"] if event["event"] == events.DRIFT)
        return pass_on(client, method, path, **what)

    monkeypatch.setattr(SyncPrefectClient, "request", request)
    return payloads


def at(monkeypatch: pytest.MonkeyPatch, hours: float) -> None:
    monkeypatch.setattr(clock, "now", lambda: NOW + timedelta(hours=hours))


def write(data: Layout, name: str, seed: int) -> None:
    files.make_folder(data.inbox)
    lines = [json.dumps(text, ensure_ascii=False) for text in german.reviews(60, seed)]
    (data.inbox / name).write_text("\n".join(["review", *lines, ""]))


def test_an_alarm_that_comes_more_than_once_a_day_or_not_at_all(
    trained: Layout, sent: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    at(monkeypatch, 0)
    write(trained, "a.csv", 1)
    score(data_dir=trained.root)
    (found,) = [entry for entry in sent if entry["kind"] == "unknown words"]
    assert (found["place"], found["date"], found["limit"]) == ("the day", "2026-05-20", 0.2)
    assert found["value"] > 0.5
    kinds = [entry["kind"] for entry in sent]
    assert len(set(kinds)) == len(kinds)
    (said,) = [line for line in caplog.messages if line.startswith("Drift: ")]
    assert "unknown words in a.csv and the day" in said
    write(trained, "b.csv", 2)
    trained.ledger.unlink()  # the reports know it, too
    at(monkeypatch, 1)
    score(data_dir=trained.root)
    assert [entry["kind"] for entry in sent] == kinds
    at(monkeypatch, 12)
    write(trained, "c.csv", 3)
    score(data_dir=trained.root)
    assert sorted(entry["kind"] for entry in sent) == sorted(2 * kinds)


def test_a_dump_like_the_training_that_alarms_or_counts_twice(
    trained: Layout, sample: Path, sent: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    at(monkeypatch, 0)
    for hours, options in ((0, ScoreConfig()), (1, ScoreConfig(rescore=True))):
        at(monkeypatch, hours)
        score(paths=[sample / "reviews-test.csv.gz"], options=options, data_dir=trained.root)
        last = json.loads(max(trained.reports.glob("*.json")).read_text())
        assert last["drift"]["status"] == "none"
        (day,) = last["drift"]["day"]["models"].values()
        assert sum(day["probabilities"]) == 500
    assert last["drift"]["day"]["dumps"] == 1
    assert last["files"][0]["drift"].keys() == {"probabilities", "positives", "length", "rare words", "unknown words"}
    assert not sent


def test_a_model_of_an_earlier_version_that_fails(
    trained: Layout, sample: Path, model_id: str, sent: list[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    folder = trained.models / model_id
    manifest = json.loads((folder / bundles.MANIFEST).read_text())
    del manifest["sha256"][bundles.REFERENCE], manifest["seal"]
    manifest["seal"] = files.digest(manifest)
    (folder / bundles.MANIFEST).write_text(json.dumps(manifest))
    (folder / bundles.REFERENCE).unlink()
    caplog.set_level("INFO", "sentiment")
    score(paths=[sample / "reviews-test.csv.gz"], data_dir=trained.root)
    assert f"Drift: unknown: the model has no reference ({model_id})" in caplog.messages
    assert not sent


def test_a_page_that_lacks_what_was_scored(
    trained: Layout, sample: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "sentiment")
    at(monkeypatch, 0)
    report(data_dir=trained.root)
    assert "No dump was scored from 2026-02-20 to 2026-05-20." in trained.overview.read_text()
    score(paths=[sample / "reviews-test.csv.gz"], data_dir=trained.root)
    report(ReportConfig(days=7), data_dir=trained.root)
    text = trained.overview.read_text()
    assert text.count("<img ") == 6
    assert "<td>2026-05-20</td><td>1</td><td>0</td><td>500</td>" in text
    assert "500 rows in 1 dump were read on 1 of 7 days" in "\n".join(caplog.messages)
