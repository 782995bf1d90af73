"""The commands of the product as processes of their own, each at the time that it is given, measured and noted."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from tasks.running import environment
from tests.support.commands import ROOT

LONGEST = 900  # seconds that a command may take


@dataclass(frozen=True)
class Done:
    """A command that has ended: when, by the time that it was given, and what it took."""

    at: str
    what: str
    arguments: list[str]
    status: int
    seconds: float
    cpu: float  # seconds of all its threads
    memory: float  # MB at its peak
    last: str  # line of its output

    @property
    def killed(self) -> bool:
        return self.status == -signal.SIGKILL


class Running:
    """A command that runs."""

    def __init__(self, product: Product, what: str, arguments: Sequence[str], at: datetime, file_limit: int) -> None:
        self.what, self.arguments, self.at = what, list(arguments), at
        self.output = product.folder / "logs" / f"{at:%Y%m%dT%H%M%S}-{time.monotonic_ns()}.log"
        self._notes = product.notes
        limit: Callable[[], None] | None = (
            (lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, file_limit))) if file_limit else None
        )
        self.started = time.perf_counter()
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, *self.arguments, "--data-dir", str(product.data)],
                cwd=ROOT,
                env=product.environment | {environment.NOW: at.isoformat()},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=limit,
            )

    def end(self, kill_after: float = LONGEST) -> Done:
        """Waits for its end, or kills it after so many seconds."""
        killer = threading.Timer(kill_after, self.process.kill)
        killer.daemon = True
        killer.start()
        _, status, usage = os.wait4(self.process.pid, 0)  # its own peak memory
        killer.cancel()
        self.process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - self.started
        lines = self.text.splitlines()
        said = [line for line in lines if line.startswith("error: ")] or lines[-1:] or [""]
        done = Done(
            self.at.isoformat(), self.what, self.arguments, self.process.returncode,
            round(seconds, 2), round(usage.ru_utime + usage.ru_stime, 2), round(usage.ru_maxrss / 1024, 1),
            said[0][:300],
        )  # fmt: skip
        with self._notes.open("a") as file:
            file.write(json.dumps(asdict(done)) + "\n")
        if not done.status:
            self.output.unlink()
        return done

    @property
    def text(self) -> str:
        return self.output.read_text(errors="replace") if self.output.exists() else ""


class Product:
    """The commands over one data folder, with a Prefect server; each that ends is noted in `commands.jsonl`."""

    def __init__(self, folder: Path, address: str) -> None:
        self.folder, self.data, self.notes = folder, folder / "data", folder / "commands.jsonl"
        self._started: list[Running] = []
        (folder / "logs").mkdir(parents=True, exist_ok=True)
        mine = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
        self.environment = mine | {"PREFECT_HOME": str(folder / "prefect"), "PREFECT_API_URL": address}

    def start(self, what: str, arguments: Sequence[str], at: datetime, *, file_limit: int = 0) -> Running:
        """Starts a command at this time. No file that it writes may be larger than `file_limit` bytes, if given."""
        running = Running(self, what, arguments, at, file_limit)
        self._started = [each for each in self._started if each.process.returncode is None] + [running]
        return running

    def stop(self) -> None:
        """Ends what still runs, as after an interrupt."""
        for running in self._started:
            if running.process.returncode is None:
                running.process.kill()
                running.process.wait()

    def run(
        self, what: str, arguments: Sequence[str], at: datetime, *, file_limit: int = 0, kill_after: float = LONGEST
    ) -> tuple[Done, str]:
        """Runs a command to its end: what it took, and its output."""
        running = self.start(what, arguments, at, file_limit=file_limit)
        with running.output.open() as output:  # it is removed if all went well
            done = running.end(kill_after)
            return done, output.read()
