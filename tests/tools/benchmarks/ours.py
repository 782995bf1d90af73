"""The same work by the pipeline's own code."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from tasks.lib import files, scoring
from tasks.lib.config import FitConfig, NetworkConfig, ScoreConfig, ShardConfig
from tasks.lib.corpus import imdb, shards
from tasks.lib.dumps import reader
from tasks.lib.layout import Layout
from tasks.lib.models import releases
from tasks.lib.scores.inbox import Dump


def prepare(archive: Path, folder: Path) -> float:
    """Seconds to decode, pad and write the shards of the corpus."""
    started = time.perf_counter()
    with files.new_folder(folder) as temporary:
        shards.write(temporary, shards.splits(*imdb.load(archive), 0.2), ShardConfig())
    return time.perf_counter() - started


def epoch(folder: Path, checkpoint: Path) -> float:
    """Seconds of an epoch of the training, checkpoint included: the median of three; the first one compiles."""
    from tasks.lib.corpus import dataset
    from tasks.lib.network import model
    from tasks.lib.network.checkpoint import Checkpoint

    def datasets(first: int) -> Any:
        train = dataset.batches(folder, "train", 128, shuffle_seed=0, first_epoch=first)
        return train, dataset.batches(folder, "validation", 128)

    model.choose_device("auto")
    checkpoint.unlink(missing_ok=True)  # or there would be nothing to train
    built = model.build(NetworkConfig(), ShardConfig().num_words, ShardConfig().maxlen)
    progress = model.fit(built, datasets, FitConfig(epochs=4), Checkpoint(checkpoint))
    return statistics.median(progress.history["seconds"][1:])


def losses(folder: Path) -> str:
    """The training loss of one epoch from the same weights in the same order, by plain Keras and by ours."""
    from tasks.lib.corpus import dataset
    from tasks.lib.network import model, unrolled

    model.choose_device("auto")
    found = []
    for quick in (False, True):
        model.set_seed(1)
        network = model.build(NetworkConfig(), ShardConfig().num_words, ShardConfig().maxlen)
        if quick:
            network = unrolled.trainable(network)
        network.compile(optimizer="adam", loss="binary_crossentropy")
        history = network.fit(dataset.batches(folder, "train", 128, shuffle_seed=0), verbose=0, shuffle=False)
        found.append(history.history["loss"][0])
    return " ".join(f"{loss:.6f}" for loss in found)


def feed(folder: Path) -> float:
    """Reviews per second that the tf.data pipeline delivers, shuffled, in batches of 128."""
    from tasks.lib.corpus import dataset

    batches = dataset.batches(folder, "train", 128, shuffle_seed=0)
    for _ in batches:
        pass
    started = time.perf_counter()
    for _ in batches:
        pass
    return shards.read_manifest(folder)["rows"]["train"] / (time.perf_counter() - started)


def read(dump: Path) -> float:
    """Seconds to read a dump in blocks."""
    started = time.perf_counter()
    with reader.open(dump) as rows:
        for block in rows:
            block.strings(rows.review_index)
    return time.perf_counter() - started


def digest(folder: Path) -> str:
    """The sha256 of the probabilities that `score` published in the folder."""
    probabilities = pq.read_table(folder / "t.parquet", columns=["positive_probability"])["positive_probability"]
    return files.arrays_digest([probabilities.to_numpy()])


def score(models: Path, dump: Path, folder: Path) -> float:
    """Seconds to score a dump into its published tables, model loaded."""
    model = scoring.Model.open(models, releases.current_id(models))
    found = Dump(str(dump), dump.name, "new", sha256=files.sha256(dump), table="t.parquet")
    started = time.perf_counter()
    scoring.score(found, model, ScoreConfig(), Layout(folder))
    return time.perf_counter() - started
