"""What became of one dump: as a run reports it, and as the footer of its score table says."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict

from tasks.lib import files
from tasks.lib.layout import Layout
from tasks.lib.profiles import Profile
from tasks.lib.scores import tables

NAME = "%Y%m%dT%H%M%S.%fZ"  # of a report without its suffix: when the run ended, in UTC


class FileReport(BaseModel):
    """What became of one dump: scored, exported (it was scored before), or failed. The footer of its table holds it.

    `table`, `quarantine` and `csv` are paths below the data folder, `sha256` is that of the dump. `profile` has the
    counts that drift is found by; footers of earlier versions have less of it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str
    status: Literal["scored", "exported", "failed"]
    model_id: str
    reason: str = ""
    table: str = ""
    table_sha256: str = ""
    quarantine: str = ""
    quarantine_sha256: str = ""
    csv: str = ""
    sha256: str = ""
    rows: int = 0
    scored: int = 0
    positive: int = 0
    quarantined: dict[str, int] = {}
    lines: int = 0
    lines_quarantined: int = 0
    bytes: int = 0
    threshold: float | None = None
    seconds: float = 0.0
    profile: Profile = Profile()

    @property
    def rows_quarantined(self) -> int:
        """Quarantined rows, whatever the reason."""
        return sum(self.quarantined.values())

    @property
    def quarantined_share(self) -> float:
        """That of the rows or, if larger, of the lines: lines that hold no record to be trusted count as one row."""
        return max(self.rows_quarantined / max(self.rows, 1), self.lines_quarantined / max(self.lines, 1))


def read(data: Layout, path: str) -> FileReport | None:
    """The report in the footer of the score table at `path` below the data folder.

    None if the table or its quarantine is missing or damaged: all pages are read and their checksums verified.
    """
    table = data.root / path
    footer = tables.read_footer(table)
    quarantine = data.quarantine / table.name
    try:
        if footer is None or not _is_whole(table):
            return None
        reasons = quarantined(footer, quarantine)
        if reasons and not _holds(quarantine, footer["input_sha256"], sum(reasons.values())):
            return None
        report = of_footer(path, footer, reasons)
        return report.model_copy(
            update={
                "table_sha256": files.sha256(table),
                "quarantine": data.relative(quarantine) if reasons else "",
                "quarantine_sha256": files.sha256(quarantine) if reasons else "",
            }
        )
    except (OSError, LookupError, TypeError, ValueError, pa.ArrowException):
        return None


def of_footer(path: str, footer: Mapping[str, str], reasons: dict[str, int]) -> FileReport:
    """What the footer of the score table at `path` says, without checksums; raises LookupError, ValueError.

    `reasons` is how many records were quarantined for each reason.
    """
    return FileReport(
        file=footer["source_file"],
        status="scored",
        model_id=footer["model_id"],
        table=path,
        sha256=footer["input_sha256"],
        rows=int(footer["rows_in"]),
        scored=int(footer["rows_scored"]),
        positive=int(footer["rows_positive"]),
        quarantined=reasons,
        lines=int(footer["lines_in"]),
        lines_quarantined=int(footer.get("lines_quarantined", 0)),
        bytes=int(footer["bytes_in"]),
        threshold=float(footer["threshold"]),
        profile=Profile(
            probabilities=json.loads(footer.get("histogram", "[]")),
            lengths=json.loads(footer.get("lengths", "[]")),
            rare=json.loads(footer.get("rare", "[]")),
            unknown=json.loads(footer.get("unknown", "[]")),
            words=int(footer.get("words", 0)),
            known=int(footer.get("words_known", 0)),
        ),
    )


def time_of_next(folder: Path, now: datetime) -> datetime:
    """When the next report is said to be made: `now`, in UTC, or a microsecond after the last report.

    Reports are read in the order of their names, and a clock may go back: by less than a day, else it is the last
    report whose time is wrong.
    """
    last = max((path.stem for path in folder.glob("[0-9]*.json")), default="")
    if f"{now:{NAME}}" <= last <= f"{now + timedelta(days=1):{NAME}}":
        with suppress(ValueError):  # somebody else's file
            return datetime.strptime(last, NAME).replace(tzinfo=UTC) + timedelta(microseconds=1)
    return now


def scored_since(folder: Path, moment: datetime) -> list[str]:
    """The paths below the data folder of the tables that reports since then have as scored, the oldest first.

    `moment` is in UTC. A damaged report says nothing.
    """
    found: list[str] = []
    for path in sorted(folder.glob("*.json")):
        try:
            if path.stem >= f"{moment:{NAME}}":
                entries = json.loads(path.read_bytes())["files"]
                found += [entry["table"] for entry in entries if entry["status"] == "scored"]
        except (OSError, ValueError, LookupError, TypeError):
            continue
    return list(dict.fromkeys(reversed(found)))[::-1]


def _is_whole(table: Path) -> bool:
    with pq.ParquetFile(table, page_checksum_verification=True) as file:
        return sum(len(batch) for batch in file.iter_batches()) == file.metadata.num_rows


def _holds(quarantine: Path, input_sha256: str, rows: int) -> bool:
    footer = tables.read_footer(quarantine) or {}
    of_input = footer.get("input_sha256") == input_sha256
    return of_input and pq.read_metadata(quarantine).num_rows == rows and _is_whole(quarantine)


def quarantined(footer: Mapping[str, str], quarantine: Path) -> dict[str, int]:
    """How many records were quarantined for each reason: what the footer says, or in version 0.1 the quarantine."""
    if "quarantined" in footer:
        found: dict[str, int] = json.loads(footer["quarantined"])
        return found
    if footer["rows_quarantined"] == "0":
        return {}
    return dict(Counter(pq.read_table(quarantine, columns=["reason"])["reason"].to_pylist()))
