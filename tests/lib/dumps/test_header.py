"""Headers: their delimiter, their review column, and files that have none."""

import bz2
import gzip
from pathlib import Path

import pytest

from tests.support.known_dumps import THREE, Part, check, read, refused, row, rows


@pytest.mark.parametrize("encoding", ["utf-8", "UTF8", "utf-8-sig"])
def test_byte_order_mark_is_no_part_of_the_first_name(encoding: str, tmp_path: Path) -> None:
    parts: list[Part] = [("\ufeff1,a,pos\n".encode(), ["\ufeff1", "a", "pos"]), *rows(2, 3)]
    dump = check(tmp_path, b"\xef\xbb\xbfid,review,label\n", parts, encoding=encoding)
    assert dump.header == ("id", "review", "label")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"])
def test_wide_encodings_are_refused_as_a_file(encoding: str, tmp_path: Path) -> None:
    message = refused(tmp_path, "id,review\n1,電影\n".encode(encoding))
    assert "is UTF-" in message
    assert "iconv" in message


@pytest.mark.parametrize("encoding", ["utf-16", "utf-7", "hz", "iso2022_jp", "cp037", "no-such", "base64", "idna", ""])
def test_encodings_that_do_not_extend_ascii_are_refused(encoding: str, tmp_path: Path) -> None:
    assert "--encoding" in refused(tmp_path, THREE, encoding=encoding)


def test_mark_and_encoding_that_disagree_are_refused(tmp_path: Path) -> None:
    assert "byte order mark" in refused(tmp_path, b"\xef\xbb\xbf" + THREE, encoding="cp1252")


@pytest.mark.parametrize(
    ("delimiter", "name"), [(";", "r.csv"), ("\t", "r.tsv"), ("\t", "r.csv"), (",", "r.tsv"), (",", "r.csv")]
)
def test_delimiter_is_found(delimiter: str, name: str, tmp_path: Path) -> None:
    lines = [["id", "review", "a;b"], ["1", 'x, "y"; z', "\u00e9"], ["2", "a\tb", ""]]
    text = "".join(delimiter.join('"' + field.replace('"', '""') + '"' for field in line) + "\n" for line in lines)
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    dump, blocks = read(path)
    assert (dump.delimiter, dump.header) == (delimiter, ("id", "review", "a;b"))
    assert blocks[0].rows == lines[1:]


def test_other_delimiters_are_text(tmp_path: Path) -> None:
    assert check(tmp_path, b"id;review\n", [(b"1;a, b,\tc\n", ["1", "a, b,\tc"])]).delimiter == ";"


def test_delimiter_given_overrides(tmp_path: Path) -> None:
    check(tmp_path, b"review\n", [(b"a; b\n", ["a; b"]), (b"a, b\n", ["a, b"])], delimiter="\t")
    assert "--delimiter" in refused(tmp_path, b"review|id\n", delimiter="|")


def test_excel_declaration_of_the_delimiter(tmp_path: Path) -> None:
    dump = check(tmp_path, b"sep=;\nid;review\n", [(b"1;a, b\n", ["1", "a, b"])])
    assert dump.counts.lines == 3


def test_header_only(tmp_path: Path) -> None:
    for header in (b"id,review,label\n", b"id,review,label", b"\xef\xbb\xbfreview\r\n"):
        dump = check(tmp_path, header, [])
        assert (dump.counts.rows, dump.counts.bytes) == (0, len(header))


@pytest.mark.parametrize(
    "data", [b"", b"\n\n", b"\xef\xbb\xbf", b"  \r\n", b"# a comment\n", gzip.compress(b"", mtime=0), bz2.compress(b"")]
)
def test_empty_file_is_said_to_be_empty(data: bytes, tmp_path: Path) -> None:
    assert "is empty" in refused(tmp_path, data)


def test_missing_review_column_names_those_found(tmp_path: Path) -> None:
    message = refused(tmp_path, b"id,text,film_title\n1,a,b\n")
    found = "no column 'review' (found: id, text, film_title)"
    assert message == f"reviews.csv: {found}. Name it with --review-column; is the first line a header?"
    path = tmp_path / "reviews.csv"
    dump, blocks = read(path, review_column="text")
    assert (dump.review_index, blocks[0].rows) == (1, [["1", "a", "b"]])


@pytest.mark.parametrize(
    "line",
    [
        b"1,SECRET film,pos",
        b"SECRET is the best film that I have ever seen",
        b'"SECRET, and how."',
        b"SECRET!",
        b"good SECRET film here,pos",
        b"pos,pos,SECRET",
        b'"SECRET "x" y"',
        b"SECRET",
        b"SECRET\nanother",
        b"bad SECRET\ngood film\nthird",
        b"SECRET,positive",
        b"id,SECRET",
        b"1,SECRET,2024-05-06\n2,good,2024-05-07\n3,fine,2024-05-08",
        b"secret_SECRET;SECRET.secret",
        b"text: SECRET,pos",
        b"SECRET,positive\nbad,negative",
    ],
)
def test_missing_header_does_not_show_a_review(line: bytes, tmp_path: Path) -> None:
    assert "SECRET" not in refused(tmp_path, line + b"\n" + line + b"\n")


@pytest.mark.parametrize(
    ("header", "found"),
    [
        (b"id;review_text;Bewertung\n1;a;5\n", "(found: id, review_text, Bewertung)"),
        (b"text,label\nfine,pos\n", "(found: 2 columns)"),
        (b"id,words of mine,date\n1,a,b\n", "(found: 3 columns)"),
        (b"words of mine\nand more\n", "(found: 1 column)"),
        (b"id,text\n", "(found: 2 columns)"),
        (b"1,2,3\n4,5,6\n", "(found: 3 columns)"),
        (b"id,\n1,a\n", "(found: 2 columns)"),
        (b"id," * 30 + b"x\n1", "(found: 31 columns)"),
        (b'id,text\n1,"open', "(found: 2 columns)"),
    ],
)
def test_missing_review_column_with_names_that_may_be_text_tells_their_number(
    header: bytes, found: str, tmp_path: Path
) -> None:
    assert found in refused(tmp_path, header)


@pytest.mark.parametrize("name", [b"Review", b"REVIEW", b" review ", b"\treview", b"reVIEW  "])
def test_names_in_other_case_and_with_spaces(name: bytes, tmp_path: Path) -> None:
    dump = check(tmp_path, b"id," + name + b"\n", [row("1", "a")], delimiter=",")
    assert (dump.review_index, dump.header) == (1, ("id", name.decode()))


def test_the_exact_name_wins(tmp_path: Path) -> None:
    assert check(tmp_path, b"Review,review\n", [row("1", "a")]).review_index == 1


@pytest.mark.parametrize("header", [b"review,review", b"Review, review", b"id,REVIEW,Review"])
def test_two_review_columns_are_refused(header: bytes, tmp_path: Path) -> None:
    assert "2 columns may be meant" in refused(tmp_path, header + b"\na,b,c\n")


def test_other_columns_of_one_name_are_all_kept(tmp_path: Path) -> None:
    dump = check(tmp_path, b"a,review,a,a_2,a,,\n", [row("1", "x", "2", "3", "4", "5", "6")])
    assert dump.header == ("a", "review", "a", "a_2", "a", "", "")


@pytest.mark.parametrize("before", [b"# exported 2024-01-01\n", b'#\n# a, b; "c\n\n', b"\n\r\n", b"\xef\xbb\xbf# x\n"])
def test_lines_before_the_header(before: bytes, tmp_path: Path) -> None:
    dump = check(tmp_path, before + THREE, [*rows(1, 2), (b"# no comment\n", "too_few_fields"), *rows(3, 4)])
    assert dump.counts.bytes == len((tmp_path / "reviews.csv").read_bytes())


def test_header_that_starts_with_a_number_sign(tmp_path: Path) -> None:
    assert check(tmp_path, b"#,review\n", [row("1", "a")]).header == ("#", "review")


@pytest.mark.parametrize(
    "before",
    [
        b"# columns: id, review, label\n",
        b"# id,review,label\n\n",
        b"# exported; review; checked\n",
        b"# first, review\n# second\n# review, Review\n",
    ],
)
def test_comment_that_names_the_review_column_was_taken_for_the_header(before: bytes, tmp_path: Path) -> None:
    assert check(tmp_path, before + THREE, [*rows(1, 3)]).header == ("id", "review", "label")


@pytest.mark.parametrize(
    "part", [row("a", "b"), (b"# a,b\n", ["# a", "b"]), (b"a,\xff\n", "undecodable"), (b"a\0,b\n", "nul_byte")]
)
def test_header_with_a_number_sign_above_any_first_record(part: Part, tmp_path: Path) -> None:
    assert check(tmp_path, b"#id,review\n", [part, row("2", "d")]).header == ("#id", "review")


def test_header_of_several_lines_with_a_number_sign(tmp_path: Path) -> None:
    assert check(tmp_path, b'#,"id\nof it",review\n', [row("1", "2", "a")]).header == ("#", "id\nof it", "review")


def test_header_of_several_lines(tmp_path: Path) -> None:
    assert check(tmp_path, b'"id\nof it",review\n', [row("1", "a")]).header == ("id\nof it", "review")


def test_header_that_cannot_be_decoded(tmp_path: Path) -> None:
    assert "--encoding" in refused(tmp_path, b"pr\xe9nom,review\n1,a\n")
    path = tmp_path / "reviews.csv"
    assert read(path, encoding="cp1252")[0].header == ("prénom", "review")


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"PK\x03\x04" + bytes(range(256)), "no text"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "not valid utf-8"),
        (b"PAR1" + bytes(100), "no text"),
        (b"%PDF-1.4\n%\xe2\xe3", "no column 'review'"),
        (b"SQLite format 3\0", "no text"),
        (b"\xfd7zXZ\0", "no text"),
        (bytes(range(256)) * 50, "no text"),
        (b"\0" * 5000, "no text"),
        (gzip.compress(gzip.compress(THREE, mtime=0), mtime=0), "no text"),
        (gzip.compress(b"reviews.csv" + bytes(89) + b"0000644\0" + THREE, mtime=0), "no text"),
    ],
)
def test_binary_file_is_refused(data: bytes, found: str, tmp_path: Path) -> None:
    assert found in refused(tmp_path, data)


def test_random_bytes_are_refused_or_quarantined(tmp_path: Path) -> None:
    assert refused(tmp_path, b"".join(bytes([i * 7 % 256, i * 13 % 251]) for i in range(5000)))


def test_file_of_one_endless_line_is_refused(tmp_path: Path) -> None:
    assert "no header line" in refused(tmp_path, b"review," * 200_000)


@pytest.mark.parametrize(
    ("header", "end"), [(b"id,review\n", b",\n"), (b"id,review,\n", b"\n"), (b"id,review,\n", b",\n")]
)
def test_a_delimiter_too_many_at_the_end_of_every_row_or_of_the_header(
    tmp_path: Path, header: bytes, end: bytes
) -> None:
    path = tmp_path / "d.csv"
    path.write_bytes(header + b"1,good film" + end + b"2,bad film" + end)
    _, (block,) = read(path)
    assert [row[:2] for row in block.rows] == [["1", "good film"], ["2", "bad film"]]
    assert not block.spans
