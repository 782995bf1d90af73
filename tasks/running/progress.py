"""What Prefect's UI is sent while a run works and at its end. Numbers and names, never a review.

All of it is beside the work: what could not be sent is logged in one line, and the run goes on.
"""

from __future__ import annotations

import base64
import logging
import time
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.context import FlowRunContext, TaskRunContext
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from tasks.running import environment

log = logging.getLogger(environment.LOGGER)

LARGEST_PLOT = 100_000  # bytes; the UI loads a report with everything in it
SECONDS_BETWEEN = 2.0  # between two updates of a bar: enough for an eye, next to nothing for the server


def send(create: Callable[..., Any], **artifact: Any) -> Any:
    """Calls one of Prefect's functions for artifacts, and returns what it answers.

    None outside a run, and if the server cannot be reached. A key that stays the same from run to run gives the
    artifact a history in the UI.
    """
    if FlowRunContext.get() is None and TaskRunContext.get() is None:
        return None
    try:
        return create(**artifact)
    except Exception as error:  # noqa: BLE001  whatever is wrong with the server, the work is not
        log.warning("Could not send %s to Prefect: %s", artifact.get("key", "progress"), type(error).__name__)
        return None


class Progress:
    """A progress bar in the UI, which appears when it is first shown."""

    def __init__(self, key: str, description: str) -> None:
        self.key = key
        self.description = description
        self._id: Any = None
        self._last = float("-inf")
        self._percent = 0.0

    def show(self, percent: float, note: str = "") -> None:
        """Moves the bar, at most every two seconds; to its end at once."""
        if percent < 100 and time.monotonic() - self._last < SECONDS_BETWEEN:
            return
        self._last, self._percent = time.monotonic(), percent
        _latest.set(self)
        description = f"{self.description}: {note}" if note else self.description
        with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}):  # else the work would wait for a server that is down
            if self._id is None:
                self._id = send(create_progress_artifact, progress=percent, key=self.key, description=description)
            else:
                send(update_progress_artifact, artifact_id=self._id, progress=percent, description=description)


_latest: ContextVar[Progress] = ContextVar("latest")


def note(text: str) -> None:
    """Shows a text beside the bar that was shown last, if there is one."""
    if bar := _latest.get(None):
        bar.show(bar._percent, text)


def picture(title: str, path: Path) -> str:
    """The PNG as Markdown, with its bytes in it."""
    content = path.read_bytes()
    if len(content) > LARGEST_PLOT:
        return f"{title}: {path.name}, too large to be shown here."
    return embedded(title, content)


def embedded(title: str, png: bytes) -> str:
    """The bytes of a PNG as Markdown."""
    return f"![{title}](data:image/png;base64,{base64.b64encode(png).decode()})"
