"""A small corpus whose labels can be learned."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np

from tasks.lib.config import ShardConfig
from tasks.lib.corpus import imdb, shards
from tasks.lib.tokens import Ids, Labels

CONFIG = ShardConfig(num_words=300, maxlen=12)


def reviews(count: int) -> imdb.Split:
    """Reviews whose label shows in their words."""
    chance = random.Random(count)
    labels = np.array([number % 2 for number in range(count)], np.uint8)
    ranks = np.empty(count, object)
    ranks[:] = [
        [chance.randrange(1, 150) + 140 * int(label) for _ in range(chance.randrange(1, 30))] for label in labels
    ]
    return imdb.Split(ranks, labels)


def stored(paths: list[Path]) -> tuple[Ids, Labels]:
    """All token ids and labels of shards."""
    blocks = list(shards.read_row_groups(shards.row_groups(paths)))
    return np.concatenate([ids for ids, _ in blocks]), np.concatenate([labels for _, labels in blocks])
