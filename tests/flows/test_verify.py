"""The flow that verifies published tables, with a real model: what holds, what does not, what only looks like it."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from prefect.runtime import flow_run

from flows.verify import verify
from tasks.lib import errors, files, profiles, scoring, verification
from tasks.lib.config import ScoreConfig, VerifyConfig
from tasks.lib.layout import Layout
from tasks.lib.models import bundles
from tasks.lib.scores import ledger, scored, tables
from tasks.lib.scores.inbox import Dump
from tasks.lib.scores.ledger import Ledger
from tasks.scoring.verify import Published, verify_tables
from tests.support.tables import alter, put_right


def score_sample(data: Layout, model_id: str, sample: Path) -> None:
    """The bundled dumps scored with a model, without a run."""
    model = scoring.Model.open(data.models, model_id)
    with Ledger.open(data) as known:
        for path in sorted(sample.glob("reviews-*")):
            sha256 = files.sha256(path)
            table = tables.folder(data.scores, model_id) / tables.table_name(path.name, sha256)
            dump = Dump(str(path), path.name, "new", sha256=sha256, table=data.relative(table))
            known.enter_tables([scoring.score(dump, model, ScoreConfig(), data)])


@pytest.fixture
def data(trained: Layout, model_id: str, sample: Path) -> Layout:
    """The trained folder with the tables of the bundled dumps."""
    score_sample(trained, model_id, sample)
    return trained


def raise_a_probability(table: Path, by: float = 2e-5) -> None:
    """By so little that neither a label nor the histogram shows it."""
    values = np.array(pq.read_table(table)["positive_probability"].to_pylist(), np.float32)
    at = next(at for at, value in enumerate(values) if profiles.histogram(values[at : at + 1] + by)[int(value * 20)])
    values[at] += np.float32(by)
    alter(table, {"positive_probability": values.tolist()})


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Our own lines in the log."""
    return [record.getMessage() for record in caplog.records if record.name == "sentiment"]


def test_sound_tables_of_two_models_at_fault(
    data: Layout, two_models: tuple[str, str], sample: Path, caplog: pytest.LogCaptureFixture
) -> None:
    score_sample(data, two_models[1], sample)
    caplog.set_level("INFO", "sentiment")
    verify(data_dir=data.root, options=VerifyConfig(all=True))
    assert said(caplog) == ["6 tables hold: 1,390 rows, 10 quarantined, 1,390 scored again"]


def test_a_changed_table_or_a_damaged_model_without_a_line_of_its_own(
    data: Layout, two_models: tuple[str, str], sample: Path, caplog: pytest.LogCaptureFixture
) -> None:
    current, other = two_models
    score_sample(data, other, sample)
    (data.models / other / bundles.METRICS).write_bytes(b"{}")
    changed = [path for path in scored.find(data) if "reviews-test" in path]
    for path in changed:
        raise_a_probability(data.root / path)
    put_right(data)
    caplog.set_level("INFO", "sentiment")
    with pytest.raises(errors.PipelineError, match="^2 tables or models do not hold: see above"):
        verify(data_dir=data.root, options=VerifyConfig(all=True))
    *faults, total = said(caplog)
    assert len(faults) == 2
    assert total.startswith("5 tables hold: ")
    (mine,) = [path for path in changed if current in path]
    assert any(fault.startswith(f"{mine}: 1 of 500 rows scored again differ") for fault in faults)
    assert any(fault.startswith(f"model={other}: no row of its tables was scored again: ") for fault in faults)
    assert any("metrics.json: does not have the sha256 of the manifest" in fault for fault in faults)


def test_scores_of_another_model_that_hold(data: Layout, two_models: tuple[str, str], sample: Path) -> None:
    _, other = two_models
    for path in scored.find(data):
        theirs = tables.folder(data.scores, other) / Path(path).name
        files.make_folder(theirs.parent)
        (data.root / path).replace(theirs)
        count = pq.read_metadata(theirs).num_rows
        alter(theirs, {"model_id": [other] * count}, model_id=other)
    found = verify_tables.fn(Published(other, scored.find(data)), VerifyConfig(), data.root)
    assert [path.partition("/")[0] for path in found.faults] == ["scores"] * 3
    assert all("scored again differ" in fault for fault in found.faults.values())


def test_a_table_that_a_run_replaces_meanwhile_at_fault(
    data: Layout, model_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the first look the ledger has the sha256 of the table before, and another table is removed after it."""
    paths = scored.find(data)
    looks = [dict.fromkeys(paths[:2], "0" * 64)]
    real = ledger.published

    def published(*arguments: object) -> dict[str, str]:
        if not looks:
            return real(*arguments)  # type: ignore[arg-type]
        (data.root / paths[1]).unlink()
        return looks.pop()

    monkeypatch.setattr(ledger, "published", published)
    found = verify_tables.fn(Published(model_id, paths), VerifyConfig(), data.root)
    assert (found.faults, found.tables) == ({}, 2)


def test_a_late_run_that_verifies_the_part_of_another_day(
    data: Layout, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = scored.find(data)[0]
    days = [date(2024, 2, day) for day in range(1, 29)]
    turn = next(day for day in days if verification.in_part(path, "today/7", day))
    due = datetime(turn.year, turn.month, turn.day, 2, tzinfo=UTC)
    monkeypatch.setitem(flow_run.FIELDS, "scheduled_start_time", lambda: due)
    caplog.set_level("INFO", "sentiment")
    verify([data.root / path], VerifyConfig(part="today/7"), data.root)
    assert said(caplog)[0] == "part today/7: 1 of 1 tables"
    assert said(caplog)[1].startswith("1 table holds: ")
