"""The Prefect server of a run on the command line, where no other is set up: it ends with the process that needs it.

Prefect can start one by itself, but leaves it running when the flow's process is killed, and starts it only once
everything else is loaded. Ours is told by the end of a pipe that nobody needs it any more: the kernel closes
the pipe however the flow's process ends. It has a session of its own, so that Ctrl-C does not end it while the flow
still writes down what became of the run.
"""

from __future__ import annotations

import atexit
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

NEEDS_NONE = {"--help", "-h", "--explain", "--dry-run"}
STARTUP_SECONDS = 120  # a busy small machine has needed 40
GRACE_SECONDS = 5

_started: subprocess.Popen[bytes] | None = None


def start() -> None:
    """Starts the server in the background, unless the command line or the environment says that none is needed."""
    global _started
    if _started is None and "PREFECT_API_URL" not in os.environ and not NEEDS_NONE.intersection(sys.argv):
        _started = _start()


@contextmanager
def running() -> Iterator[None]:
    """Gives the block a Prefect server: the one that Prefect's settings name, or a temporary one."""
    from prefect.settings import PREFECT_API_URL, PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    if PREFECT_API_URL.value():
        yield  # a profile names one, which could not be known before Prefect was imported
        return
    # No heartbeats: nobody listens, and each run would end with a second's wait for the thread that sends them.
    with temporary_settings(
        {PREFECT_API_URL: _wait_for(_started or _start()), PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}
    ):
        yield


def _start() -> subprocess.Popen[bytes]:
    server = subprocess.Popen(  # noqa: S603  our own interpreter and this very file
        [sys.executable, __file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
        env=os.environ | {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"},
    )
    atexit.register(_stop, server)  # before Prefect's own: the last comes first, and Prefect still sends its logs
    return server


def _wait_for(server: subprocess.Popen[bytes]) -> str:
    """The address of the server's API, once it answers."""
    from tasks.lib import errors

    port = server.stdout.readline().decode().strip() if server.stdout else ""
    url = f"http://127.0.0.1:{port}/api"
    deadline = time.monotonic() + STARTUP_SECONDS
    while port and server.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=5):  # noqa: S310  our own address
                return url
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    raise errors.PipelineError(
        "Prefect's temporary server did not start. Its own message is above; or start one with `make serve` and set "
        "PREFECT_API_URL to its address."
    )


def _stop(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    try:
        server.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def _serve() -> None:
    """What runs in the server's process."""
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    threading.Thread(target=_end_with_the_pipe, daemon=True).start()
    import uvicorn

    app = "prefect.server.api.server:create_app"
    config = uvicorn.Config(app, factory=True, log_level="error", lifespan="on", timeout_graceful_shutdown=2)
    uvicorn.Server(config).run(sockets=[listener])


def _end_with_the_pipe() -> None:
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    sys.path.pop(0)  # this folder: none of its modules is meant to be found by a plain name
    _serve()
