"""Scoring on a Dask cluster of two workers: the same tables as without, and one line where there is none."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows.score import score
from tasks.lib import errors
from tasks.lib.config import RunnerConfig, ScoreConfig
from tasks.lib.layout import Layout
from tasks.scoring import cluster


def read(data: Layout) -> dict[str, pa.Table]:
    """All tables of scores and of quarantine, by their place in the data folder."""
    return {
        path.relative_to(data.root).as_posix(): pq.ParquetFile(path).read()
        for folder in (data.scores, data.quarantine)
        for path in folder.rglob("*.parquet")
    }


def test_dask_tables_that_differ_from_the_plain_ones(trained: Layout, sample: Path, tmp_path: Path) -> None:
    dumps = sorted(sample.glob("reviews-*"))
    other = Layout(tmp_path / "other")
    shutil.copytree(trained.root, other.root)
    options = ScoreConfig(max_quarantine=1)
    score(dumps, options, data_dir=trained.root)
    split = 0.06  # one of the dumps is smaller and goes out whole, two in parts
    assert sorted(dump.stat().st_size > split * 1e6 for dump in dumps) == [False, True, True]
    score(dumps, options, RunnerConfig(runner="dask", dask_split=split), data_dir=other.root)
    plain, dask = read(trained), read(other)
    assert len(plain) > len(dumps)  # some rows are in quarantine
    assert plain.keys() == dask.keys()
    assert all(table.equals(dask[name]) for name, table in plain.items())


def test_a_cluster_that_does_not_answer(trained: Layout, sample: Path) -> None:
    dask = pytest.importorskip("dask")
    with dask.config.set({"distributed.comm.timeouts.connect": "1s"}):
        runner = RunnerConfig(runner="dask", dask_address="tcp://127.0.0.1:9")
        with pytest.raises(errors.PipelineError, match="expected a Dask scheduler, found none") as caught:
            score([sample / "reviews-columns.csv"], runner=runner, data_dir=trained.root)
    assert "\n" not in str(caught.value)


def test_a_cluster_that_does_not_start(trained: Layout, sample: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**options: object) -> None:
        raise RuntimeError("Nanny failed to start.")

    monkeypatch.setattr(cluster, "LocalCluster", fail)
    with pytest.raises(errors.PipelineError, match="did not start: Nanny failed to start. Try again."):
        score([sample / "reviews-columns.csv"], runner=RunnerConfig(runner="dask"), data_dir=trained.root)
