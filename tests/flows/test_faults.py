"""The flows on machines that fail: damaged models, folders that cannot be written, what killed runs leave."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import pyarrow.parquet as pq
import pytest
from filelock import FileLock

from flows.score import score
from tasks.lib import errors, files, scoring
from tasks.lib.config import ScoreConfig
from tasks.lib.layout import Layout
from tasks.lib.models import bundles, releases
from tasks.lib.network.encoder import Encoder
from tasks.lib.scores import tables
from tasks.running import locks
from tests.support.training import train_small


@pytest.fixture
def inbox(trained: Layout) -> Layout:
    """The trained folder with six small dumps in its inbox."""
    trained.inbox.mkdir()
    for number in range(6):
        rows = "".join(f"{number}-{row},some words of a film {row}\n" for row in range(50))
        (trained.inbox / f"dump-{number}.csv").write_text(f"id,review\n{rows}bad\n")
    return trained


def score_tables(data: Layout) -> list[Path]:
    return sorted(data.scores.glob("model=*/*.parquet"))


def test_any_flipped_bit_of_a_bundle_that_is_scored_with(trained: Layout, model_id: str) -> None:
    scoring.Model.open(trained.models, model_id)
    chance = random.Random(2)
    for path in sorted((trained.models / model_id).iterdir()):
        whole = path.read_bytes()
        for _ in range(25):
            content = bytearray(whole)
            content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
            path.write_bytes(content)
            with pytest.raises(errors.ModelError) as caught:
                scoring.Model.open(trained.models, model_id)
            assert "\n" not in str(caught.value)
        for spoilt in (b"", whole[: len(whole) // 2], whole + b"\0", bytes(len(whole))):
            path.write_bytes(spoilt)
            with pytest.raises(errors.ModelError):
                scoring.Model.open(trained.models, model_id)
        path.unlink()
        with pytest.raises(errors.ModelError):
            scoring.Model.open(trained.models, model_id)
        path.write_bytes(whole)
    scoring.Model.open(trained.models, model_id)


def seal_anew(data: Layout, model_id: str) -> None:
    """Makes the manifest fit the files as they are: what a hand that knows how, or a bug, could do."""
    folder = data.models / model_id
    manifest = json.loads((folder / bundles.MANIFEST).read_text())
    manifest.pop("seal")
    manifest["sha256"] = {name: files.sha256(folder / name) for name in manifest["sha256"]}
    manifest["seal"] = files.digest(manifest)
    (folder / bundles.MANIFEST).write_bytes(files.json_bytes(manifest))


def test_weights_that_are_no_numbers_in_a_bundle_that_adds_up(inbox: Layout, model_id: str) -> None:
    path = inbox.models / model_id / bundles.MODEL
    network = keras.saving.load_model(path)
    network.layers[-1].bias.assign([float("nan")])
    network.save(path)
    seal_anew(inbox, model_id)
    with pytest.raises(errors.ModelError, match="not finite"):
        score(data_dir=inbox.root)
    assert not score_tables(inbox)


def turn_weights(network: keras.Model) -> None:
    network.layers[0].embeddings.assign(-network.layers[0].embeddings)


def change_activation(network: keras.Model) -> None:
    network.layers[1].cell.activation = keras.activations.tanh


@pytest.mark.parametrize("change", [turn_weights, change_activation])
def test_another_network_of_the_same_shape_in_a_bundle_that_adds_up(
    inbox: Layout, model_id: str, change: Callable[[keras.Model], None]
) -> None:
    path = inbox.models / model_id / bundles.MODEL
    network = keras.saving.load_model(path)
    change(network)
    network.save(path)
    seal_anew(inbox, model_id)
    with pytest.raises(errors.ModelError, match="other weights or another activation than the model was made with"):
        score(data_dir=inbox.root)
    assert not score_tables(inbox)


def test_the_network_of_another_configuration_in_a_bundle_that_adds_up(
    inbox: Layout, two_models: tuple[str, str]
) -> None:
    model_id, other = two_models
    shutil.copy(inbox.models / other / bundles.MODEL, inbox.models / model_id / bundles.MODEL)
    seal_anew(inbox, model_id)
    with pytest.raises(errors.ModelError, match="but its manifest says 30"):
        score(data_dir=inbox.root)
    assert not score_tables(inbox)


def test_a_word_index_of_another_corpus_in_a_bundle_that_adds_up(inbox: Layout, model_id: str) -> None:
    path = inbox.models / model_id / bundles.WORD_INDEX
    ranks = json.loads(path.read_text())
    words = list(ranks)
    path.write_text(json.dumps(dict(zip(words, reversed(ranks.values()), strict=True))))
    seal_anew(inbox, model_id)
    with pytest.raises(errors.ModelError, match="another word index"):
        score(data_dir=inbox.root)
    assert not score_tables(inbox)


@pytest.mark.parametrize("name", [".cache", ".locks", "raw", "shards", "work", "models"])
def test_a_folder_of_training_that_cannot_be_written(trained: Layout, name: str) -> None:
    files.remove(trained.root / name)
    (trained.root / name).write_text("in the way")
    with pytest.raises(errors.PipelineError, match=f"{name}.*cannot be written") as caught:
        train_small(trained.root)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["scores", "quarantine", ".locks"])
def test_a_folder_of_scoring_that_cannot_be_written(inbox: Layout, name: str) -> None:
    files.remove(inbox.root / name)
    (inbox.root / name).write_text("in the way")
    with pytest.raises(errors.PipelineError, match=f"{name}.*cannot be written"):
        score(data_dir=inbox.root)
    (inbox.root / name).unlink()
    score(data_dir=inbox.root)
    assert len(score_tables(inbox)) == 6


def test_what_killed_scorings_left_that_stays(inbox: Layout) -> None:
    score(data_dir=inbox.root)
    (table, *_) = score_tables(inbox)
    leftovers = [
        *(files.partial(folder / table.name) for folder in (table.parent, inbox.quarantine)),
        files.partial(inbox.reports / "0123456789abcdef.json"),
    ]
    for path in leftovers:
        path.write_bytes(b"half")
    (inbox.inbox / "one-more.csv").write_text("review\nfine\n")
    score(data_dir=inbox.root)
    assert [path for path in leftovers if path.exists()] == []


def test_a_run_that_writes_what_another_one_is_writing(inbox: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits, and then finds nothing to do."""
    waited: list[str] = []
    original = FileLock.acquire

    def acquire(lock: Any, *arguments: Any, **options: Any) -> Any:
        if options.get("blocking", True) and lock.lock_file.endswith(locks.SCORING):
            waited.append(lock.lock_file)
            held.release()
        return original(lock, *arguments, **options)

    files.make_folder(inbox.locks)
    held = FileLock(inbox.locks / locks.SCORING)
    held.acquire()
    monkeypatch.setattr("filelock.FileLock.acquire", acquire)
    score(data_dir=inbox.root)
    assert waited
    assert len(score_tables(inbox)) == 6


def test_a_model_released_meanwhile_that_takes_half_of_the_files(
    inbox: Layout, model_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder of the table and the model in it have to be the same."""
    original = releases.current_id
    asked: list[str] = []

    def changing(models: Path) -> str:
        asked.append("")
        return original(models) if len(asked) == 1 else "gru-000000000000"

    monkeypatch.setattr(releases, "current_id", changing)
    score(data_dir=inbox.root)
    assert {path.parent.name for path in score_tables(inbox)} == {f"model={model_id}"}
    assert all(set(pq.read_table(path)["model_id"].to_pylist()) == {model_id} for path in score_tables(inbox))


def test_what_the_search_for_dumps_passes_over_or_repeats_without_a_word(
    inbox: Layout, caplog: pytest.LogCaptureFixture
) -> None:
    score(data_dir=inbox.root)
    (table, *_) = score_tables(inbox)
    table.write_bytes(table.read_bytes()[:50])
    (inbox.inbox / "notes.txt").write_text("mine")
    caplog.set_level("INFO", "sentiment")
    score(data_dir=inbox.root)
    assert any(message.endswith("1 new, 5 scored, 0 same content, 1 not dumps") for message in caplog.messages)
    assert any(message.startswith("dump-") and "checksum mismatch" in message for message in caplog.messages)
    assert pq.read_metadata(table).num_rows == 50


def test_a_file_that_is_named_and_no_dump_and_ends_well(inbox: Layout) -> None:
    (inbox.inbox / "notes.txt").write_text("mine")
    with pytest.raises(errors.PipelineError, match=r"notes\.txt: expected a name that ends in \.csv"):
        score(paths=[inbox.inbox / "notes.txt"], data_dir=inbox.root)


def test_a_folder_that_cannot_be_listed_and_ends_well(inbox: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    (inbox.inbox / "sub").mkdir()
    original = os.scandir

    def locked(path: Any) -> Any:
        if path == str(inbox.inbox / "sub"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return original(path)

    monkeypatch.setattr(os, "scandir", locked)
    with pytest.raises(errors.PipelineError, match="1 of 7 files failed:\n  sub: .*Permission denied"):
        score(data_dir=inbox.root)
    assert len(score_tables(inbox)) == 6


MARKER = "zebra-marker"


@pytest.mark.parametrize("broken", ["encoder", "model"])
def test_an_unforeseen_error_that_shows_a_review_or_stops_the_others(
    inbox: Layout, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str], broken: str,
) -> None:  # fmt: skip
    (inbox.inbox / "dump-3.csv").write_text(f"id,review\n1,a review with {MARKER} in it\n")
    owner, name = (Encoder, "encode") if broken == "encoder" else (scoring.Model, "__call__")
    original = getattr(owner, name)

    def fail(self: Any, reviews: list[str]) -> Any:
        for review in reviews:
            if MARKER in review:
                raise ValueError(review)
        return original(self, reviews)

    monkeypatch.setattr(owner, name, fail)
    caplog.set_level("DEBUG")
    with pytest.raises(errors.PipelineError) as caught:
        score(data_dir=inbox.root)
    assert "1 of 6 files failed:\n  dump-3.csv: unexpected ValueError" in str(caught.value)
    assert len(score_tables(inbox)) == 5
    shown = caplog.text + "".join(capfd.readouterr()) + str(caught.value)
    shown += "".join(traceback.format_exception(caught.value))
    shown += "".join(path.read_text() for path in inbox.reports.glob("*.json"))
    assert MARKER not in shown


def with_bad_rows(path: Path, bad: int) -> None:
    rows = [f"{row}" if row < bad else f"{row},some words of film {row}" for row in range(100)]
    path.write_text("\n".join(["id,review", *rows, ""]))


def test_as_many_bad_rows_as_are_allowed_that_fail(trained: Layout, tmp_path: Path) -> None:
    with_bad_rows(tmp_path / "d.csv", bad=5)
    score(paths=[tmp_path / "d.csv"], data_dir=trained.root)


def test_one_bad_row_too_many_that_passes_or_loses_the_tables(trained: Layout, tmp_path: Path) -> None:
    with_bad_rows(tmp_path / "d.csv", bad=6)
    with pytest.raises(errors.PipelineError) as caught:
        score(paths=[tmp_path / "d.csv"], data_dir=trained.root)
    (table,) = score_tables(trained)
    assert str(caught.value).splitlines()[1:] == [
        "  d.csv: 6 of 100 rows quarantined, 6 of 101 lines (6.0%), more than --max-quarantine 5.0%. Its tables were "
        f"kept: see quarantine/{table.name}."
    ]
    assert pq.read_metadata(table).num_rows == 94
    assert pq.read_metadata(trained.quarantine / table.name).num_rows == 6


@pytest.mark.parametrize("name", [b"a\nb'\".csv", b"\xff.csv"])
def test_a_strange_name_that_stops_the_run_halfway(trained: Layout, name: bytes) -> None:
    trained.inbox.mkdir()
    path = trained.inbox / os.fsdecode(name)
    path.write_text("id,review\n1,good film\n2\n3,bad film\n")
    score(options=ScoreConfig(max_quarantine=1, csv=True), data_dir=trained.root)
    (table,) = score_tables(trained)
    footer = tables.read_footer(table)
    assert footer is not None
    assert [footer[f"rows_{kind}"] for kind in ("in", "scored", "quarantined")] == ["3", "2", "1"]
    assert pq.read_metadata(trained.quarantine / table.name).num_rows == 1
    (report,) = trained.reports.glob("*.json")
    shown = json.loads(report.read_text())["files"][0]["file"]
    assert shown.isprintable()
    assert set(pq.read_table(table)["source_file"].to_pylist()) == {shown}
