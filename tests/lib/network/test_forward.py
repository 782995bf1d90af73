import contextlib
import itertools
import random
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest

from tasks.lib import errors, files
from tasks.lib.config import NetworkConfig
from tasks.lib.network import forward, model
from tasks.lib.network.archive import Unsupported

NUM_WORDS, MAXLEN = 50, 12
LAYERS = {"simple_rnn": keras.layers.SimpleRNN, "lstm": keras.layers.LSTM, "gru": keras.layers.GRU}


def network(cell: str, layers: int, bidirectional: bool, units: int = 5, **options: Any) -> keras.Model:
    """The plain network, with weights so large that gates close and a wrong one shows."""
    recurrent = [LAYERS[cell](units, return_sequences=number < layers - 1, **options) for number in range(layers)]
    wrapped = [keras.layers.Bidirectional(layer) for layer in recurrent] if bidirectional else recurrent
    model = keras.Sequential(
        [
            keras.Input((MAXLEN,), dtype="int32"),
            keras.layers.Embedding(NUM_WORDS, 7),
            keras.layers.Dropout(0.5),
            *wrapped,
            keras.layers.Dense(1, activation="sigmoid"),
        ]
    )
    generator = np.random.default_rng(0)
    model.set_weights([generator.normal(0, 1, weight.shape) for weight in model.get_weights()])
    return model


def left_padded(rows: int, maxlen: int = MAXLEN) -> npt.NDArray[np.int32]:
    """Random ids with 0 to all of them padding, and a 0 between words here and there."""
    generator = np.random.default_rng(1)
    ids = generator.integers(0, NUM_WORDS, (rows, maxlen), dtype=np.int32)
    padding = generator.integers(0, maxlen + 1, (rows, 1))
    return np.where(np.arange(maxlen) < padding, np.int32(0), ids)


def by_keras(model: keras.Model, ids: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
    return np.asarray(keras.ops.convert_to_numpy(model(ids, training=False))[:, 0])


def saved(model: keras.Model, folder: Path) -> Path:
    model.save(folder / "model.keras")
    return folder / "model.keras"


def kinds(*quick: tuple[int, bool]) -> pytest.MarkDecorator:
    """All kinds of networks, those beside `quick` in the slow suite: Keras takes half a second for each."""
    each = itertools.product((1, 2, 3), (False, True))
    marked = [pytest.param(*kind, marks=[] if kind in quick else pytest.mark.slow) for kind in each]
    return pytest.mark.parametrize(("layers", "bidirectional"), marked)


@kinds((1, False), (2, True))
@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("cell", LAYERS)
def test_scores_differ_from_keras(cell: str, activation: str, layers: int, bidirectional: bool, tmp_path: Path) -> None:
    model = network(cell, layers, bidirectional, activation=activation)
    if activation == "relu":  # else the states grow without end
        scale = 0.5 if cell == "simple_rnn" else 0.75
        model.set_weights([scale * weight for weight in model.get_weights()])
    ids = left_padded(300)
    expected = by_keras(model, ids)
    score = forward.Scorer(saved(model, tmp_path))
    assert score.weights_digest == files.arrays_digest(model.get_weights())
    found = score(ids)
    assert found.dtype == np.float32
    assert expected.std() > 0.005, "the network should tell the rows apart"
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


@kinds((2, True))
@pytest.mark.parametrize("cell", LAYERS)
@pytest.mark.parametrize(("pooling", "ngrams"), [("last", 30), ("max", 0), ("max_mean", 30)])
def test_pooled_scores_that_differ_from_keras(
    pooling: Any, cell: Any, bidirectional: bool, layers: int, ngrams: int, tmp_path: Path
) -> None:
    options = {"cell": cell, "layers": layers, "bidirectional": bidirectional, "pooling": pooling}
    config = NetworkConfig(**options, units=5, embedding_dim=7)
    built = model.build(config, NUM_WORDS, MAXLEN, ngrams=ngrams)
    generator = np.random.default_rng(0)
    built.set_weights([generator.normal(0, 0.5, weight.shape) for weight in built.get_weights()])
    ids = left_padded(300)
    ids[:, -1] = np.maximum(ids[:, -1], 1)  # a review has its start id at least
    if pooling != "last":
        ids = np.where(np.arange(MAXLEN) < (ids != 0).argmax(axis=1)[:, None], 0, np.maximum(ids, 1))
    found = generator.integers(0, ngrams + 1, (300, 9), dtype=np.int32) if ngrams else None
    score = forward.Scorer(saved(built, tmp_path))
    assert score.weights_digest == files.arrays_digest(built.get_weights())
    np.testing.assert_allclose(score(ids, found), model.predict(built, ids, found), rtol=0, atol=1e-5)


def test_a_score_that_depends_on_the_padding_beside_it(tmp_path: Path) -> None:
    built = model.build(NetworkConfig(cell="gru", units=5, pooling="max_mean"), NUM_WORDS, MAXLEN)
    score = forward.Scorer(saved(built, tmp_path))
    ids = np.zeros((300, MAXLEN), np.int32)
    ids[:, -3:] = [1, 7, 9]
    ids[1:, :-3] = left_padded(299)[:, : MAXLEN - 3]
    assert score(ids)[0] == pytest.approx(score(ids[:1])[0], abs=1e-6)


def test_ngrams_that_are_missing_or_not_the_networks(tmp_path: Path) -> None:
    config = NetworkConfig(cell="gru", units=5)
    score = forward.Scorer(saved(model.build(config, NUM_WORDS, MAXLEN, ngrams=30), tmp_path))
    with pytest.raises(ValueError, match="the ids of n-grams"):
        score(left_padded(3))
    with pytest.raises(ValueError, match="from 0 to 30"):
        score(left_padded(3), np.full((3, 1), 31, np.int32))
    plain = forward.Scorer(saved(model.build(config, NUM_WORDS, MAXLEN), tmp_path))
    with pytest.raises(ValueError, match="no n-grams"):
        plain(left_padded(3), np.ones((3, 1), np.int32))


@pytest.mark.parametrize("rows", [0, 1, 63, 64, 65, 1000])
def test_a_row_is_lost_or_moved_at_the_edge_of_a_block(
    rows: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forward, "BLOCK_FLOATS", 1)  # blocks of 64 rows
    model = network("gru", 1, False)
    ids = left_padded(rows)
    found = forward.Scorer(saved(model, tmp_path), threads=3)(ids)
    expected = by_keras(model, ids)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("cell", LAYERS)
def test_the_same_ids_get_other_bits_the_second_time(cell: str, tmp_path: Path) -> None:
    file = saved(network(cell, 2, False), tmp_path)
    ids = left_padded(3000)
    first = forward.Scorer(file, threads=4)(ids)
    again = forward.Scorer(file, threads=1)(ids)
    assert first.tobytes() == again.tobytes()


def test_a_row_depends_on_its_company_beyond_the_last_bits(tmp_path: Path) -> None:
    score = forward.Scorer(saved(network("lstm", 2, False), tmp_path))
    ids = left_padded(700)
    alone = np.concatenate([score(row[np.newaxis]) for row in ids[:50]])
    np.testing.assert_allclose(score(ids)[:50], alone, rtol=0, atol=1e-6)


def test_a_closed_gate_overflows_to_not_a_number(tmp_path: Path) -> None:
    model = network("lstm", 1, False)
    model.set_weights([weight * 100 for weight in model.get_weights()])
    ids = left_padded(100)
    found = forward.Scorer(saved(model, tmp_path))(ids)
    np.testing.assert_allclose(found, by_keras(model, ids), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "options",
    [{"activation": "elu"}, {"use_bias": False}, {"go_backwards": True}, {"return_sequences": True}],
)
def test_a_network_of_another_kind_is_scored_wrongly(options: dict[str, Any], tmp_path: Path) -> None:
    options = {"return_sequences": False} | options
    head = keras.layers.GlobalAveragePooling1D() if options["return_sequences"] else keras.layers.Dropout(0.1)
    model = keras.Sequential(
        [
            keras.Input((MAXLEN,), dtype="int32"),
            keras.layers.Embedding(NUM_WORDS, 7),
            keras.layers.SimpleRNN(5, **options),
            head,
            keras.layers.Dense(1, activation="sigmoid"),
        ]
    )
    with pytest.raises(Unsupported):
        forward.Scorer(saved(model, tmp_path))


def test_the_old_form_of_gru_is_scored_wrongly(tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="reset_after"):
        forward.Scorer(saved(network("gru", 1, False, reset_after=False), tmp_path))


def test_ids_that_the_network_does_not_know_are_scored(tmp_path: Path) -> None:
    score = forward.Scorer(saved(network("simple_rnn", 1, False), tmp_path))
    ids = left_padded(3)
    with pytest.raises(ValueError, match="from 0 to 49"):
        score(ids + NUM_WORDS)
    with pytest.raises(ValueError, match="from 0 to 49"):
        score(ids - NUM_WORDS)
    with pytest.raises(ValueError, match="rows of 12 ids"):
        score(ids[:, 1:])


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("cell", LAYERS)
def test_weights_that_are_no_numbers(cell: str, value: float, tmp_path: Path) -> None:
    model = network(cell, 1, False)
    for number, weights in enumerate(model.get_weights()):
        sick = [weight.copy() for weight in model.get_weights()]
        sick[number].flat[weights.size // 2] = value
        other = network(cell, 1, False)
        other.set_weights(sick)
        with pytest.raises(errors.ModelError, match="not finite"):
            forward.Scorer(saved(other, tmp_path))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"<html></html>"])
def test_a_file_that_is_no_model(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.keras").write_bytes(content)
    with pytest.raises(errors.ModelError, match="not readable as a Keras model"):
        forward.Scorer(tmp_path / "model.keras")


def test_flipped_bits_that_end_in_another_error(tmp_path: Path) -> None:
    """Behind the sha256 of the bundle; here nothing but the file itself speaks."""
    whole = saved(network("gru", 1, False), tmp_path).read_bytes()
    chance = random.Random(0)
    for _ in range(100):
        content = bytearray(whole)
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        (tmp_path / "model.keras").write_bytes(content)
        with contextlib.suppress(errors.ModelError):
            forward.Scorer(tmp_path / "model.keras")
