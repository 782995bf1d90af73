"""Fixtures: the sample corpus, the real one where IMDB_DIR names it, the Prefect servers, each started once."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tasks.lib import files
from tasks.running import environment
from tests.support import tally
from tests.support.house import House, copy_clone

if TYPE_CHECKING:
    from tests.support.buckets import Bucket

environment.prepare(command_line=False)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):  # one of several processes: the first one adds up
        session.config.workeroutput["tried"] = dict(tally.tried)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    tally.tried.update(getattr(node, "workeroutput", {}).get("tried", {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if tally.tried:
        terminalreporter.write_line(
            "tried: " + ", ".join(f"{count:,} {what}" for what, count in sorted(tally.tried.items()))
        )


@pytest.fixture(scope="session", autouse=True)
def _end_everything_when_told_to_end() -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)


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


@pytest.fixture(scope="session", params=["moto", pytest.param("seaweedfs", marks=pytest.mark.slow)])
def store_address(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a store that speaks like S3, on this machine, started once."""
    from tests.support import buckets

    with buckets.serving(request.param, tmp_path_factory.mktemp(request.param)) as address:
        yield address


@pytest.fixture
def bucket(store_address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """An empty bucket, which the environment leads to as it does on a user's machine."""
    from tests.support import buckets

    for name, value in buckets.ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", store_address)
    made = buckets.Bucket(store_address, files.digest(str(tmp_path))[:16])
    made.make()
    return made


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A fresh clone with its server up and its deployments made, with two dumps in the inbox."""
    house = House(copy_clone(tmp_path_factory.mktemp("house") / "clone"))
    inbox = house.data / "inbox"
    inbox.mkdir()
    for name in ("reviews-columns.csv", "reviews-test.csv.gz"):
        shutil.copy(house.data / "sample" / name, inbox)
    house.serve()
    try:
        house.make_now("deploy")
        yield house
    finally:
        house.stop_all()


@pytest.fixture
def worker(house: House) -> House:
    """The house with its worker at work, which runs what the tests ask for alone."""
    house.pause()
    if "worker" not in house.processes:
        house.start("worker")
    return house
