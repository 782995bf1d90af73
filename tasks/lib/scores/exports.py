"""Score tables as CSV, for spreadsheets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from tasks.lib import errors, files
from tasks.lib.layout import Layout

# A spreadsheet takes a cell that begins like this for a formula (OWASP, "CSV Injection"). Apostrophes may stand before
# it: a cell that has one already gets another, so that taking one off gives every cell back. A line feed is none, but
# LibreOffice saves a return as one.
FORMULA = r"^'*[=+\-@\t\r\n]"


def write(table: Path, path: Path) -> None:
    """Writes a score table as CSV; what a spreadsheet would take for a formula gets an apostrophe in front.

    Only there: the Parquet table keeps every cell and every column's name to the letter. Memory does not grow with
    the table. Raises `InputError` if the table is missing or damaged, `OutputError` if the CSV cannot be written.
    """
    batches = _batches(table)
    schema = next(batches).schema
    schema = pa.schema([field.with_name(harmless(field.name)) for field in schema])
    with files.new_file(path) as temporary, pa.csv.CSVWriter(temporary, schema) as writer:
        for batch in batches:
            columns = [_harmless(column) if pa.types.is_string(column.type) else column for column in batch.columns]
            writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))


def harmless(cell: str) -> str:
    """The cell with an apostrophe in front if a spreadsheet would take it for a formula."""
    return f"'{cell}" if re.match(FORMULA, cell) else cell


def as_text(cell: str) -> str:
    """The cell with an apostrophe in front if a spreadsheet would take it for a formula, or for a number or a date.

    Of these it would show and save another form: 7 for 007, and 03/04/26 for 3/4.
    """
    return f"'{cell}" if _is_number(cell) else harmless(cell)


def restored(cell: str) -> str:
    """The cell as it was before `harmless` or `as_text`."""
    guarded = cell.startswith("'") and (re.match(FORMULA, cell) or _is_number(cell))
    return cell[1:] if guarded else cell


def _is_number(cell: str) -> bool:
    """Whether there are digits in the cell, and no letter but one E."""
    letters = re.sub(r"[\W\d_]+", "", cell)
    return letters in ("", "e", "E") and re.search(r"\d", cell) is not None


def path(data: Layout, table: Path) -> Path:
    """Where the export of a score table is."""
    return data.csv / table.parent.name / f"{table.stem}.csv"


def is_newer(data: Layout, table: Path) -> bool:
    """Whether an export of the table was written after it; it may have been edited since."""
    export = path(data, table)
    return export.exists() and export.stat().st_mtime_ns > table.stat().st_mtime_ns


def _batches(table: Path) -> Iterator[pa.RecordBatch]:
    """An empty batch, for its schema, and those of the table. Raises `InputError`."""
    try:
        with pq.ParquetFile(table, page_checksum_verification=True) as file:
            yield pa.RecordBatch.from_pylist([], file.schema_arrow.remove_metadata())
            yield from file.iter_batches()
    except (OSError, ValueError, pa.ArrowException) as error:
        raise errors.InputError(f"{table}: missing or damaged. Score its dump again with --rescore.") from error


def _harmless(column: pa.Array) -> pa.Array:
    quoted = pc.binary_join_element_wise("'", column, "")
    return pc.if_else(pc.match_substring_regex(column, FORMULA), quoted, column)
