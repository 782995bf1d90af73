"""Dumps as the search for new ones finds them."""

from __future__ import annotations

from pathlib import Path

from tasks.lib import files
from tasks.lib.scores.inbox import Dump


def new(path: Path, table: str = "scores/t.parquet", *, sha256: str = "") -> Dump:
    """The file as a new dump whose table will be at `table` below the data folder."""
    return Dump(str(path), path.name, "new", sha256=sha256 or files.sha256(path), table=table)
