"""One time step of each recurrent cell in NumPy. Seconds below are those of `forward`.

- relu is one maximum. tanh(x) is 2 / (1 + exp(-2x)) - 1, and the gates are 1 / (1 + exp(-x)): one exponential and cheap
  arithmetic (0.40 s), where np.tanh reads tables (0.55 s). The factors -2 and -1 are folded into the weights.
- Arrays are [gate, row, unit], so every operation runs over contiguous memory.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tasks.lib.network import archive
from tasks.lib.network.archive import Floats
from tasks.lib.tokens import Ids

Positions = npt.NDArray[np.int64]
Feed = Callable[[int, Floats], None]
"""Writes the projected input of one time step, [gate, row, unit], into an array, of the first rows if it has fewer."""

ZERO, ONE, TWO = np.float32(0), np.float32(1), np.float32(2)
LOGISTIC, TANH = np.float32(-1), np.float32(-2)  # what goes into the exponential is x times this


class Activation(NamedTuple):
    """`apply(z, out)` of z = `scale` times x; z is overwritten."""

    scale: np.float32
    apply: Callable[[Floats, Floats], None]


def logistic(z: Floats, out: Floats) -> None:
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


ACTIVATIONS = {"tanh": Activation(TANH, _tanh), "relu": Activation(ONE, _relu)}


class Cell:
    """The weights of one recurrent layer in one direction, scaled for `logistic` and the activation."""

    gates: tuple[np.float32 | None, ...]  # the scale of each gate, in Keras's order; None: that of the activation
    states = 1

    def __init__(self, kernel: Floats, recurrent: Floats, bias: Floats, activation: Activation) -> None:
        self.activation = activation
        self.scales = [activation.scale if gate is None else gate for gate in self.gates]
        self.units = recurrent.shape[0]
        self.kernel = self._by_gate(kernel)
        self.recurrent = self._by_gate(recurrent)
        self.bias = self._by_gate(bias.reshape(1, -1))

    def _by_gate(self, matrix: Floats) -> Floats:
        gates = np.split(matrix, len(self.scales), axis=-1)
        return np.stack([gate * scale for gate, scale in zip(gates, self.scales, strict=True)])

    def project(self, embedding: Floats) -> Floats:
        """The projected input of each word, [gate, word, unit]."""
        table: Floats = np.matmul(embedding, self.kernel) + self.bias
        return table

    def projection(self, inputs: Floats) -> Feed:
        """Feeds the inputs of each time, [time, row, input], projected."""

        def feed(time: int, x: Floats) -> None:
            np.matmul(inputs[time, : x.shape[1]], self.kernel, out=x)
            np.add(x, self.bias, out=x)

        return feed

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

    def run_masked(
        self, feed: Feed, times: Iterable[int], active: Positions, rows: int, outputs: Floats | None
    ) -> Floats:
        """Runs all `times` with the first `active[time]` rows each, from states of 0.

        Writes each output to `outputs` (by time) if given; returns the largest one of each row and unit, at least 0.
        """
        x = np.empty(len(self.scales) * rows * self.units, np.float32)
        z = np.empty_like(x)
        state = [np.zeros((rows, self.units), np.float32) for _ in range(self.states)]
        largest = np.zeros((rows, self.units), np.float32)
        with np.errstate(over="ignore"):
            for time in times:
                count = active[time]
                shape = (len(self.scales), count, self.units)
                now, scratch = (flat[: np.prod(shape)].reshape(shape) for flat in (x, z))  # contiguous, as all of them
                current = [part[:count] for part in state]
                feed(time, now)
                self.step(now, scratch, current)
                np.maximum(largest[:count], current[0], out=largest[:count])
                if outputs is not None:
                    outputs[time, :count] = current[0]
        return largest


class SimpleRNN(Cell):
    gates = (None,)

    def step(self, x: Floats, z: Floats, state: Sequence[Floats]) -> None:
        np.matmul(state[0], self.recurrent, out=z)
        np.add(z, x, out=z)
        self.activation.apply(z[0], state[0])


class LSTM(Cell):
    gates = (LOGISTIC, LOGISTIC, None, LOGISTIC)  # input, forget, candidate, output
    states = 2

    def step(self, x: Floats, z: Floats, state: Sequence[Floats]) -> None:
        output, carry = state
        np.matmul(output, self.recurrent, out=z)
        np.add(z, x, out=z)
        logistic(z[:2], out=z[:2])
        self.activation.apply(z[2], z[2])
        logistic(z[3], out=z[3])
        np.multiply(carry, z[1], out=carry)
        np.multiply(z[0], z[2], out=z[0])
        np.add(carry, z[0], out=carry)
        np.multiply(carry, self.activation.scale, out=z[0])
        self.activation.apply(z[0], z[0])
        np.multiply(z[0], z[3], out=output)


class GRU(Cell):
    """The form that Keras and cuDNN use: the reset gate acts on the recurrent product and its own bias."""

    gates = (LOGISTIC, LOGISTIC, None)  # update, reset, candidate

    def __init__(self, kernel: Floats, recurrent: Floats, bias: Floats, activation: Activation) -> None:
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
        logistic(z[:2], out=z[:2])
        np.add(candidate, self.reset_bias, out=candidate)
        np.multiply(candidate, reset, out=candidate)
        np.add(candidate, x[2], out=candidate)
        self.activation.apply(candidate, candidate)
        np.subtract(output, candidate, out=output)
        np.multiply(output, update, out=output)
        np.add(output, candidate, out=output)


CELLS: dict[str, type[Cell]] = {"SimpleRNN": SimpleRNN, "LSTM": LSTM, "GRU": GRU}


def from_archive(stored: archive.Cell) -> Cell:
    """The cell with the weights of a stored one. Raises `archive.Unsupported` if it is of another kind."""
    if stored.kind not in CELLS or stored.activation not in ACTIVATIONS:
        raise archive.Unsupported(
            f"Expected {' or '.join(CELLS)} with activation {' or '.join(ACTIVATIONS)}, found {stored.kind} with "
            f"{stored.activation!r}."
        )
    return CELLS[stored.kind](stored.kernel, stored.recurrent, stored.bias, ACTIVATIONS[stored.activation])


def lookup(table: Floats, by_time: Ids) -> Feed:
    """Feeds the rows of a projected table, by the ids of each time."""

    def feed(time: int, x: Floats) -> None:
        ids = by_time[time, : x.shape[1]]
        np.take(table, ids, axis=1, out=x, mode="clip")  # "clip": in range already, skips a copy

    return feed
