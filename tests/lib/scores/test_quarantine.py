"""Repairing what was quarantined, and exports that a spreadsheet may open."""

from __future__ import annotations

import csv
import stat
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.lib import files
from tasks.lib.dumps import reader
from tasks.lib.dumps.blocks import Options
from tasks.lib.scores import exports, quarantine, tables
from tests.support.tables import SHA, score


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """A folder with the quarantine of a dump of which three of five records are bad."""
    dump = tmp_path / "d.csv"
    dump.write_bytes(b'id;review\r\n1;good\r\n2;caf\xe9\r\n3\r\n4;"a"b\r\n5;fine\r\n')
    score(dump, tmp_path)
    return tmp_path / "quarantine"


def test_records_that_come_back_altered(damaged: Path) -> None:
    (dump,) = quarantine.exported(damaged).dumps
    assert dump.name == "t-requeued.csv"
    assert dump.read_bytes() == b'id;review\n2;caf\xe9\n3\n4;"a"b\n'
    assert stat.S_IMODE(dump.stat().st_mode) == 0o600


def lines_of(tmp_path: Path) -> Path:
    path = tmp_path / "d.jsonl"
    path.write_bytes(b'{"id": 1, "review": "good"}\n{"id": 2, "review": \n{"id": 3, "review": null}\r\n')
    return path


def columns_of(tmp_path: Path) -> Path:
    path = tmp_path / "d.parquet"
    pq.write_table(pa.table({"id": [1, 2, 3], "review": pa.array([b"good", b"caf\xe9", None], pa.binary())}), path)
    return path


@pytest.mark.parametrize(
    ("dump_in", "content"),
    [
        (lines_of, b'{"id": 2, "review": \n{"id": 3, "review": null}\n'),
        (columns_of, b'{"id": "2", "review": "caf\xe9"}\n{"id": "3", "review": null}\n'),
    ],
)
def test_records_that_cannot_be_repaired_in_their_form(
    tmp_path: Path, dump_in: Callable[[Path], Path], content: bytes
) -> None:
    score(dump_in(tmp_path), tmp_path)
    (dump,) = quarantine.exported(tmp_path / "quarantine").dumps
    assert (dump.name, dump.read_bytes()) == ("t-requeued.jsonl", content)
    assert stat.S_IMODE(dump.stat().st_mode) == 0o600
    dump.write_bytes(content.replace(b"null", b'"repaired"'))
    assert quarantine.exported(tmp_path / "quarantine", "cp1252").dumps == [dump]
    with reader.open(dump, Options(encoding="cp1252")) as opened:
        assert [row[1] for block in opened for row in block.rows][-1] == "repaired"


def test_a_repaired_dump_that_is_written_over(damaged: Path) -> None:
    (dump,) = quarantine.exported(damaged).dumps
    dump.write_text("repaired")
    assert [path.read_text() for path in quarantine.exported(damaged).dumps] == ["repaired"]


def test_the_quarantine_of_a_repaired_dump_that_is_requeued_again(damaged: Path) -> None:
    (damaged / f"t-{SHA[:16]}-requeued-{SHA[:16]}.parquet").write_bytes((damaged / "t.parquet").read_bytes())
    assert len(quarantine.exported(damaged).dumps) == 1


def cap(path: Path) -> None:
    """Makes the table one whose records are larger than what was kept of them."""
    table = pq.read_table(path)
    sizes = pa.array([10**6] * len(table))
    changed = table.set_column(table.schema.get_field_index("raw_bytes"), "raw_bytes", sizes)
    pq.write_table(changed.replace_schema_metadata(table.schema.metadata), path)


def test_a_capped_record_that_is_taken_for_whole(damaged: Path) -> None:
    cap(damaged / "t.parquet")
    dumps, failed = quarantine.exported(damaged)
    assert not dumps
    assert "t.parquet: 3 of its records are larger" in failed["t.parquet"]
    assert not list(damaged.glob("*requeued*"))


def test_a_capped_record_that_keeps_other_dumps_from_being_repaired(damaged: Path) -> None:
    for name in ("s.parquet", "u.parquet"):
        (damaged / name).write_bytes((damaged / "t.parquet").read_bytes())
    cap(damaged / "t.parquet")
    dumps, failed = quarantine.exported(damaged)
    assert [path.name for path in dumps] == ["s-requeued.csv", "u-requeued.csv"]
    assert list(failed) == ["t.parquet"]


def test_a_flipped_bit_in_a_quarantine_that_ends_in_a_traceback_or_alters_a_record(damaged: Path) -> None:
    path = damaged / "t.parquet"
    (dump,) = quarantine.exported(damaged).dumps
    right, whole = dump.read_bytes(), path.read_bytes()
    records = right.partition(b"\n")[2]
    refused = 0
    for offset in range(0, len(whole), 11):
        flipped = bytearray(whole)
        flipped[offset] ^= 1 << offset % 8
        path.write_bytes(flipped)
        dump.unlink(missing_ok=True)
        dumps, failed = quarantine.exported(damaged)
        refused += len(failed)
        assert len(dumps) + len(failed) == 1
        assert not dumps or dump.read_bytes().endswith(records), f"byte {offset}"  # Parquet's footer has no checksum
        assert all("\n" not in reason for reason in failed.values())
    assert refused > 40


@pytest.fixture
def french(tmp_path: Path) -> Path:
    """A quarantine of records in cp1252 below a header with an accent, which was in UTF-8."""
    dump = tmp_path / "d.csv"
    dump.write_bytes("prénom,review\n".encode() + b"Ren\xe9,caf\xe9\n")
    score(dump, tmp_path)
    return tmp_path / "quarantine"


def read_again(dump: Path, encoding: str) -> tuple[tuple[str, ...], list[list[str]]]:
    with reader.open(dump, Options(encoding=encoding)) as opened:
        return opened.header, [row for block in opened for row in block.rows]


def test_a_column_name_that_another_encoding_garbles(french: Path) -> None:
    (dump,) = quarantine.exported(french, "cp1252").dumps
    assert read_again(dump, "cp1252") == (("prénom", "review"), [["René", "café"]])


def test_a_column_name_that_stays_garbled_if_the_encoding_is_named_later(french: Path) -> None:
    quarantine.exported(french)
    (dump,) = quarantine.exported(french, "cp1252").dumps
    assert read_again(dump, "cp1252") == (("prénom", "review"), [["René", "café"]])


def test_a_repaired_dump_that_another_encoding_undoes(french: Path) -> None:
    (dump,) = quarantine.exported(french).dumps
    repaired = "prénom,review\nRené,thé\n".encode("cp1252")
    dump.write_bytes(repaired)
    quarantine.exported(french, "cp1252")
    assert dump.read_bytes() == repaired


def test_a_column_name_that_the_encoding_does_not_have(tmp_path: Path) -> None:
    dump = tmp_path / "d.csv"
    dump.write_bytes("電影,review\n".encode() + b"1,caf\xe9\n")
    score(dump, tmp_path)
    _, failed = quarantine.exported(tmp_path / "quarantine", "cp1252")
    assert "cannot be written in cp1252" in failed["t.parquet"]
    assert len(quarantine.exported(tmp_path / "quarantine").dumps) == 1


def test_rows_of_an_earlier_try_that_stand_twice(tmp_path: Path) -> None:
    names = [f"d-{SHA[:16]}-requeued-{digit * 16}.parquet" for digit in "ab"]
    for name in (*names, f"e-{SHA[:16]}-requeued-{'a' * 16}.parquet", f"d-{SHA[:16]}.parquet"):
        (tmp_path / name).touch()
    older = quarantine.superseded(tmp_path / names[1], tmp_path / "quarantine" / names[1])
    assert older == [tmp_path / names[0]]


def test_the_quarantine_of_a_try_that_another_model_has_scored(tmp_path: Path) -> None:
    names = [f"d-{SHA[:16]}-requeued-{digit * 16}.parquet" for digit in "abc"]
    folders = [tmp_path / name for name in ("scores/model=1", "scores/model=2", "quarantine")]
    for folder, kept in zip(folders, (names[:1], names[1:2], names[:2]), strict=True):
        files.make_folder(folder)
        for name in kept:
            (folder / name).touch()
    older = quarantine.superseded(folders[1] / names[2], folders[2] / names[2])
    assert older == [folders[1] / names[1], folders[2] / names[1]]


@pytest.mark.parametrize("letter", ["x", "\N{CJK UNIFIED IDEOGRAPH-597D}"])
def test_a_repaired_dump_with_a_long_name_that_takes_the_place_of_its_original(tmp_path: Path, letter: str) -> None:
    original = tmp_path / tables.table_name(letter * (240 // len(letter.encode())) + ".csv", SHA)
    repaired = tmp_path / tables.table_name(f"{original.stem}-requeued.csv", "ab" * 32)
    for path in (original, repaired, files.partial(repaired)):
        path.touch()
    assert quarantine.superseded(repaired, repaired) == []
    again = tmp_path / tables.table_name(f"{original.stem}-requeued.csv", "cd" * 32)
    assert quarantine.superseded(again, tmp_path / "quarantine" / again.name) == [repaired]


def test_a_dump_that_people_call_requeued_and_that_cannot_be_requeued(damaged: Path) -> None:
    (damaged / "t.parquet").replace(damaged / f"my-requeued-{SHA[:16]}.parquet")
    assert [path.name for path in quarantine.exported(damaged).dumps] == [f"my-requeued-{SHA[:16]}-requeued.csv"]


@pytest.mark.parametrize("cell", ["=1+1", "'=1", "''-1", "'", "'tis", "''", "x=1", "", "\rx", "\n'"])
def test_a_cell_that_cannot_be_restored(cell: str) -> None:
    assert exports.restored(exports.harmless(cell)) == cell == exports.restored(exports.as_text(cell))


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@x", "\tx", "\rx", "'=1"])
def test_a_cell_that_a_spreadsheet_runs(tmp_path: Path, cell: str) -> None:
    dump = tmp_path / "d.csv"
    with dump.open("w", newline="") as file:
        csv.writer(file).writerows([["id", "review"], [cell, "fine"], ["x=1", "also fine"]])
    table = score(dump, tmp_path)
    assert pq.read_table(table)["id"].to_pylist() == [cell, "x=1"]
    exports.write(table, tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == [f"'{cell}", "x=1"]
    assert [float(row["positive_probability"]) for row in rows] == [0.0, 1.0]


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@x", "\tx", "\rx", '=HYPERLINK("x";"y")'])
def test_a_column_name_that_a_spreadsheet_runs(tmp_path: Path, name: str) -> None:
    dump = tmp_path / "d.csv"
    with dump.open("w", newline="") as file:
        csv.writer(file).writerows([[name, "review", "x=1"], ["7", "fine", "8"]])
    table = score(dump, tmp_path)
    assert name in pq.read_schema(table).names
    exports.write(table, tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert list(row)[-3:] == [f"'{name}", "review", "x=1"]
    assert row[f"'{name}"] == "7"
