"""The network and its training: resuming, seeds, saving."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from scipy.special import logit

from tasks.lib import errors, files
from tasks.lib.config import FitConfig, NetworkConfig
from tasks.lib.corpus import dataset
from tasks.lib.network import forward, model
from tasks.lib.network.archive import Unsupported
from tasks.lib.network.checkpoint import Checkpoint, Progress
from tests.support.corpora import CONFIG

FIT = FitConfig(epochs=4, batch_size=32, seed=3)
NETWORKS = [
    NetworkConfig(cell=cell, layers=layers, bidirectional=both, embedding_dim=4, units=3)
    for cell in ("simple_rnn", "lstm", "gru")
    for layers, both in ((1, False), (2, False), (1, True), (2, True))
]


def train(folder: Path, checkpoint: Path, on_epoch: model.OnEpoch = lambda epoch, logs: None) -> tuple[str, Progress]:
    """Digest of the weights after training, and the progress."""
    model.set_seed(FIT.seed)
    network = model.build(NETWORKS[0], CONFIG.num_words, CONFIG.maxlen)

    def datasets(first_epoch: int) -> Any:
        training = dataset.batches(folder, "train", FIT.batch_size, shuffle_seed=FIT.seed, first_epoch=first_epoch)
        return training, dataset.batches(folder, "validation", FIT.batch_size)

    progress = model.fit(network, datasets, FIT, Checkpoint(checkpoint), on_epoch=on_epoch)
    return files.arrays_digest(network.get_weights()), progress


def keep_each(checkpoint: Path) -> model.OnEpoch:
    """Keeps the checkpoint of each epoch: all that a training killed after that epoch would leave."""

    def keep(epoch: int, logs: model.Logs) -> None:
        checkpoint.with_suffix(f".{epoch}").write_bytes(checkpoint.read_bytes())

    return keep


@pytest.fixture(scope="module")
def undisturbed(folder: Path) -> tuple[str, Progress]:
    """What a training that nothing disturbs ends with."""
    checkpoint = folder.with_name("undisturbed.npz")
    return train(folder, checkpoint, keep_each(checkpoint))


@pytest.mark.parametrize("last_epoch", [1, 3])
def test_a_resumed_training_that_ends_with_other_weights(
    folder: Path, undisturbed: tuple[str, Progress], last_epoch: int
) -> None:
    epochs: list[int] = []
    killed = folder.with_name(f"undisturbed.{last_epoch}")
    resumed, progress = train(folder, killed, lambda epoch, logs: epochs.append(epoch))
    assert epochs == list(range(last_epoch + 1, 5))
    assert resumed == undisturbed[0]
    assert progress.history["val_loss"] == undisturbed[1].history["val_loss"]


def test_a_resumed_training_with_another_dropout(folder: Path, tmp_path: Path) -> None:
    config = FitConfig(
        epochs=2, batch_size=64, batches="like_length", schedule="cosine", weight_decay=0.01, gradient_norm=1.0
    )
    network = NetworkConfig(
        cell="gru", embedding_dim=4, units=3, pooling="max_mean", word_dropout=0.2, vector_dropout=0.2, head_dropout=0.5
    )

    def datasets(first_epoch: int) -> Any:
        options: dict[str, Any] = {"shuffle_seed": 3, "first_epoch": first_epoch, "like_length": True}
        return dataset.batches(folder, "train", 64, **options), dataset.batches(folder, "validation", 64)

    def trained(checkpoint: Path) -> list[Any]:
        model.set_seed(3)
        built = model.build(network, CONFIG.num_words, CONFIG.maxlen, training=True)
        model.fit(built, datasets, config, Checkpoint(checkpoint), on_epoch=keep_each(checkpoint))
        return built.get_weights()

    whole = trained(tmp_path / "whole.npz")
    resumed = trained(tmp_path / "whole.1")
    assert files.arrays_digest(resumed) == files.arrays_digest(whole)


@pytest.mark.parametrize("keep", [0, 2, 1000])
def test_a_damaged_checkpoint_that_is_believed(
    folder: Path, tmp_path: Path, undisturbed: tuple[str, Progress], keep: int
) -> None:
    whole = folder.with_name("undisturbed.npz").read_bytes()
    flipped = bytearray(whole)
    flipped[len(flipped) // 2] ^= 1
    (tmp_path / "a.npz").write_bytes(whole[:keep] or flipped)
    network = model.build(NETWORKS[0], CONFIG.num_words, CONFIG.maxlen)
    network.compile(optimizer="adam", loss="binary_crossentropy")
    assert Checkpoint(tmp_path / "a.npz").restore(network) == (None, Progress())


@pytest.mark.parametrize("network", NETWORKS, ids=lambda n: f"{n.cell}-{n.layers}-{n.bidirectional}")
def test_a_network_that_is_not_the_configured_one(network: NetworkConfig) -> None:
    built = model.build(network, CONFIG.num_words, CONFIG.maxlen)
    assert built.output_shape == (None, 1)
    recurrent = built.layers[1:-1]
    assert len(recurrent) == network.layers
    width = network.units * (2 if network.bidirectional else 1)
    assert built.layers[-1].kernel.shape == (width, 1)


def test_the_default_network_that_is_not_the_reference() -> None:
    built = model.build(NetworkConfig(), 10_000, 200)
    assert [type(layer).__name__ for layer in built.layers] == ["Embedding", "SimpleRNN", "Dense"]
    assert built.count_params() == 10_000 * 64 + (64 + 32 + 1) * 32 + 33


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_a_layer_that_cudnn_would_not_take(cell: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The conditions under which Keras's TensorFlow backend takes cuDNN on a GPU, as its source has them."""
    rnn = importlib.import_module("keras.src.backend.tensorflow.rnn")  # a function of that name hides the module
    monkeypatch.setattr(rnn, "_is_gpu_available", lambda: True)

    for layer in model.build(NetworkConfig(cell=cell, layers=2), 100, 10).layers[1:-1]:
        taken = rnn.cudnn_ok(
            layer.activation, layer.recurrent_activation, layer.unroll, use_bias=layer.use_bias,
            **({"reset_after": layer.reset_after} if cell == "gru" else {}),
        )  # fmt: skip
        assert taken
        assert layer.use_cudnn == "auto"
        assert layer.recurrent_dropout == layer.dropout == 0
        assert not layer.supports_masking or layer.get_config().get("mask_zero") is None


def test_a_published_network_whose_logits_are_not_the_scaled_sum() -> None:
    network = NetworkConfig(cell="gru", embedding_dim=4, units=3, pooling="max_mean")
    fitted = model.build(network, 50, 12)
    generator = np.random.default_rng(0)
    ids = generator.integers(1, 50, (20, 12), dtype=np.int32)
    found = np.array([[1, 3, 0]] * 20, np.int32)
    weights = np.array([0.5, 1, 2, 4])  # the intercept first
    plain, with_ngrams = model.finish(network, fitted, 2.0), model.finish(network, fitted, 2.0, weights)
    before = logit(model.predict(fitted, ids))
    np.testing.assert_allclose(logit(model.predict(plain, ids)), before / 2, atol=1e-5)
    np.testing.assert_allclose(logit(model.predict(with_ngrams, ids, found)), before / 2 + 0.5 + 1 + 4, atol=1e-4)


def test_word_vectors_that_the_training_does_not_start_from() -> None:
    built = model.build(NETWORKS[0], 5, 12)
    vectors = np.arange(20, dtype=np.float32).reshape(5, 4)
    others = built.get_weights()[1:]
    model.start_from(built, [vectors])
    np.testing.assert_array_equal(built.get_weights()[0], vectors)
    assert files.arrays_digest(built.get_weights()[1:]) == files.arrays_digest(others)


def test_a_saved_model_that_loads_as_another(tmp_path: Path) -> None:
    built = model.build(NETWORKS[3], CONFIG.num_words, CONFIG.maxlen)
    built.save(tmp_path / "model.keras")
    loaded = model.load(tmp_path / "model.keras")
    assert files.arrays_digest(loaded.get_weights()) == files.arrays_digest(built.get_weights())


def test_weights_that_are_not_numbers(tmp_path: Path) -> None:
    built = model.build(NETWORKS[0], CONFIG.num_words, CONFIG.maxlen)
    built.layers[-1].bias.assign([float("nan")])
    built.save(tmp_path / "model.keras")
    with pytest.raises(errors.ModelError, match="not finite"):
        model.load(tmp_path / "model.keras")


@pytest.fixture
def trap(tmp_path: Path) -> tuple[Path, Path]:
    """A saved model with code of its own, and the file that this code makes when it runs."""
    made = str(tmp_path / "made")  # Keras stores what a function closes over as JSON
    code = keras.layers.Lambda(lambda x: (open(made, "w").write("x"), x)[1])  # noqa: PTH123, SIM115
    layers = [keras.Input((4,), dtype="int32"), keras.layers.Embedding(10, 3), code, keras.layers.GRU(2)]
    keras.Sequential([*layers, keras.layers.Dense(1, activation="sigmoid")]).save(tmp_path / "model.keras")
    files.remove(tmp_path / "made")
    return tmp_path / "model.keras", tmp_path / "made"


def test_code_from_a_model_that_runs_when_it_is_loaded(trap: tuple[Path, Path]) -> None:
    path, made = trap
    with pytest.raises(errors.ModelError, match="not readable as a Keras model"):
        model.load(path)
    assert not made.exists()
    keras.saving.load_model(path, compile=False, safe_mode=False)
    assert made.exists(), "the trap does not work, so that nothing was shown"


def test_code_from_a_model_that_runs_when_it_scores(trap: tuple[Path, Path]) -> None:
    path, made = trap
    with pytest.raises(Unsupported, match="found: Embedding, Lambda, GRU, Dense"):
        forward.Scorer(path)
    assert not made.exists()


def test_a_gpu_that_is_asked_for_and_not_there() -> None:
    import tensorflow as tf

    if tf.config.list_physical_devices("GPU"):
        pytest.skip("there is a GPU")
    with pytest.raises(errors.InputError, match="--device gpu: expected a GPU"):
        model.choose_device("gpu")
