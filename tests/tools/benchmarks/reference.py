"""The plain scripts that the pipeline is measured against: what one would otherwise write, in our own words."""

from __future__ import annotations

import re
import statistics
import time
from pathlib import Path
from typing import Any

MAXLEN, NUM_WORDS = 200, 10_000


def load_and_pad(archive: Path) -> tuple[Any, Any, Any, Any]:
    """The corpus by Keras's own loader, padded: x_train, y_train, x_test, y_test."""
    import keras
    from keras.src.datasets import imdb

    imdb.get_file = lambda *args, **kwargs: str(archive)
    (x_train, y_train), (x_test, y_test) = keras.datasets.imdb.load_data(num_words=NUM_WORDS)
    x_train, x_test = (keras.utils.pad_sequences(x, maxlen=MAXLEN) for x in (x_train, x_test))
    return x_train, y_train, x_test, y_test


def network() -> Any:
    """The text-book model, compiled."""
    import keras

    model = keras.Sequential(
        [
            keras.Input((MAXLEN,), dtype="int32"),
            keras.layers.Embedding(NUM_WORDS, 64),
            keras.layers.SimpleRNN(32, activation="relu"),
            keras.layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"])
    return model


def prepare(archive: Path) -> float:
    """Seconds to load and pad the corpus."""
    import keras  # noqa: F401  its import is not what is measured

    started = time.perf_counter()
    load_and_pad(archive)
    return time.perf_counter() - started


def epoch(archive: Path) -> float:
    """Seconds of an epoch of `fit`: the median of three; the first one compiles."""
    x_train, y_train, _, _ = load_and_pad(archive)
    model = network()
    model.fit(x_train, y_train, batch_size=128, validation_split=0.2, verbose=0)
    taken = []
    for _ in range(3):
        started = time.perf_counter()
        model.fit(x_train, y_train, batch_size=128, validation_split=0.2, verbose=0)
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def score(model_file: Path, word_index: dict[str, int], dump: Path, out: Path) -> float:
    """Seconds to score a dump, model loaded and warm: read_csv, a dict of words, predict, to_csv."""
    import keras
    import numpy as np
    import pandas as pd

    model = keras.saving.load_model(model_file)
    model.predict(np.zeros((32, MAXLEN), "int32"), verbose=0)
    started = time.perf_counter()
    table = pd.read_csv(dump)
    rows = []
    for review in table["review"]:
        words = re.sub(r'[!"#$%&()*+,\-./:;<=>?@\[\\\]^_`{|}~\t\n]', " ", review.lower()).split()
        ids = [1] + [word_index[word] + 3 for word in words if word in word_index]
        rows.append([number if number < NUM_WORDS else 2 for number in ids])
    table["score"] = model.predict(keras.utils.pad_sequences(rows, maxlen=MAXLEN), verbose=0)[:, 0]
    table.to_csv(out, index=False)
    return time.perf_counter() - started
