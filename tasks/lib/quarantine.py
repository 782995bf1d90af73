"""Quarantined records back as a dump: to be repaired in any editor, and scored like any other dump."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pyarrow.parquet as pq

from tasks.lib import errors, files, tables


def exported(folder: Path) -> list[Path]:
    """The dumps of all quarantine tables in `folder`; each is made if it does not stand there yet.

    The dump of `<name>.parquet` is `<name>-requeued.csv` beside it, readable by its owner only. One that stands
    already is kept as it is, since somebody may have repaired it. Runs have to take turns with this.
    """
    return [_export(path) for path in sorted(folder.glob("[!.]*.parquet")) if not tables.REQUEUED.search(_name(path))]


def _name(table: Path) -> str:
    """The stem of a table without the digits of its dump's sha256."""
    return table.stem.rpartition("-")[0]


def _export(table: Path) -> Path:
    dump = table.with_name(f"{table.stem}-requeued.csv")
    if not dump.exists():
        files.write(dump, _content(table), mode=0o600)
    return dump


def _content(table: Path) -> bytes:
    footer = tables.read_footer(table)
    if footer is None or "header" not in footer:
        raise errors.InputError(f"{table}: not readable as a quarantine table. Score its dump again with --rescore.")
    header = io.StringIO(newline="")
    csv.writer(header, delimiter=footer["delimiter"], lineterminator="\n").writerow(json.loads(footer["header"]))
    rows = pq.read_table(table, columns=["raw", "raw_bytes"], page_checksum_verification=True).to_pylist()
    capped = sum(len(row["raw"]) < row["raw_bytes"] for row in rows)
    if capped:
        raise errors.InputError(
            f"{table}: {capped} of its records are larger than what a quarantine keeps of them. Repair them in the "
            "dump itself."
        )
    return header.getvalue().encode() + b"".join(row["raw"].rstrip(b"\r\n") + b"\n" for row in rows)


def superseded(table: Path, quarantine: Path) -> list[Path]:
    """The tables of earlier tries at the same repaired dump, score tables first; they hold the rows of `table` too.

    None for any other dump. The first digits of the sha256 are all that tells the tries apart.
    """
    name = _name(table)
    if not tables.REQUEUED.search(name):
        return []
    tries = [path for newest in (table, quarantine) for path in newest.parent.glob(f"{name}-*.parquet")]
    return sorted(path for path in tries if _name(path) == name and path.name != table.name)
