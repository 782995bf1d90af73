"""What the log of a run that failed says: one line for a known cause, with the command that resumes."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from prefect import flow, task
from prefect.client.schemas.objects import FlowRun, State, StateType

from flows.score import score
from tasks.lib import errors
from tasks.lib.layout import CLONE
from tasks.running import events


def fail(error: Exception) -> None:
    @task
    def inner() -> None:
        raise error

    @flow
    def outer() -> None:
        inner()

    outer(return_state=True)


def test_a_traceback_where_one_line_says_it(prefect: None, caplog: pytest.LogCaptureFixture) -> None:
    fail(errors.InputError("a.csv: no column 'review'. Name it."))
    told = [record for record in caplog.records if "a.csv" in record.getMessage()]
    assert [record.name for record in told] == ["prefect.task_runs", "prefect.flow_runs"]  # the two states
    assert not [record for record in caplog.records if record.exc_info]


def test_an_error_of_ours_without_its_traceback(prefect: None, caplog: pytest.LogCaptureFixture) -> None:
    fail(ZeroDivisionError())
    assert [record for record in caplog.records if record.exc_info]


@pytest.mark.parametrize("parameters", [{}, {"paths": ["it's here.csv"], "options": {"rescore": True}}], ids=str)
def test_a_command_that_goes_on_with_something_else(
    parameters: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    run = FlowRun(flow_id=uuid4(), name="score", deployment_id=uuid4(), parameters=parameters)
    reason = "Flow run encountered an exception: InputError: no such file."
    events.explain_failure(score, run, State(type=StateType.FAILED, name="Failed", message=reason))
    (line,) = caplog.messages
    assert line.startswith("score failed: InputError: no such file. Completed work is kept. Resume with: ")
    command = shlex.split(line.partition("Resume with: ")[2])
    assert command[:5] == ["prefect", "deployment", "run", "--id", str(run.deployment_id)]
    assert [json.loads(word) for word in command[6:]] == ([parameters] if parameters else [])


def test_words_on_the_command_line_where_the_error_itself_says_it(caplog: pytest.LogCaptureFixture) -> None:
    events.explain_failure(score, FlowRun(flow_id=uuid4()), State(type=StateType.FAILED))
    assert not caplog.messages


def test_a_run_that_ends_with_the_worker_that_it_prints_to(tmp_path: Path) -> None:
    code = (
        "import os, pathlib, sys; from tasks.running import environment; environment.prepare(command_line=False);"
        "read, write = os.pipe(); os.close(read); os.dup2(write, 1); os.dup2(write, 2);"
        "from rich.console import Console; console = Console(stderr=True);"
        "[console.print(word) for word in ('one', 'two')];"
        f"pathlib.Path({str(tmp_path / 'went-on')!r}).touch()"
    )
    subprocess.run([sys.executable, "-c", code], cwd=CLONE, check=False)
    assert (tmp_path / "went-on").exists()


def test_a_signal_that_is_lost_while_an_object_is_finalized(tmp_path: Path) -> None:
    code = (
        "import signal, time; from tasks.running import environment; environment.prepare(command_line=True)\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # what starts the tests may ignore it
        "class Last:\n    def __del__(self): raise KeyboardInterrupt\n"
        "last = Last(); del last\n"
        "time.sleep(20); print('went on')"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=CLONE, check=False, capture_output=True, text=True)
    assert ended.returncode == -signal.SIGINT
    assert "went on" not in ended.stdout
    assert "Exception ignored" not in ended.stderr
