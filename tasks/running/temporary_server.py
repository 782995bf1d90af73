"""The Prefect server of a run on the command line, where no other is set up. It ends with the process that needs it.

Prefect can start one itself, but leaves it running when the flow's process is killed, and starts it only once
everything else is loaded. Ours ends at the end of a pipe, which the kernel closes however the flow's process ends. It
has a session of its own, so that Ctrl-C does not end it while the flow still records its state.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# How Python names an error on the last line of a traceback; SQLAlchemy puts the driver's own error in front.
ERROR_LINE = re.compile(r"^[\w.]+(?:Error|Exception): (?:\([\w.]+\) )?(.+)$", re.MULTILINE)
NEEDS_NONE = {"--help", "-h", "--explain", "--dry-run", "--preview"}
STARTUP_SECONDS = 120  # a busy small machine has needed 40
GRACE_SECONDS = 5
KEPT_LINES = 500
USED_BY_PREFECT = ("fastapi", "prefect.flow_engine", "prefect.task_engine")  # with the first run of a process
ONLY_WHAT_A_RUN_NEEDS = {
    "PREFECT_UI_ENABLED": "0",
    "PREFECT__SERVER_EPHEMERAL": "1",
    "PREFECT__SERVER_FINAL": "1",
    # A run uses no blocks, and looking for their types loads Dask.
    "PREFECT_API_BLOCKS_REGISTER_ON_START": "0",
    "PREFECT_MEMOIZE_BLOCK_AUTO_REGISTRATION": "0",
}

_started: _Server | None = None


class _Server:
    """The process of a temporary server, its port, and its last error messages."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(  # noqa: S603  our own interpreter and this very file
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            env=os.environ | ONLY_WHAT_A_RUN_NEEDS,
        )
        self._errors: deque[bytes] = deque(maxlen=KEPT_LINES)
        self._reader = threading.Thread(target=self._read_errors, daemon=True)
        self._reader.start()
        atexit.register(self.stop)  # it runs after Prefect's own, registered later, which sends logs

    def _read_errors(self) -> None:
        for line in self.process.stderr or ():
            self._errors.append(line)

    def port(self) -> str:
        """The port, as soon as it is bound; "" if the process has ended."""
        return self.process.stdout.readline().decode().strip() if self.process.stdout else ""

    def cause(self) -> str:
        """The last error that it printed, in one line; "" if there was none."""
        if self.process.poll() is not None:
            self._reader.join(GRACE_SECONDS)  # the rest of its output
        printed = ERROR_LINE.findall(b"".join(self._errors).decode(errors="replace"))
        return printed[-1].strip() if printed else ""

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def start() -> None:
    """Starts the server in the background, unless the command line or the environment says that none is needed."""
    global _started
    from tasks.running import environment

    if _started is None and not environment.names_a_server() and not NEEDS_NONE.intersection(sys.argv):
        _started = _Server()


@contextmanager
def running(*used_later: str) -> Iterator[None]:
    """Gives the block a Prefect server: the one that Prefect's settings name, or a temporary one.

    `used_later` are modules that the block will load: they are loaded while a temporary server comes up.
    """
    from prefect.settings import (
        PREFECT_API_URL,
        PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
        get_current_settings,
        temporary_settings,
    )

    from tasks.lib import errors

    settings: dict[Any, Any] = {}
    if "heartbeat_frequency" not in get_current_settings().flows.model_fields_set:
        # Nothing on the command line reads them, and each run would end with a second's wait for the thread that sends.
        settings[PREFECT_FLOWS_HEARTBEAT_FREQUENCY] = None
    server = None if PREFECT_API_URL.value() else _started or _Server()
    if server:
        for module in (*USED_BY_PREFECT, *used_later):
            importlib.import_module(module)
        settings[PREFECT_API_URL] = _wait_for(server)
    with temporary_settings(settings):
        try:
            yield
        except errors.PipelineError:
            raise
        except Exception as error:
            if server and (cause := server.cause()):
                raise _failed("failed", cause) from error
            raise


def _failed(what: str, cause: str) -> Exception:
    from prefect.settings import PREFECT_HOME

    from tasks.lib import errors

    return errors.PipelineError(
        f"Prefect's temporary server {what}: {cause or 'unknown cause'}. It writes to {PREFECT_HOME.value()}: check "
        "its free space and permissions, or set PREFECT_HOME to another folder. Then run the same command again."
    )


def _wait_for(server: _Server) -> str:
    """The address of the server's API, once it answers."""
    port = server.port()
    url = f"http://127.0.0.1:{port}/api"
    deadline = time.monotonic() + STARTUP_SECONDS
    while port and server.process.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=5):  # noqa: S310  our own address
                return url
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    raise _failed("did not start", server.cause())


def _listener() -> socket.socket:
    """A socket that listens on a free port of 127.0.0.1."""
    # With the protocol named, or asyncio does not set TCP_NODELAY, and each request with a body takes 40 ms more.
    listener = socket.socket(proto=socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    return listener


def _serve() -> None:
    """What runs in the server's process."""
    listener = _listener()
    print(listener.getsockname()[1], flush=True)
    threading.Thread(target=_end_with_the_pipe, daemon=True).start()
    gc.disable()  # loaded modules stay: looking for garbage takes 0.6 of 3.3 s
    import uvicorn
    from prefect.server.api.server import create_app

    app = create_app()
    gc.freeze()
    gc.enable()
    config = uvicorn.Config(app, log_level="error", lifespan="on", timeout_graceful_shutdown=2)
    uvicorn.Server(config).run(sockets=[listener])


def _end_with_the_pipe() -> None:
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    sys.path.pop(0)  # this folder: none of its modules is meant to be found by a plain name
    _serve()
