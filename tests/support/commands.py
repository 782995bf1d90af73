"""The command lines as processes of their own, with a Prefect home of their own, to be killed and counted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.support import tally

ROOT = Path(__file__).resolve().parents[2]
SMALL = ["--corpus", "sample", "--num-words", "500", "--maxlen", "30", "--embedding-dim", "4", "--units", "4"]
TRAIN = ["flows/train.py", *SMALL, "--epochs", "12", "--patience", "12", "--device", "cpu"]
SCORE = ["flows/score.py", "--max-quarantine", "1"]
PATIENCE = 300


@dataclass
class Command:
    """A running command: its output so far, its exit status, the processes that it left behind."""

    arguments: list[str]
    home: Path
    environment: dict[str, str] = field(default_factory=dict)
    log: Path = Path()

    def __post_init__(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        if self.log == Path():
            self.log = self.home / f"output-{time.monotonic_ns()}"
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, *self.arguments],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=os.environ | {"PREFECT_HOME": str(self.home)} | self.environment,
            )

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def wait_for(self, text: str) -> None:
        """Waits until the command has said so, or has ended."""
        deadline = time.monotonic() + PATIENCE
        while text not in self.output and self.process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)

    def end(self, number: int = 0, *, group: bool = False) -> tuple[int, float]:
        """Sends the signal, waits for the end: exit status and seconds."""
        started = time.monotonic()
        if number and self.process.poll() is None:
            (os.killpg if group else os.kill)(self.process.pid, number)
        status = self.process.wait(PATIENCE)
        tally.tried["kills"] += status == -signal.SIGKILL
        return status, time.monotonic() - started

    def left_behind(self, seconds: float = 15) -> list[int]:
        """The processes with this command's Prefect home that still live after so many seconds."""
        deadline = time.monotonic() + seconds
        while (found := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.1)
        for pid in found:
            os.kill(pid, signal.SIGKILL)
        return found

    def processes(self) -> list[int]:
        """The living processes with this command's Prefect home."""
        wanted = f"PREFECT_HOME={self.home}\0".encode()
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if wanted in (folder / "environ").read_bytes() + b"\0":
                    found.append(int(folder.name))
            except OSError:
                continue
        return found


def run(arguments: list[str], home: Path, **environment: str) -> tuple[int, str]:
    """Runs a command to its end: exit status and output."""
    command = Command(arguments, home, environment)
    status, _ = command.end()
    return status, command.output


def check_one_line(output: str) -> str:
    """The one line of cause with which a command has to end."""
    assert "Traceback" not in output
    (line,) = [line for line in output.splitlines() if line.startswith("error: ")]
    return line
