"""What a command loads, and what it would wait for."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from cyclopts import App

from flows import train
from tasks.lib.layout import CLONE, Layout
from tasks.running import command_line, environment, temporary_server

SCORE = """
import sys
from pathlib import Path
from tasks.lib import files, scoring
from tasks.lib.config import ScoreConfig
from tasks.lib.layout import Layout
from tasks.lib.scores.inbox import Dump
models, model_id, path, folder = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4])
model = scoring.Model.open(models, model_id)
dump = Dump(str(path), path.name, "new", sha256=files.sha256(path), table="t.parquet")
scored = scoring.score(dump, model, ScoreConfig(), Layout(folder))
assert scored.scored and not scored.quarantined
print(*{"tensorflow", "keras", "pandas", "matplotlib", "prefect", "dask"}.intersection(sys.modules))
"""

HEARTBEATS = """
from prefect.settings import get_current_settings
from tasks.running import temporary_server
with temporary_server.running():
    print(get_current_settings().flows.heartbeat_frequency)
"""


def test_scoring_loads_what_it_has_no_use_for(trained: Layout, model_id: str, sample: Path, tmp_path: Path) -> None:
    arguments = [trained.models, model_id, sample / "reviews-test.csv.gz", tmp_path]
    run = subprocess.run(
        [sys.executable, "-c", SCORE, *map(str, arguments)], cwd=CLONE, capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == []


@pytest.mark.filterwarnings("ignore:Cyclopts application")
def test_garbage_that_is_never_collected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["score.py"])
    monkeypatch.setattr("signal.signal", lambda number, handler: None)
    monkeypatch.setattr(environment, "quiet_prefect", lambda: None)
    app = App()
    app.default(lambda: int(gc.isenabled()))
    environment.postpone_garbage_collection()
    assert not gc.isenabled()
    with pytest.raises(SystemExit) as ended:
        command_line.run(app)
    gc.unfreeze()
    assert ended.value.code == 1


@pytest.mark.parametrize(("frequency", "expected"), [("", "None"), ("60", "60")])
def test_a_second_waited_for_heartbeats_that_nobody_wants(frequency: str, expected: str) -> None:
    settings = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    settings["PREFECT_API_URL"] = "http://127.0.0.1:1/api"
    if frequency:
        settings["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"] = frequency
    run = subprocess.run(
        [sys.executable, "-c", HEARTBEATS], cwd=CLONE, env=settings, capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == [expected]


def test_small_answers_that_wait_for_an_acknowledgement() -> None:
    async def no_delay() -> int:
        answered: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def on_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            option = writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            answered.set_result(option)
            writer.close()

        listener = temporary_server._listener()
        async with await asyncio.start_server(on_connection, sock=listener):
            _, writer = await asyncio.open_connection(*listener.getsockname())
            option = await answered
            writer.close()
        return option

    assert asyncio.run(no_delay())


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--epochs", "0"], "--epochs: input should be greater than or equal to 1, found '0'. See --help."),
        (["--epochs", "x"], "--epochs: input should be a valid integer"),
        (["--epocs", "1"], "Unknown option"),
    ],
)
def test_a_wrong_option_in_more_than_one_line(
    options: list[str], expected: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["train.py", *options])
    monkeypatch.setattr("signal.signal", lambda number, handler: None)
    monkeypatch.setattr(environment, "quiet_prefect", lambda: None)
    with pytest.raises(SystemExit) as ended:
        command_line.run(train.app)
    gc.unfreeze()
    assert ended.value.code == command_line.USAGE
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {expected}")
