"""Settings to make before Prefect or TensorFlow is imported. What the user has set stays."""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
import tempfile
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from tasks.lib import clock, errors

LOGGER = "sentiment"
PREFECT_LOGGERS = ("prefect.flow_runs", "prefect.task_runs", "prefect.engine")
NOW = "SENTIMENT_NOW"  # for tests and simulations alone: the time at which the process starts

ALWAYS = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",  # 20 s is not enough on a busy small machine
    "PREFECT_LOGGING_EXTRA_LOGGERS": LOGGER,  # our lines are shown in Prefect's UI
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    "DASK_LOGGING__DISTRIBUTED": "critical",  # a cluster's start and end; we report what fails
    # Networks of this size have many small operations: sharing one between threads costs a tenth of an epoch more than
    # it saves, and with one thread each sum is the same on any number of cores.
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",  # without TensorFlow's notes about the machine; errors still raise
}
# On the command line our own lines say what happens; Prefect logs its own errors only.
COMMAND_LINE = {"PREFECT_LOGGING_LEVEL": "ERROR", "PREFECT_CLI_PROMPT": "false"}


def prepare(*, command_line: bool) -> None:
    """Sets the environment, and on the command line sends our log lines to standard output."""
    for name, value in (ALWAYS | (COMMAND_LINE if command_line else {})).items():
        os.environ.setdefault(name, value)
    if moment := os.environ.get(NOW):
        _set_clock(moment)
    for name in PREFECT_LOGGERS:
        logging.getLogger(name).addFilter(_without_known_tracebacks)
    sys.unraisablehook = _send_again
    logger = logging.getLogger(LOGGER)
    logger.setLevel(logging.INFO)
    if not command_line:
        _outlive_the_worker()
    if command_line and not logger.handlers:
        logger.propagate = False  # or Prefect's console would show each line again
        handler = logging.StreamHandler(sys.stdout)
        handler.setFormatter(logging.Formatter("%(message)s"))
        logger.addHandler(handler)


def _set_clock(moment: str) -> None:
    """Lets the process start at this time. Exits if it is none, or has no offset."""
    try:
        clock.start(datetime.fromisoformat(moment))
    except (ValueError, TypeError):
        sys.exit(f"error: {NOW}: expected a time such as 2027-01-31T08:00:00Z, found {moment!r}. Unset it.")


def _send_again(lost: sys.UnraisableHookArgs) -> None:
    """Sends a signal again whose exception was lost, as it came while an object was finalized."""
    raised = lost.exc_type.__name__  # the first is Prefect's
    number = {"TerminationSignal": signal.SIGTERM, "KeyboardInterrupt": signal.SIGINT}.get(raised)
    if number is None:
        sys.__unraisablehook__(lost)
        return
    later = threading.Timer(0.1, os.kill, [os.getpid(), number])
    later.daemon = True
    later.start()


def postpone_garbage_collection() -> None:
    """Turns it off until `command_line.run`: loaded modules stay, and looking for garbage takes a fifth of the time."""
    gc.disable()


def _outlive_the_worker() -> None:
    """Keeps a deployed run alive whose worker was killed: rich ends the process if it cannot print."""
    from rich.console import Console

    def on_broken_pipe(console: Console) -> None:
        console.quiet = True

    Console.on_broken_pipe = on_broken_pipe  # type: ignore[assignment,method-assign]


def _without_known_tracebacks(record: logging.LogRecord) -> bool:
    """A log filter: an error with a known cause is one line in the state of the run and needs no traceback."""
    if record.getMessage().startswith("Task run failed with state"):  # with all that the task returned
        return False
    error = record.exc_info[1] if record.exc_info else None
    if not isinstance(error, errors.PipelineError):
        return True
    record.exc_info = None
    return not record.getMessage().startswith(("Task run failed", "Encountered exception", "Engine execution exited"))


def names_a_server() -> bool:
    """Whether PREFECT_API_URL or the active profile names a Prefect server, without loading Prefect."""
    home = Path(os.environ.get("PREFECT_HOME") or Path.home() / ".prefect")
    path = Path(os.environ.get("PREFECT_PROFILES_PATH") or home / "profiles.toml")
    try:
        profiles = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # there are none; what is wrong with them, Prefect says
        profiles = {}
    active = profiles.get("profiles", {}).get(os.environ.get("PREFECT_PROFILE") or profiles.get("active"), {})
    return bool(os.environ.get("PREFECT_API_URL") or active.get("PREFECT_API_URL"))


@contextmanager
def quiet_import() -> Iterator[None]:
    """Hides what TensorFlow's libraries print while they are loaded, unless loading them fails."""
    with tempfile.TemporaryFile() as held:
        sys.stderr.flush()
        stderr = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(stderr, held.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def quiet_prefect() -> None:
    """Keeps from the terminal what Prefect logs beside an error that the command line reports in one line."""
    logging.raiseExceptions = False  # log lines that the server does not take
    for name in (*PREFECT_LOGGERS, "EventsWorker"):  # the latter counts the events that it still has to send
        logging.getLogger(name).setLevel(logging.CRITICAL)
