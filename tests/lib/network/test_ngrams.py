"""Which n-grams are found in a review, and under which numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from tasks.lib import errors
from tasks.lib.network import ngrams
from tasks.lib.network.ngrams import Found, Vocabulary

Rows = list[list[int]]


def flat(rows: Rows) -> tuple[ngrams.Numbers, ngrams.Numbers]:
    ranks = np.empty(len(rows), object)
    ranks[:] = rows
    return ngrams.flat(ranks)


def present(found: Found, width: int) -> npt.NDArray[np.int64]:
    table = np.zeros((len(found.counts), width), np.int64)
    np.add.at(table, (np.repeat(np.arange(len(found.counts)), found.counts), found.numbers), 1)
    return table


@pytest.fixture
def learned(monkeypatch: pytest.MonkeyPatch) -> tuple[Vocabulary, Found]:
    monkeypatch.setattr(ngrams, "FEWEST", 2)
    return Vocabulary.learn(*flat([[7, 9, 7, 7], [9, 7], [5], [7], [9, 9]]))


def test_ngrams_that_are_rare_or_run_from_review_to_review(learned: tuple[Vocabulary, Found]) -> None:
    vocabulary, found = learned
    assert [len(keys) for keys in vocabulary.keys] == [2, 1, 0]  # 7 and 9; "9 7"
    assert present(found, 3).tolist() == [[1, 1, 1], [1, 1, 1], [0, 0, 0], [1, 0, 0], [0, 1, 0]]
    unseen = vocabulary.find(*flat([[], [9, 7, 5], [5, 8], [9, 100_000]]))
    assert present(unseen, 3).tolist() == [[0, 0, 0], [1, 1, 1], [0, 0, 0], [0, 1, 0]]


def test_padded_ids_that_are_not_the_numbers_plus_one(learned: tuple[Vocabulary, Found]) -> None:
    vocabulary, _ = learned
    parts = [vocabulary.find(*flat([[7], [9, 7]])), vocabulary.find(*flat([[5]]))]
    assert ngrams.padded(parts).tolist() == [[1, 0, 0], [1, 2, 3], [0, 0, 0]]
    assert ngrams.padded([]).shape == (0, 1)


def test_another_vocabulary_after_saving(learned: tuple[Vocabulary, Found], tmp_path: Path) -> None:
    vocabulary, _ = learned
    ngrams.save(tmp_path / "ngrams.npz", vocabulary)
    again = ngrams.load(tmp_path / "ngrams.npz")
    assert [keys.tolist() for keys in again.keys] == [keys.tolist() for keys in vocabulary.keys]


def test_a_damaged_vocabulary_that_is_read(learned: tuple[Vocabulary, Found], tmp_path: Path) -> None:
    path = tmp_path / "ngrams.npz"
    ngrams.save(path, learned[0])
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(errors.ModelError, match="Run the training again"):
        ngrams.load(path)
