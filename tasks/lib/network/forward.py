"""The forward pass of a saved network in NumPy: probabilities from a `.keras` file, without TensorFlow.

A scheduled run that scores one small file would spend most of its time importing TensorFlow (3 to 5 s). All that
scoring needs is a table look-up, a matrix product and an exponential per time step, and NumPy has these. `Scorer`
agrees with Keras to 1e-5; the tests hold that for every cell, stacked and bidirectional. Seconds below: 25,000 IMDB
reviews, simple_rnn of 32 units, 200 ids, one core.

- The weights are constant, so the input projection `embedding @ kernel + bias` is computed once for each word and not
  for each position: a step reads its row (0.12 s) instead of multiplying (0.5 s).
- Reviews are padded on the left, and the state after k padding ids is the same for all. Rows are sorted by length, and
  a block starts at the state after the padding that all its rows share: a fifth of all steps.
- Blocks have a fixed number of rows, so that the arrays of a step stay in a core's second-level cache (512 rows take
  1.2 times, 8,192 rows 1.5 times as long). The last one has the next power of two, filled up with padding: 20 reviews
  take 2 ms instead of 21.
- Blocks run on one thread per core: NumPy releases the interpreter lock within each operation. BLAS itself is limited
  to one thread, since its own threads wait for each other on products this small.
- A network with pooling skips padding: at each step, only the rows that have a word there are computed. Sorted by
  length, they are the first ones of the arrays.

Equality: the same array of ids gives the same bits. A row scored with other rows can differ in the last bits (below
1e-6): BLAS multiplies the rows of a block in groups, and rounds slightly differently in each.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import threadpoolctl

from tasks.lib import errors
from tasks.lib.network import archive
from tasks.lib.network.archive import Floats
from tasks.lib.network.cells import Cell, Feed, Positions, from_archive, logistic, lookup
from tasks.lib.tokens import PADDING_ID, Ids

BLOCK_FLOATS = 1 << 16  # of one array [gate, row, unit]: 256 KB
SMALLEST_BLOCK = 64  # rows
MASKED_ROWS = 2048  # of a block of a network with pooling; with 512, two threads are slower than one


class Scorer:
    """`Scorer(path)(ids)`: the positive probability of each row of ids, by the network in a `.keras` file.

    `calls` is how many threads should call it at once with blocks of 2,048 rows. A network with pooling takes a whole
    block in one thread, another one divides it among its own.
    """

    def __init__(self, model_file: Path, threads: int | None = None) -> None:
        try:
            stored = archive.read(model_file)
            layers = [[from_archive(cell) for cell in layer] for layer in stored.layers]
            tables = [cell.project(stored.embedding) for cell in layers[0]]
        except archive.UNREADABLE as error:
            raise errors.ModelError(
                f"{model_file}: not readable as a Keras model. Run the training again to repair it, or choose another "
                "with --model or flows/release.py."
            ) from error
        self.maxlen = stored.maxlen
        self.weights_digest = stored.weights_digest
        self.activations = {cell.activation for cell in stored.cells}
        self.num_words = len(stored.embedding)
        self.threads = threads or _cores()
        self._layers = layers
        self._tables = tables
        self.pooling = stored.pooling
        self.ngrams = None if stored.ngrams is None else len(stored.ngrams) - 1
        self._ngram_weights = stored.ngrams
        units = sum(cell.units for cell in layers[-1])
        self._head = stored.head[0][:units, 0], stored.head[1]
        # The mean of word vectors times the head is the mean of one number for each word.
        self._word_logits = stored.embedding @ stored.head[0][units:, 0] if self.pooling == "max_mean" else None
        widest = max(len(cell.scales) * cell.units for layer in self._layers for cell in layer)
        self._rows = max(SMALLEST_BLOCK, 1 << (BLOCK_FLOATS // widest | 1).bit_length() - 1)  # a power of 2
        one_way = all(len(layer) == 1 for layer in self._layers)
        self._pad_states = self._run_padding() if one_way and self.pooling == "last" else None
        self.calls = 1 if self.pooling == "last" else self.threads
        threadpoolctl.threadpool_limits(1, "blas")  # for good: calls overlap, and one must not lift it for another

    def __call__(self, ids: Ids, ngram_ids: Ids | None = None) -> Floats:
        """The scores of any number of rows of `maxlen` ids; thousands at once are fastest.

        A network with n-grams needs their ids for each row, too, from 1, padded with 0 on the right.
        """
        self._check(ids)
        added = self._add_ngrams(ngram_ids, len(ids))
        padding = np.where(ids.any(axis=1), (ids != PADDING_ID).argmax(axis=1), self.maxlen)
        order = np.argsort(padding, kind="stable")
        scores = np.empty(len(ids), np.float32)

        def score(rows: Positions) -> None:
            scores[rows] = self._judge(*self._run_block(ids[rows], padding[rows]), added[rows])

        blocks = self._blocks(order)
        if len(blocks) == 1:
            score(blocks[0])
        else:
            with ThreadPoolExecutor(self.threads) as pool:
                list(pool.map(score, blocks))  # an error in a thread is raised here
        return scores

    def _blocks(self, order: Positions) -> list[Positions]:
        """The rows of each block, sorted by their padding, from those of all."""
        if self.pooling == "last":  # a block starts at the padding that its rows share, so they are neighbours
            return [order[start : start + self._rows] for start in range(0, len(order), self._rows)]
        # Rows that are done cost nothing, so each block takes long and short ones: all take the same time.
        count = -(-len(order) // MASKED_ROWS)
        return [order[number::count] for number in range(count)]

    def _check(self, ids: Ids) -> None:
        if ids.ndim != 2 or ids.shape[1] != self.maxlen:
            raise ValueError(f"Expected rows of {self.maxlen} ids, found an array of shape {ids.shape}.")
        if ids.size and (ids.min() < 0 or ids.max() >= self.num_words):
            found = f"{ids.min()} to {ids.max()}"
            raise ValueError(f"Expected ids from 0 to {self.num_words - 1}, found {found}.")

    def _add_ngrams(self, ngram_ids: Ids | None, rows: int) -> Floats:
        """What the n-grams of each row add to its logit."""
        if (self._ngram_weights is None) != (ngram_ids is None):
            raise ValueError(f"Expected {'no n-grams' if self._ngram_weights is None else 'the ids of n-grams'}.")
        if self._ngram_weights is None or ngram_ids is None:
            return np.zeros(rows, np.float32)
        if ngram_ids.size and (ngram_ids.min() < 0 or ngram_ids.max() >= len(self._ngram_weights)):
            raise ValueError(f"Expected ids of n-grams from 0 to {len(self._ngram_weights) - 1}.")
        return np.asarray(self._ngram_weights[ngram_ids].sum(axis=1))

    def _run_block(self, ids: Ids, padding: Positions) -> tuple[Floats, Floats | None]:
        """Pooled states, and means of `_word_logits`, of up to `self._rows` rows that are sorted by padding."""
        if self.pooling != "last":
            return self._run_masked(ids, padding)
        rows = max(SMALLEST_BLOCK, 1 << (len(ids) - 1).bit_length())
        by_time = np.full((self.maxlen, rows), PADDING_ID, np.int32)
        by_time[:, : len(ids)] = ids.T
        feeds = [lookup(table, by_time) for table in self._tables]
        start = int(padding[0]) if self._pad_states else 0
        for number in range(len(self._layers) - 1):
            outputs = self._run_layer(number, feeds, start, rows, keep=True)
            feeds = [cell.projection(outputs) for cell in self._layers[number + 1]]
        return self._run_layer(len(self._layers) - 1, feeds, start, rows, keep=False)[: len(ids)], None

    def _run_masked(self, ids: Ids, padding: Positions) -> tuple[Floats, Floats | None]:
        """At each time only the rows that have a word there take a step: the first ones, as they are sorted."""
        by_time = np.ascontiguousarray(ids.T)
        active = np.searchsorted(padding, np.arange(self.maxlen), side="right")
        start = int(padding[0])
        feeds = [lookup(table, by_time) for table in self._tables]
        pooled: list[Floats] = []
        for number, cells in enumerate(self._layers):
            last = number == len(self._layers) - 1
            outputs = np.zeros((0 if last else self.maxlen, len(ids), sum(cell.units for cell in cells)), np.float32)
            times = (range(start, self.maxlen), range(self.maxlen - 1, start - 1, -1))
            position = 0
            for cell, feed, order in zip(cells, feeds, times, strict=False):
                kept = None if last else outputs[:, :, position : position + cell.units]
                pooled.append(cell.run_masked(feed, order, active, len(ids), kept))
                position += cell.units
            if not last:
                pooled.clear()
                feeds = [cell.projection(outputs) for cell in self._layers[number + 1]]
        means = None
        if self._word_logits is not None:
            real = np.maximum(self.maxlen - padding, 1)
            spoken = np.where(np.arange(self.maxlen) >= padding[:, np.newaxis], self._word_logits[ids], np.float32(0))
            means = (spoken.sum(axis=1) / real).astype(np.float32)
        return np.concatenate(pooled, axis=1), means

    def _judge(self, outputs: Floats, means: Floats | None, added: Floats) -> Floats:
        kernel, bias = self._head
        logits = (outputs * kernel).sum(axis=1) + bias + added
        scores: Floats = -(logits if means is None else logits + means)
        with np.errstate(over="ignore"):
            logistic(scores, out=scores)
        return scores

    def _run_layer(self, number: int, feeds: list[Feed], start: int, rows: int, *, keep: bool) -> Floats:
        """The outputs of a layer: [time, row, unit] with `keep`, else the last one, [row, unit]."""
        cells = self._layers[number]
        units = cells[0].units
        outputs = np.empty((self.maxlen if keep else 0, rows, units * len(cells)), np.float32)
        times = (range(start, self.maxlen), range(self.maxlen - 1, -1, -1))
        last = []
        for position, (cell, feed) in enumerate(zip(cells, feeds, strict=True)):
            kept = outputs[:, :, position * units : (position + 1) * units] if keep else None
            last.append(cell.run(feed, times[position], self._start_state(number, cell, start, rows), kept))
        return outputs if keep else np.concatenate(last, axis=1)

    def _start_state(self, number: int, cell: Cell, padding: int, rows: int) -> list[Floats]:
        shape = (rows, cell.units)
        if self._pad_states is None:
            return [np.zeros(shape, np.float32) for _ in range(cell.states)]
        return [np.tile(state, (rows, 1)) for state in self._pad_states[number][padding]]

    def _run_padding(self) -> list[list[list[Floats]]]:
        """The state of each layer after 0 to maxlen padding ids."""
        feeds = [lookup(self._tables[0], np.full((self.maxlen, 1), PADDING_ID, np.int32))]
        states = []
        for number, (cell,) in enumerate(self._layers):
            state = [np.zeros((1, cell.units), np.float32) for _ in range(cell.states)]
            seen = [[part.copy() for part in state]]
            for time in range(self.maxlen):
                cell.run(feeds[number], [time], state)
                seen.append([part.copy() for part in state])
            states.append(seen)
            if number + 1 < len(self._layers):
                outputs = np.stack([after[0] for after in seen[1:]])
                feeds.append(self._layers[number + 1][0].projection(outputs))
        return states


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
