"""Quarantined records back as a dump: to be repaired in any editor, and scored like any other dump."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.lib import errors, files
from tasks.lib.dumps import header
from tasks.lib.dumps.blocks import Span
from tasks.lib.scores import tables

# What pyarrow and JSON raise on a table that is not what it should be.
DAMAGED = (OSError, LookupError, TypeError, ValueError, pa.ArrowException)
UTF_8 = "utf-8"
DELIMITED, JSON_LINES = "-requeued.csv", "-requeued.jsonl"


class Exported(NamedTuple):
    """The dumps of what lies in quarantine, and the tables of which none can be made, each with the reason."""

    dumps: list[Path]
    failed: dict[str, str]


def exported(folder: Path, encoding: str = UTF_8) -> Exported:
    """The dumps of all quarantine tables in `folder`; each is made if it does not stand there yet.

    The dump of `<name>.parquet` is `<name>-requeued.csv` beside it, or `<name>-requeued.jsonl` if the records are
    objects of JSON, readable by its owner only, its header in the `encoding` in which it will be read. One that stands
    already is kept as it is, since somebody may have repaired it. Runs have to take turns with this. Raises
    `InputError` for an encoding that dumps cannot have, and `OutputError` if a dump cannot be written.
    """
    encoding = header.check_options(encoding, None)
    dumps, failed = [], {}
    for table in sorted(folder.glob("[!.]*.parquet")):
        if tables.REQUEUED.search(_name(table)):
            continue
        try:
            dumps.append(_export(table, encoding))
        except errors.InputError as error:  # the others can be repaired all the same
            failed[table.name] = str(error)
    return Exported(dumps, failed)


def _name(table: Path) -> str:
    """The stem of a table without the digits of its dump's sha256."""
    return table.stem.rpartition("-")[0]


def _export(table: Path, encoding: str) -> Path:
    for end in (DELIMITED, JSON_LINES):
        dump = table.with_name(f"{table.stem}{end}")
        if dump.exists() and not _is_untouched(dump, table, encoding):
            return dump
    content, end = _content(table, encoding)
    dump = table.with_name(f"{table.stem}{end}")
    files.write(dump, content, mode=files.PRIVATE_FILE)
    return dump


def _is_untouched(dump: Path, table: Path, encoding: str) -> bool:
    """Whether the dump is as it was made for UTF-8, and now to be read in another encoding."""
    if encoding == UTF_8:
        return False
    try:
        with files.input_errors(dump):
            return dump.read_bytes() == _content(table, UTF_8)[0]
    except errors.InputError:  # it cannot be made again: what stands is all there is
        return False


def _content(table: Path, encoding: str) -> tuple[bytes, str]:
    """The bytes of the dump, and how its name ends."""
    try:
        names, delimiter, rows = _stored(table)
    except DAMAGED as error:
        raise errors.InputError(
            f"{table}: not readable as a quarantine table. Score its dump again with --rescore."
        ) from error
    capped = sum(len(row["raw"]) < row["raw_bytes"] for row in rows)
    if capped:
        raise errors.InputError(
            f"{table}: {capped} of its records are larger than what a quarantine keeps of them. Repair them in the "
            "dump itself."
        )
    lines = b"".join(row["raw"].rstrip(b"\r\n") + b"\n" for row in rows)
    if not delimiter:
        return lines, JSON_LINES
    line = io.StringIO(newline="")
    csv.writer(line, delimiter=delimiter, lineterminator="\n").writerow(names)
    try:
        first = line.getvalue().encode(encoding)
    except UnicodeEncodeError as error:
        raise errors.InputError(
            f"{table}: its column names cannot be written in {encoding}. Requeue it without --encoding, and repair the "
            "dump that this makes."
        ) from error
    return first + lines, DELIMITED


def _stored(table: Path) -> tuple[list[str], str, list[dict[str, Any]]]:
    """The header, the delimiter and the records of a quarantine table."""
    footer = tables.read_footer(table)
    if footer is None:
        raise ValueError("no footer")
    rows = pq.read_table(table, columns=["raw", "raw_bytes"], page_checksum_verification=True).to_pylist()
    return json.loads(footer["header"]), footer["delimiter"], rows


def write(path: Path, source_file: str, spans: Sequence[Span]) -> None:
    """Writes a quarantine table by itself, readable by its owner only. Raises `OutputError`."""
    with files.new_file(path, mode=files.PRIVATE_FILE) as temporary:
        pq.write_table(tables.quarantine_rows(source_file, spans), temporary, write_page_checksum=True)


def superseded(table: Path, quarantine: Path) -> list[Path]:
    """The tables of earlier tries at the same repaired dump, score tables first; they hold the rows of `table` too.

    None for any other dump. The first digits of the sha256 are all that tells the tries apart. The quarantine of a try
    that another model has scored stays beside its table.
    """
    name = _name(table)
    if not tables.REQUEUED.search(name):
        return []
    tries = [path for newest in (table, quarantine) for path in sorted(newest.parent.glob(f"{name}-*.parquet"))]
    found = [path for path in tries if _name(path) == name and path.name != table.name]
    return [path for path in found if path.parent == table.parent or not _others(table.with_name(path.name))]


def check_shared(source_file: str, table: Path, quarantine: Path, records: str) -> None:
    """Raises `InputError` if a table that another model made of the same dump quarantined other records.

    Both have the quarantine of this name, so that one of the two would lose what it quarantined. `records` is the
    digest of what `tables.record_key` says of those of `table`. Dumps read with the same options never differ.
    """
    if not quarantine.is_file() or _records(quarantine) in (records, None):
        return
    for other in _others(table):
        if (tables.read_footer(other) or {}).get("rows_quarantined", "0") != "0":
            raise errors.InputError(
                f"{source_file}: {other.parent.name}/{other.name} has quarantined other rows of these bytes, and the "
                "quarantine is that of both. Nothing was published: score it with the same --review-column, --encoding "
                "and --delimiter as that model, or remove that table."
            )


def _others(table: Path) -> list[Path]:
    """The tables that other models made of the dump."""
    return [path for path in table.parent.parent.glob(f"model=*/{table.name}") if path.parent != table.parent]


def _records(quarantine: Path) -> str | None:
    """The digest of which records a quarantine has, and why; None if it is damaged."""
    found = hashlib.sha256()
    try:
        with pq.ParquetFile(quarantine, page_checksum_verification=True) as file:
            for batch in file.iter_batches(columns=["first_line", "last_line", "reason"]):
                for record in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                    found.update(tables.record_key(*record))
    except DAMAGED:
        return None
    return found.hexdigest()
