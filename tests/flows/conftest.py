"""A model trained once on the sample corpus, with a network small enough to train in seconds."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flows.train import train
from tasks.lib.config import CorpusConfig, FitConfig, NetworkConfig, ShardConfig
from tasks.lib.layout import Layout
from tasks.lib.models import releases

SMALL: dict[str, Any] = {
    "corpus": CorpusConfig(corpus="sample"),
    "shards": ShardConfig(num_words=500, maxlen=30),
    "network": NetworkConfig(embedding_dim=4, units=4),
    "fit": FitConfig(epochs=2, device="cpu"),
}

Train = Callable[..., Layout]


def train_small(data_dir: Path, **changes: Any) -> Layout:
    """Runs the training flow over `data_dir` with the small network, and `changes` to its parameters."""
    train(**(SMALL | changes), data_dir=data_dir)
    return Layout(data_dir)


@pytest.fixture(scope="session")
def trained_once(prefect: None, tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """A data folder with one trained model. Not to be written to: see `trained`."""
    return train_small(tmp_path_factory.mktemp("trained"))


@pytest.fixture
def trained(trained_once: Layout, tmp_path: Path) -> Layout:
    """A copy of the trained data folder, for the test alone. That it can be moved is part of what is tested."""
    shutil.copytree(trained_once.root, tmp_path / "data")
    return Layout(tmp_path / "data")


@pytest.fixture
def model_id(trained: Layout) -> str:
    """The id of its current model."""
    return releases.current_id(trained.models)
