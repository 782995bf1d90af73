"""Labelled reviews of one's own: each stays on its side, and the test ones are never trained on."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from tasks.lib import errors, files
from tasks.lib.corpus import own, reviews
from tasks.lib.corpus.imdb import Split
from tasks.lib.corpus.unlabelled import Texts
from tests.support import corpora

IDENTITIES = [hashlib.sha256(b"%d" % number).hexdigest() for number in range(1000)]


def collected(count: int, weight: float = 1.0) -> own.Own:
    """Reviews of one or two words, the first of which is their number."""
    lengths = np.arange(count) % 2 + 1
    ranks = np.repeat(np.arange(count) + 1000, lengths)
    return own.collected(
        Texts(ranks, lengths), lengths + 1, [number % 2 for number in range(count)], IDENTITIES[:count], weight
    )


def numbers(split: Split) -> set[int]:
    return {review[0] - 1000 for review in split.ranks}


def test_shares_that_are_not_those_of_the_sides() -> None:
    sides = np.bincount([own.side(identity) for identity in IDENTITIES])
    assert np.abs(sides - [700, 100, 200]).max() < 40


def test_a_review_that_changes_sides_when_others_come() -> None:
    few, many = ({name: numbers(collected(count).side(name).split()) for name in own.SIDES} for count in (300, 1000))
    assert all(few[name] == {each for each in many[name] if each < 300} for name in own.SIDES)
    assert sorted(each for side in many.values() for each in side) == list(range(1000))


def test_a_test_review_of_the_corpus_that_its_words_put_on_another_side() -> None:
    mine = collected(300)
    tested = np.arange(300) % 3 == 0
    moved = mine.testing(tested)
    assert moved.sides.dtype == mine.sides.dtype
    assert numbers(moved.side("test").split()) == numbers(mine.side("test").split()) | set(range(0, 300, 3))
    for name in ("train", "validation"):
        assert numbers(moved.side(name).split()) == numbers(mine.side(name).split()) - set(range(0, 300, 3))


def test_a_label_that_parts_from_its_review() -> None:
    for name in own.SIDES:
        split = collected(100).side(name).split()
        assert [review[0] % 2 for review in split.ranks] == split.labels.tolist()
        assert all(len(review) == review[0] % 2 + 1 for review in split.ranks)


def test_own_test_reviews_that_are_trained_on() -> None:
    mine = collected(1000, weight=3)
    corpus = {"train": corpora.reviews(20), "validation": corpora.reviews(6), "test": corpora.reviews(10)}
    joined = own.join(corpus, mine)
    assert joined["test"] is corpus["test"]
    for name in ("train", "validation"):
        count = len(corpus[name])
        assert list(joined[name].ranks[:count]) == list(corpus[name].ranks)
        assert numbers(joined[name][count:]) == numbers(mine.side(name).split())
        weights = joined[name].weights
        assert weights is not None
        assert weights.dtype == np.float32
        assert weights.tolist() == [1] * count + [3] * (len(joined[name]) - count)


def test_a_side_without_reviews() -> None:
    mine = collected(0)
    assert len(mine.side("test").split()) == 0
    joined = own.join({"train": corpora.reviews(4), "validation": corpora.reviews(4)}, mine)
    assert [len(split) for split in joined.values()] == [4, 4]


def test_reviews_that_change_on_disk(tmp_path: Path) -> None:
    written = collected(50, weight=2.5)
    own.save(tmp_path / "a.npz", written)
    read = own.load(tmp_path / "a.npz")
    assert files.arrays_digest(read) == files.arrays_digest(written)
    (tmp_path / "a.npz").write_bytes(b"PK")
    with pytest.raises(errors.InputError, match="Run the training again"):
        own.load(tmp_path / "a.npz")


def test_a_corpus_of_ones_own_that_is_split_by_chance(tmp_path: Path) -> None:
    mine = collected(200)
    own.save(tmp_path / "a.npz", mine)
    for share in (0.1, 0.5):
        splits = reviews.splits(reviews.OWN, tmp_path / "a.npz", share)
        assert {name: numbers(split) for name, split in splits.items()} == {
            name: numbers(mine.side(name).split()) for name in own.SIDES
        }
    assert numbers(reviews.test(reviews.OWN, tmp_path / "a.npz")) == numbers(mine.side("test").split())


def test_a_review_that_was_chosen_in_doubt_and_passes_for_a_usual_one(tmp_path: Path) -> None:
    lengths = np.ones(1000, np.int64)
    doubted = set(IDENTITIES[::3])
    mine = own.collected(Texts(np.arange(1000), lengths), lengths, [1] * 1000, IDENTITIES, doubted=doubted)
    own.save(tmp_path / "own.npz", mine.only(np.arange(1000) < 900))
    expected = [each not in doubted for each in IDENTITIES[:900] if own.side(each) == 1]
    assert reviews.usual("own", tmp_path / "own.npz", len(expected), None).tolist() == expected
    joined = reviews.usual("imdb", tmp_path / "imdb.npz", 5 + len(expected), tmp_path / "own.npz")
    assert joined.tolist() == [True] * 5 + expected
    known = reviews.usual_own("imdb", tmp_path / "imdb.npz", tmp_path / "own.npz")
    assert known is not None
    assert known.identities.tolist() == [
        each for each in IDENTITIES[:900] if own.side(each) > 0 and each not in doubted
    ]
    assert reviews.usual_own("imdb", tmp_path / "imdb.npz", None) is None
    assert reviews.usual("imdb", tmp_path / "imdb.npz", 5, None).tolist() == [True] * 5
    tested = [[number] for number, each in enumerate(IDENTITIES[:900]) if own.side(each) == 2 and each not in doubted]
    for corpus, archive, labels in (("own", "own.npz", None), ("imdb", "imdb.npz", tmp_path / "own.npz")):
        found = reviews.usual_test(corpus, tmp_path / archive, labels)
        assert found is not None
        assert list(found.ranks) == tested
    assert reviews.usual_test("imdb", tmp_path / "imdb.npz", None) is None
