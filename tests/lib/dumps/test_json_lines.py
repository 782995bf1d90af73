"""JSON lines: every line is a row, a quarantined record or blank, and every value is carried as it was written."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.lib.dumps import json_lines
from tests.support.known_dumps import PACKERS, outcome, read, refused

PLAIN = b'{"id": "1", "review": "fine"}\n'


def made(tmp_path: Path, *lines: bytes, name: str = "reviews.jsonl", **options: Any) -> list[tuple[Any, ...]]:
    path = tmp_path / name
    path.write_bytes(b"".join(lines))
    return outcome(path, **options)


@pytest.mark.parametrize("name", ["r.jsonl", "r.NDJSON", "r.ndjson.bz2", *(f"r.jsonl.{end}" for end in ("gz", "zst"))])
def test_a_form_that_is_taken_for_csv(tmp_path: Path, name: str) -> None:
    kinds = {"gz": "gzip", "zst": "zstd", "bz2": "bz2"}
    packed = PACKERS[kinds[name[-3:].strip(".")]](PLAIN) if name.endswith(tuple(kinds)) else PLAIN
    assert made(tmp_path, packed, name=name) == [(1, ["1", "fine"])]


@pytest.mark.parametrize(
    ("written", "cell"),
    [
        ("1.0", "1.0"), ("1e5", "1e5"), ("-0", "-0"), ('"007"', "007"), ("1" * 30, "1" * 30),
        ("9" * 5_000, "9" * 5_000), ("true", "true"), ("false", "false"), ("null", ""), ("NaN", "NaN"), ('""', ""),
        ('"NA"', "NA"), ('"a\\n\\"b\\" \\u00e9"', 'a\n"b" é'), ('"\\ud83d\\ude00"', "\N{GRINNING FACE}"),
        ('["a",  1.0]', '["a",  1.0]'), ('{"x": {"y": 1E2}}', '{"x": {"y": 1E2}}'), ("[ ]", "[ ]"),
        ('"\\u2028"', "\u2028"), ('{"}": "\\""}', '{"}": "\\""}'),
    ],
)  # fmt: skip
def test_a_value_that_is_altered(tmp_path: Path, written: str, cell: str) -> None:
    assert made(tmp_path, f'{{"value" : {written} ,"review": "fine"}}\r\n'.encode()) == [(1, [cell, "fine"])]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"review": "cut', "malformed_json"), (b'{"review": "a"} {"review": "b"}', "malformed_json"),
        (b'["review"]', "malformed_json"), (b'"review"', "malformed_json"), (b"null", "malformed_json"),
        (b'{"review": "a\tb"}', "malformed_json"), (b"{'review': 'a'}", "malformed_json"),
        (b"x" * 99, "malformed_json"), (b'{"review": "a", "id": 007}', "malformed_json"),
        (b'{"a":' * 100_000, "malformed_json"), (b'{"review": "a", "review": "b"}', "duplicate_key"),
        (b'{"review": "a", "x": {"y": 1, "y": 2}}', "duplicate_key"), (b'{"review": "caf\xe9"}', "undecodable"),
        (b'{"review": "a\\ud83d"}', "undecodable"), (b'{"\\udc00": 1, "review": "a"}', "undecodable"),
        (b'{"review": "a\0"}', "nul_byte"), (b'{"review": "a\\u0000"}', "nul_byte"), (b"\0" * 9, "nul_byte"),
        (b'{"review": ""}', "empty_review"), (b'{"review": null}', "empty_review"), (b'{"id": "4"}', "empty_review"),
        (b'{"review": " \\t\\u00a0"}', "empty_review"), (b"{}", "empty_review"),
        (b'{"review": ["a"]}', "nested_review"), (b'{"review": {}}', "nested_review"),
    ],
)  # fmt: skip
def test_a_bad_line_that_is_scored_or_takes_its_neighbours_along(tmp_path: Path, line: bytes, reason: str) -> None:
    around = [(2, ["1", "fine"]), (5, ["1", "fine"])]
    expected = [around[0], (3, 3, reason, line[: 64 << 10] + b"\n" * (len(line) < 64 << 10)), around[1]]
    assert made(tmp_path, b"\r\n", PLAIN, line + b"\n", b"  \n", PLAIN) == expected
    dump, blocks = read(tmp_path / "reviews.jsonl")
    assert (dump.counts.blank, dump.counts.lines) == (2, 5)
    assert [span.raw_bytes for block in blocks for span in block.spans] == [len(line) + 1]


def test_a_detail_that_shows_a_review(tmp_path: Path) -> None:
    lines = [b'{"review": "SECRET\\q"}', b'{"review": "SECRET', b'SECRET {"a": 1}', b'{"SECRET": "\\ud800"}']
    lines += [b'{"review": ["SECRET"]}', b'{"review": "SECRET\xff"}', b'{"SECRET": 1, "SECRET": 2}']
    (tmp_path / "reviews.jsonl").write_bytes(PLAIN + b"\n".join(lines))
    _, blocks = read(tmp_path / "reviews.jsonl")
    spans = [span for block in blocks for span in block.spans]
    assert len(spans) == len(lines)
    assert not [span.detail for span in spans if "SECRET" in span.detail]


def test_a_line_over_the_limit_that_is_held_in_memory(tmp_path: Path) -> None:
    long = b'{"review": "' + b"x" * 200_000 + b'"}\n'
    found = made(tmp_path, PLAIN, long, PLAIN, b" " * 2_000, record_limit=1_000)
    assert [event[2:] for event in found] == [
        (),
        ("field_too_large", long[: 64 << 10]),
        (),
        ("field_too_large", b" " * 2_000),
    ]


def test_keys_that_come_late_and_are_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_lines, "LOOK_AHEAD_LINES", 2)
    late = b'{"b": 1.0 , "review": "c", "a": ["x",1], "\\u00e9" :null}\n'
    assert made(tmp_path, PLAIN, b'{"x": true, "review": "b"}\n', late, PLAIN) == [
        (1, ["1", "fine", "", ""]),
        (2, ["", "b", "true", ""]),
        (3, ["", "c", "", '{"b": 1.0, "a": ["x",1], "\\u00e9": null}']),
        (4, ["1", "fine", "", ""]),
    ]
    assert read(tmp_path / "reviews.jsonl")[0].header == ("id", "review", "x", "other_keys")


def test_a_column_of_other_keys_that_no_object_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_lines, "LOOK_AHEAD_LINES", 2)
    assert made(tmp_path, PLAIN, b'{"x": 1, "review": "b"}\n') == [(1, ["1", "fine", ""]), (2, ["", "b", "1"])]


def test_more_keys_than_a_table_has_room_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_lines, "MOST_COLUMNS", 2)
    assert made(tmp_path, PLAIN, b'{"x": 1, "review": "b", "y": 2}\n') == [
        (1, ["1", "fine", ""]),
        (2, ["", "b", '{"x": 1, "y": 2}']),
    ]


def test_columns_that_depend_on_how_the_file_is_packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_lines, "LOOK_AHEAD_BYTES", len(PLAIN) + 1)
    lines = PLAIN + PLAIN + b'{"late": 1, "review": "x"}\n'
    plain = made(tmp_path, lines)
    assert made(tmp_path, gzip.compress(lines, mtime=0), name="reviews.jsonl.gz") == plain
    assert plain[2] == (3, ["", "x", '{"late": 1}'])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"), (b" \n\r\n", "is empty"), (b"id,review\n1,fine\n", "found none in 2 lines"),
        (b'[{"review": "a"}]\n', r"found none in 1 lines.*jq -c '\.\[\]'"),
        (b'[\n{"review": "a"},\n]', "found none in 3"), ('{"review": "a"}\n'.encode("utf-16"), "found none"),
        (b'{"text": "SECRET"}\n', r"no column 'review' \(found: 1"),
        (b'{"id": 1, "text": "a"}\n', r"no column 'review' \(found: id, text\)\. Name it with --review-column"),
        (b'{"Review": "a", "REVIEW": "b"}\n', "2 columns may be meant by 'review'"),
        (gzip.compress(PLAIN, mtime=0)[:-1], "gzip data are cut off"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_json_lines(tmp_path: Path, content: bytes, message: str) -> None:
    found = refused(tmp_path, content, "reviews.jsonl")
    assert re.search(message, found)
    assert "SECRET" not in found


def test_marks_of_files_that_were_put_together(tmp_path: Path) -> None:
    assert made(tmp_path, b"\xef\xbb\xbf" + PLAIN, b"\xef\xbb\xbf" + PLAIN) == [(1, ["1", "fine"]), (2, ["1", "fine"])]


def test_another_encoding(tmp_path: Path) -> None:
    assert made(tmp_path, b'{"review": "caf\xe9"}\n', encoding="cp1252") == [(1, ["café"])]


TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)
WRITTEN = st.one_of(  # a value as it is written, and the cell that has to come of it
    st.builds(lambda text, ascii: (json.dumps(text, ensure_ascii=ascii), text), TEXTS, st.booleans()),
    st.sampled_from([("null", ""), ("true", "true"), ("-0.0", "-0.0"), ("1E5", "1E5"), ('["a", {}]', '["a", {}]')]),
    st.integers().map(lambda number: (str(number), str(number))),
)
OBJECTS = st.dictionaries(st.sampled_from(["id", "x", "\N{SNOWMAN}", '"']), WRITTEN).flatmap(
    lambda others: st.tuples(
        st.just(others), TEXTS.filter(lambda text: text.strip() != "").filter(lambda t: not t.isspace())
    )
)
DAMAGE = st.one_of(
    st.tuples(st.just("cut"), st.integers(0, 10_000), st.just(b"")),
    st.tuples(
        st.just("insert"), st.integers(0, 10_000), st.sampled_from([b"\0", b"\xff", b'"', b"}", b"\\", b"[", b"x"])
    ),
    st.tuples(
        st.just("replace"), st.just(0), st.sampled_from([b"", b"[]", b"1,fine,pos", b"{}", b"\xef\xbb\xbf", b"\0"])
    ),
)


def spoilt(line: bytes, kind: str, at: int, what: bytes) -> bytes:
    at %= len(line) + 1
    return {"cut": line[:at], "insert": line[:at] + what + line[at:], "replace": what}[kind]


@settings(database=None, derandomize=True, deadline=None, max_examples=40)
@given(
    objects=st.lists(OBJECTS, min_size=1, max_size=12), damage=st.dictionaries(st.integers(0, 11), DAMAGE, max_size=4)
)
def test_damaged_lines_cost_no_others(
    tmp_path_factory: pytest.TempPathFactory, objects: list[Any], damage: dict[int, tuple[str, int, bytes]]
) -> None:
    """Each line that nothing was done to is a row with its values; each damaged one a record of its own, or blank."""
    first = b'{"review": "first"}'
    lines = [
        json.dumps({"review": review}, ensure_ascii=False)[:-1]
        + "".join(f", {json.dumps(key)}: {written}" for key, (written, _) in others.items())
        + "}"
        for others, review in objects
    ]
    raws = [line.encode() for line in lines]
    for at, what in damage.items():
        if at < len(raws):
            raws[at] = spoilt(raws[at], *what)
    path = tmp_path_factory.getbasetemp() / "damaged.jsonl"
    path.write_bytes(b"\n".join([first, *raws]))
    found = {event[0]: event[1:] for event in outcome(path)}
    dump, _ = read(path)
    for number, ((others, review), raw) in enumerate(zip(objects, raws, strict=True), 2):
        if number - 2 not in damage:
            cells = {"review": review} | {key: cell for key, (_, cell) in others.items()}
            assert found[number] == ([cells.get(name, "") for name in dump.header],)
        elif number in found and len(found[number]) > 1:
            assert found[number][2].rstrip(b"\n") == raw
        elif number in found:
            json.loads(raw.decode("utf-8-sig"))  # it is sound, after all
        else:
            assert raw.isspace() or not raw
    assert dump.counts.rows + dump.counts.blank == len(path.read_bytes().split(b"\n")) - path.read_bytes().endswith(
        b"\n"
    )
