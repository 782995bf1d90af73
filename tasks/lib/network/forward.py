"""The forward pass of a saved network in NumPy: probabilities from a `.keras` file, without TensorFlow.

A scheduled run that scores one small file would spend most of its time importing TensorFlow (3 to 5 s). All that
scoring needs is a table look-up, a matrix product and an exponential per time step, and NumPy has these. `Scorer`
reads the weights straight from the archive (`config.json` and `model.weights.h5`; nothing in there is executed) and
agrees with Keras to 1e-5; the tests hold that for every cell, stacked and bidirectional. A network with parts unknown
here is refused with `Unsupported`. Seconds below: 25,000 IMDB reviews, simple_rnn of 32 units, 200 ids, one core.

- The weights are constant, so the input projection `embedding @ kernel + bias` is computed once for each word and not
  for each position: a step reads its row (0.12 s) instead of multiplying (0.5 s).
- relu is one maximum. tanh(x) is 2 / (1 + exp(-2x)) - 1, and the gates are 1 / (1 + exp(-x)): one exponential and cheap
  arithmetic (0.40 s), where np.tanh reads tables (0.55 s). The factors -2 and -1 are folded into the weights.
- Arrays are [gate, row, unit], so every operation runs over contiguous memory.
- Reviews are padded on the left, and the state after k padding ids is the same for all. Rows are sorted by length, and
  a block starts at the state after the padding that all its rows share: a fifth of all steps.
- Blocks have a fixed number of rows, so that the arrays of a step stay in a core's second-level cache (512 rows take
  1.2 times, 8,192 rows 1.5 times as long). The last one has the next power of two, filled up with padding: 20 reviews
  take 2 ms instead of 21.
- Blocks run on one thread per core: NumPy releases the interpreter lock within each operation. BLAS itself is limited
  to one thread meanwhile, since its own threads wait for each other on products this small.

Equality: the same array of ids gives the same bits. A row scored with other rows can differ in the last bits (below
1e-6): BLAS multiplies the rows of a block in groups, and rounds slightly differently in each.
"""

import io
import json
import os
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import numpy.typing as npt
import threadpoolctl

from tasks.lib import errors, files
from tasks.lib.tokens import PADDING_ID, Ids

Floats = npt.NDArray[np.float32]
Feed = Callable[[int, Floats], None]
"""Writes the projected input of one time step, [gate, row, unit], into an array."""

ZERO, ONE, TWO = np.float32(0), np.float32(1), np.float32(2)
LOGISTIC, TANH = np.float32(-1), np.float32(-2)  # what goes into the exponential is x times this
BLOCK_FLOATS = 1 << 16  # of one array [gate, row, unit]: 256 KB
SMALLEST_BLOCK = 64  # rows
# What zipfile, h5py, JSON and NumPy raise on a corrupt file.
UNREADABLE = (zipfile.BadZipFile, zlib.error, OSError, LookupError, TypeError, ValueError, AttributeError, RuntimeError)
IGNORED_LAYERS = frozenset({"InputLayer", "Dropout", "SpatialDropout1D"})  # no effect on scores


class Unsupported(errors.ModelError):
    """The network has a part that this module does not know."""


class _Activation(NamedTuple):
    """`apply(z, out)` of z = `scale` times x; z is overwritten."""

    scale: np.float32
    apply: Callable[[Floats, Floats], None]


class _Cell:
    """The weights of one recurrent layer in one direction, scaled for `_logistic` and the activation."""

    gates: tuple[np.float32 | None, ...]  # the scale of each gate, in Keras's order; None: that of the activation
    states = 1

    def __init__(self, kernel: Floats, recurrent: Floats, bias: Floats, activation: _Activation) -> None:
        self.activation = activation
        self.scales = [activation.scale if gate is None else gate for gate in self.gates]
        self.units = recurrent.shape[0]
        self.kernel = self._by_gate(kernel)
        self.recurrent = self._by_gate(recurrent)
        self.bias = self._by_gate(bias.reshape(1, -1))

    def _by_gate(self, matrix: Floats) -> Floats:
        gates = np.split(matrix, len(self.scales), axis=-1)
        return np.stack([gate * scale for gate, scale in zip(gates, self.scales, strict=True)])

    def step(self, x: Floats, z: Floats, state: Sequence[Floats]) -> None:
        """Advances `state` (the output first) by one time step; may overwrite `x` and `z`."""
        raise NotImplementedError

    def run(self, feed: Feed, times: Iterable[int], state: Sequence[Floats], outputs: Floats | None = None) -> Floats:
        """Runs all `times`, writes each output to `outputs` (by time) if given, returns the last."""
        x = np.empty((len(self.scales), *state[0].shape), np.float32)
        z = np.empty_like(x)
        with np.errstate(over="ignore"):  # exp(-x) of a closed gate: 1 / (1 + inf) is the 0 that it should be
            for time in times:
                feed(time, x)
                self.step(x, z, state)
                if outputs is not None:
                    outputs[time] = state[0]
        return state[0]


class _SimpleRNN(_Cell):
    gates = (None,)

    def step(self, x: Floats, z: Floats, state: Sequence[Floats]) -> None:
        np.matmul(state[0], self.recurrent, out=z)
        np.add(z, x, out=z)
        self.activation.apply(z[0], state[0])


class _LSTM(_Cell):
    gates = (LOGISTIC, LOGISTIC, None, LOGISTIC)  # input, forget, candidate, output
    states = 2

    def step(self, x: Floats, z: Floats, state: Sequence[Floats]) -> None:
        output, carry = state
        np.matmul(output, self.recurrent, out=z)
        np.add(z, x, out=z)
        _logistic(z[:2], out=z[:2])
        self.activation.apply(z[2], z[2])
        _logistic(z[3], out=z[3])
        np.multiply(carry, z[1], out=carry)
        np.multiply(z[0], z[2], out=z[0])
        np.add(carry, z[0], out=carry)
        np.multiply(carry, self.activation.scale, out=z[0])
        self.activation.apply(z[0], z[0])
        np.multiply(z[0], z[3], out=output)


class _GRU(_Cell):
    """The form that Keras and cuDNN use: the reset gate acts on the recurrent product and its own bias."""

    gates = (LOGISTIC, LOGISTIC, None)  # update, reset, candidate

    def __init__(self, kernel: Floats, recurrent: Floats, bias: Floats, activation: _Activation) -> None:
        input_bias, recurrent_bias = bias.reshape(2, -1)
        super().__init__(kernel, recurrent, input_bias, activation)
        added = self._by_gate(recurrent_bias.reshape(1, -1))
        self.bias[:2] += added[:2]
        self.reset_bias = added[2]

    def step(self, x: Floats, z: Floats, state: Sequence[Floats]) -> None:
        output = state[0]
        update, reset, candidate = z
        np.matmul(output, self.recurrent, out=z)
        np.add(z[:2], x[:2], out=z[:2])
        _logistic(z[:2], out=z[:2])
        np.add(candidate, self.reset_bias, out=candidate)
        np.multiply(candidate, reset, out=candidate)
        np.add(candidate, x[2], out=candidate)
        self.activation.apply(candidate, candidate)
        np.subtract(output, candidate, out=output)
        np.multiply(output, update, out=output)
        np.add(output, candidate, out=output)


CELLS: Mapping[str, type[_Cell]] = {"SimpleRNN": _SimpleRNN, "LSTM": _LSTM, "GRU": _GRU}


class Scorer:
    """`Scorer(path)(ids)`: the positive probability of each row of ids, by the network in a `.keras` file."""

    def __init__(self, model_file: Path, threads: int | None = None) -> None:
        try:
            archive = _Archive(model_file)
            tables = [_project(cell, archive.embedding) for cell in archive.layers[0]]
        except UNREADABLE as error:
            raise errors.ModelError(
                f"{model_file}: not readable as a Keras model. Run the training again to repair it, or choose another "
                "with --model or flows/release.py."
            ) from error
        self.maxlen = archive.maxlen
        self.weights_digest = archive.weights_digest
        cells = [cell for layer in archive.layers for cell in layer]
        self.activations = {
            name for name, kind in ACTIVATIONS.items() if any(cell.activation is kind for cell in cells)
        }
        self.num_words = len(archive.embedding)
        self.threads = threads or _cores()
        self._layers = archive.layers  # each a tuple of cells: forward, or forward and backward
        self._tables = tables
        self._head = archive.head
        widest = max(len(cell.scales) * cell.units for layer in self._layers for cell in layer)
        self._rows = max(SMALLEST_BLOCK, 1 << (BLOCK_FLOATS // widest | 1).bit_length() - 1)  # a power of 2
        self._pad_states = self._run_padding() if all(len(layer) == 1 for layer in self._layers) else None
        self._blas = threadpoolctl.ThreadpoolController()

    def __call__(self, ids: Ids) -> Floats:
        """The scores of any number of rows of `maxlen` ids; thousands at once are fastest."""
        self._check(ids)
        padding = np.where(ids.any(axis=1), (ids != PADDING_ID).argmax(axis=1), self.maxlen)
        order = np.argsort(padding, kind="stable")
        scores = np.empty(len(ids), np.float32)

        def score(start: int) -> None:
            rows = order[start : start + self._rows]
            scores[rows] = self._score_block(ids[rows], int(padding[rows[0]]))

        starts = range(0, len(ids), self._rows)
        with self._blas.limit(limits=1, user_api="blas"):
            if len(starts) == 1:
                score(0)
            else:
                with ThreadPoolExecutor(self.threads) as pool:
                    list(pool.map(score, starts))  # an error in a thread is raised here
        return scores

    def _check(self, ids: Ids) -> None:
        if ids.ndim != 2 or ids.shape[1] != self.maxlen:
            raise ValueError(f"Expected rows of {self.maxlen} ids, found an array of shape {ids.shape}.")
        if ids.size and (ids.min() < 0 or ids.max() >= self.num_words):
            found = f"{ids.min()} to {ids.max()}"
            raise ValueError(f"Expected ids from 0 to {self.num_words - 1}, found {found}.")

    def _score_block(self, ids: Ids, padding: int) -> Floats:
        """The scores of up to `self._rows` rows that all begin with at least `padding` padding ids."""
        rows = max(SMALLEST_BLOCK, 1 << (len(ids) - 1).bit_length())
        by_time = np.full((self.maxlen, rows), PADDING_ID, np.int32)
        by_time[:, : len(ids)] = ids.T
        feeds = [_lookup(table, by_time) for table in self._tables]
        start = padding if self._pad_states else 0
        for number in range(len(self._layers) - 1):
            outputs = self._run_layer(number, feeds, start, rows, keep=True)
            feeds = [_multiply(cell, outputs) for cell in self._layers[number + 1]]
        last = self._run_layer(len(self._layers) - 1, feeds, start, rows, keep=False)
        return self._judge(last)[: len(ids)]

    def _judge(self, outputs: Floats) -> Floats:
        kernel, bias = self._head
        scores: Floats = -((outputs * kernel).sum(axis=1) + bias)
        with np.errstate(over="ignore"):
            _logistic(scores, out=scores)
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

    def _start_state(self, number: int, cell: _Cell, padding: int, rows: int) -> list[Floats]:
        shape = (rows, cell.units)
        if self._pad_states is None:
            return [np.zeros(shape, np.float32) for _ in range(cell.states)]
        return [np.tile(state, (rows, 1)) for state in self._pad_states[number][padding]]

    def _run_padding(self) -> list[list[list[Floats]]]:
        """The state of each layer after 0 to maxlen padding ids."""
        feeds = [_lookup(self._tables[0], np.full((self.maxlen, 1), PADDING_ID, np.int32))]
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
                feeds.append(_multiply(self._layers[number + 1][0], outputs))
        return states


class _Archive:
    """The contents of a `.keras` file: its weights, after its architecture was checked."""

    def __init__(self, model_file: Path) -> None:
        with zipfile.ZipFile(model_file) as archive:
            config = json.loads(archive.read("config.json"))
            weights = io.BytesIO(archive.read("model.weights.h5"))
        layers = [layer for layer in config["config"]["layers"] if layer["class_name"] != "InputLayer"]
        names = _stored_names([layer["class_name"] for layer in layers])
        self.maxlen = _maxlen(layers)
        with h5py.File(weights, "r") as store:
            parts = [
                (layer, f"layers/{name}")
                for layer, name in zip(layers, names, strict=True)
                if layer["class_name"] not in IGNORED_LAYERS
            ]
            _check_order([layer["class_name"] for layer, _ in parts])
            self.embedding = _read_embedding(store, *parts[0])
            self.layers = [_read_recurrent(store, *part) for part in parts[1:-1]]
            self.head = _read_head(store, *parts[-1])
            # of all weights, in Keras's order
            self.weights_digest = files.arrays_digest(
                _read(store, path) for layer, part in parts for path in _weights(layer["class_name"], part)
            )
        _check_sequences([layer["config"] for layer, _ in parts[1:-1]])


def _check_order(classes: list[str]) -> None:
    recurrent = {*CELLS, "Bidirectional"}
    known = len(classes) >= 3 and classes[0] == "Embedding" and classes[-1] == "Dense"
    if not known or not recurrent.issuperset(classes[1:-1]):
        found = ", ".join(classes)
        raise Unsupported(f"Expected an Embedding, recurrent layers and a Dense layer, found: {found}.")


def _check_sequences(configs: list[dict[str, Any]]) -> None:
    """Every recurrent layer but the last returns its whole sequence of outputs."""
    inner = [config.get("layer", {}).get("config", config) for config in configs]
    if [config["return_sequences"] for config in inner] != [True] * (len(inner) - 1) + [False]:
        raise Unsupported("Expected return_sequences of all recurrent layers but the last.")


def _maxlen(layers: list[dict[str, Any]]) -> int:
    length = layers[0].get("build_config", {}).get("input_shape", [None, None])[1]
    if not isinstance(length, int):
        raise Unsupported("Expected a network with a fixed number of ids per review.")
    return length


def _read_embedding(store: h5py.File, layer: dict[str, Any], path: str) -> Floats:
    _require(layer, mask_zero=False)
    return _read(store, f"{path}/vars/0")


def _read_recurrent(store: h5py.File, layer: dict[str, Any], path: str) -> tuple[_Cell, ...]:
    if layer["class_name"] != "Bidirectional":
        return (_read_cell(store, layer, path, go_backwards=False),)
    _require(layer, merge_mode="concat")
    forward, backward = layer["config"]["layer"], layer["config"]["backward_layer"]
    return (
        _read_cell(store, forward, f"{path}/forward_layer", go_backwards=False),
        _read_cell(store, backward, f"{path}/backward_layer", go_backwards=True),
    )


def _read_cell(store: h5py.File, layer: dict[str, Any], path: str, go_backwards: bool) -> _Cell:
    kind = layer["class_name"]
    if kind not in CELLS:
        raise Unsupported(f"Expected one of {', '.join(CELLS)}, found {kind}.")
    _require(layer, use_bias=True, go_backwards=go_backwards, stateful=False)
    if (activation := layer["config"].get("activation")) not in ACTIVATIONS:
        raise Unsupported(f"Expected {kind} with activation {' or '.join(ACTIVATIONS)}, found {activation!r}.")
    if kind != "SimpleRNN":
        _require(layer, recurrent_activation="sigmoid")
    if kind == "GRU":
        _require(layer, reset_after=True)
    kernel, recurrent, bias = (_read(store, f"{path}/cell/vars/{number}") for number in range(3))
    return CELLS[kind](kernel, recurrent, bias, ACTIVATIONS[activation])


def _read_head(store: h5py.File, layer: dict[str, Any], path: str) -> tuple[Floats, Floats]:
    _require(layer, activation="sigmoid", units=1, use_bias=True)
    return _read(store, f"{path}/vars/0")[:, 0], _read(store, f"{path}/vars/1")


def _read(store: h5py.File, path: str) -> Floats:
    """A stored array; one that points into other files, as h5py would follow, is refused."""
    dataset = store.get(path)
    if not isinstance(dataset, h5py.Dataset):
        raise Unsupported(f"Expected the weights {path} in the file.")
    if dataset.file.id != store.id or dataset.external or dataset.is_virtual:
        raise Unsupported(f"The weights {path} are not in the file itself.")
    weights = np.asarray(dataset[...], np.float32)
    if not np.isfinite(weights).all():
        raise errors.ModelError(
            f"The model has weights that are not finite numbers ({path}). Run the training again, or choose another "
            "model with --model or flows/release.py."
        )
    return weights


def _weights(kind: str, path: str) -> list[str]:
    """Where the weights of a layer are stored, in Keras's order."""
    if kind in CELLS:
        return [f"{path}/cell/vars/{number}" for number in range(3)]
    if kind == "Bidirectional":
        return [
            f"{path}/{way}/cell/vars/{number}" for way in ("forward_layer", "backward_layer") for number in range(3)
        ]
    return [f"{path}/vars/{number}" for number in range(1 if kind == "Embedding" else 2)]


def _require(layer: dict[str, Any], **expected: object) -> None:
    for name, value in expected.items():
        found = layer["config"].get(name)
        if found != value:
            raise Unsupported(f"Expected {layer['class_name']} with {name}={value!r}, found {found!r}.")


def _stored_names(classes: list[str]) -> list[str]:
    """The group of each layer in Keras's weight file: its class in snake case, repeats numbered from 1."""
    snake = {"SimpleRNN": "simple_rnn", "LSTM": "lstm", "GRU": "gru", "SpatialDropout1D": "spatial_dropout1d"}
    seen: dict[str, int] = {}
    names = []
    for kind in classes:
        name = snake.get(kind, kind.lower())
        count = seen.get(name, 0)
        names.append(f"{name}_{count}" if count else name)
        seen[name] = count + 1
    return names


def _project(cell: _Cell, embedding: Floats) -> Floats:
    table: Floats = np.matmul(embedding, cell.kernel) + cell.bias
    return table


def _lookup(table: Floats, by_time: Ids) -> Feed:
    def feed(time: int, x: Floats) -> None:
        np.take(table, by_time[time], axis=1, out=x, mode="clip")  # "clip": in range already, skips a copy

    return feed


def _multiply(cell: _Cell, inputs: Floats) -> Feed:
    def feed(time: int, x: Floats) -> None:
        np.matmul(inputs[time], cell.kernel, out=x)
        np.add(x, cell.bias, out=x)

    return feed


def _logistic(z: Floats, out: Floats) -> None:
    """1 / (1 + exp(-x)), of z = -x, which is overwritten."""
    np.exp(z, out=z)
    np.add(z, ONE, out=z)
    np.divide(ONE, z, out=out)


def _tanh(z: Floats, out: Floats) -> None:
    """2 / (1 + exp(-2x)) - 1, of z = -2x, which is overwritten."""
    np.exp(z, out=z)
    np.add(z, ONE, out=z)
    np.divide(TWO, z, out=out)
    np.subtract(out, ONE, out=out)


def _relu(z: Floats, out: Floats) -> None:
    np.maximum(z, ZERO, out=out)


ACTIVATIONS: Mapping[str, _Activation] = {"tanh": _Activation(TANH, _tanh), "relu": _Activation(ONE, _relu)}


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
