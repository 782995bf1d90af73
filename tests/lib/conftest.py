"""Fixtures of the tests of lib."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.lib.corpus import shards
from tests.support.corpora import CONFIG, reviews


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards of a small corpus."""
    path = tmp_path_factory.mktemp("shards")
    shards.write(path, shards.splits(reviews(400), reviews(100), 0.2), CONFIG)
    return path
