"""One training on several devices: the GPUs of a machine, or several machines (`tf.distribute`).

Each device computes its share of the rows of every batch. The losses and gradients are summed over all devices before
the optimizer sees them, so the losses are those of a single device up to rounding: with a limit for the norm of the
gradients, with reviews that count differently, and with batches that cannot be divided evenly.

Keras's own `fit` does not give that. Under `MultiWorkerMirroredStrategy` it does not run at all (Keras 3.15, TensorFlow
2.21: "Attempt to convert a value (PerReplica ...) to a Tensor", before the first step). Under `MirroredStrategy` each
device limits the norm of its own gradients, and uneven shares count as if they were even. So `fit` has steps of our own
here, and runs as if there was no strategy.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from threading import Thread
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tasks.lib import errors, files
from tasks.lib.network.checkpoint import Checkpoint, Progress

AGAIN = "Run the same command on each machine again: the training resumes after its last complete epoch."
# What TensorFlow raises where a machine is gone, or never came: it notices within about 10 seconds.
LOST = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.DeadlineExceededError, tf.errors.CancelledError)

Tensor = Any
Step = Callable[[Any], list[Tensor]]


@dataclass(frozen=True)
class Group:
    """The devices that share a training. `chief`: this machine writes what comes of it."""

    strategy: tf.distribute.Strategy
    machines: int = 1
    chief: bool = True

    def exchange(self, mine: bytes) -> list[bytes]:
        """What each machine says, in the order of TF_CONFIG; all machines have to call it. Raises `PipelineError`."""
        if self.machines == 1:
            return [mine]
        # Never empty: TensorFlow crashes if it gathers nothing from all machines.
        padded = np.frombuffer(mine + b"\0" * (8 - len(mine) % 8), np.int64)
        lengths = _wait(lambda: self.strategy.gather(tf.constant([len(mine)], tf.int64), axis=0)).numpy()
        said = _wait(lambda: self.strategy.gather(tf.constant(padded, tf.int64), axis=0)).numpy().tobytes()
        sizes = lengths + 8 - lengths % 8
        starts = np.cumsum(sizes) - sizes
        return [said[start : start + length] for start, length in zip(starts, lengths, strict=True)]

    def call(self, training: str) -> None:
        """Tells the other machines which training is next, or with "" that there is none. Raises as `calls` does."""
        self.exchange(training.encode())
        if training:
            self._agree("")

    def calls(self, known: Collection[str]) -> Iterator[str]:
        """The trainings that the chief calls. Raises `InputError` on all machines if one is not `known` to all."""
        while training := self.exchange(b"")[0].decode():
            self._agree("" if training in known else "no")
            yield training

    def _agree(self, objection: str) -> None:
        objecting = [number for number, said in enumerate(self.exchange(objection.encode())) if said]
        if objecting:
            raise errors.InputError(
                "--strategy multi_worker: expected the same options, reviews, code and versions on all machines, found "
                f"others on task {objecting[0]} of TF_CONFIG than on task 0. Start the same command on each."
            )

    def trainable(self, model: keras.Model) -> keras.Model:
        """A model to compile and fit that shares its variables with `model`, which was built in `scope`."""
        return _Shared(model, self.strategy)

    def same_state(self, checkpoint: Checkpoint, model: keras.Model) -> Checkpoint:
        """Brings the chief's checkpoint to all machines, that of the untrained network if there is none.

        Returns the checkpoint to go on with, which writes on the chief alone.
        """
        if self.machines == 1:
            return checkpoint
        if self.chief and (checkpoint.is_damaged() or not checkpoint.path.exists()):
            checkpoint.save(model, None, Progress())
        content = self.exchange(checkpoint.path.read_bytes() if self.chief else b"")[0]
        if self.chief:
            return checkpoint
        files.write(checkpoint.path, content)
        return _Received(checkpoint.path)


class _Received(Checkpoint):
    """The chief's checkpoint on another machine."""

    def save(self, *arguments: Any) -> None:
        """Leaves it to the chief."""


def group(strategy: str) -> Group | None:
    """The devices of a strategy of `FitConfig`, or None for "none".

    Several machines have to be joined before TensorFlow computes anything. Waits until all are there, at most
    an hour. Raises `PipelineError` if one does not come, `InputError` if TF_CONFIG names none.
    """
    if strategy == "mirrored":
        return Group(tf.distribute.MirroredStrategy())  # the GPUs that it may see, else the CPU
    return machines() if strategy == "multi_worker" else None


@cache  # a process joins once
def machines() -> Group:
    """Those of TF_CONFIG, each with its devices; see `group`."""
    try:
        resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
        tasks = resolver.cluster_spec().as_dict()
        place = list(tasks), resolver.task_type, int(resolver.task_id)
    except (ValueError, TypeError, KeyError, AttributeError):
        tasks, place = {}, ([], None, 0)
    if place[:2] != (["worker"], "worker") or not 0 <= place[2] < len(tasks["worker"]):
        raise errors.InputError(
            "--strategy multi_worker: expected the environment variable TF_CONFIG to name the machines as workers, and "
            "which of them this is; it does not. Set it as docs/training.md says."
        )
    strategy = _wait(lambda: tf.distribute.MultiWorkerMirroredStrategy(resolver))
    return Group(strategy, len(tasks["worker"]), chief=place[2] == 0)


@contextmanager
def scope(group: Group | None) -> Iterator[None]:
    """Where the variables of a model and of its optimizer are made that this group trains."""
    if group is None:
        yield
        return
    with watching(), group.strategy.scope():
        yield


@contextmanager
def watching() -> Iterator[None]:
    """Turns what TensorFlow raises where a machine is gone into a `PipelineError`."""
    try:
        yield
    except LOST as error:
        raise errors.PipelineError(
            f"--strategy multi_worker: expected all machines of TF_CONFIG to answer, one does not. {AGAIN}"
        ) from error


def _wait(work: Callable[[], Any]) -> Any:
    """What `work` returns, which waits for other machines. TensorFlow does not listen to Ctrl-C then; this does."""
    future: Future[Any] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001  it is raised by whoever waits
            future.set_exception(error)

    Thread(target=run, daemon=True).start()
    with watching():
        return future.result()


class _Shared(keras.Model):  # type: ignore[misc]  # keras is untyped
    """Trains the variables of the plain model, each device on its share of every batch.

    It is made outside of the strategy's scope, so that Keras's `fit` gives the whole batches to the steps below.
    """

    def __init__(self, plain: keras.Model, strategy: tf.distribute.Strategy) -> None:
        super().__init__(name=plain.name)
        self.plain = plain
        self.strategy = strategy
        self.means = [keras.metrics.Mean(name=name) for name in ("loss", "accuracy")]

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return self.means

    def compile(self, optimizer: keras.optimizers.Optimizer, **options: Any) -> None:
        """Takes the optimizer alone: the loss is the binary cross-entropy."""
        super().compile(optimizer)
        optimizer._all_reduce_sum_gradients = list  # `_train` has summed them, before their norm is limited

    def call(self, ids: Tensor, training: bool = False) -> Tensor:
        return self.plain(ids, training=training)

    def make_train_function(self, force: bool = False) -> None:
        self.train_function = self._function(self._train)

    def make_test_function(self, force: bool = False) -> None:
        if getattr(self, "test_function", None) is None:
            self.test_function = self._function(self._test)

    def _function(self, on_each_device: Step) -> Callable[[Any], dict[str, Tensor]]:
        @tf.function(autograph=False, reduce_retracing=True)  # type: ignore[untyped-decorator]
        def step(batch: Any) -> list[Tensor]:
            totals = self.strategy.run(on_each_device, args=(batch,))
            return [self.strategy.experimental_local_results(total)[0] for total in totals]

        def function(iterator: Any) -> dict[str, Tensor]:
            batch = next(iterator)
            for mean, value in zip(self.means, step(batch), strict=True):
                mean.update_state(value, sample_weight=len(batch[0]))
            return {mean.name: mean.result() for mean in self.means}

        return function

    def _train(self, batch: Any) -> list[Tensor]:
        """A training step; the loss and the accuracy of the whole batch."""
        with tf.GradientTape() as tape:
            loss, accuracy = self._measure(batch, training=True)
        gradients = tape.gradient(loss, self.plain.trainable_variables)
        *gradients, loss, accuracy = _sum([*gradients, loss, accuracy])
        self.optimizer.apply_gradients(zip(gradients, self.plain.trainable_variables, strict=True))
        return [loss, accuracy]

    def _test(self, batch: Any) -> list[Tensor]:
        return _sum(self._measure(batch, training=False))

    def _measure(self, batch: Any, *, training: bool) -> list[Tensor]:
        """What this device's rows add to the loss and the accuracy of the batch."""
        (ids, labels, *weights), counts = _share(batch)
        probabilities = self.plain(ids, training=training)
        losses = keras.losses.binary_crossentropy(labels[:, None], probabilities)
        right = tf.cast(tf.equal(labels > 0, probabilities[:, 0] > 0.5), tf.float32)
        of_rows = counts * weights[0] if weights else counts
        return [tf.reduce_sum(losses * of_rows), tf.reduce_sum(right * counts)]

    def fit(self, *arguments: Any, **options: Any) -> Any:
        """Keras's own. Raises `PipelineError` if a machine is lost."""
        with watching():
            self._part_ways()
            return super().fit(*arguments, **options)

    def _part_ways(self) -> None:
        """Gives the dropout of each device a seed of its own; the first device, whose state is saved, keeps it."""

        def shift() -> None:
            number = tf.distribute.get_replica_context().replica_id_in_sync_group
            for variable in self.plain.non_trainable_variables:
                if "seed_generator" in variable.path:
                    variable.assign(variable + tf.cast([number, 0], variable.dtype))

        tf.function(lambda: self.strategy.run(shift), autograph=False)()


def _share(batch: Any) -> tuple[list[Tensor], Tensor]:
    """This device's rows of the batch, as many as each other device has, and how much of the batch each row is.

    Where rows are missing, the first rows of the batch stand in and count 0.
    """
    context = tf.distribute.get_replica_context()
    rows, devices = tf.shape(batch[0])[0], context.num_replicas_in_sync
    each = -(-rows // devices)
    positions = context.replica_id_in_sync_group * each + tf.range(each)
    counts = tf.cast(positions < rows, tf.float32) / tf.cast(rows, tf.float32)
    return [tf.gather(values, positions % rows) for values in batch], counts


def _sum(values: list[Tensor]) -> list[Tensor]:
    """The sums over all devices."""
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, values)
