"""Training of a simple_rnn network on the CPU in half the time, to the same bits as plain Keras.

`trainable(model)` returns a model to compile and fit in place of the plain one. It computes with the plain model's own
variables, so afterwards the plain model is trained, and it is the one that is saved: standard layers only. A model that
has no shortcut here (lstm, gru, a GPU, dropout inside the recurrent part, masks, very long rows) is returned as it is
and trains by Keras alone.

Why to the same bits? Training a simple_rnn over 200 steps multiplies rounding errors: one last bit changed in
the weights changes the loss by 0.01 after an epoch, so "nearly the same sums" cannot be told from wrong ones.
Here every sum is taken over the same numbers in the same order as in Keras's graph.

Where plain Keras spends its time (batch of 128, 200 ids, 32 units): 1 part arithmetic, 3 parts in running a
`tf.while_loop` forwards and backwards, 200 times some 40 operations that read, slice, stack and count.

- The steps are unrolled into one graph: 3 operations a step forwards and 2 backwards, written out by hand, instead of
  40. A step that needs no loop counter or list costs microseconds.
- What does not depend on the step before is computed for 100 steps at once: inputs @ kernel + bias, and the gradients
  of the kernels, the bias and the inputs. These batches run on one core while the chain of steps runs on the other.
  (Of 10, 25, 50 and 100 steps, 100 took the least time.)
- Word vectors are read in the order of time, which saves a transposition of the largest array.

The gradients of the kernels are summed from the last step to the first, one step at a time, by
`UnsortedSegmentSum`, which adds its rows in their order; that is the order of the gradient of Keras's loop.
The gradient of the embedding stays a list of (id, gradient) in the order of the rows: Keras's Adam on
TensorFlow squares those one by one, before it adds up those of the same id, and a dense gradient would train
differently. That optimizer, which goes through the whole table of word vectors twice, is half of the time that
is left (8 of 16 ms a step on two cores; forwards 3, backwards 6).
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf

CHUNK = 100  # steps whose inputs and gradients are computed in one operation
MOST_STEPS = 1000  # of all recurrent layers together; building the graph takes about 3 ms for each

Tensor = Any
ops = tf.raw_ops  # the bare operations: no Python wrappers between the graph and its kernels


class _Activation(NamedTuple):
    """The activation, and its gradient from the output and the gradient of the output."""

    apply: Callable[[Tensor], Tensor]
    gradient: Callable[[Tensor, Tensor], Tensor]


ACTIVATIONS = {
    keras.activations.relu: _Activation(
        lambda x: ops.Relu(features=x), lambda y, dy: ops.ReluGrad(gradients=dy, features=y)
    ),
    keras.activations.tanh: _Activation(lambda x: ops.Tanh(x=x), lambda y, dy: ops.TanhGrad(y=y, dy=dy)),
}


def trainable(model: keras.Model) -> keras.Model:
    """A model to compile and fit that shares its variables with `model`, or `model` if none is faster."""
    if tf.config.list_physical_devices("GPU") or not _has_shortcut(model):
        return model
    return _Unrolled(model)


class _Unrolled(keras.Model):  # type: ignore[misc]  # keras is untyped
    """Computes what the plain model does, with its variables; saves as the plain model."""

    def __init__(self, plain: keras.Model) -> None:
        super().__init__(name=plain.name)
        self.plain = plain

    def compile(self, optimizer: Any = "rmsprop", *arguments: Any, **options: Any) -> None:
        """Compiles both with one optimizer, so that the plain model is saved with the optimizer's state."""
        super().compile(optimizer, *arguments, **options | {"jit_compile": False})
        self.plain.compile(self.optimizer, *arguments, **options)

    def call(self, ids: Tensor, training: bool = False) -> Tensor:
        embedding, *recurrent = _recurrent_part(self.plain)
        x = _embed(tf.ensure_shape(ids, self.plain.input_shape), tf.convert_to_tensor(embedding.embeddings))
        for layer in recurrent:
            x = _bidirectional(layer, x) if _is_bidirectional(layer) else _simple_rnn(layer, x)
        for layer in self.plain.layers[1 + len(recurrent) :]:
            x = layer(x, training=training)
        return x

    def save(self, *arguments: Any, **options: Any) -> None:
        self.plain.save(*arguments, **options)


def _has_shortcut(model: keras.Model) -> bool:
    if not isinstance(model, keras.Sequential) or not isinstance(model.layers[0], keras.layers.Embedding):
        return False
    embedding, *recurrent = _recurrent_part(model)
    cells = [cell for layer in recurrent for cell in _directions(layer)]
    sequences = [layer.return_sequences for layer in recurrent]
    maxlen = model.input_shape[1]
    return (
        bool(cells)
        and maxlen is not None
        and maxlen * len(cells) <= MOST_STEPS
        and all(_is_plain(cell) for cell in cells)
        and all(layer.merge_mode == "concat" for layer in recurrent if _is_bidirectional(layer))
        and sequences == [True] * (len(recurrent) - 1) + [False]
        and not embedding.mask_zero
        and embedding.compute_dtype == embedding.variable_dtype
    )


def _is_plain(layer: keras.Layer) -> bool:
    """Whether this is a SimpleRNN as `_run` computes it."""
    return (
        isinstance(layer, keras.layers.SimpleRNN)
        and layer.activation in ACTIVATIONS
        and layer.use_bias
        and not (layer.dropout or layer.recurrent_dropout or layer.stateful or layer.activity_regularizer)
        and layer.compute_dtype == layer.variable_dtype
    )


def _recurrent_part(model: keras.Model) -> list[keras.Layer]:
    """The embedding and the recurrent layers that follow it."""
    first, *others = model.layers
    part = [first]
    for layer in others:
        if not isinstance(layer, keras.layers.RNN) and not _is_bidirectional(layer):
            break
        part.append(layer)
    return part


def _is_bidirectional(layer: keras.Layer) -> bool:
    return isinstance(layer, keras.layers.Bidirectional)


def _directions(layer: keras.Layer) -> list[keras.Layer]:
    return [layer.forward_layer, layer.backward_layer] if _is_bidirectional(layer) else [layer]


@tf.custom_gradient  # type: ignore[untyped-decorator]
def _embed(ids: Tensor, embeddings: Tensor) -> tuple[Tensor, Any]:
    """The word vectors by time, [time, row, feature]; the gradient by row, as Keras has it."""

    def gradient(upstream: Tensor) -> tuple[None, Tensor]:
        by_row = tf.reshape(tf.transpose(upstream, (1, 0, 2)), (-1, embeddings.shape[1]))
        return None, tf.IndexedSlices(by_row, tf.reshape(ids, (-1,)), tf.shape(embeddings))

    return tf.gather(embeddings, tf.transpose(ids)), gradient


def _bidirectional(layer: keras.Layer, x: Tensor) -> Tensor:
    forward = _simple_rnn(layer.forward_layer, x)
    backward = _simple_rnn(layer.backward_layer, tf.reverse(x, [0]))
    if layer.return_sequences:
        backward = tf.reverse(backward, [0])
    return tf.concat([forward, backward], -1)


def _simple_rnn(layer: keras.Layer, x: Tensor) -> Tensor:
    """The outputs by time, [time, row, unit], if the layer returns sequences, else the last one."""
    cell = layer.cell
    weights = [tf.convert_to_tensor(weight) for weight in (cell.kernel, cell.recurrent_kernel, cell.bias)]
    return _outputs(ACTIVATIONS[layer.activation], layer.return_sequences)(x, *weights)


def _outputs(activation: _Activation, return_sequences: bool) -> Callable[..., Tensor]:
    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def outputs_of(x: Tensor, kernel: Tensor, recurrent: Tensor, bias: Tensor) -> tuple[Tensor, Any]:
        chunks = _chunks(x)
        outputs = _run_forwards(activation, chunks, kernel, recurrent, bias)

        def gradient(upstream: Tensor) -> tuple[Tensor, ...]:
            given = tf.unstack(upstream) if return_sequences else [None] * (len(outputs) - 1) + [upstream]
            errors = _run_backwards(activation, outputs, given, recurrent)
            return _gradients(chunks, outputs, errors, kernel)

        return ops.Pack(values=outputs) if return_sequences else outputs[-1], gradient

    return outputs_of


def _chunks(x: Tensor) -> list[Tensor]:
    return [x[start : start + CHUNK] for start in range(0, x.shape[0], CHUNK)]


def _run_forwards(
    activation: _Activation, chunks: Sequence[Tensor], kernel: Tensor, recurrent: Tensor, bias: Tensor
) -> list[Tensor]:
    """activation(x @ kernel + bias + the output before @ recurrent) of each step."""
    first, *others = [step for chunk in chunks for step in _project(chunk, kernel, bias)]
    outputs = [activation.apply(first)]
    for step in others:
        outputs.append(activation.apply(ops.AddV2(x=step, y=ops.MatMul(a=outputs[-1], b=recurrent))))
    return outputs


def _project(chunk: Tensor, kernel: Tensor, bias: Tensor) -> list[Tensor]:
    """x @ kernel + bias of each step. (A product for each: one for all rounds some rows differently.)"""
    projected = ops.BiasAdd(value=ops.BatchMatMulV2(x=chunk, y=kernel[tf.newaxis]), bias=bias)
    return list(ops.Unpack(value=projected, num=chunk.shape[0]))


def _run_backwards(
    activation: _Activation, outputs: Sequence[Tensor], upstream: Sequence[Tensor | None], recurrent: Tensor
) -> list[Tensor]:
    """The gradient of what goes into each activation, from the gradients of the outputs (None for zero)."""
    errors = [activation.gradient(outputs[-1], upstream[-1])]
    for output, given in zip(outputs[-2::-1], upstream[-2::-1], strict=True):
        handed_back = ops.MatMul(a=errors[-1], b=recurrent, transpose_b=True)
        whole = handed_back if given is None else ops.AddV2(x=given, y=handed_back)
        errors.append(activation.gradient(output, whole))
    return errors[::-1]


def _gradients(
    chunks: Sequence[Tensor], outputs: Sequence[Tensor], errors: Sequence[Tensor], kernel: Tensor
) -> tuple[Tensor, ...]:
    """The gradients of x, the kernel, the recurrent kernel and the bias."""
    before = [tf.zeros_like(outputs[0]), *outputs[:-1]]
    parts, start = [], 0
    for chunk in chunks:
        steps = slice(start, start := start + chunk.shape[0])
        error = ops.Pack(values=errors[steps])
        parts.append((_of_inputs(error, kernel), *_of_weights(chunk, ops.Pack(values=before[steps]), error)))
    of_x, *of_weights = zip(*parts, strict=True)
    return tf.concat(of_x, 0), *(_sum_from_the_last(tf.concat(part, 0)) for part in of_weights)


def _of_inputs(error: Tensor, kernel: Tensor) -> Tensor:
    flat = ops.MatMul(a=tf.reshape(error, (-1, kernel.shape[1])), b=kernel, transpose_b=True)
    return tf.reshape(flat, (error.shape[0], -1, kernel.shape[0]))


def _of_weights(x: Tensor, before: Tensor, error: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The share of each step in the gradients of the kernel, the recurrent kernel and the bias."""
    steps, rows = error.shape[0], tf.shape(error)[1]
    step_of_row = tf.repeat(tf.range(steps)[:, tf.newaxis], rows, axis=1)
    return (
        ops.BatchMatMulV2(x=x, y=error, adj_x=True),
        ops.BatchMatMulV2(x=before, y=error, adj_x=True),
        ops.UnsortedSegmentSum(data=error, segment_ids=step_of_row, num_segments=steps),
    )


def _sum_from_the_last(shares: Tensor) -> Tensor:
    """The sum over the steps, added up from the last step to the first."""
    one_segment = tf.zeros([shares.shape[0]], tf.int32)
    backwards = tf.reverse(shares, [0])
    return ops.UnsortedSegmentSum(data=backwards, segment_ids=one_segment, num_segments=1)[0]
