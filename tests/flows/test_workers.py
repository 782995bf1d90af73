"""Scoring by Dask workers that share nothing with the machine of the run: the same tables as by one process."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.score import score
from tasks.lib.config import RunnerConfig, ScoreConfig
from tasks.lib.layout import Layout
from tests.support import buckets, clusters
from tests.support.buckets import Bucket
from tests.support.folders import contents

pytestmark = pytest.mark.slow

SPLIT = 0.06  # MB: one of the bundled dumps is smaller, two are larger
TABLES = ("scores/model=", "quarantine/", "scores/_csv/")


@pytest.fixture(scope="module")
def hidden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the workers do not see."""
    return tmp_path_factory.mktemp("hidden")


@pytest.fixture(scope="module")
def runner(hidden: Path, tmp_path_factory: pytest.TempPathFactory, store_address: str) -> Iterator[RunnerConfig]:
    """Two workers in folders of their own, with credentials of their own."""
    environment = {**os.environ, **buckets.ENVIRONMENT, "AWS_ENDPOINT_URL": store_address}
    with clusters.running(tmp_path_factory.mktemp("cluster"), hidden=hidden, environment=environment) as address:
        yield RunnerConfig(runner="dask", dask_address=address, dask_split=SPLIT)


@pytest.fixture
def data(trained: Layout, sample: Path, hidden: Path, tmp_path: Path) -> Layout:
    """A trained data folder that the workers do not see, with the bundled dumps in its inbox and one of them twice."""
    data = Layout(hidden / tmp_path.name)
    shutil.copytree(trained.root, data.root)
    data.inbox.mkdir()
    for dump in sample.glob("reviews-*"):
        shutil.copy(dump, data.inbox)
    shutil.copy(sample / "reviews-columns.csv", data.inbox / "the same again.csv")
    return data


@pytest.fixture
def alone(data: Layout, trained: Layout) -> dict[str, str]:
    """The tables that one process makes of these dumps."""
    shutil.copytree(data.inbox, trained.inbox)
    score(options=ScoreConfig(max_quarantine=1), data_dir=trained.root)
    return tables(trained)


def tables(data: Layout) -> dict[str, str]:
    """All tables of scores and of quarantine, with the sha256 of their bytes."""
    found = contents(data.root)
    return {name: found[name] for name in found if name.startswith(TABLES)}


def fetched(bucket: Bucket, data: Layout) -> Layout:
    """What stands in the bucket, in a folder."""
    for key in bucket.keys("out/"):
        path = data.root / key.removeprefix("out/")
        path.parent.mkdir(parents=True, exist_ok=True)
        if not key.endswith("/"):
            path.write_bytes(bucket.get(key))
    return data


def test_tables_in_a_bucket_that_are_not_those_of_one_process(
    data: Layout,
    alone: dict[str, str],
    bucket: Bucket,
    runner: RunnerConfig,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "sentiment")
    for dump in data.inbox.iterdir():
        bucket.put(f"in/{dump.name}", dump.read_bytes())
    shutil.rmtree(data.inbox)
    options = ScoreConfig(inbox=bucket.url("in"), output=bucket.url("out"), max_quarantine=1)
    before = contents(data.root)
    score(options=options, runner=runner, data_dir=data.root)
    assert tables(fetched(bucket, Layout(tmp_path / "fetched"))) == alone
    assert "workers identified 2 of 2 objects" in caplog.messages
    assert "fetched 2 of 2 objects" in caplog.messages  # the large ones, here
    assert not [message for message in caplog.messages if "out of reach" in message]
    made = {
        name
        for name in contents(data.root).keys() - before.keys()
        if not name.startswith(("ledger", "scores/_reports/"))
    }
    assert made == {".locks/score.lock"}
    score(options=options, runner=runner, data_dir=data.root)
    assert "Nothing to do." in caplog.messages


def test_tables_of_local_files_that_are_not_those_of_one_process(
    data: Layout, alone: dict[str, str], runner: RunnerConfig, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "sentiment")
    score(options=ScoreConfig(max_quarantine=1), runner=runner, data_dir=data.root)
    assert tables(data) == alone
    assert f"{data.root}: out of reach of a worker. Dumps are read, and tables written, here." in caplog.messages
