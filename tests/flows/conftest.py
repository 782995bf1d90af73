"""A model trained once on the sample corpus."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tasks.lib.layout import Layout
from tasks.lib.models import releases
from tests.support.training import train_small


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
