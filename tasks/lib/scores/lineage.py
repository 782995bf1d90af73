"""Where scores come from: from the id of a row to its table and its dump, and from a model to all of its tables."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pyarrow.compute as pc

from tasks.lib import errors
from tasks.lib.layout import Layout
from tasks.lib.scores import reports, scored, tables
from tasks.lib.scores.reports import FileReport

ROW_ID = re.compile(r"([0-9a-f]{16})-[1-9][0-9]*")  # the first digits of the sha256 of its dump, its number in it
COLUMNS = ["row_id", "source_line", "positive_probability", "predicted_label", "known_tokens"]


class Row(NamedTuple):
    """What a table says of a row, without its review."""

    line: int
    probability: float
    label: str
    known_tokens: int


class Totals(NamedTuple):
    """How much a model has scored."""

    tables: int
    rows: int
    quarantined: int


def of_row(data: Layout, row_id: str) -> dict[str, Row]:
    """The row in each table that has it, by the table's path below the data folder; two models may have scored it.

    The name of a table has the same digits as its row ids, so no other table is opened. Raises `InputError` if no table
    has the row, or one is damaged.
    """
    match = ROW_ID.fullmatch(row_id)
    paths = sorted(data.scores.glob(f"model=*/[!.]*-{match[1]}.parquet")) if match else []
    found = {data.relative(path): row for path in paths if (row := _find(path, row_id))}
    if not found:
        looked = ", ".join(map(data.relative, paths)) or f"no table in {data.scores} has these digits in its name"
        raise errors.InputError(
            f"{row_id}: expected a scored row, found none ({looked}). If its dump was scored, the row is in quarantine."
        )
    return found


def _find(table: Path, row_id: str) -> Row | None:
    try:
        for batch in scored.batches(table, COLUMNS):
            at = pc.index(batch["row_id"], row_id).as_py()
            if at >= 0:
                return Row(*(batch[name][at].as_py() for name in COLUMNS[1:]))
    except scored.DAMAGED as error:
        raise scored.damaged(table) from error
    return None


def of_table(data: Layout, path: str) -> FileReport:
    """What became of the dump of the score table at `path` below the data folder. Raises `InputError`."""
    table = data.root / path
    try:
        footer = tables.read_footer(table) or {}
        return reports.of_footer(path, footer, reports.quarantined(footer, data.quarantine / table.name))
    except scored.DAMAGED as error:
        raise scored.damaged(table) from error


def of_model(data: Layout, model_id: str) -> Totals:
    """How many tables, rows and quarantined rows a model has made. Raises `InputError` if a table is damaged."""
    paths = tables.folder(data.scores, model_id).glob("[!.]*.parquet")
    found = [of_table(data, data.relative(path)) for path in sorted(paths)]
    return Totals(len(found), sum(one.scored for one in found), sum(one.rows_quarantined for one in found))
