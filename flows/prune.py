"""Free what no current, earlier or named model and no score table refers to."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # `python flows/prune.py` puts only flows/ there

from tasks.running import environment

environment.prepare(command_line=__name__ == "__main__")

import logging

from cyclopts import App, Parameter

from tasks.lib import errors, files, pruning
from tasks.lib.layout import Layout
from tasks.running import command_line, locks

log = logging.getLogger(environment.LOGGER)

app = App(name="prune.py", help=__doc__, version_flags=[], help_format="plaintext")


@app.default
def main(
    *,
    keep: Annotated[list[str] | None, Parameter(help="Ids of models to keep as well.", negative="")] = None,
    dry_run: Annotated[bool, Parameter(negative="", help="Say what would be removed; remove nothing.")] = False,
    data_dir: command_line.DataDir = command_line.DEFAULT_DATA,
) -> None:
    """Free what no current, earlier or named model and no score table refers to."""
    data = Layout(data_dir.resolve())
    with (
        locks.waiting(data.locks / locks.TRAINING),
        locks.waiting(data.locks / locks.RELEASE),  # a model that is promoted meanwhile must not be removed
        locks.waiting(data.locks / locks.SCORING),  # nor one that a run scores with
    ):
        pruning.check(data, keep or [])
        found = pruning.unused(data, set(keep or []))
        freed = sum(_size(path) for path in found)
        for path in found:
            if not dry_run:
                _remove(path)
            log.info("%s %s", "would remove" if dry_run else "removed", data.relative(path))
    log.info("%s: %.1f MB", "Would be freed" if dry_run else "Freed", freed / 1e6)


def _remove(path: Path) -> None:
    """Raises `OutputError` if any part of the file or folder stays."""
    try:
        files.remove(path)
    except OSError as error:
        raise errors.OutputError(
            f"{path}: cannot be removed: {error.strerror}. What was removed before it is named above; mend that and "
            "run the same command again."
        ) from error


def _size(path: Path) -> int:
    parts = [path, *path.rglob("*")] if path.is_dir() else [path]
    return sum(part.stat().st_size for part in parts if part.is_file())


if __name__ == "__main__":
    command_line.run(app)
