"""A model trained once on the sample corpus, and a second one beside it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from filelock import FileLock

from tasks.lib.config import FitConfig, ShardConfig
from tasks.lib.layout import Layout
from tasks.lib.models import bundles, releases
from tests.support.training import train_small


@pytest.fixture(scope="session")
def trained_once(prefect: None, tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """A data folder with one trained model. Not to be written to: see `trained`.

    The processes of pytest-xdist share it: the first one trains, the others wait.
    """
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    data = Layout(folder / "trained")
    with FileLock(folder / "trained.lock"):
        return data if releases.current_or_none(data.models) else train_small(data.root)


@pytest.fixture
def trained(trained_once: Layout, tmp_path: Path) -> Layout:
    """A copy of the trained data folder, for the test alone. That it can be moved is part of what is tested."""
    shutil.copytree(trained_once.root, tmp_path / "data")
    return Layout(tmp_path / "data")


@pytest.fixture
def model_id(trained: Layout) -> str:
    """The id of its current model."""
    return releases.current_id(trained.models)


@pytest.fixture(scope="session")
def trained_twice(trained_once: Layout, tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """The same folder with a second model, from other shards. Not to be written to: see `two_models`."""
    data = Layout(shutil.copytree(trained_once.root, tmp_path_factory.mktemp("trained-twice") / "data"))
    train_small(data.root, shards=ShardConfig(num_words=400, maxlen=20), fit=FitConfig(epochs=1, device="cpu"))
    releases.promote(data.models, releases.current_id(trained_once.models))
    return data


@pytest.fixture
def two_models(trained: Layout, trained_twice: Layout, model_id: str) -> tuple[str, str]:
    """The ids of two models in `trained`: the current one, and one from other shards that was held or replaced."""
    shutil.copytree(trained_twice.root, trained.root, dirs_exist_ok=True)
    (other,) = set(bundles.model_ids(trained.models)) - {model_id}
    return model_id, other
