"""Where things lie inside the data folder."""

from __future__ import annotations

import hashlib
from pathlib import Path

CLONE = Path(__file__).resolve().parents[2]
SAMPLE = CLONE / "data" / "sample"


class Layout:
    """The folders below one data folder. Paths in records are relative to its `root`: it can be moved.

    Tables that stand at the URL `output` have a ledger of their own.
    """

    def __init__(self, root: Path, output: str | None = None) -> None:
        self.root = root
        self.raw = root / "raw"  # downloaded archives and word indexes
        self.shards = root / "shards"  # padded token ids, one folder per corpus and shard configuration
        self.work = root / "work"  # what single stages made for a model: trained networks, checkpoints, plots
        self.models = root / "models"  # model bundles and `current.json`
        self.inbox = root / "inbox"  # where new review dumps are dropped
        self.scores = root / "scores"  # score tables, one folder per model
        self.reports = self.scores / "_reports"  # of scoring runs; readers of the tables skip the underscore
        self.overview = root / "reports" / "overview.html"  # the last weeks on one page
        self.csv = self.scores / "_csv"  # score tables as CSV, for spreadsheets
        of_output = f"-{hashlib.sha256(output.encode()).hexdigest()[:16]}" if output else ""
        self.ledger = root / f"ledger{of_output}.sqlite"  # the index of what stands; made again from the tables
        self.quarantine = root / "quarantine"  # records that could not be scored; only their owner can read them
        self.labels = root / "labels"  # labelled reviews of one's own; only their owner can read what is written there
        self.cache = root / ".cache"  # Prefect's task results: the index of what has been made
        self.spool = root / ".spool"  # what a run has in hand of a bucket's objects; gone when it ends
        self.locks = root / ".locks"  # lock files; the kernel releases those of a killed process

    @property
    def own(self) -> tuple[Path, ...]:
        """The folders of what the pipeline itself has made; none of it is a dump."""
        made = (self.raw, self.shards, self.work, self.models, self.scores, self.quarantine, self.labels)
        return (*made, self.overview.parent)

    def relative(self, path: Path) -> str:
        """The name of `path` as records hold it: relative to the data folder, with forward slashes."""
        return path.relative_to(self.root).as_posix()

    def is_label(self, name: str) -> bool:
        """Whether `name`, as records hold it, is in the folder of one's own labels, which nothing prunes."""
        return name.startswith(f"{self.labels.name}/")
