"""Pre-training: the first layers of a network learn to predict words, the next one and, backwards, the one before.

After Dai and Le, "Semi-supervised Sequence Learning" (NIPS 2015). The loss of each word is that against `NEGATIVES`
words drawn by their frequency, after Jozefowicz et al., "Exploring the Limits of Language Modeling" (2016).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tasks.lib.config import LanguageConfig
from tasks.lib.network import model
from tasks.lib.network.checkpoint import Checkpoint, Progress
from tasks.lib.tokens import INDEX_FROM, START_ID, UNKNOWN_ID, Ids

WINDOW = 100  # words to predict, in both directions
BATCH = 64  # windows
NEGATIVES = 512  # words that each prediction is told from
SMOOTHING = 0.75  # of the frequency that they are drawn by
LEARNING_RATE = 0.002  # at first; down to 0 along a cosine
GRADIENT_NORM = 1.0
NEVER = -1e9  # the logit of a word that is not to be told from itself

Tensor = Any
Weights = list[npt.NDArray[np.float32]]


def stream(ranks: npt.NDArray[np.integer[Any]], lengths: npt.NDArray[np.int64], num_words: int) -> Ids:
    """The token ids of all reviews, one after the other, each after the start id."""
    ids = ranks.astype(np.int32) + INDEX_FROM
    ids[ids >= num_words] = UNKNOWN_ID
    return np.insert(ids, np.cumsum(lengths) - lengths, START_ID)


class Draw:
    """Draws words by their frequency to the power of `SMOOTHING`."""

    def __init__(self, words: Ids, num_words: int) -> None:
        share = (np.bincount(words, minlength=num_words) + 1.0) ** SMOOTHING
        self.share = share / share.sum()
        self._sums = np.cumsum(self.share)

    def __call__(self, random: np.random.Generator) -> Ids:
        """`NEGATIVES` of them."""
        return np.searchsorted(self._sums[:-1], random.random(NEGATIVES)).astype(np.int32)


class LanguageModel(keras.Model):  # type: ignore[misc]  # keras is untyped
    """The embedding, a recurrent layer for each direction, and the word vectors that their outputs are compared with.

    Its inputs are windows of `WINDOW` + 1 ids and the ids to tell them from.
    """

    def __init__(self, config: LanguageConfig, vectors: Weights, draw: Draw) -> None:
        super().__init__()
        self.embedding = keras.layers.Embedding(config.num_words, config.embedding_dim)
        self.cells = [model.recurrent_layer(config, return_sequences=True) for _ in range(1 + config.bidirectional)]
        self.embedding.build()
        for cell in self.cells:
            cell.build((None, WINDOW, config.embedding_dim))
        if vectors:
            self.embedding.set_weights(vectors)
        self.words = self.add_weight(shape=(config.num_words, config.units), initializer="glorot_uniform", name="words")
        self.bias = self.add_weight(shape=(config.num_words,), initializer="zeros", name="bias")
        self.expected = tf.constant(np.log(NEGATIVES * draw.share), tf.float32)
        self.mean = keras.metrics.Mean(name="loss")
        self.built = True

    @property
    def metrics(self) -> list[Any]:
        return [self.mean]

    def starting_weights(self) -> Weights:
        """The weights of the embedding and of the recurrent layers, in the order of the network that takes them."""
        return [*self.embedding.get_weights(), *(weights for cell in self.cells for weights in cell.get_weights())]

    def train_step(self, data: tuple[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
        with tf.GradientTape() as tape:
            loss = self._loss(*data[0])
        variables = self.trainable_variables
        self.optimizer.apply(tape.gradient(loss, [variable.value for variable in variables]), variables)
        self.mean.update_state(loss)
        return {"loss": self.mean.result()}

    def test_step(self, data: tuple[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
        self.mean.update_state(self._loss(*data[0]))
        return {"loss": self.mean.result()}

    def _loss(self, windows: Tensor, negatives: Tensor) -> Tensor:
        vectors = self.embedding(windows)
        orders = [(vectors[:, :-1], windows[:, 1:]), (vectors[:, :0:-1], windows[:, -2::-1])]
        losses = [
            self._prediction_loss(cell(inputs), targets, negatives)
            for cell, (inputs, targets) in zip(self.cells, orders, strict=False)
        ]
        return sum(losses) / len(losses)

    def _prediction_loss(self, outputs: Tensor, targets: Tensor, negatives: Tensor) -> Tensor:
        """The mean cross-entropy of the targets among themselves and the negatives."""
        words, bias = tf.convert_to_tensor(self.words), self.bias - self.expected
        outputs = tf.reshape(outputs, (-1, outputs.shape[-1]))
        targets = tf.reshape(targets, (-1,))
        right = tf.reduce_sum(outputs * tf.gather(words, targets), axis=1) + tf.gather(bias, targets)
        wrong = tf.matmul(outputs, tf.gather(words, negatives), transpose_b=True) + tf.gather(bias, negatives)
        wrong = tf.where(targets[:, tf.newaxis] == negatives, NEVER, wrong)
        logits = tf.concat([right[:, tf.newaxis], wrong], axis=1)
        first = tf.zeros_like(targets)
        return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(first, logits))


def batches(words: Ids, draw: Draw, seed: int) -> tf.data.Dataset:
    """Batches of windows and negatives: windows side by side from a random start, in random order.

    All have `BATCH` windows: words that fill no batch are left out, and too few words are repeated.
    """
    words = np.resize(words, max(len(words), WINDOW * (BATCH + 1) + 1))
    steps = (len(words) - 1 - WINDOW) // WINDOW // BATCH

    def generate() -> Iterator[tuple[tuple[Ids, Ids]]]:
        random = np.random.default_rng(seed)
        starts = random.integers(WINDOW) + WINDOW * random.permutation(steps * BATCH)
        for rows in starts.reshape(steps, BATCH):
            yield ((words[rows[:, np.newaxis] + np.arange(WINDOW + 1)], draw(random)),)

    shapes = tf.TensorSpec((BATCH, WINDOW + 1), tf.int32), tf.TensorSpec((NEGATIVES,), tf.int32)
    stream = tf.data.Dataset.from_generator(generate, output_signature=(shapes,))
    return stream.apply(tf.data.experimental.assert_cardinality(steps)).prefetch(2)


def pretrain(
    config: LanguageConfig,
    vectors: Weights,
    words: Ids,
    validation: Ids,
    checkpoint: Checkpoint,
    *,
    on_epoch: Callable[[int, dict[str, float]], None] = lambda epoch, logs: None,
) -> tuple[Weights, Progress]:
    """The weights of the embedding and the recurrent layers after training on a stream of words.

    The embedding starts from `vectors`, an array in a list, or from random ones if it is empty.
    The same words give the same weights. Training resumes after the last epoch of the checkpoint. `on_epoch` gets the
    number of the epoch (from 1) and its logs; they are in the progress, too: loss, val_loss, seconds.
    """
    model.set_seed(0)
    draw = Draw(words, config.num_words)
    network = LanguageModel(config, vectors, draw)
    steps = len(batches(words, draw, 0)) * config.epochs
    rate = keras.optimizers.schedules.CosineDecay(LEARNING_RATE, steps)
    network.compile(keras.optimizers.Adam(rate, global_clipnorm=GRADIENT_NORM), jit_compile=False)
    network.optimizer.build(network.trainable_variables)
    _, progress = checkpoint.restore(network)
    for epoch in range(progress.epochs, config.epochs):
        started = time.perf_counter()
        loss = network.fit(batches(words, draw, epoch), verbose=0, shuffle=False).history["loss"][0]
        logs = {"loss": float(loss), "seconds": time.perf_counter() - started}
        logs["val_loss"] = float(network.evaluate(batches(validation, draw, 0), verbose=0))
        for name, value in logs.items():
            progress.history.setdefault(name, []).append(value)
        checkpoint.save(network, None, progress)
        on_epoch(epoch + 1, logs)
    return network.starting_weights(), progress
