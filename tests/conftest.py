"""Fixtures: the sample corpus, the real one where IMDB_DIR names it, and one Prefect server for all flow runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.running import environment
from tests.support import tally

environment.prepare(command_line=False)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if tally.tried:
        terminalreporter.write_line(
            "tried: " + ", ".join(f"{count:,} {what}" for what, count in sorted(tally.tried.items()))
        )


@pytest.fixture(scope="session")
def sample() -> Path:
    """The folder of the bundled sample corpus and dumps."""
    return Path(__file__).resolve().parents[1] / "data" / "sample"


@pytest.fixture(scope="session")
def imdb_dir() -> Path:
    """The folder with the real corpus; tests that want it are skipped where it is not there."""
    folder = os.environ.get("IMDB_DIR")
    if not folder:
        pytest.skip("IMDB_DIR is not set: the real IMDB reviews are not at hand")
    return Path(folder)


@pytest.fixture(scope="session")
def prefect(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A Prefect server of the tests' own, started once: it takes seconds.

    Without heartbeats, as on the command line: each run would end with a second's wait for their thread.
    """
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, PREFECT_LOCAL_STORAGE_PATH, temporary_settings
    from prefect.testing.utilities import prefect_test_harness

    storage = tmp_path_factory.mktemp("prefect")
    settings = {PREFECT_LOCAL_STORAGE_PATH: storage, PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}
    with temporary_settings(settings), prefect_test_harness(server_startup_timeout=120):
        yield
