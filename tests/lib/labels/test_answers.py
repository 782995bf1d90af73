"""Files of labels: every row is labelled, not labelled yet, or quarantined; the last label of a review counts."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.lib import errors
from tasks.lib.config import LabelsConfig
from tasks.lib.labels import answers
from tests.support import labels

CONFIG = LabelsConfig()


@pytest.mark.parametrize(
    ("stars", "cells"),
    [
        (None, {"positive": ["Positive", " POS ", "1", "1.0"], "negative": ["NEG", "negative", "0", "0.0"]}),
        (5, {"positive": ["4", "5.0"], "negative": ["1", "2"], "middle": ["3"]}),
        (10, {"positive": ["7", "10"], "negative": ["1", "4"], "middle": ["5", "6"]}),
    ],
)
def test_a_label_that_is_taken_for_another(stars: int | None, cells: dict[str, list[str]]) -> None:
    for expected, given in cells.items():
        assert {answers.meaning(cell, stars) for cell in given} == {expected}
    assert answers.meaning("  ", stars) == ""


@pytest.mark.parametrize(
    ("stars", "cell"),
    [(None, "good"), (None, "2"), (None, ".0"), (5, "6"), (5, "0"), (5, "4.5"), (5, "pos"), (10, "11"), (10, "²")],
)
def test_a_label_that_says_nothing(stars: int | None, cell: str) -> None:
    assert answers.meaning(cell, stars) is None


def test_rows_that_are_lost_or_believed_although_they_are_damaged(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(
        b'id,review,label\r\n1,good,pos\r\n2,"two\r\nlines",great\r\n3,later,\r\n4,bad\r\n\r\n5,,neg\r\n6,bad,neg\r\n'
    )
    rows, spans = answers.read(path, "review", CONFIG)
    assert rows == [("", "good", "positive"), ("", "later", ""), ("", "bad", "negative")]
    found = [(span.first_line, span.last_line, span.reason, span.raw) for span in spans]
    assert found == [
        (3, 4, "unknown_label", b'2,"two\r\nlines",great\r\n'),
        (6, 6, "too_few_fields", b"4,bad\r\n"),
        (8, 8, "empty_review", b"5,,neg\r\n"),
    ]
    assert "great" not in spans[0].detail
    assert str(answers.Content(rows, spans)) == (
        "6 rows, 1 positive, 1 negative, 1 not labelled yet, 3 quarantined "
        "(1 empty_review, 1 too_few_fields, 1 unknown_label)"
    )


@pytest.mark.parametrize(
    ("header", "wanted", "found"),
    [
        ("review,sentiment,label", None, "positive"),
        ("review,sentiment,other", None, "negative"),
        ("review,other, Label ", None, "positive"),
        ("review,stars,Mark", "mark", "positive"),
    ],
)
def test_another_column_that_is_taken_for_the_labels(
    tmp_path: Path, header: str, wanted: str | None, found: str
) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"{header}\nfine,0,1\n")
    (row,) = answers.read(path, "review", LabelsConfig(label_column=wanted)).rows
    assert row.label == found


def test_a_file_without_labels_that_is_read(tmp_path: Path) -> None:
    path = labels.write(tmp_path / "a.csv", [["good", "1"]], ["review", "mark"])
    with pytest.raises(errors.InputError, match=r"a\.csv: no column 'label' or 'sentiment' .*--label-column"):
        answers.read(path, "review", CONFIG)


def test_labels_in_another_form_that_are_read_otherwise(tmp_path: Path) -> None:
    expected = [("7", "good", "positive"), ("8", "bad", "negative"), ("9", "late", "")]
    for value in (1, "pos", "Positive"):
        lines = [{"row_id": 7, "review": "good", "label": value}, {"row_id": 8, "review": "bad", "label": "0"}]
        lines += [{"row_id": 9, "review": "late", "label": None}, {"row_id": 10, "review": "odd", "label": "SECRET"}]
        path = tmp_path / "a.jsonl"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        rows, spans = answers.read(path, "review", CONFIG)
        assert (rows, [span.reason for span in spans]) == (expected, ["unknown_label"])
    columns = {"row_id": [7, 8, 9, 10], "review": ["good", "bad", "late", "odd"], "label": [1.0, 0.0, None, 5.0]}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    rows, spans = answers.read(tmp_path / "a.parquet", "review", CONFIG)
    assert (rows, [(span.reason, span.first_line) for span in spans]) == (expected, [("unknown_label", 4)])
    assert "5" not in spans[0].detail


def test_a_spreadsheet_that_saves_another_encoding(tmp_path: Path) -> None:
    text = 'review,label\r\n"café, très bon",1\r\nplain,0\r\n'
    (tmp_path / "cp1252.csv").write_text(text, encoding="cp1252")
    (tmp_path / "packed.csv.gz").write_bytes(gzip.compress(text.encode("cp1252")))
    (tmp_path / "utf8.csv").write_text(text, encoding="utf-8")
    (tmp_path / "mark.csv").write_text(text, encoding="utf-8-sig")
    config = LabelsConfig(labels_encoding="cp1252")
    for path in sorted(tmp_path.iterdir()):
        rows, spans = answers.read(path, "review", config)
        assert (rows, spans) == ([("", "café, très bon", "positive"), ("", "plain", "negative")], []), path.name
    rows, spans = answers.read(tmp_path / "cp1252.csv", "review", CONFIG)
    assert ([row.review for row in rows], [span.reason for span in spans]) == (["plain"], ["undecodable"])


def test_a_damaged_row_that_has_its_whole_file_read_in_another_encoding(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("\ufeffreview,label\ncafé,1\n".encode() + b"caf\xe9,1\n")
    rows, spans = answers.read(path, "review", LabelsConfig(labels_encoding="cp1252"))
    assert ([row.review for row in rows], [span.reason for span in spans]) == (["café"], ["undecodable"])


def test_an_encoding_that_files_of_labels_cannot_have(tmp_path: Path) -> None:
    path = labels.write(tmp_path / "a.csv", [["good", "1"]])
    with pytest.raises(errors.InputError, match="--labels-encoding: expected one that extends ASCII"):
        answers.read(path, "review", LabelsConfig(labels_encoding="utf-16"))


def test_labels_in_a_form_that_is_not_read_of_which_nobody_learns(tmp_path: Path) -> None:
    assert answers.refused(tmp_path / "nowhere") == {}
    for name in ("a.csv", "a.xlsx", "b.ODS", "c.zip", "notes.txt", ".~lock.a.xlsx#"):
        (tmp_path / name).touch()
    advice = answers.refused(tmp_path)
    assert list(advice) == ["a.xlsx", "b.ODS", "c.zip"]
    assert advice["a.xlsx"] == advice["b.ODS"] == "workbooks are not read; save its sheet as CSV UTF-8"


def test_a_file_that_changes_while_it_is_read(tmp_path: Path) -> None:
    path = labels.write(tmp_path / "a.csv", [["good", "1"]])
    with pytest.raises(errors.InputError, match="changed while it was read"):
        answers.read(path, "review", CONFIG, "0" * 64)


def merged(*contents: list[tuple[str, str]]) -> tuple[dict[str, int], int]:
    rows = [answers.Content([answers.Row("", *row) for row in content], []) for content in contents]
    found, conflicts = answers.merged(rows)
    return {review.text: review.label for review in found}, conflicts


def test_an_earlier_label_that_counts() -> None:
    first = [("good", "positive"), ("Bad!", "negative"), ("so-so", "positive"), ("late", "")]
    second = [("Good.", "negative"), ("bad", "negative"), ("so so", "middle"), ("good", "")]
    assert merged(first, second) == ({"Good.": 0, "bad": 0}, 2)
    assert merged(second, first) == ({"good": 1, "Bad!": 0, "so-so": 1}, 2)


def test_files_in_another_order_than_that_of_their_changes(tmp_path: Path) -> None:
    assert answers.find(tmp_path / "nowhere", "review") is None
    for number, name in enumerate(["a.csv", "b.tsv", "c.csv.gz"]):
        labels.write(tmp_path / name, [], age=number)
    for name in (".hidden.csv", "notes.txt", "sub/d.csv"):
        labels.write(tmp_path / name, [])
    found = answers.find(tmp_path, "review")
    assert found is not None
    assert [file.name for file in found.files] == ["c.csv.gz", "b.tsv", "a.csv"]
    other = answers.find(tmp_path, "text")
    assert other is not None
    assert other.identity != found.identity
