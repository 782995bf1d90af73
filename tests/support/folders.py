"""What stands in a folder, and folders of shards and models written as the pipeline writes them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from tasks.lib import files
from tasks.lib.config import ShardConfig
from tasks.lib.corpus import imdb, shards
from tasks.lib.models import bundles


def contents(folder: Path) -> dict[str, str]:
    """Every file below the folder but the ledger, hidden ones included, with the sha256 of its bytes."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith("ledger.sqlite")
    }


def visible(folder: Path) -> dict[str, str]:
    """The same without hidden files."""
    return {name: digest for name, digest in contents(folder).items() if not name.rpartition("/")[2].startswith(".")}


def write_shards(folder: Path) -> None:
    ranks = np.empty(40, object)
    ranks[:] = [[number % 9 + 1] * (number % 5) for number in range(40)]
    split = imdb.Split(ranks, np.array([number % 2 for number in range(40)], np.uint8))
    config = ShardConfig(num_words=10, maxlen=4)
    with files.new_folder(folder / "shards") as temporary:
        shards.write(temporary, shards.splits(split, split, 0.2), config)


def write_bundle(folder: Path) -> None:
    contents = {bundles.METRICS: files.json_bytes({"accuracy": 0.8}), bundles.MODEL: b"weights" * 1000}
    made_of = {"number": 1}
    name = bundles.model_id("gru", made_of)
    facts = {"model_id": name, "cell": "gru", "corpus": "imdb", "made_of": made_of}
    bundles.write_bundle(folder / name, contents, facts)
