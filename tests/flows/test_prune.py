"""Pruning: frees what nothing refers to, and never the rest."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from flows import prune
from flows.score import score
from tasks.lib import registry
from tasks.lib.config import FitConfig, ReleaseConfig, ScoreConfig, ShardConfig
from tasks.lib.layout import Layout
from tests.flows.conftest import train_small


@pytest.fixture
def two_models(trained: Layout, model_id: str) -> tuple[str, str]:
    """The current model, and one from other shards that was held or never released."""
    train_small(trained.root, shards=ShardConfig(num_words=400, maxlen=20), fit=FitConfig(epochs=1, device="cpu"))
    registry.promote(trained.models, model_id)
    (other,) = set(registry.model_ids(trained.models)) - {model_id}
    return model_id, other


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
    assert registry.model_ids(trained.models) == [current]
    assert len(everything(trained)) < len(before)
    assert len(list(trained.shards.iterdir())) == 1
    caplog.set_level("INFO", "sentiment")
    train_small(trained.root)
    assert sum("from the cache" in message for message in caplog.messages) == 7


def forget_earlier(data: Layout) -> None:
    """Makes `current.json` name no earlier model."""
    model_id = registry.current_id(data.models)
    (data.models / "current.json").unlink()
    registry.promote(data.models, model_id)


def test_a_named_model_that_is_pruned(trained: Layout, two_models: tuple[str, str]) -> None:
    forget_earlier(trained)
    prune.main(keep=[two_models[1]], data_dir=trained.root)
    assert set(registry.model_ids(trained.models)) == set(two_models)


def test_a_model_to_roll_back_to_that_is_pruned(trained: Layout, model_id: str) -> None:
    train_small(trained.root, fit=FitConfig(epochs=1, seed=9, device="cpu"), release=ReleaseConfig(force=True))
    prune.main(data_dir=trained.root)
    assert registry.roll_back(trained.models).model_id == model_id


def test_a_model_with_tables_that_is_pruned(trained: Layout, two_models: tuple[str, str], sample: Path) -> None:
    trained.inbox.mkdir()
    shutil.copy(sample / "reviews-columns.csv", trained.inbox)
    score(options=ScoreConfig(model=two_models[1]), data_dir=trained.root)
    forget_earlier(trained)
    prune.main(data_dir=trained.root)
    assert set(registry.model_ids(trained.models)) == set(two_models)
    assert list(trained.scores.glob("model=*/*.parquet"))


def test_a_hidden_checkpoint_or_foreign_file_that_is_swept_along(trained: Layout) -> None:
    (trained.inbox).mkdir()
    (trained.inbox / "a.csv").write_text("review\nfine\n")
    (trained.root / "notes.txt").write_text("mine")
    prune.main(data_dir=trained.root)
    assert (trained.inbox / "a.csv").exists()
    assert (trained.root / "notes.txt").exists()
