"""Dumps in a bucket: the rows of a folder, each object once, and nothing lost or doubled by what befalls a run."""

from __future__ import annotations

import gzip
import re
import shutil
import time
from pathlib import Path

import pandas as pd
import pytest

import tasks.scoring.fetch
from flows.score import main, score
from tasks.lib import errors, files, stores
from tasks.lib.config import RunnerConfig, ScoreConfig
from tasks.lib.layout import Layout
from tasks.lib.scores.inbox import Dump
from tasks.scoring.run import ScoringRun
from tests.support import faulty
from tests.support.buckets import Bucket, serving
from tests.support.folders import contents


@pytest.fixture
def objects(trained: Layout, sample: Path) -> dict[str, bytes]:
    """The bundled dumps, a hidden one, a broken one, one in a subfolder, a copy, and what is no dump."""
    found = {path.name: path.read_bytes() for path in sample.glob("reviews-*")}
    return found | {
        "sub/more.tsv": b"id\treview\n1\ta good film\n2\ta bad film\n",
        "sub/.hidden.csv": b"review\nhidden\n",
        ".hidden/a.csv": b"review\nhidden\n",
        "broken.csv.gz": gzip.compress(b"review\ngood\n")[:-6],
        "copy, of ümlaut.csv": found["reviews-columns.csv"],
        "notes.txt": b"no dump",
    }


PUBLISHED = ("scores/model=", "scores/_csv/", "quarantine/")


def fill(bucket: Bucket, objects: dict[str, bytes]) -> str:
    for name, content in objects.items():
        bucket.put(f"in box/{name}", content)
    return bucket.url("in box")


def rows(data: Layout) -> pd.DataFrame:
    return pd.read_parquet(data.scores).sort_values(["row_id"], ignore_index=True)


def published(data: Layout) -> dict[str, str]:
    """All tables by name, with the sha256 of their bytes."""
    found = contents(data.root)
    return {name: found[name] for name in found if name.startswith(PUBLISHED)}


def test_a_bucket_that_gives_other_rows_than_a_folder(
    trained: Layout, tmp_path: Path, bucket: Bucket, objects: dict[str, bytes]
) -> None:
    folder = Layout(tmp_path / "folder")
    shutil.copytree(trained.root, folder.root)
    for name, content in objects.items():
        path = folder.inbox / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    with pytest.raises(errors.PipelineError) as of_folder:
        score(data_dir=folder.root)
    with pytest.raises(errors.PipelineError) as of_bucket:
        score(options=ScoreConfig(inbox=fill(bucket, objects)), data_dir=trained.root)
    assert str(of_bucket.value) == str(of_folder.value)
    assert published(trained) == published(folder)
    assert len(published(trained)) == 5
    assert not trained.spool.exists()


def test_an_object_that_is_scored_twice_or_a_new_version_that_is_not(
    trained: Layout, bucket: Bucket, caplog: pytest.LogCaptureFixture
) -> None:
    url = fill(bucket, {"a.csv": b"review\ngood film\n", "b.csv": b"review\nbad film\n"})
    score([url], data_dir=trained.root)
    first = published(trained)
    caplog.set_level("INFO", "sentiment")
    bucket.put("in box/c.csv", b"review\ngood film\n")  # no new content
    score([url], data_dir=trained.root)
    assert "Nothing to do." in caplog.messages
    bucket.put("in box/a.csv", b"review\nevil film\n")  # as large, within the same second
    score([url], data_dir=trained.root)
    assert published(trained).items() > first.items()
    assert len(published(trained)) == 3


def test_a_killed_run_that_loses_an_object_or_leaves_its_copy(
    trained: Layout, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = fill(bucket, {f"{number}.csv": f"review\nfilm {number}\n".encode() for number in range(4)})

    def killed(run: ScoringRun, dumps: list[Dump], runner: RunnerConfig) -> None:
        if dumps:
            raise RuntimeError("killed")

    with monkeypatch.context() as patch, pytest.raises(RuntimeError):
        patch.setattr("flows.score.score_dumps", killed)  # when all objects are on the disk, and none is scored
        patch.setattr("tasks.scoring.run.files.remove", lambda path: None)
        score([url], data_dir=trained.root)
    assert trained.spool.exists()
    score([url], data_dir=trained.root)
    assert sorted(rows(trained)["source_file"]) == [f"{number}.csv" for number in range(4)]
    assert not trained.spool.exists()


def test_an_output_in_a_bucket_that_is_not_what_a_folder_has(
    trained: Layout, tmp_path: Path, bucket: Bucket, objects: dict[str, bytes], caplog: pytest.LogCaptureFixture
) -> None:
    """Tables, quarantine, exports and reports. Once they stand, the data folder can be lost but for its models."""
    place = fill(bucket, {name: objects[name] for name in objects if name.startswith("reviews-")})
    options = ScoreConfig(inbox=place, csv=True, max_quarantine=1)
    folder = Layout(tmp_path / "folder")
    shutil.copytree(trained.root, folder.root)
    score(options=options, data_dir=folder.root)
    options = options.model_copy(update={"output": bucket.url("out")})
    score(options=options, data_dir=trained.root)
    stands = {key.removeprefix("out/"): bucket.get(key) for key in bucket.keys("out/") if not key.endswith("/")}
    made = {name: (folder.root / name).read_bytes() for name in published(folder)}
    assert {name: stands[name] for name in stands if "/_reports/" not in name} == made
    assert len(stands) == len(made) + 2
    assert published(trained) == {}
    caplog.set_level("INFO", "sentiment")
    for path in (*trained.root.glob("ledger*"), trained.scores):
        files.remove(path)
    time.sleep(1)  # a bucket's times are whole seconds: of the same one, an export might be older than its table
    for key in (key for key in bucket.keys("out/scores/_csv/") if key.endswith(".csv")):
        bucket.put(key, bucket.get(key))
    score(options=options, data_dir=trained.root)
    assert "Nothing to do." in caplog.messages
    assert {key.removeprefix("out/") for key in bucket.keys("out/") if not key.endswith("/")} == stands.keys()


def test_a_preview_of_a_bucket_that_is_not_that_of_a_folder(
    trained: Layout, two_models: tuple[str, str], bucket: Bucket, sample: Path, caplog: pytest.LogCaptureFixture
) -> None:
    current, other = two_models
    dumps = {path.name: path.read_bytes() for path in sample.glob("reviews-*")}
    for name, content in dumps.items():
        files.write(trained.inbox / name, content)
    options = ScoreConfig(output=bucket.url("out"), max_quarantine=1)
    score([fill(bucket, dumps)], options, data_dir=trained.root)
    said = []
    caplog.set_level("INFO", "sentiment")
    for places, of_bucket in (([trained.inbox], None), ([bucket.url("in box/")], None), ([], bucket.url("out"))):
        caplog.clear()
        main(*places, options=ScoreConfig(output=of_bucket), preview=other, data_dir=trained.root)
        said.append(caplog.messages[:])
    assert said[0] == said[1] == said[2]
    assert f"{current} -> {other}" in said[0][0]


def test_a_store_that_goes_down_and_takes_the_run_hours_or_dumps_along(
    trained: Layout, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = fill(bucket, {f"{number}.csv": f"review\nfilm {number}\n".encode() for number in range(9)})
    monkeypatch.setattr(stores, "ATTEMPTS", 2)
    monkeypatch.setattr(tasks.scoring.fetch, "ROUND_BYTES", 50)
    asked = []

    def fault(method: str, path: str, number: int) -> str:
        asked.append(path)
        return "dropped" if any(path.endswith("/5.csv") for path in asked) else ""

    with faulty.between(bucket.endpoint, fault) as proxy, monkeypatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        with pytest.raises(errors.StoreError, match="cannot be reached: network connection") as caught:
            score([url], data_dir=trained.root)
    assert "\n" not in str(caught.value)
    assert 0 < len(rows(trained)) < 9
    score([url], data_dir=trained.root)
    assert sorted(rows(trained)["source_file"]) == [f"{number}.csv" for number in range(9)]


def test_credentials_in_a_url_that_are_taken_or_shown(trained: Layout) -> None:
    for url in ("s3://key:secret@bucket/in", "s3://bucket/in?secret_key=secret", "gs://secret@bucket/in"):
        with pytest.raises(errors.InputError, match="Leave out what is before @ and after ?") as of_flow:
            score([url], data_dir=trained.root)
        with pytest.raises(errors.InputError, match="Leave out what is before @ and after ?") as of_command:
            main(url, data_dir=trained.root)
        assert not re.search("secret[@/]|=secret", f"{of_flow.value} {of_command.value}")


@pytest.mark.slow
def test_two_stores_that_want_the_same_port(tmp_path_factory: pytest.TempPathFactory) -> None:
    one, other = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("other")
    with serving("seaweedfs", one) as first, serving("seaweedfs", other) as second:
        assert first != second
