import csv
import gzip
import io
import json
import os
from pathlib import Path

import numpy as np
import pytest

from tasks.lib.network import encoder

LONG = "antidisestablishmentarianism"
INDEX = {"the": 1, "film": 2, "it's": 3, "wonderful": 4, "extraordinarily": 5, "É": 6, LONG: 7}
INDEX |= {f"w{number}": 7 + number for number in range(1, 3000)}
LETTERS = "abAB É'\u00a0\0\t\n.<br />-0😀"


def plainly(review: str, num_words: int, maxlen: int) -> tuple[list[int], list[int]]:
    """The rule, word by word."""
    for old, new in zip("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz", strict=True):
        review = review.replace(old, new)
    for mark in '!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n':
        review = review.replace(mark, " ")
    ranks = [INDEX[word] for word in review.split(" ") if word in INDEX]
    ids = [1] + [rank + 3 if rank + 3 < num_words else 2 for rank in ranks]
    words = [word for word in review.split(" ") if word]
    return ([0] * maxlen + ids)[-maxlen:], [len(ranks), ids.count(2), len(words)]


def assert_encodes_plainly(reviews: list[str], num_words: int = 1000, maxlen: int = 8) -> None:
    found = encoder.Encoder(INDEX, num_words, maxlen).encode(reviews)
    expected = [plainly(review, num_words, maxlen) for review in reviews]
    assert found.ids.dtype == found.known_tokens.dtype == np.int32
    assert found.ids.tolist() == [ids for ids, _ in expected]
    counts = zip(found.known_tokens.tolist(), found.rare_tokens.tolist(), found.words.tolist(), strict=True)
    assert list(map(list, counts)) == [counts for _, counts in expected]


@pytest.mark.parametrize(
    "review",
    [
        "",
        " ",
        "the",
        "The FILM, the film: it's wonderful",
        f"extraordinarily {LONG} {LONG}s extraordinaril",
        "É é",
        "the\u00a0film the",
        "the\0 the film\0 \0",
        "thefilm filmthe thefilmwonderful",
        "the " * 20 + "end",
        "unknown words only, none of these",
        "w2999 w2 w1 w1001",
        "a broken \ud800 half, the film",
    ],
)
def test_a_word_is_missed_or_confused_with_another(review: str) -> None:
    assert_encodes_plainly([review])


@pytest.mark.parametrize("words", [6, 7, 8, 9])
def test_the_start_id_is_lost_or_doubled_when_a_review_just_fits(words: int) -> None:
    assert_encodes_plainly([" ".join(["film"] * words)], maxlen=8)


def test_reviews_leak_into_their_neighbours_across_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder, "CHUNK_CHARACTERS", 40)
    generator = np.random.default_rng(0)
    words = [*INDEX, "", "no", "É'", *LETTERS]
    reviews = [" ".join(generator.choice(words, size)) for size in generator.integers(0, 30, 500)]
    assert_encodes_plainly(reviews)


def test_a_review_longer_than_a_chunk_is_cut_or_leaks() -> None:
    longest = " ".join(f"w{number % 4_000}" for number in range(200_000))
    assert len(longest) > encoder.CHUNK_CHARACTERS
    assert_encodes_plainly(["the film", longest, "it's wonderful"], maxlen=300)


def test_random_bytes_of_text_are_encoded_differently_from_the_rule() -> None:
    generator = np.random.default_rng(1)
    assert_encodes_plainly(["".join(generator.choice(list(LETTERS), 60)) for _ in range(300)])


def test_an_empty_list_of_reviews_fails() -> None:
    assert encoder.Encoder(INDEX, 1000, 8).encode([]).ids.shape == (0, 8)


def test_an_index_without_long_or_short_words_fails() -> None:
    found = encoder.Encoder({LONG: 1}, 10, 4).encode([f"{LONG} x"])
    assert found.ids.tolist() == [[0, 0, 1, 4]]


@pytest.mark.skipif("IMDB_DIR" not in os.environ, reason="needs the real reviews")
def test_real_reviews_differ_from_the_ids_of_the_data_set() -> None:
    folder = Path(os.environ["IMDB_DIR"])
    index = json.loads((folder / "imdb_word_index.json").read_text("utf-8"))
    with gzip.open(folder / "reviews_test.csv.gz") as file:
        rows = list(csv.DictReader(io.TextIOWrapper(file, "utf-8", newline="")))
    found = encoder.Encoder(index, 10_000, 200).encode([row["review"] for row in rows])
    with np.load(folder / "imdb.npz", allow_pickle=True) as arrays:
        ranks = arrays["x_test"]
    assert found.known_tokens.tolist() == [len(row) for row in ranks]
    expected = np.zeros((len(ranks), 200), np.int32)
    for row, review in zip(expected, ranks, strict=True):
        ids = [1, *(rank + 3 if rank + 3 < 10_000 else 2 for rank in review)][-200:]
        row[-len(ids) :] = ids
    np.testing.assert_array_equal(found.ids, expected)
