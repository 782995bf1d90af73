"""Pruning: frees what nothing refers to, and never the rest."""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from flows import prune
from flows.score import score
from tasks.lib import errors, files, scoring
from tasks.lib.config import ScoreConfig
from tasks.lib.layout import Layout
from tasks.lib.models import bundles, releases
from tasks.running import locks
from tests.support.training import train_small


def everything(data: Layout) -> set[Path]:
    return {path for path in data.root.rglob("*") if path.is_file() and path.parent != data.locks}


def test_a_dry_run_that_removes(trained: Layout, two_models: tuple[str, str]) -> None:
    before = everything(trained)
    prune.main(dry_run=True, data_dir=trained.root)
    assert everything(trained) == before


def test_a_current_model_that_is_pruned_or_made_again(
    trained: Layout, two_models: tuple[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    current, _ = two_models
    forget_earlier(trained)
    before = everything(trained)
    prune.main(data_dir=trained.root)
    assert bundles.model_ids(trained.models) == [current]
    assert len(everything(trained)) < len(before)
    assert len(list(trained.shards.iterdir())) == 1
    assert len(list(trained.work.glob("predictions-*"))) == 1
    caplog.set_level("INFO", "sentiment")
    train_small(trained.root)
    assert sum("from the cache" in message for message in caplog.messages) == 8


def forget_earlier(data: Layout) -> None:
    """Makes `current.json` name no earlier model."""
    model_id = releases.current_id(data.models)
    (data.models / "current.json").unlink()
    releases.promote(data.models, model_id)


def test_a_named_model_that_is_pruned(trained: Layout, two_models: tuple[str, str]) -> None:
    forget_earlier(trained)
    prune.main(keep=[two_models[1]], data_dir=trained.root)
    assert set(bundles.model_ids(trained.models)) == set(two_models)


def test_a_model_to_roll_back_to_that_is_pruned(trained: Layout, two_models: tuple[str, str]) -> None:
    forget_earlier(trained)
    current, other = two_models
    releases.promote(trained.models, other)
    prune.main(data_dir=trained.root)
    assert releases.roll_back(trained.models).model_id == current


def test_a_model_with_tables_that_is_pruned(trained: Layout, two_models: tuple[str, str], sample: Path) -> None:
    trained.inbox.mkdir()
    shutil.copy(sample / "reviews-columns.csv", trained.inbox)
    score(options=ScoreConfig(model=two_models[1]), data_dir=trained.root)
    forget_earlier(trained)
    prune.main(data_dir=trained.root)
    assert set(bundles.model_ids(trained.models)) == set(two_models)
    assert list(trained.scores.glob("model=*/*.parquet"))


def test_a_hidden_or_foreign_file_that_is_swept_along(trained: Layout) -> None:
    """A checkpoint that was half-written when its training was killed is swept by the next training."""
    hidden = files.partial(trained.work / "fit-0123.checkpoint.npz")
    (trained.inbox).mkdir()
    kept = [hidden, trained.inbox / "a.csv", trained.root / "notes.txt"]
    for path in kept:
        path.write_text("mine")
    prune.main(data_dir=trained.root)
    assert [path for path in kept if not path.exists()] == []


def test_a_checkpoint_of_a_training_under_way_that_is_removed_or_of_an_abandoned_one_that_stays(
    trained: Layout, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "sentiment")
    checkpoint = trained.work / "fit-0123.checkpoint.npz"
    checkpoint.write_bytes(b"epochs")
    with ThreadPoolExecutor(1) as pool:
        with FileLock(trained.locks / "train.lock"):
            pruning = pool.submit(prune.main, data_dir=trained.root)
            wait_for(lambda: any("waiting for another run" in message for message in caplog.messages))
            assert checkpoint.exists()
        pruning.result()
    assert not checkpoint.exists()


def wait_for(happened: Callable[[], bool]) -> None:
    """Gives another thread ten seconds."""
    for _ in range(1000):
        if happened():
            return
        time.sleep(0.01)
    raise AssertionError("it did not happen within ten seconds")


def test_a_promotion_that_comes_between_the_search_and_the_removal(
    trained: Layout, two_models: tuple[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "sentiment")
    forget_earlier(trained)
    with ThreadPoolExecutor(1) as pool:
        with FileLock(trained.locks / locks.RELEASE):
            pruning = pool.submit(prune.main, data_dir=trained.root)
            wait_for(lambda: any("waiting for another run" in message for message in caplog.messages))
            releases.promote(trained.models, two_models[1])
        pruning.result()
    assert set(bundles.model_ids(trained.models)) == set(two_models)


def test_a_misspelt_model_to_keep_whose_namesake_is_removed(trained: Layout, two_models: tuple[str, str]) -> None:
    forget_earlier(trained)
    before = everything(trained)
    with pytest.raises(errors.InputError, match=r"--keep gru-typo: no such model .*Nothing was removed"):
        prune.main(keep=[two_models[1], "gru-typo"], data_dir=trained.root)
    assert everything(trained) == before


def test_a_disk_that_keeps_what_is_said_to_be_freed(
    trained: Layout, two_models: tuple[str, str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def read_only(*_: Any, **__: Any) -> None:
        raise OSError(errno.EROFS, "Read-only file system", "model.keras")

    caplog.set_level("INFO", "sentiment")
    forget_earlier(trained)
    for owner, name in ((os, "unlink"), (os, "rmdir"), (Path, "unlink")):
        monkeypatch.setattr(owner, name, read_only)
    with pytest.raises(errors.OutputError, match=r"shards/.*: cannot be removed: Read-only file system"):
        prune.main(data_dir=trained.root)
    assert not [message for message in caplog.messages if "removed" in message or "Freed" in message]


def test_a_cached_result_that_cannot_be_read_and_ends_in_a_traceback(
    trained: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Path.read_bytes

    def broken(path: Path) -> bytes:
        if path.parent == trained.cache:
            raise OSError(errno.EIO, "Input/output error", str(path))
        return original(path)

    monkeypatch.setattr(Path, "read_bytes", broken)
    with pytest.raises(errors.InputError, match="cannot be read: Input/output error"):
        prune.main(data_dir=trained.root)


def test_a_model_that_is_scored_with_for_the_first_time_and_pruned(
    trained: Layout, two_models: tuple[str, str], sample: Path, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """While the first dump is scored, the model has no table yet."""
    caplog.set_level("INFO", "sentiment")
    forget_earlier(trained)
    original = scoring.score

    def pruned_meanwhile(*args: Any, **options: Any) -> Any:
        pruning.append(pool.submit(prune.main, data_dir=trained.root))
        wait_for(lambda: any("waiting for another run" in message for message in caplog.messages))
        return original(*args, **options)

    monkeypatch.setattr(scoring, "score", pruned_meanwhile)
    options = ScoreConfig(model=two_models[1])
    pruning: list[Future[None]] = []
    with ThreadPoolExecutor(1) as pool:
        score(paths=[sample / "reviews-columns.csv"], options=options, data_dir=trained.root)
        pruning[0].result()
    assert set(bundles.model_ids(trained.models)) == set(two_models)
