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

from tasks.lib import files, pruning
from tasks.lib.layout import Layout
from tasks.running import command_line, locks
from tasks.training import artifacts

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
        locks.waiting(data.locks / locks.RELEASE),  # so that no model is promoted while it is removed
        locks.waiting(data.locks / locks.SCORING),  # nor one that a run scores with
    ):
        used = pruning.used(data, set(keep or []))
        found = pruning.unused(data, used) + artifacts.unused_results(data, used)
        freed = sum(files.size(path) for path in found)
        for path in found:
            if not dry_run:
                pruning.remove(path)
            log.info("%s %s", "would remove" if dry_run else "removed", data.relative(path))
    log.info("%s: %.1f MB", "Would be freed" if dry_run else "Freed", freed / 1e6)


if __name__ == "__main__":
    command_line.run(app)
