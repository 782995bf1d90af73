"""The `tf.data` pipeline: shards in, shuffled batches out, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import numpy as np
import tensorflow as tf

from tasks.lib.corpus import shards
from tasks.lib.corpus.shards import Rows

# Rows in memory for shuffling: the whole training split of IMDB, so its order is as random as Keras's own. With 200 ids
# a review this is 20 MB for any corpus.
SHUFFLE_ROWS = 25_000
PREFETCHED = 8  # batches
POOL = 50  # batches among which reviews of like length are found: lengths differ little, and batches every epoch
WIDTH_STEP = 50  # ids by which the widths of batches differ


def batches(
    folder: Path,
    split: str,
    batch_size: int,
    *,
    shuffle_seed: int | None = None,
    first_epoch: int = 0,
    like_length: bool = False,
) -> tf.data.Dataset:
    """Batches of a split: token ids (batch, maxlen) int32, labels (batch,) uint8 and, if reviews count differently,
    weights (batch,) float32; the last may be smaller.

    With `like_length`, the reviews of a batch are about equally long, and the padding that they share is left out; the
    whole split is in memory then.

    With `shuffle_seed`, each pass over the dataset is one epoch, whose order depends on the seed and its number alone.
    The first pass is `first_epoch`, so a resumed training has the orders that it would have had.
    """
    paths = shards.paths(folder, split)
    manifest = shards.read_manifest(folder)
    epochs = count(first_epoch)

    def blocks() -> Iterator[Rows]:
        groups = shards.row_groups(paths)
        if shuffle_seed is None:
            return shards.read_row_groups(groups)
        random = np.random.default_rng([shuffle_seed, next(epochs)])
        shuffled = _shuffled(groups, random)
        return _of_like_length(shuffled, batch_size, random) if like_length else shuffled

    maxlen = manifest["config"]["maxlen"]
    signature = (
        tf.TensorSpec((None, None if like_length else maxlen), tf.int32),
        tf.TensorSpec((None,), tf.uint8),
        *([tf.TensorSpec((None,), tf.float32)] if shards.have_weights(paths) else []),
    )
    steps = -(-manifest["rows"][split] // batch_size)
    stream = tf.data.Dataset.from_generator(blocks, output_signature=signature)
    if not like_length or shuffle_seed is None:
        stream = stream.rebatch(batch_size)
    options = tf.data.Options()
    options.autotune.enabled = False  # there is nothing to tune, and its threads disturb the training
    return stream.apply(tf.data.experimental.assert_cardinality(steps)).prefetch(PREFETCHED).with_options(options)


def _shuffled(groups: list[tuple[Path, int]], random: np.random.Generator) -> Iterator[Rows]:
    """Row groups in random order, in blocks of about `SHUFFLE_ROWS` rows, the rows of each block shuffled."""
    random.shuffle(groups)
    held: list[Rows] = []
    for block in shards.read_row_groups(groups):
        held.append(block)
        if _count(held) >= SHUFFLE_ROWS:
            yield _mixed(held, random)
            held = []
    if held:
        yield _mixed(held, random)


def _of_like_length(blocks: Iterator[Rows], batch_size: int, random: np.random.Generator) -> Iterator[Rows]:
    """Batches of reviews that are sorted by length within `POOL` batches, in random order."""
    ids, *others = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    lengths = np.count_nonzero(ids, axis=1)
    pools = np.arange(len(ids)) // (POOL * batch_size)
    order = np.lexsort((lengths, pools))
    rows = np.split(order, range(batch_size, len(order), batch_size))
    for position in random.permutation(len(rows)):
        batch = rows[position]
        width = min(ids.shape[1], -(-int(lengths[batch].max()) // WIDTH_STEP) * WIDTH_STEP)
        yield ids[batch, ids.shape[1] - width :], *(values[batch] for values in others)


def _mixed(held: list[Rows], random: np.random.Generator) -> Rows:
    order = random.permutation(_count(held))
    return tuple(np.concatenate(parts)[order] for parts in zip(*held, strict=True))


def _count(held: list[Rows]) -> int:
    return sum(len(rows[0]) for rows in held)
