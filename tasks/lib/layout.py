"""Where things lie inside the data folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

CLONE = Path(__file__).resolve().parents[2]
SAMPLE = CLONE / "data" / "sample"


@dataclass(frozen=True)
class Layout:
    """The folders below one data folder. Paths in records are relative to its `root`: it can be moved."""

    root: Path

    @property
    def raw(self) -> Path:
        """Downloaded archives and word indexes."""
        return self.root / "raw"

    @property
    def shards(self) -> Path:
        """Padded token ids, one folder per corpus and shard configuration."""
        return self.root / "shards"

    @property
    def work(self) -> Path:
        """What single stages made on the way to a model: trained networks, checkpoints, plots."""
        return self.root / "work"

    @property
    def models(self) -> Path:
        """Model bundles and `current.json`."""
        return self.root / "models"

    @property
    def inbox(self) -> Path:
        """Where new review dumps are dropped."""
        return self.root / "inbox"

    @property
    def scores(self) -> Path:
        """Score tables, one folder per model, and the reports."""
        return self.root / "scores"

    @property
    def reports(self) -> Path:
        """Reports of scoring runs; the underscore hides them from readers of the tables."""
        return self.scores / "_reports"

    @property
    def csv(self) -> Path:
        """Score tables as CSV, for spreadsheets."""
        return self.scores / "_csv"

    @property
    def ledger(self) -> Path:
        """The index of what stands: dumps, tables, reports and exports. Made again from the tables if it is lost."""
        return self.root / "ledger.sqlite"

    @property
    def quarantine(self) -> Path:
        """Records that could not be scored; readable by their owner only."""
        return self.root / "quarantine"

    @property
    def cache(self) -> Path:
        """Prefect's task results: the index of what has been made."""
        return self.root / ".cache"

    @property
    def locks(self) -> Path:
        """Lock files; the kernel frees the locks of a killed process."""
        return self.root / ".locks"

    def relative(self, path: Path) -> str:
        """The name of `path` as records hold it: relative to the data folder, with forward slashes."""
        return path.relative_to(self.root).as_posix()
