"""Score tables: columns as the contract has them, and nothing published that does not add up."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from tasks.lib import errors
from tasks.lib.dumps import reader
from tasks.lib.scores import tables
from tests.support.known_dumps import CASES, expected
from tests.support.tables import SHA, score


@pytest.fixture
def dump(tmp_path: Path) -> Path:
    path = tmp_path / "d.csv"
    path.write_text('id,review,label\n007,"two\nlines",NA\n008,plain,\n009\n010,last,null\n')
    return path


def test_columns_in_another_order_or_of_another_type(dump: Path, tmp_path: Path) -> None:
    schema = pq.read_schema(score(dump, tmp_path))
    assert {name: str(schema.field(name).type) for name in schema.names} == {
        "row_id": "string",
        "source_file": "string",
        "source_line": "int64",
        "positive_probability": "float",
        "predicted_label": "string",
        "known_tokens": "int32",
        "model_id": "string",
        "id": "string",
        "review": "string",
        "label": "string",
    }
    assert schema.names[:7] == list(tables.OWN_COLUMNS)


def test_rows_that_cannot_be_found_in_the_dump_again(dump: Path, tmp_path: Path) -> None:
    table = pd.read_parquet(score(dump, tmp_path))
    assert table["source_line"].tolist() == [2, 4, 6]
    assert table["row_id"].tolist() == [f"{SHA[:16]}-{ordinal}" for ordinal in (1, 2, 4)]
    assert table["id"].tolist() == ["007", "008", "010"]
    assert table["label"].tolist() == ["NA", "", "null"]
    quarantined = pd.read_parquet(tmp_path / "quarantine" / "t.parquet")
    assert quarantined[["source_file", "first_line", "last_line"]].values.tolist() == [["d.csv", 5, 5]]
    assert quarantined["raw"][0] == b"009\n"


def test_a_threshold_that_leaves_out_its_own_value(dump: Path, tmp_path: Path) -> None:
    assert pd.read_parquet(score(dump, tmp_path))["predicted_label"].tolist() == ["negative", "positive", "positive"]


def test_a_lost_row_that_is_published(dump: Path, tmp_path: Path) -> None:
    with pytest.raises(errors.OutputError, match=r"d\.csv: 4 rows in, but 2 scored and 1 quarantined"):
        score(dump, tmp_path, lose=1)
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path != dump]


@pytest.mark.parametrize(("text", "rows"), [("fine", 20_000), ("fine " * 4_000, 2_500)], ids=["rows", "bytes"])
def test_row_groups_that_fill_the_footer_or_the_memory(tmp_path: Path, text: str, rows: int) -> None:
    dump = tmp_path / "d.csv"
    dump.write_text("review\n" + f"{text}\n" * rows)
    stored = pq.read_metadata(score(dump, tmp_path))
    assert (stored.num_rows, stored.num_row_groups) == (rows, 3)


def test_a_footer_that_does_not_balance(dump: Path, tmp_path: Path) -> None:
    footer = tables.read_footer(score(dump, tmp_path))
    assert footer is not None
    assert (footer["rows_in"], footer["rows_scored"], footer["rows_quarantined"]) == ("4", "3", "1")
    assert (footer["input_sha256"], footer["model_id"]) == (SHA, "gru-000000000000")
    assert int(footer["bytes_in"]) == dump.stat().st_size
    stored = pq.read_table(tmp_path / "scores" / "t.parquet").schema.metadata
    assert stored is not None
    assert stored[b"rows_in"] == b"4"


def test_a_quarantine_of_the_past_that_stays(dump: Path, tmp_path: Path) -> None:
    score(dump, tmp_path)
    dump.write_text("review\nfine\n")
    score(dump, tmp_path)
    assert not (tmp_path / "quarantine" / "t.parquet").exists()


def test_a_flipped_bit_in_a_table_that_is_read(dump: Path, tmp_path: Path) -> None:
    path = score(dump, tmp_path)
    content = bytearray(path.read_bytes())
    content[40] ^= 1
    path.write_bytes(content)
    with pytest.raises(OSError, match="CRC"):
        pq.read_table(path, page_checksum_verification=True)


@pytest.mark.parametrize(
    ("header", "keep", "expected"),
    [
        (["id", "review"], None, ["id", "review"]),
        (["row_id", "model_id", "model"], None, ["input_row_id", "input_model_id", "input_model"]),
        (["row_id", "input_row_id"], None, ["input_row_id", "input_input_row_id"]),
        (["", "a"], None, ["column_1", "a"]),
        (["a", "b", "c"], ("c", "a"), ["a", "c"]),
        (["a", "b", "c"], ("a, c",), ["a", "c"]),
        (["a,b", "c"], ("a,b",), ["a,b"]),
        (["a", "b"], (), []),
        (["a", "review", "a", "a_2", "a", "", ""], None, ["a", "review", "a_3", "a_2", "a_4", "column_6", "_2"]),
        (["a", "review", "a"], ("a_2",), ["a_2"]),
    ],
)
def test_input_columns_that_hide_ours_or_each_other(
    header: list[str], keep: tuple[str, ...] | None, expected: list[str]
) -> None:
    assert list(tables.carried_columns(header, keep, "d.csv").values()) == expected


def test_a_misspelt_column_to_keep() -> None:
    """The message names the columns, but those that could be text of a review in a file without a header."""
    with pytest.raises(errors.InputError, match=r"d\.csv: no column 'ids' to keep \(found: id, review\)"):
        tables.carried_columns(["id", "review"], ["ids"], "d.csv")
    with pytest.raises(errors.InputError) as caught:
        tables.carried_columns(["review", "SECRET film"], ["ids"], "d.csv")
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize(
    ("source_file", "stem"),
    [
        ("reviews-0412.csv", "reviews-0412"),
        ("sub/a.tsv.gz", "sub_a"),
        ("../../etc/x.csv", "etc_x"),
        ("_hidden.csv", "hidden"),
        (".csv", "dump"),
        ("a\nb'\"c.csv.zst", "a_b__c"),
        ("model=x.csv", "model_x"),
        ("Kritik Müller.csv", "Kritik Müller"),
        ("a.jsonl.bz2", "a"),
        ("a.NDJSON", "a"),
        ("a.csv.parquet", "a.csv"),
    ],
)
def test_a_file_name_that_leads_elsewhere_or_hides_its_table(source_file: str, stem: str) -> None:
    assert tables.table_name(source_file, SHA) == f"{stem}-{SHA[:16]}.parquet"


def test_counts_of_an_empty_dump_that_do_not_balance(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_text("id,review\n")
    assert pq.read_metadata(score(path, tmp_path)).num_rows == 0


def rows_of(path: Path, columns: list[str]) -> list[list[object]]:
    """The rows of a table, each as its values in these columns; none if there is no table."""
    if not path.exists():
        return []
    table = pq.read_table(path, columns=columns, page_checksum_verification=True)
    return [list(values) for values in zip(*(table[name].to_pylist() for name in columns), strict=True)]


@pytest.mark.parametrize("name", CASES)
def test_a_cell_or_a_record_that_a_table_alters(tmp_path: Path, name: str) -> None:
    header, parts = CASES[name]
    dump = tmp_path / "reviews.csv"
    dump.write_bytes(header + b"".join(raw for raw, _ in parts))
    right = expected(header.count(b"\n") + 1, parts, b"\n")
    with reader.open(dump) as opened:
        names = list(tables.carried_columns(opened.header, None, dump.name).values())
    table = score(dump, tmp_path)
    assert rows_of(table, ["row_id", "source_line", *names]) == [
        [f"{SHA[:16]}-{ordinal}", found[0], *found[1]] for ordinal, found in enumerate(right, 1) if len(found) == 2
    ]
    quarantined = rows_of(tmp_path / "quarantine" / table.name, ["first_line", "last_line", "reason", "raw"])
    assert quarantined == [list(found) for found in right if len(found) == 4]
