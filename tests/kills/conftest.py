"""How often the tests kill: at every few calls, and in the slow suite at each one."""

from __future__ import annotations

import os

import pytest

from tasks.lib.layout import Layout
from tests.support import crash
from tests.support.commands import TRAIN, run


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill loses nothing that was written, and a disk takes its time to sync."""
    monkeypatch.setattr(os, "fsync", crash.no_fsync)


@pytest.fixture(params=[pytest.param(7, id="every few calls"), pytest.param(1, id="each call", marks=pytest.mark.slow)])
def stride(request: pytest.FixtureRequest) -> int:
    """From one kill to the next, in calls."""
    return int(request.param)


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """A data folder in which a training ran that nothing disturbed. Not to be written to."""
    folder = tmp_path_factory.mktemp("undisturbed")
    status, output = run([*TRAIN, "--data-dir", str(folder / "data")], folder / "home")
    assert status == 0, output
    return Layout(folder / "data")
