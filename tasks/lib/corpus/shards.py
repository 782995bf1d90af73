"""Parquet shards of padded token ids: `<split>-00000-of-00005.parquet`, and a manifest of their sha256."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.lib import arrow, errors, files
from tasks.lib.config import ShardConfig
from tasks.lib.corpus.imdb import Split
from tasks.lib.tokens import Ids, Labels, padded

Weights = npt.NDArray[np.float32]
Rows = tuple[npt.NDArray[Any], ...]  # token ids, labels and, if reviews count differently, weights

SHARD_ROWS = 4_000
ROW_GROUP_ROWS = 500
MANIFEST = "manifest.json"


def splits(train: Split, test: Split, validation_split: float) -> dict[str, Split]:
    """Train, validation (the last part of train, as in `keras.Model.fit(validation_split=...)`) and test."""
    boundary = int(len(train) * (1 - validation_split))
    if not 0 < boundary < len(train):
        raise errors.InputError(
            f"--validation-split {validation_split}: of {len(train)} training reviews it leaves {boundary} for "
            f"training and {len(train) - boundary} for validation. Both need at least one."
        )
    return {"train": train[:boundary], "validation": train[boundary:], "test": test}


def write(folder: Path, data: dict[str, Split], config: ShardConfig) -> dict[str, str]:
    """Writes the shards of all splits and the manifest into `folder`; returns file name -> sha256.

    A shard has the columns `token_ids` (fixed-size list of int32, `maxlen` long), `label` (uint8) and, if reviews count
    differently, `weight` (float32); row groups of 500 rows, and a checksum on every page.
    """
    writing: dict[str, Future[str]] = {}
    with ThreadPoolExecutor(1) as writer:  # a shard is written while the next one is padded
        for name, split in data.items():
            count = -(-len(split) // SHARD_ROWS)
            for number, rows in enumerate(np.array_split(np.arange(len(split)), count)):
                path = folder / f"{name}-{number:05d}-of-{count:05d}.parquet"
                part = split[rows[0] : rows[-1] + 1]
                ids = padded(part.ranks, config.num_words, config.maxlen)
                writing[path.name] = writer.submit(_write_shard, path, ids, part)
    written = {name: done.result() for name, done in writing.items()}
    manifest = {
        "config": config.model_dump(),
        "rows": {name: len(split) for name, split in data.items()},
        "sha256": written,
    }
    (folder / MANIFEST).write_bytes(files.json_bytes(manifest))
    return written | {MANIFEST: files.sha256(folder / MANIFEST)}


def _write_shard(path: Path, ids: Ids, part: Split) -> str:
    """Writes one shard; returns the sha256 of its bytes."""
    token_ids = pa.FixedSizeListArray.from_arrays(arrow.numbers(ids.reshape(-1), pa.int32()), ids.shape[1])
    columns = {"token_ids": token_ids, "label": arrow.numbers(part.labels, pa.uint8())}
    if part.weights is not None:
        columns["weight"] = arrow.numbers(part.weights, pa.float32())
    pq.write_table(
        pa.table(columns),
        path,
        row_group_size=ROW_GROUP_ROWS,
        write_page_checksum=True,
        write_statistics=False,
    )
    return files.sha256(path)


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a shard folder: config, rows of each split, sha256 of each shard. Raises `InputError`."""
    with files.input_errors(folder / MANIFEST):
        return cast(dict[str, Any], json.loads((folder / MANIFEST).read_bytes()))


def paths(folder: Path, split: str) -> list[Path]:
    """The shards of a split, in order. Raises `InputError` if there is none."""
    found = sorted(folder.glob(f"{split}-*-of-*.parquet"))
    if not found:
        raise errors.InputError(f"{folder}: no shards of the {split} split. Run the training again.")
    return found


def row_groups(shards: list[Path]) -> list[tuple[Path, int]]:
    """Every row group of the shards, as shard and number within it, in order."""
    return [(path, number) for path in shards for number in range(pq.read_metadata(path).num_row_groups)]


def have_weights(shards: list[Path]) -> bool:
    """Whether the shards have weights."""
    return "weight" in pq.read_schema(shards[0]).names


def read(folder: Path, split: str) -> tuple[Ids, Labels, Weights | None]:
    """All token ids, labels and weights of a split; None for weights that it does not have."""
    blocks = list(read_row_groups(row_groups(paths(folder, split))))
    ids, labels, *weights = (np.concatenate(part) for part in zip(*blocks, strict=True))
    return ids, labels, weights[0] if weights else None


def read_row_groups(groups: list[tuple[Path, int]]) -> Iterator[Rows]:
    """Of each row group: token ids (rows, maxlen) int32, labels (rows,) uint8, and weights (rows,) float32 if it has
    them. Page checksums are verified."""
    opened: dict[Path, pq.ParquetFile] = {}
    try:
        for path, number in groups:
            if path not in opened:
                opened[path] = pq.ParquetFile(path, page_checksum_verification=True, memory_map=True)
            table = opened[path].read_row_group(number, use_threads=False)
            token_ids = table["token_ids"].combine_chunks()
            ids = token_ids.flatten().to_numpy().reshape(len(table), token_ids.type.list_size)
            yield ids, *(table[name].to_numpy() for name in table.column_names[1:])
    finally:
        for file in opened.values():
            file.close()
