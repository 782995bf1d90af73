"""The tf.data pipeline: each epoch has every row once, in an order of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.lib.corpus import dataset, shards
from tasks.lib.corpus.imdb import Split
from tests.support.corpora import CONFIG, reviews, stored


def rows(batches: Any) -> list[tuple[int, ...]]:
    return [tuple(row) for ids, _ in batches.as_numpy_iterator() for row in ids.tolist()]


def test_an_epoch_that_leaves_rows_out_or_repeats_them(folder: Path) -> None:
    found, _ = stored(shards.paths(folder, "train"))
    batches = dataset.batches(folder, "train", 32, shuffle_seed=1)
    assert len(batches) == 10
    for _ in range(2):
        assert sorted(rows(batches)) == sorted(map(tuple, found.tolist()))


def test_epochs_in_the_same_order(folder: Path) -> None:
    batches = dataset.batches(folder, "train", 32, shuffle_seed=1)
    first, second = rows(batches), rows(batches)
    assert first != second
    assert rows(dataset.batches(folder, "train", 32, shuffle_seed=1)) == first
    assert rows(dataset.batches(folder, "train", 32, shuffle_seed=1, first_epoch=1)) == second
    assert rows(dataset.batches(folder, "train", 32, shuffle_seed=2)) != first


def test_labels_that_part_from_their_rows(folder: Path) -> None:
    ids, labels = stored(shards.paths(folder, "train"))
    expected = {tuple(row): label for row, label in zip(ids.tolist(), labels.tolist(), strict=True)}
    for batch, found in dataset.batches(folder, "train", 7, shuffle_seed=1).as_numpy_iterator():
        assert [expected[tuple(row)] for row in batch.tolist()] == found.tolist()


def test_a_corpus_larger_than_the_shuffle_buffer_held_whole(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset, "SHUFFLE_ROWS", 50)
    monkeypatch.setattr(shards, "ROW_GROUP_ROWS", 20)
    found, _ = stored(shards.paths(folder, "train"))
    assert sorted(rows(dataset.batches(folder, "train", 32, shuffle_seed=1))) == sorted(map(tuple, found.tolist()))


def test_batches_of_like_length_that_lose_words_or_are_padded_in_vain(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dataset, "WIDTH_STEP", 4)
    ids, labels = stored(shards.paths(folder, "train"))
    expected = {tuple(row): label for row, label in zip(ids.tolist(), labels.tolist(), strict=True)}
    batches = dataset.batches(folder, "train", 32, shuffle_seed=1, like_length=True)
    found, widths = [], set()
    for batch, of_rows in batches.as_numpy_iterator():
        widths.add(batch.shape[1])
        assert (batch[:, :4] != 0).any(), "four columns of padding alone"
        whole = [tuple([0] * (ids.shape[1] - batch.shape[1]) + row) for row in batch.tolist()]
        assert [expected[row] for row in whole] == of_rows.tolist()
        found += whole
    assert sorted(found) == sorted(expected)
    assert len(found) == len(ids)
    assert len(widths) > 1
    assert len(batches) == 10


@pytest.mark.parametrize("like_length", [False, True])
def test_weights_that_part_from_their_rows(tmp_path: Path, like_length: bool) -> None:
    whole = reviews(200)
    weighted = Split(whole.ranks, whole.labels, np.where(whole.labels == 1, 2.5, 1).astype(np.float32))
    shards.write(tmp_path, {"train": weighted}, CONFIG)
    batches = dataset.batches(tmp_path, "train", 7, shuffle_seed=1, like_length=like_length)
    seen = 0
    for _, labels, weights in batches.as_numpy_iterator():
        assert weights.tolist() == [2.5 if label else 1 for label in labels]
        seen += len(labels)
    assert seen == 200
    ids, labels, weights = shards.read(tmp_path, "train")
    assert weights is not None
    assert len(ids) == len(labels) == len(weights) == 200
