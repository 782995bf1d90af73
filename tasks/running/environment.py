"""What has to be set before Prefect or TensorFlow is imported. Whatever the user has set stays."""

from __future__ import annotations

import gc
import logging
import os
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.lib import errors

LOGGER = "sentiment"
PREFECT_LOGGERS = ("prefect.flow_runs", "prefect.task_runs", "prefect.engine")

ALWAYS = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",  # 20 s is not enough on a busy small machine
    "PREFECT_LOGGING_EXTRA_LOGGERS": LOGGER,  # our lines are shown in Prefect's UI
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    "DASK_LOGGING__DISTRIBUTED": "critical",  # how a cluster comes and goes; what fails is told by us
    # Networks of this size have many small operations: to share one out costs a tenth of an epoch more than it saves,
    # and by one thread each sum is the same whatever the number of cores.
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",  # TensorFlow's notes about the machine; what fails still raises
}
# On the command line our own lines tell what happens; Prefect speaks up only when something is wrong with it.
COMMAND_LINE = {"PREFECT_LOGGING_LEVEL": "ERROR", "PREFECT_CLI_PROMPT": "false"}


def prepare(*, command_line: bool) -> None:
    """Sets the environment, and on the command line sends our log lines to standard output."""
    for name, value in (ALWAYS | (COMMAND_LINE if command_line else {})).items():
        os.environ.setdefault(name, value)
    for name in PREFECT_LOGGERS:
        logging.getLogger(name).addFilter(_without_known_tracebacks)
    logger = logging.getLogger(LOGGER)
    logger.setLevel(logging.INFO)
    if not command_line:
        _outlive_the_worker()
    if command_line and not logger.handlers:
        logger.propagate = False  # Prefect's console would show each line a second time
        handler = logging.StreamHandler(sys.stdout)
        handler.setFormatter(logging.Formatter("%(message)s"))
        logger.addHandler(handler)


def postpone_garbage_collection() -> None:
    """Until `command_line.run`: what is loaded stays, and to look through it for garbage takes a fifth of the time."""
    gc.disable()


def _outlive_the_worker() -> None:
    """A deployed run prints to its worker. Where that was killed, rich would end the run, too, with the next line."""
    from rich.console import Console

    def on_broken_pipe(console: Console) -> None:
        console.quiet = True

    Console.on_broken_pipe = on_broken_pipe  # type: ignore[assignment,method-assign]


def _without_known_tracebacks(record: logging.LogRecord) -> bool:
    """An error with a known cause is told in one line by the state of the run and by its hook: no tracebacks beside."""
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
    """Holds back what TensorFlow's libraries print while they are loaded, unless loading them fails."""
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


def silence_tracebacks() -> None:
    """Keeps Prefect from logging the traceback of an error that the command line reports in one line."""
    logging.raiseExceptions = False  # nor are logs that its server does not take a matter for the terminal
    for name in PREFECT_LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL)
