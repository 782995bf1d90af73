"""Parquet: every row is scored or quarantined, every value is carried as its text, and a damaged file fails whole."""

from __future__ import annotations

import datetime
import decimal
import errno
import hashlib
import os
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.lib.dumps import reader
from tasks.lib.errors import InputError
from tests.support.known_dumps import counted, outcome, read, refused

MOMENT = datetime.datetime(2024, 5, 6, 7, 8, 9, 10)


def written(tmp_path: Path, columns: Mapping[str, Any], **options: Any) -> Path:
    path = tmp_path / "reviews.parquet"
    pq.write_table(pa.table(dict(columns)), path, write_page_checksum=True, **options)
    return path


def texts(count: int) -> list[str]:
    return [f"review {number} \N{CLAPPER BOARD}" for number in range(count)]


@pytest.mark.parametrize(
    "kind",
    [
        pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary(), pa.json_(),
        pa.dictionary(pa.int32(), pa.string()), pa.dictionary(pa.int8(), pa.large_string()),
    ],
    ids=str,
)  # fmt: skip
def test_reviews_of_another_type_of_text(tmp_path: Path, kind: pa.DataType) -> None:
    words = pa.array(["fine", "fine", "so-so \N{CLAPPER BOARD}"])
    stored = words.cast(kind.storage_type).cast(kind) if isinstance(kind, pa.BaseExtensionType) else words.cast(kind)
    path = written(tmp_path, {"review": stored, "copy": stored})
    assert outcome(path) == [(row, [text, text]) for row, text in enumerate(words.to_pylist(), 1)]


@pytest.mark.parametrize(
    ("value", "kind", "cell"),
    [
        ("007", pa.string(), "007"), ("NA", pa.string(), "NA"), (" x\r\n", pa.string(), " x\r\n"), (7, pa.int8(), "7"),
        (2**64 - 1, pa.uint64(), "18446744073709551615"), (0.1, pa.float64(), "0.1"), (0.1, pa.float32(), "0.1"),
        (float("nan"), pa.float64(), "nan"), (True, pa.bool_(), "true"), (MOMENT.date(), pa.date32(), "2024-05-06"),
        (MOMENT, pa.timestamp("us"), "2024-05-06 07:08:09.000010"), (MOMENT.time(), pa.time64("us"), "07:08:09.000010"),
        (MOMENT, pa.timestamp("us", "UTC"), "2024-05-06 07:08:09.000010Z"), (None, pa.null(), ""),
        (decimal.Decimal("1.20"), pa.decimal128(5, 2), "1.20"), (5, pa.dictionary(pa.int8(), pa.int64()), "5"),
        (b"caf\xc3\xa9", pa.binary(), "café"), (None, pa.string(), ""), ("", pa.string(), ""), (None, pa.int64(), ""),
    ],
)  # fmt: skip
def test_a_value_that_is_not_its_text(tmp_path: Path, value: Any, kind: pa.DataType, cell: str) -> None:
    path = written(tmp_path, {"value": pa.array([value], kind), "review": ["fine"]})
    assert outcome(path) == [(1, [cell, "fine"])]


def test_a_bad_row_that_is_scored_or_takes_its_neighbours_along(tmp_path: Path) -> None:
    reviews = [b"good", None, b"", b" \xc2\xa0", b"caf\xe9", b"a\0b", b"x" * 2_000, b"good"]
    ids = [str(number) if number != 3 else None for number in range(8)]
    path = written(tmp_path, {"id": ids, "review": pa.array(reviews, pa.binary())})
    assert outcome(path, record_limit=1_000) == [
        (1, ["0", "good"]),
        (2, 2, "empty_review", b'{"id": "1", "review": null}\n'),
        (3, 3, "empty_review", b'{"id": "2", "review": ""}\n'),
        (4, 4, "empty_review", b'{"id": null, "review": " \xc2\xa0"}\n'),
        (5, 5, "undecodable", b'{"id": "4", "review": "caf\xe9"}\n'),
        (6, 6, "nul_byte", b'{"id": "5", "review": "a\\u0000b"}\n'),
        (7, 7, "field_too_large", b'{"id": "6", "review": "' + b"x" * 2_000 + b'"}\n'),
        (8, ["7", "good"]),
    ]


def test_a_large_record_of_which_all_is_kept(tmp_path: Path) -> None:
    _, (block,) = read(written(tmp_path, {"review": ["a\0" + "x" * 100_000]}))
    assert [(len(span.raw), span.raw_bytes) for span in block.spans] == [(64 << 10, 100_022)]


@pytest.mark.parametrize("block_rows", [1, 7, 256, 2_048])
@pytest.mark.parametrize("group", [100, 1_000, 10_000])
def test_rows_that_are_lost_between_pages_and_groups(tmp_path: Path, block_rows: int, group: int) -> None:
    reviews = [text if number % 97 else "" for number, text in enumerate(texts(5_000))]
    path = written(tmp_path, {"review": reviews}, row_group_size=group, data_page_size=1_000)
    dump, blocks = read(path, block_rows=block_rows)
    assert [block.records for block in blocks[:-1]] == [block_rows // 256 * 256 or block_rows] * (len(blocks) - 1)
    assert [row for block in blocks for (row,) in block.rows] == [text for text in reviews if text]
    assert [line for block in blocks for line in block.lines] == [n for n, text in enumerate(reviews, 1) if text]
    assert (dump.counts.rows, dump.counts.lines, counted(blocks)[1]) == (5_000, 5_000, 52)
    assert dump.counts.bytes == sum(len(text.encode()) for text in reviews)
    assert dump.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_rows_that_the_footer_says_are_large(tmp_path: Path) -> None:
    path = written(tmp_path, {"review": [f"{number} " + "x" * 100_000 for number in range(60)]})
    _, blocks = read(path, block_bytes=1 << 20)
    assert max(block.records for block in blocks) <= 20


def test_a_limit_of_bytes_that_is_passed_over(tmp_path: Path) -> None:
    path = written(tmp_path, {"review": texts(1_000)})
    length = sum(len(text.encode()) for text in texts(1_000))
    assert counted(read(path, max_bytes=length)[1]) == (1_000, 0)
    with pytest.raises(InputError, match=f"limit of {length - 1} bytes"):
        read(path, max_bytes=length - 1)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            {"review": ["a"], "tags": [["x"]], "at": [{"x": 1}]},
            r"found nested columns \(tags, at\)\. Write the file without them",
        ),
        ({"review": [["a"]]}, r"nested columns \(review\)"),
        ({"review": [1]}, r"found reviews of type int64 \(review\)"),
        ({"review": ["a"], "key": pa.array([b"ab"], pa.binary(2))}, r"columns that cannot be text \(key\)"),
        ({"text": ["a"], "id": [1]}, r"no column 'review' \(found: text, id\)\. Name it with --review-column\."),
        ({"Review": ["a"], "REVIEW": ["b"]}, "2 columns may be meant by 'review'"),
    ],
)
def test_columns_that_cannot_be_carried(tmp_path: Path, columns: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read(written(tmp_path, columns))
    assert "\n" not in str(caught.value)


def test_two_columns_of_one_name_of_which_one_is_lost(tmp_path: Path) -> None:
    table = pa.table([pa.array(["a"]), pa.array(["1"]), pa.array(["2"])], names=["review", "id", "id"])
    pq.write_table(table, tmp_path / "reviews.parquet")
    with pytest.raises(InputError, match=r"more than one column of that name \(id\)"):
        read(tmp_path / "reviews.parquet")


@pytest.mark.parametrize("content", [b"", b"review\nfine\n", b"PAR1", b"PAR1" + bytes(100) + b"PAR1", os.urandom(500)])
def test_a_file_that_is_no_parquet(tmp_path: Path, content: bytes) -> None:
    assert "expected Parquet" in refused(tmp_path, content, "reviews.parquet")


def test_a_file_that_is_cut_off_or_flipped_and_is_read_to_its_end(tmp_path: Path) -> None:
    path = written(tmp_path, {"id": list(range(3_000)), "review": texts(3_000)}, row_group_size=1_000)
    content, right = path.read_bytes(), [block.rows for block in read(path)[1]]
    chance, found = random.Random(0), 0
    for at in [*range(len(content) - 40, len(content), 7), len(content) // 2, 4]:
        refused(tmp_path, content[:at], "reviews.parquet")
    for _ in range(150):
        flipped = bytearray(content)
        flipped[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        path.write_bytes(flipped)
        try:
            assert [block.rows for block in read(path)[1]] == right  # the bit means nothing, such as one of a statistic
        except InputError:
            found += 1
    assert found > 120


def test_a_disk_that_stops_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, {"review": texts(1_000)})

    def fail(descriptor: int, size: int) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with reader.open(path) as dump:
        monkeypatch.setattr(os, "read", fail)
        with pytest.raises(InputError, match=r"^reviews\.parquet: could not be read: Input/output error\. Fix"):
            list(dump)


@pytest.mark.parametrize("repeated", [True, False], ids=["a value that a page has once", "a large row group"])
def test_memory_that_grows_with_what_a_file_opens_to(tmp_path: Path, repeated: bool) -> None:
    large = "x" * 100_000
    reviews = [large if repeated else f"{row} {large}" for row in range(800)]
    path = written(tmp_path, {"review": reviews}, write_batch_size=8)  # it looks at the size of a page so often
    assert path.stat().st_size < 6_000_000
    before = pa.total_allocated_bytes()
    with reader.open(path) as dump:
        for _ in dump:
            assert pa.total_allocated_bytes() - before < 70_000_000
