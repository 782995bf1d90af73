"""Records, good and broken, and the lines that they are made of."""

import time
from pathlib import Path

import pytest

from tasks.lib.dumps.blocks import RAW_LIMIT
from tests.support.known_dumps import BLANK, CASES, THREE, Part, check, counted, outcome, read, row, rows


@pytest.mark.parametrize("name", CASES)
def test_row_by_row(name: str, tmp_path: Path) -> None:
    header, parts = CASES[name]
    check(tmp_path, header, parts)


def test_bad_rows_take_no_neighbours_along(tmp_path: Path) -> None:
    broken = [
        b'%d,"open,pos\n',
        b'%d,"abc"def,pos\n',
        b"%d,short\n",
        b"%d,one,too,many\n",
        b"%d,caf\xe9,pos\n",
        b"%d,,pos\n",
    ]
    parts: list[Part] = []
    for number in range(1, 20_001):
        if number % 100 == 50:
            parts.append((broken[number // 100 % len(broken)] % number, None))
        elif number % 3:
            parts.append(row(str(number), "A film", "pos"))
        else:
            parts.append((b'%d,"A ""film"",\nso",pos\n' % number, [str(number), 'A "film",\nso', "pos"]))
    path = tmp_path / "reviews.csv"
    path.write_bytes(THREE + b"".join(raw for raw, _ in parts))
    dump, blocks = read(path)
    assert [fields for block in blocks for fields in block.rows] == [right for _, right in parts if right]
    assert [span.raw for block in blocks for span in block.spans] == [raw for raw, right in parts if not right]
    assert (counted(blocks), dump.counts.rows) == ((19_800, 200), 20_000)


@pytest.mark.parametrize("line", [b'%d,"open,pos\n', b'"open %d\n', b'b",%d,"d\n', b'"abc"%d\n'])
def test_stray_quotes_cost_no_quadratic_time(line: bytes, tmp_path: Path) -> None:
    def seconds(lines: int) -> float:
        good = b"".join(raw for raw, _ in rows(1, 100))
        path.write_bytes(THREE + good + b"".join(line % i for i in range(101, 101 + lines)))
        started = time.process_time()
        _, blocks = read(path)
        taken = time.process_time() - started
        assert counted(blocks)[0] == 100
        return taken

    path = tmp_path / "reviews.csv"
    few, many = (min(taken) for taken in zip(*((seconds(500), seconds(2_000)) for _ in range(5)), strict=True))
    assert many < 6 * few, "four times the lines"


def test_cr_only(tmp_path: Path) -> None:
    parts: list[Part] = [
        (b"1,a,pos\r", ["1", "a", "pos"]),
        (b'2,"b\nb\r\rb",neg\r', ["2", "b\nb\r\rb", "neg"]),
        (b"\r", BLANK),
        (b"3,short\r", "too_few_fields"),
        (b"4,c\nd,pos\r", "lone_line_break"),
        (b"5,d,pos", ["5", "d", "pos"]),
    ]
    check(tmp_path, b"id,review,label\r", parts, end=b"\r")


def test_multibyte_encoding_is_not_parted_within_a_character(tmp_path: Path) -> None:
    text = "表示ソ能、\nある"
    check(tmp_path, THREE, [(f'1,"{text}",pos\n'.encode("shift_jis"), ["1", text, "pos"])], encoding="shift_jis")


def test_encoding_reads_what_utf_8_cannot(tmp_path: Path) -> None:
    parts: list[Part] = [
        (b"1,caf\xe9 \x93so\x94 \x85,pos\n", ["1", "café “so” …", "pos"]),
        (b"2,\x81,pos\n", "undecodable"),
    ]
    check(tmp_path, THREE, parts, encoding="cp1252")


def test_field_of_50_mb(tmp_path: Path) -> None:
    text = 'It was "so" good, and it went on and on and on for ever. Then it went on again.' * 10 + "\n"
    text *= 62_500
    path = tmp_path / "reviews.csv"
    path.write_bytes(THREE + b'1,"' + text.replace('"', '""').encode() + b'",pos\n2,b,neg\n')
    dump, blocks = read(path)
    assert [block.rows[0][0] for block in blocks] == ["1", "2"]
    assert blocks[0].rows[0][1] == text
    assert (dump.counts.lines, dump.counts.rows) == (62_503, 2)


@pytest.mark.parametrize("size", [999, 1000, 1001, 5000, 300_000])
@pytest.mark.parametrize("end", [b"\n", b"\r"])
def test_line_over_the_limit_is_skipped_and_counted(size: int, end: bytes, tmp_path: Path) -> None:
    long = b"3," + b"x" * (size - 7) + b",pos" + end
    parts = [(raw.replace(b"\n", end), right) for raw, right in [*rows(1, 2), (long, None), *rows(4, 5)]]
    path = tmp_path / "reviews.csv"
    path.write_bytes(b"id,review,label" + end + b"".join(raw for raw, _ in parts))
    found = outcome(path, record_limit=1000)
    assert [fields for _, fields, *_ in found if isinstance(fields, list)] == [
        right or ["3", "x" * (size - 7), "pos"] for _, right in parts if right or size <= 1000
    ]
    if size > 1000:
        assert found[2] == (4, 4, "field_too_large", long[:RAW_LIMIT])
        span = next(span for block in read(path, record_limit=1000)[1] for span in block.spans)
        assert span.raw_bytes == size


def test_record_over_the_limit_takes_no_neighbours_along(tmp_path: Path) -> None:
    parts: list[Part] = [*rows(1, 3), (b'4,"open,pos\n', "unterminated_quote"), *rows(5, 400)]
    check(tmp_path, THREE, parts, record_limit=1000)
