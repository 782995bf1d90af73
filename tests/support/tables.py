"""Tables with made-up probabilities, written from a dump without a model, and tables that somebody alters."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.lib import files
from tasks.lib.dumps import reader
from tasks.lib.dumps.blocks import RowBlock
from tasks.lib.layout import Layout
from tasks.lib.profiles import Scores
from tasks.lib.scores import scored, tables

SHA = "0123456789abcdef" * 4


def score(dump: Path, folder: Path, *, threshold: float = 0.5, lose: int = 0) -> Path:
    """Scores a dump with made-up probabilities, and drops the last `lose` rows on the way."""
    table, quarantine = folder / "scores" / "t.parquet", folder / "quarantine" / "t.parquet"
    with reader.open(dump) as opened:
        origin = tables.Origin(dump.name, SHA, "gru-000000000000", threshold, "review", opened.header, opened.delimiter)
        carried = tables.carried_columns(opened.header, None, dump.name)
        with tables.Tables(table, quarantine, origin, carried) as out:
            for block in opened:
                count = len(block.rows) - lose
                kept = RowBlock(block.ordinals[:count], block.lines[:count], block.spans, block.rows[:count])
                words = np.arange(count, dtype=np.int32)
                out.add(kept, Scores(np.linspace(0, 1, count, dtype=np.float32), words, words * 0, words))
            out.publish(opened.counts)
    return table


def alter(path: Path, columns: Mapping[str, Sequence[Any]] | None = None, **footer: object) -> None:
    """Writes a table again with other values in some columns, or other words in its footer; its pages are sound."""
    stored = pq.read_table(path)
    for name, values in (columns or {}).items():
        at = stored.schema.get_field_index(name)
        stored = stored.set_column(at, name, pa.array(values, stored.schema.field(at).type))
    rewrite(path, stored, **footer)


def rewrite(path: Path, rows: pa.Table, **footer: object) -> None:
    """Writes these rows in place of those of a table, with its footer or other words in it; its pages are sound."""
    words = {name: str(value) for name, value in {**(tables.read_footer(path) or {}), **footer}.items()}
    schema = rows.schema.remove_metadata()
    with pq.ParquetWriter(path, schema, write_page_checksum=True, store_schema=False) as writer:
        writer.write_table(rows.cast(schema))
        writer.add_key_value_metadata(words)


def flip(path: Path, at: int) -> None:
    """Flips one bit of a file."""
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def put_right(data: Layout, paths: Sequence[str] = ()) -> None:
    """Enters the checksums of what stands, altered or not, as if published so: of all tables or of these."""
    for path in paths or scored.find(data):
        quarantine = data.quarantine / Path(path).name
        with closing(sqlite3.connect(data.ledger)) as connection, connection:
            connection.execute("UPDATE tables SET sha256 = ? WHERE path = ?", [files.sha256(data.root / path), path])
            if quarantine.exists():
                found = [files.sha256(quarantine), data.relative(quarantine)]
                connection.execute("UPDATE quarantines SET sha256 = ? WHERE path = ?", found)
