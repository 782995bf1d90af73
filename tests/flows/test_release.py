"""Releasing by hand: the same event as after a training where a server is set up, quick and quiet where none is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows import release
from tasks.lib import files, scoring
from tasks.lib.config import FitConfig, ReleaseConfig, ScoreConfig
from tasks.lib.layout import CLONE, Layout
from tasks.lib.models import bundles, comparison, releases
from tasks.lib.scores import tables
from tasks.lib.scores.inbox import Dump
from tasks.running import events
from tasks.training import caching
from tests.support import models
from tests.support.training import train_small

NOWHERE = "http://127.0.0.1:9/api"


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The events that the server is sent."""
    events: list[dict[str, Any]] = []
    pass_on = SyncPrefectClient.request

    def request(client: SyncPrefectClient, method: Any, path: Any, **what: Any) -> Any:
        if path == "/events":
            events.extend(what["json"])
        return pass_on(client, method, path, **what)

    monkeypatch.setattr(SyncPrefectClient, "request", request)
    monkeypatch.setenv("PREFECT_API_URL", "the tests' own")  # the settings of the fixture `prefect` say which
    return events


@pytest.fixture
def two(trained: Layout, two_models: tuple[str, str]) -> tuple[Layout, str, str]:
    """The folder of two models, the current one and the other one."""
    return trained, *two_models


def command(data: Layout, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """`python flows/release.py` with no other settings of Prefect than these."""
    mine = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    return subprocess.run(
        [sys.executable, "-X", "importtime", "flows/release.py", *arguments, "--data-dir", str(data.root)],
        cwd=CLONE,
        env=mine | {"PREFECT_HOME": str(data.root / ".prefect"), **settings},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_promotion_by_hand_that_nobody_hears_of(two: tuple[Layout, str, str], sent: list[dict[str, Any]]) -> None:
    data, current, other = two
    release.promote(other, data_dir=data.root)
    (event,) = sent
    assert event["event"] == events.PROMOTED
    assert event["resource"]["prefect.resource.id"] == f"sentiment.model.{other}"
    told = event["payload"]
    assert (told["replaces"], told["verdict"], told["corpus"]) == (current, "forced", "sample")
    assert told["accuracy"] == bundles.read_metrics(data.models, other)["accuracy"]


def test_a_comparison_that_is_not_that_of_the_predictions(two: tuple[Layout, str, str]) -> None:
    data, current, other = two
    done = command(data, "compare", other, current)
    assert done.returncode == 0
    assert not re.search(r"\|\s+prefect\b", done.stderr)
    metrics = [bundles.read_metrics(data.models, name) for name in (other, current)]
    made = [pd.read_parquet(data.models / name / bundles.PREDICTIONS) for name in (other, current)]
    positive = [table["positive_probability"] >= 0.5 for table in made]
    points = 100 * (metrics[0]["accuracy"] - metrics[1]["accuracy"])
    header, *rows, difference, disagreement = done.stdout.splitlines()[:6]
    assert header.split() == [other, current]
    assert [row.split() for row in rows] == [
        [name, *(format(measured[name], form) for measured in metrics)]
        for name, form in (("accuracy", ".2%"), ("loss", ".4f"), ("auc", ".4f"))
    ]
    assert f" {points:+z.2f} points, 95% interval " in difference
    assert disagreement.split(None, 1)[1] == f"on {(positive[0] != positive[1]).sum()} of 500 test reviews"


def test_a_table_of_slices_that_is_not_that_of_the_predictions(two: tuple[Layout, str, str]) -> None:
    data, current, other = two
    made = [pd.read_parquet(data.models / name / bundles.PREDICTIONS) for name in (other, current)]
    right = [(table["positive_probability"] >= 0.5) == (table["label"] == 1) for table in made]
    facts = made[0]
    known = pd.concat([table["known_words"] for table in made], axis=1).min(axis=1) / facts["words"] >= 0.95
    slices = {
        "up to 150 words": facts["words"] <= 150,
        "151 to 250 words": facts["words"].between(151, 250),
        "over 250 words": facts["words"] > 250,
        "below 95% known": ~known,
        "95% known or more": known,
        "with negation": facts["negations"] > 0,
        "without negation": facts["negations"] == 0,
    }
    header, *rows = command(data, "compare", other, current).stdout.splitlines()[6:-3]
    assert header.split() == ["slice", "reviews", "better", "worse", "points", "p"]
    found = {row[:20].strip(): row[20:].split()[:4] for row in rows}
    for name, chosen in slices.items():
        better, worse = (int((one & ~another & chosen).sum()) for one, another in (right, right[::-1]))
        points = 100 * (better - worse) / chosen.sum() if chosen.any() else 0
        expected = [f"{chosen.sum()}", f"{better}", f"{worse}", f"{points:+z.2f}"]
        assert found.pop(name, None) == (expected if chosen.any() else None)
    assert not found


def test_models_without_slices_that_are_not_compared(trained: Layout, model_id: str) -> None:
    older = [models.add_tested(trained.models, number, np.arange(500) >= number) for number in (1, 2)]
    done = command(trained, "compare", *older)
    assert done.returncode == 0
    assert f"slices       none: {older[0]} does not say what reviews it was tested on" in done.stdout


def own(first: int, wrong: int) -> dict[str, bool]:
    """40 test reviews of one's own from this number on; the first `wrong` of them are called negative."""
    return {f"{number:064x}": number >= first + wrong for number in range(first, first + 40)}


@pytest.mark.parametrize("reviews", [500, 400])
def test_own_test_reviews_that_a_comparison_leaves_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, reviews: int
) -> None:
    """Few of them, and of a corpus of one's own those of the corpus are others with every label."""
    data = Layout(tmp_path)
    old = models.add_tested(data.models, 1, np.arange(500) >= 9, own=own(0, 0))
    new = models.add_tested(data.models, 2, np.arange(reviews) >= 9, own=own(10, 3))
    caplog.set_level("INFO", "sentiment")
    release.compare(new, old, data_dir=tmp_path)
    figures = comparison.difference(0, 3, 30)
    at = caplog.messages.index(f"own accuracy {'90.00%':>24} {'100.00%':>24}")
    assert caplog.messages[at + 1 : at + 3] == [
        f"difference   -10.00 points, 95% interval {figures.lower:+.2f} to {figures.upper:+z.2f}",
        "disagreement on 3 of 30 own test reviews",
    ]
    of_corpus = "+0.00 points, 95% interval" if reviews == 500 else f"none: {new} and {old} were tested on different"
    assert next(line for line in caplog.messages if line.startswith("difference"))[13:].startswith(of_corpus)


def test_flips_that_are_not_those_of_the_score_tables(two: tuple[Layout, str, str], sample: Path) -> None:
    data, current, other = two
    path = sample / "reviews-test.csv.gz"
    unknown, *commands = command(data, "compare", other, current).stdout.splitlines()[-3:]
    assert unknown.startswith("flips        unknown: both scored no row in common.")
    assert [line.split(None, 1) for line in commands] == [
        ["python", f"flows/score.py --model {model_id}"] for model_id in (other, current)
    ]
    found = []
    for model_id in (other, current):
        table = tables.folder(data.scores, model_id) / tables.table_name(path.name, files.sha256(path))
        dump = Dump(str(path), path.name, "new", sha256=files.sha256(path), table=data.relative(table))
        scoring.score(dump, scoring.Model.open(data.models, model_id), ScoreConfig(), data)
        found.append(pd.read_parquet(table)["predicted_label"])
    flipped = int((found[0] != found[1]).sum())
    assert flipped
    line = command(data, "compare", other, current).stdout.splitlines()[-1]
    assert line == f"flips        {flipped} of {len(found[0])} rows that both scored, in 1 dump"


def test_a_lineage_that_leads_elsewhere(
    two: tuple[Layout, str, str], sample: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data, current, other = two
    path = sample / "reviews-columns.csv"
    for model_id in (current, other):
        table = tables.folder(data.scores, model_id) / tables.table_name(path.name, files.sha256(path))
        dump = Dump(str(path), path.name, "new", sha256=files.sha256(path), table=data.relative(table))
        scoring.score(dump, scoring.Model.open(data.models, model_id), ScoreConfig(), data)
    row = pd.read_parquet(table).iloc[7]
    caplog.set_level("INFO", "sentiment")

    def shown(wanted: str) -> list[str]:
        caplog.clear()
        release.show_lineage(wanted, data_dir=data.root)
        return caplog.messages

    lines = shown(row["row_id"])
    assert [line for line in lines if line.startswith("dump")] == [
        f"dump       {path.name}: sha256 {files.sha256(path)}"
    ] * 2
    assert {line for line in lines if line.startswith("model")} == {
        f"model      {current} (current)", f"model      {other}",
    }  # fmt: skip
    scores = f"{row['positive_probability']:.6f}, {row['predicted_label']}, {row['known_tokens']} known tokens"
    assert f"row        {row['row_id']}: {scores}, line {row['source_line']} of its dump" in lines
    assert not any(row["review"][:20] in line for line in lines)

    model = shown(other)
    facts = dict(line.split(None, 1) for line in model)
    manifest = bundles.read_bundle(data.models, other)
    assert facts["made"] == "1 table: 80 rows scored, 0 quarantined"
    assert facts["corpus"] == f"sample, {manifest['made_of']['corpus']}"
    assert "units 4, " in facts["network"]
    assert f'numpy "{np.__version__}"' in facts["versions"]
    stages = ["download", "prepare", "fit", "baseline", "calibrate", "evaluate", "plot", "publish"]
    sources = {name for stage in stages for name in caching.source_digests(f"tasks.training.{stage}").items()}
    assert facts["code"] == files.digest(dict(sources))
    assert shown(str(table)) == [
        f"table      {data.relative(table)}: 80 rows scored, 0 quarantined, threshold 0.5", lines[2], *model
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ("unknown", "no model 'gru-000000000000'"),
        ("damaged", "predictions.parquet: does not have the sha256"),
        ("without predictions", "has no predictions.parquet"),
    ],
)
def test_a_model_that_cannot_be_compared_and_ends_in_more_than_a_line(
    two: tuple[Layout, str, str], wrong: str, expected: str
) -> None:
    data, current, other = two
    if wrong == "unknown":
        other = "gru-000000000000"
    elif wrong == "damaged":
        (data.models / other / bundles.PREDICTIONS).write_bytes(b"damaged")
    else:
        other = models.add(data.models, 1, 0.8, "sample")
    done = command(data, "compare", current, other)
    (line,) = [line for line in done.stderr.splitlines() if not line.startswith("import time:")]
    assert (done.returncode, done.stdout) == (1, "")
    assert line.startswith("error: ")
    assert expected in line


def test_a_rollback_that_nobody_hears_of(two: tuple[Layout, str, str], sent: list[dict[str, Any]]) -> None:
    data, current, other = two
    releases.promote(data.models, other)
    release.rollback(data_dir=data.root)
    assert [event["resource"]["prefect.resource.name"] for event in sent] == [current]
    assert sent[0]["payload"]["verdict"] == "rolled back"


def test_an_event_although_nothing_changed(two: tuple[Layout, str, str], sent: list[dict[str, Any]]) -> None:
    data, current, _ = two
    release.promote(current, data_dir=data.root)
    assert not sent


def test_a_training_whose_event_says_another_thing(trained: Layout, sent: list[dict[str, Any]]) -> None:
    train_small(trained.root, fit=FitConfig(epochs=1, seed=7, device="cpu"), release=ReleaseConfig(force=True))
    (event,) = sent
    assert event["resource"]["prefect.resource.name"] == releases.current_id(trained.models)
    assert [entry["prefect.resource.role"] for entry in event["related"]] == ["flow-run"]


def test_prefect_loaded_where_no_server_is_set_up(two: tuple[Layout, str, str]) -> None:
    data, _, other = two
    done = command(data, "promote", other)
    assert done.stdout == f"Current model: {other} (forced, promoted by hand)\n"
    assert "cyclopts" in done.stderr  # the list of what was imported is there
    assert not re.search(r"\|\s+prefect\b", done.stderr)


def test_a_server_that_cannot_be_reached(two: tuple[Layout, str, str], tmp_path: Path) -> None:
    data, _, other = two
    done = command(data, "promote", other, PREFECT_API_URL=NOWHERE)
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        f"Current model: {other} (forced, promoted by hand)",
        f"Could not send the promotion to {NOWHERE} (ConnectError). The next scheduled run scores with {other}.",
    ]
    assert "Traceback" not in done.stderr
    assert releases.current_id(data.models) == other


def test_a_profile_that_names_a_server(two: tuple[Layout, str, str]) -> None:
    data, _, other = two
    (data.root / ".prefect").mkdir()
    profile = f'active = "here"\n[profiles.here]\nPREFECT_API_URL = "{NOWHERE}"\n[profiles.local]\n'
    (data.root / ".prefect" / "profiles.toml").write_text(profile)
    assert f"Could not send the promotion to {NOWHERE}" in command(data, "promote", other).stdout
    assert NOWHERE not in command(data, "rollback", PREFECT_PROFILE="local").stdout  # that one names none


def test_a_server_started_for_nobody_to_hear(trained: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "get_client", lambda **_: pytest.fail("a temporary server would be started"))
    with temporary_settings({PREFECT_API_URL: None}):
        events.announce(trained.models, before=None)
