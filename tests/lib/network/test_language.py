"""Pre-training: the first layers learn the words that follow, and the words before."""

from __future__ import annotations

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


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"WINDOW": 6, "BATCH": 4, "NEGATIVES": 8, "LEARNING_RATE": 0.02}.items():
        monkeypatch.setattr(language, name, value)


def words(count: int = 2000) -> Ids:
    """Each word but the last is followed by the next higher one, nine times in ten."""
    chance = np.random.default_rng(0)
    found = [3]
    while len(found) < count:
        found.append(3 + (found[-1] - 2) % 9 if chance.random() < 0.9 else int(chance.integers(3, 12)))
    return np.array(found, np.int32)


def pretrain(path: Path, config: LanguageConfig = CONFIG) -> tuple[language.Weights, Progress]:
    return language.pretrain(config, VECTORS, words(), words(300), Checkpoint(path))


def test_words_that_follow_each_other_and_are_not_learned(tmp_path: Path) -> None:
    weights, progress = pretrain(tmp_path / "a.npz")
    losses = progress.history["val_loss"]
    assert losses[-1] < 0.75 * np.log(9) < np.log(9)
    assert losses[-1] < losses[0]
    fitting = model.build(NETWORK, SHARDS.num_words, SHARDS.maxlen)
    model.start_from(fitting, weights)
    assert files.arrays_digest(fitting.get_weights()[:-2]) == files.arrays_digest(weights)


def test_a_pretraining_that_was_stopped_and_ends_with_other_weights(tmp_path: Path) -> None:
    whole, _ = pretrain(tmp_path / "whole.npz")

    class Killed(Exception):
        pass

    def kill(epoch: int, logs: dict[str, float]) -> None:
        raise Killed

    with pytest.raises(Killed):
        language.pretrain(CONFIG, VECTORS, words(), words(300), Checkpoint(tmp_path / "a.npz"), on_epoch=kill)
    resumed, progress = pretrain(tmp_path / "a.npz")
    assert progress.epochs == 2
    assert files.arrays_digest(resumed) == files.arrays_digest(whole)


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
