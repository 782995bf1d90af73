"""Loaded by a process before all else (`--preload`), hides the folder in HIDDEN from it: it is on another disk."""

from __future__ import annotations

import errno
import os
import sys
from typing import Any

FOLDER = os.environ["HIDDEN"]


def _hide(event: str, arguments: tuple[Any, ...]) -> None:
    for one in arguments:
        if isinstance(one, str | os.PathLike) and os.fspath(one).startswith(FOLDER):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), os.fspath(one))


sys.addaudithook(_hide)
