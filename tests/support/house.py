"""Real servers, workers and runs, each in a fresh copy of the clone.

Everything listens on free ports of 127.0.0.1, keeps its Prefect in the test's own folder, and is ended by its id.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
# A network so small that an epoch of the sample corpus takes a fifth of a second.
TINY: dict[str, Any] = {
    "preset": "article",
    "corpus": {"corpus": "sample"},
    "shards": {"num_words": 500, "maxlen": 30},
    "network": {"units": 4, "embedding_dim": 4},
}
ENDED = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


def copy_clone(target: Path) -> Path:
    """What git would clone, with what is not committed yet."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines():
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    return target


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def wait_until(true: Callable[[], Any], seconds: float, what: str) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := true():
            return found
        time.sleep(0.25)
    raise AssertionError(f"waited {seconds} s in vain: {what}")


@dataclass
class House:
    """A clone with a server and a worker of its own."""

    clone: Path
    settings: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api"

    @property
    def data(self) -> Path:
        return self.clone / "data"

    @property
    def environment(self) -> dict[str, str]:
        mine = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
        return mine | {
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "PREFECT_HOME": str(self.data / ".prefect"),
            "PREFECT_API_URL": self.url,
            "PREFECT_WORKER_QUERY_SECONDS": "1",
            **self.settings,
        }

    def make(self, target: str) -> list[str]:
        """The command that `make` runs, with the interpreter of this test in place of .venv."""
        ready = BIN.parent / ".installed"
        return ["make", "-s", "-o", str(ready), f"VENV={BIN.parent}", f"PORT={self.port}", target]

    def run(self, *command: str, seconds: float = 180) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.clone,
            env=self.environment,
            timeout=seconds,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def start(self, name: str) -> None:
        with (self.clone.parent / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                self.make(name), cwd=self.clone, env=self.environment, stdout=log, stderr=log, start_new_session=True
            )

    def stop(self, name: str, number: signal.Signals = signal.SIGTERM) -> None:
        """Ends the process and its children, which are a process group that nothing else is in; runs go on."""
        leader = self.processes.pop(name)
        for process in members(leader.pid):
            send(process, number)
        try:
            wait_until(lambda: leader.poll() is not None and not members(leader.pid), 30, f"{name} ends")
        finally:
            for process in members(leader.pid):
                send(process, signal.SIGKILL)
            leader.wait(20)

    def stop_all(self) -> None:
        for name in reversed(list(self.processes)):
            self.stop(name)

    def log(self, name: str) -> str:
        return (self.clone.parent / f"{name}.log").read_text()

    def serve(self) -> None:
        self.start("serve")
        wait_until(self.healthy, 120, "the server answers")

    def make_now(self, target: str, *variables: str) -> None:
        made = self.run(*self.make(target), *variables)
        assert made.returncode == 0, made.stdout

    def healthy(self) -> bool:
        try:
            return urllib.request.urlopen(f"{self.url}/health", timeout=5).status == 200
        except (urllib.error.URLError, OSError):
            return False

    def ask(self, path: str, body: dict[str, Any]) -> Any:
        request = urllib.request.Request(
            f"{self.url}{path}", json.dumps(body).encode(), {"content-type": "application/json", **self.authorization}
        )
        return wait_until(lambda: _answer(request), 60, f"{path} is answered")[0]

    @property
    def authorization(self) -> dict[str, str]:
        from base64 import b64encode

        word = self.settings.get("PREFECT_API_AUTH_STRING")
        return {"authorization": f"Basic {b64encode(word.encode()).decode()}"} if word else {}

    def runs(self, **flow_runs: Any) -> list[dict[str, Any]]:
        return list(self.ask("/flow_runs/filter", {"flow_runs": flow_runs, "sort": "EXPECTED_START_TIME_ASC"}))

    def state(self, run: str) -> str:
        return str(self.runs(id={"any_": [run]})[0]["state_type"])

    def deployment(self, name: str) -> dict[str, Any]:
        """The deployment of this name, `flow/name` where two flows have one."""
        flow, _, name = name.rpartition("/")
        filters: dict[str, Any] = {"deployments": {"name": {"any_": [name]}}}
        if flow:
            filters["flows"] = {"name": {"any_": [flow]}}
        found = self.ask("/deployments/filter", filters)
        assert len(found) == 1
        return dict(found[0])

    def submit(self, deployment: str, **parameters: Any) -> str:
        return self.submit_at(deployment, None, **parameters)

    def submit_at(self, deployment: str, due: datetime | None, **parameters: Any) -> str:
        path = f"/deployments/{self.deployment(deployment)['id']}/create_flow_run"
        state = {"type": "SCHEDULED", "state_details": {"scheduled_time": due.isoformat()} if due else {}}
        return str(self.ask(path, {"parameters": parameters, "state": state})["id"])

    def watch(self, deployment: str, **parameters: Any) -> None:
        """Runs a deployment by the command in docs/schedule.md, which has to end with exit status 0."""
        given = [word for name, value in parameters.items() for word in ("--param", f"{name}={json.dumps(value)}")]
        done = self.run("prefect", "deployment", "run", deployment, "--watch", *given)
        assert done.returncode == 0, done.stdout

    def pause(self) -> None:
        """Takes the schedules off, so that no run of theirs comes between a test and what it looks at."""
        for entry in self.ask("/deployments/filter", {}):
            self.ask(f"/deployments/{entry['id']}/pause_deployment", {})

    def ended(self, run: str, seconds: float = 180) -> str:
        return str(wait_until(lambda: (state := self.state(run)) in ENDED and state, seconds, f"run {run} ends"))

    def logged(self, run: str) -> str:
        lines = self.ask("/logs/filter", {"logs": {"flow_run_id": {"any_": [run]}}, "sort": "TIMESTAMP_ASC"})
        return "\n".join(line["message"] for line in lines)

    def engine(self, run: str) -> int:
        """The id of the process that executes a run."""
        return int(wait_until(lambda: process_of(run), 60, "the run has a process"))


def _answer(request: urllib.request.Request) -> tuple[Any] | None:
    """What the server says, or None while its database is busy: Prefect's own clients ask again, too."""
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return (json.loads(response.read() or b"null"),)
    except urllib.error.HTTPError as error:
        if error.code != 503:
            raise
        return None


def members(group: int) -> list[int]:
    """The living processes of a process group that do not execute a run."""
    return [
        number
        for number, state, command in processes()
        if state[2] == str(group) and state[0] != "Z" and b"prefect.engine" not in command
    ]


def processes() -> Iterator[tuple[int, list[str], bytes]]:
    """Number, state with what follows it in /proc, and command line of each process."""
    for path in Path("/proc").glob("[0-9]*"):
        try:
            state = (path / "stat").read_text().rpartition(")")[2].split()
            yield int(path.name), state, (path / "cmdline").read_bytes()
        except OSError:
            continue  # it ended meanwhile


def send(process: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(process, number)


def process_of(run: str) -> int | None:
    mark = f"PREFECT__FLOW_RUN_ID={run}".encode()
    for number, _, command in processes():
        with suppress(OSError):
            if b"prefect.engine" in command and mark in Path(f"/proc/{number}/environ").read_bytes():
                return number
    return None
