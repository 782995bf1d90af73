from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from tasks.lib.network import unrolled

NUM_WORDS, MAXLEN, CHUNK = 60, 8, 3  # several chunks of steps, and the last one is smaller
KINDS = [(layers, bidirectional) for layers in (1, 2) for bidirectional in (False, True)]


def kinds(*quick: tuple[int, bool]) -> pytest.MarkDecorator:
    """All kinds of networks, those beside `quick` in the slow suite: Keras takes seconds to build each."""
    each = [pytest.param(*kind, marks=[] if kind in quick else pytest.mark.slow) for kind in KINDS]
    return pytest.mark.parametrize(("layers", "bidirectional"), each)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unrolled, "CHUNK", CHUNK)


def network(
    layers: int = 1, bidirectional: bool = False, cell: Any = keras.layers.SimpleRNN, **options: Any
) -> keras.Model:
    keras.utils.set_random_seed(1)
    recurrent = [cell(8, return_sequences=number < layers - 1, **options) for number in range(layers)]
    return keras.Sequential(
        [
            keras.Input((MAXLEN,), dtype="int32"),
            keras.layers.Embedding(NUM_WORDS, 6),
            *([keras.layers.Bidirectional(layer) for layer in recurrent] if bidirectional else recurrent),
            keras.layers.Dropout(0.2, seed=3),
            keras.layers.Dense(1, activation="sigmoid"),
        ]
    )


def reviews(rows: int = 100) -> tuple[Any, Any]:
    generator = np.random.default_rng(0)
    ids = generator.integers(1, NUM_WORDS, (rows, MAXLEN), dtype=np.int32)
    ids[np.arange(MAXLEN) < generator.integers(0, MAXLEN, (rows, 1))] = 0
    return ids, (ids[:, -1] % 2).astype(np.float32)


def fit(model: keras.Model, **options: Any) -> dict[str, list[float]]:
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    ids, labels = reviews()
    validation = (ids[:20], labels[:20])
    history = model.fit(
        ids, labels, batch_size=32, epochs=3, validation_data=validation, verbose=0, shuffle=False, **options
    )
    return dict(history.history)


def assert_same_training(layers: int, bidirectional: bool, activation: str) -> None:
    """Trains the network by plain Keras and by ours, and compares histories and weights."""
    plain, twin = (network(layers, bidirectional, activation=activation) for _ in range(2))
    quick = unrolled.trainable(twin)
    assert quick is not twin
    expected, found = fit(plain), fit(quick)
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=0, atol=1e-6, err_msg=name)
    for weight, by_keras in zip(twin.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(weight, by_keras, rtol=0, atol=1e-6)


@kinds((1, True))
def test_training_goes_another_way_than_by_plain_keras(layers: int, bidirectional: bool) -> None:
    assert_same_training(layers, bidirectional, "relu")


@kinds((1, False))
def test_training_with_tanh_goes_another_way_than_by_plain_keras(layers: int, bidirectional: bool) -> None:
    assert_same_training(layers, bidirectional, "tanh")


def test_the_saved_model_needs_our_code_or_forgets_its_optimizer(tmp_path: Path) -> None:
    model = network()
    quick = unrolled.trainable(model)
    best = keras.callbacks.ModelCheckpoint(tmp_path / "best.keras", save_best_only=True)
    stop = keras.callbacks.EarlyStopping(patience=1, restore_best_weights=True)
    fit(quick, callbacks=[best, stop])
    quick.save(tmp_path / "model.keras")
    for name in ("best.keras", "model.keras"):
        loaded = keras.saving.load_model(tmp_path / name)
        assert type(loaded) is keras.Sequential
        assert [type(layer) for layer in loaded.layers] == [type(layer) for layer in model.layers]
        assert int(loaded.optimizer.iterations.numpy()) > 0
    for stored, weight in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(stored, weight)


@pytest.mark.parametrize(
    "model",
    [
        network(cell=keras.layers.LSTM),
        network(cell=keras.layers.GRU),
        network(dropout=0.1),
        network(activation="elu"),
        network(use_bias=False),
    ],
    ids=["lstm", "gru", "dropout", "elu", "no bias"],
)
def test_a_network_without_a_shortcut_does_not_take_the_plain_path(model: keras.Model) -> None:
    assert unrolled.trainable(model) is model


def test_a_gpu_does_not_take_the_plain_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tensorflow.config.list_physical_devices", lambda kind: [f"{kind}:0"])
    model = network()
    assert unrolled.trainable(model) is model
