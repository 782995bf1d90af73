"""The bundled sample is what its generator makes, and its raw text encodes to its own corpus."""

import csv
import gzip
import io
import json
import re
import zipfile
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from tests.tools.sample import generate

NAMES = ["corpus.npz", "word_index.json", "reviews-test.csv.gz", "reviews-columns.csv", "reviews-damaged.csv"]


@cache
def made() -> dict[str, bytes]:
    return generate.files()


def bundled(name: str) -> bytes:
    return (generate.SAMPLE / name).read_bytes()


def unpacked(name: str, content: bytes) -> dict[str, bytes]:
    """What is inside the file: another zlib may pack the same content into other bytes."""
    if name.endswith(".npz"):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return {member: archive.read(member) for member in archive.namelist()}
    return {name: gzip.decompress(content) if name.endswith(".gz") else content}


def corpus() -> dict[str, np.ndarray]:
    with np.load(generate.SAMPLE / "corpus.npz", allow_pickle=True) as arrays:
        return dict(arrays)


def word_index() -> dict[str, int]:
    ranks: dict[str, int] = json.loads(bundled("word_index.json"))
    return ranks


def rows(content: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(content, newline=""), strict=True))


def encoded(text: str, index: dict[str, int]) -> list[int]:
    """The rule of the corpus, written a second time and in another way than the generator has it."""
    lowered = "".join(letter.lower() if letter.isascii() else letter for letter in text)
    spaced = re.sub(r"""[!"#$%&()*+,\-./:;<=>?@\[\\\]^_`{|}~\t\n]""", " ", lowered)
    return [index[word] for word in spaced.split(" ") if word in index]


def test_the_generator_makes_the_bundled_files() -> None:
    assert list(made()) == NAMES
    for name, content in made().items():
        assert unpacked(name, content) == unpacked(name, bundled(name)), name


def test_the_command_writes_the_files_into_the_folder_it_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "new" / "sample"
    monkeypatch.setattr("sys.argv", ["generate", str(folder)])
    monkeypatch.setattr(generate, "files", lambda: {"corpus.npz": b"content"})
    generate.main()
    assert [(path.name, path.read_bytes()) for path in folder.iterdir()] == [("corpus.npz", b"content")]


def test_the_sample_is_small() -> None:
    sizes = [path.stat().st_size for path in generate.SAMPLE.iterdir()]
    assert max(sizes) < 1_000_000
    assert sum(sizes) < 1_500_000


def test_the_corpus_has_the_form_of_the_official_one() -> None:
    arrays = corpus()
    assert sorted(arrays) == ["x_test", "x_train", "y_test", "y_train"]
    words = len(word_index())
    for name, size in (("train", 2000), ("test", 500)):
        reviews, labels = arrays[f"x_{name}"], arrays[f"y_{name}"]
        assert reviews.shape == labels.shape == (size,)
        assert reviews.dtype == object
        assert labels.dtype == np.int64
        assert labels.tolist() == [0] * (size // 2) + [1] * (size // 2)
        assert {type(review) for review in reviews} == {list}
        assert {type(rank) for review in reviews for rank in review} == {int}
        assert all(1 <= min(review) <= max(review) <= words for review in reviews)


def test_no_test_review_is_a_training_review() -> None:
    arrays = corpus()
    train, test = ({tuple(review) for review in arrays[name]} for name in ("x_train", "x_test"))
    assert not train & test


def test_rank_1_is_the_most_frequent_word() -> None:
    arrays = corpus()
    ranks = np.concatenate([np.asarray(review) for name in ("x_train", "x_test") for review in arrays[name]])
    counts = np.bincount(ranks)[1:]
    assert len(counts) == len(word_index())
    assert sorted(word_index().values()) == list(range(1, len(counts) + 1))
    assert (np.diff(counts) <= 0).all()
    assert counts.min() >= 3


def test_the_index_has_words_on_which_encoders_differ() -> None:
    index = word_index()
    assert {
        "don't",
        "it's",
        "isn't",
        "café",
        "Élodie",
        "İstanbul",
        "–",
        "10\u00a0minutes",
        "br",
    } <= index.keys()
    assert list(index) != sorted(index, key=lambda word: index[word]), "in rank order, position and rank agree"


def test_the_raw_test_reviews_encode_to_the_corpus() -> None:
    header, *reviews = rows(gzip.decompress(bundled("reviews-test.csv.gz")).decode())
    assert header == ["id", "review", "sentiment"]
    arrays, index = corpus(), word_index()
    assert [encoded(text, index) for _, text, _ in reviews] == list(arrays["x_test"])
    assert [int(sentiment == "positive") for *_, sentiment in reviews] == arrays["y_test"].tolist()
    assert len({name for name, *_ in reviews}) == len(reviews)


def test_some_words_of_the_raw_text_are_not_in_the_index() -> None:
    _, *reviews = rows(gzip.decompress(bundled("reviews-test.csv.gz")).decode())
    index = word_index()
    words = [word for _, text, _ in reviews for word in generate.tokens(text)]
    dropped = sum(word not in index for word in words)
    assert 0 < dropped < 0.02 * len(words)


def test_the_columns_dump_has_what_readers_stumble_over() -> None:
    text = bundled("reviews-columns.csv").decode()
    header, *reviews = rows(text)
    assert header == ["id", "stars", "date", "reviewer", "country", "review", "remark"]
    assert len(reviews) == 80
    assert {len(review) for review in reviews} == {len(header)}
    assert reviews[0][0] == "007"
    assert {"NA", "", "nan", "0047"} <= {review[4] for review in reviews}
    for mark in ("\n", '"', "<br />", "é"):
        assert any(mark in review[5] for review in reviews), mark
    assert any("\n" in review[6] for review in reviews)
    assert [review[0] for review in reviews if not encoded(review[5], word_index())] == ["012"]


def why_bad(line: bytes) -> str | None:
    """What keeps a line of three fields from being read, or None if it is good."""
    try:
        [fields] = csv.reader([line.decode()], strict=True)
    except UnicodeDecodeError:
        return "a byte that is not UTF-8"
    except csv.Error:
        return "a stray quote"
    if len(fields) != 3:
        return "a field too many" if len(fields) > 3 else "a field too few"
    return None if fields[1].strip() else "an empty review"


def test_the_damaged_dump_is_bad_where_it_says_and_nowhere_else() -> None:
    lines = bundled("reviews-damaged.csv").splitlines()
    assert len(lines) == 121
    found = {number: why for number, line in enumerate(lines, start=1) if (why := why_bad(line))}
    assert found.keys() == generate.DAMAGE.keys()
    for number, why in found.items():
        assert generate.DAMAGE[number][0].startswith(why)


def test_the_readme_of_the_sample_names_its_files_and_bad_lines() -> None:
    readme = bundled("README.md").decode()
    assert "synthetic" in readme
    assert "accuracy reached\non it means nothing" in readme
    assert "python -m tests.tools.sample.generate" in readme
    assert all(f"`{name}`" in readme for name in NAMES)
    assert all(f"| {number} | {what} |" in readme for number, (what, _) in generate.DAMAGE.items())
