"""The scoring flow: every row in one table, every file scored once, failures named."""

from __future__ import annotations

import csv
import gzip
import json
import re
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows.score import main, score
from tasks.lib import errors, files, scoring
from tasks.lib.config import ScoreConfig
from tasks.lib.dumps import reader
from tasks.lib.layout import Layout
from tasks.lib.models import bundles, releases
from tasks.lib.scores import exports, tables
from tasks.lib.scores.inbox import Dump
from tasks.lib.scores.ledger import Ledger
from tests.support.folders import contents
from tests.tools.sample import generate


def only_table(data: Layout, stem: str) -> Path:
    (path,) = data.scores.glob(f"model=*/{stem}-*.parquet")
    return path


@pytest.fixture
def inbox(trained: Layout, sample: Path) -> Layout:
    """The trained folder with the three bundled dumps in its inbox."""
    trained.inbox.mkdir()
    for path in sample.glob("reviews-*"):
        shutil.copy(path, trained.inbox)
    return trained


def test_rows_that_are_lost_on_the_way(inbox: Layout, model_id: str) -> None:
    score(data_dir=inbox.root)
    for path in inbox.inbox.iterdir():
        table = only_table(inbox, reader.SUFFIXES.sub("", path.name))
        footer = tables.read_footer(table)
        assert footer is not None
        quarantine = inbox.quarantine / table.name
        quarantined = pq.read_metadata(quarantine).num_rows if quarantine.exists() else 0
        assert int(footer["rows_in"]) == pq.read_metadata(table).num_rows + quarantined
        assert footer["model_id"] == model_id
    assert pq.read_metadata(only_table(inbox, "reviews-test")).num_rows == 500


def test_columns_that_are_not_carried_to_the_letter(inbox: Layout) -> None:
    score(data_dir=inbox.root)
    table = pd.read_parquet(only_table(inbox, "reviews-columns"))
    with (inbox.inbox / "reviews-columns.csv").open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(table)
    for name in rows[0]:
        assert table[name].tolist() == [row[name] for row in rows]


def test_damaged_rows_that_take_their_neighbours_along(inbox: Layout) -> None:
    score(data_dir=inbox.root)
    path = only_table(inbox, "reviews-damaged")
    quarantined = pd.read_parquet(inbox.quarantine / path.name)
    assert dict(zip(quarantined["first_line"], quarantined["raw"], strict=True)).keys() == generate.DAMAGE.keys()
    assert len(pd.read_parquet(path)) == 120 - len(generate.DAMAGE)
    assert stat.S_IMODE((inbox.quarantine / path.name).stat().st_mode) == 0o600
    assert stat.S_IMODE(inbox.quarantine.stat().st_mode) == 0o700


def test_accuracy_on_the_test_dump_that_differs_from_the_metrics(inbox: Layout, model_id: str) -> None:
    score(data_dir=inbox.root)
    table = pd.read_parquet(only_table(inbox, "reviews-test"))
    positive = {"1": "positive", "0": "negative"}
    expected = table["sentiment"].map(lambda value: positive.get(value, value))
    measured = bundles.read_metrics(inbox.models, model_id)
    assert (table["predicted_label"] == expected).sum() == round(measured["accuracy"] * 500)


def test_a_second_run_that_scores_again(inbox: Layout, caplog: pytest.LogCaptureFixture) -> None:
    score(data_dir=inbox.root)
    before = {path: path.stat().st_mtime_ns for path in inbox.scores.rglob("*.parquet")}
    caplog.set_level("INFO", "sentiment")
    score(data_dir=inbox.root)
    assert "Nothing to do." in caplog.messages
    assert {path: path.stat().st_mtime_ns for path in inbox.scores.rglob("*.parquet")} == before


def test_a_renamed_copy_that_is_scored_twice(inbox: Layout) -> None:
    score(data_dir=inbox.root)
    shutil.copy(inbox.inbox / "reviews-columns.csv", inbox.inbox / "copy.csv")
    score(data_dir=inbox.root)
    assert len(list(inbox.scores.glob("model=*/*.parquet"))) == 3
    with Ledger.open(inbox) as ledger:
        assert ledger.names(files.sha256(inbox.inbox / "copy.csv")) == ["copy.csv", "reviews-columns.csv"]


def test_a_corrected_file_that_is_not_scored(inbox: Layout) -> None:
    score(data_dir=inbox.root)
    path = inbox.inbox / "reviews-columns.csv"
    path.write_bytes(path.read_bytes() + b"999,5,2024-01-01,n,c,one more row,r\n")
    score(data_dir=inbox.root)
    assert len(list(inbox.scores.glob("model=*/reviews-columns-*.parquet"))) == 2


def test_a_new_model_that_leaves_old_files_unscored(inbox: Layout, two_models: tuple[str, str]) -> None:
    score(data_dir=inbox.root)
    releases.promote(inbox.models, two_models[1])
    score(data_dir=inbox.root)
    assert {path.parent.name for path in inbox.scores.glob("model=*/*.parquet")} == {
        f"model={name}" for name in bundles.model_ids(inbox.models)
    }
    assert set(pd.read_parquet(inbox.scores)["model_id"]) == set(bundles.model_ids(inbox.models))


def test_one_bad_file_that_stops_the_others(inbox: Layout) -> None:
    (inbox.inbox / "a-broken.csv.gz").write_bytes(gzip.compress(b"review\ngood\n")[:-6])
    (inbox.inbox / "b-nameless.csv").write_text("id,text\n1,hello\n")
    with pytest.raises(errors.PipelineError) as caught:
        score(data_dir=inbox.root)
    lines = str(caught.value).splitlines()
    assert lines[0] == "2 of 5 files failed:"
    assert "a-broken.csv.gz" in lines[1]
    assert "no column 'review' (found: id, text)" in lines[2]
    assert len(list(inbox.scores.glob("model=*/*.parquet"))) == 3


def test_dumps_of_every_form_of_which_one_stops_the_others(inbox: Layout) -> None:
    for path in inbox.inbox.iterdir():
        path.unlink()
    (inbox.inbox / "a.jsonl").write_text('{"id": 1.0, "review": "a good film"}\n{"id": 2\n' * 10)
    pq.write_table(pa.table({"id": [1], "review": ["a good film"]}), inbox.inbox / "b.parquet")
    (inbox.inbox / "c.parquet").write_bytes((inbox.inbox / "b.parquet").read_bytes()[:-1])
    (inbox.inbox / "d.xlsx").touch()
    with pytest.raises(errors.PipelineError, match="3 of 4 files failed") as caught:
        score(data_dir=inbox.root)
    said = str(caught.value)
    assert "a.jsonl: 10 of 20 rows" in said
    assert "c.parquet: expected Parquet, found something else, or a part of it." in said
    assert "d.xlsx: workbooks are not read; save its sheet as CSV UTF-8" in said
    tables = [pd.read_parquet(only_table(inbox, stem)) for stem in "ab"]
    assert tables[0]["positive_probability"].tolist() == tables[1]["positive_probability"].tolist() * 10
    assert (set(tables[0]["id"]), set(tables[1]["id"])) == ({"1.0"}, {"1"})
    with pytest.raises(errors.PipelineError, match="a-.*-requeued.jsonl"):
        score(options=ScoreConfig(requeue=True), data_dir=inbox.root)
    (repaired,) = inbox.quarantine.glob("a-*-requeued.jsonl")
    repaired.write_text('{"id": 2, "review": "a bad film"}\n' * 10)
    score(options=ScoreConfig(requeue=True), data_dir=inbox.root)


def test_too_many_bad_rows_that_pass_unseen(inbox: Layout) -> None:
    with pytest.raises(errors.PipelineError, match="more than --max-quarantine"):
        score(options=ScoreConfig(max_quarantine=0.01), data_dir=inbox.root)
    assert len(list(inbox.scores.glob("model=*/*.parquet"))) == 3


def test_a_threshold_that_changes_nothing(inbox: Layout) -> None:
    score(options=ScoreConfig(threshold=0.0), data_dir=inbox.root)
    assert set(pd.read_parquet(only_table(inbox, "reviews-test"))["predicted_label"]) == {"positive"}


def test_columns_that_are_kept_unasked(inbox: Layout) -> None:
    score(options=ScoreConfig(keep=("sentiment,id",)), paths=[inbox.inbox / "reviews-test.csv.gz"], data_dir=inbox.root)
    names = pq.read_schema(only_table(inbox, "reviews-test")).names
    assert names == [*tables.OWN_COLUMNS, "id", "sentiment"]


def test_a_damaged_model_that_scores_a_row(inbox: Layout, model_id: str) -> None:
    path = inbox.models / model_id / "word_index.json"
    path.write_bytes(path.read_bytes().replace(b"1", b"2", 1))
    with pytest.raises(errors.ModelError, match="word_index.json: does not have the sha256"):
        score(data_dir=inbox.root)
    assert not list(inbox.scores.glob("model=*/*.parquet"))


def test_an_empty_inbox_that_is_an_error(trained: Layout, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "sentiment")
    score(data_dir=trained.root)
    assert "Nothing to do." in caplog.messages


def test_a_report_that_does_not_add_up(inbox: Layout) -> None:
    score(data_dir=inbox.root)
    (path,) = inbox.reports.glob("*.json")
    report = json.loads(path.read_text())
    assert report["rows"] == report["scored"] + report["quarantined"] == 700
    assert sum(report["histogram"]["counts"]) == report["scored"]
    assert path.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


def test_a_repaired_quarantine_that_is_not_scored_once(inbox: Layout) -> None:
    score(paths=[inbox.inbox / "reviews-damaged.csv"], data_dir=inbox.root)
    requeue = ScoreConfig(requeue=True, max_quarantine=1)
    score(options=requeue, data_dir=inbox.root)
    (dump,) = inbox.quarantine.glob("*-requeued.csv")
    header = dump.read_bytes().splitlines()[0]
    columns = header.count(b",") + 1
    dump.write_bytes(header + b"\n" + b"\n".join([b"repaired" + b",x" * (columns - 1)] * 5) + b"\n")
    for _ in range(2):
        score(options=requeue, data_dir=inbox.root)
    (table,) = inbox.scores.glob("model=*/*-requeued-*.parquet")
    assert pq.read_metadata(table).num_rows == 5


def test_a_damaged_quarantine_that_keeps_others_from_being_requeued(inbox: Layout) -> None:
    score(paths=[inbox.inbox / "reviews-damaged.csv"], data_dir=inbox.root)
    (inbox.quarantine / "a-0123456789abcdef.parquet").write_bytes(b"damaged")
    with pytest.raises(
        errors.PipelineError, match=r"1 of 2 files failed:\n .*a-0123456789abcdef\.parquet: not readable"
    ):
        score(options=ScoreConfig(requeue=True, max_quarantine=1), data_dir=inbox.root)
    assert len(list(inbox.scores.glob("model=*/reviews-damaged-*-requeued-*.parquet"))) == 1


def test_an_export_that_is_asked_for_and_missing(inbox: Layout) -> None:
    score(options=ScoreConfig(csv=True), data_dir=inbox.root)
    assert exported(inbox) == {path.stem for path in inbox.scores.glob("model=*/*.parquet")}
    pd.read_parquet(inbox.scores)


def exported(data: Layout) -> set[str]:
    return {path.stem for path in data.csv.glob("model=*/*.csv")}


def test_an_export_of_what_was_scored_before_that_is_missing_or_scores_again(inbox: Layout) -> None:
    """As after a kill between a table and its export."""
    score(data_dir=inbox.root)
    before = {path: path.stat().st_mtime_ns for path in inbox.scores.glob("model=*/*.parquet")}
    score(paths=[inbox.inbox / "reviews-columns.csv"], options=ScoreConfig(csv=True), data_dir=inbox.root)
    assert exported(inbox) == {only_table(inbox, "reviews-columns").stem}
    score(options=ScoreConfig(csv=True), data_dir=inbox.root)
    assert exported(inbox) == {path.stem for path in before}
    assert {path: path.stat().st_mtime_ns for path in inbox.scores.glob("model=*/*.parquet")} == before


def test_an_export_that_is_older_than_its_table(inbox: Layout) -> None:
    """As after a kill in scoring anew. One that a person has edited since is left alone."""
    paths = [inbox.inbox / "reviews-columns.csv"]
    score(paths=paths, options=ScoreConfig(csv=True, threshold=0.0), data_dir=inbox.root)
    score(paths=paths, options=ScoreConfig(rescore=True, threshold=1.0), data_dir=inbox.root)
    (export,) = inbox.csv.glob("model=*/*.csv")
    for expected in ("negative", "edited"):
        score(paths=paths, options=ScoreConfig(csv=True), data_dir=inbox.root)
        assert set(pd.read_csv(export)["predicted_label"]) == {expected}
        export.write_text("predicted_label\nedited\n")


def test_an_export_that_fails_and_stops_the_others_or_goes_unsaid(inbox: Layout) -> None:
    score(data_dir=inbox.root)
    table = only_table(inbox, "reviews-columns")
    files.make_folder(exports.path(inbox, table))  # in its way
    with pytest.raises(errors.PipelineError, match=r"1 of 3 files failed:\n.*reviews-columns.csv: not exported: "):
        score(options=ScoreConfig(csv=True), data_dir=inbox.root)
    assert len([path for path in inbox.csv.glob("model=*/*.csv") if path.is_file()]) == 2


def kill_before_the_report(data: Layout, monkeypatch: pytest.MonkeyPatch, **options: Any) -> None:
    """Scores the inbox in a run that ends when all tables stand, and no report."""

    def killed(*_: Any) -> None:
        raise RuntimeError("killed")

    with monkeypatch.context() as patch, pytest.raises(RuntimeError):
        patch.setattr("flows.score.write_report", killed)
        score(options=ScoreConfig(**options), data_dir=data.root)
    assert len(list(data.scores.glob("model=*/*.parquet"))) == 3


def facts(report: Path) -> list[dict[str, Any]]:
    """What a report says of each file, but for how long it took."""
    files = json.loads(report.read_text())["files"]
    return sorted(({**entry, "seconds": 0} for entry in files), key=lambda entry: entry["file"])


def test_a_kill_between_the_tables_and_the_report_that_leaves_files_unreported(
    inbox: Layout, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    kill_before_the_report(inbox, monkeypatch)
    score(data_dir=inbox.root)
    (late,) = inbox.reports.glob("*.json")
    caplog.set_level("INFO", "sentiment")
    score(data_dir=inbox.root)
    assert "Nothing to do." in caplog.messages
    score(options=ScoreConfig(rescore=True), data_dir=inbox.root)
    undisturbed = max(inbox.reports.glob("*.json"))
    assert late != undisturbed
    assert facts(late) == facts(undisturbed)


def test_a_kill_before_the_report_that_hides_too_many_bad_rows(inbox: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    kill_before_the_report(inbox, monkeypatch, max_quarantine=0.01)
    with pytest.raises(errors.PipelineError, match="1 of 3 files failed:\n  reviews-damaged.*--max-quarantine"):
        score(options=ScoreConfig(max_quarantine=0.01), data_dir=inbox.root)


def test_a_late_report_that_has_a_file_twice_with_its_export(inbox: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    kill_before_the_report(inbox, monkeypatch, max_quarantine=0.01)
    with pytest.raises(errors.PipelineError, match="1 of 3 files failed"):
        score(options=ScoreConfig(csv=True, max_quarantine=0.01), data_dir=inbox.root)
    (report,) = inbox.reports.glob("*.json")
    assert all(entry["rows"] and entry["csv"] for entry in facts(report))


def test_a_flipped_bit_that_the_next_run_does_not_see(inbox: Layout, caplog: pytest.LogCaptureFixture) -> None:
    """In data pages, in footers, in a quarantine; or all of the quarantine is gone."""
    score(data_dir=inbox.root)
    expected = {path: path.read_bytes() for path in published(inbox)}
    (quarantine,) = inbox.quarantine.glob("*.parquet")
    caplog.set_level("WARNING", "sentiment")
    for flipped in (expected.keys() - {quarantine}, {quarantine}):
        for in_footer in (False, True):
            for path in flipped:
                content = expected[path]
                place = len(content) - 200 if in_footer else len(content) // 3
                path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
            caplog.clear()
            score(data_dir=inbox.root)
            assert len([line for line in caplog.messages if "is made again: " in line]) == len(flipped)
            assert {path: path.read_bytes() for path in published(inbox)} == expected
    quarantine.unlink()
    score(data_dir=inbox.root)
    assert {path: path.read_bytes() for path in published(inbox)} == expected


def published(data: Layout) -> list[Path]:
    return [*data.scores.glob("model=*/*.parquet"), *data.quarantine.glob("*.parquet")]


def gone(ledger: Path) -> None:
    ledger.unlink()


def zeroed(ledger: Path) -> None:
    ledger.write_bytes(bytes(ledger.stat().st_size))


def torn(ledger: Path) -> None:
    ledger.write_bytes(ledger.read_bytes()[: ledger.stat().st_size // 2])


def text(ledger: Path) -> None:
    ledger.write_text("no database")


@pytest.mark.parametrize("damage", [gone, zeroed, torn, text])
def test_a_ledger_that_is_lost_with_what_it_knew(
    inbox: Layout, caplog: pytest.LogCaptureFixture, damage: Callable[[Path], None]
) -> None:
    score(data_dir=inbox.root)
    before = {path: path.stat().st_mtime_ns for path in published(inbox)}
    damage(inbox.ledger)
    caplog.set_level("INFO", "sentiment")
    score(data_dir=inbox.root)
    assert [line for line in caplog.messages if "made again from 3 tables" in line]
    assert "Nothing to do." in caplog.messages
    assert {path: path.stat().st_mtime_ns for path in published(inbox)} == before


def test_an_older_ledger_that_scores_or_reports_again(inbox: Layout, caplog: pytest.LogCaptureFixture) -> None:
    score(paths=[inbox.inbox / "reviews-columns.csv"], data_dir=inbox.root)
    older = inbox.ledger.read_bytes()
    score(data_dir=inbox.root)
    before = {path: path.stat().st_mtime_ns for path in published(inbox)}
    inbox.ledger.write_bytes(older)
    caplog.set_level("INFO", "sentiment")
    score(data_dir=inbox.root)
    assert "Nothing to do." in caplog.messages
    assert {path: path.stat().st_mtime_ns for path in published(inbox)} == before


def test_the_ledger_of_another_data_folder_that_is_believed(inbox: Layout, tmp_path: Path) -> None:
    score(data_dir=inbox.root)
    other = Layout(tmp_path / "other")
    shutil.copytree(inbox.root, other.root)
    for path in published(other):
        path.unlink()
    score(data_dir=other.root)
    assert [path.name for path in published(other)] == [path.name for path in published(inbox)]


def test_small_dumps_that_fail_together(trained: Layout) -> None:
    trained.inbox.mkdir()
    for number in range(50):
        (trained.inbox / f"d-{number:02}.csv").write_text(f"{'review' if number % 10 else 'text'}\ngood {number}\n")
    with pytest.raises(errors.PipelineError, match="5 of 50 files failed:\n  d-00.csv: no column 'review'"):
        score(data_dir=trained.root)
    assert len(published(trained)) == 45


def test_an_export_whose_report_hides_that_the_table_was_altered_when_the_ledger_is_lost(inbox: Layout) -> None:
    score(data_dir=inbox.root)
    score(options=ScoreConfig(csv=True), data_dir=inbox.root)
    table = only_table(inbox, "reviews-columns")
    whole = table.read_bytes()
    at = whole.rindex(b"reviews-columns.csv")  # in the footer: no page's checksum shows it
    table.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    inbox.ledger.unlink()
    score(data_dir=inbox.root)
    assert table.read_bytes() == whole


def test_a_preview_that_writes_or_shows_a_review(
    inbox: Layout, two_models: tuple[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    current, other = two_models
    model = scoring.Model.open(inbox.models, current)
    for path in sorted(inbox.inbox.iterdir()):
        table = tables.folder(inbox.scores, current) / tables.table_name(path.name, files.sha256(path))
        dump = Dump(str(path), path.name, "new", sha256=files.sha256(path), table=inbox.relative(table))
        scoring.score(dump, model, ScoreConfig(), inbox)
    before = contents(inbox.root)
    caplog.set_level("INFO", "sentiment")
    main(preview=other, data_dir=inbox.root)
    of_tables = caplog.messages[:]
    caplog.clear()
    main(inbox.inbox, preview=other, data_dir=inbox.root)
    assert contents(inbox.root) == before
    assert caplog.messages == of_tables
    flips, moves, *rows = of_tables
    assert re.fullmatch(rf"flips    \d+ of 695 rows that both scored, in 3 dumps: {current} -> {other}", flips)
    assert re.fullmatch(r"moves    mean 0\.\d{4}, 95th percentile 0\.\d{4}, largest 0\.\d{4}", moves)
    assert len(rows) == 20
    assert all(re.fullmatch(r"row      [0-9a-f]{16}-\d+ *0\.\d{4} -> 0\.\d{4}", row) for row in rows)
