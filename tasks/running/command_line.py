"""What all command lines share: one-line errors, exit statuses, the data folder."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

from cyclopts import App, CycloptsError, Parameter
from pydantic import ValidationError

from tasks.lib import errors, urls
from tasks.lib.layout import CLONE
from tasks.running import environment

FAILED, USAGE = 1, 2
STOP_SECONDS = 7

DataDir = Annotated[Path, Parameter(name="--data-dir", help="Folder for all data.")]
DEFAULT_DATA = CLONE / "data"


def run(app: App) -> NoReturn:
    """Runs the command line and ends the process with its exit status.

    0 on success, 1 after an error with a known cause, 2 for a wrong option, 128 + the signal's number after Ctrl-C or
    SIGTERM.
    """
    gc.freeze()
    gc.enable()
    environment.quiet_prefect()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    app.suppress_keyboard_interrupt = False  # cyclopts would end without a message
    try:
        status = app(exit_on_error=False, print_error=False, result_action="return_value")
    except (CycloptsError, ValidationError) as error:
        _end(_one_line(error), USAGE)
    except errors.PipelineError as error:
        _end(str(error), FAILED)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    sys.exit(status if isinstance(status, int) else 0)


def place(path: str | Path) -> str:
    """What a user names, for another folder to start from: an absolute path, or a URL. Raises `InputError`."""
    return urls.checked(str(path)) if urls.is_url(path) else str(Path(path).resolve())


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    """Ends the run in good order, or at once if that takes more than a few seconds: it can be resumed either way."""
    print(f"error: stopped by {signal.Signals(number).name}; run the same command again to resume", file=sys.stderr)
    watchdog = threading.Timer(STOP_SECONDS, os._exit, [128 + number])
    watchdog.daemon = True
    watchdog.start()
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    sys.exit(128 + number)


def _end(message: str, status: int) -> NoReturn:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(status)


def _one_line(error: Exception) -> str:
    cause = error.__cause__ or error  # cyclopts wraps the errors of pydantic
    if not isinstance(cause, ValidationError):
        return str(error)
    problems = []
    for problem in cause.errors():
        option = "--" + str(problem["loc"][0] if problem["loc"] else "?").replace("_", "-")
        message = problem["msg"][0].lower() + problem["msg"][1:]
        problems.append(f"{option}: {message}, found {problem['input']!r}")
    return "; ".join(problems) + ". See --help."
