"""Pre-training: the first layers learn the words that follow, and the words before."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tasks.lib import files
from tasks.lib.config import LanguageConfig, NetworkConfig, ShardConfig
from tasks.lib.network import language, model
from tasks.lib.network.checkpoint import Checkpoint, Progress
from tasks.lib.tokens import Ids

NETWORK = NetworkConfig(
    cell="gru", bidirectional=True, embedding_dim=4, units=5, pooling="max", vectors=True, pretrain_epochs=2
)
SHARDS = ShardConfig(num_words=12, maxlen=9)
CONFIG = LanguageConfig.of(SHARDS, NETWORK)
VECTORS = [np.random.default_rng(1).normal(size=(12, 4)).astype(np.float32)]


@pytest.fixture(scope="module", autouse=True)
def small() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"WINDOW": 6, "BATCH": 4, "NEGATIVES": 8, "LEARNING_RATE": 0.02}.items():
            patch.setattr(language, name, value)
        yield


def words(count: int = 2000) -> Ids:
    """Each word but the last is followed by the next higher one, nine times in ten."""
    chance = np.random.default_rng(0)
    found = [3]
    while len(found) < count:
        found.append(3 + (found[-1] - 2) % 9 if chance.random() < 0.9 else int(chance.integers(3, 12)))
    return np.array(found, np.int32)


@pytest.fixture(scope="module")
def undisturbed(small: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[language.Weights, Progress, Path]:
    """What a pre-training that nothing disturbs ends with, and all that a kill after its first epoch would leave."""
    path = tmp_path_factory.mktemp("pretraining") / "a.npz"

    def keep(epoch: int, logs: dict[str, float]) -> None:
        path.with_suffix(f".{epoch}").write_bytes(path.read_bytes())

    weights, progress = language.pretrain(CONFIG, VECTORS, words(), words(300), Checkpoint(path), on_epoch=keep)
    return weights, progress, path.with_suffix(".1")


def test_words_that_follow_each_other_and_are_not_learned(
    undisturbed: tuple[language.Weights, Progress, Path],
) -> None:
    weights, progress, _ = undisturbed
    losses = progress.history["val_loss"]
    assert losses[-1] < 0.75 * np.log(9) < np.log(9)
    assert losses[-1] < losses[0]
    fitting = model.build(NETWORK, SHARDS.num_words, SHARDS.maxlen)
    model.start_from(fitting, weights)
    assert files.arrays_digest(fitting.get_weights()[:-2]) == files.arrays_digest(weights)


def test_a_pretraining_that_was_stopped_and_ends_with_other_weights(
    undisturbed: tuple[language.Weights, Progress, Path],
) -> None:
    weights, _, killed = undisturbed
    resumed, progress = language.pretrain(CONFIG, VECTORS, words(), words(300), Checkpoint(killed))
    assert progress.epochs == 2
    assert files.arrays_digest(resumed) == files.arrays_digest(weights)


def test_a_stream_that_runs_reviews_together_or_has_words_beyond_the_vocabulary() -> None:
    stream = language.stream(np.array([1, 20, 3, 4]), np.array([2, 0, 2]), 12)
    assert stream.tolist() == [1, 4, 2, 1, 1, 6, 7]


def test_a_prediction_that_is_told_from_itself() -> None:
    """All negatives are the word itself: there is nothing to tell it from, so the loss is 0."""
    draw = language.Draw(words(), 12)
    network = language.LanguageModel(CONFIG, VECTORS, draw)
    windows = np.full((2, 7), 5, np.int32)
    assert float(network._loss(windows, np.full(8, 5, np.int32))) == pytest.approx(0)
    assert float(network._loss(windows, np.full(8, 6, np.int32))) > 0.1
