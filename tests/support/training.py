"""The training flow over the sample corpus, with a network small enough to train in seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flows.train import train
from tasks.lib.config import CorpusConfig, FitConfig, NetworkConfig, ShardConfig
from tasks.lib.layout import Layout

SMALL: dict[str, Any] = {
    "corpus": CorpusConfig(corpus="sample"),
    "shards": ShardConfig(num_words=500, maxlen=30),
    "network": NetworkConfig(embedding_dim=4, units=4),
    "fit": FitConfig(epochs=2, device="cpu"),
}


def train_small(data_dir: Path, **changes: Any) -> Layout:
    """Runs the training flow over `data_dir` with the small network, and `changes` to its parameters."""
    train(**(SMALL | changes), data_dir=data_dir)
    return Layout(data_dir)
