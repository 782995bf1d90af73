"""Dumps as a whole: blocks, counts, and what messages may say."""

import csv
import gzip
from pathlib import Path

import pytest

from tasks.lib.dumps import reader
from tasks.lib.errors import OutputError
from tests.support.known_dumps import CASES, TEXT, THREE, Part, check, read, row, rows


def test_long_spans_keep_all_their_bytes(tmp_path: Path) -> None:
    path = tmp_path / "reviews.csv"
    tail = b'9,"open\n' + b"some text\n" * 20_000
    path.write_bytes(THREE + b"".join(raw for raw, _ in rows(1, 8)) + tail)
    dump, blocks = read(path)
    spans = [span for block in blocks for span in block.spans]
    assert b"".join(span.raw for span in spans) == tail
    assert (len(spans), dump.counts.rows) == (4, 12)


@pytest.mark.parametrize("block_rows", [1, 2, 7, 2048])
def test_blocks_are_small_and_in_order(block_rows: int, tmp_path: Path) -> None:
    parts: list[Part] = [*rows(1, 9), (b"10,short\n", "too_few_fields"), *rows(11, 30), (b"31\n", "too_few_fields")]
    check(tmp_path, THREE, parts, block_rows=block_rows)
    _, blocks = read(tmp_path / "reviews.csv", block_rows=block_rows)
    assert all(0 < len(block.rows) + len(block.spans) <= block_rows for block in blocks)


def test_block_bytes_bound_a_block(tmp_path: Path) -> None:
    parts: list[Part] = [(b"%d," % i + b"x" * 100_000 + b",pos\n", [str(i), "x" * 100_000, "pos"]) for i in range(40)]
    check(tmp_path, THREE, parts, block_bytes=1 << 20)
    _, blocks = read(tmp_path / "reviews.csv", block_bytes=1 << 20)
    assert all(len(block.rows) < 30 for block in blocks)


def test_spans_count_towards_a_block(tmp_path: Path) -> None:
    path = tmp_path / "reviews.csv"
    path.write_bytes(THREE + (b"x" * 50_000 + b"\n") * 100)
    _, blocks = read(path, block_bytes=1 << 20)
    assert max(sum(len(span.raw) for span in block.spans) for block in blocks) < 3 << 20


def test_counts_that_do_not_balance_are_no_result(tmp_path: Path) -> None:
    path = tmp_path / "reviews.csv"
    path.write_bytes(TEXT)
    for name in ("lines", "bytes"):
        with reader.open(path) as dump, pytest.raises(OutputError, match=r"reviews\.csv: .* accounted for"):
            for _ in dump:
                setattr(dump.counts, name, getattr(dump.counts, name) + 1)


def test_no_detail_holds_text_of_the_record(tmp_path: Path) -> None:
    path = tmp_path / "reviews.csv"
    for name, (header, parts) in CASES.items():
        if sum(len(raw) for raw, _ in parts) > 50_000:
            continue
        path.write_bytes(
            header + b"".join(raw.replace(b"open", b"SECRET").replace(b"abc", b"SECRET") for raw, _ in parts)
        )
        _, blocks = read(path)
        assert not [span.detail for block in blocks for span in block.spans if "SECRET" in span.detail], name


def test_real_reviews_are_read_as_the_standard_library_reads_them(imdb_dir: Path) -> None:
    path = imdb_dir / "reviews_test.csv.gz"
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        header, *right = csv.reader(file, strict=True)
    dump, blocks = read(path)
    assert [fields for block in blocks for fields in block.rows] == right
    assert (list(dump.header), dump.counts.rows) == (header, len(right))


def test_an_untouched_record_whose_opening_quote_closes_the_one_before(tmp_path: Path) -> None:
    """Its second line must not be a row of its own."""
    text = b', he said ""The\n Kid"", or even ""The\n film""'
    check(
        tmp_path,
        b"label,review\n",
        [
            (b'pos,"the closing quote is lost\n', "too_many_fields"),
            (b'neg,"' + text + b'"\n', ["neg", text.decode().replace('""', '"')]),
            row("pos", "next"),
        ],
    )


def test_quotes_that_an_exporter_does_not_double_take_along_their_neighbours(tmp_path: Path) -> None:
    good = [row(str(number), "fine film", "pos") for number in range(9)]
    bad: list[Part] = [(b'%d,"he said "no" twice",pos\n' % number, "malformed_quote") for number in range(9)]
    check(tmp_path, THREE, [part for pair in zip(good, bad, strict=True) for part in pair])
