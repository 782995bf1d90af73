"""The recurrent network: build, train with a checkpoint after each epoch, load, predict."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tasks.lib import errors
from tasks.lib.config import FitConfig, NetworkConfig
from tasks.lib.network import unrolled
from tasks.lib.network.checkpoint import Checkpoint, Progress

LAYERS = {name.lower(): kind for name, kind in vars(keras.layers).items()}  # `simple_rnn` is SimpleRNN

Logs = dict[str, float]
OnEpoch = Callable[[int, Logs], None]


def choose_device(wanted: str) -> str:
    """Makes TensorFlow compute on "cpu", "gpu" or, for "auto", on a GPU if there is one; returns its name.

    GPU memory grows as needed instead of being taken whole. Raises `InputError` for "gpu" without a GPU.
    """
    gpus = [] if wanted == "cpu" else tf.config.list_physical_devices("GPU")
    if wanted == "gpu" and not gpus:
        raise errors.InputError(
            "--device gpu: expected a GPU, TensorFlow found none. Install the extra `gpu` and its driver, or use "
            "--device cpu."
        )
    if not gpus:
        tf.config.set_visible_devices([], "GPU")
        return "cpu"
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    return f"gpu ({tf.config.experimental.get_device_details(gpus[0]).get('device_name', 'unknown')})"


def set_seed(seed: int) -> None:
    """Seeds Python, NumPy and Keras, so that the same seed gives the same initial weights."""
    keras.utils.set_random_seed(seed)


def build(network: NetworkConfig, num_words: int, maxlen: int) -> keras.Sequential:
    """The uncompiled network: Embedding, the recurrent layers, Dense(1, sigmoid).

    Input: token ids (batch, maxlen); output: probability that the review is positive (batch, 1). There is no mask:
    padding is an id like any other, which keeps LSTM and GRU on cuDNN's fast path.
    """
    layers: list[Any] = [
        keras.Input((maxlen,), dtype="int32"),
        keras.layers.Embedding(num_words, network.embedding_dim),
    ]
    for number in range(network.layers):
        cell = LAYERS[network.cell.replace("_", "")](
            network.units, activation=network.activation, return_sequences=number < network.layers - 1
        )
        layers.append(keras.layers.Bidirectional(cell) if network.bidirectional else cell)
    return keras.Sequential([*layers, keras.layers.Dense(1, activation="sigmoid")])


def uses_cudnn(network: NetworkConfig, device: str) -> bool:
    """Whether the recurrent layers run on cuDNN, by Keras's own conditions."""
    return device.startswith("gpu") and network.cell in ("lstm", "gru") and network.activation == "tanh"


class _EarlyStopping(keras.callbacks.EarlyStopping):  # type: ignore[misc]
    """Keras's early stopping, which starts from a checkpoint and saves one after each epoch."""

    def __init__(
        self, patience: int, checkpoint: Checkpoint, best_weights: Any, progress: Progress, on_epoch: OnEpoch
    ) -> None:
        super().__init__(monitor="val_loss", patience=patience, restore_best_weights=True)
        self.checkpoint = checkpoint
        self.progress = progress
        self.resumed_weights = best_weights
        self.on_epoch = on_epoch

    def on_train_begin(self, logs: Logs | None = None) -> None:
        super().on_train_begin(logs)
        if self.progress.best is not None:
            self.best, self.best_epoch = self.progress.best, self.progress.best_epoch
            self.wait, self.best_weights = self.progress.wait, self.resumed_weights

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self.started = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        super().on_epoch_end(epoch, logs)
        logs = (logs or {}) | {"seconds": time.perf_counter() - self.started}
        for name, value in logs.items():
            self.progress.history.setdefault(name, []).append(float(value))
        if self.best is not None:
            self.progress.best, self.progress.best_epoch = float(self.best), int(self.best_epoch)
        self.progress.wait, self.progress.stopped = self.wait, bool(self.model.stop_training)
        self.checkpoint.save(self.model, self.best_weights, self.progress)
        self.on_epoch(epoch + 1, logs)


def fit(
    model: keras.Model,
    datasets: Callable[[int], tuple[tf.data.Dataset, tf.data.Dataset]],
    config: FitConfig,
    checkpoint: Checkpoint,
    *,
    on_epoch: OnEpoch = lambda epoch, logs: None,
    bar: bool = False,
) -> Progress:
    """Trains with adam on binary cross-entropy, stops early on `val_loss`, and restores the best weights.

    `datasets` takes the number of the next epoch (from 0) and returns the training and the validation batches. Training
    resumes after the last epoch of the checkpoint, if there is one, and ends with the weights of an undisturbed
    training. `on_epoch` gets the number of the epoch (from 1) and its logs; `bar` shows Keras's progress bar. Returns
    the progress with the history: loss, accuracy, val_loss, val_accuracy, seconds.
    """
    quicker = unrolled.trainable(model)  # trains the variables of `model`, to the same bits
    quicker.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"])
    quicker.optimizer.build(quicker.trainable_variables)
    best_weights, progress = checkpoint.restore(quicker)
    if progress.stopped or progress.epochs >= config.epochs:
        quicker.set_weights(best_weights)
        return progress
    train, validation = datasets(progress.epochs)
    quicker.fit(
        train,
        validation_data=validation,
        initial_epoch=progress.epochs,
        epochs=config.epochs,
        callbacks=[_EarlyStopping(config.patience, checkpoint, best_weights, progress, on_epoch)],
        verbose=1 if bar else 0,
        shuffle=False,  # the dataset has an order of its own for each epoch
    )
    return progress


def load(path: Path) -> keras.Model:
    """The network from a `.keras` file, in Keras's safe mode. Raises `ModelError` if it has no finite weights."""
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises whatever its parts raise on a damaged file
        raise errors.ModelError(f"{path}: not readable as a Keras model. Run the training again.") from error
    if not all(np.isfinite(weights).all() for weights in model.get_weights()):
        raise errors.ModelError(f"{path}: has weights that are not finite numbers. Run the training again.")
    return model


def predict(model: keras.Model, batches: tf.data.Dataset) -> npt.NDArray[np.float32]:
    """The probability (rows,) float32 of each row of the dataset, in its order."""
    return model.predict(batches, verbose=0)[:, 0]
