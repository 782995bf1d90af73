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
from tasks.lib.config import FitConfig, LanguageConfig, NetworkConfig
from tasks.lib.network import distribution, unrolled
from tasks.lib.network.checkpoint import Checkpoint, Progress
from tasks.lib.tokens import Ids

BATCH_SIZE = 1024  # of predictions
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


def build(
    network: NetworkConfig, num_words: int, maxlen: int, *, ngrams: int = 0, training: bool = False
) -> keras.Model:
    """The uncompiled network: Embedding, the recurrent layers, pooling, Dense(1), sigmoid.

    Input: token ids (batch, maxlen); output: probability that the review is positive (batch, 1). With `ngrams`, the
    number of n-grams that count, there is a second input: their ids (batch, any), from 1, padded with 0. Their weights
    are added to what goes into the sigmoid. With `training` there is dropout, and rows may be shorter. Both forms have
    the same weights.

    Pooling `last` has no mask: padding is an id like any other, which keeps LSTM and GRU on cuDNN's fast path. The
    other poolings mask it.
    """
    masked = network.pooling != "last"
    ids = keras.Input((None if training and masked else maxlen,), dtype="int32", name="token_ids")
    vectors = keras.layers.Embedding(num_words, network.embedding_dim, mask_zero=masked)(ids)
    pooled = _recurrent(network, _drop_words(network, vectors) if training else vectors)
    if masked:
        # Outputs at padding are 0, and so is the least that relu lets through: how much padding there is, is no matter.
        pooled = keras.ops.relu(keras.ops.max(pooled, axis=1))
    if network.pooling == "max_mean":
        pooled = keras.layers.Concatenate()([pooled, keras.layers.GlobalAveragePooling1D()(vectors)])
    if training and network.head_dropout:
        pooled = keras.layers.Dropout(network.head_dropout)(pooled)
    if not ngrams:
        model = keras.Model(ids, keras.layers.Dense(1, activation="sigmoid")(pooled))
        return keras.Sequential(model.layers) if _is_chain(model) else model
    found = keras.Input((None,), dtype="int32", name="ngram_ids")
    weights = keras.layers.Embedding(ngrams + 1, 1)(found)
    logit = keras.layers.Add()([keras.layers.Dense(1)(pooled), keras.ops.sum(weights, axis=1)])
    return keras.Model([ids, found], keras.layers.Activation("sigmoid")(logit))


def _is_chain(model: keras.Model) -> bool:
    """Whether it is the network of the article, which Keras's users write as a `Sequential`."""
    embedding, *recurrent = model.layers[1:-1]
    return not embedding.mask_zero and all(hasattr(layer, "return_sequences") for layer in recurrent)


def _drop_words(network: NetworkConfig, vectors: Any) -> Any:
    if network.word_dropout:
        vectors = keras.layers.Dropout(network.word_dropout, noise_shape=(None, None, 1))(vectors)
    if network.vector_dropout:
        vectors = keras.layers.SpatialDropout1D(network.vector_dropout)(vectors)
    return vectors


def _recurrent(network: NetworkConfig, sequence: Any) -> Any:
    """The outputs of the last recurrent layer: the last one, or with a mask those of all positions."""
    masked = network.pooling != "last"
    options: dict[str, Any] = {"zero_output_for_mask": True} if masked else {}
    if masked and network.cell != "simple_rnn":
        options["use_cudnn"] = False  # it masks padding on the right alone
    for number in range(network.layers):
        cell = recurrent_layer(network, return_sequences=masked or number < network.layers - 1, **options)
        sequence = (keras.layers.Bidirectional(cell) if network.bidirectional else cell)(sequence)
    return sequence


def recurrent_layer(network: NetworkConfig | LanguageConfig, **options: Any) -> keras.Layer:
    """A recurrent layer of the network, in one direction."""
    kind = LAYERS[network.cell.replace("_", "")]
    return kind(network.units, activation=network.activation, **options)


def start_from(model: keras.Model, first: list[npt.NDArray[np.float32]]) -> None:
    """Gives the first layers these weights: those of the Embedding, (num_words, embedding_dim), or of more layers."""
    model.set_weights([*first, *model.get_weights()[len(first) :]])


def finish(
    network: NetworkConfig,
    fitted: keras.Model,
    temperature: float,
    ngram_weights: npt.NDArray[np.float64] | None = None,
) -> keras.Model:
    """The network to publish: its logits are those of `fitted` over `temperature`, plus the weights of the n-grams.

    `ngram_weights` are the intercept and the weight of each n-gram.
    """
    num_words, maxlen = fitted.get_weights()[0].shape[0], fitted.input_shape[1]
    *weights, kernel, bias = fitted.get_weights()
    kernel, bias = kernel / temperature, bias / temperature
    ngrams = 0
    if ngram_weights is not None:
        ngrams = len(ngram_weights) - 1
        weights.append(np.append(0, ngram_weights[1:]).reshape(-1, 1))
        bias = bias + ngram_weights[0]
    model = build(network, num_words, maxlen, ngrams=ngrams)
    model.set_weights([*weights, kernel, bias])
    return model


def uses_cudnn(network: NetworkConfig, device: str) -> bool:
    """Whether the recurrent layers run on cuDNN, by Keras's own conditions."""
    fits = network.cell in ("lstm", "gru") and network.activation == "tanh" and network.pooling == "last"
    return device.startswith("gpu") and fits


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


def _optimizer(config: FitConfig, steps: int) -> keras.optimizers.Optimizer:
    """The optimizer for epochs of so many steps."""
    rate: Any = config.learning_rate
    if config.schedule == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(rate, steps * config.epochs)
    kind = keras.optimizers.AdamW if config.weight_decay else keras.optimizers.Adam
    options = {"weight_decay": config.weight_decay} if config.weight_decay else {}
    return kind(rate, global_clipnorm=config.gradient_norm, **options)


def fit(
    model: keras.Model,
    datasets: Callable[[int], tuple[tf.data.Dataset, tf.data.Dataset]],
    config: FitConfig,
    checkpoint: Checkpoint,
    *,
    on_epoch: OnEpoch = lambda epoch, logs: None,
    bar: bool = False,
    group: distribution.Group | None = None,
) -> Progress:
    """Trains on binary cross-entropy, stops early on `val_loss`, and restores the best weights.

    `datasets` takes the number of the next epoch (from 0) and returns the training and the validation batches. Training
    resumes after the last epoch of the checkpoint, if there is one, and ends with the weights of an undisturbed
    training. `on_epoch` gets the number of the epoch (from 1) and its logs; `bar` shows Keras's progress bar. The
    devices of `group` share the training of a model that was built in its scope. Returns the progress with the history:
    loss, accuracy, val_loss, val_accuracy, seconds.
    """
    # Trains the variables of `model`; without a group, to the same bits.
    quicker = group.trainable(model) if group else unrolled.trainable(model)
    train, validation = datasets(0)
    with distribution.scope(group):
        quicker.compile(
            optimizer=_optimizer(config, len(train)),
            loss="binary_crossentropy",
            metrics=["accuracy"],
            jit_compile="auto" if config.batches == "random" else False,  # XLA would compile for each length
        )
        quicker.optimizer.build(quicker.trainable_variables)
    if group:
        checkpoint = group.same_state(checkpoint, quicker)
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


def predict(model: keras.Model, ids: Ids, ngram_ids: Ids | None = None) -> npt.NDArray[np.float32]:
    """The probability (rows,) float32 of each row of token ids, and of its n-grams if the network has some."""
    inputs = ids if ngram_ids is None else [ids, ngram_ids]
    return model.predict(inputs, batch_size=BATCH_SIZE, verbose=0)[:, 0]
