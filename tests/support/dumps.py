"""Made-up dumps, a model that takes no training, and one dump scored as the task of scoring does it."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tasks.lib import files, scoring
from tasks.lib.config import ScoreConfig
from tasks.lib.layout import Layout
from tasks.lib.network.encoder import Encoder
from tasks.lib.scores import inbox, tables
from tasks.lib.scores.inbox import Dump
from tasks.lib.scores.ledger import Ledger

MODEL_ID = "gru-000000000000"


class Fake:
    """Stands for a network: a probability that depends on the ids alone."""

    calls = 1

    def __call__(self, ids: npt.NDArray[np.int32], ngram_ids: None) -> npt.NDArray[np.float32]:
        return ((ids.sum(axis=1) % 97) / 97).astype(np.float32)


def model() -> scoring.Model:
    encoder = Encoder({"good": 1, "bad": 2, "film": 3}, num_words=10, maxlen=8)
    return scoring.Model(MODEL_ID, encoder, Fake(), 0.5)  # type: ignore[arg-type]


def write(path: Path, rows: int, bad: int, seed: int = 0) -> Path:
    """A dump of which every row shows where it came from; `bad` rows lack a field."""
    chance = random.Random(seed)
    broken = set(chance.sample(range(rows), bad))
    words = ("good", "bad", "film", "unknown")
    lines = [
        f"{row}" if row in broken else f"{row},{' '.join(chance.choices(words, k=6))} {row}" for row in range(rows)
    ]
    path.write_text("\n".join(["id,review", *lines, ""]))
    return path


def new(path: Path, table: str = "scores/t.parquet", *, sha256: str = "") -> Dump:
    """The file as a new dump whose table will be at `table` below the data folder."""
    return Dump(str(path), path.name, "new", sha256=sha256 or files.sha256(path), table=table)


def score(path: Path, root: Path, config: ScoreConfig = ScoreConfig(), sha256: str = "") -> None:
    """What a run does with one dump; with its `sha256`, without looking for it first."""
    data = Layout(root)
    with Ledger.open(data) as ledger:
        if sha256:
            found = new(path, f"scores/model={MODEL_ID}/{tables.table_name(path.name, sha256)}", sha256=sha256)
        else:
            (found,) = inbox.find([path], inbox.Looked(ledger, ledger.look([MODEL_ID]), config, MODEL_ID))
        if found.status == "new":
            ledger.enter_tables([scoring.score(found, model(), config, data)])
